"""The programs in examples/python, run unchanged, with warnings as errors."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import eventually, sees_left

import sprat

EXAMPLES = Path(__file__).parents[3] / "examples" / "python"

QUICK = ("--profile", "local")
"""Short timings, for tests without an agent; agents have the timings of a LAN."""


def load(name: str) -> ModuleType:
    """Import an example as a module."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def example(program) -> Callable[..., Any]:
    """Start an example: `example("leader", "--name", "a", ...)`."""

    def start(name: str, *arguments: str, **options: Any) -> Any:
        command = [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py"), *arguments]
        return program(command=command, **options)

    return start


def until(running: Any, wanted: str) -> list[str]:
    """Return the lines that a program prints, up to the line `wanted`."""
    lines: list[str] = []
    while wanted not in lines:
        line = running.line()
        assert line or running.process.poll() is None, lines
        lines.append(line)
    return lines


@contextlib.contextmanager
def requests(url: str) -> Iterator[list[str]]:
    """Send requests from three threads within the block; the list gets their answers."""
    answers: list[str] = []
    stop = threading.Event()

    def request() -> None:
        while not stop.wait(0.01):
            try:
                with urllib.request.urlopen(url, timeout=60) as answer:
                    answers.append(answer.read().decode())
            except OSError as error:
                answers.append(repr(error))

    threads = [threading.Thread(target=request) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_the_web_server_loses_no_request_on_sigterm(agent, addresses, example):
    stock = agent("balancer")
    ip = addresses.ip()
    options = ["--name", "web", "--bind", ip, "--port", "0", "--grace", "3"]
    server = example("web_server", *options, stock.address)
    port = server.line().split()[-1]
    assert stock.sees("web", "alive")["tags"] == {"role": "backend", "port": port}
    with requests(f"http://{ip}:{port}/") as answers:
        eventually("requests are answered", lambda: len(answers) > 20)
        server.send(signal.SIGTERM)
        sees_left(stock, "web")
        seen = len(answers)
        eventually("requests are answered after the leave", lambda: len(answers) > seen + 3)
        assert server.process.poll() is None
    assert set(answers) == {"hello\n"}
    assert server.end() == "leaving\nclosing\n"


def test_the_web_server_finishes_a_running_request(addresses, example):
    ip = addresses.ip()
    server = example("web_server", "--bind", ip, "--port", "0", "--grace", "0", *QUICK)
    port = int(server.line().split()[-1])
    with socket.create_connection((ip, port), timeout=60) as slow:
        slow.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
        # Once the server answers a later request, it has accepted the slow request.
        with urllib.request.urlopen(f"http://{ip}:{port}/", timeout=60) as answer:
            assert answer.read() == b"hello\n"
        server.send(signal.SIGINT)
        until(server, "closing")
        assert slow.makefile().read().endswith("hello\n")
    assert server.end() == ""


@pytest.mark.parametrize("name", ["service", "web_server"])
@pytest.mark.parametrize(("bind", "host"), [("[::1]:0", "::1"), ("127.0.0.1:0", "127.0.0.1")])
def test_an_example_serves_at_the_host_of_its_bind_address(example, name, bind, host):
    server = example(name, "--bind", bind, "--port", "0", "--name", "ours", *QUICK)
    port = int(server.line().split()[-1])
    with socket.create_connection((host, port), timeout=60):
        pass
    server.send(signal.SIGTERM)
    assert "leaving\n" in server.end()


@pytest.mark.parametrize("name", ["service", "web_server"])
def test_the_host_of_an_address_is_found_in_every_form_that_bind_takes(name):
    host_of = load(name).host_of
    forms = {
        "10.0.0.7": "10.0.0.7",
        "10.0.0.7:7946": "10.0.0.7",
        "::": "::",
        "fd00::7": "fd00::7",
        "[::]": "::",
        "[::]:7946": "::",
        "[fd00::7]:7946": "fd00::7",
        ":7946": "",
    }
    assert {address: host_of(address) for address in forms} == forms


def test_a_tag_without_a_key_is_a_usage_error_of_the_watcher(example):
    watcher = example("watcher", "--bind", "127.0.0.1:0", "--tag", "=x", "true")
    assert watcher.end(2).endswith("error: argument --tag: '=x' is not KEY=VALUE\n")


def test_the_service_lists_the_members_and_leaves(agent, addresses, example):
    ip = addresses.ip()
    ours = addresses.ip()
    # The service starts before the agent that it joins.
    service = example("service", "--name", "service", "--bind", ours, "--port", "0", f"{ip}:7946")
    port = int(service.line().split()[-1])

    def listed() -> list[str]:
        with socket.create_connection((ours, port), timeout=60) as connection:
            return connection.makefile().read().splitlines()

    assert listed() == [f"service {ours}:7946"]
    stock = agent("stock", f"-bind={ip}:7946")
    both = [f"service {ours}:7946", f"stock {ip}:7946"]
    eventually("the service lists the agent", lambda: listed() == both)
    assert stock.sees("service", "alive")["tags"] == {"role": "service"}
    joined = [f"member-join {line}" for line in both]
    assert until(service, joined[-1]) == joined
    service.send(signal.SIGTERM)
    assert service.end() == "leaving\n"
    sees_left(stock, "service")


# Appends the SERF_ variables and the input of a handler to a file.
HANDLER = """\
import os, sys
given = {name: value for name, value in os.environ.items() if name.startswith("SERF_")}
open(sys.argv[1], "a").write(repr((given, sys.stdin.buffer.read())) + "\\n")
"""


def runs(path: Path) -> list[tuple[dict[str, str], list[bytes]]]:
    """Return the environment and the fields, with sorted tags, of each line of a script's input."""
    found = []
    for text in path.read_text().splitlines() if path.exists() else ():
        environment, lines = eval(text)
        assert lines.endswith(b"\n"), lines
        for line in lines.splitlines():
            *fields, tags = line.split(b"\t")
            found.append((dict(environment), [*fields, *sorted(tags.split(b","))]))
    return found


def test_a_script_gets_the_same_input_from_the_watcher_as_from_an_agent(
    agent, addresses, example, tmp_path
):
    script = tmp_path / "handler.py"
    script.write_text(HANDLER)
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    outputs = [folder / "agent", folder / "watcher"]
    lines = [shlex.join([sys.executable, str(script), str(path)]) for path in outputs]
    own = {"role": "lb", "odd-tag.x": "a\tb=c", "größe": "5"}
    settings = [f"{key}={value}" for key, value in own.items()]
    stock = agent("stock", f"-event-handler={lines[0]}", *(f"-tag={it}" for it in settings))
    bind = addresses.ip()
    tags = [word for it in settings for word in ("--tag", it)]
    ours = example("watcher", *tags, "--name", "ours", "--bind", bind, lines[1], stock.address)
    stock.sees("ours", "alive")
    odd = {"role": "a\tb", "port": "80", "text": "x\\y\nz,w=v"}
    with sprat.Node(name="third", bind=addresses.address(), tags=odd) as node:
        node.join(stock.address)

        def both(name: bytes, *kinds: str) -> bool:
            seen = [kinds_of(path, name) for path in outputs]
            if "member-leave" in kinds and any("member-failed" in it for it in seen):
                pytest.fail(f"a leave is seen as a failure: {seen}")
            return all(it == list(kinds) for it in seen)

        def kinds_of(path: Path, name: bytes) -> list[str]:
            return [it["SERF_EVENT"] for it, fields in runs(path) if fields[0] == name]

        fourth = sprat.Node(name="fourth", bind=addresses.address())
        fourth.join(stock.address)
        eventually("both scripts ran for the join", lambda: both(b"third", "member-join"))
        eventually("both scripts ran for the other join", lambda: both(b"fourth", "member-join"))
        fourth.close()
        del node.tags["role"]
        changed = ("member-join", "member-update")
        eventually("both scripts ran for the change", lambda: both(b"third", *changed))
    eventually("both scripts ran for the leave", lambda: both(b"third", *changed, "member-leave"))
    failed = ("member-join", "member-failed")
    eventually("both scripts ran for the failure", lambda: both(b"fourth", *failed))
    ours.send(signal.SIGTERM)
    assert ours.end() == ""
    from_agent, from_watcher = (
        sorted((it for it in runs(path) if it[1][0] in (b"third", b"fourth")), key=repr)
        for path in outputs
    )
    for environment, _ in from_agent:
        assert environment.pop("SERF_SELF_NAME") == "stock"
    for environment, _ in from_watcher:
        assert environment.pop("SERF_SELF_NAME") == "ours"
    assert from_watcher == from_agent
    assert len(from_watcher) == 5
    assert b"a\\tb" in {fields[2] for _, fields in from_watcher}


def test_the_next_member_leads_after_the_leader_is_killed_and_a_single_member_does_not_act(
    addresses, example
):
    places = {name: addresses.address() for name in "abc"}
    options = ["--settle", "3", *QUICK, *places.values()]
    nodes = {
        name: example("leader", "--name", name, "--bind", address, *options)
        for name, address in places.items()
    }
    for node in nodes.values():
        until(node, "a leads 3")
    until(nodes["a"], "acting")
    nodes["a"].process.kill()
    for name in "bc":
        assert "acting" not in until(nodes[name], "b leads 2")
    until(nodes["b"], "acting")
    nodes["b"].process.kill()
    # A single member cannot know which side is cut off: it must report that it is isolated, and
    # must not act.
    assert "acting" not in until(nodes["c"], "isolated: no member leads here")
    nodes["c"].send(signal.SIGTERM)
    # The last member may still list the killed one, which does not acknowledge the leave.
    assert re.fullmatch(r"(c: this node has left, .* failed: b\n)?", nodes["c"].end())


def test_too_few_members_have_no_leader(addresses, example):
    places = [addresses.address() for _ in range(2)]
    few = "1 of at least 2 members: no member leads here"
    options = ["--at-least", "2", *QUICK, *places]
    first = example("leader", "--name", "a", "--bind", places[0], *options)
    until(first, few)
    second = example("leader", "--name", "b", "--bind", places[1], *options)
    until(first, "a leads 2")
    until(second, "a leads 2")
    first.send(signal.SIGTERM)
    until(second, few)
    first.end()
    second.send(signal.SIGINT)
    second.end()


def test_only_the_keys_of_a_lost_member_move():
    ring = load("ring").Ring
    keys = [f"key-{number}" for number in range(5000)]
    names = ["a", "b", "c", "d", "e"]
    before = {key: ring(names).owner(key) for key in keys}
    counts = [list(before.values()).count(name) for name in names]
    assert all(800 < count < 1200 for count in counts), counts
    after = {key: ring(name for name in names if name != "c").owner(key) for key in keys}
    moved = {key for key in keys if before[key] != after[key]}
    assert moved == {key for key in keys if before[key] == "c"}
    assert {after[key] for key in moved} == {"a", "b", "d", "e"}
    # The order of the names does not matter, and the second owner takes over.
    assert {key: ring(reversed(names)).owner(key) for key in keys} == before
    assert all(ring(names).owners(key, 2)[1] == after[key] for key in moved)
    assert ring([]).owner("key") is None
    assert ring(["a"]).owners("key", 3) == ["a"]


def test_members_agree_on_owners_and_move_the_keys_of_a_member_that_left(addresses, example):
    ring = load("ring").Ring
    keys = [f"key-{number}" for number in range(20)]
    wanted = [word for key in keys for word in ("--key", key)]
    places = {name: addresses.address() for name in "abc"}
    nodes = {
        name: example("ring", "--name", name, "--bind", address, *QUICK, *wanted, *places.values())
        for name, address in places.items()
    }

    def follow(node: Any, names: str, owners: dict[str, str]) -> None:
        """Read the moves until every key has the owner that a ring of these names gives it."""
        final = {key: ring(names).owner(key) for key in keys}
        while owners != final:
            line = node.line().split()
            assert line, (names, owners)
            owners[line[0]] = line[-1]

    seen: dict[str, dict[str, str]] = {name: {} for name in nodes}
    for name, node in nodes.items():
        follow(node, "abc", seen[name])
    nodes["a"].send(signal.SIGTERM)
    for name in "bc":
        follow(nodes[name], "bc", seen[name])
    nodes["a"].end()
    for name in "bc":
        nodes[name].send(signal.SIGINT)
        nodes[name].end()


def test_a_chat_shows_the_lines_of_all_members_and_of_agents(agent, addresses, example, tmp_path):
    said = tmp_path / "said"
    stock = agent("stock", f"-event-handler=user:chat=cat >> {said}")
    names = ("--name", "ann", "--bind", addresses.address())
    ann = example("chat", *names, stock.address, stdin=subprocess.PIPE)
    until(ann, "* stock is here")
    stock.sees("ann", "alive")
    ann.tell("hello")
    until(ann, "ann: hello")
    eventually("the agent gets the line", lambda: said.exists())
    eventually("the line is written", lambda: said.read_text() == "ann: hello\n")
    stock.must("event", "-coalesce=false", "chat", "bob: \x1b[31mhi")
    until(ann, r"bob: \x1b[31mhi")
    ann.tell("x" * 600)
    until(ann, "* this line is too long")
    ann.tell("one\ntwo")
    until(ann, "ann: one")
    until(ann, "ann: two")
    ann.end_input()
    ann.end()
    sees_left(stock, "ann")


def test_a_map_that_was_changed_on_both_sides_of_a_split_becomes_one(addresses, example):
    binds = {name: addresses.address() for name in "abc"}

    def start(name: str, *seeds: str) -> Any:
        names = ("--name", name, "--bind", binds[name])
        return example("kv", *names, *QUICK, *seeds, stdin=subprocess.PIPE)

    def shows(member: Any, expected: str) -> None:
        def is_shown() -> bool:
            member.tell("all")
            return member.line() == expected

        eventually("the members have one map", is_shown)

    a, b = start("a"), start("b", binds["c"])
    a.tell("set colour red")
    a.tell("set size 5")
    a.tell("del size")
    b.tell("set colour blue")
    b.tell("set shape round and flat")
    c = start("c", binds["a"])
    for member in (a, b, c):
        shows(member, '{"colour": "blue", "shape": "round and flat"}')
    # The member that has deleted the key knows its newest version, so its change counts. Another
    # member may not have heard of the deletion yet.
    a.tell("set size 7")
    for member in (a, b, c):
        shows(member, '{"colour": "blue", "shape": "round and flat", "size": "7"}')
        member.tell("get colour")
        assert member.line() == "blue"
    for member in (a, b, c):
        member.end_input()
        member.end()


def test_a_member_that_was_cut_off_brings_its_changes_and_gets_those_of_the_others(
    addresses, example
):
    binds = [addresses.address() for _ in "ab"]
    a, b = (
        example("kv", "--name", name, "--bind", bind, *QUICK, *binds[:1], stdin=subprocess.PIPE)
        for name, bind in zip("ab", binds, strict=True)
    )

    def shows(member: Any, expected: str) -> None:
        def is_shown() -> bool:
            member.tell("all")
            return member.line() == expected

        eventually("the members have one map", is_shown)

    a.tell("set colour red")
    shows(b, '{"colour": "red"}')
    with sprat.Node(
        name="watcher", bind=addresses.address(), profile="local", mode="memberlist"
    ) as watcher:
        watcher.join(binds[0])
        eventually("the watcher knows b", lambda: "b" in watcher.members().names())
        b.send(signal.SIGSTOP)  # it can neither send nor receive, like a host without a network
        eventually("b has failed", lambda: "b" not in watcher.members().names())
        a.tell("set colour blue")
        a.tell("set size 5")
        b.tell("set shape round")  # b reads this before it hears from a
        b.send(signal.SIGCONT)
        for member in (a, b):
            shows(member, '{"colour": "blue", "shape": "round", "size": "5"}')
    for member in (a, b):
        member.end_input()
        member.end()


@pytest.fixture
def hosts(addresses, example) -> list[str]:
    """Start deploy.py on two web servers and a database; return their addresses."""
    first, roles = addresses.address(), {"web-1": "web", "web-2": "web", "db-1": "db"}
    binds = [first, addresses.address(), addresses.address()]
    for (name, role), bind in zip(roles.items(), binds, strict=True):
        options = ("--name", name, "--tag", f"role={role}", "--bind", bind, *QUICK)
        example("deploy", "serve", *options, *binds[:1])
    with contextlib.closing(sprat.Node(bind=addresses.address(), profile="local")) as node:

        def know_each_other() -> bool:
            with contextlib.suppress(sprat.Error):
                node.join(first)
            return {*roles} <= {*node.members().names()}

        eventually("the hosts know each other", know_each_other)
        node.leave()
    return binds


def test_an_order_runs_on_the_tagged_hosts_and_each_answers(addresses, example, hosts):
    def order(command: str, role: str = "web") -> Any:
        options = ("--tag", f"role={role}", "--bind", addresses.address(), *QUICK)
        return example("deploy", "run", *options, command, *hosts[:1])

    lines = order("echo it is done").end(0).splitlines()
    assert sorted(lines[:-1]) == ["it is done", "it is done", "web-1: ok", "web-2: ok"]
    assert lines[-1] == "2 hosts, 0 failed"
    lines = order("printf 'no\\033[31m'; exit 3", "db").end(1).splitlines()
    assert lines == ["db-1: status 3", r"no\x1b[31m", "1 hosts, 1 failed"]
    assert order("true", "mail").end(1) == "no host has the tag role=mail\n"


def test_a_bar_on_the_terminal_counts_the_answers(capsys, monkeypatch):
    deploy = load("deploy")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    progress = deploy.Progress(2)
    progress.answer("web-1: ok")
    progress.close("2 hosts, 0 failed")
    printed = capsys.readouterr().out
    empty, half = "-" * 30, "#" * 15 + "-" * 15
    assert printed == (
        f"[{empty}] 0 of 2\r\x1b[Kweb-1: ok\n[{half}] 1 of 2\r\x1b[K2 hosts, 0 failed\n"
    )
