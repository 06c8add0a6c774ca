"""Helpers of the tests: addresses, serf agents, programs in processes of their own.

All agents and programs use addresses of 127.0.0.0/8 and end with their test. Where possible, a test
waits for a condition and not for a fixed time, up to a deadline that also suits a busy machine.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cluster
import pytest
from cluster import Addresses, Agent, eventually

import sprat

QUICK = ("--profile", "local", "--set", "leave_propagate_ms=0")
"""Options of the command for short timings, because every member is on this machine."""

USE_UP_DESCRIPTORS = """
import os, resource
def use_up_descriptors():
    held = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    try:
        while True:
            held.append(os.dup(0))
    except OSError:
        return held
"""
"""A function for programs of tests: it opens descriptors until no more can be opened."""


class LeaveSeenAsFailure(AssertionError):  # noqa: N818 - a state, not an error of the test
    """An agent that left is listed as failed."""


def retry_if_leave_is_lost(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test again, at most twice, if the leave of an agent was seen as a failure.

    An agent only gossips its leave. On a busy machine an observer may miss the leave and then see a
    member that does not answer: Serf's protocol allows that.
    """

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        for _ in range(2):
            with contextlib.suppress(LeaveSeenAsFailure):
                test(*arguments, **named)
                return
        test(*arguments, **named)

    return run


def sees_left(agent: Agent, name: str) -> None:
    """Wait until an agent lists a member as left.

    Raises `LeaveSeenAsFailure` at once if the agent lists the member as failed.
    """

    def has_left() -> bool:
        status = agent.members().get(name, {}).get("status")
        if status == "failed":
            raise LeaveSeenAsFailure(f"{agent.name} lists {name} as failed")
        return bool(status == "left")

    eventually(f"{agent.name} sees {name} leave", has_left)


class Program:
    """A Python program in a process of its own, with a deadline."""

    def __init__(self, process: subprocess.Popen[str], deadline: float) -> None:
        self.process, self._deadline = process, deadline

    def line(self) -> str:
        """Return the next line that the program prints."""
        assert self.process.stdout
        return self.process.stdout.readline().rstrip("\n")

    def tell(self, line: str) -> None:
        """Write a line to the standard input of a program that was started with `stdin=PIPE`."""
        assert self.process.stdin
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def end_input(self) -> None:
        """Close the standard input of a program that was started with `stdin=PIPE`."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.stdin = None  # `communicate` would flush it

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, expected: int = 0) -> str:
        """Wait for the program to end. Return the rest of its output, both streams together."""
        assert self.process.stdout
        # `communicate` would miss the data that `line` has read ahead.
        limit = threading.Timer(self._deadline, self.process.kill)
        limit.start()
        output = self.process.stdout.read()
        code = self.process.wait()
        limit.cancel()
        limit.join()
        assert code == expected, output
        return output


def send_at_once(process: subprocess.Popen[str], *numbers: signal.Signals) -> None:
    """Send signals that the process receives together, because it is stopped until all are sent."""
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)
    for number in numbers:
        process.send_signal(number)
    process.send_signal(signal.SIGCONT)


def logged(running: Program, text: str) -> list[str]:
    """Return the lines that a program prints, up to the first one with this text."""
    lines: list[str] = []
    while not lines or text not in lines[-1]:
        lines.append(running.line())
        assert lines[-1], lines
    return lines


def bound_address(running: Program) -> str:
    """Return the address that `sprat run` listens on."""
    arguments: Any = running.process.args
    return str(arguments[arguments.index("--bind") + 1])


def threads() -> set[str]:
    """Return the numbers of the threads of this process."""
    return {it.name for it in Path("/proc/self/task").iterdir()}


def descriptors() -> dict[str, str]:
    """Return the open descriptors of this process, and their targets."""
    found = {}
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the descriptor of the listing itself
            found[entry.name] = str(entry.readlink())
    return found


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--switch-interval",
        type=float,
        help="the switch interval of Python threads in seconds for the whole run, such as 1e-6",
    )


def pytest_configure(config: pytest.Config) -> None:
    interval = config.getoption("--switch-interval")
    if interval is not None:
        sys.setswitchinterval(interval)


@pytest.fixture(scope="session", autouse=True)
def signals_are_not_ignored() -> None:
    """Reset signals: a shell ignores SIGINT in background jobs, nohup ignores SIGHUP."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def nothing_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Check that no thread and no descriptor of a node outlives the run."""
    threads_before, descriptors_before = threads(), descriptors()
    yield
    for item in request.session.items:
        (vars(item).get("funcargs") or {}).clear()  # the last test still holds its node
    while cluster._claims:
        cluster._claims.pop().close()  # the addresses of this run
    gc.collect()

    def left() -> list[str]:
        new = descriptors().items() - descriptors_before.items()
        return sorted(it for _, it in new if "eventfd" in it or "socket" in it)

    try:
        eventually("nothing is left", lambda: not left() and threads() <= threads_before)
    except AssertionError:
        pytest.fail(f"left: {left()}, threads {threads() - threads_before}")


@pytest.fixture
def node(addresses: Addresses) -> Iterator[sprat.Node]:
    """A node that is closed at the end. The event of its own join is waiting to be read."""
    with contextlib.closing(
        sprat.Node(name="ours", bind=addresses.address(), profile="local")
    ) as it:
        eventually("the node's own join is queued", lambda: it.stats()["events_waiting"])
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
        deadline: float = 90.0,
        stdin: int = subprocess.DEVNULL,
        **environment: str,
    ) -> Program:
        line = command or [sys.executable, "-W", "error", "-c", textwrap.dedent(code or "")]
        process = subprocess.Popen(
            [*line, *arguments],
            stdin=stdin,
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
        it.process.communicate(timeout=90)


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
            line, capture_output=True, text=True, timeout=90, check=False, env=env
        )

    return run


@pytest.fixture
def run(
    command: list[str], addresses: Addresses, program: Callable[..., Program]
) -> Callable[..., Program]:
    """Start `sprat run`; its log is the output of the program."""

    def start(*arguments: str, **options: Any) -> Program:
        line = [*command, "run", "--bind", addresses.address(), *QUICK, *arguments]
        return program(command=line, **options)

    return start
