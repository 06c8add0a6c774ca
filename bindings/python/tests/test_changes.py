"""The differences that `sprat monitor` shows for an update, and after events were lost."""

from types import SimpleNamespace

import pytest

import sprat
from sprat._cli.changes import KnownMembers, differences
from sprat._cli.monitor import _with_missed


def member(tags=None, address="10.0.0.1:7946", **more):
    return sprat.Member("a", address, tags=tags, **more)


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (member({"w": "1"}), member({"w": "2"}), "w: 1 -> 2"),
        (member({"w": "1"}), member({"w": ""}), "w: 1 -> "),
        (member({}), member({"b": "2", "a": "1"}), "+a=1, +b=2"),
        (member({"a": "", "k": "v"}), member({"k": "v"}), "-a="),
        (member({"k": "a,b"}), member({"k": "\x1b["}), 'k: "a,b" -> \\x1b['),
        (member(), member(address="10.0.0.2:80"), "address: 10.0.0.1:7946 -> 10.0.0.2:80"),
        (member(meta=b"x"), member(meta=b"xyz"), "metadata: 1 -> 3 bytes"),
        (member(), member(protocol=(1, 5, 3)), "protocol: (1, 5, 2) -> (1, 5, 3)"),
        (member(), member(incarnation=2), "no visible change"),
    ],
)
def test_a_difference_shows_the_old_and_the_new_value(before, after, text):
    assert differences(before, after) == text


def test_only_an_event_that_agrees_with_the_list_is_a_repetition():
    one, two = member({"n": "1"}), member({"n": "2"}, incarnation=2)
    left = member({"n": "2"}, state="left", incarnation=2)
    known = KnownMembers([one])
    assert known.is_repetition(sprat.MemberJoined(one))
    assert known.is_repetition(sprat.MemberUpdated(one))
    assert not known.is_repetition(sprat.MemberUpdated(two))
    assert known.apply(sprat.MemberUpdated(two)) == one
    assert known.is_repetition(sprat.MemberUpdated(two))
    assert known.apply(sprat.MemberLeft(left)) == two
    assert known.is_repetition(sprat.MemberLeft(left))
    assert not known.is_repetition(sprat.MemberReaped(left))
    assert not known.is_repetition(sprat.MemberAlive(left))
    assert not known.is_repetition(sprat.MemberJoined(two)), "the member has returned"
    assert known.apply(sprat.MemberReaped(left)) == left
    assert known.apply(sprat.MemberJoined(one)) is None


def in_state(state, **more):
    return member(state=state, **more)


@pytest.mark.parametrize(
    ("before", "after", "kinds"),
    [
        (None, in_state("alive"), ["member-join"]),
        (None, in_state("failed"), []),
        (None, in_state("left"), []),
        (in_state("alive"), in_state("suspect", incarnation=2), []),
        (in_state("suspect"), in_state("leaving"), []),
        (in_state("alive"), in_state("alive", tags={"a": "1"}), ["member-update"]),
        (in_state("alive"), in_state("alive", address="10.0.0.2:80"), ["member-update"]),
        (in_state("alive"), in_state("failed"), ["member-failed"]),
        (in_state("leaving"), in_state("left"), ["member-leave"]),
        (in_state("failed"), in_state("left"), ["member-leave"]),
        (in_state("failed"), in_state("alive"), ["member-join"]),
        (in_state("left"), in_state("alive"), ["member-join"]),
        (in_state("left"), in_state("left"), []),
        (in_state("alive"), None, ["member-leave", "member-reap"]),
        (in_state("failed"), None, ["member-reap"]),
    ],
)
def test_lost_events_follow_from_the_list_of_members(before, after, kinds):
    known = KnownMembers([] if before is None else [before])
    members = [] if after is None else [after]
    events = known.missed(members, 1.5)
    assert [it.kind for it in events] == kinds
    assert all(it.time == 1.5 and it.member == (after or before) for it in events)
    for event in events:
        known.apply(event)
    assert known.missed(members, 1.5) == []


def test_events_that_were_queued_behind_an_overflow_are_told_once():
    alive, failed = in_state("alive"), in_state("failed")
    known = KnownMembers([])
    for member_now, missed in (
        (alive, sprat.MemberJoined(alive)),
        (failed, sprat.MemberFailed(failed)),
    ):
        assert known.missed([member_now], 0.0) == [missed]
        known.apply(missed)
        assert known.is_repetition(missed)


def test_a_monitor_shows_what_has_changed_after_events_were_lost():
    one, two, three = (in_state("alive", tags={"n": n}) for n in "123")
    known = KnownMembers([one])
    node = SimpleNamespace(members=lambda state: [three])
    batch = [sprat.MemberUpdated(two), sprat.Overflow(7), sprat.MemberFailed(two)]
    shown = []
    for event in _with_missed(batch, known, node):
        shown.append(event.kind)
        if isinstance(event, sprat.MemberEvent):
            shown.append((known.apply(event), event.member))
    assert shown == ["member-update", (one, two), "overflow", "member-update", (two, three)]
