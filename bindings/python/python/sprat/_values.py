"""Plain values: states, reasons, health, counters."""

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
    """State of a member."""

    ALIVE = "alive"
    """It answers."""
    SUSPECT = "suspect"
    """It did not answer a probe and has not refuted that yet. It still counts as a member."""
    FAILED = "failed"
    """It was suspected for too long."""
    LEAVING = "leaving"
    """It has said that it is about to leave."""
    LEFT = "left"
    """It left of its own will, or was removed by `Node.remove_failed`."""


ALIVE_OR_SUSPECT = frozenset({MemberState.ALIVE, MemberState.SUSPECT})
"""The states of those who are there."""


_BITS = {state: 2**number for number, state in enumerate(MemberState, start=1)}
"""Bit n stands for the state with number n."""


def state_bits(state: object) -> int:
    """One state, several, or all for `None`, as the library takes them."""
    if state is None:
        return sum(_BITS.values())
    if not isinstance(state, Iterable):
        raise TypeError(f"state must be a MemberState or several, not {type(state).__name__}")
    wanted = {state} if isinstance(state, str) else set(state)
    for it in wanted:
        if not isinstance(it, str):
            raise TypeError(f"a state must be str, not {type(it).__name__}")
        if it not in _BITS:
            raise InvalidError(f"state is {str(it)!r}, allowed are {', '.join(_BITS)}")
    return sum(_BITS[MemberState(it)] for it in wanted)


class NodeState(enum.StrEnum):
    """What a node is doing."""

    RUNNING = "running"
    """It takes part in its cluster."""
    LEAVING = "leaving"
    """It is announcing its departure."""
    LEFT = "left"
    """It has left; it still lists members, and may join again."""
    SHUTDOWN = "shutdown"
    """It was closed."""
    BROKEN = "broken"
    """It was stopped by a defect of the library."""


class ProbeAnswer(enum.StrEnum):
    """How one way of asking a member went."""

    NOT_ASKED = "not-asked"
    """It was not asked this way, or another way brought the answer first."""
    WAITING = "waiting"
    """It was asked, and there is still time to answer."""
    ANSWERED = "answered"
    """It answered."""
    NACK = "nack"
    """The helper says that the member does not answer."""
    SILENT = "silent"
    """Nothing came back."""


# Named tuples: a data class takes seven times as long to make, which every import would pay. Their
# annotations are values, not texts, for those who read them at run time.


class Probe(NamedTuple):
    """This node's last probe of a member. Times are in seconds."""

    ago: float
    """How long ago it began."""
    direct: ProbeAnswer
    """The direct ping, by datagram."""
    stream: ProbeAnswer
    """The ping by stream, for networks that lose only datagrams."""
    helpers: dict[str, ProbeAnswer]
    """Members that pinged it on this node's behalf, by name."""
    rtt: float | None
    """Round-trip time of its last answer to a direct ping, if it ever answered one."""


class Explanation(NamedTuple):
    """Why a member is in its state, as far as this node knows. Times are in seconds.

    `str()` of it is its `text`.
    """

    name: str
    address: str
    state: MemberState
    """alive, suspect, failed or left."""
    incarnation: int
    since: float
    """How long it has been in this state."""
    accuser: str | None
    """Who suspected it or declared it failed."""
    confirmations: tuple[str, ...]
    """Others who confirmed the suspicion."""
    confirmations_wanted: int
    """How many confirmations shorten the wait to its minimum."""
    time_left: float | None
    """Time until a suspect is declared failed."""
    probe: Probe | None
    """This node's last probe of it; `None` if it never probed it."""
    text: str
    """All of this as a paragraph for people."""

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
    """How this node itself is doing."""

    score: int
    """0 is healthy; each step makes this node slower to suspect others."""
    score_max: int
    """The highest score possible."""
    live: int
    """Members alive or suspect, this node included."""
    known: int
    """Members known that have not left, this node included."""
    isolated: bool
    """Most of the cluster fell silent at once: the fault may be here, not there. Two others at
    least. It is true before the first of them is reported as failed.
    """
    datagrams_work: bool
    """Datagrams get answers."""
    streams_work: bool
    """Streams get answers."""
    name_conflict: str | None
    """Where members list this node's name beside its own address; None as a rule. Members that
    list it there do not see this node.
    """
    name_conflict_alive: bool
    """Somebody answers there: two nodes have one name. Else it is a former life of this node, and
    members take the new address when the old one has been failed for half a minute.
    """
    summary: str
    """One sentence, as "streams work, datagrams do not"."""

    def __str__(self) -> str:
        return self.summary


class Stat(NamedTuple):
    """A counter with what it means."""

    value: int
    help: str
