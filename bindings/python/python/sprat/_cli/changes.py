"""Shows what an update changed: the difference between two records of a member.

The cluster only sends the new record, so the last known record of each member is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import sprat

from .output import quoted

__all__ = ["KnownMembers", "differences"]


class KnownMembers:
    """The members as the initial list and the events since then describe them."""

    def __init__(self, members: Iterable[sprat.Member]) -> None:
        self._by_name = {member.name: member for member in members}

    def is_repetition(self, event: sprat.MemberEvent) -> bool:
        """Return true if the event tells nothing new: the list of members includes it already."""
        known = self._by_name.get(event.member.name)
        may_repeat = isinstance(event, sprat.MemberJoined | sprat.MemberUpdated)
        return may_repeat and known == event.member

    def apply(self, event: sprat.MemberEvent) -> sprat.Member | None:
        """Take note of an event. Return the member as it was before, if it was known."""
        member = event.member
        before = self._by_name.pop(member.name, None)
        if not isinstance(event, sprat.MemberReaped):
            self._by_name[member.name] = member
        return before


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
