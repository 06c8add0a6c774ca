"""Programs under gevent or eventlet: a call of sprat that waits lets other greenlets run."""

import signal
import textwrap
from types import SimpleNamespace

import pytest
from conftest import USE_UP_DESCRIPTORS

import sprat
from sprat import _node

PATCHES = {
    "all of gevent": "import gevent.monkey; gevent.monkey.patch_all()",
    "gevent without select": "import gevent.monkey; gevent.monkey.patch_all(select=False)",
    "gevent without threads": "import gevent.monkey; gevent.monkey.patch_all(thread=False)",
    "all of eventlet": "import eventlet; eventlet.monkey_patch()",
}

START = (
    USE_UP_DESCRIPTORS
    + """
import logging, os, sys, threading, time
import sprat
def start(name, **settings):
    return sprat.Node(name=name, bind=sys.argv[1] + ":0", profile="local", **settings)
"""
)


@pytest.fixture(params=PATCHES)
def run(request, program, addresses):
    """Run a program in which a library has replaced parts of Python."""

    def begin(code, **more):
        patch = textwrap.dedent(PATCHES[request.param])
        # These libraries use parts of Python that newer versions deprecate.
        whole = f"import warnings; warnings.simplefilter('ignore')\n{patch}\n{START}\n"
        return program(whole + textwrap.dedent(code), addresses.ip(), **more)

    return begin


def test_a_wait_for_an_event_lets_the_greenlet_that_causes_it_run(run):
    run(
        """
        with start("ours") as node:
            def cause():
                while not waiting:
                    time.sleep(0.01)
                node.tags["role"] = "web"
            waiting = []
            greenlet = threading.Thread(target=cause)
            greenlet.start()
            reader = node.events(sprat.MemberUpdated)
            waiting.append(True)
            assert reader.next(60).member.tags == {"role": "web"}
            assert reader.next(0.01) is None
            assert reader.next(0) is None
            greenlet.join()
            assert node.next_event(60).member.name == "ours"
        """
    ).end()


def test_greenlets_can_share_a_reader(run):
    run(
        """
        with start("ours") as node:
            reader, begun, seen = node.events(sprat.MemberUpdated), [], []
            def read():
                begun.append(True)
                seen.append(reader.next(60).member.tags["n"])
            greenlets = [threading.Thread(target=read) for _ in range(2)]
            for greenlet in greenlets:
                greenlet.start()
            while len(begun) < 2:
                time.sleep(0.01)
            for number in "12":
                node.tags["n"] = number
            for greenlet in greenlets:
                greenlet.join()
            assert sorted(seen) == ["1", "2"], seen
        """
    ).end()


def test_a_reader_waits_in_a_process_without_a_free_descriptor(run):
    run(
        """
        node = start("ours")
        reader = node.events(sprat.MemberUpdated)
        assert reader.next(0.01) is None  # by now, everything that a wait needs is loaded
        begun, running = [], []
        def cause():
            while not begun:
                time.sleep(0.01)
                running.append(True)
            node.tags["n"] = "1"
        threading.Thread(target=cause).start()
        while not running:
            time.sleep(0.01)
        held = use_up_descriptors()
        begun.append(True)
        assert reader.next(60).member.tags == {"n": "1"}
        assert reader.next(0.01) is None
        for descriptor in held:
            os.close(descriptor)
        node.close()
        """
    ).end()


def test_a_wait_ends_although_a_quiet_file_has_replaced_its_descriptor(run):
    run(
        """
        quiet, _writer = os.pipe()
        node = start("ours")
        reader, errors = node.events(sprat.MemberFailed), []
        def read():
            try:
                reader.next()
            except sprat.InternalError as error:
                errors.append(error)
        greenlet = threading.Thread(target=read)
        greenlet.start()
        time.sleep(0.1)  # the greenlet waits now
        os.dup2(quiet, reader.fileno())
        greenlet.join(60)
        assert "descriptors that belong to a node" in str(errors), errors
        node.close()
        """
    ).end()


def test_a_wait_lasts_as_long_as_its_timeout_although_its_descriptor_is_always_readable(run):
    run(
        """
        readable, writer = os.pipe()
        os.write(writer, b"x")
        source = type("Source", (), {"fileno": lambda self: readable, "asked": 0})()
        def wait(timeout):
            source.asked += 1
            return source.asked == 10
        source.wait = wait
        from sprat._waiting import wait as wait_for
        assert wait_for(source, None)
        source.asked = 10
        begun = time.monotonic()
        assert not wait_for(source, 0.1)
        assert time.monotonic() - begun >= 0.1
        assert source.asked < 10 + 20, "it is not asked without a pause"
        """
    ).end()


def test_callbacks_and_log_lines_arrive_while_other_greenlets_run(run):
    run(
        """
        logged, joined = [], []
        class Kept(logging.Handler):
            def emit(self, record):
                logged.append(record.getMessage())
        logging.getLogger("sprat").addHandler(Kept())
        logging.getLogger("sprat").setLevel("INFO")
        def handle(event):
            joined.append(event.member.name)
            time.sleep(0.01)  # lets other greenlets run
        with start("ours", on_event=handle, log_level="info") as node, start("other") as other:
            other.join(node.address)
            until = time.monotonic() + 60
            while joined != ["ours", "other"] or not logged:
                assert time.monotonic() < until, (joined, logged)
                time.sleep(0.01)
        """
    ).end()


def test_operations_let_other_greenlets_run(run):
    run(
        """
        import os, socket
        steps = []
        def count():
            while True:
                steps.append(time.monotonic())
                time.sleep(0.001)
        threading.Thread(target=count, daemon=True).start()
        def runs_during(call):
            before = len(steps)
            call()
            return len(steps) - before
        node, other = start("ours", leave_propagate_ms=2000), start("other")
        # Nothing answers this join, which ends when a greenlet closes the other side.
        silent = socket.create_server((sys.argv[1], 0))
        address, descriptor = "{}:{}".format(*silent.getsockname()), silent.detach()
        begun, closed = [], []
        def close():
            while not begun:
                time.sleep(0.001)
            os.close(descriptor)
            closed.append(True)
        threading.Thread(target=close).start()
        begun.append(True)
        try:
            node.join(address, timeout=60)
        except sprat.JoinError:
            assert closed
        else:
            raise AssertionError
        node.join(other.address)
        assert runs_during(node.leave) > 2, "the leave takes two seconds"
        assert node.state == "left"
        try:
            node.join("127.0.0.1:1")
        except sprat.JoinError:
            pass
        else:
            raise AssertionError
        node.close()
        other.close()
        """
    ).end()


def test_a_leave_without_a_descriptor_lets_other_greenlets_run(run):
    run(
        """
        steps = []
        def count():
            while True:
                steps.append(None)
                time.sleep(0.001)
        threading.Thread(target=count, daemon=True).start()
        node, other = start("ours", leave_propagate_ms=1000), start("other")
        node.join(other.address)
        while not steps:  # the event loop of the thread needs descriptors
            time.sleep(0.001)
        use_up_descriptors()
        before = len(steps)
        node.leave(timeout=60)
        assert len(steps) - before > 2, "the leave takes a second"
        assert (node.state, str(other.member("ours").state)) == ("left", "left")
        node.close()
        other.close()
        """
    ).end()


def test_a_wait_that_ends_too_early_is_repeated_until_its_timeout(monkeypatch):
    outcomes = [None, None, "done", None, "done", None]
    waits = [True, True, True, True, False, False]
    pending = SimpleNamespace(outcome=lambda: outcomes.pop(0))
    monkeypatch.setattr(_node, "wait", lambda *_: waits.pop(0))
    assert _node._wait(pending, None, "join") == "done"
    assert _node._wait(pending, 60, "join") == "done", "it ended at the last moment"
    with pytest.raises(sprat.TimeoutError, match="join"):
        _node._wait(pending, 60, "join")
    assert (outcomes, waits) == ([], [])


@pytest.mark.parametrize("end", ["", "node.close()", "sys.exit()"])
def test_a_program_with_a_callback_ends(run, end):
    run(
        f"""
        seen = threading.Event()
        node = start("ours", on_event=lambda event: seen.set())
        assert seen.wait(60)
        {end}
        """
    ).end()


def test_ctrl_c_ends_a_wait(run):
    it = run(
        """
        with start("ours") as node:
            try:
                print("ready")
                node.events(sprat.MemberFailed).next()
            except KeyboardInterrupt:
                print("interrupted")
        """
    )
    assert it.line() == "ready"
    it.send(signal.SIGINT)
    # If the signal reaches the hub of gevent, the hub prints the exception, too.
    assert "interrupted" in it.end().splitlines()


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "SystemExit"])
def test_an_interrupt_while_eventlet_begins_a_wait_leaves_no_listener(program, addresses, error):
    program(
        f"""
        import warnings; warnings.simplefilter("ignore")
        import eventlet; eventlet.monkey_patch()
        {START.replace(chr(10), chr(10) + " " * 8)}
        hub = eventlet.hubs.get_hub()
        add = hub.add
        def interrupted(*listener):
            hub.add = add
            add(*listener)
            raise {error}
        with start("ours") as node:
            hub.add = interrupted
            try:
                node.events(sprat.MemberFailed).next(60)
            except {error}:
                print("interrupted")
            assert not any(hub.listeners["read"].values())
        """,
        addresses.ip(),
    ).end()


def test_a_node_from_before_the_patch_works_after_it(program, addresses):
    program(
        f"""
        {START.replace(chr(10), chr(10) + " " * 8)}
        seen = []
        node = start("ours", on_event=seen.append)
        import gevent.monkey
        gevent.monkey.patch_all()
        reader = node.events(sprat.MemberUpdated)
        node.tags["a"] = "b"
        assert reader.next(60)
        while len(seen) < 2:
            time.sleep(0.01)
        node.leave()
        node.close()
        """,
        addresses.ip(),
    ).end()


def test_gevent_that_has_replaced_nothing_changes_nothing(program, addresses):
    program(
        f"""
        {START.replace(chr(10), chr(10) + " " * 8)}
        import gevent, gevent.monkey
        from sprat._waiting import _wait_natively, way_to_wait
        assert way_to_wait() is _wait_natively
        with start("ours") as node:
            assert node.next_event(60)
        """,
        addresses.ip(),
    ).end()
