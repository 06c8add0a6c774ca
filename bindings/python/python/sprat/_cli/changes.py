"""The members as the events that were read describe them, and what has changed since.

The cluster only sends the new record of a member, so the last known record of each member is kept.
It shows what an update changed. After events were lost, it shows what they would have told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import sprat

from .output import quoted

__all__ = ["KnownMembers", "differences"]


class KnownMembers:
    """The members as the initial list and the events since then describe them."""

    def __init__(self, members: Iterable[sprat.Member]) -> None:
        self._by_name = {member.name: member for member in members}

    def is_repetition(self, event: sprat.MemberEvent) -> bool:
        """Return true if the event tells nothing new: a list of members included it already."""
        known = self._by_name.get(event.member.name)
        return known == event.member and isinstance(event, _IN_LIST)

    def apply(self, event: sprat.MemberEvent) -> sprat.Member | None:
        """Take note of an event. Return the member as it was before, if it was known."""
        member = event.member
        before = self._by_name.pop(member.name, None)
        if not isinstance(event, sprat.MemberReaped):
            self._by_name[member.name] = member
        return before

    def missed(self, members: Iterable[sprat.Member], now: float) -> list[sprat.MemberEvent]:
        """Return the events that lead from the known members to a list of all members.

        They stand for events that were lost, and are applied like those. A member that came and
        went meanwhile has none.
        """
        listed = {member.name: member for member in members}
        missed: list[sprat.MemberEvent] = []
        for member in listed.values():
            change = _change(self._by_name.get(member.name), member)
            if change is not None:
                missed.append(change(member, time=now))
        for name, member in self._by_name.items():
            if name not in listed:
                if member.state in _PRESENT:
                    missed.append(sprat.MemberLeft(member, time=now))
                missed.append(sprat.MemberReaped(member, time=now))
        return missed


_IN_LIST = (sprat.MemberJoined, sprat.MemberUpdated, sprat.MemberLeft, sprat.MemberFailed)
"""The classes of events whose whole effect a list of members shows."""

_FAILED, _LEFT = sprat.MemberState.FAILED, sprat.MemberState.LEFT
_PRESENT = frozenset(sprat.MemberState) - {_FAILED, _LEFT}


def _change(
    before: sprat.Member | None, after: sprat.Member
) -> Callable[..., sprat.MemberEvent] | None:
    """Return the class of the event that leads from one record of a member to another, if any."""
    was = None if before is None else before.state
    if after.state == _FAILED:
        return sprat.MemberFailed if was in _PRESENT else None
    if after.state == _LEFT:
        return None if was in (None, _LEFT) else sprat.MemberLeft
    if before is None or was not in _PRESENT:
        return sprat.MemberJoined
    return sprat.MemberUpdated if any(_differences(before, after)) else None


def differences(before: sprat.Member, after: sprat.Member) -> str:
    """Return the differences as a text, such as `weight: 10 -> 20, +version=2, -old=1`."""
    return ", ".join(_differences(before, after)) or "no visible change"


def _differences(before: sprat.Member, after: sprat.Member) -> Iterator[str]:
    if before.address != after.address:
        yield f"address: {before.address} -> {after.address}"
    for key in sorted(before.tags.keys() | after.tags.keys()):
        old, new = before.tags.get(key), after.tags.get(key)
        if old is None:
            yield f"+{quoted(key)}={quoted(new or '')}"
        elif new is None:
            yield f"-{quoted(key)}={quoted(old)}"
        elif old != new:
            yield f"{quoted(key)}: {quoted(old)} -> {quoted(new)}"
    if before.tags == after.tags and before.meta != after.meta:
        yield f"metadata: {len(before.meta)} -> {len(after.meta)} bytes"
    for name in ("protocol", "serf_protocol"):
        if getattr(before, name) != getattr(after, name):
            yield f"{name}: {getattr(before, name)} -> {getattr(after, name)}"
