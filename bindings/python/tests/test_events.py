"""Readers of events, the callback, and descriptors to wait on."""

import contextlib
import contextvars
import functools
import gc
import io
import logging
import operator
import re
import select
import selectors
import sys
import threading
import time
import weakref

import pytest
from conftest import eventually

import sprat
from sprat._events import Events, Selection
from sprat._rate import PER_PERIOD, PERIOD, Rate


def change(node, value):
    """Cause one MemberUpdated event that carries `value`."""
    node.tags["n"] = str(value)


def value_of(event):
    return event.member.tags.get("n")


@pytest.fixture
def called(addresses):
    """Start a node with a callback: `called(callback, **settings)`."""
    with contextlib.ExitStack() as stack:

        def start(callback, **settings):
            node = sprat.Node(
                name="ours",
                bind=addresses.address(),
                profile="local",
                on_event=callback,
                **settings,
            )
            return stack.enter_context(contextlib.closing(node))

        yield start


# Readers


def test_the_first_reader_gets_the_events_since_the_start(node):
    change(node, 1)
    first, second = node.events(), node.events()
    change(node, 2)
    seen = [first.next(60) for _ in range(3)]
    assert [type(it) for it in seen] == [
        sprat.MemberJoined,
        sprat.MemberUpdated,
        sprat.MemberUpdated,
    ]
    assert [it.seq for it in seen] == [1, 2, 3]
    assert seen[0].time <= seen[1].time <= seen[2].time <= time.monotonic()
    assert value_of(second.next(60)) == "2"
    assert second.next(0) is None


def test_each_reader_gets_every_event_at_its_own_pace(node):
    readers = [node.events(sprat.MemberUpdated) for _ in range(5)]
    for number in range(20):
        change(node, number)
    for reader in readers:
        assert [value_of(reader.next(60)) for _ in range(20)] == [str(it) for it in range(20)]


def test_a_reader_gets_only_the_selected_kinds(node):
    joins = node.events(sprat.MemberJoined, sprat.MemberFailed)
    updates = node.events(sprat.MemberUpdated)
    members = node.events(sprat.MemberEvent)
    change(node, 1)
    assert isinstance(joins.next(60), sprat.MemberJoined)
    assert joins.next(0) is None
    assert isinstance(updates.next(60), sprat.MemberUpdated)
    assert isinstance(members.next(60), sprat.MemberUpdated)


def test_a_timeout_counts_from_the_call_even_if_the_wait_wakes_up_in_between(node):
    reader = node.events(sprat.MemberFailed)
    # This subscription has events that the reader does not select: each of them ends one wait
    # inside `next`.
    reader._native = node._native.subscribe(64, ["member-update"])
    stop = threading.Event()

    def work():
        while not stop.wait(0.02):
            change(node, time.monotonic())

    thread = threading.Thread(target=work)
    thread.start()
    try:
        begun = time.monotonic()
        assert reader.next(0.3) is None
        assert 0.3 <= time.monotonic() - begun < 60
    finally:
        stop.set()
        thread.join()


def test_a_slow_reader_gets_an_overflow_and_the_members_stay_correct(node, caplog):
    slow, others = node.events(maxsize=8), node.events(sprat.MemberJoined, maxsize=4)
    for number in range(500):
        change(node, number)
    seen = list(iter(lambda: slow.next(0), None))
    assert len(seen) <= 9
    overflows = [it for it in seen if isinstance(it, sprat.Overflow)]
    assert sum(it.lost for it in overflows) + len(seen) - len(overflows) >= 500
    assert node.members()["ours"].tags == {"n": "499"}
    assert value_of(seen[-1] if seen[-1] not in overflows else seen[-2]) == "499"
    assert others.next(0) is None
    assert node.stats()["events_lost"] >= sum(it.lost for it in overflows)


def test_an_overflow_that_was_not_selected_is_logged(node, caplog):
    reader = node.events(sprat.MemberUpdated, maxsize=8)
    for number in range(100):
        change(node, number)
    with caplog.at_level(logging.WARNING, "sprat"):
        seen = list(iter(lambda: reader.next(0), None))
    assert {type(it) for it in seen} == {sprat.MemberUpdated}
    assert value_of(seen[-1]) == "99"
    assert "events were lost because they were not read in time" in caplog.text


def test_after_a_close_readers_return_the_waiting_events_and_end(node):
    reader = node.events()
    change(node, 1)
    node.close()
    assert [type(it).__name__ for it in reader] == ["MemberJoined", "MemberUpdated"]
    assert list(reader) == []
    assert reader.next(0) is None
    with pytest.raises(sprat.ClosedError):
        node.events()


def test_closing_the_node_or_the_reader_wakes_the_waiting_threads(node):
    readers = [node.events() for _ in range(3)]
    ended = []

    def read(reader):
        ended.append([type(it).__name__ for it in reader])

    threads = [threading.Thread(target=read, args=[it]) for it in readers]
    for it in threads:
        it.start()
    time.sleep(0.05)
    readers[0].close()
    threads[0].join(60)
    assert len(ended) == 1
    node.close()
    for it in threads:
        it.join(60)
    assert len(ended) == 3


def test_the_repr_of_a_reader_names_its_node(node):
    with node.events() as reader:
        assert repr(reader) == "<sprat.Events of 'ours'>"
    assert repr(reader) == "<sprat.Events of 'ours' closed>"


def test_a_closed_reader_returns_nothing_and_other_readers_continue(node):
    with node.events() as closed, node.events() as open_one:
        closed.close()
        closed.close()
        change(node, 1)
        assert list(closed) == []
        assert closed.next(None) is None
        assert value_of(open_one.next(60)) == "1"
        with pytest.raises(sprat.ClosedError, match="the reader was closed"):
            closed.fileno()


def test_threads_that_share_a_reader_get_each_event_once_and_in_order(node):
    reader = node.events(sprat.MemberUpdated)
    parts = [[] for _ in range(4)]

    def read(part):
        part.extend(int(value_of(it)) for it in reader)

    threads = [threading.Thread(target=read, args=[part]) for part in parts]
    for it in threads:
        it.start()
    for number in range(1000):
        change(node, number)
    eventually("all events are read", lambda: sum(map(len, parts)) == 1000)
    node.close()
    for it in threads:
        it.join(60)
    assert sorted(functools.reduce(operator.iadd, parts, [])) == list(range(1000))
    assert all(part == sorted(part) for part in parts)


def test_a_reader_keeps_its_node_alive_but_a_node_alone_is_collected(addresses):
    held = [sprat.Node(bind=addresses.address()).events()]
    assert isinstance(held[0].next(60), sprat.MemberJoined)
    node = weakref.ref(held[0]._keeps_alive)
    with pytest.warns(ResourceWarning, match="was not closed"):
        held.clear()
    assert node() is None
    held = [sprat.Node(bind=addresses.address())]
    held[0].next_event(60)
    node = weakref.ref(held[0])
    with pytest.warns(ResourceWarning, match="was not closed"):
        held.clear()
    assert node() is None


def test_an_unselected_node_failure_is_raised(node):
    failed = sprat.NodeFailed("another has the name", -12)
    quiet, loud = node.events(sprat.MemberJoined), node.events()
    assert loud._selection.wants(failed)
    with pytest.raises(sprat.NameConflictError, match="another has the name"):
        quiet._selection.wants(failed)


# Descriptors


def test_a_descriptor_is_readable_exactly_while_there_are_events(node):
    assert node.next_event(60)
    change(node, 1)
    change(node, 2)
    assert value_of(node.next_event(60)) == "1"
    assert select.select([node], [], [], 10)[0] == [node], "the second event waits"
    assert value_of(node.next_event(0)) == "2"
    assert node.next_event(0) is None
    assert select.select([node], [], [], 0)[0] == []
    change(node, 3)
    assert select.select([node.fileno()], [], [], 10)[0] == [node.fileno()]


def test_a_reader_can_be_unregistered_from_a_selector_after_its_node_is_closed(node):
    reader = node.events()
    with selectors.DefaultSelector() as selector:
        selector.register(reader, selectors.EVENT_READ, "reader")
        selector.register(node, selectors.EVENT_READ, "node")
        assert {key.data for key, _ in selector.select(10)} == {"reader"}
        assert reader.next(0)
        node.close()
        assert {key.data for key, _ in selector.select(10)} == {"reader", "node"}
        assert reader.next(0) is None
        with pytest.raises(sprat.ClosedError, match="the node was shut down"):
            node.next_event(0)
        assert len(selector.select(10)) == 2, "both descriptors stay readable after the end"
        selector.unregister(reader)
        selector.unregister(node)


def test_next_event_ends_with_the_node(node):
    assert isinstance(node.next_event(60), sprat.MemberJoined)
    assert node.next_event(0) is None
    change(node, 1)
    threading.Timer(0.1, node.close).start()
    assert value_of(node.next_event()) == "1"
    with pytest.raises(sprat.ClosedError):
        node.next_event()


def test_next_event_returns_an_event_that_came_after_its_timeout_before_it_reports_the_end(
    node, monkeypatch
):
    next_of_reader = Events.next

    def times_out_just_before_the_end(reader, timeout):
        assert next_of_reader(reader, timeout) is None
        change(node, 1)
        node.close()

    assert node.next_event(60)
    with monkeypatch.context() as patch:
        patch.setattr(Events, "next", times_out_just_before_the_end)
        assert node.next_event(0) is None
    assert value_of(node.next_event(0)) == "1"
    with pytest.raises(sprat.ClosedError, match="the node was shut down"):
        node.next_event(0)


# The callback


def test_the_callback_gets_all_events_in_order_on_its_own_thread(called):
    seen = []
    node = called(lambda event: seen.append((event, threading.current_thread())))
    for number in range(300):
        change(node, number)
    eventually("all events arrived", lambda: len(seen) == 301)
    assert isinstance(seen[0][0], sprat.MemberJoined)
    assert [value_of(event) for event, _ in seen[1:]] == [str(it) for it in range(300)]
    assert {(thread.name, thread.daemon) for _, thread in seen} == {("sprat-events", True)}


@pytest.mark.parametrize("cls", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit])
def test_an_exception_in_a_callback_is_logged_and_delivery_continues(called, caplog, cls):
    seen, error = [], cls("on purpose")

    def fail_first(event):
        seen.append(event)
        if len(seen) == 1:
            raise error

    node = called(fail_first)
    change(node, 1)
    eventually("the second event arrived", lambda: len(seen) == 2)
    (record,) = [it for it in caplog.records if it.name == "sprat"]
    assert record.levelname == "ERROR"
    assert record.getMessage().startswith("the callback for events failed on MemberJoined(Member(")
    assert record.exc_info[1] is error
    assert "fail_first" in caplog.text


def test_a_callback_that_always_fails_logs_a_few_tracebacks_and_a_number(called, caplog):
    seen = []

    def fail(event):
        seen.append(event)
        raise ValueError(f"number {len(seen)}")

    node = called(fail)
    for number in range(300):
        change(node, number)
    eventually("all events arrived", lambda: len(seen) == 301)
    node.close()
    eventually("the delivery has ended", lambda: not node._delivery.thread.is_alive())
    records = [it for it in caplog.records if it.name == "sprat"]
    with_traceback = [it for it in records if it.exc_info]
    numbers = [it for it in records if not it.exc_info]
    # A run that takes minutes begins new periods.
    assert PER_PERIOD <= len(with_traceback) <= PER_PERIOD * (len(numbers) + 1)
    counted = [int(re.search(r"failed on (\d+) more events", it.getMessage())[1]) for it in numbers]
    assert sum(counted) + len(with_traceback) == 301
    assert "more events; the last error: ValueError: number " in numbers[-1].getMessage()


def test_lines_are_admitted_at_a_rate_and_the_others_are_counted():
    now = 0.0
    rate = Rate(lambda: now)
    assert [rate.admits() for _ in range(8)] == [True] * PER_PERIOD + [False] * 3
    assert (rate.left_out, rate.report_in()) == (3, PERIOD)
    now = 20.0
    assert (rate.admits(), rate.report_in()) == (False, PERIOD - 20)
    now = PERIOD
    assert rate.report_in() == 0
    assert rate.take_left_out() == 4
    assert (rate.take_left_out(), rate.report_in()) == (0, None)
    assert [rate.admits() for _ in range(6)] == [True] * PER_PERIOD + [False]


def test_a_reader_that_is_always_too_slow_logs_a_few_lines_that_count_all_losses(caplog):
    selection = Selection((sprat.MemberJoined,))
    now = 0.0
    selection._warnings = Rate(lambda: now)
    with caplog.at_level(logging.WARNING, "sprat"):
        for _ in range(100):
            assert not selection.wants(sprat.Overflow(3))
        now = PERIOD
        selection.wants(sprat.Overflow(3))
    counts = [int(it.getMessage().split()[0]) for it in caplog.records]
    assert counts == [3] * PER_PERIOD + [3 * (100 - PER_PERIOD) + 3]


def test_a_failing_logging_handler_does_not_end_the_delivery(called, capsys):
    class Broken(logging.Handler):
        def emit(self, record):
            raise ValueError("the disk is full")

    seen, handler, logger = [], Broken(), logging.getLogger("sprat")
    logger.addHandler(handler)
    try:

        def fail(event):
            seen.append(event)
            raise KeyError("on purpose")

        node = called(fail, log_level="trace")
        change(node, 1)
        eventually("the second event arrived", lambda: len(seen) == 2)
        node.close()
    finally:
        logger.removeHandler(handler)
    printed = capsys.readouterr().err
    assert 1 <= printed.count("ValueError: the disk is full") <= PER_PERIOD


@pytest.mark.parametrize("stderr", ["none", "closed"])
def test_a_failing_logging_handler_does_not_end_the_delivery_of_a_daemon(
    called, capsys, monkeypatch, stderr
):
    class Broken(logging.Handler):
        def emit(self, record):
            raise ValueError("the disk is full")

    def fail(event):
        seen.append(event)
        raise KeyError("on purpose")

    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", {"none": None, "closed": closed}[stderr])
    seen, handler, logger = [], Broken(), logging.getLogger("sprat")
    logger.addHandler(handler)
    try:
        node = called(fail)
        change(node, 1)
        eventually("the second event arrived", lambda: len(seen) == 2)
        node.close()
    finally:
        logger.removeHandler(handler)
    assert capsys.readouterr().out == ""


def test_a_callback_may_close_its_node_and_is_not_called_again(called):
    seen, begin = [], threading.Event()

    def close(event):
        begin.wait(60)
        seen.append(event)
        node.close()

    node = called(close)
    change(node, 1)
    begin.set()
    eventually("the node is closed", lambda: not node.is_open)
    node.close()
    assert len(seen) == 1


def test_a_callback_may_join_leave_and_read(called, addresses):
    results = []
    with contextlib.closing(sprat.Node(name="other", bind=addresses.address())) as other:

        def act(event):
            match event:
                case sprat.MemberJoined(sprat.Member("ours")):
                    begin.wait(60)
                    results.append(node.join(other.address))
                case sprat.MemberJoined(sprat.Member("other")):
                    results.append(node.members().names())
                    results.append(node.hint("other"))
                    node.tags["seen"] = "other"
                    node.leave()
                    results.append(str(node.state))

        begin = threading.Event()
        node = called(act)
        begin.set()
        eventually("the node has left", lambda: len(results) == 4)
        assert results == [1, ["other", "ours"], True, "left"]


def test_close_waits_for_a_running_callback_and_starts_no_other(called):
    running, go_on, seen = threading.Event(), threading.Event(), []

    def wait(event):
        running.set()
        go_on.wait(60)
        seen.append(event)

    node = called(wait)
    change(node, 1)
    change(node, 2)
    assert running.wait(60)
    threading.Timer(0.1, go_on.set).start()
    node.close()
    assert len(seen) == 1


def test_a_callback_sees_the_context_variables_as_they_were_when_its_node_was_created(called):
    request = contextvars.ContextVar("request")
    request.set("made here")
    seen = []
    called(lambda event: seen.append(request.get()))
    request.set("changed later")
    eventually("the event arrived", lambda: seen == ["made here"])


def test_a_forgotten_node_with_a_callback_to_itself_is_collected_and_its_thread_ends(addresses):
    class Program:
        def __init__(self):
            self.node = sprat.Node(bind=addresses.address(), on_event=self.on_event)

        def on_event(self, event):
            pass

    held = [Program()]
    node, thread = weakref.ref(held[0].node), held[0].node._delivery.thread
    held.clear()
    with pytest.warns(ResourceWarning, match="was not closed"):
        eventually("the node is collected", lambda: gc.collect() >= 0 and node() is None)
    thread.join(60)
    assert not thread.is_alive()


def test_events_reach_the_callback_while_the_main_thread_computes(called):
    arrived = []
    node = called(lambda event: arrived.append(time.monotonic()))
    until, number = time.monotonic() + 0.5, 0
    while time.monotonic() < until:
        number += 1
        if number % 50_000 == 0:
            change(node, number)
    eventually("all events arrived", lambda: len(arrived) == 1 + number // 50_000)
    assert sys.getswitchinterval() <= 0.005


def test_log_lines_reach_logging_with_their_level(addresses, caplog):
    with caplog.at_level(1, "sprat"):
        settings = {"bind": addresses.address(), "log_level": logging.DEBUG}
        with contextlib.closing(sprat.Node(name="ours", **settings)) as node:
            with pytest.raises(sprat.JoinError):
                node.join("127.0.0.1:1")
            eventually("a line arrived", lambda: caplog.records)
    assert {it.name.split(".")[0] for it in caplog.records} == {"sprat"}
    assert all(it.levelno >= logging.DEBUG for it in caplog.records)
    assert {it.threadName for it in caplog.records} == {"sprat-events"}


def test_the_log_level_of_a_file_is_used(addresses, caplog, tmp_path):
    file = tmp_path / "node.conf"
    file.write_text(f"bind = {addresses.address()}\nlog_level = debug\n")
    with caplog.at_level(1, "sprat"), contextlib.closing(sprat.Node.from_file(file)) as node:
        with pytest.raises(sprat.JoinError):
            node.join("127.0.0.1:1")
        eventually("a line arrived", lambda: caplog.records)
