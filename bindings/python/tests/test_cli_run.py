"""`sprat run`: a member that stays, and what its supervisor hears of it."""

import contextlib
import os
import signal
import socket
import subprocess
import time

import pytest
from conftest import QUICK, logged


def ended(running, number=signal.SIGTERM, code=0):
    running.send(number)
    return running.end(code)


def test_it_is_a_member_with_its_tags_and_leaves_on_sigterm(run, agent):
    stock = agent("stock")
    running = run("--name", "ours", "--tag", "role=web", "--tag", "a=x=y", "--join", stock.address)
    assert stock.sees("ours", "alive")["tags"] == {"role": "web", "a": "x=y"}
    log = ended(running)
    assert "[INFO] sprat.run: SIGTERM: leaving the cluster" in log
    stock.sees("ours", "left", 5)


def test_settings_come_from_a_file_and_tags_again_on_sighup(run, agent, tmp_path):
    stock = agent("stock")
    file = tmp_path / "sprat.conf"
    file.write_text(f"# ours\nname = ours\ntag.role = web\ntag.a = 1\nseeds = {stock.address}\n")
    running = run("--config", str(file), "--tag", "a=2")
    assert stock.sees("ours", "alive")["tags"] == {"role": "web", "a": "2"}
    file.write_text("nonsense\n")
    running.send(signal.SIGHUP)
    assert "the tags stay as they are: " in logged(running, "SIGHUP")[-1]
    file.write_text("tag.role = db\n")
    running.send(signal.SIGHUP)
    logged(running, "SIGHUP")
    while stock.members()["ours"]["tags"] != {"role": "db", "a": "2"}:
        time.sleep(0.05)  # the time of the test is bounded
    ended(running, signal.SIGINT)
    stock.sees("ours", "left", 5)


def test_it_may_be_started_before_those_it_joins(run, agent, addresses):
    early = addresses.ip()
    running = run("--name", "ours", "--join", early, "--set", "reconnect_max_ms=500")
    assert "connection refused" in logged(running, "[WARN] sprat.join")[-1]
    late = agent("late")
    # The agent has another address: it comes, as to any member.
    late.join(logged_address(running))
    late.sees("ours", "alive")
    ended(running)


def logged_address(running):
    return f"{running.process.args[running.process.args.index('--bind') + 1]}"


@pytest.mark.parametrize("kind", ["a file", "abstract"])
def test_systemd_hears_when_it_is_ready_and_when_it_stops(run, kind, tmp_path, addresses):
    name = f"@sprat-test-{os.getpid()}" if kind == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.settimeout(10)
        supervisor.bind("\0" + name[1:] if kind == "abstract" else name)
        running = run("--name", "ours", NOTIFY_SOCKET=name)
        told = supervisor.recv(4096).decode().splitlines()
        assert told[0] == "READY=1"
        assert f"MAINPID={running.process.pid}" in told
        running.send(signal.SIGHUP)
        assert supervisor.recv(4096).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert supervisor.recv(4096).startswith(b"READY=1\n")
        running.send(signal.SIGTERM)
        assert supervisor.recv(4096).startswith(b"STOPPING=1\n")
        running.end()


def test_s6_hears_when_it_has_met_another(command, addresses, agent):
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    address = addresses.address()
    options = ["--bind", address, "--notify-fd", str(writer), "--ready-when-joined", *QUICK]
    with subprocess.Popen(
        [*command, "run", *options], pass_fds=(writer,), stderr=subprocess.PIPE, text=True
    ) as running:
        os.close(writer)
        assert "member-join" in running.stderr.readline()
        time.sleep(0.2)
        with pytest.raises(BlockingIOError):
            os.read(reader, 10)
        agent("stock").join(address)
        os.set_blocking(reader, True)
        assert os.read(reader, 10) == b"\n"
        assert os.read(reader, 10) == b""  # closed
        os.close(reader)
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=10)
    assert running.returncode == 0


def test_who_has_the_name_of_another_ends_with_1(run, agent):
    stock = agent("stock")
    other = agent("other", f"-join={stock.address}")
    # What takes a minute in a real cluster.
    hurry = ("probe_interval_ms=50", "probe_timeout_ms=25", "push_pull_interval_ms=500")
    settings = [it for setting in hurry for it in ("--set", setting)]
    running = run("--name", "stock", "--join", other.address, "--profile", "local", *settings)
    log = running.end(1)
    assert "Traceback" not in log
    assert "sprat: error: " in log.splitlines()[-1]
    assert stock.members()["stock"]["status"] == "alive"


def test_a_second_signal_ends_it_without_waiting(run):
    running = run("--name", "ours", "--handler", "member-join=sleep 60")
    logged(running, "takes longer than 1 s")
    running.send(signal.SIGINT)
    logged(running, "leaving the cluster")
    time.sleep(1.1)  # who is impatient, and not the same signal once more
    begun = time.monotonic()
    ended(running, signal.SIGINT, 130)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    "shadow", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda it: it.name
)
def test_signals_that_come_together_are_one(run, agent, shadow):
    stock = agent("stock")
    running = run("--name", "ours", "--join", stock.address)
    stock.sees("ours", "alive")
    running.send(signal.SIGTERM)
    time.sleep(0.005)
    running.send(shadow)
    running.end(0)
    stock.sees("ours", "left", 10)


def test_a_supervisor_that_is_busy_for_a_moment_hears_that_it_is_ready(run, tmp_path):
    name = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(name)
        supervisor.settimeout(10)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as crowd:
            crowd.setblocking(False)
            sent = 0
            with contextlib.suppress(BlockingIOError):
                while True:
                    crowd.sendto(b"x", name)
                    sent += 1
        running = run("--name", "ours", NOTIFY_SOCKET=name)
        logged(running, "is a member at")
        time.sleep(0.5)
        for _ in range(sent):
            assert supervisor.recv(4096) == b"x"
        assert supervisor.recv(4096).startswith(b"READY=1")
        running.send(signal.SIGTERM)
        running.end(0)
