"""Processes that end, are interrupted, fork, or forget to close a node."""

import re
import signal
import subprocess
import sys
import textwrap
import time

import pytest

import sprat

# The first lines of the programs that `run` starts. The first argument of a program is its IP
# address.
START = """
import asyncio, atexit, contextlib, gc, itertools, os, re, signal, sys, threading, time, warnings
import sprat, sprat.aio
bind = sys.argv[1] + ":0"
def start(name="ours", cls=sprat.Node, **settings):
    return cls(name=name, bind=bind, profile="local", **settings)
"""


@pytest.fixture
def run(program, addresses):
    """Run a program that begins with `START`."""

    def begin(code, *arguments, **more):
        return program(START + textwrap.dedent(code), addresses.ip(), *arguments, **more)

    return begin


# Exit


FORGOTTEN = {
    "a global": "node = start(); node.next_event(60)",
    "in a cycle": "class It: pass\nit = It(); it.me = it; it.node = start()",
    "in a thread that reads": """
        node = start()
        threading.Thread(target=lambda: [None for _ in node.events()], daemon=True).start()
    """,
    "with a callback": "held = []\nnode = start(on_event=held.append)\nheld.append(node)",
    "in a loop that is open": """
        node, loop = start(cls=sprat.aio.Node), asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        events = node.events(sprat.MemberFailed)
        task = loop.create_task(anext(events))
        loop.run_until_complete(asyncio.sleep(0))
        loop._check_closed = lambda: None
        warnings.simplefilter("ignore")  # asyncio warns about the open loop and the pending task
        task._log_destroy_pending = False
    """,
    "made by an atexit handler": """
        def late():
            global node
            node = start()
        atexit.register(late)
    """,
    "while a callback runs": """
        running = threading.Event()
        def wait(event):
            running.set()
            time.sleep(0.02)
        node = start(on_event=wait)
        running.wait(60)
    """,
    "while a callback computes": """
        running = threading.Event()
        def compute(event):
            running.set()
            sum(range(300_000))
        node = start(on_event=compute)
        running.wait(60)
    """,
    "by sys.exit": "node = start(); sys.exit(0)",
    "by sys.exit in a with block": "with start() as node: sys.exit(0)",
}


@pytest.mark.parametrize("how", FORGOTTEN)
def test_a_process_with_an_open_node_ends_at_once(run, how):
    # One interpreter forks twenty processes: starting twenty interpreters would take longer.
    code = textwrap.indent(textwrap.dedent(FORGOTTEN[how]), " " * 4)
    twenty = f"""
for number in range(20):
    child = os.fork()
    if child == 0:
{textwrap.indent(code, "    ")}
        break
    until = time.monotonic() + 60
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        assert time.monotonic() < until, f"child {{number}} hangs"
        time.sleep(0.002)
    assert ended[1] == 0, ended
"""
    assert run(twenty, deadline=110).end() == ""


def test_an_uncaught_exception_ends_the_process_with_its_own_message(run):
    output = run(
        """
        node = start(on_event=lambda event: None)
        raise ValueError("on purpose")
        """
    ).end(1)
    assert output.rstrip().endswith("ValueError: on purpose")
    assert "ResourceWarning" not in output


def test_an_exception_in_a_with_block_ends_the_process_with_its_own_message(run):
    output = run("with start() as node: raise ValueError('on purpose')").end(1)
    assert output.rstrip().endswith("ValueError: on purpose")
    assert "During handling" not in output


def test_a_program_that_is_run_again_after_an_exception_finds_its_name_free(run):
    it = run(
        """
        witness = start("witness")
        arrivals = witness.events(sprat.MemberJoined, sprat.MemberLeft, sprat.MemberFailed)
        for attempt in range(3):
            try:
                with start("worker") as node:  # at another port each time
                    node.join(witness.address)
                    raise OSError("the disk is full")
            except OSError:
                continue
        seen = []
        while len(seen) < 7:
            seen.append(arrivals.next(60))
        print([(it.kind, it.member.name) for it in seen])
        print(witness.members().names())
        witness.close()
        """
    )
    rounds = [("member-join", "worker"), ("member-leave", "worker")] * 3
    assert it.line() == str([("member-join", "witness"), *rounds])
    assert it.line() == "['witness']"
    it.end()


def test_sigterm_ends_the_process_as_without_sprat(run):
    it = run("node = start(on_event=lambda event: None)\nprint('ready')\nlist(node.events())")
    assert it.line() == "ready"
    it.send(signal.SIGTERM)
    it.end(-signal.SIGTERM)


def test_the_exit_waits_for_all_running_callbacks_together(run):
    program = run("""
        running = threading.Semaphore(0)
        def sleep(event):
            running.release()
            time.sleep(60)
        nodes = [start(f"n{number}", on_event=sleep) for number in range(4)]
        for node in nodes:
            running.acquire()
    """)
    begun = time.monotonic()
    program.end()
    assert time.monotonic() - begun < 19, "the exit waits 5 s for all callbacks, not for each"


# Interrupts


INTERRUPTED = {
    "for": "for event in node.events(sprat.MemberFailed): pass",
    "next": "node.events(sprat.MemberFailed).next(60)",
    "next_event": "while True: node.next_event()",
    "next_event with a limit": "while True: node.next_event(60)",
    "join": "node.join(silent, timeout=None)",
    "join with a limit": "node.join(silent, timeout=90)",
}


@pytest.mark.parametrize("how", INTERRUPTED)
def test_ctrl_c_ends_a_wait_at_once_and_the_with_block_leaves(run, how):
    it = run(
        f"""
        import socket
        server = socket.create_server((sys.argv[1], 0))
        silent = "%s:%s" % server.getsockname()
        witness = start("witness")
        with start() as node:
            node.join(witness.address)
            departures = witness.events(sprat.MemberLeft, sprat.MemberFailed)
            try:
                print("ready")
                {INTERRUPTED[how]}
            except KeyboardInterrupt:
                print(time.monotonic())
                raise
            finally:
                server.close()
        """.replace(
            "        with start()",
            "        def end(*_): print(type(departures.next(60)).__name__); witness.close()\n"
            "        sys.excepthook = end\n"
            "        with start()",
        )
    )
    assert it.line() == "ready"
    time.sleep(0.1)  # usually the program waits by then; if not, the result is the same
    sent = time.monotonic()
    it.send(signal.SIGINT)
    assert float(it.line()) - sent < 10, "Ctrl-C must end the wait, which would last 60 s or longer"
    assert it.line() == "MemberLeft"
    it.end(-signal.SIGINT)


def test_ctrl_c_under_asyncio_leaves_the_cluster(run):
    it = run(
        """
        witness = start("witness")
        async def main():
            async with start(cls=sprat.aio.Node) as node:
                await node.join(witness.address)
                print("ready")
                async for event in node.events():
                    pass
        departures = witness.events(sprat.MemberLeft, sprat.MemberFailed)
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print(type(departures.next(60)).__name__)
        witness.close()
        """
    )
    assert it.line() == "ready"
    it.send(signal.SIGINT)
    assert it.line() == "MemberLeft"
    it.end()


def test_signal_handlers_run_while_a_call_waits(run):
    output = run(
        """
        node = start()
        seen = []
        def handle(number, frame):
            seen.append(number)
            node.tags["signals"] = str(len(seen))   # a handler may use the node
            node.next_event(0)
        signal.signal(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        assert node.events(sprat.MemberFailed).next(0.5) is None
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert len(seen) >= 5, seen
        node.close()
        print("done")
        """
    ).end()
    assert output == "done\n"


# fork


def test_in_a_forked_child_the_node_is_unusable_and_the_parent_continues(run):
    output = run(
        """
        warnings.simplefilter("error")
        node = start(on_event=lambda event: None)
        aio = start("aio", cls=sprat.aio.Node)
        reader = node.events()
        node.next_event(0)
        def child():
            calls = [
                lambda: node.join("127.0.0.1"), node.leave, lambda: node.hint("x"), node.members,
                lambda: node.member("ours"), lambda: node.explain("ours"), node.health, node.stats,
                node.events, lambda: node.next_event(0), node.fileno, lambda: reader.next(0),
                reader.fileno, node.__enter__, lambda: node.self_member, lambda: dict(node.tags),
                lambda: node.tags.update(a="b"), lambda: setattr(node, "tags", {}),
                lambda: node.remove_failed("x"), lambda: asyncio.run(aio.join("127.0.0.1")),
                lambda: asyncio.run(aio.leave()), lambda: asyncio.run(aio.next_event()),
            ]
            for number, call in enumerate(calls):
                try:
                    call()
                except sprat.ForkedError as error:
                    assert error.code == "SPRAT_ERR_FORKED"
                else:
                    raise AssertionError(number)
            assert node.state == "shutdown" and not node.is_open
            assert "'ours'" in repr(node)
            node.close(); node.close(); aio.close()
            with start("child") as mine:
                assert mine.members().names() == ["child"]
                mine.tags["a"] = "b"
                assert [it.kind for it in (mine.next_event(60), mine.next_event(60))] == [
                    "member-join", "member-update"]
        for number in range(5):
            pid = os.fork()
            if pid == 0:
                try:
                    child()
                    globals().pop("node"); globals().pop("reader"); gc.collect()
                    os._exit(7)
                finally:
                    import traceback
                    traceback.print_exc()
                    os._exit(1)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        pid = os.fork()
        if pid == 0:
            sys.exit(0)  # atexit handlers run, and close nothing
        assert os.waitpid(pid, 0)[1] == 0
        node.tags["still"] = "there"
        assert node.members().names() == ["ours"] and aio.is_open
        assert [it for it in (reader.next(0), reader.next(0)) if it][-1].member.tags == {
            "still": "there"}
        node.close(); aio.close()
        print("done")
        """
    ).end()
    assert output == "done\n"


def test_a_fork_while_a_thread_makes_the_reader_of_a_node_does_not_hang_the_child(run):
    run(
        """
        nodes = [start(), start("aio", cls=sprat.aio.Node)]
        held, free = threading.Event(), threading.Event()
        def hold():
            with nodes[0]._reader_made, nodes[1]._reader_made:
                held.set()
                free.wait(60)
        thread = threading.Thread(target=hold)
        thread.start()
        held.wait(60)
        warnings.simplefilter("ignore")  # a fork in a process with threads
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)
            calls = (
                lambda: nodes[0].next_event(0), nodes[0].fileno,
                lambda: asyncio.run(nodes[1].next_event(0)),
            )
            for call in calls:
                try:
                    call()
                except sprat.ForkedError:
                    continue
                os._exit(1)
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        free.set()
        thread.join()
        for node in nodes:
            node.close()
        """
    ).end()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_gives_each_process_a_node_of_its_own(run, tmp_path, method):
    file = tmp_path / "program.py"
    file.write_text(
        textwrap.dedent(
            """
            import multiprocessing, sys
            import sprat

            def work(arguments):
                name, bind, seed = arguments
                with sprat.Node(name=name, bind=bind) as node:
                    node.join(seed)
                    return [node.members().names(), next(node.events(sprat.MemberJoined))]

            if __name__ == "__main__":
                ip, method = sys.argv[1:]
                with sprat.Node(name="parent", bind=f"{ip}:0") as node:
                    with multiprocessing.get_context(method).Pool(2) as pool:
                        for number in range(2):
                            name = f"child-{number}"
                            ((names, event),) = pool.map(work, [(name, f"{ip}:0", node.address)])
                            assert names == [name, "parent"], names
                            assert event.member.name == name
                        pool.close()
                        pool.join()
                    assert node.members().names() == ["parent"]
                print("done")
            """
        )
    )
    ip = "127.0.0.1"
    command = [sys.executable, "-W", "error", str(file), ip, method]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


# Nodes that were not closed


def test_a_node_that_was_not_closed_warns_with_its_place_of_creation(run):
    output = run(
        """
        warnings.simplefilter("always")
        def forget():
            node = start()      # here
            node.next_event(60)
        forget()
        gc.collect()
        node = start()
        node.close()
        del node
        with start() as node: pass
        del node
        node = start(cls=sprat.aio.Node)
        node.close()
        del node
        try:
            start(event_queue=1)
        except sprat.ConfigError:
            pass
        gc.collect()
        """
    ).end()
    lines = [it for it in output.splitlines() if "was not closed" in it]
    assert len(lines) == 1, output
    assert re.search(r"ours.* was not closed; it was created at <string>:\d+$", lines[0]), output


def test_a_forgotten_node_is_closed_even_if_the_warning_is_an_error(run):
    output = run(
        """
        node = start(on_event=lambda event: None)
        native, thread = node._native, node._delivery.thread
        del node
        gc.collect()
        assert native.state == "shutdown"
        thread.join(60)
        assert not thread.is_alive()
        """
    ).end()
    assert "Exception ignored in" in output
    assert "was not closed" in output


def test_the_place_of_creation_is_in_the_program_even_if_its_path_looks_like_sprat(tmp_path, run):
    folder = tmp_path / "sprat_things"
    folder.mkdir()
    file = folder / "program.py"
    file.write_text("import sprat\n\nnode = sprat.Node(bind='127.0.0.1:0')\nprint(node._created)\n")
    done = subprocess.run([sys.executable, file], capture_output=True, text=True, timeout=90)
    assert done.stdout == f"{file}:3\n", done.stderr
    assert sprat.__file__.endswith("__init__.py")


# Broken nodes


BREAK = """
def fds():
    listed = os.listdir("/proc/self/fd")  # names the descriptor of the listing, too
    return {int(fd) for fd in listed if os.path.exists(f"/proc/self/fd/{fd}")}
def started(*arguments, **settings):
    '''A node and its descriptors.'''
    before = fds()
    node = start(*arguments, **settings)
    return node, fds() - before
def destroy(descriptors):
    for fd in descriptors:
        with contextlib.suppress(OSError):
            os.close(fd)
def raised(call):
    try:
        return f"nothing, but {call()!r}"
    except Exception as error:  # an ordinary one, which programs catch
        return f"{type(error).__name__}: {error}"
broken = re.compile("InternalError: .*this process closed descriptors that belong to a node, .*")
"""


def test_a_node_whose_descriptors_were_closed_reports_it_and_the_process_continues(run):
    # Some daemons close all descriptors that they do not know, even after they started a node.
    output = run(
        BREAK
        + """
seen = []
node, descriptors = started(on_event=seen.append)
until = time.monotonic() + 60
def wait_for(kind):
    while not (seen and isinstance(seen[-1], kind)):
        assert time.monotonic() < until, (node.state, seen)
        time.sleep(0.01)
wait_for(sprat.MemberJoined)  # before the readers below, which must not get it
reader, only_failures = node.events(), node.events(sprat.MemberFailed)
destroy(descriptors)
wait_for(sprat.NodeFailed)
assert node.state is sprat.NodeState.BROKEN
calls = [node.health, node.leave, lambda: node.join("127.0.0.1:9"), lambda: node.hint("a"),
         lambda: node.tags.update(a="b"), lambda: node.next_event(60), lambda: next(only_failures)]
for call in calls:
    assert broken.fullmatch(raised(call)), raised(call)
assert next(reader).reason == seen[-1].reason
assert broken.fullmatch(raised(lambda: next(reader)))
assert type(seen[-1].error) is sprat.InternalError
assert node.members().names() == ["ours"]  # the last known members
node.close()
node.close()
assert threading.active_count() == 1
with start("another") as another:
    another.leave()
print("done")
        """
    ).end()
    assert output == "done\n"


def test_waiting_tasks_get_the_error_of_a_broken_node(run):
    output = run(
        BREAK
        + """
async def main():
    node, descriptors = started(cls=sprat.aio.Node)
    async def read():
        async for _ in node.events(sprat.MemberFailed):
            pass
    tasks = [asyncio.create_task(read()) for _ in range(2)]
    await asyncio.sleep(0)
    destroy(descriptors)
    for result in await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60):
        assert type(result) is sprat.InternalError, result
    try:
        await node.join('127.0.0.1:9')
    except sprat.InternalError as error:
        print(error)
    node.close()
asyncio.run(main())
        """
    ).end()
    assert output.startswith("the node is broken: this process closed descriptors")


def test_a_wait_ends_although_a_quiet_file_has_replaced_its_descriptor(run):
    output = run(
        BREAK
        + """
import socket
quiet, _writer = os.pipe()
node = start(leave_propagate_ms=0)
silent = socket.create_server((sys.argv[1], 0))
address, listener = "{}:{}".format(*silent.getsockname()), silent.detach()
pending, reader = node._native.begin_join([address]), node.events(sprat.MemberFailed)
results = {}
def wait():
    results["operation"] = pending.wait(), pending.outcome() is not None
def read():
    results["event"] = raised(lambda: next(reader))
threads = [threading.Thread(target=wait), threading.Thread(target=read)]
assert not pending.wait(0)
for thread in threads:
    thread.start()
time.sleep(0.1)  # both threads most likely wait now
for descriptor in (pending.fileno(), reader.fileno()):
    os.dup2(quiet, descriptor)
assert pending.wait(0.01) is False
os.close(listener)  # ends the join
for thread in threads:
    thread.join(60)
    assert not thread.is_alive()
assert results["operation"] == (True, True)
assert broken.fullmatch(results["event"]), results
node.close()
print("done")
        """
    ).end()
    assert output == "done\n"


def test_a_waiting_task_continues_although_a_quiet_file_has_replaced_its_descriptor(run):
    output = run(
        BREAK
        + """
import socket
async def main():
    quiet, _writer = os.pipe()
    node = start(cls=sprat.aio.Node)
    silent = socket.create_server((sys.argv[1], 0))
    address, listener = "{}:{}".format(*silent.getsockname()), silent.detach()
    reader, pending = node.events(sprat.MemberFailed), node._native.begin_join([address])
    tasks = [asyncio.create_task(reader.next()), asyncio.create_task(aio._end_of(pending))]
    await asyncio.sleep(0.1)  # both tasks wait now
    for descriptor in (pending.fileno(), reader._native.fileno()):
        os.dup2(quiet, descriptor)
    os.close(listener)  # ends the join
    results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)
    assert type(results[0]) is sprat.InternalError, results
    assert results[1] is None and pending.outcome() is not None
    node.close()
from sprat import aio
asyncio.run(main())
print("done")
        """
    ).end()
    assert output == "done\n"


# Other interpreters


def test_a_sub_interpreter_gets_an_import_error_and_the_main_one_continues(run):
    output = run(
        """
        try:
            import _xxsubinterpreters as interpreters
        except ImportError:
            import _interpreters as interpreters
        node = start()
        it = interpreters.create()
        failure = interpreters.run_string(it, '''if True:
            try:
                import sprat
            except ImportError as error:
                assert "sub" in str(error).lower(), error
            else:
                raise AssertionError("imported")
        ''')
        assert failure is None, failure
        interpreters.destroy(it)
        node.tags["a"] = "b"
        node.close()
        print("done")
        """
    ).end()
    assert output == "done\n"
