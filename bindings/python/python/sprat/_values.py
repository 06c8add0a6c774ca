"""Values that a node returns: states, explanations, health, counters."""

import enum
from collections.abc import Iterable
from typing import Any, Self

from ._errors import InvalidError
from ._record import Record

__all__ = [
    "ALIVE_OR_SUSPECT",
    "Coordinate",
    "Explanation",
    "Health",
    "MemberState",
    "NodeState",
    "Probe",
    "ProbeAnswer",
    "Stat",
    "state_bits",
]


class MemberState(enum.StrEnum):
    """The state of a member."""

    ALIVE = "alive"
    """The member answers probes."""
    SUSPECT = "suspect"
    """The member missed a probe and has not refuted the suspicion yet. It counts as present."""
    FAILED = "failed"
    """The member did not refute the suspicion in time."""
    LEAVING = "leaving"
    """The member has announced that it will leave."""
    LEFT = "left"
    """The member left the cluster, or was removed after it had failed."""


ALIVE_OR_SUSPECT = frozenset({MemberState.ALIVE, MemberState.SUSPECT})
"""The states that `Node.members` selects by default."""


_BITS = {state: 2**number for number, state in enumerate(MemberState, start=1)}
"""The bit mask of each state: bit n stands for the state that has number n in C."""


def state_bits(state: object) -> int:
    """Return the bit mask of one state, of several, or of all states for `None`."""
    if state is None:
        return sum(_BITS.values())
    if not isinstance(state, Iterable):
        raise TypeError(f"state must be a MemberState or several, not {type(state).__name__}")
    wanted = {state} if isinstance(state, str) else set(state)
    for it in wanted:
        if not isinstance(it, str):
            raise TypeError(f"a state must be str, not {type(it).__name__}")
        if it not in _BITS:
            raise InvalidError(f"state must be one of {', '.join(_BITS)}, got {str(it)!r}")
    return sum(_BITS[MemberState(it)] for it in wanted)


class NodeState(enum.StrEnum):
    """The state of a node."""

    RUNNING = "running"
    """The node takes part in its cluster."""
    LEAVING = "leaving"
    """The node is announcing its departure."""
    LEFT = "left"
    """The node has left; it still lists members, and may join again."""
    SHUTDOWN = "shutdown"
    """The node was closed."""
    BROKEN = "broken"
    """One of the node's threads failed: the library has a defect, or the process has closed
    descriptors of the node.
    """


class ProbeAnswer(enum.StrEnum):
    """The result of one way to probe a member."""

    NOT_ASKED = "not-asked"
    """This way was not tried, or another way brought the answer first."""
    ANSWERED = "answered"
    """The member answered."""
    NACK = "nack"
    """The helper reports that the member did not answer the helper's ping."""
    SILENT = "silent"
    """No answer came in time."""


# This file omits `from __future__ import annotations`, so that programs that inspect the fields
# find real types and not strings.


class Probe(Record):
    """The last finished probe of a member by this node. Times are in seconds."""

    ago: float
    """The time since the probe began."""
    direct: ProbeAnswer
    """The result of the direct ping, by datagram."""
    stream: ProbeAnswer
    """The result of the ping by stream, for networks that lose only datagrams."""
    helpers: dict[str, ProbeAnswer]
    """The result of each helper, by name. Helpers are asked to ping the member for this node."""
    rtt: float | None
    """The round-trip time of the last answer to a direct ping, in this or an earlier probe; `None`
    if no direct ping was ever answered.
    """


class Explanation(Record):
    """The reasons for the state of a member, as this node knows them. Times are in seconds.

    `str()` returns its `text`.
    """

    name: str
    address: str
    state: MemberState
    """Alive, suspect, failed or left."""
    incarnation: int
    since: float
    """The time for which the member has been in this state."""
    accuser: str | None
    """The name of the accuser: the member that suspected this one or declared it failed. `None` if
    this member is alive or has left.
    """
    confirmations: tuple[str, ...]
    """The names of the other members that confirmed the suspicion."""
    confirmations_wanted: int
    """The number of confirmations after which the suspicion lasts only its shortest time."""
    time_left: float | None
    """The time until the suspect is declared failed; `None` for other states."""
    probe: Probe | None
    """This node's last finished probe of the member; `None` if no probe has finished yet."""
    text: str
    """The explanation in words, as one paragraph."""

    def __str__(self) -> str:
        return self.text

    @classmethod
    def _from_native(cls, fields: dict[str, Any]) -> Self:
        probe = fields["probe"]
        if probe is not None:
            probe = Probe(
                ago=probe["ago"],
                direct=ProbeAnswer(probe["direct"]),
                stream=ProbeAnswer(probe["stream"]),
                helpers={name: ProbeAnswer(answer) for name, answer in probe["helpers"]},
                rtt=probe["rtt"],
            )
        changes = {
            "state": MemberState(fields["state"]),
            "confirmations": tuple(fields["confirmations"]),
            "probe": probe,
        }
        return cls(**{**fields, **changes})


class Health(Record):
    """The health of this node itself, as opposed to that of the members it watches."""

    score: int
    """The health score; 0 is best. A higher score gives other members more time to answer."""
    score_max: int
    """The highest possible score."""
    live: int
    """The number of members that are alive or suspect, including this node."""
    known: int
    """The number of known members that have not left, including this node."""
    isolated: bool
    """True if the fault may lie with this node: no other node has sent anything for a while, or
    more than half of the other members are suspect or failed a short time ago. If members fall
    silent together, it is true before the first of them is reported as failed. It is always false
    if this node knows fewer than two other members.
    """
    datagrams_work: bool
    """True if datagrams (UDP) get answers."""
    streams_work: bool
    """True if streams (TCP) get answers."""
    name_conflict: str | None
    """The other address at which members list this node's name; normally `None`. Members that list
    the name at that address do not list this node.
    """
    name_conflict_alive: bool
    """True if a node has answered at the address in `name_conflict`: then two nodes have one name.
    If no node answers, the address is most likely this node's own from before a restart. Members
    accept the new address some time (their `dead_reclaim_ms`) after they have declared the old one
    failed.
    """
    summary: str
    """The health in one sentence, such as "streams work, datagrams do not"."""

    def __str__(self) -> str:
        return self.summary


class Coordinate(Record):
    """The place of a member in the space in which distances are round-trip times (Vivaldi).

    All values except `error` are in seconds. `Node.rtt` estimates round-trip times from
    coordinates.
    """

    vec: tuple[float, ...]
    """The position: 8 numbers."""
    error: float
    """The uncertainty: 1.5 at the start; it approaches 0 as this member's estimates improve."""
    adjustment: float
    """A correction of distances that the position cannot express."""
    height: float
    """The time that every packet takes between the member and the network."""


class Stat(Record):
    """A counter and its description."""

    value: int
    help: str
