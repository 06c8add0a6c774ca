"""Nodes for `asyncio`.

The same as `sprat.Node`; what waits is a coroutine. Nothing runs in an executor: the library is
asynchronous by itself and tells of the end on a descriptor, which the event loop watches.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from . import _native
from ._errors import ClosedError, ForkedError, TimeoutError
from ._events import BATCH, BaseEvents, check_timeout
from ._native import Event
from ._node import BaseNode, answered, done, ends_well, joined
from ._settings import checked_addresses, checked_text

if TYPE_CHECKING:
    from typing import Unpack

    from .types import Settings

__all__ = ["Events", "Node"]

E = TypeVar("E", bound=Event)
E_co = TypeVar("E_co", bound=Event, covariant=True)


class Node(BaseNode):
    """A member of a cluster, from the moment it is made, for programs with `asyncio`.

    Arguments are those of `sprat.Node`, without `on_event`: use ``async for``. Use it in an
    ``async with`` block, which leaves the cluster at its end.
    """

    __slots__ = ()

    def __init__(self, **settings: Unpack[Settings]) -> None:
        self._open(None, {**settings})

    def _open(self, path: str | bytes | None, given: dict[str, Any]) -> None:
        if "on_event" in given:
            raise TypeError("sprat.aio.Node takes no on_event: use `async for` over events()")
        super()._open(path, given)

    def _await_callback(self, patience: float) -> None:
        """No callback of the program runs there, only handlers of `logging`: nobody waits."""

    async def join(self, *addresses: str, timeout: float | None = 10) -> int:
        """As `sprat.Node.join`. When the wait is cancelled the attempt goes on."""
        timeout = check_timeout(timeout)
        pending = self._native.begin_join(checked_addresses(addresses))
        return joined(await _ended(pending, timeout, "the join"))

    async def leave(self, timeout: float | None = 5) -> None:
        """As `sprat.Node.leave`. When the wait is cancelled the departure goes on."""
        timeout = check_timeout(timeout)
        pending = self._native.begin_leave()
        done(await _ended(pending, timeout, "the leave"))

    async def hint(self, name: str, timeout: float | None = 10) -> bool:
        """As `sprat.Node.hint`. When the wait is cancelled the probe goes on."""
        timeout = check_timeout(timeout)
        pending = self._native.begin_hint(checked_text("name", name))
        return answered(await _ended(pending, timeout, "the probe"))

    @overload
    def events(self, *, maxsize: int | None = None) -> Events[Event]: ...
    @overload
    def events(self, *kinds: type[E], maxsize: int | None = None) -> Events[E]: ...
    def events(self, *kinds: type[Event], maxsize: int | None = None) -> Events[Any]:
        """As `sprat.Node.events`: an asynchronous iterator."""
        return Events(self, kinds, self._queue_size if maxsize is None else maxsize)

    async def next_event(self, timeout: float | None = None) -> Event | None:
        """As `sprat.Node.next_event`. A wait that is cancelled costs no event."""
        with self._reader_made:
            if self._reader is None:
                self._reader = self.events()
                self._reader._node = None  # a node that holds itself would never be collected
            reader: Events[Event] = self._reader
        event = await reader.next(timeout)
        if event is None and not self.is_open:
            raise ClosedError("the node was shut down")
        return event

    async def __aenter__(self) -> Self:
        self._check_open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            # Under `asyncio.run` Ctrl-C cancels the main task: that is how a program ends.
            cancelled = isinstance(error, asyncio.CancelledError)
            if (cancelled or ends_well(error)) and self.is_open:
                with contextlib.suppress(TimeoutError, ClosedError):
                    await self.leave()
        finally:
            self.close()


class Events(BaseEvents[E_co]):
    """An asynchronous iterator over the events of a node, made by `Node.events`.

    It ends when the node is closed. Several tasks may share it: each event goes to one of them.
    """

    # The event loop watches the descriptor only while somebody waits. So there is nothing to undo
    # when a loop over events is left, a slow reader leaves the rest in the library, where its
    # number is bounded, and a reader may be used under one event loop after the other.

    def __init__(self, node: BaseNode, kinds: tuple[type[Event], ...], maxsize: int) -> None:
        super().__init__(node, kinds, maxsize)
        self._waiting: set[asyncio.Future[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None  # of those who wait
        self._in_a_row = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E_co:
        event = None
        if self._in_a_row < BATCH:
            self._in_a_row += 1
            event = self._take()
        if event is None:
            event = await self.next()
            if event is None:
                raise StopAsyncIteration
        return event

    async def next(self, timeout: float | None = None) -> E_co | None:
        """The next event, or `None` when the time (in seconds) is up or the node was closed.

        0 does not wait, `None` waits without limit. What stopped the node is raised. A wait that
        is cancelled costs no event.
        """
        timeout = check_timeout(timeout)
        if self._in_a_row >= BATCH:
            # Others have their turn, however many events there are.
            self._in_a_row = 0
            await asyncio.sleep(0)
        self._in_a_row += 1
        event = self._take()
        if event is not None or self._over():
            return event
        self._in_a_row = 0
        if timeout is None:
            return await self._first()
        try:
            async with asyncio.timeout(timeout):
                return await self._first()
        except builtins.TimeoutError:
            return self._take()

    async def _first(self) -> E_co | None:
        event = None
        while event is None and not self._over():
            await self._readable()
            event = self._take()
        return event

    async def _readable(self) -> None:
        """Waits until there may be something to take."""
        loop = asyncio.get_running_loop()
        native = self._native  # held, so that nobody closes a descriptor that is watched
        if native is None:
            return
        if self._loop is not loop:
            if self._waiting and self._loop is not None and not self._loop.is_closed():
                raise RuntimeError("tasks of another event loop wait for events of this reader")
            self._waiting.clear()
            self._loop = loop
        future = loop.create_future()
        if not self._waiting:
            loop.add_reader(native.fileno(), self._wake)
        self._waiting.add(future)
        try:
            if self._native is not None:  # else another thread has just closed this reader
                await future
        finally:
            self._waiting.discard(future)
            if not self._waiting and self._loop is loop:
                self._loop = None
                _unwatch(loop, native)

    def _wake(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)


def _unwatch(
    loop: asyncio.AbstractEventLoop, source: _native.Subscription | _native.Pending
) -> None:
    """Watch a descriptor no more: not after the end of the loop, and not in a forked child, whose
    loop shares what it watches with that of the parent.
    """
    with contextlib.suppress(RuntimeError, ForkedError):
        loop.remove_reader(source.fileno())


async def _ended(pending: _native.Pending, timeout: float | None, what: str) -> Any:
    if pending.outcome() is None:
        loop = asyncio.get_running_loop()
        over = loop.create_future()

        def end() -> None:
            if not over.done():
                over.set_result(None)

        loop.add_reader(pending.fileno(), end)
        try:
            async with asyncio.timeout(timeout):
                await over
        except builtins.TimeoutError:
            pass  # unless it has just ended
        finally:
            _unwatch(loop, pending)
    outcome = pending.outcome()
    if outcome is None:
        raise TimeoutError(f"the time is up, {what} goes on")
    return outcome
