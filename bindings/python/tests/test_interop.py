"""Nodes in one cluster with stock agents of Serf."""

import asyncio
import contextlib
import os
import signal
import time

import pytest
from conftest import LeaveSeenAsFailure, eventually, retry_if_leave_is_lost, sees_left

import sprat
import sprat.aio

KEYS = {size: bytes(range(size)) for size in (16, 24, 32)}
ENCODED = {
    16: "AAECAwQFBgcICQoLDA0ODw==",
    24: "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
    32: "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
}


@pytest.fixture
def ours(addresses):
    """Start a node, by default with the LAN profile, like the agents: `ours(name)`."""
    with contextlib.ExitStack() as stack:

        def start(name="ours", **settings):
            settings = {"bind": addresses.address(), **settings}
            return stack.enter_context(contextlib.closing(sprat.Node(name=name, **settings)))

        yield start


def wait_for(reader, cls, name, within=75):
    """Return the next event of this kind about this member."""
    until = time.monotonic() + within
    while (left := until - time.monotonic()) > 0:
        event = reader.next(left)
        if isinstance(event, cls) and event.member.name == name:
            return event
        if cls is sprat.MemberLeft and isinstance(event, sprat.MemberFailed):
            raise LeaveSeenAsFailure(event)
    pytest.fail(f"no {cls.__name__} of {name} within {within} s")


@retry_if_leave_is_lost
def test_either_side_joins_and_tags_go_both_ways(agent, ours):
    stock = agent("stock", "-tag", "role=web")
    node, other = ours(tags={"zone": "b"}), ours("other")
    reader = node.events(sprat.MemberEvent)
    stock.join(node.address)
    joined = wait_for(reader, sprat.MemberJoined, "stock")
    assert joined.member.tags == {"role": "web"}
    assert joined.member.protocol[2] == 2
    assert stock.sees("ours", "alive")["tags"] == {"zone": "b"}
    assert other.join(stock.address) == 1
    assert other.members().names() == ["other", "ours", "stock"]
    assert other.members(role="web").names() == ["stock"]
    assert other.members(tags={"zone": "b"}).names() == ["ours"]

    stock.must("tags", "-set", "role=db", "-set", "ü=ö")
    updated = wait_for(reader, sprat.MemberUpdated, "stock")
    assert updated.member.tags == {"role": "db", "ü": "ö"}
    node.tags = {"zone": "c", "rack": "7"}
    eventually(
        "the agent has the new tags", lambda: stock.members()["ours"]["tags"] == dict(node.tags)
    )

    node.leave()
    sees_left(stock, "ours")
    assert other.hint("stock") is True
    stock.leave()
    wait_for(other.events(sprat.MemberEvent), sprat.MemberLeft, "stock")


def test_an_agent_that_is_killed_fails_and_comes_back(agent, ours, addresses):
    stock, witness = agent("stock"), agent("witness")
    node, filtered = ours(), ours("filtered", filter_names=["wit*"])
    for it in (node, filtered):
        assert it.join(stock.address, witness.address) == 2
    reader = node.events(sprat.MemberEvent)
    assert filtered.members().names() == ["filtered", "witness"]
    eventually("the witness knows all members", lambda: len(witness.members()) == 4)
    address = stock.address
    stock.kill()
    begun = time.monotonic()
    assert node.hint("stock", timeout=90) is False
    assert time.monotonic() - begun < 30
    assert wait_for(reader, sprat.MemberSuspected, "stock").member.state == "suspect"
    failed = wait_for(reader, sprat.MemberFailed, "stock").member
    assert failed.state is sprat.MemberState.FAILED
    assert "stock" not in node.members()
    assert node.members(state="failed").names() == ["stock"]
    explanation = node.explain("stock")
    assert (explanation.name, explanation.state, explanation.address) == (
        "stock",
        "failed",
        address,
    )
    assert explanation.accuser in ("ours", "filtered", "witness")
    assert "stock" in str(explanation)
    assert node.health().live == 3
    assert filtered.events(sprat.MemberFailed).next(0) is None

    back = agent("stock", f"-bind={address}")
    back.join(witness.address)
    assert wait_for(reader, sprat.MemberJoined, "stock").member.state == "alive"
    back.kill()
    wait_for(reader, sprat.MemberFailed, "stock")
    node.remove_failed("stock")
    wait_for(reader, sprat.MemberLeft, "stock")
    witness.sees("stock", "left")


def test_a_python_process_that_is_killed_fails_for_the_agent(agent, program, addresses):
    stock = agent("stock")
    it = program(
        """
        import sys, time
        import sprat
        node = sprat.Node(name="ours", bind=sys.argv[1])
        node.join(sys.argv[2])
        print("ready")
        time.sleep(100)
        """,
        addresses.address(),
        stock.address,
    )
    assert it.line() == "ready"
    stock.sees("ours", "alive")
    os.kill(it.process.pid, signal.SIGKILL)
    stock.sees("ours", "failed")


@pytest.mark.parametrize("size", [16, 24, 32])
def test_keys_of_every_size_work_with_the_agent(agent, ours, size):
    stock = agent("stock", f"-encrypt={ENCODED[size]}")
    for name, key in (("bytes", KEYS[size]), ("base64", ENCODED[size])):
        node = ours(name, keys=[key])
        assert node.join(stock.address) == 1
        stock.sees(name, "alive")
    wrong = ours("wrong", keys=[b"x" * 32])
    plain = ours("plain")
    for node in (wrong, plain):
        with pytest.raises(sprat.JoinError) as caught:
            node.join(stock.address, "127.0.0.1:1")
        errors = caught.value.errors
        assert caught.value.code == "SPRAT_ERR_CRYPTO", "the error about keys takes precedence"
        assert type(errors[stock.address]) is sprat.CryptoError
        assert "key" in str(errors[stock.address]) or "encrypt" in str(errors[stock.address])
        assert type(errors["127.0.0.1:1"]) is sprat.UnreachableError
    assert sorted(stock.members()) == ["base64", "bytes", "stock"]


def test_a_name_in_use_is_reported_by_join_and_by_every_reader(agent, ours, addresses):
    stock, same = agent("stock"), agent("same")
    same.join(stock.address)
    second = ours("same")
    everything, joined = second.events(), second.events(sprat.MemberReaped)
    with pytest.raises(sprat.NameConflictError) as refused:
        second.join(stock.address)
    assert str(refused.value) == f'the name "same" is in use by another node at {same.address}'
    health = second.health()
    assert (health.name_conflict, health.name_conflict_alive) == (same.address, True)
    (failed,) = [it for it in iter(lambda: everything.next(0), None) if it.kind == "fatal"]
    assert isinstance(failed, sprat.NodeFailed)
    assert failed.reason == str(refused.value)
    for _ in range(2):
        with pytest.raises(sprat.NameConflictError) as caught:
            joined.next(0)
        assert str(caught.value) == failed.reason
    with pytest.raises(sprat.NameConflictError):
        second.join(stock.address)
    assert second.is_open, "the program decides whether to close the node"
    assert stock.sees("same", "alive")["addr"] == same.address


def test_a_node_reports_that_it_has_its_name_again_and_later_readers_get_no_conflict(agent, ours):
    stock = agent("stock", "-profile=local")
    owner, second = ours("same", profile="local"), ours("same", profile="local")
    owner.join(stock.address)
    regained = second.events(sprat.NameRegained, sprat.NodeFailed)
    # On a busy machine, the join ends before the owner has answered; the event then comes later.
    with contextlib.suppress(sprat.NameConflictError):
        second.join(stock.address)
    assert isinstance(regained.next(60), sprat.NodeFailed)
    owner.leave()
    owner.close()
    assert isinstance(regained.next(60), sprat.NameRegained)
    assert second.health().name_conflict is None
    assert second.events(sprat.MemberReaped).next(0) is None
    second.join(stock.address)
    assert stock.sees("same", "alive")["addr"] == second.address


def test_a_restart_at_another_address_is_shown_by_health_and_is_not_fatal(agent, ours):
    stock = agent("stock", "-profile=local")
    first = ours("moves", profile="local")
    first.join(stock.address)
    former = first.address
    first.close()
    second = ours("moves", profile="local")
    assert second.join(stock.address) == 1
    health = eventually(
        "the old address is reported", lambda: (it := second.health()).name_conflict and it
    )
    assert (health.name_conflict, health.name_conflict_alive) == (former, False)
    assert "no node answers" in str(health)

    # An agent accepts a new address for a name 30 s after it has declared the old one failed.
    def moved():
        member = stock.members()["moves"]
        return member["status"] == "alive" and member["addr"] == second.address

    eventually("the agent takes the new address", moved)
    eventually("no name conflict is reported", lambda: second.health().name_conflict is None)


def test_an_asyncio_node_joins_an_agent_and_leaves(agent, addresses):
    stock = agent("stock")

    async def main():
        async with sprat.aio.Node(name="ours", bind=addresses.address()) as node:
            assert await node.join(stock.address) == 1
            async for event in node.events(sprat.MemberJoined):
                if event.member.name == "stock":
                    break
            assert await node.hint("stock") is True
            await asyncio.to_thread(stock.sees, "ours", "alive")

    asyncio.run(main())
    sees_left(stock, "ours")


def test_a_user_event_of_an_agent_reaches_python(agent, ours):
    stock, node = agent("stock"), ours()
    events = node.events(sprat.UserEvent)
    stock.join(node.address)
    stock.must("event", "-coalesce=false", "deploy", "v2")
    event = events.next(60)
    assert (event.name, event.payload, event.coalesce) == ("deploy", b"v2", False)


def test_python_answers_a_query_from_an_agent(agent, ours):
    stock = agent("stock")
    node = ours(on_event=lambda it: isinstance(it, sprat.Query) and it.respond(b"12d"))
    stock.join(node.address)
    printed = stock.must("query", "-format=json", "-timeout=5s", "uptime")
    assert "12d" in printed


def test_the_handler_of_an_agent_answers_a_query(agent, ours):
    stock, node = agent("stock", "-event-handler", "query:load=echo 1.5"), ours()
    stock.join(node.address)
    answers = node.query("load", nodes=["stock"], timeout=60)
    assert [(it.member, it.payload) for it in answers] == [("stock", b"1.5\n")]
