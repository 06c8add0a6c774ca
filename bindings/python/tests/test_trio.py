"""The functions for trio that the guide shows."""

import textwrap
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs/python/event-loops.md"


@pytest.fixture
def run(program, addresses):
    """Run `main` in a program that begins with the functions of the page."""
    section = PAGE.read_text().partition("## trio")[2]
    functions = section.partition("```python\n")[2].partition("async def main")[0]

    def begin(main):
        settings = f'local = dict(bind="{addresses.address()}", profile="local")\n'
        code = f"{functions}\n{settings}\n{textwrap.dedent(main)}\ntrio.run(main)\n"
        return program(code)

    return begin


def test_a_wait_ends_when_the_node_is_closed_and_returns_the_last_events(run):
    run(
        """
        async def main():
            node = sprat.Node(name="a", **local)
            seen = []
            async def read():
                with node.events() as reader:
                    while event := await next_event(node, reader):
                        seen.append(event.kind)
            with trio.fail_after(60):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(read)
                    while not seen:
                        await trio.sleep(0.01)
                    node.tags["x"] = "y"
                    node.close()
            assert seen == ["member-join", "member-update"], seen
        """
    ).end()


def test_a_cancelled_block_leaves_and_a_cancelled_wait_loses_no_event(run):
    run(
        """
        async def main():
            other = sprat.Node(name="other", **local)
            departures = other.events(sprat.MemberLeft, sprat.MemberFailed)
            updates = other.events(sprat.MemberUpdated)
            with trio.move_on_after(0.01) as scope:
                await next_event(other, updates)
            assert scope.cancelled_caught
            with trio.CancelScope() as scope:
                async with member(name="b", bind="127.0.0.1:0", profile="local") as node:
                    await trio.to_thread.run_sync(node.join, other.address)
                    scope.cancel()
                    await trio.sleep_forever()
            other.tags["x"] = "y"
            with trio.fail_after(60):
                assert type(await next_event(other, departures)) is sprat.MemberLeft
                assert (await next_event(other, updates)).member.name == "other"
            other.close()
        """
    ).end()


def test_a_flood_of_events_lets_other_tasks_run(run):
    run(
        """
        async def main():
            with sprat.Node(name="a", **local) as node:
                reader = node.events(sprat.MemberUpdated)
                turns = 0
                async def count():
                    nonlocal turns
                    while True:
                        turns += 1
                        await trio.lowlevel.checkpoint()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(count)
                    for number in range(100):
                        node.tags["n"] = str(number)
                    before = turns
                    for _ in range(100):
                        assert await next_event(node, reader)
                    assert turns - before >= 50
                    nursery.cancel_scope.cancel()
        """
    ).end()
