"""The node: a member of a cluster, for programs with threads."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, overload

from . import _native
from ._base_node import BaseNode
from ._checks import check_address, check_addresses, check_flag, check_text, check_timeout
from ._errors import ClosedError
from ._events import Events
from ._key_report import KeyReport
from ._keyring import BaseKeyring
from ._native import Event, Members
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
from ._query import QueryResult, begin_query
from ._waiting import wait

if TYPE_CHECKING:
    from typing import Unpack

    from .types import Address, LogLevel, OtherSettings

__all__ = ["Keyring", "Node"]

E = TypeVar("E", bound=Event)


class Node(BaseNode):
    """A member of a cluster from the moment it is created.

    Until it joins another node, or another node joins it, it is the only member of its cluster.
    Use it in a ``with`` block, which leaves the cluster at its end, even after an exception.
    Otherwise call `leave` and `close`.

    name: the name of this node, unique in the cluster; the host name by default.
    bind: the address to listen on, with UDP and TCP.
    advertise: the address where other members reach this node, if it differs from `bind`.
    tags: key-value pairs that describe this node to the others, at most 512 bytes together.
    keys: encryption keys, as bytes or in base64; the first encrypts, all of them decrypt.
    profile: "lan", "wan" or "local": selects the defaults of settings that are times or numbers.
    mode: "serf", or "memberlist" for clusters without tags.
    seeds: addresses to join in the background, retried for as long as the node runs.
    on_event: a function called with each event, on a thread named "sprat-events".
    event_queue: the number of events that may wait for a reader; beyond it, older events are
        merged or dropped.
    log_level: "error", "warn", "info", "debug", "trace" or a level of `logging`. The library then
        logs to the logger "sprat" and its children.
    filter_names, filter_tags: only matching members are listed and cause events.
    meta: raw metadata, in ``mode="memberlist"``.
    settings: every other setting of the library, by name: see `sprat.types.OtherSettings`.

    Any thread may call any method.
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
        seeds: Iterable[Address] = (),
        on_event: Callable[[Event], object] | None = None,
        event_queue: int = 16384,
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

    def join(self, *addresses: Address, timeout: float | None = 10) -> int:
        """Join a cluster: exchange member lists with the node at each address.

        Returns a moment after the first address has answered, with the number of addresses that
        have answered by then; the join goes on with the others. All addresses then count as
        `seeds`: each is asked again whenever no alive member has it. If no address answers, none of
        them becomes a seed.

        addresses: "10.0.0.1", "10.0.0.1:7946", "::1", "[::1]:7946", "host", "host:7946", or an
            object of `ipaddress`.
        timeout: in seconds; `None` waits without limit. The join continues after a timeout.

        Raises `JoinError` if no address answered, with the reason for each in `errors`;
        `NameConflictError` if another node uses this node's name and the join learns of that before
        it ends, while a `NodeFailed` reports it in any case; `AddressError` if an address cannot be
        parsed; `InvalidError` if no address is given; `TimeoutError` after `timeout`.
        """
        timeout = check_timeout(timeout)
        pending = self._native.begin_join(check_addresses(addresses))
        return join_result(_wait(pending, timeout, "join"))

    def leave(self, timeout: float | None = 5) -> None:
        """Leave the cluster: announce the departure and wait until it has spread.

        When the call returns, every live member has acknowledged the leave, so none of them sees a
        failure. (In a cluster of more than 1,024 members, with the default `retransmit_mult`, 1,024
        have acknowledged it, and gossip reaches the others. During a name conflict, the node leaves
        without an announcement.) The node still answers and lists members, and can join again.

        Raises `LeaveError` if members did not acknowledge the leave, with their names in
        `members`; `StateError` if a join cancels the leave; and `TimeoutError` after `timeout`
        seconds, after which the leave continues.
        """
        timeout = check_timeout(timeout)
        pending = self._native.begin_leave()
        leave_result(_wait(pending, timeout, "leave"))

    def look(self, address: Address, timeout: float | None = 10) -> Members:
        """Ask a node which members its cluster has, without joining it.

        No member of that cluster learns of this node. Returns the members in every state, as the
        other node sees them. A node forgets the address and the tags of a member soon after the
        member has failed or left (`gossip_to_the_dead_ms`). For about a day after that, the member
        is listed with the address "0.0.0.0:0" and no tags, or not at all in ``mode="memberlist"``.

        address: one address, in the forms that `join` takes. If a host name has several addresses,
            they are asked one after the other until one answers.
        timeout: in seconds; `None` waits without limit.

        Raises `JoinError` if no node answered; `AddressError` if the address cannot be parsed;
        `StateError` if 16 looks are under way; `TimeoutError` after `timeout`.
        """
        timeout = check_timeout(timeout)
        pending = self._native.begin_look(check_address("address", address))
        return look_result(_wait(pending, timeout, "look"))

    def spread(self, timeout: float | None = 10) -> None:
        """Wait until the last change of the tags, the metadata or the address has been gossiped.

        The change has been gossiped once it was sent as often as the number of members requires.
        Returns at once if that has happened already, or if no other member is live. A change that
        is made during the wait is waited for, too. A member can still have missed all of the
        gossip; it learns of the change by push/pull.

        Raises `TimeoutError` after `timeout` seconds, after which the gossip goes on; `StateError`
        after `leave`; `NameConflictError` if another node uses this node's name.
        """
        timeout = check_timeout(timeout)
        pending = self._native.begin_spread()
        end_result(_wait(pending, timeout, "gossip"))

    def hint(self, name: str, timeout: float | None = 10) -> bool:
        """Report that a request to a member failed, and probe the member now.

        Returns whether the member answers.

        Raises `UnknownMemberError` if there is no such member, and `TimeoutError` after `timeout`
        seconds. Raises `StateError` if the member has failed or left or is this node itself, if
        another hint already probes it, if too many hints are under way, or after `leave`.
        """
        timeout = check_timeout(timeout)
        pending = self._native.begin_hint(check_text("name", name))
        return hint_result(_wait(pending, timeout, "probe"))

    def send(
        self,
        name: str,
        payload: bytes | bytearray | memoryview,
        reliable: bool = False,
        timeout: float | None = 10,
    ) -> None:
        """Send a message to a member, in ``mode="memberlist"``; its program gets a `Message`.

        reliable: false to send one datagram, which may get lost; true to use a TCP connection, and
            to wait until the other side has taken the message and closed the connection.
        timeout: the seconds to wait for a reliable message, which may arrive even after that;
            `None` waits without limit.

        Raises `TooLargeError` if the message is larger than `message_bytes` allows or does not fit
        into a datagram; `UnknownMemberError` if there is no such member; `StateError` if it has
        failed or left, in ``mode="serf"``, or after `leave`; if a reliable message has not arrived,
        the reason, such as `UnreachableError`; `TimeoutError` after `timeout`.
        """
        name, timeout = check_text("name", name), check_timeout(timeout)
        if check_flag("reliable", reliable):
            end_result(_wait(self._native.begin_send(name, payload), timeout, "message"))
        else:
            self._native.send_datagram(name, payload)

    # Events

    @overload
    def events(self, *, maxsize: int | None = None) -> Events[Event]: ...
    @overload
    def events(self, *kinds: type[E], maxsize: int | None = None) -> Events[E]: ...
    def events(self, *kinds: type[Event], maxsize: int | None = None) -> Events[Any]:
        """Return a new reader: an iterator that waits for events of these kinds (default: all).

        Each reader gets every event of these kinds from its creation on. The first reader of a kind
        also gets the events of this kind since the start of the node; `on_event` counts as such a
        reader. After the node is closed, a reader returns the events that wait, and ends.

        maxsize: the number of events that may wait for this reader, 4 to 1048576, `event_queue`
            by default. An `Overflow` reports events lost beyond it.
        """
        return Events(*self._subscribe(kinds, maxsize), self.name, self)

    def next_event(self, timeout: float | None = None) -> Event | None:
        """Return the next event, or `None` after `timeout` seconds.

        Raises `ClosedError` once the node is closed and no event waits.
        """
        reader: Events[Event] = self._shared_reader(Events)
        event = reader.next(timeout)
        if event is None and reader._check_over():
            raise ClosedError("the node was shut down")
        return event

    def fileno(self) -> int:
        """Return a descriptor that is readable while `next_event` has an event to return.

        It stays readable after the node is closed. Only poll it: do not read or close it.
        """
        reader: Events[Event] = self._shared_reader(Events)
        return reader.fileno()

    # Queries

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
        """Ask members a question, and return an iterator over their answers as they come.

        Each member that is addressed, this node included, delivers a `Query`, which its program may
        answer. The query ends as soon as all of them have answered, failed or left. Members that
        have failed are missing then, and so are names in `nodes` that no present member has.

        timeout: the seconds after which the query ends in any case; `None` lets the size of the
            cluster decide, as in Serf.
        nodes: the names of the members to ask; empty asks all.
        tags: regular expressions by tag: only members whose tags match all of them are asked.
        ack: true to have each member acknowledge the query as soon as it arrives; see
            `QueryResult.acks`.
        relay_factor: the number of members, at most 255, through which each answer is sent as well;
            a sprat node uses at most 8.

        Raises `TooLargeError` if the encoded query takes more bytes than `query_bytes` allows;
        `InvalidError` for a wrong regular expression or a name that begins with ``_serf_``;
        `StateError` in ``mode="memberlist"``, after `leave`, or if 256 queries are under way.
        """
        options = (timeout, nodes, tags, ack, relay_factor)
        number, subscription = begin_query(self._native, name, payload, *options)
        return QueryResult(subscription, self._native, number, self)

    # Keys

    @property
    def keyring(self) -> Keyring:
        """The keys of the cluster, which all members can be told to change or to list."""
        return Keyring(self._native)

    # The with block

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
            if self.is_open:
                with last_leave(self.name):
                    self.leave()
        finally:
            self.close()


class Keyring(BaseKeyring):
    """The keys of an encrypted cluster, as `Node.keyring`.

    To change the key of a cluster, `install` the new key, `use` it, and `remove` the old one. Each
    call returns once all members, this node and Serf agents included, have done what was asked.
    Otherwise it raises `KeyringError`; repeat the call before you go on to the next: a member that
    does not know the primary key of the others can no longer talk to them.

    In ``mode="memberlist"``, the calls change and list the keys of this node alone, because nodes
    cannot ask one another to change keys there.

    A key is given as bytes, or as a str in base64. A member whose setting `keyring_file` is set
    stores its keys after each change; if that fails, it reports an error, but has changed its keys.

    Each method takes the seconds in which answers count; `None` lets the size of the cluster
    decide, as in Serf. It returns a `KeyReport`. It raises `KeyringError` if members report an
    error, have failed before they answered, or have not answered in time, with the answers of all
    in `report`; `ConfigError` for a key of a wrong length; and `StateError` if nothing was sent: if
    this node does not encrypt, after `Node.leave`, or if 256 queries are under way.
    """

    __slots__ = ()

    def install(self, key: str | bytes, timeout: float | None = None) -> KeyReport:
        """Add a key to the keyrings of all members. It decrypts, and does not encrypt yet."""
        return self._ask("install", key, timeout)

    def use(self, key: str | bytes, timeout: float | None = None) -> KeyReport:
        """Make an installed key the primary one at all members: from now on, it encrypts.

        Raises `StateError`, too, if this node does not hold the key.
        """
        return self._ask("use", key, timeout)

    def remove(self, key: str | bytes, timeout: float | None = None) -> KeyReport:
        """Remove a key from the keyrings of all members. A member that lacks it succeeds, too.

        Raises `StateError`, too, if the key is the primary key of this node.
        """
        return self._ask("remove", key, timeout)

    def list(self, timeout: float | None = None) -> KeyReport:
        """List the keys of all members, with the number of members that hold each."""
        return self._ask("list", None, timeout)

    def _ask(self, action: str, key: str | bytes | None, timeout: float | None) -> KeyReport:
        pending = self._begin(action, key, timeout)
        return keys_result(_wait(pending, None, "key query"))


def _wait(pending: _native.Pending, timeout: float | None, operation: str) -> Outcome:
    until = math.inf if timeout is None else time.monotonic() + timeout
    left = timeout
    while True:
        is_late = not wait(pending, left)
        outcome = pending.outcome()
        if outcome is not None:
            return outcome
        # Under gevent, a wait ends too early if the program has replaced the descriptor.
        if is_late or time.monotonic() >= until:
            raise timed_out(operation, timeout)
        left = None if timeout is None else until - time.monotonic()
