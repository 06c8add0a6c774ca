"""The differences that `sprat monitor` shows for an update."""

import pytest

import sprat
from sprat._cli.changes import KnownMembers, differences


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


def test_only_a_join_or_update_that_agrees_with_the_list_is_a_repetition():
    one, two = member({"n": "1"}), member({"n": "2"}, incarnation=2)
    left = member({"n": "2"}, state="left", incarnation=2)
    known = KnownMembers([one])
    assert known.is_repetition(sprat.MemberJoined(one))
    assert known.is_repetition(sprat.MemberUpdated(one))
    assert not known.is_repetition(sprat.MemberUpdated(two))
    assert known.apply(sprat.MemberUpdated(two)) == one
    assert known.is_repetition(sprat.MemberUpdated(two))
    assert known.apply(sprat.MemberLeft(left)) == two
    assert not known.is_repetition(sprat.MemberLeft(left))
    assert not known.is_repetition(sprat.MemberJoined(two)), "the member has returned"
    assert known.apply(sprat.MemberReaped(left)) == left
    assert known.apply(sprat.MemberJoined(one)) is None
