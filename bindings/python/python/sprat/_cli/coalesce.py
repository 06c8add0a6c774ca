"""Events are gathered for a moment, so that handlers run once for many members.

When a rack fails, a script that writes a configuration should run once, not forty times. As in
Serf, the first event opens a period (3 s), each event begins a quiet time (1 s), and when either
is over the latest event of each member is handed on, one call for each kind. A member whose latest
kind is the one that was told last is left out, unless it is an update. What was handed on is
forgotten, so that an update is not told again and again, which Serf does.

Nothing is handed on while a handler runs: a slow handler gets fewer and larger calls, and what
waits never outgrows the list of members.
"""

from __future__ import annotations

import sprat

__all__ = ["Batch", "Coalescer"]

Batch = list[tuple[str, list[sprat.Member]]]
"""Calls to make: a kind of event, and its members."""

_QUIET_PART = 3


class Coalescer:
    """See the head of this file. Times are in seconds of `time.monotonic()`."""

    def __init__(self, period: float) -> None:
        self._period, self._quiet = period, period / _QUIET_PART
        self._latest: dict[str, tuple[str, sprat.Member]] = {}
        self._told: dict[str, str] = {}
        self._opened = self._last = 0.0

    def add(self, kind: str, member: sprat.Member, now: float) -> None:
        """Take an event."""
        if not self._latest:
            self._opened = now
        self._last = now
        self._latest.pop(member.name, None)  # the order is that of the latest events
        self._latest[member.name] = (kind, member)

    def due(self) -> float | None:
        """When to take what was gathered; `None` if there is nothing."""
        if not self._latest:
            return None
        return min(self._opened + self._period, self._last + self._quiet)

    def take(self) -> Batch:
        """Hand out all that was gathered, by kind."""
        calls: dict[str, list[sprat.Member]] = {}
        for name, (kind, member) in self._latest.items():
            if kind == "member-update" or self._told.get(name) != kind:
                calls.setdefault(kind, []).append(member)
            if kind == "member-reap":
                self._told.pop(name, None)
            else:
                self._told[name] = kind
        self._latest.clear()
        return list(calls.items())
