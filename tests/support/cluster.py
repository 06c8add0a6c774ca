"""The helpers of all tests in Python: waiting, loopback addresses, and serf agents."""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE = 75.0
"""Seconds to wait for something that must happen. The bound only ends tests that hang: a stock
agent that missed some gossip needs half of that time, and everything is slower on a busy
machine."""

_claims: list[socket.socket] = []


def eventually(what: str, holds: Callable[[], Any], within: float = PATIENCE) -> Any:
    """Call `holds` until its value is true, and return that value."""
    until = time.monotonic() + within
    while True:
        value = holds()
        if value:
            return value
        assert time.monotonic() < until, f"not within {within} s: {what}"
        time.sleep(0.05)


def claim_addresses() -> str:
    """Claim the loopback addresses 127.x.y.* until this process ends; return their prefix 127.x.y.

    A socket whose name contains 127.x.y holds the claim, as in tests/interop/agent.rs. Tests that
    run at the same time, in one process or in several, therefore have different addresses.
    """
    for number in itertools.count(os.getpid() % 0x8000):
        prefix = f"127.{100 + (number >> 8) % 128}.{number % 256}"
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0sprat-test-{prefix}")
        except OSError as error:
            claim.close()
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            _claims.append(claim)
            return prefix
    raise AssertionError("unreachable: the numbers do not end")


class Addresses:
    """Loopback addresses that no other running test uses."""

    def __init__(self) -> None:
        self._prefix = claim_addresses()
        self._hosts = itertools.count(1)

    def ip(self) -> str:
        return f"{self._prefix}.{next(self._hosts)}"

    def address(self, port: int = 7946) -> str:
        return f"{self.ip()}:{port}"


class Agent:
    """A running `serf agent`."""

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
        eventually(f"agent {name} answers", self._answers)

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log()
        return self._ask("members").returncode == 0

    def _ask(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        line = [self._serf, command, f"-rpc-addr={self._rpc}", *arguments]
        return subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE, check=False)

    def must(self, command: str, *arguments: str) -> str:
        """Run a `serf` command on this agent, and return its output."""
        done = self._ask(command, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr + self.log()
        return done.stdout

    def log(self) -> str:
        return self._log.read_text(errors="replace")[-8000:]

    def members(self) -> dict[str, dict[str, Any]]:
        """Return the members that the agent lists, by name: status, addr, tags."""
        answer = json.loads(self.must("members", "-format=json"))
        return {member["name"]: member for member in answer["members"]}

    def sees(self, name: str, status: str, within: float = PATIENCE) -> dict[str, Any]:
        """Wait until the agent sees a member in this state, and return the member."""

        def seen() -> dict[str, Any] | None:
            member = self.members().get(name)
            return member if member and member["status"] == status else None

        found: dict[str, Any] = eventually(f"{self.name} sees {name} {status}", seen, within)
        return found

    def join(self, address: str) -> None:
        """Join the cluster of a node. On a busy machine the agent may give up, and tries again."""

        def joined() -> bool:
            done = self._ask("join", address)
            gave_up = "timeout" in done.stdout + done.stderr
            assert done.returncode == 0 or gave_up, done.stdout + done.stderr + self.log()
            return done.returncode == 0

        eventually(f"{self.name} joins {address}", joined)

    def leave(self) -> None:
        self.must("leave")
        self.process.wait(PATIENCE)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)
