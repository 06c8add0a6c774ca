"""Leaks: many repetitions leave no thread, descriptor, object or reference behind."""

import asyncio
import contextlib
import gc
import sys

import pytest
from conftest import descriptors, eventually, threads

import sprat
import sprat.aio
from sprat import _base_node, _delivery, _events

KINDS = (
    _base_node.BaseNode,
    _events.BaseEvents,
    _events.Selection,
    _delivery.Delivery,
    sprat.Tags,
    sprat.Error,
    asyncio.Future,
)


def counts():
    """Return how many threads, descriptors and objects of `KINDS` this process has."""
    gc.collect()
    ours = [type(it).__name__ for it in gc.get_objects() if isinstance(it, KINDS)]
    return {
        "threads": len(threads()),
        "descriptors": len(descriptors()),
        **{name: ours.count(name) for name in set(ours)},
    }


@pytest.fixture
def nothing_more(settings):
    """Check that the numbers after the test equal the numbers before it."""
    before = counts()
    yield
    eventually("nothing is left", lambda: counts() == before)


@pytest.fixture
def settings(addresses):
    return {"name": "ours", "bind": f"{addresses.ip()}:0", "profile": "local"}


def test_opening_and_closing_nodes_leaks_nothing(nothing_more, settings):
    for number in range(1000):
        node = sprat.Node(**settings, on_event=(lambda event: None) if number % 2 else None)
        if number % 3 == 0:
            node.next_event(0)
        if number % 5 == 0:
            node.events()
            node.tags["n"] = str(number)
        node.close()
    del node


def test_joining_and_leaving_leaks_nothing(nothing_more, settings):
    with contextlib.closing(sprat.Node(**settings)) as seed:
        for number in range(20):
            with contextlib.closing(sprat.Node(**{**settings, "name": f"n{number}"})) as node:
                node.join(seed.address)
                with pytest.raises(sprat.JoinError):
                    node.join("127.0.0.1:1")
    del node, seed


def test_failed_starts_leak_nothing(nothing_more, settings):
    for _ in range(1000):
        with pytest.raises(sprat.AddressError):
            sprat.Node(bind="192.0.2.1:0")
        with pytest.raises(sprat.ConfigError):
            sprat.Node(**settings, event_queue=1)


def test_nodes_under_asyncio_leak_nothing(nothing_more, settings):
    async def rounds():
        for number in range(300):
            node = sprat.aio.Node(**settings)
            reader = node.events()
            await reader.next(60)
            node.tags["n"] = str(number)
            async for _ in reader:
                break
            waiting = asyncio.create_task(reader.next())
            await asyncio.sleep(0)
            if number % 2:
                waiting.cancel()
            node.close()
            await asyncio.wait([waiting])

    for _ in range(2):
        asyncio.run(rounds())


def test_readers_leak_nothing(nothing_more, settings):
    with contextlib.closing(sprat.Node(**settings)) as node:
        open_before = len(descriptors())
        for number in range(1000):
            for reader in (node.events(), node.events(sprat.MemberFailed, maxsize=16)):
                reader.next(0)
            if number % 100 == 0:
                node.tags["n"] = str(number)
        readers = [node.events() for _ in range(100)]
        assert len(descriptors()) == open_before + 100 + 1
        readers.clear()
        del reader
        assert len(descriptors()) == open_before
    del node


def test_values_leak_no_references(settings):
    with contextlib.closing(sprat.Node(**settings)) as node:
        member, events = node.self_member, node.events()
        event = events.next(60)
        objects = [member, event, node, events, sprat.MemberState.ALIVE, None, sprat.Member]
        before = [sys.getrefcount(it) for it in objects]
        for _ in range(2000):
            assert event.member.state is sprat.MemberState.ALIVE
            assert member == event.member
            assert hash(member) == hash(event.member)
            repr(event), event.to_dict(), member.tags, event.__reduce__()
            members = node.members()
            members["ours"], members[0], members[:], list(members), members.get("x"), repr(members)
            with contextlib.suppress(KeyError):
                members["nobody"]
            assert events.next(0) is None
        del members
        after = [sys.getrefcount(it) for it in objects]
    # Other code also adds or drops references to None, so there is a tolerance.
    assert [b - a for a, b in zip(before, after, strict=True) if abs(b - a) > 20] == []
