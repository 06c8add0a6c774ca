"""Coalesces events, so that a handler runs once for many members.

When a rack fails, a script that writes a configuration should run once, not forty times. As in
Serf, the first event opens a period (3 s) and each event restarts a quiet time (1 s). When either
is over, the latest event of each member is handed on, in one call per kind. A member whose latest
kind was also the last one handed on is left out, unless the kind is an update. Unlike in Serf,
events that were handed on are forgotten, so an update is not repeated with every later call.

Nothing is handed on while a handler runs: a slow handler gets fewer and larger calls, and the
waiting events never outgrow the list of members.
"""

from __future__ import annotations

import sprat

__all__ = ["Batch", "Coalescer"]

Batch = list[tuple[str, list[sprat.Member]]]
"""The calls to make: for each kind of event, its members."""

_QUIET_PART = 3
"""The quiet time is the period divided by this."""


class Coalescer:
    """Gathers events until they are due. Times are in seconds of `time.monotonic()`."""

    def __init__(self, period: float) -> None:
        self._period, self._quiet = period, period / _QUIET_PART
        self._latest: dict[str, tuple[str, sprat.Member]] = {}
        self._handed_on: dict[str, str] = {}
        self._opened = self._last = 0.0

    def add(self, kind: str, member: sprat.Member, now: float) -> None:
        """Add an event."""
        if not self._latest:
            self._opened = now
        self._last = now
        self._latest.pop(member.name, None)  # the order is that of the latest events
        self._latest[member.name] = (kind, member)

    def due(self) -> float | None:
        """Return the time at which to take the gathered events; `None` if there are none."""
        if not self._latest:
            return None
        return min(self._opened + self._period, self._last + self._quiet)

    def take(self) -> Batch:
        """Return the gathered events by kind, and forget them."""
        calls: dict[str, list[sprat.Member]] = {}
        for name, (kind, member) in self._latest.items():
            if kind == "member-update" or self._handed_on.get(name) != kind:
                calls.setdefault(kind, []).append(member)
            if kind == "member-reap":
                self._handed_on.pop(name, None)
            else:
                self._handed_on[name] = kind
        self._latest.clear()
        return list(calls.items())
