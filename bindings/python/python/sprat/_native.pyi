"""The types of the native part of sprat, written by hand; a test compares them with the module.

The docstrings are those of the module: `tests/stub_docs.py` writes them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self, TypeVar, final, overload

from typing_extensions import disjoint_base

from ._errors import Error
from ._key_report import KeyAnswers
from ._tags import MemberTags
from ._values import MemberState
from .types import State

__all__ = [
    "Event",
    "LogLine",
    "Member",
    "MemberAlive",
    "MemberConflict",
    "MemberEvent",
    "MemberFailed",
    "MemberJoined",
    "MemberLeft",
    "MemberReaped",
    "MemberSuspected",
    "MemberUpdated",
    "Members",
    "MembersIterator",
    "Message",
    "NameRegained",
    "Node",
    "NodeFailed",
    "Overflow",
    "Pending",
    "PingAck",
    "Query",
    "QueryAck",
    "QueryEnd",
    "RemoteState",
    "Response",
    "Subscription",
    "UserEvent",
    "__version__",
    "event_classes",
    "settings",
    "settings_of",
]

__version__: str

def event_classes() -> list[tuple[type[MemberEvent], str]]: ...
def settings() -> list[dict[str, Any]]: ...
def settings_of(path: str) -> list[tuple[str, str]]: ...

_T = TypeVar("_T")

@final
class Member:
    """A member of the cluster at one moment.

    Nodes return members, and tests may construct them: `sprat.Member("web-1", "10.0.0.1:7946",
    tags={"role": "web"})`. A member is immutable, hashable, picklable and safe to share between
    threads. Two members are equal if all their fields are equal. `dict()` of a member is the
    same as `to_dict()`. A member has either tags or, in memberlist mode, other metadata. Raises
    `ValueError` if the address is not IPv4:PORT or [IPv6]:PORT, if the state is unknown, if a
    tag holds a NUL, or if `meta` does not encode `tags`.
    """

    __match_args__: ClassVar[tuple[Literal["name"], Literal["address"]]]
    def __new__(
        cls,
        name: str,
        address: str,
        state: State = "alive",
        tags: Mapping[str, str] | None = None,
        meta: bytes | None = None,
        incarnation: int = 1,
        protocol: tuple[int, int, int] = ...,
        serf_protocol: tuple[int, int, int] = ...,
    ) -> Self: ...
    @property
    def name(self) -> str:
        """The name, unique in the cluster."""
    @property
    def host(self) -> str:
        """The IP address, as text."""
    @property
    def port(self) -> int:
        """The port for gossip, UDP and TCP: 0 to 65535."""
    @property
    def address(self) -> str:
        """Host and port, for example "10.0.0.1:7946" or "[::1]:7946"."""
    @property
    def state(self) -> MemberState:
        """The state, a `sprat.MemberState`."""
    @property
    def tags(self) -> MemberTags:
        """The tags, a read-only dict from str to str. Each access makes a new one."""
    @property
    def meta(self) -> bytes:
        """The metadata as on the wire; in a Serf cluster, the encoded tags."""
    @property
    def incarnation(self) -> int:
        """A number that the member raises when it renews its entry, for instance to refute a
        suspicion.
        """
    @property
    def protocol(self) -> tuple[int, int, int]:
        """The versions of the gossip protocol: lowest, highest and used."""
    @property
    def serf_protocol(self) -> tuple[int, int, int]:
        """The versions of the Serf protocol: lowest, highest and used."""
    def to_dict(self) -> dict[str, Any]:
        """Return all fields except the metadata as a new dict of plain values."""
    def __iter__(self) -> Iterator[tuple[str, Any]]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[type[Self], tuple[Any, ...]]: ...

@final
class Members(Sequence[Member]):
    """The members at one moment: a sequence sorted by name that can also be indexed by name.

    It supports `members[0]`, `members[1:3]`, `members["web-1"]` (raises `KeyError` for an
    unknown name) and `"web-1" in members`. It is immutable, hashable, picklable and safe to
    share between threads, and it may outlive its node. `dict(members)` has the members by name.
    """

    def __new__(cls, members: Iterable[Member] | None = ...) -> Self: ...
    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, key: int, /) -> Member: ...
    @overload
    def __getitem__(self, key: slice, /) -> Members: ...
    @overload
    def __getitem__(self, key: str, /) -> Member: ...
    def __contains__(self, key: object, /) -> bool: ...
    def __iter__(self) -> Iterator[Member]: ...
    @overload
    def get(self, name: str) -> Member | None:
        """Return the member with this name, or `default`."""
    @overload
    def get(self, name: str, default: _T) -> Member | _T:
        """Return the member with this name, or `default`."""
    def names(self) -> list[str]:
        """Return the names, in the order of the members."""
    def keys(self) -> list[str]:
        """Return the names, in the order of the members: the keys of `dict(members)`."""
    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return all members as a new dict of plain values, by name."""
    def index(self, member: Member, start: int = 0, stop: int | None = None) -> int:
        """Return the first index of a member from `start` to `stop` (exclusive). Raises
        `ValueError` if the member is not there.
        """
    def count(self, member: Member) -> int:
        """Return the number of times that the member occurs."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[type[Self], tuple[list[Member]]]: ...

@final
class MembersIterator(Iterator[Member]):
    def __iter__(self) -> Self: ...
    def __next__(self) -> Member: ...
    def __length_hint__(self) -> int: ...

@disjoint_base
class Event:
    """An event.

    `seq` counts the events of one reader from 1; `time` is in seconds of `time.monotonic()`.
    `dict()` of an event is the same as `to_dict()`.
    """

    @property
    def seq(self) -> int:
        """The number of the event among those of its reader, from 1. The numbers of lost events
        are skipped.
        """
    @property
    def time(self) -> float:
        """The time at which the event was queued, in seconds of `time.monotonic()`."""
    @property
    def kind(self) -> str:
        """The name of the kind, for example "member-join". It is Serf's name if Serf has this
        kind.
        """
    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a new dict of plain values."""
    def __iter__(self) -> Iterator[tuple[str, Any]]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@disjoint_base
class MemberEvent(Event):
    """An event about a member. `member` is the member as it was when the event happened."""

    __match_args__: ClassVar[tuple[Literal["member"]]]
    @property
    def member(self) -> Member:
        """The member as it was when the event happened."""
    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a new dict of plain values."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[type[Self], tuple[Member, int, float]]: ...

@final
class MemberJoined(MemberEvent):
    """A member joined, returned after it had failed or left, or now fits the filter."""

    def __new__(cls, member: Member, seq: int = 0, time: float = 0.0) -> Self: ...

@final
class MemberUpdated(MemberEvent):
    """A member changed its tags, metadata, address or protocol versions."""

    def __new__(cls, member: Member, seq: int = 0, time: float = 0.0) -> Self: ...

@final
class MemberLeft(MemberEvent):
    """A member left of its own will, or was removed after it had failed."""

    def __new__(cls, member: Member, seq: int = 0, time: float = 0.0) -> Self: ...

@final
class MemberFailed(MemberEvent):
    """A member failed: it stopped answering without having announced that it leaves."""

    def __new__(cls, member: Member, seq: int = 0, time: float = 0.0) -> Self: ...

@final
class MemberReaped(MemberEvent):
    """A member is no longer listed: it had failed or left, the filter rejects it, or a full
    table needed its place.
    """

    def __new__(cls, member: Member, seq: int = 0, time: float = 0.0) -> Self: ...

@final
class MemberSuspected(MemberEvent):
    """A member is suspected: it will fail unless it refutes the suspicion."""

    def __new__(cls, member: Member, seq: int = 0, time: float = 0.0) -> Self: ...

@final
class MemberAlive(MemberEvent):
    """A suspicion was refuted: the member is alive after all."""

    def __new__(cls, member: Member, seq: int = 0, time: float = 0.0) -> Self: ...

@final
class Overflow(Event):
    """Events were lost because no one took them in time: call `members()` again."""

    __match_args__: ClassVar[tuple[Literal["lost"]]]
    def __new__(cls, lost: int, seq: int = 0, time: float = 0.0) -> Self: ...
    @property
    def lost(self) -> int:
        """The number of events that were merged or dropped since the last `Overflow`, 1 or more."""
    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a new dict of plain values."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[type[Self], tuple[int, int, float]]: ...

@final
class NodeFailed(Event):
    """The node cannot do its work: it is broken, or another node has its name. In the latter
    case the node keeps running, and a `NameRegained` follows if it gets the name.
    """

    __match_args__: ClassVar[tuple[Literal["reason"]]]
    def __new__(cls, reason: str, status: int = ..., seq: int = 0, time: float = 0.0) -> Self: ...
    @property
    def reason(self) -> str:
        """The reason in a sentence."""
    @property
    def error(self) -> Error:
        """The reason as an exception, such as a `sprat.NameConflictError`."""
    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a new dict of plain values."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[type[Self], tuple[str, int, int, float]]: ...

@final
class NameRegained(Event):
    """The name conflict that a `NodeFailed` reported is over: no other node has this node's name
    any more, and the members now list this node under its name.
    """

    __match_args__: ClassVar[tuple[()]]
    def __new__(cls, seq: int = 0, time: float = 0.0) -> Self: ...
    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a new dict of plain values."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[type[Self], tuple[int, float]]: ...

@final
class Message(Event):
    """A message that a program built on memberlist sent to this node, in ``mode="memberlist"``."""

    __match_args__: ClassVar[tuple[Literal["sender"], Literal["payload"]]]
    def __new__(
        cls,
        sender: str,
        payload: bytes | bytearray | memoryview,
        address: str = ...,
        seq: int = 0,
        time: float = 0.0,
    ) -> Self: ...
    @property
    def sender(self) -> str:
        """The name of the member at `address`. Empty if no member is there, or, for a message
        that was sent with `reliable`, if several members have this IP address.
        """
    @property
    def payload(self) -> bytes:
        """The content."""
    @property
    def address(self) -> str:
        """The address from which it came. For a message that was sent with `reliable`, the port
        is not that at which the sender listens.
        """
    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a new dict of plain values.

        In the text `payload`, bytes that are not UTF-8 are escaped; `payload_base64` has the
        exact bytes.
        """
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[type[Self], tuple[str, bytes, str, int, float]]: ...

@final
class RemoteState(Event):
    """The state of a program built on memberlist, received in a push/pull, in
    ``mode="memberlist"``.
    """

    __match_args__: ClassVar[tuple[Literal["sender"], Literal["payload"]]]
    def __new__(
        cls,
        sender: str,
        payload: bytes | bytearray | memoryview,
        join: bool = False,
        address: str = ...,
        seq: int = 0,
        time: float = 0.0,
    ) -> Self: ...
    @property
    def sender(self) -> str:
        """The name of the member at `address`. Empty if no member is there, or, if the other
        side dialled, if several members have this IP address.
        """
    @property
    def payload(self) -> bytes:
        """The state."""
    @property
    def join(self) -> bool:
        """True if one of the two sides is joining, false for a regular exchange."""
    @property
    def address(self) -> str:
        """The address of the other side. If it dialled, the port is not that at which it
        listens.
        """
    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a new dict of plain values.

        In the text `payload`, bytes that are not UTF-8 are escaped; `payload_base64` has the
        exact bytes.
        """
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[type[Self], tuple[str, bytes, bool, str, int, float]]: ...

@final
class MemberConflict(Event):
    """Two nodes claim the name of a member, in ``mode="memberlist"``. A conflict about the name
    of this node itself is a `NodeFailed`.
    """

    __match_args__: ClassVar[tuple[Literal["name"], Literal["known"], Literal["claimed"]]]
    def __new__(
        cls, name: str, known: str, claimed: str, seq: int = 0, time: float = 0.0
    ) -> Self: ...
    @property
    def name(self) -> str:
        """The name."""
    @property
    def known(self) -> str:
        """The address at which the member is known."""
    @property
    def claimed(self) -> str:
        """The address of the other node."""
    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a new dict of plain values."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[type[Self], tuple[str, str, str, int, float]]: ...

@final
class PingAck(Event):
    """A member has answered a ping of this node, which has the setting ``ping_acks``."""

    __match_args__: ClassVar[tuple[Literal["member"], Literal["payload"], Literal["rtt"]]]
    def __new__(
        cls,
        member: str,
        payload: bytes | bytearray | memoryview,
        rtt: float,
        seq: int = 0,
        time: float = 0.0,
    ) -> Self: ...
    @property
    def member(self) -> str:
        """The name of the member."""
    @property
    def payload(self) -> bytes:
        """The bytes that the other program has given to `Node.set_ack_payload`, empty if it has
        given none. In ``mode="serf"`` the network coordinate of the member, as on the wire.
        """
    @property
    def rtt(self) -> float:
        """The seconds between the ping and its ack."""
    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a new dict of plain values.

        In the text `payload`, bytes that are not UTF-8 are escaped; `payload_base64` has the
        exact bytes.
        """
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[type[Self], tuple[str, bytes, float, int, float]]: ...

@final
class UserEvent(Event):
    """A user event: a message that a program sent to all members, this node included."""

    __match_args__: ClassVar[tuple[Literal["name"], Literal["payload"]]]
    def __new__(
        cls,
        name: str,
        payload: bytes | bytearray | memoryview | None = None,
        ltime: int = 0,
        coalesce: bool = False,
        seq: int = 0,
        time: float = 0.0,
    ) -> Self: ...
    @property
    def name(self) -> str:
        """The name of the event. Bytes that are not text are escaped as in the name of a member."""
    @property
    def payload(self) -> bytes:
        """The content, empty if the event has none."""
    @property
    def ltime(self) -> int:
        """The Lamport time at which the event was sent. An event that was sent later by the same
        program, or after this one had arrived, has a later time.
        """
    @property
    def coalesce(self) -> bool:
        """True if receivers may deliver only the last of several events with this name."""
    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a new dict of plain values.

        In the text `payload`, bytes that are not UTF-8 are escaped; `payload_base64` has the
        exact bytes.
        """
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[type[Self], tuple[str, bytes, int, bool, int, float]]: ...

@final
class Query(Event):
    """A question of another member, or of this node, which can be answered once with `respond`.

    A pickled copy has no node, so it cannot be answered; neither can a query that a test makes.
    """

    __match_args__: ClassVar[tuple[Literal["name"], Literal["payload"]]]
    def __new__(
        cls,
        name: str,
        payload: bytes | bytearray | memoryview | None = None,
        ltime: int = 0,
        asker: str = "",
        deadline: float = 0.0,
        seq: int = 0,
        time: float = 0.0,
    ) -> Self: ...
    @property
    def name(self) -> str:
        """The name of the query. Bytes that are not text are escaped as in the name of a member."""
    @property
    def payload(self) -> bytes:
        """The content, empty if the query has none."""
    @property
    def ltime(self) -> int:
        """The Lamport time at which the query was sent."""
    @property
    def asker(self) -> str:
        """The name of the member that asks; empty if that is a very old Serf agent."""
    @property
    def deadline(self) -> float:
        """The time until which the query can be answered, in seconds of `time.monotonic()`."""
    @property
    def time_left(self) -> float:
        """The number of seconds in which the query can still be answered, 0 if it is too late."""
    def respond(self, payload: bytes | bytearray | memoryview, /) -> None:
        """Answer the query. Any thread may do this, and a callback, too.

        Raises `StateError` if the query was answered already, or is a copy without a node;
        `TimeoutError` after its deadline; `TooLargeError` if the encoded answer takes more bytes
        than the setting `query_response_bytes` allows; `ClosedError` if the node is closed.
        """
    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a new dict of plain values.

        In the text `payload`, bytes that are not UTF-8 are escaped; `payload_base64` has the
        exact bytes.
        """
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[type[Self], tuple[str, bytes, int, str, float, int, float]]: ...

@final
class Response(Event):
    """The answer of one member to a query. `member` is the name of the member."""

    __match_args__: ClassVar[tuple[Literal["member"], Literal["payload"]]]
    def __new__(
        cls,
        member: str,
        payload: bytes | bytearray | memoryview | None = None,
        seq: int = 0,
        time: float = 0.0,
    ) -> Self: ...
    @property
    def member(self) -> str:
        """The name of the member that answered."""
    @property
    def payload(self) -> bytes:
        """The answer, which may be empty."""
    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a new dict of plain values.

        In the text `payload`, bytes that are not UTF-8 are escaped; `payload_base64` has the
        exact bytes.
        """
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[type[Self], tuple[str, bytes, int, float]]: ...

@final
class QueryAck(Event):
    @property
    def member(self) -> str: ...

@final
class QueryEnd(Event):
    @property
    def error(self) -> Error | None: ...
    @property
    def missing(self) -> list[str]: ...

@final
class LogLine(Event):
    @property
    def level(self) -> int: ...
    @property
    def target(self) -> str: ...
    @property
    def text(self) -> str: ...

@final
class Subscription:
    def fileno(self) -> int: ...
    def pop(self) -> Any: ...
    def abandon(self) -> None: ...
    def drain(self, count: int) -> list[Any]: ...
    def wait(self, timeout: float | None = None) -> bool: ...

@final
class Pending:
    def fileno(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> bool: ...
    def outcome(
        self,
    ) -> (
        tuple[
            int | None,
            Error | None,
            list[tuple[str, Error]],
            list[str],
            Members,
            KeyAnswers | None,
        ]
        | None
    ): ...

@final
class Node:
    @staticmethod
    def start(settings: Mapping[str, Any]) -> Node: ...
    @property
    def name(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def event_queue(self) -> int: ...
    @property
    def log_level(self) -> str: ...
    @property
    def members_version(self) -> int: ...
    def check_process(self) -> None: ...
    def members(
        self,
        states: int,
        role: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Members: ...
    def member(self, name: str) -> Member | None: ...
    def update_tags(self, changes: Sequence[tuple[str, str | None]]) -> None: ...
    def set_tags(self, tags: Mapping[str, str]) -> None: ...
    def set_meta(self, meta: object) -> None: ...
    def begin_spread(self) -> Pending: ...
    def begin_join(self, addresses: Sequence[str]) -> Pending: ...
    def begin_look(self, address: str) -> Pending: ...
    def begin_leave(self) -> Pending: ...
    def begin_hint(self, name: str) -> Pending: ...
    def remove_failed(self, name: str, prune: bool) -> None: ...
    def subscribe(self, capacity: int, names: Sequence[str]) -> Subscription: ...
    def send_event(self, name: str, payload: object, coalesce: bool) -> None: ...
    def send_datagram(self, name: str, payload: object) -> None: ...
    def begin_send(self, name: str, payload: object) -> Pending: ...
    def broadcast(self, payload: object, name: str | None, /) -> None: ...
    def set_local_state(self, state: object) -> None: ...
    def set_ack_payload(self, payload: object) -> None: ...
    def begin_query(
        self,
        name: str,
        payload: object,
        timeout: float | None,
        nodes: Sequence[str],
        tags: Sequence[tuple[str, str]],
        ack: bool,
        relay_factor: int,
    ) -> tuple[int, Subscription]: ...
    def begin_manage_keys(
        self, action: str, key: bytes | None, timeout: float | None
    ) -> Pending: ...
    def cancel_query(self, number: int) -> None: ...
    def explain(self, name: str) -> dict[str, Any]: ...
    def coordinate(self, name: str) -> tuple[list[float], float, float, float]: ...
    def rtt(self, from_: str, to: str, /) -> float: ...
    def health(self) -> dict[str, Any]: ...
    def stats(self) -> list[tuple[str, int, str]]: ...
    def close(self) -> None: ...
