"""`sprat run`: a permanent member, its handling of signals, and its messages to a supervisor."""

import contextlib
import os
import signal
import socket
import subprocess
import time

import pytest
from conftest import (
    QUICK,
    bound_address,
    eventually,
    logged,
    sees_left,
    send_at_once,
)


def ended(running, number=signal.SIGTERM, code=0):
    running.send(number)
    return running.end(code)


def test_run_joins_with_its_tags_and_leaves_on_sigterm(run, agent):
    stock = agent("stock")
    running = run("--name", "ours", "--tag", "role=web", "--tag", "a=x=y", "--join", stock.address)
    assert stock.sees("ours", "alive")["tags"] == {"role": "web", "a": "x=y"}
    log = ended(running)
    assert "[INFO] sprat.run: SIGTERM: leaving the cluster" in log
    sees_left(stock, "ours")


def test_settings_come_from_a_file_and_sighup_reloads_the_tags(run, agent, tmp_path):
    stock = agent("stock")
    file = tmp_path / "sprat.conf"
    file.write_text(f"# ours\nname = ours\ntag.role = web\ntag.a = 1\nseeds = {stock.address}\n")
    running = run("--config", str(file), "--tag", "a=2")
    assert stock.sees("ours", "alive")["tags"] == {"role": "web", "a": "2"}
    file.write_text("nonsense\n")
    running.send(signal.SIGHUP)
    assert "the tags are unchanged: " in logged(running, "SIGHUP")[-1]
    file.write_text("tag.role = db\n")
    running.send(signal.SIGHUP)
    logged(running, "SIGHUP")
    tags = {"role": "db", "a": "2"}
    eventually("the agent has the new tags", lambda: stock.members()["ours"]["tags"] == tags)
    ended(running, signal.SIGINT)
    sees_left(stock, "ours")


def test_tags_of_set_override_those_of_the_file_also_after_a_reload(run, agent, tmp_path):
    stock = agent("stock")
    file = tmp_path / "sprat.conf"
    file.write_text(f"tag.a = 1\ntag.b = 1\ntag.c = 1\nseeds = {stock.address}\n")
    tags = ("--set", "tag.b=2", "--set", "tag.c=2", "--tag", "c=3")
    running = run("--name", "ours", "--config", str(file), *tags)
    assert stock.sees("ours", "alive")["tags"] == {"a": "1", "b": "2", "c": "3"}
    file.write_text("tag.a = 4\ntag.c = 4\n")
    running.send(signal.SIGHUP)
    logged(running, "SIGHUP: reloaded")
    new = {"a": "4", "b": "2", "c": "3"}
    eventually("the agent has the new tags", lambda: stock.members()["ours"]["tags"] == new)
    ended(running)


def test_event_kinds_in_a_file_are_ignored(run, tmp_path):
    file = tmp_path / "sprat.conf"
    file.write_text("name = ours\nevent_kinds = member-join\n")
    running = run("--config", str(file))
    logged(running, "ours is a member at")
    ended(running)


def test_run_can_be_started_before_the_members_it_joins(run, agent, addresses):
    early = addresses.ip()
    running = run("--name", "ours", "--join", early, "--set", "reconnect_max_ms=500")
    assert "connection refused" in logged(running, "[WARN] sprat.join")[-1]
    late = agent("late")
    # The agent's address is not the one that --join gives, so the agent must join `ours`.
    late.join(bound_address(running))
    late.sees("ours", "alive")
    ended(running)


@pytest.mark.parametrize("kind", ["a file", "abstract"])
def test_systemd_is_notified_of_start_reload_and_stop(run, kind, tmp_path, addresses):
    name = f"@sprat-test-{os.getpid()}" if kind == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.settimeout(60)
        supervisor.bind("\0" + name[1:] if kind == "abstract" else name)
        running = run("--name", "ours", NOTIFY_SOCKET=name)
        lines = supervisor.recv(4096).decode().splitlines()
        assert lines[0] == "READY=1"
        assert f"MAINPID={running.process.pid}" in lines
        running.send(signal.SIGHUP)
        assert supervisor.recv(4096).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert supervisor.recv(4096).startswith(b"READY=1\n")
        running.send(signal.SIGTERM)
        assert supervisor.recv(4096).startswith(b"STOPPING=1\n")
        running.end()


def test_s6_is_notified_when_another_member_is_known(command, addresses, agent):
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    address = addresses.address()
    options = ["--bind", address, "--notify-fd", str(writer), "--ready-when-joined", *QUICK]
    with subprocess.Popen(
        [*command, "run", *options], pass_fds=(writer,), stderr=subprocess.PIPE, text=True
    ) as running:
        os.close(writer)
        assert "member-join" in running.stderr.readline()
        with pytest.raises(BlockingIOError):
            os.read(reader, 10)
        agent("stock").join(address)
        os.set_blocking(reader, True)
        assert os.read(reader, 10) == b"\n"
        assert os.read(reader, 10) == b""  # the command has closed its end
        os.close(reader)
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=90)
    assert running.returncode == 0


def test_run_ends_with_1_if_its_name_is_in_use(run, agent):
    stock = agent("stock")
    other = agent("other", f"-join={stock.address}")
    # Short intervals, because finding the conflict can take a minute with the default ones.
    hurry = ("probe_interval_ms=50", "probe_timeout_ms=25", "push_pull_interval_ms=500")
    settings = [it for setting in hurry for it in ("--set", setting)]
    running = run("--name", "stock", "--join", other.address, "--profile", "local", *settings)
    log = running.end(1)
    assert "Traceback" not in log
    assert "sprat: error: " in log.splitlines()[-1]
    assert stock.members()["stock"]["status"] == "alive"


WITHOUT_WORKER = """
import time
from sprat.__main__ import main
from sprat._cli import service

def no_thread(handlers, identity, limit, wake):
    while len(identity.__self__._node.members()) < 2:
        time.sleep(0.01)
    raise RuntimeError("can't start new thread")

service.Worker = no_thread
main()
"""
"""The command in a process that may start no thread for handlers."""


def test_a_member_that_cannot_begin_its_service_leaves(program, addresses, agent):
    stock = agent("stock")
    options = ("--name=ours", "--bind", addresses.address(), "--join", stock.address, *QUICK)
    running = program(WITHOUT_WORKER, "run", *options, "--handler=true")
    assert "can't start new thread" in running.end(1)
    sees_left(stock, "ours")


def test_a_second_signal_ends_run_without_waiting(run):
    running = run("--name", "ours", "--handler", "member-join=sleep 60")
    logged(running, "is running longer than 1 s")
    running.send(signal.SIGINT)
    logged(running, "leaving the cluster")
    time.sleep(1.1)  # two signals within a second count as one
    begun = time.monotonic()
    ended(running, signal.SIGINT, 130)
    assert time.monotonic() - begun < 30, "run waited for the handler, which sleeps 60 s"


@pytest.mark.parametrize("shadow", [signal.SIGINT, signal.SIGHUP], ids=lambda it: it.name)
def test_two_signals_at_once_count_as_one(run, agent, shadow):
    stock = agent("stock")
    running = run("--name", "ours", "--join", stock.address)
    stock.sees("ours", "alive")
    send_at_once(running.process, signal.SIGTERM, shadow)
    running.end(0)
    sees_left(stock, "ours")


def test_a_supervisor_with_a_full_queue_is_still_notified(run, tmp_path):
    name = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(name)
        supervisor.settimeout(60)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as crowd:
            crowd.setblocking(False)
            sent = 0
            with contextlib.suppress(BlockingIOError):
                while True:
                    crowd.sendto(b"x", name)
                    sent += 1
        running = run("--name", "ours", NOTIFY_SOCKET=name)
        logged(running, "is a member at")
        for _ in range(sent):
            assert supervisor.recv(4096) == b"x"
        assert supervisor.recv(4096).startswith(b"READY=1")
        running.send(signal.SIGTERM)
        running.end(0)
