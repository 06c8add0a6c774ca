"""Nodes for `asyncio`.

The same as `sprat.Node`; what waits is a coroutine. Nothing runs in an executor: the library is
asynchronous by itself and tells of the end on a descriptor, which the event loop watches.
"""

from __future__ import annotations

import asyncio
import builtins
import collections
import contextlib
import os
import weakref
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, overload

from . import _native
from ._errors import ClosedError, Error, TimeoutError
from ._events import BATCH, Selection, check_timeout
from ._native import Event
from ._node import BaseNode, answered, checked_addresses, done, joined

__all__ = ["Events", "Node"]

E = TypeVar("E", bound=Event)
E_co = TypeVar("E_co", bound=Event, covariant=True)


class Node(BaseNode):
    """A member of a cluster, from the moment it is made, for programs with `asyncio`.

    Arguments are those of `sprat.Node`, without `on_event`: use ``async for``. Use it in an
    ``async with`` block, which leaves the cluster at its end.
    """

    def __init__(self, **settings: Any) -> None:
        if "on_event" in settings:
            raise TypeError("sprat.aio.Node takes no on_event: use `async for` over events()")
        super().__init__(**settings)

    async def join(self, *addresses: str, timeout: float | None = 10) -> int:
        """As `sprat.Node.join`."""
        pending = self._native.begin_join(checked_addresses(addresses))
        return joined(await _ended(pending, check_timeout(timeout), "the join"))

    async def leave(self, timeout: float | None = 5) -> None:
        """As `sprat.Node.leave`."""
        pending = self._native.begin_leave()
        done(await _ended(pending, check_timeout(timeout), "the leave"))

    async def hint(self, name: str, timeout: float | None = 10) -> bool:
        """As `sprat.Node.hint`."""
        pending = self._native.begin_hint(name)
        return answered(await _ended(pending, check_timeout(timeout), "the probe"))

    @overload
    def events(self, *, maxsize: int | None = None) -> Events[Event]: ...
    @overload
    def events(self, *kinds: type[E], maxsize: int | None = None) -> Events[E]: ...
    def events(self, *kinds: type[Event], maxsize: int | None = None) -> Events[Any]:
        """As `sprat.Node.events`: an asynchronous iterator. To be called in a coroutine."""
        return Events(self, kinds, self._queue_size if maxsize is None else maxsize)

    _reader: Events[Event] | None = None

    async def next_event(self, timeout: float | None = None) -> Event | None:
        """As `sprat.Node.next_event`."""
        if self._reader is None:
            self._reader = self.events()
            self._reader._node = None  # a node that holds itself would never be collected
        event = await self._reader.next(timeout)
        if event is None and not self.is_open:
            raise ClosedError("the node was shut down")
        return event

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None and self.is_open:
                with contextlib.suppress(TimeoutError, ClosedError):
                    await self.leave()
        finally:
            self.close()


class Events(Generic[E_co]):
    """An asynchronous iterator over the events of a node, made by `Node.events`.

    It ends when the node is closed. Several tasks may share it: each event goes to one of them.
    """

    def __init__(self, node: BaseNode, kinds: tuple[type[Event], ...], maxsize: int) -> None:
        self._node: BaseNode | None = node  # it lives as long as somebody reads its events
        self._selection = Selection(kinds)
        self._native = node._native.subscribe(maxsize, self._selection.names)
        self._taken: collections.deque[Any] = collections.deque()
        self._waiting: set[asyncio.Future[None]] = set()
        self._failure: Error | None = None
        self._ended = False
        self._paused = False
        self._loop = asyncio.get_running_loop()
        # A duplicate, so that nobody closes a descriptor that the loop watches: the loop would
        # remember its number, and whoever got that number next would never be heard.
        self._fd = os.dup(self._native.fileno())
        self._watch()
        self._release = weakref.finalize(self, _release, self._loop, self._fd)
        self._release.atexit = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E_co:
        event = await self.next()
        if event is None:
            raise StopAsyncIteration
        return event

    async def next(self, timeout: float | None = None) -> E_co | None:
        """The next event, or `None` when the time (in seconds) is up or the node was closed."""
        if not self._taken:
            try:
                async with asyncio.timeout(check_timeout(timeout)):
                    await self._something()
            except builtins.TimeoutError:
                return None
        if not self._taken:
            if self._failure is not None:
                raise self._failure
            return None
        event = self._taken.popleft()
        if self._paused and not self._taken:
            self._watch()
        return event  # type: ignore[no-any-return]

    def close(self) -> None:
        """Read no more. Called twice, it does nothing."""
        self._end(None)
        self._taken.clear()

    async def _something(self) -> None:
        while not self._taken and not self._ended:
            future = self._loop.create_future()
            self._waiting.add(future)
            try:
                await future
            finally:
                self._waiting.discard(future)

    def _watch(self) -> None:
        self._paused = False
        self._loop.add_reader(self._fd, _readable, weakref.ref(self))

    def _read(self) -> None:
        try:
            events = self._native.drain(BATCH)
        except ClosedError:
            return self._end(None)
        except Error as error:
            return self._end(error)
        try:
            self._taken.extend(self._selection.pick(events))
        except Error as error:
            return self._end(error)
        if len(self._taken) >= BATCH:
            # The reader is slow: the rest waits in the library, where its number is bounded.
            self._paused = True
            self._loop.remove_reader(self._fd)
        self._wake()
        return None

    def _end(self, failure: Error | None) -> None:
        if not self._ended:
            self._ended = True
            self._failure = failure
            self._node = None
            self._release()
        self._wake()

    def _wake(self) -> None:
        for future in self._waiting:
            _fulfil(future)


def _fulfil(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _readable(reader: weakref.ref[Events[Any]]) -> None:
    events = reader()
    if events is not None:
        events._read()


def _release(loop: asyncio.AbstractEventLoop, fd: int) -> None:
    """Watches and holds the descriptor no more. Runs on any thread."""

    def close() -> None:
        loop.remove_reader(fd)
        os.close(fd)

    try:
        loop.call_soon_threadsafe(close)
    except RuntimeError:  # the loop is closed
        os.close(fd)


async def _ended(pending: _native.Pending, timeout: float | None, what: str) -> Any:
    outcome = pending.outcome()
    if outcome is not None:
        return outcome
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    fd = os.dup(pending.fileno())
    try:
        loop.add_reader(fd, _fulfil, over)
        async with asyncio.timeout(timeout):
            await over
    except builtins.TimeoutError:
        raise TimeoutError(f"the time is up, {what} goes on") from None
    finally:
        loop.remove_reader(fd)
        os.close(fd)
    return pending.outcome()
