"""Looking at a cluster without joining it, with nodes and stock agents."""

import asyncio
import contextlib
import ipaddress
import socket

import pytest
from conftest import retry_if_leave_is_lost, sees_left

import sprat
import sprat.aio


@pytest.fixture
def outside(addresses):
    """A node that has not joined a cluster yet."""
    with contextlib.closing(
        sprat.Node(name="outside", bind=addresses.address(), profile="local")
    ) as it:
        yield it


@retry_if_leave_is_lost
def test_a_look_returns_members_in_every_state_and_no_member_learns_of_it(outside, agent):
    stock = agent("stock", "-profile=local", "-tag", "role=web")
    failed = agent("failed", "-profile=local", f"-join={stock.address}")
    left = agent("left", "-profile=local", f"-join={stock.address}")
    stock.sees("failed", "alive")
    left.leave()
    sees_left(stock, "left")
    failed.kill()
    stock.sees("failed", "failed")
    host = ipaddress.ip_address(stock.address.removesuffix(":7946"))
    for address in (stock.address, host):
        members = outside.look(address)
        assert type(members) is sprat.Members
        states = {it.name: it.state for it in members}
        assert states == {"failed": "failed", "left": "left", "stock": "alive"}
        assert members["stock"].tags == {"role": "web"}
        assert members["stock"].address == stock.address
    assert "outside" not in stock.members()
    assert "outside" not in stock.log()
    assert outside.members(state=None).names() == ["outside"]


def test_a_node_can_look_at_its_own_cluster_even_after_it_has_left(node, outside):
    outside.join(node.address)
    assert outside.look(node.address).names() == ["ours", "outside"]
    outside.leave()
    assert outside.look(node.address)["outside"].state == "left"
    assert outside.look(outside.address).names() == ["ours", "outside"]


def test_a_look_under_asyncio(node, outside):
    async def main():
        async with sprat.aio.Node(name="aio", bind="127.0.0.1:0", profile="local") as third:
            looks = [third.look(it.address) for it in (node, outside)]
            return [members.names() for members in await asyncio.gather(*looks)]

    assert asyncio.run(main()) == [["ours"], ["outside"]]


def test_a_look_raises_what_a_join_raises(node, addresses):
    nowhere = addresses.address()
    with pytest.raises(sprat.JoinError) as caught:
        node.look(nowhere)
    assert str(caught.value.errors[nowhere]) == "connection refused"
    for wrong, error in (
        ("", sprat.AddressError),
        ("a:b", sprat.AddressError),
        ("no-such-host.invalid", sprat.JoinError),
        (5, TypeError),
        (["a"], TypeError),
    ):
        with pytest.raises(error):
            node.look(wrong)
    with pytest.raises(sprat.InvalidError):
        node.look("a", timeout=-1)
    with socket.create_server((addresses.ip(), 0)) as silent:
        mute = "{}:{}".format(*silent.getsockname())
        with pytest.raises(sprat.TimeoutError, match=r"the look has not finished within 0\.1 s"):
            node.look(mute, timeout=0.1)
        for _ in range(15):
            with pytest.raises(sprat.TimeoutError):
                node.look(mute, timeout=0)
        with pytest.raises(sprat.StateError, match="16 looks are under way"):
            node.look(mute)
    node.close()
    with pytest.raises(sprat.ClosedError):
        node.look(nowhere)
