"""Clusters for the tests of programs that use sprat.

A `cluster` runs several nodes in this process, all joined, each on a loopback address of its own::

    def test_a_failure_is_noticed():
        with sprat.testing.cluster(5) as nodes:
            nodes.kill(nodes[4])
            nodes.wait_for_state(nodes[4], "failed")

`aio_cluster` is the same for `asyncio`. The fixture `sprat_cluster` for pytest is in the module
`sprat.pytest_plugin`. Unless told otherwise, the nodes have the settings `FAST`.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import ipaddress
import itertools
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, Self, TypedDict, TypeVar, overload

from . import aio
from ._base_node import BaseNode
from ._checks import check_timeout
from ._errors import InvalidError, TimeoutError
from ._node import Node
from ._values import state_bits

if TYPE_CHECKING:
    from typing import Unpack

    from .types import Settings, State

__all__ = ["FAST", "AioCluster", "Cluster", "aio_cluster", "cluster"]

N = TypeVar("N", bound=BaseNode)


class _FastSettings(TypedDict):
    """The settings of `FAST`, and no others: so a call may name `name` and `bind` beside it."""

    profile: Literal["local"]
    probe_interval_ms: int
    probe_timeout_ms: int
    suspicion_mult: int
    suspicion_max_mult: int
    gossip_interval_ms: int
    push_pull_interval_ms: int
    reconnect_min_ms: int
    reconnect_max_ms: int
    leave_propagate_ms: int
    stream_timeout_ms: int


FAST: Final[_FastSettings] = {
    "profile": "local",
    "probe_interval_ms": 20,
    "probe_timeout_ms": 6,
    "suspicion_mult": 3,
    "suspicion_max_mult": 2,
    "gossip_interval_ms": 20,
    "push_pull_interval_ms": 1000,
    "reconnect_min_ms": 50,
    "reconnect_max_ms": 1000,
    "leave_propagate_ms": 0,
    # A join or a leave does not fail because a busy machine takes a few seconds.
    "stream_timeout_ms": 10_000,
}
"""Settings for tests: members see a failure after about 0.1 s, and a leave takes no time.

A member that does not run for that long, because the machine is very busy, counts as failed and
returns as soon as it runs again. All members of a cluster should have the same settings.
"""

_PAUSE = 0.01
"""The seconds between two checks of a condition."""

_OWN_SETTINGS = ("name", "bind", "advertise", "seeds")
"""Settings that a cluster gives to each of its nodes."""


def cluster(size: int = 3, *, timeout: float = 30, **settings: Unpack[Settings]) -> Cluster:
    """Return a cluster of nodes named "node-1", "node-2" and so on, for a `with` block.

    The block begins when every node lists all the others. At its end, the nodes leave.

    size: the number of nodes.
    timeout: the seconds after which the cluster stops waiting for a condition.
    settings: settings of `sprat.Node` for all nodes. They override `FAST`; with `profile`, the
        nodes have the times of that profile instead of `FAST`.
    """
    return Cluster(size, timeout, settings)


def aio_cluster(size: int = 3, *, timeout: float = 30, **settings: Unpack[Settings]) -> AioCluster:
    """Return a cluster like that of `cluster`, of `sprat.aio` nodes, for ``async with``."""
    return AioCluster(size, timeout, settings)


class _BaseCluster(Sequence[N], Generic[N], ABC):
    """The part of a cluster that does not wait: its nodes, and what they list."""

    def __init__(self, size: int, timeout: float, settings: Settings) -> None:
        if isinstance(size, bool) or not isinstance(size, int):
            raise TypeError(f"size must be int, not {type(size).__name__}")
        if size < 1:
            raise InvalidError(f"size must be 1 or more, got {size}")
        for name in _OWN_SETTINGS:
            if name in settings:
                raise TypeError(f"a cluster chooses {name} for each node; leave it out")
        if timeout is None:
            raise TypeError("timeout must be a number of seconds, not None: a test has to end")
        check_timeout(timeout)
        self._size, self._timeout = size, timeout
        self._entered = self._ended = False
        self._settings: dict[str, Any] = {**({} if "profile" in settings else FAST), **settings}
        self._nodes: list[N] = []
        self._addresses = _loopback_addresses()

    @overload
    def __getitem__(self, index: int) -> N: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[N]: ...
    def __getitem__(self, index: int | slice) -> N | Sequence[N]:
        return self._nodes[index]

    def __len__(self) -> int:
        return len(self._nodes)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} nodes, {len(self.running)} running>"

    @property
    def running(self) -> tuple[N, ...]:
        """The nodes that run: those that were neither killed nor closed and have not left."""
        return tuple(node for node in self._nodes if node.state == "running")

    def kill(self, node: N) -> None:
        """End a node without a leave, as a crash does: the others see a failure."""
        if not any(node is it for it in self._nodes):
            raise InvalidError(f"{node!r} is not a node of this cluster")
        node.close()

    def _enter(self) -> None:
        """Note that the cluster is entered; a `with` block can do this once."""
        if self._entered:
            raise RuntimeError(
                "this cluster has been started already, by a `with` block or by the fixture"
                " sprat_cluster; make another one"
            )
        self._entered = True

    @abstractmethod
    def _make(self, settings: dict[str, Any]) -> N:
        """Make a node with these settings."""

    def _begin(self, given: Settings) -> tuple[N, tuple[str, ...]]:
        """Start one more node; return it and the address that it has to join, if there is one."""
        if not self._entered or self._ended:
            raise RuntimeError("a cluster starts nodes only inside its `with` block")
        first = self.running[:1]
        taken = {node.name for node in self._nodes}
        number = next(n for n in itertools.count(1) if f"node-{n}" not in taken)
        own = {"name": f"node-{number}", "bind": next(self._addresses)}
        node = self._make({**self._settings, **own, **given})
        self._nodes.append(node)
        return node, tuple(it.address for it in first)

    @contextlib.contextmanager
    def _closed_on_error(self, node: N) -> Iterator[None]:
        """Close a node that could not join: the other nodes would never list it."""
        try:
            yield
        except BaseException:
            node.close()
            raise

    def _agrees(self) -> bool:
        """Whether the nodes that run list the same live members, and these are no other nodes."""
        running = self.running
        lists = [frozenset(node.members().names()) for node in running]
        names = {node.name for node in running}
        gone = {node.name for node in self._nodes} - names
        return all(it == lists[0] and names <= it and not gone & it for it in lists)

    def _lists(self, member: BaseNode | str, state: State) -> Callable[[], bool]:
        """Return a condition: all other nodes that run list the member in this state."""
        state_bits(state)  # raises an error for an unknown state
        name = member if isinstance(member, str) else member.name

        def condition() -> bool:
            found = [node.member(name) for node in self.running if node.name != name]
            return bool(found) and all(it is not None and it.state == state for it in found)

        condition.__qualname__ = f"every node lists {name} as {state}"
        return condition

    def _not_met(self, condition: Callable[[], Any]) -> TimeoutError:
        """Make the error for a condition that was not met in time; it says what each node lists."""
        what = getattr(condition, "__qualname__", repr(condition))
        lines = [f"the condition was not met within {self._timeout:g} s: {what}"]
        for node in self._nodes:
            members = (f"{it.name} {it.state}" for it in node.members(state=None))
            lines.append(f"  {node.name} ({node.state}) lists: {', '.join(members)}")
        return TimeoutError("\n".join(lines))


class Cluster(_BaseCluster[Node]):
    """Nodes that form a cluster, made by `cluster`: a sequence of `sprat.Node`.

    It has all nodes that were started, in this order, also those that were killed.
    """

    def __enter__(self) -> Self:
        self._enter()
        with contextlib.ExitStack() as stack:
            self._stack = stack
            for _ in range(self._size):
                self.start()
            self.wait_for_agreement()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended = True
        self._stack.__exit__(kind, error, trace)

    def start(self, **settings: Unpack[Settings]) -> Node:
        """Start one more node, which joins the others, and return it.

        settings: settings of this node alone, such as `name` and `tags`.
        """
        node, join = self._begin(settings)
        self._stack.enter_context(node)
        with self._closed_on_error(node):
            if join:
                node.join(*join, timeout=self._timeout)
        return node

    def wait_for(self, condition: Callable[[], Any]) -> None:
        """Wait until a condition, a function without arguments, returns a true value.

        Raises `TimeoutError` after the `timeout` of the cluster, with what each node lists.
        """
        if inspect.iscoroutinefunction(condition):
            raise TypeError(
                "condition must be an ordinary function: nothing awaits a coroutine here"
            )
        until = time.monotonic() + self._timeout
        while not condition():
            if time.monotonic() > until:
                raise self._not_met(condition)
            time.sleep(_PAUSE)

    def wait_for_state(self, member: BaseNode | str, state: State) -> None:
        """Wait until every other node that runs lists a member, by name or node, in this state."""
        self.wait_for(self._lists(member, state))

    def wait_for_agreement(self) -> None:
        """Wait until all nodes that run list each other, no ended node, and the same others."""
        self.wait_for(self._agrees)

    def _make(self, settings: dict[str, Any]) -> Node:
        return Node(**settings)


class AioCluster(_BaseCluster[aio.Node]):
    """Nodes that form a cluster, made by `aio_cluster`: a sequence of `sprat.aio.Node`."""

    async def __aenter__(self) -> Self:
        self._enter()
        async with contextlib.AsyncExitStack() as stack:
            self._stack = stack
            for _ in range(self._size):
                await self.start()
            await self.wait_for_agreement()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended = True
        await self._stack.__aexit__(kind, error, trace)

    async def start(self, **settings: Unpack[Settings]) -> aio.Node:
        """Start one more node, which joins the others, as `Cluster.start` does."""
        node, join = self._begin(settings)
        await self._stack.enter_async_context(node)
        with self._closed_on_error(node):
            if join:
                await node.join(*join, timeout=self._timeout)
        return node

    async def wait_for(self, condition: Callable[[], Any | Awaitable[Any]]) -> None:
        """Wait until a condition returns a true value, as `Cluster.wait_for` does.

        condition: a function without arguments, or a coroutine function.
        """
        until = time.monotonic() + self._timeout
        while True:
            met = condition()
            if inspect.isawaitable(met):
                met = await met
            if met:
                return
            if time.monotonic() > until:
                raise self._not_met(condition)
            await asyncio.sleep(_PAUSE)

    async def wait_for_state(self, member: BaseNode | str, state: State) -> None:
        """Wait until every other node lists a member so, as `Cluster.wait_for_state` does."""
        await self.wait_for(self._lists(member, state))

    async def wait_for_agreement(self) -> None:
        """Wait until all nodes that run list each other, as `Cluster.wait_for_agreement` does."""
        await self.wait_for(self._agrees)

    def _make(self, settings: dict[str, Any]) -> aio.Node:
        return aio.Node(**settings)


def _loopback_addresses() -> Iterator[str]:
    """Yield loopback addresses that no other cluster uses, with any free port.

    The nodes of a cluster look for a killed node at its address. If a node of another cluster had
    that address, the two clusters would become one. So the addresses begin at a random place, which
    a test cannot repeat by seeding a random source.
    """
    place = int.from_bytes(os.urandom(2), "big") % (254 << 8)
    begin = int(ipaddress.IPv4Address("127.1.0.0")) + (place << 8)
    return (f"{ipaddress.IPv4Address(begin + host)}:0" for host in itertools.count(1))
