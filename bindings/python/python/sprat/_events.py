"""Readers of events: which kinds they want, and the iterator."""

from __future__ import annotations

import collections
import logging
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from . import _native
from ._errors import ClosedError, Error
from ._native import Event, NodeFailed, Overflow

if TYPE_CHECKING:
    from ._node import BaseNode

__all__ = ["BATCH", "Events", "Selection", "check_timeout"]

E_co = TypeVar("E_co", bound=Event, covariant=True)

BATCH = 256
"""Events taken from the library at a time: one crossing of the border for all of them."""

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
            if not (isinstance(kind, type) and issubclass(kind, Event)):
                raise TypeError(
                    f"kinds of events are classes like sprat.MemberJoined, not {kind!r}"
                )
        self.classes = kinds or (Event,)
        self.names = [name for cls, name in _KINDS.items() if issubclass(cls, self.classes)]

    def pick(self, events: Iterable[Any]) -> Iterator[Any]:
        """Those that were asked for. Nothing is hidden: an overflow is logged, and what stops the
        node is raised, if they were not.
        """
        for event in events:
            if isinstance(event, self.classes):
                yield event
            elif isinstance(event, Overflow):
                _log.warning("%d events were lost: they were not read in time", event.lost)
            elif isinstance(event, NodeFailed):
                raise event.error


def check_timeout(timeout: float | None) -> float | None:
    """A timeout in seconds, or `None` for no limit."""
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise TypeError(
            f"timeout must be a number of seconds or None, not {type(timeout).__name__}"
        )
    if not timeout >= 0:
        raise ValueError(f"timeout is {timeout}, allowed are 0 and more")
    return float(timeout)


class Events(Generic[E_co]):
    """An iterator over the events of a node, made by `Node.events`.

    It waits for the next event; Ctrl-C ends the wait. It ends when the node is closed. Any number
    of threads may share it: each event goes to one of them.
    """

    def __init__(self, node: BaseNode, kinds: tuple[type[Event], ...], maxsize: int) -> None:
        self._node: BaseNode | None = node  # it lives as long as somebody reads its events
        self._selection = Selection(kinds)
        self._native: _native.Subscription | None
        self._native = node._native.subscribe(maxsize, self._selection.names)
        self._taken: collections.deque[Any] = collections.deque()
        self._failure: Error | None = None
        self._batch = BATCH

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> E_co:
        event = self.next()
        if event is None:
            raise StopIteration
        return event

    def next(self, timeout: float | None = None) -> E_co | None:
        """The next event, or `None` when the time (in seconds) is up or the node was closed."""
        timeout = check_timeout(timeout)
        while True:
            try:
                return self._taken.popleft()  # type: ignore[no-any-return]
            except IndexError:
                pass
            if self._failure is not None:
                raise self._failure
            native = self._native
            if native is None:
                return None
            if not self._take(native) and not native.wait(timeout):
                return None

    def _take(self, native: _native.Subscription) -> bool:
        """Takes what waits. True if there is anything to look at."""
        try:
            events = native.drain(self._batch)
        except ClosedError:
            self.close()
            return True
        except Error as error:
            self._failure = error
            return True
        try:
            self._taken.extend(self._selection.pick(events))
        except Error as error:
            self._failure = error
        return bool(events)

    def fileno(self) -> int:
        """A descriptor that is readable while there is an event, for `select` and event loops.

        Poll it only. When it is readable, call `next(0)` until that gives `None`.
        """
        if self._native is None:
            raise ClosedError("the reader was closed")
        self._batch = 1  # what is taken early would not show on the descriptor
        return self._native.fileno()

    def close(self) -> None:
        """Read no more. Called twice, it does nothing."""
        self._native = None
        self._node = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
