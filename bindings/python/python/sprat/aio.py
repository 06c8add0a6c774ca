"""Nodes for `asyncio`.

`sprat.aio.Node` has the methods of `sprat.Node` except `fileno`; those that wait are coroutines.
Nothing runs in an executor: the library itself is asynchronous and signals each result on a
descriptor, which the event loop watches.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from . import _native
from ._base_node import BaseNode
from ._checks import check_address, check_addresses, check_flag, check_text, check_timeout
from ._errors import ClosedError, ForkedError
from ._events import BATCH, BaseEvents, Selection
from ._key_report import KeyReport
from ._keyring import BaseKeyring
from ._native import Event, Members, Response
from ._operations import (
    Outcome,
    end_result,
    hint_result,
    join_result,
    keys_result,
    last_leave,
    leave_result,
    look_result,
    timed_out,
)
from ._query import QueryReader, begin_query
from ._waiting import CHECK, PAUSE

if TYPE_CHECKING:
    from typing import Unpack

    from .types import Address, Settings

__all__ = ["Events", "Keyring", "Node", "QueryResult"]

E = TypeVar("E", bound=Event)
E_co = TypeVar("E_co", bound=Event, covariant=True)


class Node(BaseNode):
    """A member of a cluster from the moment it is created, for programs with `asyncio`.

    It takes the arguments of `sprat.Node` except `on_event`; read events with ``async for``. Use it
    in an ``async with`` block, which leaves the cluster at its end, even after an exception.
    """

    __slots__ = ()

    def __init__(self, **settings: Unpack[Settings]) -> None:
        self._open(None, {**settings})

    def _open(self, path: str | bytes | None, given: dict[str, Any]) -> None:
        if "on_event" in given:
            raise TypeError("sprat.aio.Node takes no on_event: use `async for` over events()")
        super()._open(path, given)

    def _await_callback(self, timeout: float) -> None:
        """Do not wait: the thread that delivers log lines runs no callback of the program."""

    async def join(self, *addresses: Address, timeout: float | None = 10) -> int:
        """Join a cluster, as `sprat.Node.join` does. A cancelled wait does not stop the join."""
        timeout = check_timeout(timeout)
        pending = self._native.begin_join(check_addresses(addresses))
        return join_result(await _wait(pending, timeout, "join"))

    async def leave(self, timeout: float | None = 5) -> None:
        """Leave the cluster like `sprat.Node.leave`. A cancelled wait does not stop the leave."""
        timeout = check_timeout(timeout)
        pending = self._native.begin_leave()
        leave_result(await _wait(pending, timeout, "leave"))

    async def look(self, address: Address, timeout: float | None = 10) -> Members:
        """Ask a node which members its cluster has, as `sprat.Node.look` does."""
        timeout = check_timeout(timeout)
        pending = self._native.begin_look(check_address("address", address))
        return look_result(await _wait(pending, timeout, "look"))

    async def spread(self, timeout: float | None = 10) -> None:
        """Wait until the last change was gossiped, as `sprat.Node.spread` does.

        A cancelled wait does not stop the gossip.
        """
        timeout = check_timeout(timeout)
        pending = self._native.begin_spread()
        end_result(await _wait(pending, timeout, "gossip"))

    async def hint(self, name: str, timeout: float | None = 10) -> bool:
        """Probe a member, as `sprat.Node.hint` does. A cancelled wait does not stop the probe."""
        timeout = check_timeout(timeout)
        pending = self._native.begin_hint(check_text("name", name))
        return hint_result(await _wait(pending, timeout, "probe"))

    async def send(
        self,
        name: str,
        payload: bytes | bytearray | memoryview,
        reliable: bool = False,
        timeout: float | None = 10,
    ) -> None:
        """Send a message to a member like `sprat.Node.send`. A cancelled wait does not stop it."""
        name, timeout = check_text("name", name), check_timeout(timeout)
        if check_flag("reliable", reliable):
            end_result(await _wait(self._native.begin_send(name, payload), timeout, "message"))
        else:
            self._native.send_datagram(name, payload)

    @overload
    def events(self, *, maxsize: int | None = None) -> Events[Event]: ...
    @overload
    def events(self, *kinds: type[E], maxsize: int | None = None) -> Events[E]: ...
    def events(self, *kinds: type[Event], maxsize: int | None = None) -> Events[Any]:
        """Return an asynchronous iterator over events; see `sprat.Node.events`."""
        return Events(*self._subscribe(kinds, maxsize), self.name, self)

    def query(
        self,
        name: str,
        payload: bytes | bytearray | memoryview = b"",
        *,
        timeout: float | None = None,
        nodes: Iterable[str] = (),
        tags: Mapping[str, str] | None = None,
        ack: bool = False,
        relay_factor: int = 0,
    ) -> QueryResult:
        """Ask members a question, as `sprat.Node.query` does, for ``async for`` over the answers.

        The query is sent when this method is called, which does not wait.
        """
        options = (timeout, nodes, tags, ack, relay_factor)
        number, subscription = begin_query(self._native, name, payload, *options)
        return QueryResult(subscription, self._native, number, self)

    @property
    def keyring(self) -> Keyring:
        """The keys of the cluster, which all members can be told to change or to list."""
        return Keyring(self._native)

    async def next_event(self, timeout: float | None = None) -> Event | None:
        """Return the next event; see `sprat.Node.next_event`. A cancelled wait loses no event."""
        reader: Events[Event] = self._shared_reader(Events)
        event = await reader.next(timeout)
        if event is None and reader._check_over():
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
            # A coroutine that is closed early, for example after its loop has ended, must not wait.
            if self.is_open and not isinstance(error, GeneratorExit):
                with last_leave(self.name):
                    await self.leave()
        finally:
            self.close()


class Keyring(BaseKeyring):
    """The keys of an encrypted cluster, as `Node.keyring`; see `sprat.Keyring`.

    A cancelled wait does not stop what was begun.
    """

    __slots__ = ()

    async def install(self, key: str | bytes, timeout: float | None = None) -> KeyReport:
        """Add a key to the keyrings of all members, as `sprat.Keyring.install` does."""
        return await self._ask("install", key, timeout)

    async def use(self, key: str | bytes, timeout: float | None = None) -> KeyReport:
        """Make a key the primary one at all members, as `sprat.Keyring.use` does."""
        return await self._ask("use", key, timeout)

    async def remove(self, key: str | bytes, timeout: float | None = None) -> KeyReport:
        """Remove a key from the keyrings of all members, as `sprat.Keyring.remove` does."""
        return await self._ask("remove", key, timeout)

    async def list(self, timeout: float | None = None) -> KeyReport:
        """List the keys of all members, as `sprat.Keyring.list` does."""
        return await self._ask("list", None, timeout)

    async def _ask(self, action: str, key: str | bytes | None, timeout: float | None) -> KeyReport:
        pending = self._begin(action, key, timeout)
        return keys_result(await _wait(pending, None, "key query"))


class Events(BaseEvents[E_co]):
    """An asynchronous iterator over the events of a node, made by `Node.events`.

    After the node is closed, it returns the events that wait, and ends. Several tasks may share it:
    each event goes to one of them.
    """

    # The event loop watches the descriptor only while a task waits. So an `async for` over events
    # may be left without cleaning up, and a reader may be used under one event loop after another.
    # The events of a slow reader stay in the library, which bounds their number.

    def __init__(
        self,
        subscription: _native.Subscription,
        selection: Selection,
        node_name: str,
        keeps_alive: object,
    ) -> None:
        super().__init__(subscription, selection, node_name, keeps_alive)
        self._waiting: set[asyncio.Future[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None  # the loop of the waiting tasks
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
        """Return the next event, or `None` after `timeout` seconds.

        Also returns `None` once this reader is closed, or the node is closed and no event waits. A
        timeout of 0 does not wait, `None` waits without limit. Raises the error that stopped the
        node, or the error of a `NodeFailed` that is not selected. A cancelled wait loses no event.
        """
        timeout = check_timeout(timeout)
        if self._in_a_row >= BATCH:
            # Other tasks get their turn, however many events there are.
            self._in_a_row = 0
            await asyncio.sleep(0)
        self._in_a_row += 1
        event = self._take()
        if event is not None or self._check_over():
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
        while event is None and not self._check_over():
            await self._readable()
            event = self._take()
        return event

    async def _readable(self) -> None:
        """Wait until there may be an event to take."""
        loop = asyncio.get_running_loop()
        native = self._native  # held, so that the watched descriptor stays open
        if native is None:
            return
        if self._loop is not loop:
            if self._waiting and self._loop is not None and not self._loop.is_closed():
                raise RuntimeError("tasks of another event loop are waiting for this reader")
            self._waiting.clear()
            self._loop = loop
        future = loop.create_future()
        if not self._waiting:
            loop.add_reader(native.fileno(), self._wake)
        self._waiting.add(future)
        try:
            if self._native is not None:  # else another thread has just closed this reader
                await asyncio.wait([future], timeout=CHECK)
        finally:
            self._waiting.discard(future)
            if not self._waiting and self._loop is loop:
                self._loop = None
                _unwatch(loop, native)

    def _wake(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)


class QueryResult(QueryReader, Events[Response]):
    """The acks and answers to a query: an asynchronous iterator; see `sprat.QueryResult`."""


def _unwatch(
    loop: asyncio.AbstractEventLoop, source: _native.Subscription | _native.Pending
) -> None:
    """Stop watching a descriptor.

    Does nothing once the loop is closed. Does nothing in a forked child either, whose loop shares
    its watched descriptors with the loop of the parent.
    """
    with contextlib.suppress(RuntimeError, ForkedError):
        descriptor = source.fileno()
        if descriptor is not None:
            loop.remove_reader(descriptor)


async def _wait(pending: _native.Pending, timeout: float | None, operation: str) -> Outcome:
    if pending.outcome() is None:
        # After a timeout, the operation may have ended at the last moment.
        with contextlib.suppress(builtins.TimeoutError):
            async with asyncio.timeout(timeout):
                await _end_of(pending)
    outcome = pending.outcome()
    if outcome is None:
        raise timed_out(operation, timeout)
    return outcome


async def _end_of(pending: _native.Pending) -> None:
    """Wait until the operation has finished."""
    descriptor = pending.fileno()
    if descriptor is None:  # none was free, so nothing can wake the event loop
        while pending.outcome() is None:  # noqa: ASYNC110
            await asyncio.sleep(PAUSE)
        return
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_reader(descriptor, over.set)
    try:
        while pending.outcome() is None:
            if over.is_set():  # the descriptor is readable, but it is not that of the operation
                await asyncio.sleep(PAUSE)
            with contextlib.suppress(builtins.TimeoutError):
                async with asyncio.timeout(CHECK):
                    await over.wait()
    finally:
        _unwatch(loop, pending)
