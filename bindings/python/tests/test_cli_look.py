"""The commands that look: members, monitor, explain, with real agents."""

import contextlib
import datetime
import fcntl
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from conftest import QUICK
from rich.console import Console

from sprat._cli import output

KEY = "MDEyMzQ1Njc4OWFiY2RlZg=="
OTHER_KEY = "ZmVkY2JhOTg3NjU0MzIxMA=="


@pytest.fixture
def look(command, addresses, tmp_path):
    """Start a command that looks: `look(name, *arguments)`, its streams apart."""
    running = []

    def start(*arguments, stdout=subprocess.PIPE, **environment):
        line = [*command, *arguments, "--bind", addresses.address(0)]
        env = {**os.environ, **environment}
        process = subprocess.Popen(
            line, stdout=stdout, stderr=subprocess.PIPE, text=True, env=env, bufsize=1
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate(timeout=10)


def visits(stock):
    """What an agent remembers of visits: states by name."""
    return {name: it["status"] for name, it in stock.members().items() if "sprat-cli" in name}


def settled(stock):
    """The states of visits once an agent has heard of all that was said."""
    while {"alive", "leaving"} & set(visits(stock).values()):
        time.sleep(0.05)  # the time of the test is bounded
    return sorted(visits(stock).values())


def done(process, code=0):
    """What a command printed; it must have ended with this code, and without a word on stderr."""
    output, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (code, ""), output
    return output


def test_members_lists_who_is_there_and_leaves_one_trace_that_is_no_failure(look, agent):
    stock = agent("stock", "-tag", "role=web", "-tag", "dc=ams")
    other = agent("other", "-tag", "role=db", f"-join={stock.address}")
    lines = done(look("members", "--join", stock.address)).splitlines()
    assert lines == [
        "NAME   ADDRESS" + " " * (len(stock.address) - 7) + "  STATE  TAGS",
        f"other  {other.address}  alive  role=db",
        f"stock  {stock.address}  alive  dc=ams,role=web",
    ]
    told = json.loads(done(look("members", "--format", "json", SPRAT_JOIN=f"{stock.address},")))
    host = stock.address.removesuffix(":7946")
    assert told["members"][1] == {
        "name": "stock",
        "address": stock.address,
        "host": host,
        "port": 7946,
        "state": "alive",
        "tags": {"dc": "ams", "role": "web"},
    }
    filtered = ("--tag", "role=web", "--tag", "dc=ams", "--state", "alive", *QUICK)
    output = done(look("members", "--join", host, *filtered))
    assert [line.split()[0] for line in output.splitlines()] == ["NAME", "stock"]
    # The name is used again each time, as far as no other test run on this host has it.
    assert set(settled(stock)) == {"left"}
    assert all(re.fullmatch(r"sprat-cli-.*?(-\d\d?)?", name) for name in visits(stock))
    other.sees(next(iter(visits(stock))), "left")


def test_visits_at_the_same_time_have_different_names(look, agent):
    stock = agent("stock")
    watchers = [look("monitor", "--join", stock.address, "--initial", *QUICK) for _ in range(2)]
    for watcher in watchers:
        assert any(" stock " in line for line in watcher.stdout)
    assert sorted(visits(stock).values()) == ["alive", "alive"]
    for watcher in watchers:
        watcher.send_signal(signal.SIGTERM)
        done(watcher)
    assert settled(stock) == ["left", "left"]


def test_after_a_visit_that_was_killed_the_next_one_takes_a_name_of_its_own(look, agent):
    stock = agent("stock")
    killed = look("monitor", "--join", stock.address, "--initial")
    assert any(" stock " in line for line in killed.stdout)
    killed.kill()
    watcher = look("monitor", "--join", stock.address, "--initial", *QUICK)
    assert any(" stock " in line for line in watcher.stdout)
    assert len(visits(stock)) == 2  # with the one that was killed
    watcher.send_signal(signal.SIGTERM)
    done(watcher)


def test_names_and_tags_never_reach_the_terminal_as_they_are(look, agent):
    stock = agent("a\x1b]0;x\x07\tb\n漢é", "-tag", "t=\x1b[2J\x9b2J\u202eok")
    output = done(look("members", "--join", stock.address, *QUICK))
    assert r"a\x1b]0;x\x07\tb\n漢é" in output
    assert r"t=\x1b[2J\x9b2J\u202eok" in output
    assert all(it.isprintable() or it == "\n" for it in output)
    output = done(look("members", "--join", stock.address, "--format", "json", *QUICK))
    assert output.isascii()
    assert json.loads(output)["members"][0]["name"] == stock.name


def on_terminal(line, columns, **environment):
    """What a command writes to a terminal, and its exit code."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {**os.environ, "TERM": "xterm-256color", **environment}
    for size in ("COLUMNS", "LINES"):  # would be believed rather than the terminal
        env.pop(size, None)
    with subprocess.Popen(line, stdin=slave, stdout=slave, stderr=slave, env=env) as process:
        os.close(slave)
        written = b""
        with contextlib.suppress(OSError):  # the end of a terminal
            while data := os.read(master, 65536):
                written += data
        os.close(master)
    return written.decode(), process.returncode


def plain(text):
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).replace("\r", "\n")


def test_a_terminal_gets_colours_that_fit_and_a_pipe_none(look, command, agent, addresses):
    stock = agent("stock", "-tag", f"long={'x' * 100}", "-tag", "list=a,b")
    line = [*command, "members", "--join", stock.address, "--bind", addresses.address(0), *QUICK]
    written, code = on_terminal(line, 60)
    assert code == 0
    assert "\x1b[32malive\x1b[0m" in written
    assert "joining" in written  # on stderr
    assert "1 member: 1 alive" in written
    rows = [row.rstrip() for row in plain(written).splitlines()]
    assert max(map(len, rows)) <= 60
    assert "".join(rows).count("x") >= 100  # folded, not cut
    written, code = on_terminal(line, 40)
    assert f"{stock.address}  " in plain(written)
    written, code = on_terminal([*line, "--format", "json"], 60, NO_COLOR="1")
    assert code == 0
    assert not re.search(r"\x1b\[[0-9;]*m", written)
    output = done(look("members", "--join", stock.address, *QUICK))
    assert f'list="a,b",long={"x" * 100}\n' in output
    assert "\x1b" not in output


def test_the_key_comes_from_a_file_or_the_environment(look, cli, agent, tmp_path, addresses):
    stock = agent("stock", f"-encrypt={KEY}")
    file = tmp_path / "key"
    file.write_text(f"# of the cluster\n{KEY}\n")
    join = ("members", "--join", stock.address, *QUICK)
    assert "stock" in done(look(*join, "--key-file", str(file)))
    # What is on the command line wins.
    assert "stock" in done(look(*join, "--key-file", str(file), SPRAT_KEY=OTHER_KEY))
    config = tmp_path / "sprat.conf"
    config.write_text(f"name = daemon\ntag.role = web\nencrypt = {KEY}\nseeds = {stock.address}\n")
    assert "stock" in done(look("members", "--config", str(config), *QUICK))
    assert stock.members().keys().isdisjoint({"daemon"})
    bind = ("--bind", addresses.address(0))
    for options, message in [
        ({"SPRAT_KEY": OTHER_KEY}, "key"),
        ({}, "it encrypts, and this node has no key"),
    ]:
        failed = cli(*join, *bind, **options)
        assert failed.returncode == 1
        assert failed.stderr.startswith(f"sprat: error: nobody answered: {stock.address}: ")
        assert message in failed.stderr


def test_explain_probes_and_tells(look, cli, agent, addresses):
    stock = agent("stock", "-tag", "role=web")
    output = done(look("explain", "stock", "--join", stock.address, *QUICK))
    words = [line.split(maxsplit=1) for line in output.splitlines()]
    assert [it[0] for it in words] == ["member", "state", "last", "tags", "this"]
    assert words[0][1] == f"stock  {stock.address}"
    assert "datagram: answered" in words[2][1]
    assert "no answer" not in output
    told = json.loads(
        done(look("explain", "stock", "--join", stock.address, "--format=json", *QUICK))
    )
    assert told.keys() == {"member", "explanation", "health"}
    assert told["member"]["state"] == "alive"
    assert told["explanation"]["probe"]["direct"] == "answered"
    assert told["health"]["datagrams_work"] is True
    failed = cli("explain", "nobody", "--join", stock.address, "--bind", addresses.address(0))
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("sprat: error: there is no member 'nobody'")
    assert set(settled(stock)) == {"left"}


def test_explain_tells_of_a_member_that_does_not_answer(look, agent):
    stock = agent("stock", "-profile=local")
    other = agent("other", "-profile=local", f"-join={stock.address}")
    other.sees("stock", "alive")
    other.process.send_signal(signal.SIGSTOP)
    told = json.loads(
        done(look("explain", "other", "--join", stock.address, "--format=json", *QUICK))
    )
    assert told["member"]["state"] == "suspect"
    assert told["explanation"]["accuser"].startswith("sprat-cli-")
    assert told["explanation"]["time_left"] > 0
    probe = told["explanation"]["probe"]
    assert (probe["direct"], probe["stream"], probe["rtt"]) == ("silent", "silent", None)
    assert settled(stock)[-1] == "left"


def test_monitor_tells_what_happens_until_it_is_interrupted(look, agent):
    stock = agent("stock", "-profile=local")
    watcher = look("monitor", "--join", stock.address, "--format=json", "--initial", *QUICK)
    assert json.loads(watcher.stdout.readline())["member"]["name"] == "stock"
    begun = datetime.datetime.now(datetime.UTC)
    other = agent("other", "-tag", "a=b", f"-join={stock.address}")
    first = json.loads(watcher.stdout.readline())
    assert (first["event"], first["member"]["name"]) == ("member-join", "other")
    assert first["member"]["tags"] == {"a": "b"}
    assert abs((datetime.datetime.fromisoformat(first["time"]) - begun).total_seconds()) < 10
    other.leave()
    second = json.loads(watcher.stdout.readline())
    assert (second["event"], second["member"]["state"]) == ("member-leave", "left")
    watcher.send_signal(signal.SIGINT)
    assert done(watcher) == ""
    assert set(settled(stock)) == {"left"}


def test_monitor_shows_only_the_kinds_that_are_asked_for(look, agent):
    stock = agent("stock")
    watcher = look("monitor", "--join", stock.address, "--event=member-leave,member-failed", *QUICK)
    while "alive" not in visits(stock).values():
        time.sleep(0.05)  # the time of the test is bounded
    agent("other", f"-join={stock.address}").leave()
    line = watcher.stdout.readline()
    assert re.match(r"\d\d:\d\d:\d\d\.\d{3}  member-leave    other  127\.", line)
    watcher.send_signal(signal.SIGHUP)
    done(watcher)


def test_monitor_ends_when_nobody_reads_it_any_more(look, agent):
    stock = agent("stock")
    watcher = look("monitor", "--join", stock.address, "--initial")
    assert "stock" in watcher.stdout.readline()
    watcher.stdout.close()  # and nothing happens that it could write
    assert watcher.wait(10) == 0
    assert watcher.stderr.read() == ""
    assert set(settled(stock)) == {"left"}


def test_a_signal_does_not_cut_short_a_leave_that_is_under_way(look, agent):
    stock = agent("stock")
    lister = look("members", "--join", stock.address)
    lister.stdout.readline()
    time.sleep(0.3)  # the table has two lines, then it leaves
    lister.send_signal(signal.SIGINT)
    done(lister)
    assert set(settled(stock)) == {"left"}


def test_members_may_be_cut_off_by_its_reader(look, agent):
    stock = agent("stock")
    reader, writer = os.pipe()
    os.close(reader)
    lister = look("members", "--join", stock.address, stdout=writer)
    os.close(writer)
    assert (lister.wait(10), lister.stderr.read()) == (0, "")
    assert set(settled(stock)) == {"left"}


def test_a_name_that_is_in_use_is_refused_and_nobody_is_harmed(look, agent):
    stock, taken = agent("stock"), agent("taken")
    taken.join(stock.address)
    for command in (["members"], ["explain", "stock"]):
        process = look(*command, "--join", stock.address, "--name", "taken")
        output, errors = process.communicate(timeout=20)
        text = f'sprat: error: the name "taken" is in use by another node at {taken.address}\n'
        assert (process.returncode, output, errors) == (1, "", text)
    assert stock.members()["taken"]["status"] == "alive"
    assert stock.members()["taken"]["addr"] == taken.address


def test_who_asks_for_members_that_have_failed_is_told_whom_to_ask(look, agent):
    stock = agent("stock")
    process = look("members", "--join", stock.address, "--state", "failed")
    output, errors = process.communicate(timeout=20)
    assert (process.returncode, output.split()) == (0, ["NAME", "ADDRESS", "STATE", "TAGS"])
    assert "a newcomer is not told of members that were suspected, failed or left" in errors
    process = look("explain", "gone", "--join", stock.address)
    output, errors = process.communicate(timeout=20)
    assert (process.returncode, output) == (1, "")
    assert "there is no member 'gone'" in errors
    assert "ask a member that stays" in errors


def test_another_host_that_is_called_as_this_one_is_no_trouble(cli, agent, addresses):
    stock = agent("stock")
    twin = agent("sprat-cli-" + re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname()))
    twin.join(stock.address)
    look = cli("members", "--join", stock.address, "--bind", addresses.address(0), *QUICK)
    assert (look.returncode, "stock" in look.stdout) == (0, True), look.stderr
    assert stock.members()[twin.name]["addr"] == twin.address


def test_a_narrow_terminal_cuts_no_address_off(capsys, monkeypatch):
    address = "[2001:db8:1111:2222:3333:4444:5555:6666]:7946"
    narrow = Console(file=sys.stdout, width=40, force_terminal=True, color_system=None)
    monkeypatch.setattr(output, "console", lambda: narrow)
    table = (("NAME", "ADDRESS", "STATE"), [("web", address, "alive")])
    output.print_table(*table, styled="STATE", whole="ADDRESS")
    assert "alive" in (told := capsys.readouterr().out)
    assert sum(told.count(it) for it in "[]:") == sum(address.count(it) for it in "[]:")


def test_a_disk_that_is_full_is_said_in_one_line(look, agent):
    stock = agent("stock")
    with Path("/dev/full").open("w") as full:
        process = look("members", "--join", stock.address, "--format", "json", stdout=full)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert errors == "sprat: error: standard output: No space left on device\n"


@pytest.mark.parametrize("shadow", [signal.SIGTERM, signal.SIGHUP], ids=lambda it: it.name)
def test_a_look_that_is_ended_twice_at_once_still_leaves(look, agent, shadow):
    stock = agent("stock")
    watcher = look("monitor", "--join", stock.address, "--name", "watcher")
    stock.sees("watcher", "alive")
    watcher.send_signal(signal.SIGTERM)
    time.sleep(0.005)
    watcher.send_signal(shadow)
    watcher.communicate(timeout=20)
    assert watcher.returncode == 0
    stock.sees("watcher", "left", 10)


def test_a_look_is_not_who_stays(look, agent, addresses):
    stock = agent("stock")
    taken = {"SPRAT_BIND": stock.address, "SPRAT_ADVERTISE": stock.address, "SPRAT_NAME": "stock"}
    told = json.loads(done(look("members", "--join", stock.address, "--format", "json", **taken)))
    assert [member["name"] for member in told["members"]] == ["stock"]


def test_a_monitor_that_is_ended_before_it_has_joined_says_so(look, addresses):
    with socket.socket() as mute:
        mute.bind((addresses.ip(), 0))
        mute.listen()
        watcher = look("monitor", "--join", "{}:{}".format(*mute.getsockname()))
        asked, _ = mute.accept()
        with asked:
            time.sleep(0.2)
            watcher.send_signal(signal.SIGTERM)
            watcher.communicate(timeout=20)
        assert watcher.returncode == 128 + signal.SIGTERM
