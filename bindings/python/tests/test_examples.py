"""Each program in examples/python runs as it stands, among others and beside stock agents."""

from __future__ import annotations

import collections
import contextlib
import importlib.util
import re
import signal
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import sprat

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "python"

TERM = signal.SIGTERM


def eventually(what, holds, within=75.0):
    """Ask until it is true."""
    until = time.monotonic() + within
    while not holds():
        assert time.monotonic() < until, f"not within {within} s: {what}"
        time.sleep(0.05)


@pytest.fixture
def example(program):
    """Start an example: `example("ring", "--name", ...)`."""

    def start(name, *arguments):
        command = [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py")]
        return program(None, *arguments, command=command)

    return start


class Printed:
    """The lines that a program prints, read on a thread."""

    def __init__(self, program):
        self.lines = []
        self._thread = threading.Thread(target=self._read, args=(program.process.stdout,))
        self._thread.daemon = True
        self._thread.start()

    def _read(self, stream):
        with contextlib.suppress(ValueError):  # closed by the end of the test
            for line in stream:
                self.lines.append(line.rstrip("\n"))

    def has(self, line, within=30):
        eventually(f"it prints {line!r} after {self.lines}", lambda: line in self.lines, within)

    def last(self, pattern, within=30):
        def fits():
            return self.lines and re.fullmatch(pattern, self.lines[-1])

        eventually(f"{pattern!r} is last of {self.lines}", fits, within)


def ends_well(program, number=TERM):
    program.send(number)
    assert program.process.wait(20) == 0


class Balancer:
    """What a load balancer does: it follows the backends, and sends requests to those it knows."""

    def __init__(self, node, ips):
        self.node, self.ips = node, ips
        self.answers, self.failures = collections.Counter(), []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(4)]
        for thread in self._threads:
            thread.start()

    def _ask(self):
        turn = 0
        while not self._stop.is_set():
            members = self.node.members(role="backend")
            turn += 1
            if not members:
                time.sleep(0.01)
                continue
            member = members[turn % len(members)]
            url = f"http://{self.ips[member.name]}:{member.tags['port']}/"
            try:
                with urllib.request.urlopen(url, timeout=10) as answer:
                    self.answers[answer.read().decode().strip()] += 1
            except OSError as error:
                self.failures.append((member.name, error))

    def end(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(15)


def test_web_server_leaves_without_losing_a_request(example, addresses, agent):
    stock = agent("stock")
    ips = {name: addresses.ip() for name in ("web-1", "web-2")}
    web = {}
    for name, ip in ips.items():
        web[name] = example(
            "web_server", "--name", name, "--http", f"{ip}:0", "--bind", f"{ip}:7946",
            "--seed", stock.address, "--work", "0.3",
        )  # fmt: skip
        assert web[name].line().startswith(f"{name} serves on {ip}:")
    with sprat.Node(name="balancer", bind=addresses.address(), seeds=[stock.address]) as node:
        balancer = Balancer(node, ips)
        try:
            eventually("both answer", lambda: len(balancer.answers) == 2)
            web["web-1"].send(TERM)
            assert web["web-1"].end() == "web-1 has left\n"
            assert node.member("web-1").state == "left"
            before = balancer.answers["web-2"]
            eventually("the other goes on", lambda: balancer.answers["web-2"] > before + 4)
        finally:
            balancer.end()
        assert balancer.failures == []
    assert stock.members()["web-1"]["status"] == "left"
    ends_well(web["web-2"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_service_follows_the_members_and_leaves(example, addresses, agent, number):
    later = addresses.address()  # the first is there before its seed is
    first = addresses.address()
    one = example("service", "--name", "one", "--bind", first, "--seed", later)
    seen = Printed(one)
    seen.has("works on part 1 of 1")
    two = example("service", "--name", "two", "--bind", later)
    seen.has("member-join two")
    seen.has("works on part 1 of 2")
    stock = agent("stock")
    stock.join(first)
    seen.has("member-join stock")
    ends_well(two, number)
    seen.has("member-leave two")
    seen.last("works on part 1 of 1")
    ends_well(one, number)
    assert "has left" in seen.lines
    assert stock.sees("one", "left")


DUMP = """\
#!/bin/sh
# Appends to a file what a handler is given.
{ env | grep ^SERF_ | sort; echo; cat; echo; echo end; } >> "$1"
"""


def handled(path):
    """What a script was given: pairs of the environment and one line, tags in order."""
    found = set()
    text = path.read_text() if path.exists() else ""
    for part in text.split("\nend\n")[:-1]:
        environment, _, lines = part.partition("\n\n")
        for line in lines.strip("\n").split("\n"):
            *fields, tags = line.split("\t")
            found.add((environment, *fields, ",".join(sorted(tags.split(",")))))
    return found


def test_watcher_gives_a_script_what_a_serf_agent_gives_it(example, addresses, agent, tmp_path):
    script = tmp_path / "dump.sh"
    script.write_text(DUMP)
    script.chmod(0o755)
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    own_tags = {"role": "eye", "we-ird.k": "x\ty, z"}
    options = [f"-tag={key}={value}" for key, value in own_tags.items()]
    # Both have the same name in clusters of their own: the environments must be equal.
    stock = agent("eye", f"-event-handler={script} {theirs}", *options)
    address = addresses.address()
    tags = [word for key, value in own_tags.items() for word in ("--tag", f"{key}={value}")]
    watcher = example(
        "watcher", "--name", "eye", "--bind", address, *tags,
        "--handler", f"member-join,member-leave,member-failed,member-update={script} {ours}",
        "--handler", "member-join=exit 3", "--profile", "local",
    )  # fmt: skip
    told = Printed(watcher)

    ips = {name: addresses.ip() for name in ("web", "db", "plain")}
    other = {name: addresses.ip() for name in ips}
    with ThreadPoolExecutor(2) as pool:
        plays = [pool.submit(play, ips, stock.address, theirs)]
        plays.append(pool.submit(play, other, address, ours))
        for it in plays:
            it.result()
    same_place = {stock.address.split(":")[0]: "eye", address.split(":")[0]: "eye"}
    same_place |= {ip: name for them in (ips, other) for name, ip in them.items()}
    expected, given = comparable(theirs, same_place), comparable(ours, same_place)
    assert {kind for kind, *_ in given} == KINDS
    assert given == expected
    ends_well(watcher)
    assert any(it[0] == "member-leave" and it[2] == "eye" for it in comparable(ours, same_place))
    told.has("exit 3: ended with 3")


KINDS = {"member-join", "member-leave", "member-failed", "member-update"}


def comparable(path, places):
    """What a script was given, by kind, with names in place of addresses."""

    def kind(environment):
        return re.search("^SERF_EVENT=(.*)", environment, re.M)[1]

    return {(kind(e), e, n, places[ip], *rest) for e, n, ip, *rest in handled(path)}


def play(ips, eye, path):
    """Members come, change, fail and leave; each is waited for in what the script was given."""

    def saw(kind, name):
        def seen():
            return any(f"SERF_EVENT={kind}" in e and n == name for e, n, *_ in handled(path))

        eventually(f"{kind} {name} in {path}", seen)

    def node(name, **tags):
        return sprat.Node(
            name=name, bind=f"{ips[name]}:7946", seeds=[eye], profile="local", tags=tags
        )

    with node("plain"), node("db", role="db") as db, node("web", role="web", zone="eu\tx") as web:
        for name in ips:
            saw("member-join", name)
        web.tags.update(zone="us", more="line\nend")
        saw("member-update", "web")
        db.close()
        saw("member-failed", "db")
    saw("member-leave", "web")
    saw("member-leave", "plain")


@pytest.fixture
def candidates(example, addresses):
    """Start `leader` under these names, in this order: the programs and what they print."""

    def start(names):
        binds = {name: addresses.address() for name in names}
        programs, seen = {}, {}
        for name in names:
            seeds = [word for it in names if it != name for word in ("--seed", binds[it])]
            programs[name] = example(
                "leader", "--name", name, "--bind", binds[name], "--profile", "local", *seeds
            )
            seen[name] = Printed(programs[name])
        return programs, seen

    return start


def test_leader_is_agreed_on_and_followed_by_the_next(candidates):
    programs, seen = candidates("cab")  # the order does not matter
    seen["a"].last("leads")
    seen["b"].last("follows a")
    seen["c"].last("follows a")
    ends_well(programs["a"])
    seen["b"].last("leads")
    seen["c"].last("follows b")


def test_leader_refuses_without_most_of_the_members(candidates):
    programs, seen = candidates("ab")
    seen["b"].last("follows a")
    programs["a"].process.kill()
    seen["b"].last("refuses to lead: .*")  # one of two is not most of them
    assert "leads" not in seen["b"].lines[seen["b"].lines.index("follows a") :]


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_ring_moves_only_the_keys_of_a_lost_member():
    ring = load("ring")
    members = [sprat.Member(f"cache-{n}", f"10.0.0.{n}:7946") for n in range(1, 6)]
    keys = [f"user:{n}" for n in range(2000)]
    before = {key: ring.owner(key, members).name for key in keys}
    after = {key: ring.owner(key, members[1:]).name for key in keys}
    moved = {key for key in keys if before[key] != after[key]}
    assert moved == {key for key in keys if before[key] == "cache-1"}
    shares = collections.Counter(after[key] for key in moved)
    assert len(shares) == 4
    assert all(300 < count < 500 for count in collections.Counter(before.values()).values())
    assert ring.owner("user:1", []) is None


def test_ring_is_the_same_everywhere(example, addresses):
    ring = load("ring")
    binds = {name: addresses.address() for name in ("one", "two", "three")}
    keys = [f"key-{n}" for n in range(12)]

    def expected(*names):
        members = [sprat.Member(name, binds[name]) for name in names]
        return " ".join(f"{key}={ring.owner(key, members).name}" for key in keys)

    programs, seen = {}, {}
    for name, bind in binds.items():
        seeds = [word for it in binds.values() if it != bind for word in ("--seed", it)]
        programs[name] = example(
            "ring", "--name", name, "--bind", bind, "--profile", "local", *seeds, *keys
        )
        seen[name] = Printed(programs[name])
    for it in seen.values():
        it.last(expected("one", "two", "three"))
    ends_well(programs["three"])
    for name in ("one", "two"):
        seen[name].last(expected("one", "two"))
