"""What the tests share: addresses, serf agents, programs in a process of their own.

Everything stays on 127.0.0.0/8, is bounded in time, and ends with its test.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import sprat

PATIENCE = 75.0
"""Seconds for what must happen: a stock agent that gossip missed may need as long."""

QUICK = ("--profile", "local", "--set", "leave_propagate_ms=0")
"""Options of the command for nodes that need not wait for those of a LAN."""

_blocks = itertools.count(1)


def eventually(what: str, holds: Callable[[], Any], within: float = PATIENCE) -> Any:
    """Ask until it is true; its value then."""
    until = time.monotonic() + within
    while True:
        value = holds()
        if value:
            return value
        assert time.monotonic() < until, f"not within {within} s: {what}"
        time.sleep(0.05)


class Addresses:
    """Loopback addresses that no other test of this run uses, and hardly any other run."""

    def __init__(self) -> None:
        self._prefix = f"127.{100 + os.getpid() % 100}.{next(_blocks)}"
        self._hosts = itertools.count(1)

    def ip(self) -> str:
        return f"{self._prefix}.{next(self._hosts)}"

    def address(self, port: int = 7946) -> str:
        return f"{self.ip()}:{port}"


class Agent:
    """A `serf agent`, the stock one."""

    def __init__(self, folder: Path, ip: str, name: str, *options: str) -> None:
        self.name, self.address, self._rpc = name, f"{ip}:7946", f"{ip}:7373"
        serf = shutil.which("serf")
        assert serf, "the tests need serf: make test installs it"
        self._serf = serf
        self._log = folder / f"{name}.log"
        command = [serf, "agent", f"-node={name}", f"-bind={self.address}"]
        command += [f"-rpc-addr={self._rpc}", "-log-level=debug", *options]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        eventually(f"agent {name} answers", self._answers, 20)

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log()
        return self._ask("members").returncode == 0

    def _ask(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        line = [self._serf, command, f"-rpc-addr={self._rpc}", *arguments]
        return subprocess.run(line, capture_output=True, text=True, timeout=30, check=False)

    def must(self, command: str, *arguments: str) -> str:
        """Run a `serf` command on this agent."""
        done = self._ask(command, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr + self.log()
        return done.stdout

    def log(self) -> str:
        return self._log.read_text(errors="replace")[-8000:]

    def members(self) -> dict[str, dict[str, Any]]:
        """Its members by name: status, addr, tags."""
        told = json.loads(self.must("members", "-format=json"))
        return {member["name"]: member for member in told["members"]}

    def sees(self, name: str, status: str, within: float = PATIENCE) -> dict[str, Any]:
        """Wait until it sees a member in this state."""

        def seen() -> dict[str, Any] | None:
            member = self.members().get(name)
            return member if member and member["status"] == status else None

        found: dict[str, Any] = eventually(f"{self.name} sees {name} {status}", seen, within)
        return found

    def join(self, address: str) -> None:
        self.must("join", address)

    def leave(self) -> None:
        self.must("leave")
        self.process.wait(30)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)


class Program:
    """A Python program in a process of its own, with a deadline."""

    def __init__(self, process: subprocess.Popen[str], deadline: float) -> None:
        self.process, self._deadline = process, deadline

    def line(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout
        return self.process.stdout.readline().rstrip("\n")

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, expected: int = 0) -> str:
        """Wait for its end; what it printed (the rest of it), both streams together."""
        assert self.process.stdout
        # Not `communicate`: that would pass over what `line` has read ahead.
        limit = threading.Timer(self._deadline, self.process.kill)
        limit.start()
        output = self.process.stdout.read()
        code = self.process.wait()
        limit.cancel()
        limit.join()
        assert code == expected, output
        return output


def logged(running: Program, text: str) -> list[str]:
    """Read what it prints up to the line with this text; all of these lines."""
    lines: list[str] = []
    while not lines or text not in lines[-1]:
        lines.append(running.line())
        assert lines[-1], lines
    return lines


def threads() -> set[str]:
    """The threads of this process, by number."""
    return {it.name for it in Path("/proc/self/task").iterdir()}


def descriptors() -> dict[str, str]:
    """The open descriptors of this process, and what they are."""
    found = {}
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            found[entry.name] = str(entry.readlink())
    return found


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--switch-interval",
        type=float,
        help="seconds after which threads of Python take turns, for the whole run: 1e-6",
    )


def pytest_configure(config: pytest.Config) -> None:
    interval = config.getoption("--switch-interval")
    if interval is not None:
        sys.setswitchinterval(interval)


@pytest.fixture(scope="session", autouse=True)
def signals_are_heard() -> None:
    """Programs inherit what is ignored: a shell ignores Ctrl-C in the background, nohup SIGHUP."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_at_the_end(request: pytest.FixtureRequest) -> Iterator[None]:
    """No thread and no descriptor of a node outlives the run."""
    threads_before, descriptors_before = threads(), descriptors()
    yield
    for item in request.session.items:
        (vars(item).get("funcargs") or {}).clear()  # the last test still holds its node
    gc.collect()

    def left() -> list[str]:
        new = descriptors().items() - descriptors_before.items()
        return sorted(what for _, what in new if "eventfd" in what or "socket" in what)

    try:
        eventually("nothing is left", lambda: not left() and threads() <= threads_before, 10)
    except AssertionError:
        pytest.fail(f"left: {left()}, threads {threads() - threads_before}")


@pytest.fixture
def node(addresses: Addresses) -> Iterator[sprat.Node]:
    """A node of its own, closed at the end. That it has joined itself is waiting to be read."""
    with contextlib.closing(
        sprat.Node(name="ours", bind=addresses.address(), profile="local")
    ) as it:
        eventually("it has begun", lambda: it.stats()["events_waiting"], 10)
        yield it


@pytest.fixture
def addresses() -> Addresses:
    return Addresses()


@pytest.fixture
def agent(tmp_path: Path, addresses: Addresses) -> Iterator[Callable[..., Agent]]:
    """Start a stock agent: `agent(name, *options)`."""
    agents: list[Agent] = []

    def start(name: str, *options: str) -> Agent:
        agents.append(Agent(tmp_path, addresses.ip(), name, *options))
        return agents[-1]

    yield start
    for it in agents:
        with contextlib.suppress(ProcessLookupError):
            it.kill()


@pytest.fixture
def program() -> Iterator[Callable[..., Program]]:
    """Run Python code, or `command`, in a process: `program(code, *arguments)`."""
    running: list[Program] = []

    def start(
        code: str | None = None,
        *arguments: str,
        command: list[str] | None = None,
        deadline: float = 30.0,
        **environment: str,
    ) -> Program:
        line = command or [sys.executable, "-W", "error", "-c", textwrap.dedent(code or "")]
        process = subprocess.Popen(
            [*line, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        )
        running.append(Program(process, deadline))
        return running[-1]

    yield start
    for it in running:
        it.process.kill()
        it.process.communicate(timeout=10)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The console command, without settings from the environment of the tests."""
    for name in list(os.environ):
        if name.startswith(("SPRAT_", "NO_COLOR", "FORCE_COLOR", "NOTIFY_SOCKET")):
            monkeypatch.delenv(name)
    return [sys.executable, "-W", "error", "-m", "sprat"]


@pytest.fixture
def cli(command: list[str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the console command to its end: `cli("members", ..., NAME="value")`."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        line = [*command, *arguments]
        env = {**os.environ, **environment}
        return subprocess.run(
            line, capture_output=True, text=True, timeout=30, check=False, env=env
        )

    return run


@pytest.fixture
def run(
    command: list[str], addresses: Addresses, program: Callable[..., Program]
) -> Callable[..., Program]:
    """Start `sprat run`, which logs to the stream that `program` shows."""

    def start(*arguments: str, **options: Any) -> Program:
        line = [*command, "run", "--bind", addresses.address(), *QUICK, *arguments]
        return program(command=line, **options)

    return start
