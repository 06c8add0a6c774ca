"""The end of a `with` block: the node leaves, whatever ended the block, and is closed."""

import logging

import pytest

import sprat


@pytest.fixture
def start(addresses):
    def begin(name="ours", cls=sprat.Node):
        return cls(name=name, bind=addresses.address(), profile="local")

    return begin


@pytest.fixture
def departures(node, start):
    """The departures that another member sees. The name of this member is "ours"."""
    return node.events(sprat.MemberLeft, sprat.MemberFailed)


def block(node, error, action=lambda: None):
    """Run a block that ends with an exception."""
    with node:
        action()
        raise error


class Interrupt(BaseException):
    """An exception that does not derive from `Exception`."""


@pytest.mark.parametrize(
    "error",
    [
        ValueError,
        Interrupt,
        KeyboardInterrupt,
        SystemExit,
        GeneratorExit,
        sprat.TimeoutError,
        sprat.ClosedError,
        sprat.JoinError,
        lambda _text: ExceptionGroup("on purpose", [ValueError("on purpose")]),
    ],
)
def test_a_block_leaves_whatever_exception_ends_it(node, start, departures, error):
    given = error("on purpose")
    guest = start("guest")
    with pytest.raises(type(given), match="on purpose") as caught:
        block(guest, given, lambda: guest.join(node.address))
    assert caught.value is given
    assert given.__context__ is None
    assert guest.state == "shutdown"
    departure = departures.next(60)
    assert (type(departure), departure.member.name) == (sprat.MemberLeft, "guest")


def test_a_node_that_is_closed_inside_the_block_is_seen_as_failed(node, start, departures):
    guest = start("guest")
    guest.join(node.address)
    with pytest.raises(ValueError, match="on purpose"):
        block(guest, ValueError("on purpose"), guest.close)
    assert type(departures.next(60)) is sprat.MemberFailed


def test_a_node_that_left_inside_the_block_is_closed_without_another_leave(node, start, departures):
    with start("guest") as guest:
        guest.join(node.address)
        guest.leave()
    assert guest.state == "shutdown"
    assert type(departures.next(60)) is sprat.MemberLeft


class Stuck(sprat.Node):
    """A node whose leave raises the error `fails_with`."""

    fails_with: BaseException

    def leave(self, timeout=5):
        raise self.fails_with


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (
            lambda: sprat.TimeoutError("late"),
            "ours: the leave did not spread in time; other members may",
        ),
        (lambda: sprat.NetworkError("no descriptor"), "members may see a failure: no descriptor"),
    ],
)
def test_a_failing_leave_is_logged_and_does_not_replace_the_exception(start, caplog, failure, says):
    node = start(cls=Stuck)
    node.fails_with = failure()
    with caplog.at_level(logging.WARNING, "sprat"), pytest.raises(ValueError, match="on purpose"):
        block(node, ValueError("on purpose"))
    assert node.state == "shutdown"
    assert says in caplog.text


def test_ctrl_c_during_the_leave_ends_the_block(start):
    node = start(cls=Stuck)
    node.fails_with = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt) as caught:
        block(node, ValueError("on purpose"))
    assert node.state == "shutdown"
    assert isinstance(caught.value.__context__, ValueError)


@pytest.fixture
def bereaved(addresses):
    """A node that has not declared a crashed member failed, and will not for a long time."""
    with sprat.Node(
        name="bereaved", bind=addresses.address(), profile="local", suspicion_mult=100
    ) as node:
        crashed = sprat.Node(name="crashed", bind=addresses.address(), profile="local")
        crashed.join(node.address)
        crashed.close()
        yield node


def test_a_leave_names_the_members_that_do_not_acknowledge_it(bereaved):
    for _ in range(2):
        with pytest.raises(sprat.LeaveError, match="as failed: crashed") as caught:
            bereaved.leave(60)
        assert caught.value.members == ("crashed",)
        assert bereaved.state == "left"


def test_a_block_logs_the_members_that_do_not_acknowledge_its_leave(bereaved, caplog):
    with caplog.at_level(logging.WARNING, "sprat"), pytest.raises(ValueError, match="on purpose"):
        block(bereaved, ValueError("on purpose"))
    assert "as failed: crashed" in caplog.text


def test_a_join_cancels_a_leave(bereaved, start):
    with start("seed") as seed:
        pending = bereaved._native.begin_leave()
        bereaved.join(seed.address)
        assert pending.wait(60)
        assert pending.outcome()[1].code == "SPRAT_ERR_STATE"
        assert bereaved.state == "running"
