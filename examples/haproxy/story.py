"""Prints what happens line by line and, on a terminal, a live table of servers below the lines."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from balancer import Balancer, Server
from rack import UnmetError
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text
from traffic import IN_FLIGHT, Report, Traffic

COLOURS = {"UP": "green", "DRAIN": "yellow", "MAINT": "dim", "DOWN": "red"}


@dataclass
class Act:
    """One act: the facts that were checked, and the results of the requests during the act."""

    title: str
    tell: Callable[[str], None]
    facts: list[str] = field(default_factory=list)
    report: Report | None = None
    seconds: float = 0.0

    def seen(self, text: str) -> None:
        """Print and keep a fact that was checked."""
        self.facts.append(text)
        self.tell(f"         ok: {text}")

    def takes(self, what: str, seconds: float) -> None:
        """Print and keep a fact, and the time until it was true."""
        self.seen(f"{what} after {seconds:.2f} s")


class Story:
    """All acts, and the promises that were broken."""

    def __init__(self, traffic: Callable[[], Traffic]) -> None:
        self._console = Console(highlight=False, soft_wrap=not os.isatty(1))
        self._traffic, self._began = traffic, time.monotonic()
        # By member: the time of the last reading, the number of requests, and the rate.
        self._rates: dict[str, tuple[float, int, float]] = {}
        self.acts: list[Act] = []
        self.broken: list[str] = []

    def tell(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, markup=False)

    def heading(self, text: str) -> None:
        """Print a line that stands out, with the time."""
        stamp = f"[{time.monotonic() - self._began:5.1f} s]"
        self._console.print(f"\n{stamp} {text}", style="bold", markup=False)

    @contextlib.contextmanager
    def watching(self, balancer: Balancer) -> Iterator[None]:
        """Show the live table for as long as the context lasts."""
        if not self._console.is_terminal:
            yield
            return
        ending = threading.Event()
        with Live(console=self._console, auto_refresh=False, transient=True) as live:

            def follow() -> None:
                while not ending.wait(0.25):
                    live.update(self.servers_table(balancer.servers()), refresh=True)

            thread = threading.Thread(target=follow, daemon=True)
            thread.start()
            try:
                yield
            finally:
                ending.set()
                thread.join()

    @contextlib.contextmanager
    def act(self, title: str, *, dies: bool = False) -> Iterator[Act]:
        """Send requests during an act. A lost request counts as a broken promise.

        If a host dies in the act, the requests that it is answering at that moment may be lost: no
        retry can save an answer that has begun. Such an act allows `IN_FLIGHT` lost requests.
        """
        self.heading(title)
        act = Act(title, self.tell)
        self.acts.append(act)
        traffic, began = self._traffic(), time.monotonic()
        try:
            time.sleep(0.5)
            yield act
            time.sleep(0.2)
        except UnmetError as what:
            self.broken.append(f"{title}: {what}")
            self.tell(f"     BROKEN: {what}")
            raise
        finally:
            act.seconds = time.monotonic() - began
            act.report = traffic.stop()
            self._judge(act, IN_FLIGHT if dies else 0)

    def _judge(self, act: Act, allowed: int) -> None:
        report = act.report
        assert report
        if report.sent == 0:
            self.broken.append(f"{act.title}: no request was sent")
        if report.lost > allowed:
            self.broken.append(f"{act.title}: {report.lost} of {report.sent} requests were lost")
            for error in report.errors:
                self.tell(f"     BROKEN: requests were lost: {error}")
        elif report.lost:
            self.tell(f"         {report.lost} requests in flight were lost with the host")
        self.tell(
            f"         {report.sent} requests, {report.lost} lost, "
            f"the slowest took {report.slowest:.2f} s"
        )

    def servers_table(self, servers: dict[str, Server]) -> Table:
        """Return the table of the servers as they are now."""
        table = Table(title="servers of ha, and their members", title_justify="left")
        for column in ("member", "address", "membership", "HAProxy", "weight"):
            table.add_column(column)
        table.add_column("requests/s", justify="right")
        for name, it in servers.items():
            status = Text(it.status, style=COLOURS.get(it.status.split()[0], ""))
            rate = f"{self._rate(name, it.requests):.0f}"
            table.add_row(name, it.address, it.assignment, status, str(it.weight), rate)
        return table

    def _rate(self, name: str, requests: int) -> float:
        now = time.monotonic()
        since, before, rate = self._rates.get(name, (now, requests, 0.0))
        if now - since >= 1:
            since, before, rate = now, requests, max(0, requests - before) / (now - since)
        self._rates[name] = (since, before, rate)
        return rate

    def close(self) -> None:
        """Print the table of all acts."""
        table = Table(title="The acts, and the requests during each", title_justify="left")
        for column, justify in (
            ("act", "left"), ("seconds", "right"), ("requests", "right"), ("lost", "right"),
            ("slowest", "right"),
        ):  # fmt: skip
            table.add_column(column, justify=justify)  # type: ignore[arg-type]
        total = Report()
        for act in self.acts:
            report = act.report or Report()
            total.sent, total.lost = total.sent + report.sent, total.lost + report.lost
            table.add_row(
                act.title, f"{act.seconds:.1f}", str(report.sent), str(report.lost),
                f"{report.slowest:.2f} s",
            )  # fmt: skip
        table.add_section()
        table.add_row("all", "", str(total.sent), str(total.lost), "")
        self._console.print()
        self._console.print(table)
