"""The part that `sprat.Node` and `sprat.aio.Node` share, which never waits for the cluster."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, overload

from . import _native
from ._checks import (
    check_callback,
    check_flag,
    check_maxsize,
    check_string_mapping,
    check_text,
)
from ._delivery import Delivery
from ._errors import ClosedError
from ._events import Selection
from ._native import Event, Member, Members, Subscription
from ._settings import native_settings
from ._tags import Tags
from ._values import (
    ALIVE_OR_SUSPECT,
    Coordinate,
    Explanation,
    Health,
    NodeState,
    Stat,
    state_bits,
)

if TYPE_CHECKING:
    from typing import Unpack

    from .types import Settings, State

__all__ = ["BaseNode"]

R = TypeVar("R")

_DEFAULT_STATES = state_bits(ALIVE_OR_SUSPECT)

_CALLBACK_WAIT = 5.0
"""The maximum number of seconds to wait for running callbacks when nodes are closed."""

# The nodes that were started and are not collected yet. All are closed when the interpreter exits.
_open_nodes: weakref.WeakSet[BaseNode] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    nodes: list[BaseNode] = []
    while not nodes and _open_nodes:
        with contextlib.suppress(RuntimeError):  # another thread has just made a node
            nodes = list(_open_nodes)
    for node in nodes:
        node._stop()
    until = time.monotonic() + _CALLBACK_WAIT
    for node in nodes:
        node._await_callback(until - time.monotonic())


class BaseNode:
    """The methods that `sprat.Node` and `sprat.aio.Node` share: none waits for the cluster."""

    # Slots turn a misspelt attribute, as in `node.tag = {...}`, into an error.
    __slots__ = (
        "__weakref__",
        "_created",
        "_delivery",
        "_native",
        "_on_event",
        "_queue_size",
        "_reader",
        "_reader_made",
    )

    _native: _native.Node
    _on_event: Callable[[Any], object] | None
    _delivery: Delivery | None
    _reader: Any

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        *,
        on_event: Callable[[Event], object] | None = None,
        **overrides: Unpack[Settings],
    ) -> Self:
        """Start a node with the settings of a file: lines ``key = value`` and ``tag.KEY = value``.

        The other arguments are those of the class, and override the settings of the file. `tags`
        and `filter_tags` override those of the file key by key. `keys` replaces the `encrypt` of
        the file, and cannot be combined with a `keyring_file`. The `__init__` of a subclass is not
        called.

        Raises `NetworkError` if the file cannot be read, is not a regular file or is larger than
        1 MiB, and `ConfigError` or `TooLargeError` if a line is wrong.
        """
        node = cls.__new__(cls)
        callback = {} if on_event is None else {"on_event": on_event}
        node._open(os.fspath(path), {**overrides, **callback})
        return node

    def _open(self, path: str | bytes | None, given: dict[str, Any]) -> None:
        on_event = given.pop("on_event", None)
        if on_event is not None:
            check_callback(on_event)
        self._reader = self._delivery = None
        self._reader_made = threading.RLock()  # a signal handler may interrupt its holder
        self._created = _creation_place()
        self._native = _native.Node.start(native_settings(given, path))
        try:
            self._queue_size = self._native.event_queue
            self._on_event = on_event
            wanted = Selection(()).names if on_event is not None else []
            if self._native.log_level != "off":
                wanted = [*wanted, "log"]
            if wanted:
                subscription = self._native.subscribe(self._queue_size, wanted)
                self._delivery = Delivery(self, subscription)
            _open_nodes.add(self)
        except BaseException:
            self._native.close()  # the caller will never get this node
            raise

    def __del__(self) -> None:
        native = getattr(self, "_native", None)
        if native is None or native.state == "shutdown":
            return
        if native.state == "broken":
            native.close()
            return
        message = f"{self!r} was not closed; it was created at {self._created}"
        try:
            warnings.warn(message, ResourceWarning, source=self, stacklevel=1)
        finally:  # a filter may turn the warning into an error
            native.close()

    def __reduce__(self) -> Any:
        raise TypeError("a node cannot be pickled: start one in each process")

    def __repr__(self) -> str:
        cls = type(self)
        module = cls.__module__.removesuffix("._node")
        if not hasattr(self, "_native"):
            return f"<{module}.{cls.__qualname__} that did not start>"
        return f"<{module}.{cls.__qualname__} {self.name!r} {self.address} {self.state}>"

    # Name, address and state

    @property
    def name(self) -> str:
        """The name of this node, unique in the cluster."""
        return self._native.name

    @property
    def address(self) -> str:
        """The address where other members reach this node, for example "10.0.0.1:7946"."""
        return self._native.address

    @property
    def state(self) -> NodeState:
        """The state of this node; `SHUTDOWN` in a forked child."""
        return NodeState(self._native.state)

    @property
    def is_open(self) -> bool:
        """True if this node can be used; false if it is closed, broken or inherited in a fork."""
        return self._native.state not in ("shutdown", "broken")

    def _check_open(self) -> None:
        """Raise an error unless the node is open."""
        self._native.health()

    # Members

    @property
    def self_member(self) -> Member:
        """This node as a member. Works after `close`, too."""
        member = self._native.member(self._native.name)
        if member is None:
            raise ClosedError("the node was shut down")
        return member

    def members(
        self,
        *,
        state: State | Iterable[State] | None = ALIVE_OR_SUSPECT,
        role: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Members:
        """Return the members that the arguments select, sorted by name.

        This node is one of the members, so the default lists it until it leaves.

        state: one `MemberState` or several; `None` selects all.
        role: selects members whose tag ``role`` has this value.
        tags: selects members that have all of these tags, with these values.

        The result is an immutable snapshot, cheap enough to take whenever it is needed. After
        `close`, the call returns the last known members. Raises `InvalidError` for an unknown
        state.
        """
        # This method is called often, so its default is converted only once, above.
        states = _DEFAULT_STATES if state is ALIVE_OR_SUSPECT else state_bits(state)
        if role is not None:
            check_text("role", role)
        wanted = None if tags is None else check_string_mapping("tags", tags)
        return self._native.members(states, role, wanted)

    def member(self, name: str) -> Member | None:
        """Return the member with this name in any state, or `None`. Works after `close`, too."""
        return self._native.member(check_text("name", name))

    def remove_failed(self, name: str, prune: bool = False) -> None:
        """Mark a failed member as left; with `prune`, erase a failed or left member immediately.

        Raises `UnknownMemberError` if there is no such member. Raises `StateError` if the member
        is in another state, in ``mode="memberlist"``, or after `leave`.
        """
        self._native.remove_failed(check_text("name", name), check_flag("prune", prune))

    def explain(self, name: str) -> Explanation:
        """Explain why a member is in its state.

        Raises `UnknownMemberError` if no member with this name is listed, or if the member failed
        or left so long ago (`gossip_to_the_dead_ms`) that this node has forgotten the reasons.
        """
        return Explanation._from_native(self._native.explain(check_text("name", name)))

    def coordinate(self, name: str | None = None) -> Coordinate:
        """Return the network coordinate of a member; without a name, that of this node.

        It is the one that the member sent with its last answer to a ping from this node, so it
        takes a while until the coordinates of all members are known. Raises `UnknownMemberError` if
        there is no such member, or if it has not sent a coordinate yet. Raises `StateError` in
        ``mode="memberlist"`` or with ``coordinates=False``.
        """
        name = self.name if name is None else check_text("name", name)
        vec, *others = self._native.coordinate(name)
        return Coordinate(tuple(vec), *others)

    def rtt(self, a: str, b: str | None = None) -> float:
        """Estimate the round-trip time between two members in seconds; `b` is this node by default.

        The estimate comes from the coordinates of the two members, which need not have measured it
        themselves. Raises the same errors as `coordinate`.
        """
        b = self.name if b is None else check_text("b", b)
        return self._native.rtt(check_text("a", a), b)

    def health(self) -> Health:
        """Return the health of this node itself. Raises `ClosedError` after `close`."""
        return Health(**self._native.health())

    @overload
    def stats(self, help: Literal[False] = False) -> dict[str, int]: ...
    @overload
    def stats(self, help: Literal[True]) -> dict[str, Stat]: ...
    def stats(self, help: bool = False) -> dict[str, int] | dict[str, Stat]:  # noqa: A002
        """Return the counters by name; with `help`, each value comes with its description."""
        stats = self._native.stats()
        if help:
            return {name: Stat(value, text) for name, value, text in stats}
        return {name: value for name, value, _ in stats}

    # Tags and metadata

    @property
    def tags(self) -> Tags:
        """The tags of this node, a live mapping: a change is sent to the cluster.

        Assigning a mapping replaces all tags in one step. Raises `TooLargeError` if the tags take
        more than 512 bytes, and `StateError` in ``mode="memberlist"`` or after `leave`. The tags
        stay unchanged after an error.
        """
        return Tags(self._native)

    @tags.setter
    def tags(self, tags: Mapping[str, str]) -> None:
        if isinstance(tags, Tags) and tags._native is self._native:
            return  # `node.tags |= ...` has changed them and assigns them to themselves
        self._native.set_tags(check_string_mapping("tags", tags))

    def set_meta(self, meta: bytes) -> None:
        """Replace the metadata of this node in ``mode="memberlist"``, at most 512 bytes.

        Raises `TooLargeError` if it is longer, and `StateError` after `leave` or in
        ``mode="serf"``, which has tags instead.
        """
        self._native.set_meta(meta)

    # User events

    def send_event(
        self, name: str, payload: bytes | bytearray | memoryview = b"", coalesce: bool = False
    ) -> None:
        """Send a user event to all members, without waiting for them.

        Every node, this one included, delivers it once, as a `UserEvent`. Events that are sent
        faster than gossip carries them wait at this node, which delivers them when they are sent.

        coalesce: true to let receivers deliver only the last of several events with this name.

        Raises `TooLargeError` if the encoded event takes more bytes than `user_event_bytes` allows,
        and `StateError` in ``mode="memberlist"``, after `leave`, or while 2,048 events wait.
        """
        self._native.send_event(check_text("name", name), payload, check_flag("coalesce", coalesce))

    # Messages and state in memberlist mode

    def broadcast(self, payload: bytes | bytearray | memoryview, name: str | None = None) -> None:
        """Gossip a message to the other members, in ``mode="memberlist"``.

        Each program there gets it, perhaps several times, as a `Message`. Its node does not pass
        the message on: to reach all members of a large cluster, each program must broadcast the
        messages that are new to it.

        name: the message replaces the one with the same name that still waits to be sent; `None`
            replaces none. The name stays on this node.

        Raises `TooLargeError` if the message does not fit into a datagram of `packet_bytes`, and
        `StateError` in ``mode="serf"``, after `leave`, or while 4,096 broadcasts wait to be
        gossiped, unless this one replaces one of them.
        """
        self._native.broadcast(payload, None if name is None else check_text("name", name))

    def set_local_state(self, state: bytes | bytearray | memoryview) -> None:
        """Set the state that every push/pull hands to another program, in ``mode="memberlist"``.

        The other program gets it as a `RemoteState`. Call this whenever the state has changed; an
        empty state is not handed out.

        Raises `TooLargeError` if the state has more than 8 MiB, and `StateError` in
        ``mode="serf"``.
        """
        self._native.set_local_state(state)

    def set_ack_payload(self, payload: bytes | bytearray | memoryview) -> None:
        """Set the bytes that the acks of this node carry, in ``mode="memberlist"``.

        Each member gets them with every answer to one of its pings; with the setting ``ping_acks``,
        its program has a `PingAck`. Without a call, acks carry none.

        Raises `TooLargeError` if there are more than 512 bytes, and `StateError` in
        ``mode="serf"``, where acks carry the network coordinate of the node.
        """
        self._native.set_ack_payload(payload)

    def _subscribe(
        self, kinds: tuple[type[Event], ...], maxsize: int | None
    ) -> tuple[Subscription, Selection]:
        """Subscribe to events of these kinds, of which `maxsize` may wait for their reader."""
        selection = Selection(kinds)
        size = self._queue_size if maxsize is None else check_maxsize(maxsize)
        return self._native.subscribe(size, selection.names), selection

    def _shared_reader(self, make: Callable[..., R]) -> R:
        """Return the reader of `next_event`, which `make` makes on first use."""
        if self._reader is None:
            self._native.check_process()  # in a forked child, the lock may never be released
            with self._reader_made:
                if self._reader is None:
                    # This reader must not keep the node alive, or it would never be collected.
                    self._reader = make(*self._subscribe((), None), self.name, None)
        reader: R = self._reader
        return reader

    # Closing

    def close(self) -> None:
        """Stop immediately, without leaving the cluster.

        The other members see a failure, unless the node has left before. A second call does
        nothing. `sprat.Node` waits at most 5 s for a running callback, unless the callback itself
        calls this method. A host name that is being resolved delays the return by at most 1 s.
        """
        self._stop()
        self._await_callback(_CALLBACK_WAIT)

    def _stop(self) -> None:
        native = getattr(self, "_native", None)
        if native is None:
            return
        if self._delivery is not None:
            self._delivery.stop()
        native.close()

    def _await_callback(self, timeout: float) -> None:
        if self._delivery is not None:
            self._delivery.join(max(timeout, 0.0))


def _creation_place() -> str:
    """Return the file and line at which the program makes a node, for the `ResourceWarning`."""
    folder = os.path.dirname(__file__) + os.sep  # noqa: PTH120 - no file is touched
    frame = sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(folder):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
