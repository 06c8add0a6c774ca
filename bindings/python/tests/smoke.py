"""Tests an installed package without other tools: two nodes join, and one leaves."""

from __future__ import annotations

import asyncio

import sprat
import sprat.aio

LOCAL = {"bind": "127.0.0.1:0", "profile": "local"}


async def other(address: str) -> None:
    async with sprat.aio.Node(name="smoke-b", **LOCAL) as node:
        assert await node.join(address) == 1
        assert node.members().names() == ["smoke-a", "smoke-b"]


with sprat.Node(name="smoke-a", tags={"role": "smoke"}, **LOCAL) as node:
    asyncio.run(other(node.address))
    events = node.events(sprat.MemberLeft)
    left = events.next(timeout=90)
    assert left is not None, "smoke-b did not leave"
    assert left.member.name == "smoke-b", left
print(f"sprat {sprat.__version__} works")
