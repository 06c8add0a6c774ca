"""Nodes under asyncio, and under uvloop if it is installed."""

import asyncio
import contextlib
import gc
import importlib.util
import logging
import socket
import threading
import time
import warnings

import pytest
from conftest import descriptors, eventually

import sprat
import sprat.aio

LOOPS = ["asyncio", "asyncio-debug"]
if importlib.util.find_spec("uvloop"):
    LOOPS.append("uvloop")
else:
    warnings.warn("uvloop is not installed: its tests do not run", UserWarning, stacklevel=1)


@pytest.fixture(params=LOOPS)
def run(request):
    """Run a coroutine function in an event loop of its own, with a deadline."""

    def start(main, *arguments):
        async def bounded():
            async with asyncio.timeout(110):
                return await main(*arguments)

        factory = None
        if request.param == "uvloop":
            factory = importlib.import_module("uvloop").new_event_loop
        debug = request.param == "asyncio-debug"
        with asyncio.Runner(debug=debug, loop_factory=factory) as runner:
            return runner.run(bounded())

    return start


@pytest.fixture
def aio_node(addresses):
    """Start a node: `aio_node(name)`; it is closed at the end."""
    with contextlib.ExitStack() as stack:

        def start(name="ours", **settings):
            settings = {"bind": addresses.address(), "profile": "local", **settings}
            node = stack.enter_context(contextlib.closing(sprat.aio.Node(name=name, **settings)))
            eventually("the node's own join is queued", lambda: node.stats()["events_waiting"])
            return node

        yield start


def watched():
    """Return the descriptors that sprat could leak; an event loop has others of its own."""
    gc.collect()
    return sorted(it for it in descriptors().values() if "eventfd" in it)


def test_nodes_join_hint_change_tags_and_leave(run, aio_node):
    async def main():
        async with aio_node("one") as one, aio_node("two", tags={"role": "db"}) as two:
            events = one.events(sprat.MemberJoined, sprat.MemberLeft)
            assert (await events.next(60)).member.name == "one"
            assert await one.join(two.address) == 1
            joined = await events.next(60)
            assert (joined.member.name, joined.member.tags) == ("two", {"role": "db"})
            assert await one.hint("two") is True
            await two.leave()
            await two.leave()
            assert two.state == "left"
            async for event in events:
                assert event.member.name == "two"
                assert isinstance(event, sprat.MemberLeft)
                break
        assert not one.is_open
        assert [type(it) async for it in events] == [sprat.MemberLeft], "the node's leave is last"

    run(main)


def test_an_aio_node_raises_the_errors_of_a_plain_node(run, aio_node, addresses):
    async def main():
        node = aio_node()
        nowhere = addresses.address(9)
        with pytest.raises(sprat.JoinError) as caught:
            await node.join(nowhere)
        assert str(caught.value.errors[nowhere]) == "connection refused"
        for call, error in (
            (node.join(), sprat.InvalidError),
            (node.join(5), TypeError),
            (node.join("a", timeout=-1), sprat.InvalidError),
            (node.leave(timeout="1"), TypeError),
            (node.hint("nobody"), sprat.UnknownMemberError),
            (node.hint(5), TypeError),
            (node.next_event(-1), sprat.InvalidError),
            (node.events().next(True), TypeError),
        ):
            with pytest.raises(error):
                await call
        assert node.state == "running"
        node.close()
        for call in (node.join("a"), node.leave(), node.hint("x"), node.next_event()):
            with pytest.raises(sprat.ClosedError):
                await call
        with pytest.raises(sprat.ClosedError):
            node.events()

    run(main)


def test_an_aio_node_refuses_a_callback(addresses, tmp_path):
    file = tmp_path / "node.conf"
    file.write_text(f"bind = {addresses.address()}\n")
    for attempt in (sprat.aio.Node, lambda **it: sprat.aio.Node.from_file(file, **it)):
        with pytest.raises(TypeError, match="takes no on_event: use `async for` over events"):
            attempt(on_event=print)
    with contextlib.closing(sprat.aio.Node.from_file(file)) as node:
        assert asyncio.run(node.next_event(60)).kind == "member-join"


def test_next_returns_a_waiting_event_even_with_timeout_0(run, aio_node):
    async def main():
        node = aio_node()
        assert isinstance(await node.next_event(0), sprat.MemberJoined)
        assert await node.next_event(0) is None
        node.tags["n"] = "1"
        assert (await node.next_event(0)).member.tags == {"n": "1"}
        begun = time.monotonic()
        assert await node.next_event(0.05) is None
        assert 0.04 < time.monotonic() - begun < 60
        for forever in (None, float("inf"), 1e300, 10**400):
            asyncio.get_running_loop().call_later(0.01, node.tags.update, {"n": str(forever)[:9]})
            assert await node.next_event(forever)

    run(main)


def test_an_event_that_came_after_the_timeout_is_returned_before_the_end(
    run, aio_node, monkeypatch
):
    async def main():
        node = aio_node()
        next_of_reader = sprat.aio.Events.next

        async def times_out_just_before_the_end(reader, timeout):
            assert await next_of_reader(reader, timeout) is None
            node.tags["n"] = "1"
            node.close()

        assert await node.next_event(60)
        with monkeypatch.context() as patch:
            patch.setattr(sprat.aio.Events, "next", times_out_just_before_the_end)
            assert await node.next_event(0) is None
        assert (await node.next_event(0)).member.tags == {"n": "1"}
        with pytest.raises(sprat.ClosedError, match="the node was shut down"):
            await node.next_event(0)

    run(main)


def test_an_operation_continues_after_its_timeout(run, aio_node, addresses):
    async def main():
        node = aio_node()
        before = watched()
        with socket.create_server((addresses.ip(), 0)) as silent:
            address = "{}:{}".format(*silent.getsockname())
            with pytest.raises(TimeoutError) as caught:
                await node.join(address, timeout=0.05)
            assert type(caught.value) is sprat.TimeoutError
            assert str(caught.value) == "the join has not finished within 0.05 s; it continues"
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await node.join(address)
        assert await node.events(sprat.MemberLeft).next(0.01) is None
        node.close()
        del caught
        return before

    before = run(main)
    eventually("all descriptors are closed", lambda: len(watched()) <= len(before))


def test_a_cancelled_wait_leaves_nothing_behind(run, aio_node, addresses):
    async def main():
        node = aio_node()
        await node.next_event(60)
        reader = node.events()
        with socket.create_server((addresses.ip(), 0)) as silent:
            address = "{}:{}".format(*silent.getsockname())
            before = watched()
            for _ in range(20):
                for wait in (node.join(address), node.next_event(), reader.next(), anext(reader)):
                    task = asyncio.create_task(wait)
                    await asyncio.sleep(0.001)
                    task.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await task
        node.tags["n"] = "1"
        assert (await reader.next(60)).member.tags == {"n": "1"}, "no event was lost"
        assert (await node.next_event(60)).member.tags == {"n": "1"}
        node.close()
        del task, wait
        # Joins without a waiting task end with the node.
        eventually("all descriptors are closed", lambda: len(watched()) <= len(before))

    run(main)


def test_a_cancelled_reader_loses_no_event(run, aio_node):
    async def main():
        node = aio_node()
        reader = node.events(sprat.MemberUpdated)
        seen = []
        for number in range(100):
            task = asyncio.create_task(reader.next())
            await asyncio.sleep(0)
            node.tags["n"] = str(number)
            if number % 3 == 0:
                await asyncio.sleep(0.001)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                seen.append(await task)
        while (event := await reader.next(0.1)) is not None:
            seen.append(event)
        assert [it.member.tags["n"] for it in seen] == [str(it) for it in range(100)]

    run(main)


def test_a_loop_that_is_left_early_stops_watching_its_descriptor(run, aio_node):
    async def main():
        node = aio_node()
        before = watched()
        loop = asyncio.get_running_loop()
        for number in range(50):
            reader = node.events()
            node.tags["n"] = str(number)
            async for _ in reader:
                break
            assert not loop.remove_reader(reader._native.fileno())
            del reader
        assert watched() == before

    run(main)


def test_closing_from_another_thread_ends_every_wait(run, aio_node):
    async def main():
        node, other = aio_node("one"), aio_node("two")
        reader = other.events()
        await reader.next(60)
        waits = [asyncio.create_task(anext(it, None)) for it in (node.events(), reader, reader)]
        waits[0] = asyncio.create_task(consume(node.events()))
        await asyncio.sleep(0.05)
        for end in (node.close, reader.close):
            thread = threading.Thread(target=end)
            thread.start()
            thread.join()
        done, pending = await asyncio.wait(waits, timeout=10)
        assert (len(done), len(pending)) == (3, 0)
        assert other.is_open

    async def consume(events):
        return [it async for it in events]

    run(main)


def test_tasks_that_share_a_reader_get_each_event_once(run, aio_node):
    async def main():
        node = aio_node()
        reader, seen = node.events(sprat.MemberUpdated), []

        async def read():
            part = [int(it.member.tags["n"]) async for it in reader]
            assert part == sorted(part)
            seen.extend(part)

        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(read())
            for number in range(500):
                node.tags["n"] = str(number)
                await asyncio.sleep(0)
            node.close()  # readers still get the waiting events
        assert sorted(seen) == list(range(500))

    run(main)


def test_a_slow_reader_costs_nothing_and_gets_an_overflow(run, aio_node):
    async def main():
        node = aio_node(event_queue=16)
        reader = node.events()
        assert isinstance(await reader.next(60), sprat.MemberJoined)
        calls = []
        drain = type(reader)._take
        reader._take = lambda: calls.append(1) or drain(reader)
        for number in range(500):
            node.tags["n"] = str(number)
        before = time.process_time()
        await asyncio.sleep(0.3)
        assert time.process_time() - before < 0.2, "nothing runs without a read"
        assert calls == []
        seen = []
        while (event := await reader.next(0.1)) is not None:
            seen.append(event)
        assert len(seen) <= 17
        assert any(isinstance(it, sprat.Overflow) for it in seen)
        assert node.members()["ours"].tags == {"n": "499"}
        assert len(calls) < 100

    run(main)


def test_many_events_do_not_keep_other_tasks_from_running(run, aio_node):
    async def main():
        node = aio_node()
        reader = node.events()
        for number in range(3000):
            node.tags["n"] = str(number)
        turns = 0

        async def count():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(count())
        for _ in range(3000):
            await reader.next(60)
        task.cancel()
        assert turns >= 5

    run(main)


def test_a_reader_can_be_used_under_one_loop_after_another(run, aio_node):
    node = aio_node()
    reader = node.events()  # outside of any loop

    async def read():
        updated = asyncio.create_task(reader.next(60))
        own = asyncio.create_task(node.next_event(60))
        await asyncio.sleep(0.01)
        node.tags["n"] = str(time.monotonic())
        return type(await updated), type(await own)

    first, _ = run(read)
    assert first is sprat.MemberJoined
    for _ in range(3):
        kinds = run(read)
        assert kinds[0] is sprat.MemberUpdated


def test_a_reader_refuses_a_second_loop_while_a_task_waits(aio_node):
    node = aio_node()
    reader = node.events(sprat.MemberFailed)
    seen = []

    async def refused():
        with pytest.raises(RuntimeError, match="tasks of another event loop are waiting"):
            await reader.next(60)
        seen.append("refused")

    async def main():
        task = asyncio.create_task(reader.next(60))
        await asyncio.sleep(0.01)
        await asyncio.to_thread(asyncio.run, refused())
        node.close()
        assert await task is None

    asyncio.run(main())
    assert seen == ["refused"]


def test_a_loop_that_ends_before_its_reader_leaks_nothing(aio_node):
    node = aio_node()
    before = watched()
    loop = asyncio.new_event_loop()
    reader = node.events(sprat.MemberFailed)
    task = loop.create_task(reader.next())
    loop.run_until_complete(asyncio.sleep(0.01))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()
    del task, reader
    assert watched() == before
    node.tags["n"] = "1"
    assert asyncio.run(node.next_event(60))


def test_an_async_with_block_also_leaves_when_its_task_is_cancelled(run, aio_node):
    async def main():
        other = aio_node("other")
        left = other.events(sprat.MemberLeft, sprat.MemberFailed)

        async def serve(ready):
            async with aio_node("ours") as node:
                await node.join(other.address)
                ready.set()
                async for _ in node.events():
                    pass

        ready = asyncio.Event()
        task = asyncio.create_task(serve(ready))
        await ready.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert isinstance(await left.next(60), sprat.MemberLeft)

    run(main)


@pytest.mark.parametrize("error", [KeyError, sprat.TimeoutError, sprat.ClosedError, Exception])
def test_an_async_with_block_also_leaves_after_an_exception(run, aio_node, error):
    async def main():
        other, node = aio_node("other"), aio_node("ours")
        await node.join(other.address)
        left = other.events(sprat.MemberLeft, sprat.MemberFailed)
        with pytest.raises(error, match="on purpose"):
            async with node:
                raise error("on purpose")
        assert isinstance(await left.next(60), sprat.MemberLeft)
        assert node.state == "shutdown"

    run(main)


def test_an_async_with_block_whose_coroutine_is_thrown_away_still_closes_its_node(run, aio_node):
    async def main():
        async def use(node):
            async with node:
                await asyncio.get_running_loop().create_future()

        node = aio_node()
        thrown_away = use(node)
        thrown_away.send(None)
        thrown_away.close()
        assert node.state == "shutdown"

    run(main)


def test_each_of_many_concurrent_joins_ends_with_its_own_result(run, aio_node, addresses):
    async def main():
        one, two = aio_node("one"), aio_node("two")
        joins = [one.join(two.address) if it % 2 else one.join("127.0.0.1:1") for it in range(40)]
        results = await asyncio.gather(*joins, return_exceptions=True)
        assert results[1::2] == [1] * 20
        assert {type(it) for it in results[::2]} == {sprat.JoinError}

    run(main)


def test_closing_does_not_wait_for_a_logging_handler(run, aio_node, caplog):
    running, go_on = threading.Event(), threading.Event()

    class Slow(logging.Handler):
        def emit(self, record):
            running.set()
            go_on.wait(60)

    async def main():
        handler = Slow()
        logging.getLogger("sprat").addHandler(handler)
        try:
            node = aio_node(log_level="debug")
            assert await asyncio.to_thread(running.wait, 60)
            begun = time.monotonic()
            node.close()
            assert time.monotonic() - begun < 4.5, "close waited 5 s, as it does for a callback"
        finally:
            go_on.set()
            logging.getLogger("sprat").removeHandler(handler)

    with caplog.at_level(logging.DEBUG, "sprat"):
        run(main)
