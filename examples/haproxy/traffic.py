"""Requests from a client host. `hey` sends them, and its reports count the lost requests."""

from __future__ import annotations

import re
import signal
import subprocess
from dataclasses import dataclass, field

from rack import PATIENCE, die_with_parent

# There are two senders: one opens new connections, one keeps them. Each has WORKERS workers, and
# each worker sends RATE requests per second.
WORKERS, RATE = 5, 20
IN_FLIGHT = 2 * WORKERS
"""The maximum number of requests that can be in flight at one moment."""


@dataclass
class Report:
    """The results of requests."""

    sent: int = 0
    lost: int = 0
    slowest: float = 0.0
    errors: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Add a report of hey. A request without an answer of status 200 counts as lost."""
        answers = sum(int(n) for n in re.findall(r"^\s+\[200\]\s+(\d+) responses", text, re.M))
        others = re.findall(r"^\s+\[(?!200\])(\d+)\]\s+(\d+) responses", text, re.M)
        _, _, errors = text.partition("Error distribution:")
        failures = re.findall(r"^\s+\[(\d+)\]\s+(.+)$", errors, re.M)
        lost = sum(int(n) for _, n in others) + sum(int(n) for n, _ in failures)
        slowest = re.search(r"Slowest:\s+([\d.]+)", text)
        self.sent += answers + lost
        self.lost += lost
        self.slowest = max(self.slowest, float(slowest[1]) if slowest else 0.0)
        self.errors += [f"{count} times status {status}" for status, count in others]
        self.errors += [f"{count} times {what}" for count, what in failures]


class Traffic:
    """Sends requests until `stop`."""

    def __init__(self, enter: list[str], url: str) -> None:
        self._running = []
        for how in (["-disable-keepalive"], []):
            line = ["hey", "-z", "10m", "-c", str(WORKERS), "-q", str(RATE), "-t", "15", *how, url]
            self._running.append(
                subprocess.Popen(
                    enter + line,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                    preexec_fn=die_with_parent,
                    start_new_session=True,
                )
            )

    def stop(self) -> Report:
        """Send no more requests, wait for the answers, and return the results."""
        report = Report()
        for it in self._running:
            it.send_signal(signal.SIGINT)
        for it in self._running:
            report.add(it.communicate(timeout=PATIENCE)[0])
        return report
