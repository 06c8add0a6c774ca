"""Coalesces events of members, so that a handler runs once for many members.

When a rack fails, a script that writes a configuration should run once, not forty times. As in
Serf, the first event opens a period (3 s) and each event restarts a quiet time (1 s). When either
is over, the gathered events are handed on, with one call per kind of event, or more if a member had
events of several kinds.

The events of a member are handed on in their order. A member that left and returned at another
address needs both calls, or a script would keep the old address; a member that joined and changed a
tag needs the join, or no script would add it. Serf hands on only the latest kind of each member,
and drops that, too, if it is the same as in the last call. Here only repetitions are dropped: of
updates in a row, the last remains, and a stay that began and ended in the period is left out if the
member has joined again since. A join has the latest tags, since a script need not handle updates.

Nothing is handed on while a handler runs: a slow handler gets fewer and larger calls, and of each
member at most nine events wait, because only one of them is a join.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import sprat

__all__ = ["Batch", "Coalescer", "Period"]

Batch = list[tuple[str, list[sprat.Member]]]
"""The calls to make, in order. Each has a kind of event and the members of these events."""

_QUIET_PART = 3
"""The quiet time is the period divided by this number."""


class Period:
    """Tells when gathered events are due. Times are in seconds of `time.monotonic()`."""

    def __init__(self, period: float) -> None:
        self._period, self._quiet = period, period / _QUIET_PART
        self._opened = self._last = 0.0

    def note(self, now: float, *, opens: bool) -> None:
        """Take note of an event. `opens` is true for the first event of the period."""
        self._last = now
        if opens:
            self._opened = now

    def due(self) -> float:
        """Return the time at which the events of this period are due."""
        return min(self._opened + self._period, self._last + self._quiet)


class Coalescer:
    """Gathers events until they are due. Times are in seconds of `time.monotonic()`."""

    def __init__(self, period: float) -> None:
        self._period = Period(period)
        # For each member, by name: the kind of each of its events, with the record to hand on.
        self._gathered: dict[str, list[tuple[str, sprat.Member]]] = {}

    def add(self, kind: str, member: sprat.Member, now: float) -> None:
        """Add an event."""
        self._period.note(now, opens=not self._gathered)
        events = self._gathered.pop(member.name, [])  # the order is that of the latest events
        kinds = [it for it, _ in events]
        joined = kinds.index("member-join") if "member-join" in kinds else None
        if kind == "member-join" and joined is not None:
            del events[joined:]
        if kind == "member-update" and kinds[-1:] == ["member-update"]:
            del events[-1]
        if kind == "member-update" and joined is not None:
            events[joined] = ("member-join", member)
        self._gathered[member.name] = [*events, (kind, member)]

    def due(self) -> float | None:
        """Return the time at which to take the gathered events; `None` if there are none."""
        return self._period.due() if self._gathered else None

    def take(self) -> Batch:
        """Return the calls for the gathered events, and forget these events."""
        # The first round has the first event of every member, the next round the second, and so on.
        rounds = itertools.zip_longest(*self._gathered.values())
        batch = [call for each in rounds for call in _by_kind(filter(None, each))]
        self._gathered.clear()
        return batch


def _by_kind(events: Iterable[tuple[str, sprat.Member]]) -> Batch:
    calls: dict[str, list[sprat.Member]] = {}
    for kind, member in events:
        calls.setdefault(kind, []).append(member)
    return [*calls.items()]
