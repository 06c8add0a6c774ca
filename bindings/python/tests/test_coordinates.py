"""Network coordinates and estimated round-trip times."""

import contextlib

import pytest
from cluster import eventually

import sprat


@pytest.fixture
def quick(addresses):
    """Start nodes that ping often: `quick(name, **settings)`."""
    with contextlib.ExitStack() as stack:

        def start(name, **settings):
            times = {"probe_interval_ms": 50, "probe_timeout_ms": 40}
            bind = addresses.address()
            node = sprat.Node(name=name, bind=bind, profile="local", **times, **settings)
            return stack.enter_context(contextlib.closing(node))

        yield start


def known(node, name):
    """Wait until a node has the coordinate of a member, and return it."""

    def coordinate():
        try:
            return node.coordinate(name)
        except sprat.UnknownMemberError:
            return None

    return eventually(f"{node.name} knows the coordinate of {name}", coordinate)


def test_a_node_estimates_the_round_trip_time_of_any_two_members(quick):
    a, b, c = (quick(name) for name in "abc")
    b.join(a.address)
    c.join(a.address)
    for name in "bc":
        coordinate = known(a, name)
        assert len(coordinate.vec) == 8
        assert 0 < coordinate.error <= 1.5
        assert coordinate.height > 0
    assert 0 < a.coordinate().error <= 1.5
    assert 0 <= a.rtt("b") < 60
    assert 0 <= a.rtt("b", "c") < 60


def test_errors_say_why_there_is_no_coordinate(quick):
    a, silent = quick("a"), quick("silent", coordinates=False)
    silent.join(a.address)
    with pytest.raises(sprat.UnknownMemberError, match="no such member"):
        a.coordinate("nobody")
    with pytest.raises(sprat.UnknownMemberError, match="not sent its coordinate"):
        a.rtt("silent")
    with pytest.raises(sprat.StateError, match="coordinates = true"):
        silent.coordinate()
    with pytest.raises(TypeError, match="name must be str"):
        a.coordinate(7)
    with pytest.raises(TypeError, match="a must be str"):
        a.rtt(None)
