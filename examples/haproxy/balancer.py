"""The load balancer as its CLI reports it: servers, their requests, and the members behind them."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass

from rack import PATIENCE, Host, UnmetError, wait_until

STEADY = 3.0
"""Seconds: longer than a connect timeout and two health checks."""


@dataclass(frozen=True)
class Server:
    """A server of HAProxy, under the name of its member."""

    member: str
    address: str
    assignment: str  # from show sprat: ready, drain or maint, the weight, and why it is held
    status: str  # from show stat: UP, DOWN, DRAIN or MAINT
    weight: int
    requests: int

    @property
    def serves(self) -> bool:
        """True if the server gets new requests."""
        return self.status.startswith("UP")


class Balancer:
    """The HAProxy of a host."""

    def __init__(self, host: Host, backend: str = "nodes") -> None:
        self.host, self._backend = host, backend

    def cli(self, command: str) -> str:
        """The answer of the runtime CLI; empty if HAProxy does not run."""
        try:
            with socket.socket(socket.AF_UNIX) as stream:
                stream.settimeout(5)
                stream.connect(str(self.host.folder / "cli"))
                stream.sendall(command.encode() + b"\n")
                return b"".join(iter(lambda: stream.recv(65536), b"")).decode()
        except OSError:
            return ""

    def policy(self) -> str:
        """The answer to `show sprat`."""
        return self.cli("show sprat")

    def worker(self) -> int:
        """The process id of the worker, in the PID namespace of its host."""
        lines = self.cli("show info").splitlines()
        found = [line.split()[1] for line in lines if line.startswith("Pid:")]
        return int(found[0]) if found else 0

    def _assignments(self) -> dict[str, tuple[str, str]]:
        """Return the member in each slot, by number, and its assignment."""
        found = {}
        for line in self.policy().splitlines():
            words = line.split(maxsplit=3)
            if line.startswith("  ") and len(words) == 4 and words[0].isdigit():
                found[words[0]] = (words[1], words[3])
        return found

    def servers(self) -> dict[str, Server]:
        """All servers that have a member, by the name of the member."""
        assignments, found = self._assignments(), {}
        rows = self.cli("show stat").splitlines() or [""]
        names = rows[0].lstrip("# ").split(",")
        for row in rows[1:]:
            it = dict(zip(names, row.split(","), strict=False))
            if it.get("pxname") != self._backend or it["svname"] == "BACKEND":
                continue
            slot = it["svname"].lstrip("abcdefghijklmnopqrstuvwxyz")
            if slot in assignments:
                member, assignment = assignments[slot]
                weight, requests = int(it["weight"]), int(it["stot"])
                found[member] = Server(
                    member, it["addr"], assignment, it["status"], weight, requests
                )
        return dict(sorted(found.items()))

    def serving(self) -> set[str]:
        """The members that get new requests."""
        return {name for name, server in self.servers().items() if server.serves}

    def serves(self, *members: str, within: float = PATIENCE) -> float:
        """Wait until exactly these members get new requests. Return the seconds it took."""
        wanted = set(members)
        what = f"{self.host.name} sends requests to {', '.join(sorted(wanted))} only"
        return wait_until(what, lambda: self.serving() == wanted, within)

    def serves_steadily(self, *members: str) -> None:
        """Wait until exactly these members have got new requests for `STEADY` seconds."""
        since = time.monotonic()

        def is_steady() -> bool:
            nonlocal since
            now = time.monotonic()
            if self.serving() != set(members):
                since = now
            return now - since >= STEADY

        wait_until(f"{self.host.name} sends requests to all these members steadily", is_steady)

    def requests(self, member: str) -> int:
        """The number of requests that a member has received."""
        server = self.servers().get(member)
        return server.requests if server else 0

    def uses(self, member: str, within: float = PATIENCE) -> None:
        """Wait until a member gets a new request."""
        before = self.requests(member)
        wait_until(f"{member} gets requests", lambda: self.requests(member) > before, within)

    def reload(self) -> None:
        """Have the master start a new worker, and wait until the worker serves.

        A master that is still busy with the previous reload may miss the signal, so it is sent
        again.
        """
        before = self.worker()

        def is_reloaded() -> bool:
            self.host.control("-2", "haproxy")
            try:
                wait_until("a new worker serves", lambda: self.worker() not in (0, before), 10)
            except UnmetError:
                return False
            return True

        wait_until("a new worker serves", is_reloaded)

    def idle_for(self, member: str, seconds: float) -> bool:
        """Wait for some seconds. Return true if a member gets no request in this time."""
        before = self.requests(member)
        time.sleep(seconds)
        return self.requests(member) == before
