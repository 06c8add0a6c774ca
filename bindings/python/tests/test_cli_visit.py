"""The commands that look at a cluster or visit it, with stock agents."""

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
import termios
from pathlib import Path

import pytest
from conftest import (
    QUICK,
    LeaveSeenAsFailure,
    eventually,
    retry_if_leave_is_lost,
    sees_left,
    send_at_once,
)

KEY = "MDEyMzQ1Njc4OWFiY2RlZg=="
OTHER_KEY = "ZmVkY2JhOTg3NjU0MzIxMA=="


@pytest.fixture
def visit(command, addresses, tmp_path):
    """Start a command that looks at the cluster or visits it: `visit(name, *arguments)`."""
    running = []

    def start(name, *arguments, stdout=subprocess.PIPE, **environment):
        bind = [] if name == "members" else ["--bind", addresses.address(0)]
        line = [*command, name, *arguments, *bind]
        env = {**os.environ, **environment}
        process = subprocess.Popen(
            line, stdout=stdout, stderr=subprocess.PIPE, text=True, env=env, bufsize=1
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate(timeout=90)


def visits(stock):
    """Return the states of the visits that an agent remembers, by name."""
    return {name: it["status"] for name, it in stock.members().items() if "sprat-cli" in name}


def all_left(stock):
    """Wait until an agent lists every visit as left."""

    def have_left():
        states = set(visits(stock).values())
        assert "failed" not in states, visits(stock)
        return states == {"left"}

    eventually("every visit has left", have_left)


def done(process, code=0):
    """Return the output of a command, which must end with this code and an empty stderr."""
    output, errors = process.communicate(timeout=90)
    assert (process.returncode, errors) == (code, ""), output
    return output


def test_members_lists_the_cluster_and_leaves_no_trace(visit, agent):
    stock = agent("stock", "-tag", "role=web", "-tag", "dc=ams")
    other = agent("other", "-tag", "role=db", f"-join={stock.address}")
    lines = done(visit("members", "--join", stock.address)).splitlines()
    assert lines == [
        "NAME   ADDRESS" + " " * (len(stock.address) - 7) + "  STATE  TAGS",
        f"other  {other.address}  alive  role=db",
        f"stock  {stock.address}  alive  dc=ams,role=web",
    ]
    printed = json.loads(done(visit("members", "--format", "json", SPRAT_JOIN=f"{stock.address},")))
    host = stock.address.removesuffix(":7946")
    assert printed["members"][1] == {
        "name": "stock",
        "address": stock.address,
        "host": host,
        "port": 7946,
        "state": "alive",
        "tags": {"dc": "ams", "role": "web"},
    }
    filtered = ("--tag", "role=web", "--tag", "dc=ams", "--state", "alive", *QUICK)
    output = done(visit("members", "--join", host, *filtered))
    assert [line.split()[0] for line in output.splitlines()] == ["NAME", "stock"]
    assert stock.members().keys() == {"stock", "other"}
    assert "sprat" not in stock.log()


@retry_if_leave_is_lost
def test_members_lists_members_that_failed_or_left_earlier(visit, agent):
    stock = agent("stock", "-profile=local")
    failed = agent("failed", "-profile=local", "-tag", "role=db", f"-join={stock.address}")
    left = agent("left", "-profile=local", f"-join={stock.address}")
    eventually("the agent sees all members", lambda: len(stock.members()) == 3)
    left.leave()
    sees_left(stock, "left")
    failed.process.kill()
    stock.sees("failed", "failed")
    lines = done(visit("members", "--join", stock.address)).splitlines()
    assert [line.split()[::2] for line in lines] == [
        ["NAME", "STATE"],
        ["failed", "failed"],
        ["stock", "alive"],
    ]

    def shown():
        lines = done(visit("members", "--join", stock.address, "--state", "failed")).splitlines()
        return lines[1].split()

    assert shown() in (["failed", failed.address, "failed", "role=db"], ["failed", "-", "failed"])
    eventually("the agent forgets the address", lambda: shown() == ["failed", "-", "failed"])
    command = visit("members", "--join", stock.address, "--state", "left", "--format", "json")
    (member,) = json.loads(done(command))["members"]
    assert (member["name"], member["state"]) == ("left", "left")


def test_the_list_comes_from_the_first_address_that_answers(visit, agent, addresses):
    stock = agent("stock")
    nobody = addresses.address()
    with socket.create_server((addresses.ip(), 0)) as silent:
        mute = "{}:{}".format(*silent.getsockname())
        join = ("--join", f"{nobody},{mute}", "--join", stock.address)
        output = done(visit("members", *join, "--timeout", "60"))
        assert [line.split()[0] for line in output.splitlines()] == ["NAME", "stock"]
        # Sixteen addresses are asked at a time, so the last one is asked in a second round.
        silent.listen(32)
        join = ("--join", ",".join([mute] * 16), "--join", stock.address)
        output = done(visit("members", *join, "--timeout", "4"))
        assert [line.split()[0] for line in output.splitlines()] == ["NAME", "stock"]


def test_looks_and_visits_can_use_the_settings_file_of_a_running_member(
    visit, agent, tmp_path, addresses
):
    stock = agent("stock")
    config = tmp_path / "sprat.conf"
    with socket.create_server((addresses.ip(), 0)) as taken:
        port = "{}:{}".format(*taken.getsockname())
        own = f"name = stock\nbind = {stock.address}\nspoe_bind = {port}\nspoe_servers = role=web\n"
        own += "discover = prod\n"
        config.write_text(f"{own}seeds = {stock.address}\n")
        for command in ("members",), ("explain", "stock"):
            assert stock.address in done(visit(*command, "--config", str(config)))


def test_a_look_works_with_a_settings_file_that_allows_only_other_networks(visit, agent, tmp_path):
    stock = agent("stock")
    config = tmp_path / "sprat.conf"
    config.write_text(f"cidrs_allowed = 10.0.0.0/8\nbind = 10.0.0.1\nseeds = {stock.address}\n")
    output = done(visit("members", "--config", str(config)))
    assert [line.split()[0] for line in output.splitlines()] == ["NAME", "stock"]


def test_simultaneous_visits_have_different_names(visit, agent):
    stock = agent("stock")
    watchers = [visit("monitor", "--join", stock.address, "--initial", *QUICK) for _ in range(2)]
    for watcher in watchers:
        assert any(" stock " in line for line in watcher.stdout)
    assert sorted(visits(stock).values()) == ["alive", "alive"]
    for watcher in watchers:
        watcher.send_signal(signal.SIGTERM)
        done(watcher)
    all_left(stock)
    assert len(visits(stock)) == 2


def test_after_a_killed_visit_the_next_one_takes_another_name(visit, agent):
    stock = agent("stock")
    killed = visit("monitor", "--join", stock.address, "--initial")
    assert any(" stock " in line for line in killed.stdout)
    killed.kill()
    watcher = visit("monitor", "--join", stock.address, "--initial", *QUICK)
    assert any(" stock " in line for line in watcher.stdout)
    assert len(visits(stock)) == 2, "the agent lists the killed visit and the new one"
    watcher.send_signal(signal.SIGTERM)
    done(watcher)


def test_control_characters_in_names_and_tags_are_escaped(visit, agent):
    stock = agent("a\x1b]0;x\x07\tb\n漢é", "-tag", "t=\x1b[2J\x9b2J\u202eok")
    output = done(visit("members", "--join", stock.address, *QUICK))
    assert r"a\x1b]0;x\x07\tb\n漢é" in output
    assert r"t=\x1b[2J\x9b2J\u202eok" in output
    assert all(it.isprintable() or it == "\n" for it in output)
    output = done(visit("members", "--join", stock.address, "--format", "json", *QUICK))
    assert output.isascii()
    assert json.loads(output)["members"][0]["name"] == stock.name


def on_terminal(line, columns, **environment):
    """Return what a command writes to a terminal, and its exit code."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {**os.environ, "TERM": "xterm-256color", **environment}
    for size in ("COLUMNS", "LINES"):  # they would override the size of the terminal
        env.pop(size, None)
    with subprocess.Popen(line, stdin=slave, stdout=slave, stderr=slave, env=env) as process:
        os.close(slave)
        written = b""
        with contextlib.suppress(OSError):  # the terminal was closed
            while data := os.read(master, 65536):
                written += data
        os.close(master)
    return written.decode(), process.returncode


def plain(text):
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).replace("\r", "\n")


def test_only_a_terminal_gets_colours_and_folded_lines(visit, command, agent):
    stock = agent("stock", "-tag", f"long={'x' * 100}", "-tag", "list=a,b")
    line = [*command, "members", "--join", stock.address, *QUICK]
    written, code = on_terminal(line, 60)
    assert code == 0
    assert "\x1b[32malive\x1b[0m" in written
    assert "asking" in written  # on stderr
    assert "1 member: 1 alive" in written
    rows = [row.rstrip() for row in plain(written).splitlines()]
    assert max(map(len, rows)) <= 60
    assert "".join(rows).count("x") >= 100  # folded, not cut
    written, code = on_terminal(line, 40)
    assert f"{stock.address}  " in plain(written)
    written, code = on_terminal([*line, "--format", "json"], 60, NO_COLOR="1")
    assert code == 0
    assert not re.search(r"\x1b\[[0-9;]*m", written)
    output = done(visit("members", "--join", stock.address, *QUICK))
    assert f'list="a,b",long={"x" * 100}\n' in output
    assert "\x1b" not in output


def test_the_key_comes_from_a_file_or_the_environment(visit, cli, agent, tmp_path):
    stock = agent("stock", f"-encrypt={KEY}")
    file = tmp_path / "key"
    file.write_text(f"# of the cluster\n{KEY}\n")
    join = ("members", "--join", stock.address, *QUICK)
    assert "stock" in done(visit(*join, "--key-file", str(file)))
    # The command line wins over the environment.
    assert "stock" in done(visit(*join, "--key-file", str(file), SPRAT_KEY=OTHER_KEY))
    config = tmp_path / "sprat.conf"
    config.write_text(f"name = daemon\ntag.role = web\nencrypt = {KEY}\nseeds = {stock.address}\n")
    assert "stock" in done(visit("members", "--config", str(config), *QUICK))
    assert stock.members().keys().isdisjoint({"daemon"})
    for options, message in [
        ({"SPRAT_KEY": OTHER_KEY}, "key"),
        ({}, "the peer encrypts, and this node has no key"),
    ]:
        failed = cli(*join, **options)
        assert failed.returncode == 1
        assert failed.stderr.startswith(f"sprat: error: no node answered: {stock.address}: ")
        assert message in failed.stderr


def test_explain_probes_the_member_and_prints_the_result(visit, cli, agent, addresses):
    stock = agent("stock", "-tag", "role=web")
    output = done(visit("explain", "stock", "--join", stock.address, *QUICK))
    words = [line.split(maxsplit=1) for line in output.splitlines()]
    assert [it[0] for it in words] == ["member", "state", "last", "tags", "this"]
    assert words[0][1] == f"stock  {stock.address}"
    assert "datagram: answered" in words[2][1]
    assert "no answer" not in output
    printed = json.loads(
        done(visit("explain", "stock", "--join", stock.address, "--format=json", *QUICK))
    )
    assert printed.keys() == {"member", "explanation", "health"}
    assert printed["member"]["state"] == "alive"
    assert printed["explanation"]["probe"]["direct"] == "answered"
    assert printed["health"]["datagrams_work"] is True
    failed = cli("explain", "nobody", "--join", stock.address, "--bind", addresses.address(0))
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("sprat: error: there is no member 'nobody'")
    all_left(stock)


def test_explain_reports_a_member_that_does_not_answer(visit, agent):
    # With this profile, the agent does not declare the other one failed before the command asks.
    stock = agent("stock", "-profile=wan")
    other = agent("other", "-profile=wan", f"-join={stock.address}")
    other.sees("stock", "alive")
    other.process.send_signal(signal.SIGSTOP)
    printed = json.loads(
        done(visit("explain", "other", "--join", stock.address, "--format=json", *QUICK))
    )
    assert printed["member"]["state"] == "suspect"
    assert printed["explanation"]["accuser"].startswith("sprat-cli-")
    assert printed["explanation"]["time_left"] > 0
    probe = printed["explanation"]["probe"]
    assert (probe["direct"], probe["stream"], probe["rtt"]) == ("silent", "silent", None)
    other.process.send_signal(signal.SIGCONT)
    all_left(stock)


MILLISECOND = datetime.timedelta(milliseconds=1)


def next_event(watcher, kind):
    """Return the next event of this kind that a monitor prints in JSON.

    On a busy machine, a member may first be suspected and refute the suspicion. A failure of a
    member raises `LeaveSeenAsFailure`.
    """
    while True:
        event = json.loads(watcher.stdout.readline())
        if event["event"] == kind:
            return event
        if event["event"] == "member-failed":
            raise LeaveSeenAsFailure(event)
        assert event["event"] in ("member-suspect", "member-alive"), event


@retry_if_leave_is_lost
def test_monitor_prints_events_until_it_is_interrupted(visit, agent):
    stock = agent("stock", "-profile=local")
    watcher = visit("monitor", "--join", stock.address, "--format=json", "--initial", *QUICK)
    assert json.loads(watcher.stdout.readline())["member"]["name"] == "stock"
    begun = datetime.datetime.now(datetime.UTC)
    other = agent("other", "-tag", "a=b", f"-join={stock.address}")
    first = next_event(watcher, "member-join")
    assert (first["member"]["name"], first["member"]["tags"]) == ("other", {"a": "b"})
    ended = datetime.datetime.now(datetime.UTC)
    assert begun <= datetime.datetime.fromisoformat(first["time"]) + MILLISECOND
    assert datetime.datetime.fromisoformat(first["time"]) <= ended + MILLISECOND
    other.leave()
    second = next_event(watcher, "member-leave")
    assert (second["member"]["name"], second["member"]["state"]) == ("other", "left")
    watcher.send_signal(signal.SIGINT)
    assert done(watcher) == ""
    all_left(stock)


def test_monitor_prints_the_members_sorted_and_what_an_update_changed(visit, agent):
    names = ["m3", "m1", "m4", "m2"]
    first = agent(names[0], "-tag", "role=web", "-tag", "old=1", "-tag", "weight=10")
    for name in names[1:]:
        agent(name, f"-join={first.address}").sees(names[0], "alive")
    eventually("the first agent sees all members", lambda: len(first.members()) == len(names))
    formats = ("text", "json")
    watchers = {
        style: visit("monitor", "--join", first.address, "--initial", "--format", style, *QUICK)
        for style in formats
    }
    seen = {style: [watchers[style].stdout.readline() for _ in names] for style in formats}
    assert [line.split()[2] for line in seen["text"]] == sorted(names)
    events = [json.loads(line) for line in seen["json"]]
    assert [it["member"]["name"] for it in events] == sorted(names)
    assert {it["event"] for it in events} == {"member-join"}
    first.must("tags", "-delete", "old", "-set", "weight=20", "-set", "new=a,b")
    line = next(it for it in watchers["text"].stdout if " member-update " in it)
    assert line.rstrip().endswith(
        f'm3  {first.address}  new="a,b",role=web,weight=20  (+new="a,b", -old=1, weight: 10 -> 20)'
    )
    lines = map(json.loads, watchers["json"].stdout)
    event = next(it for it in lines if it["event"] == "member-update")
    assert event["before"]["tags"] == {"role": "web", "old": "1", "weight": "10"}
    assert event["member"]["tags"] == {"role": "web", "new": "a,b", "weight": "20"}
    for watcher in watchers.values():
        watcher.send_signal(signal.SIGTERM)
        watcher.communicate(timeout=90)
        assert watcher.returncode == 0


@retry_if_leave_is_lost
def test_monitor_prints_only_the_selected_kinds(visit, agent):
    stock = agent("stock")
    watcher = visit(
        "monitor", "--join", stock.address, "--event=member-leave,member-failed", *QUICK
    )
    eventually("the monitor has joined", lambda: "alive" in visits(stock).values())
    agent("other", f"-join={stock.address}").leave()
    line = watcher.stdout.readline()
    if "member-failed" in line:
        raise LeaveSeenAsFailure(line)
    assert re.match(r"\d\d:\d\d:\d\d\.\d{3}  member-leave    other  127\.", line)
    watcher.send_signal(signal.SIGHUP)
    done(watcher)


def test_monitor_ends_when_its_reader_is_gone(visit, agent):
    stock = agent("stock")
    watcher = visit("monitor", "--join", stock.address, "--initial")
    assert "stock" in watcher.stdout.readline()
    watcher.stdout.close()  # no event follows, so only the poll can notice this
    assert watcher.wait(60) == 0
    assert watcher.stderr.read() == ""
    all_left(stock)


def test_a_first_signal_does_not_interrupt_a_running_leave(visit, agent):
    stock = agent("stock")
    visitor = visit("explain", "stock", "--join", stock.address)
    leaves = {"leaving", "left"}
    eventually("the command has begun to leave", lambda: leaves & set(visits(stock).values()))
    visitor.send_signal(signal.SIGINT)
    assert "stock" in done(visitor)
    all_left(stock)


def test_members_ends_normally_when_its_reader_is_gone(visit, agent):
    stock = agent("stock")
    reader, writer = os.pipe()
    os.close(reader)
    lister = visit("members", "--join", stock.address, stdout=writer)
    os.close(writer)
    assert (lister.wait(60), lister.stderr.read()) == (0, "")


def test_a_name_in_use_is_refused_and_its_owner_stays_listed(visit, agent):
    stock, taken = agent("stock"), agent("taken")
    taken.join(stock.address)
    process = visit("explain", "stock", "--join", stock.address, "--name", "taken")
    output, errors = process.communicate(timeout=90)
    text = f'sprat: error: the name "taken" is in use by another node at {taken.address}\n'
    assert (process.returncode, output, errors) == (1, "", text)
    assert stock.members()["taken"]["status"] == "alive"
    assert stock.members()["taken"]["addr"] == taken.address


def test_a_name_listed_where_no_node_answers_is_a_warning_if_the_user_chose_it(visit, agent):
    stock = agent("stock")
    join = ("--join", stock.address, "--name", "chosen")
    killed = visit("monitor", *join, "--initial")
    assert any(" stock " in line for line in killed.stdout)
    address = stock.members()["chosen"]["addr"]
    killed.kill()
    process = visit("explain", "stock", *join, *QUICK)
    output, errors = process.communicate(timeout=90)
    assert (process.returncode, "datagram: answered" in output) == (0, True)
    text = f'members list the name "chosen" at {address}, where no node answers, and do not see'
    assert text in errors
    assert len(errors.splitlines()) == 1, errors


@retry_if_leave_is_lost
def test_explain_distinguishes_an_unknown_member_from_one_that_had_left(visit, agent):
    stock = agent("stock", "-profile=local")
    agent("gone", "-profile=local", f"-join={stock.address}").leave()
    sees_left(stock, "gone")
    for name, text in [
        ("nobody", "there is no member 'nobody'\n"),
        ("gone", f"{stock.address} lists member 'gone' as left, but not why; to learn why, call"),
    ]:
        process = visit("explain", name, "--join", stock.address, *QUICK)
        output, errors = process.communicate(timeout=90)
        assert (process.returncode, output) == (1, "")
        assert errors.startswith(f"sprat: error: {text}")


def test_a_visit_takes_another_name_if_a_host_of_the_same_name_visits(cli, agent, addresses):
    stock = agent("stock")
    twin = agent("sprat-cli-" + re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname()))
    twin.join(stock.address)
    bind = ("--bind", addresses.address(0))
    visit = cli("explain", "stock", "--join", stock.address, *bind, *QUICK)
    assert (visit.returncode, "stock" in visit.stdout) == (0, True), visit.stderr
    assert stock.members()[twin.name]["addr"] == twin.address


def test_a_full_disk_during_a_look_is_a_one_line_error(visit, agent):
    stock = agent("stock")
    with Path("/dev/full").open("w") as full:
        process = visit("members", "--join", stock.address, "--format", "json", stdout=full)
        _, errors = process.communicate(timeout=90)
    assert process.returncode == 1
    assert errors == "sprat: error: standard output: No space left on device\n"


@pytest.mark.parametrize("shadow", [signal.SIGINT, signal.SIGHUP], ids=lambda it: it.name)
def test_two_signals_at_once_still_let_a_visit_leave(visit, agent, shadow):
    stock = agent("stock")
    watcher = visit("monitor", "--join", stock.address, "--name", "watcher", "--initial")
    assert "member-join" in watcher.stdout.readline()  # its join has finished
    stock.sees("watcher", "alive")
    send_at_once(watcher, signal.SIGTERM, shadow)
    watcher.communicate(timeout=90)
    assert watcher.returncode == 0
    sees_left(stock, "watcher")


def test_a_visit_ignores_name_and_address_in_the_environment(visit, agent, addresses):
    stock = agent("stock")
    taken = {"SPRAT_BIND": stock.address, "SPRAT_ADVERTISE": stock.address, "SPRAT_NAME": "stock"}
    for command in ("members",), ("explain", "stock"):
        output = done(visit(*command, "--join", stock.address, **taken))
        assert stock.address in output


def test_a_monitor_ended_before_its_join_has_the_exit_code_of_the_signal(visit, addresses):
    with socket.socket() as mute:
        mute.bind((addresses.ip(), 0))
        mute.listen()
        watcher = visit("monitor", "--join", "{}:{}".format(*mute.getsockname()))
        asked, _ = mute.accept()
        with asked:
            watcher.send_signal(signal.SIGTERM)
            watcher.communicate(timeout=90)
        assert watcher.returncode == 128 + signal.SIGTERM
