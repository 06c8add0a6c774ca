"""Readers of events: which kinds they want, and the iterator."""

from __future__ import annotations

import logging
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from . import _native
from ._errors import ClosedError, Error, InvalidError
from ._native import Event, NodeFailed, Overflow

if TYPE_CHECKING:
    from ._node import BaseNode

__all__ = ["BATCH", "BaseEvents", "Events", "Selection", "check_maxsize", "check_timeout"]

E_co = TypeVar("E_co", bound=Event, covariant=True)

BATCH = 256
"""Events taken from the library at a time: one crossing of the border for all of them."""

_CENTURY = 100 * 365 * 86400.0

_SIZES = range(4, 1_048_577)

_log = logging.getLogger("sprat")

_KINDS: dict[type[Event], str] = {
    _native.MemberJoined: "member-join",
    _native.MemberUpdated: "member-update",
    _native.MemberLeft: "member-leave",
    _native.MemberFailed: "member-failed",
    _native.MemberReaped: "member-reap",
    _native.MemberSuspected: "member-suspect",
    _native.MemberAlive: "member-alive",
    Overflow: "overflow",
    NodeFailed: "fatal",
}


class Selection:
    """The kinds of events that somebody asked for."""

    __slots__ = ("classes", "names")

    def __init__(self, kinds: tuple[type[Event], ...]) -> None:
        for kind in kinds:
            known = isinstance(kind, type) and issubclass(kind, Event)
            if not known or not any(issubclass(it, kind) for it in _KINDS):
                raise TypeError(
                    f"kinds of events are classes like sprat.MemberJoined, not {kind!r}"
                )
        self.classes = kinds or (Event,)
        self.names = [name for cls, name in _KINDS.items() if issubclass(cls, self.classes)]

    def wants(self, event: Any) -> bool:
        """Whether it was asked for. Nothing is hidden: an overflow is logged, and what stops the
        node is raised, if they were not.
        """
        if isinstance(event, self.classes):
            return True
        if isinstance(event, Overflow):
            _log.warning("%d events were lost: they were not read in time", event.lost)
        elif isinstance(event, NodeFailed):
            raise event.error
        return False


def check_timeout(timeout: float | None) -> float | None:
    """A timeout in seconds, or `None` for no limit."""
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise TypeError(
            f"timeout must be a number of seconds or None, not {type(timeout).__name__}"
        )
    if not timeout >= 0:
        raise InvalidError(f"timeout is {timeout}, allowed are 0 and more")
    # Beyond a century the clocks of some event loops overflow, and nobody waits that long.
    return float(timeout) if timeout < _CENTURY else None


def check_maxsize(maxsize: int) -> int:
    """How many events may wait for a reader."""
    if isinstance(maxsize, bool) or not isinstance(maxsize, int):
        raise TypeError(f"maxsize must be int or None, not {type(maxsize).__name__}")
    if not _SIZES.start <= maxsize < _SIZES.stop:
        allowed = f"{_SIZES.start} to {_SIZES.stop - 1}"
        raise InvalidError(f"maxsize is {maxsize}, allowed are {allowed}")
    return maxsize


class BaseEvents(Generic[E_co]):
    """What the readers of `sprat` and of `sprat.aio` have in common: all but the wait."""

    # Events are taken one by one: then the descriptor tells the truth, several threads get them
    # in order, and what interrupts a thread costs no event that another could have had.

    def __init__(self, node: BaseNode, kinds: tuple[type[Event], ...], maxsize: int) -> None:
        self._selection = Selection(kinds)
        self._native: _native.Subscription | None
        self._native = node._native.subscribe(check_maxsize(maxsize), self._selection.names)
        self._of = node.name
        self._node: BaseNode | None = node  # it lives as long as somebody reads its events
        self._everything = not kinds
        self._ended = False
        self._failure: Error | None = None

    def _take(self) -> E_co | None:
        """The next event that is there. Every event comes this way: it has to be quick."""
        event: E_co | None
        while True:
            native = self._native
            if native is None or self._failure is not None:
                return None
            try:
                event = native.pop()
            except ClosedError:
                self._ended = True
                self._node = None
                return None
            except Error as error:
                self._failure = error
                return None
            if event is None or self._everything or self._wants(event):
                return event

    def _wants(self, event: Event) -> bool:
        try:
            return self._selection.wants(event)
        except Error as error:
            self._failure = error
            return False

    def _over(self) -> bool:
        """Whether nothing will come any more. What stopped the node is raised."""
        if self._native is None:
            return True
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        return self._ended

    def close(self) -> None:
        """Read no more: whoever waits for an event stops. Called twice, it does nothing.

        May be called from any thread.
        """
        native, self._native, self._node = self._native, None, None
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

    def __repr__(self) -> str:
        cls = type(self)
        module = cls.__module__.removesuffix("._events")
        closed = " closed" if self._native is None else ""
        return f"<{module}.{cls.__qualname__} of {self._of!r}{closed}>"


class Events(BaseEvents[E_co]):
    """An iterator over the events of a node, made by `Node.events`.

    It waits for the next event; Ctrl-C ends the wait. It ends when the node is closed. Any number
    of threads may share it: each event goes to one of them.
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
        """The next event, or `None` when the time (in seconds) is up or the node was closed.

        0 does not wait, `None` waits without limit. What stopped the node is raised.
        """
        timeout = check_timeout(timeout)
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            event = self._take()
            native = self._native
            if event is not None or self._over() or native is None:
                return event
            if not native.wait(None if until is None else until - time.monotonic()):
                return None

    def fileno(self) -> int:
        """A descriptor that is readable while there is an event, for `select` and event loops.

        Poll it only. When it is readable, call `next(0)` until that gives `None`. It stays the
        same, and readable, after the end of the node, until the reader itself is closed.
        """
        native = self._native
        if native is None:
            raise ClosedError("the reader was closed")
        return native.fileno()
