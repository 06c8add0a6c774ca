"""The node: `sprat.Node`, and what it shares with `sprat.aio.Node`."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, overload

from . import _native
from ._delivery import Delivery
from ._errors import ClosedError, Error, JoinError, TimeoutError
from ._events import Events, Selection, check_timeout
from ._native import Event, Member, Members
from ._settings import check_callback, checked_addresses, checked_text, native_settings, texts
from ._tags import Tags
from ._values import (
    ALIVE_OR_SUSPECT,
    Explanation,
    Health,
    NodeState,
    Stat,
    state_bits,
)

if TYPE_CHECKING:
    from typing import Unpack

    from .types import Address, LogLevel, OtherSettings, Settings, State

__all__ = ["BaseNode", "Node"]

E = TypeVar("E", bound=Event)

_log = logging.getLogger("sprat")

_THERE = state_bits(ALIVE_OR_SUSPECT)

_PATIENCE = 5.0
"""Seconds that the end of a node waits for a callback that runs."""

# Those that were not closed: the end of the process closes them.
_live: weakref.WeakSet[BaseNode] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    nodes: list[BaseNode] = []
    while not nodes and _live:
        with contextlib.suppress(RuntimeError):  # a thread that still runs has made another one
            nodes = list(_live)
    for node in nodes:
        node._stop()
    until = time.monotonic() + _PATIENCE
    for node in nodes:
        node._await_callback(until - time.monotonic())


class BaseNode:
    """What `sprat.Node` and `sprat.aio.Node` have in common: everything that does not wait."""

    # An attribute that is none, as in `node.tag = {...}`, is an error.
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
        """Start a node with the settings of a file: lines ``key = value``, and ``tag.KEY = value``.

        The others are arguments of the class: they win over the file. `NetworkError` with `errno`
        if it cannot be read, `ConfigError` if a line is wrong. Of a class of your own `__init__` is
        not called.
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
        self._reader_made = threading.RLock()  # a handler of a signal may interrupt its owner
        self._created = _caller()
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
            _live.add(self)
        except BaseException:
            self._native.close()  # nobody will ever have this node
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
        finally:  # the warning may be an error
            native.close()

    def __reduce__(self) -> Any:
        raise TypeError("a node cannot be pickled: start one in each process")

    def __repr__(self) -> str:
        cls = type(self)
        module = cls.__module__.removesuffix("._node")
        if not hasattr(self, "_native"):
            return f"<{module}.{cls.__qualname__} that did not start>"
        return f"<{module}.{cls.__qualname__} {self.name!r} {self.address} {self.state}>"

    # What it is

    @property
    def name(self) -> str:
        """Its name, unique in the cluster."""
        return self._native.name

    @property
    def address(self) -> str:
        """Where others reach it, as "10.0.0.1:7946"."""
        return self._native.address

    @property
    def state(self) -> NodeState:
        """What it is doing; shutdown in a forked child."""
        return NodeState(self._native.state)

    @property
    def is_open(self) -> bool:
        """Whether it is there: not closed, not broken, and not inherited by a fork."""
        return self._native.state not in ("shutdown", "broken")

    def _check_open(self) -> None:
        """Raise if there is nothing to use any more: closed, broken, or inherited by a fork."""
        self._native.health()

    # Members

    @property
    def self_member(self) -> Member:
        """This node as a member, as it is now. `ClosedError` when it is not listed any more."""
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
        """The members as they are now, sorted by name, this node included.

        state: one `MemberState` or several; `None` for all.
        role: only those whose tag ``role`` is this.
        tags: only those that have all of these tags, with these values.

        A picture of one moment that never changes, cheap enough to take whenever it is needed.
        After `close` it is the last one. `InvalidError` for a state that is none.
        """
        # The usual question is asked often.
        states = _THERE if state is ALIVE_OR_SUSPECT else state_bits(state)
        if role is not None:
            checked_text("role", role)
        return self._native.members(states, role, None if tags is None else texts("tags", tags))

    def member(self, name: str) -> Member | None:
        """The member of this name in whatever state, or `None`. After `close` as last known."""
        return self._native.member(checked_text("name", name))

    def remove_failed(self, name: str, prune: bool = False) -> None:
        """Make a failed member one that has left; with `prune` it is erased at once.

        `UnknownMemberError` if there is none, `StateError` if it has not failed.
        """
        self._native.remove_failed(checked_text("name", name), prune)

    def explain(self, name: str) -> Explanation:
        """Why a member is in its state. `UnknownMemberError` if there is none of this name."""
        return Explanation._from_native(self._native.explain(checked_text("name", name)))

    def health(self) -> Health:
        """How this node itself is doing. `ClosedError` after `close`."""
        return Health(**self._native.health())

    @overload
    def stats(self, help: Literal[False] = False) -> dict[str, int]: ...
    @overload
    def stats(self, help: Literal[True]) -> dict[str, Stat]: ...
    def stats(self, help: bool = False) -> dict[str, int] | dict[str, Stat]:  # noqa: A002
        """Counters by name; with `help` each with what it means."""
        stats = self._native.stats()
        if help:
            return {name: Stat(value, text) for name, value, text in stats}
        return {name: value for name, value, _ in stats}

    # What it says of itself

    @property
    def tags(self) -> Tags:
        """The tags of this node, a live mapping: changes are told to the cluster.

        Assigning a mapping replaces all of them in one step. `TooLargeError` if they take more
        than 512 bytes, `StateError` in ``mode="memberlist"``: then nothing changes.
        """
        return Tags(self._native)

    @tags.setter
    def tags(self, tags: Mapping[str, str]) -> None:
        self._native.set_tags(texts("tags", tags))

    def set_meta(self, meta: bytes) -> None:
        """Replace the metadata of this node, at most 512 bytes, in ``mode="memberlist"``.

        `TooLargeError` if it is longer, `StateError` in ``mode="serf"``, which has tags instead.
        """
        if not isinstance(meta, bytes | bytearray | memoryview):
            raise TypeError(f"meta must be bytes, not {type(meta).__name__}")
        self._native.set_meta(bytes(meta))

    # Its end

    def close(self) -> None:
        """Stop at once, without a word: the others will see a failure, unless it has left.

        May be called twice, and from a callback. Waits at most 5 s for a callback that runs.
        """
        self._stop()
        self._await_callback(_PATIENCE)

    def _stop(self) -> None:
        native = getattr(self, "_native", None)
        if native is None:
            return
        if self._delivery is not None:
            self._delivery.stop()
        native.close()

    def _await_callback(self, patience: float) -> None:
        if self._delivery is not None:
            self._delivery.join(max(patience, 0.0))


class Node(BaseNode):
    """A member of a cluster, from the moment it is made.

    It is a cluster of its own until it joins another, or another joins it. Use it in a ``with``
    block, which leaves the cluster at its end, or call `leave` and `close`.

    name: the name of this node, unique in the cluster; the host name by default.
    bind: where it listens, with UDP and TCP.
    advertise: where others reach it, if that is another address.
    tags: what it tells the others of itself, at most 512 bytes together.
    keys: keys that encrypt all traffic, as bytes or in base64; the first encrypts, all decrypt.
    profile: "lan", "wan" or "local": the defaults of all times.
    mode: "serf", or "memberlist" for clusters without tags.
    seeds: addresses that are joined from the start, and again for as long as the node lives.
    on_event: called with each event on a thread of its own, named "sprat-events".
    event_queue: events that wait for a reader; then the oldest of each member go.
    log_level: "error", "warn", "info", "debug", "trace" or a level of `logging`; then lines of the
        log go to the logger "sprat" and its children.
    filter_names, filter_tags: only members that fit are listed and cause events.
    meta: raw metadata, in ``mode="memberlist"``.
    settings: all other settings of the library, by name: see `sprat.types.OtherSettings`.

    All methods may be called from any thread.
    """

    __slots__ = ()

    def __init__(
        self,
        *,
        name: str | None = None,
        bind: Address = "0.0.0.0:7946",
        advertise: Address | None = None,
        tags: Mapping[str, str] | None = None,
        keys: Iterable[str | bytes] = (),
        profile: Literal["lan", "wan", "local"] = "lan",
        mode: Literal["serf", "memberlist"] = "serf",
        seeds: Iterable[str] = (),
        on_event: Callable[[Event], object] | None = None,
        event_queue: int = 4096,
        log_level: LogLevel | None = None,
        **settings: Unpack[OtherSettings],
    ) -> None:
        given = {
            "name": name,
            "bind": bind,
            "advertise": advertise,
            "tags": tags,
            "keys": keys,
            "profile": profile,
            "mode": mode,
            "seeds": seeds,
            "on_event": on_event,
            "event_queue": event_queue,
            "log_level": log_level,
        }
        self._open(None, {**given, **settings})

    # Joining and leaving

    def join(self, *addresses: str, timeout: float | None = 10) -> int:
        """Join a cluster: exchange lists of members with every address. How many answered.

        addresses: "10.0.0.1", "10.0.0.1:7946", "[::1]:7946", "host" or "host:7946".
        timeout: in seconds; `None` waits without limit. When it is over the attempt goes on.

        `JoinError` if nobody answered, with the reason for each address in `errors`;
        `NameConflictError` if another node answers to this one's name; `AddressError` for an
        address that is none; `InvalidError` without any; `TimeoutError`.
        """
        timeout = check_timeout(timeout)
        pending = self._native.begin_join(checked_addresses(addresses))
        return joined(_ended(pending, timeout, "the join"))

    def leave(self, timeout: float | None = 5) -> None:
        """Leave the cluster: announce it and wait until the news has spread.

        Nobody sees a failure then. The node still answers and lists members, and may join again.
        `TimeoutError` when the time is up; the departure goes on.
        """
        timeout = check_timeout(timeout)
        pending = self._native.begin_leave()
        done(_ended(pending, timeout, "the leave"))

    def hint(self, name: str, timeout: float | None = 10) -> bool:
        """Say "I could not reach NAME just now": it is probed at once. True if it answers.

        `UnknownMemberError` if there is no such member, `StateError` if it is not alive, is this
        node itself, or is being asked already.
        """
        timeout = check_timeout(timeout)
        pending = self._native.begin_hint(checked_text("name", name))
        return answered(_ended(pending, timeout, "the probe"))

    # Events

    @overload
    def events(self, *, maxsize: int | None = None) -> Events[Event]: ...
    @overload
    def events(self, *kinds: type[E], maxsize: int | None = None) -> Events[E]: ...
    def events(self, *kinds: type[Event], maxsize: int | None = None) -> Events[Any]:
        """A reader of its own: an iterator that waits for events of these kinds (all by default).

        Each reader sees everything from when it was made; the first one also what happened since
        the start of the node. `maxsize` events may wait for it (`event_queue` by default); then
        an `Overflow` says that some were lost. It ends when the node is closed.

        maxsize: 4 to 1048576, or `InvalidError`.
        """
        return Events(self, kinds, self._queue_size if maxsize is None else maxsize)

    def next_event(self, timeout: float | None = None) -> Event | None:
        """The next event, or `None` when the time (in seconds) is up. `ClosedError` at the end."""
        event = self._own_reader().next(timeout)
        if event is None and not self.is_open:
            raise ClosedError("the node was shut down")
        return event

    def fileno(self) -> int:
        """A descriptor that is readable while `next_event` has one, for `select` and event loops.

        Poll it only, and never close it.
        """
        return self._own_reader().fileno()

    def _own_reader(self) -> Events[Event]:
        with self._reader_made:
            if self._reader is None:
                self._reader = self.events()
                self._reader._node = None  # a node that holds itself would never be collected
            reader: Events[Event] = self._reader
            return reader

    # Its scope

    def __enter__(self) -> Self:
        self._check_open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if ends_well(error) and self.is_open:
                with contextlib.suppress(TimeoutError, ClosedError):
                    self.leave()
        finally:
            self.close()


# How operations end, for both kinds of nodes


def ends_well(error: BaseException | None) -> bool:
    """Whether a block that ended like this says goodbye to the cluster.

    After an error nobody should have to wait for it to be seen. Ctrl-C and `sys.exit` are none.
    """
    return error is None or isinstance(error, KeyboardInterrupt | SystemExit)


_Outcome = tuple[int | None, Error | None, list[tuple[str, Error]]]


def _ended(pending: _native.Pending, timeout: float | None, what: str) -> _Outcome:
    if pending.wait(timeout):
        outcome = pending.outcome()
        if outcome is not None:
            return outcome
    raise TimeoutError(f"the time is up, {what} goes on")


def joined(outcome: _Outcome) -> int:
    """How many a join reached."""
    contacted, error, failures = outcome
    if error is None:
        return contacted or 0
    if not failures:
        raise error  # closed, or a conflict of names
    raise JoinError(str(error), code=error.code, errors=dict(failures))


def done(outcome: _Outcome) -> None:
    """An operation without a result."""
    _, error, _ = outcome
    if error is not None:
        raise error


def answered(outcome: _Outcome) -> bool:
    """The verdict of a hint."""
    _, error, _ = outcome
    if error is None:
        return True
    if error.code == "SPRAT_ERR_UNREACHABLE":
        return False
    raise error


def _caller() -> str:
    """Where in the program a node is being made."""
    folder = os.path.dirname(__file__) + os.sep  # noqa: PTH120 - of a name, no file is touched
    frame = sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(folder):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
