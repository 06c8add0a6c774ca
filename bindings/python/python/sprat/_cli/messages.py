"""User events and queries that wait for the handlers.

As in Serf, user events that allow it are coalesced: the first one opens a period (3 s), each one
restarts a quiet time (1 s), and when either is over, the latest event of each name is handed on.
Other user events and queries are due at once. Nothing is handed on while a handler runs, so the
number of waiting messages is bounded, and a query whose time is over is dropped.
"""

from __future__ import annotations

import collections
import logging

import sprat

from .coalesce import Period
from .handlers import Call, message_call

__all__ = ["WaitingMessages"]

_log = logging.getLogger("sprat.run")

_MAX = 1024
"""The number of messages that wait. Beyond it, the oldest is dropped."""


class WaitingMessages:
    """Holds messages until they are due. Times are in seconds of `time.monotonic()`."""

    def __init__(self, period: float) -> None:
        self._period = Period(period)
        self._coalesced: dict[str, list[sprat.UserEvent]] = {}
        """The events of each name that have its latest Lamport time."""
        self._others: collections.deque[sprat.UserEvent | sprat.Query] = collections.deque()
        self._dropped = 0

    def add(self, event: sprat.UserEvent | sprat.Query, now: float) -> None:
        """Add a message."""
        if isinstance(event, sprat.UserEvent) and event.coalesce:
            self._coalesce(event, now)
        else:
            self._others.append(event)
        while len(self._others) + sum(map(len, self._coalesced.values())) > _MAX:
            self._drop_oldest()

    def _coalesce(self, event: sprat.UserEvent, now: float) -> None:
        self._period.note(now, opens=not self._coalesced)
        known = self._coalesced.get(event.name, [])
        if not known or known[0].ltime < event.ltime:
            self._coalesced[event.name] = [event]
        elif known[0].ltime == event.ltime:
            known.append(event)

    def _drop_oldest(self) -> None:
        if self._others:
            self._others.popleft()
            self._dropped += 1
        else:
            self._dropped += len(self._coalesced.pop(next(iter(self._coalesced))))

    def due(self) -> float | None:
        """Return the time at which to take messages; `None` if there are none."""
        if self._others:
            return 0.0
        return self._period.due() if self._coalesced else None

    def take(self, now: float) -> list[Call]:
        """Return the calls for the messages that are due, and forget these messages."""
        if self._dropped:
            _log.warning(
                "%d user events and queries were dropped: handlers are too slow", self._dropped
            )
            self._dropped = 0
        due = [it for it in self._others if not isinstance(it, sprat.Query) or it.time_left > 0]
        self._others.clear()
        if self._coalesced and self._period.due() <= now:
            due += [it for events in self._coalesced.values() for it in events]
            self._coalesced.clear()
        return [message_call(it) for it in due]
