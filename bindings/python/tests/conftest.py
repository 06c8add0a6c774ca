"""What the tests share: addresses, serf agents, programs in a process of their own.

Everything stays on 127.0.0.0/8, is bounded in time, and ends with its test.
"""

from __future__ import annotations

import contextlib
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

import pytest
from cluster import Addresses, Agent, eventually

import sprat

QUICK = ("--profile", "local", "--set", "leave_propagate_ms=0")
"""Options of the command for nodes that need not wait for those of a LAN."""


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
