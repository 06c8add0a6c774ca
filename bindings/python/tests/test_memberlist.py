"""Messages, states, acks and gossip in memberlist mode: values, delivery, errors, asyncio."""

import asyncio
import contextlib
import pickle
import threading

import pytest
from conftest import eventually

import sprat
import sprat.aio


@pytest.fixture
def pair(addresses):
    """Return two nodes in memberlist mode; the second has not joined the first."""
    with contextlib.ExitStack() as stack:
        made = [
            sprat.Node(name=name, bind=addresses.address(), profile="local", mode="memberlist")
            for name in ("a", "b")
        ]
        yield [stack.enter_context(contextlib.closing(node)) for node in made]


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        (sprat.Message("a", b"hi", "10.0.0.1:7946", 3, 1.5), "Message('a', b'hi')"),
        (sprat.RemoteState("a", b"hi", True, "10.0.0.1:7946"), "RemoteState('a', <2 bytes>)"),
        (sprat.PingAck("a", b"load", 0.00125), "PingAck('a', 0.001250 s)"),
        (sprat.MemberConflict("a", "b:1", "c:2"), "MemberConflict('a', 'b:1', 'c:2')"),
    ],
)
def test_an_event_of_memberlist_mode_is_a_value(event, shown):
    copy = pickle.loads(pickle.dumps(event))
    assert repr(event) == shown
    assert copy == event
    assert hash(copy) == hash(event)
    assert copy.to_dict() == event.to_dict() == dict(event)


def test_messages_and_states_arrive(pair):
    a, b = pair
    messages, states = b.events(sprat.Message), b.events(sprat.RemoteState)
    a.set_local_state(b"state of a")
    b.join(a.address, timeout=60)
    state = states.next(60)
    while not state.join:
        state = states.next(60)
    assert state.payload == b"state of a"
    a.send("b", b"reliable", reliable=True, timeout=60)
    assert messages.next(60).payload == b"reliable"
    a.broadcast(b"to all", name="key")
    match messages.next(60):
        case sprat.Message(_, payload):
            assert payload == b"to all"
    a.send("b", b"datagram")


def test_a_callback_that_does_not_return_delays_neither_answers_nor_exchanges(addresses):
    entered, free = threading.Event(), threading.Event()

    def wait(_event):
        entered.set()
        free.wait()

    local = {"profile": "local", "mode": "memberlist"}
    slow = sprat.Node(name="slow", bind=addresses.address(), on_event=wait, **local)
    with sprat.Node(name="other", bind=addresses.address(), **local) as other:
        try:
            slow.set_local_state(b"state of slow")
            other.join(slow.address, timeout=60)
            assert entered.wait(60)
            states = other.events(sprat.RemoteState)
            other.join(slow.address, timeout=60)
            assert states.next(60).payload == b"state of slow"
            other.send("slow", bytes(300_000), reliable=True, timeout=60)
            # A datagram may be late on a busy machine.
            eventually("the node answers a ping", lambda: other.hint("slow", 60))
            assert other.members()["slow"].state == "alive"
        finally:
            free.set()
            slow.close()


def test_a_message_that_cannot_be_sent_is_an_error(pair, node):
    a, _ = pair
    with pytest.raises(sprat.TooLargeError, match="gossip packet is 1395"):
        a.broadcast(bytes(2000))
    with pytest.raises(sprat.TooLargeError, match="9437184 bytes"):
        a.set_local_state(bytes(9 << 20))
    for reliable in (False, True):
        with pytest.raises(sprat.UnknownMemberError):
            a.send("nobody", b"", reliable)
    with pytest.raises(TypeError, match="payload must be bytes"):
        a.broadcast("text")
    with pytest.raises(sprat.StateError, match="mode = memberlist"):
        node.broadcast(b"")


def test_a_change_has_spread(pair):
    a, b = pair
    a.spread()  # there is no other member
    b.join(a.address, timeout=60)
    updates = b.events(sprat.MemberUpdated)
    a.set_meta(b"new")
    a.spread(timeout=60)
    assert updates.next(60).member.meta == b"new"
    a.leave(timeout=60)
    with pytest.raises(sprat.StateError, match="has left"):
        a.spread()


def test_acks_bring_the_payload_and_the_round_trip_time(addresses, pair):
    a, b = pair
    bind = addresses.address()
    settings = {"profile": "local", "mode": "memberlist", "ping_acks": True}
    with contextlib.closing(sprat.Node(name="c", bind=bind, **settings)) as c:
        a.set_ack_payload(b"load 3")
        c.join(a.address, timeout=60)
        acks = c.events(sprat.PingAck)
        ack = acks.next(60)
        while not ack.payload:  # sent before this member was known there
            ack = acks.next(60)
        match ack:
            case sprat.PingAck("a", payload, rtt):
                assert payload == b"load 3"
                assert rtt > 0
    with pytest.raises(sprat.TooLargeError, match="the limit of an ack is 512"):
        b.set_ack_payload(bytes(513))


def test_messages_with_asyncio(addresses, pair):
    a, _ = pair

    async def run():
        bind = addresses.address()
        async with sprat.aio.Node(name="c", bind=bind, profile="local", mode="memberlist") as c:
            await c.join(a.address, timeout=60)
            reader = a.events(sprat.Message)
            await c.send("a", b"hi", reliable=True, timeout=60)
            await c.send("a", b"datagram")
            c.set_meta(b"new")
            await c.spread(timeout=60)
            return reader.next(60).payload

    assert asyncio.run(run()) == b"hi"
