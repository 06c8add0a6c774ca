"""Values that a node returns: states, explanations, health, counters."""

import enum
from collections.abc import Iterable
from typing import Any, NamedTuple, Self

from ._errors import InvalidError

__all__ = [
    "ALIVE_OR_SUSPECT",
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
    """The member missed a probe and has not refuted the suspicion yet. It still counts as there."""
    FAILED = "failed"
    """The member did not refute the suspicion in time."""
    LEAVING = "leaving"
    """The member has announced that it will leave."""
    LEFT = "left"
    """The member left the cluster, or was removed by `Node.remove_failed`."""


ALIVE_OR_SUSPECT = frozenset({MemberState.ALIVE, MemberState.SUSPECT})
"""The states of members that take part in the cluster."""


_BITS = {state: 2**number for number, state in enumerate(MemberState, start=1)}
"""The bit mask of each state: bit n stands for the state with number n."""


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
    """The node was stopped by a defect of the library."""


class ProbeAnswer(enum.StrEnum):
    """The result of one way to probe a member."""

    NOT_ASKED = "not-asked"
    """This way was not tried, or another way brought the answer first."""
    WAITING = "waiting"
    """The member was asked, and there is still time to answer."""
    ANSWERED = "answered"
    """The member answered."""
    NACK = "nack"
    """The helper reports that the member did not answer it."""
    SILENT = "silent"
    """No answer came in time."""


# Named tuples: defining a data class takes seven times as long, and every import would pay for it.
# This file does without `from __future__ import annotations`, so the types of the fields are real
# objects for programs that inspect them.


class Probe(NamedTuple):
    """The last probe of a member by this node. Times are in seconds."""

    ago: float
    """The time since the probe began."""
    direct: ProbeAnswer
    """The result of the direct ping, by datagram."""
    stream: ProbeAnswer
    """The result of the ping by stream, for networks that lose only datagrams."""
    helpers: dict[str, ProbeAnswer]
    """The results of the members that pinged it on this node's behalf, by name."""
    rtt: float | None
    """The round-trip time of its last answer to a direct ping; `None` if it never answered one."""


class Explanation(NamedTuple):
    """Why a member is in its state, as this node knows it. Times are in seconds.

    `str()` returns its `text`.
    """

    name: str
    address: str
    state: MemberState
    """Alive, suspect, failed or left."""
    incarnation: int
    since: float
    """The time the member has been in this state."""
    accuser: str | None
    """The name of the member that suspected it or declared it failed."""
    confirmations: tuple[str, ...]
    """The names of the other members that confirmed the suspicion."""
    confirmations_wanted: int
    """The number of confirmations that shorten the wait to its minimum."""
    time_left: float | None
    """The time until the suspect is declared failed; `None` for other states."""
    probe: Probe | None
    """The last probe of it by this node; `None` if there was none."""
    text: str
    """The explanation as a paragraph for people."""

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


class Health(NamedTuple):
    """How well this node itself works."""

    score: int
    """0 is healthy; each step makes this node slower to suspect others."""
    score_max: int
    """The highest possible score."""
    live: int
    """The number of members that are alive or suspect, including this node."""
    known: int
    """The number of known members that have not left, including this node."""
    isolated: bool
    """Whether most of the cluster, at least two members, fell silent at once: the fault may then be
    here and not there. It becomes true before the first of them is reported as failed.
    """
    datagrams_work: bool
    """Whether datagrams (UDP) get answers."""
    streams_work: bool
    """Whether streams (TCP) get answers."""
    name_conflict: str | None
    """The other address at which members list this node's name; normally `None`. Members that list
    that address do not see this node.
    """
    name_conflict_alive: bool
    """Whether a node answers at that address: then two nodes have one name. If none answers, it is
    most likely this node before a restart, and members accept the new address once the old one
    has been failed for half a minute.
    """
    summary: str
    """All of this in one sentence, such as "streams work, datagrams do not"."""

    def __str__(self) -> str:
        return self.summary


class Stat(NamedTuple):
    """A counter and its description."""

    value: int
    help: str
