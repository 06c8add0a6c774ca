"""Readers of events: an iterator over the events of a node, and the kinds it selects."""

from __future__ import annotations

import logging
import time
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from . import _native
from ._checks import check_timeout
from ._errors import ClosedError, Error
from ._native import (
    Event,
    MemberConflict,
    Message,
    NameRegained,
    NodeFailed,
    Overflow,
    PingAck,
    Query,
    RemoteState,
    UserEvent,
)
from ._rate import Rate
from ._waiting import wait

__all__ = ["BATCH", "KINDS", "BaseEvents", "Events", "Selection"]

E_co = TypeVar("E_co", bound=Event, covariant=True)

BATCH = 256
"""The maximum number of events in a batch, and of events that a task reads in a row."""

_log = logging.getLogger("sprat")

KINDS: dict[type[Event], str] = {
    **dict(_native.event_classes()),
    UserEvent: "user",
    Query: "query",
    Message: "message",
    RemoteState: "remote-state",
    MemberConflict: "member-conflict",
    PingAck: "ping-ack",
    Overflow: "overflow",
    NodeFailed: "fatal",
    NameRegained: "name-regained",
}
"""The classes of events, each with the name of its kind."""


class Selection:
    """The kinds of events that a reader selects; by default, all kinds."""

    __slots__ = ("_lost", "_warnings", "classes", "is_all", "names")

    def __init__(self, kinds: tuple[type[Event], ...]) -> None:
        for kind in kinds:
            known = isinstance(kind, type) and issubclass(kind, Event)
            if not known or not any(issubclass(it, kind) for it in KINDS):
                raise TypeError(
                    f"a kind of event must be a class like sprat.MemberJoined, got {kind!r}"
                )
        self._lost, self._warnings = 0, Rate()
        self.classes = kinds or (Event,)
        self.is_all = not kinds
        self.names = [name for cls, name in KINDS.items() if issubclass(cls, self.classes)]

    def wants(self, event: Any) -> bool:
        """Return true if the event is selected.

        An overflow that is not selected is logged, and a `NodeFailed` that is not selected raises
        its error: neither may pass unnoticed.
        """
        if isinstance(event, self.classes):
            return True
        if isinstance(event, Overflow):
            self.warn(event.lost)
        elif isinstance(event, NodeFailed):
            raise event.error
        return False

    def warn(self, lost: int) -> None:
        """Log that events were lost. A line also counts earlier losses that were not logged."""
        self._lost += lost
        if self._warnings.admits():
            _log.warning("%d events were lost because they were not read in time", self._lost)
            self._lost = 0


class BaseEvents(Generic[E_co]):
    """The part of a reader that `sprat` and `sprat.aio` share: everything but the wait."""

    # Events are taken one at a time: the descriptor then always tells whether an event waits,
    # threads that share a reader get events in order, and an exception of a signal handler loses at
    # most one event.

    def __init__(
        self,
        subscription: _native.Subscription,
        selection: Selection,
        node_name: str,
        keeps_alive: object,
    ) -> None:
        """If `keeps_alive` is the node, it is not collected before this reader ends."""
        self._selection = selection
        self._native: _native.Subscription | None = subscription
        self._node_name = node_name
        self._keeps_alive = keeps_alive
        self._ended = False
        self._failure: Error | None = None

    def _take(self) -> E_co | None:
        """Return the next queued event, or `None`. Every event passes through here."""
        event: E_co | None
        while True:
            native = self._native
            if native is None or self._failure is not None:
                return None
            try:
                event = native.pop()
            except ClosedError:
                self._ended = True
                self._keeps_alive = None
                return None
            except Error as error:
                self._failure = error
                return None
            if event is None or self._selection.is_all or self._wants(event):
                return event

    def _wants(self, event: Event) -> bool:
        try:
            return self._selection.wants(event)
        except Error as error:
            self._failure = error
            return False

    def _check_over(self) -> bool:
        """Return true if no event will follow. Raises the error that ended the reader."""
        if self._native is None:
            return True
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        return self._ended

    def close(self) -> None:
        """Stop reading, and end every wait for an event. A second call does nothing.

        Any thread may call this method.
        """
        native, self._native, self._keeps_alive = self._native, None, None
        if native is not None:
            native.abandon()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> Any:
        raise TypeError("a reader of events cannot be pickled or copied: pass the events on")

    def __repr__(self) -> str:
        cls = type(self)
        module = cls.__module__.removesuffix("._events").removesuffix("._query")
        closed = " closed" if self._native is None else ""
        return f"<{module}.{cls.__qualname__} of {self._node_name!r}{closed}>"


class Events(BaseEvents[E_co]):
    """An iterator over the events of a node, made by `Node.events`.

    It waits for the next event; Ctrl-C ends the wait. After the node is closed, the iterator
    returns the events that wait, and ends. Any number of threads may share it: each event goes to
    one of them.
    """

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> E_co:
        event = self._take()
        if event is None:
            event = self.next()
            if event is None:
                raise StopIteration
        return event

    def next(self, timeout: float | None = None) -> E_co | None:
        """Return the next event, or `None` after `timeout` seconds.

        Also returns `None` once this reader is closed, or the node is closed and no event waits. A
        timeout of 0 does not wait, `None` waits without limit. Raises the error that stopped the
        node, or the error of a `NodeFailed` that is not selected.
        """
        timeout = check_timeout(timeout)
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            event = self._take()
            native = self._native
            if event is not None or self._check_over() or native is None:
                return event
            if not wait(native, None if until is None else until - time.monotonic()):
                return None

    def fileno(self) -> int:
        """Return a descriptor that is readable while an event waits, for `select` and event loops.

        Only poll it: do not read or close it. When it is readable, call `next(0)` until the call
        returns `None`. After the end of the node it stays readable until the reader is closed.
        """
        native = self._native
        if native is None:
            raise ClosedError("the reader was closed")
        return native.fileno()
