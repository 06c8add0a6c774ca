"""Mistakes of callers, and the errors that report them."""

import copy
import errno
import math
import pickle
import socket
import textwrap

import pytest
from conftest import USE_UP_DESCRIPTORS

import sprat
import sprat.aio
from sprat._errors import from_status

# The classes


@pytest.mark.parametrize(
    ("cls", "base", "code"),
    [
        (sprat.InvalidError, ValueError, "SPRAT_ERR_INVALID"),
        (sprat.ConfigError, ValueError, "SPRAT_ERR_CONFIG"),
        (sprat.TooLargeError, ValueError, "SPRAT_ERR_TOO_LARGE"),
        (sprat.AddressError, ValueError, "SPRAT_ERR_ADDRESS"),
        (sprat.UnknownMemberError, KeyError, "SPRAT_ERR_NOT_FOUND"),
        (sprat.StateError, Exception, "SPRAT_ERR_STATE"),
        (sprat.TimeoutError, TimeoutError, "SPRAT_ERR_TIMEOUT"),
        (sprat.ClosedError, Exception, "SPRAT_ERR_CLOSED"),
        (sprat.ForkedError, Exception, "SPRAT_ERR_FORKED"),
        (sprat.DeadlockError, RuntimeError, "SPRAT_ERR_DEADLOCK"),
        (sprat.NetworkError, OSError, "SPRAT_ERR_IO"),
        (sprat.UnreachableError, ConnectionError, "SPRAT_ERR_UNREACHABLE"),
        (sprat.CryptoError, Exception, "SPRAT_ERR_CRYPTO"),
        (sprat.ProtocolError, Exception, "SPRAT_ERR_PROTOCOL"),
        (sprat.JoinError, ConnectionError, "SPRAT_ERR_UNREACHABLE"),
        (sprat.LeaveError, ConnectionError, "SPRAT_ERR_UNREACHABLE"),
        (sprat.NameConflictError, Exception, "SPRAT_ERR_NAME_CONFLICT"),
        (sprat.InternalError, RuntimeError, "SPRAT_ERR_INTERNAL"),
    ],
)
def test_each_error_has_its_bases_its_code_and_its_message(cls, base, code):
    error = cls("it's so")
    assert isinstance(error, sprat.Error)
    assert isinstance(error, base)
    assert (str(error), error.code, error.args) == ("it's so", code, ("it's so",))
    assert str(cls()) == ""
    error.add_note("and that")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is cls
        assert (str(again), again.code, again.args) == ("it's so", code, ("it's so",))
    other = pickle.loads(pickle.dumps(cls("x", code="SPRAT_ERR_CRYPTO")))
    assert other.code == "SPRAT_ERR_CRYPTO"


def test_every_error_class_is_exported():
    exported = [getattr(sprat, name) for name in sprat.__all__ if name.endswith("Error")]
    assert len(exported) == 20
    assert all(issubclass(it, sprat.Error) for it in exported)


def test_a_network_error_keeps_its_errno_when_pickled():
    with pytest.raises(OSError, match="cannot read /nonexistent") as caught:
        sprat.Node.from_file("/nonexistent")
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert type(error).__name__ == "NetworkError"
        assert (error.errno, error.code) == (2, "SPRAT_ERR_IO")
        assert "No such file or directory" in str(error) == error.strerror


@pytest.mark.parametrize(
    ("status", "number", "classes"),
    [
        (-14, errno.ENOENT, (sprat.NetworkError, FileNotFoundError)),
        (-14, errno.EACCES, (sprat.NetworkError, PermissionError)),
        (-14, errno.EISDIR, (sprat.NetworkError, IsADirectoryError)),
        (-14, errno.EMFILE, (sprat.NetworkError, OSError)),
        (-14, 0, (sprat.NetworkError, OSError)),
        (-15, errno.EADDRINUSE, (sprat.AddressError, ValueError, OSError)),
        (-15, errno.EACCES, (sprat.AddressError, ValueError, PermissionError)),
        (-15, 0, (sprat.AddressError, ValueError)),
    ],
)
def test_an_error_of_the_system_has_the_class_that_python_uses_for_it(status, number, classes):
    error = from_status(status, "it failed", number)
    error.add_note("and that")
    for it in (error, pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(it) is type(error)
        assert all(isinstance(it, cls) for cls in classes)
        assert (str(it), it.args, it.errno) == ("it failed", ("it failed",), number or None)
        assert it.__notes__ == ["and that"]
        assert (type(it).__module__, type(it).__name__) == ("sprat", classes[0].__name__)
        assert repr(it) == f"{classes[0].__name__}('it failed')"


def test_a_path_that_is_missing_or_a_folder_raises_an_os_error(tmp_path):
    missing = tmp_path / "missing"
    for attempt in (
        lambda: sprat.Node.from_file(missing),
        lambda: sprat.aio.Node.from_file(missing),
        lambda: sprat.Node(bind="127.0.0.1:0", keyring_file=missing),
    ):
        with pytest.raises(FileNotFoundError, match="missing") as caught:
            attempt()
        assert isinstance(caught.value, sprat.NetworkError)
        assert caught.value.errno == errno.ENOENT
    with pytest.raises(OSError, match="is not a regular file") as caught:
        sprat.Node.from_file(tmp_path)
    assert isinstance(caught.value, sprat.NetworkError)


# Calls


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda it: it.join(5), "an address must be str, IPv4Address or IPv6Address, not int"),
        (lambda it: it.join(["a"]), "an address must be str, not list: write join(*addresses)"),
        (lambda it: it.hint(5), "name must be str, not int"),
        (lambda it: it.explain(None), "name must be str, not NoneType"),
        (lambda it: it.member(b"x"), "name must be str, not bytes"),
        (lambda it: it.remove_failed(5), "name must be str, not int"),
        (lambda it: it.members(state=5), "state must be a MemberState or several, not int"),
        (lambda it: it.members(state=[5]), "a state must be str, not int"),
        (lambda it: it.members(role=5), "role must be str, not int"),
        (lambda it: it.members(tags=5), "tags must be a mapping, not int"),
        (lambda it: it.members(tags={"a": 5}), "tags['a'] must be str, not int"),
        (lambda it: it.set_meta(5), "meta must be bytes, not int"),
        (lambda it: it.set_meta("x"), "meta must be bytes, not str: encode text with str.encode()"),
        (lambda it: it.set_ack_payload(5), "payload must be bytes, not int"),
        (
            lambda it: it.set_local_state("x"),
            "state must be bytes, not str: encode text with str.encode()",
        ),
        (lambda it: it.set_local_state([1]), "state must be bytes, not list"),
        (lambda it: it.remove_failed("a", 5), "prune must be bool, not int"),
        (lambda it: it.send_event("a", b"", "no"), "coalesce must be bool, not str"),
        (lambda it: it.send("a", b"", 5), "reliable must be bool, not int"),
        (lambda it: it.query("a", ack=None), "ack must be bool, not NoneType"),
        (lambda it: it.members().get(5), "name must be str, not int"),
        (lambda it: it.spread("1"), "timeout must be a number of seconds or None, not str"),
        (lambda it: it.tags.update(a=5), "tags['a'] must be str, not int"),
        (lambda it: it.tags.__setitem__("a", None), "tags['a'] must be str, not NoneType"),
        (lambda it: it.tags.__setitem__(5, "a"), "a key of tags must be str, not int"),
        (lambda it: setattr(it, "tags", 5), "tags must be a mapping, not int"),
        (lambda it: setattr(it, "tags", {"a": 1}), "tags['a'] must be str, not int"),
        (lambda it: it.events(5), "a kind of event must be a class like sprat.MemberJoined, got 5"),
        (lambda it: it.events(maxsize="9"), "maxsize must be int or None, not str"),
        (lambda it: it.events(maxsize=True), "maxsize must be int or None, not bool"),
        (lambda it: it.next_event("1"), "timeout must be a number of seconds or None, not str"),
        (lambda it: it.next_event(True), "timeout must be a number of seconds or None, not bool"),
        (
            lambda it: it.join("a", timeout="1"),
            "timeout must be a number of seconds or None, not str",
        ),
        (lambda it: it.leave(timeout=[]), "timeout must be a number of seconds or None, not list"),
        (lambda it: it.hint("a", 1j), "timeout must be a number of seconds or None, not complex"),
    ],
)
def test_a_wrong_argument_type_is_a_type_error_that_names_the_argument(node, call, says):
    with pytest.raises(TypeError) as caught:
        call(node)
    assert str(caught.value) == says
    assert node.tags == {}
    assert node.state == "running"


@pytest.mark.parametrize(
    ("call", "cls", "says"),
    [
        (lambda it: it.join(), sprat.InvalidError, "no address to join"),
        (lambda it: it.join(""), sprat.AddressError, 'address "": a host name has 1 to 253'),
        (lambda it: it.join("a:b"), sprat.AddressError, 'address "a:b": the port must be a number'),
        (lambda it: it.join("a:0"), sprat.AddressError, "must be a number from 1 to 65535"),
        (lambda it: it.join("0.0.0.0"), sprat.AddressError, 'means "any" and cannot be reached'),
        (lambda it: it.join("a\0b"), sprat.AddressError, r'"a\x00b": expected host, host:port'),
        (lambda it: it.explain("\x1b["), sprat.UnknownMemberError, r"explanation of \x1b[: there"),
        (lambda it: it.join("\ud800"), sprat.InvalidError, r"can encode, got '\ud800'"),
        (lambda it: it.join(*["a"] * 4097), sprat.TooLargeError, "4097 addresses to join, at most"),
        (
            lambda it: it.hint("nobody"),
            sprat.UnknownMemberError,
            "hint about nobody: there is no such member",
        ),
        (lambda it: it.hint("ours"), sprat.StateError, "the member is this node itself"),
        (lambda it: it.hint("\ud800"), sprat.InvalidError, r"can encode, got '\ud800'"),
        (
            lambda it: it.explain("x"),
            sprat.UnknownMemberError,
            "explanation of x: there is no such member",
        ),
        (lambda it: it.remove_failed("x"), sprat.UnknownMemberError, "there is no such member"),
        (lambda it: it.remove_failed("ours"), sprat.StateError, "the member has not failed"),
        (
            lambda it: it.members(state="alve"),
            sprat.InvalidError,
            "state must be one of alive, suspect, failed, leaving, left, got 'alve'",
        ),
        (lambda it: it.members(state=["alive", ""]), sprat.InvalidError, "left, got ''"),
        (lambda it: it.set_meta(b"x"), sprat.StateError, "mode = memberlist"),
        (lambda it: it.set_ack_payload(b"x"), sprat.StateError, "acks carry the network"),
        (lambda it: it.tags.__setitem__("", "a"), sprat.InvalidError, "the key of a tag is empty"),
        (
            lambda it: it.tags.update(a="x" * 600),
            sprat.TooLargeError,
            "the tags or meta take 607 bytes together",
        ),
        (lambda it: it.tags.update(a="\ud800"), sprat.InvalidError, r"tags['a'] must be text that"),
        (
            lambda it: it.events(maxsize=0),
            sprat.InvalidError,
            "maxsize must be 4 to 1048576, got 0",
        ),
        (
            lambda it: it.events(maxsize=-1),
            sprat.InvalidError,
            "maxsize must be 4 to 1048576, got -1",
        ),
        (lambda it: it.events(maxsize=2**70), sprat.InvalidError, "maxsize must be 4 to 1048576"),
        (lambda it: it.next_event(-1), sprat.InvalidError, "timeout must be 0 or more, got -1"),
        (
            lambda it: it.join("a", timeout=-0.1),
            sprat.InvalidError,
            "timeout must be 0 or more, got -0.1",
        ),
        (
            lambda it: it.leave(math.nan),
            sprat.InvalidError,
            "timeout must be 0 or more, got nan",
        ),
        (
            lambda it: it.hint("a", -math.inf),
            sprat.InvalidError,
            "timeout must be 0 or more, got -inf",
        ),
    ],
)
def test_a_wrong_argument_value_raises_an_error_that_explains_it(node, call, cls, says):
    with pytest.raises(cls) as caught:
        call(node)
    assert type(caught.value) is cls
    assert says in str(caught.value)
    assert node.tags == {}
    assert node.state == "running", "no operation began"


def test_a_timeout_too_long_for_the_clock_waits_without_limit(node):
    for forever in (math.inf, 1e300, 10**400, None):
        node.tags["x"] = str(forever)[:9]
        assert node.next_event(forever) is not None


def test_a_failed_join_has_an_error_for_each_address(node, addresses):
    silent = addresses.address(9)
    with pytest.raises(sprat.JoinError) as caught:
        node.join(silent, "no-such-host.invalid:7")
    error = caught.value
    assert isinstance(error, ConnectionError)
    assert error.errors.keys() == {silent, "no-such-host.invalid:7"}
    assert type(error.errors[silent]) is sprat.UnreachableError
    assert str(error.errors[silent]) == "connection refused"
    assert type(error.errors["no-such-host.invalid:7"]) is sprat.AddressError
    assert error.code == "SPRAT_ERR_ADDRESS", "the AddressError takes precedence"
    assert silent in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert {name: str(it) for name, it in again.errors.items()} == {
        name: str(it) for name, it in error.errors.items()
    }
    assert again.code == error.code


def test_a_join_that_does_not_finish_in_time_raises_a_timeout(node, addresses):
    with socket.create_server((addresses.ip(), 0)) as silent:
        host, port = silent.getsockname()
        with pytest.raises(TimeoutError) as caught:
            node.join(f"{host}:{port}", timeout=0.05)
    assert type(caught.value) is sprat.TimeoutError
    assert str(caught.value) == "the join has not finished within 0.05 s; it continues"


# States


def calls(it):
    return {
        "join": lambda: it.join("127.0.0.1"),
        "leave": lambda: it.leave(),
        "hint": lambda: it.hint("x"),
        "remove_failed": lambda: it.remove_failed("x"),
        "explain": lambda: it.explain("ours"),
        "health": lambda: it.health(),
        "set_meta": lambda: it.set_meta(b""),
        "set_ack_payload": lambda: it.set_ack_payload(b""),
        "spread": lambda: it.spread(),
        "a tag": lambda: it.tags.__setitem__("a", "b"),
        "tags": lambda: setattr(it, "tags", {}),
        "events": lambda: it.events(),
        "next_event": lambda: it.next_event(),
        "fileno": lambda: it.fileno(),
    }


def test_a_closed_node_refuses_calls_but_still_has_its_last_members(node):
    node.tags["role"] = "db"
    node.close()
    node.close()
    for name, call in calls(node).items():
        with pytest.raises(sprat.ClosedError) as caught:
            call()
        assert str(caught.value) == "the node was shut down", name
    assert node.members().names() == ["ours"]
    assert node.tags == {"role": "db"}
    assert node.stats()["members"] == 1
    assert repr(node) == f"<sprat.Node 'ours' {node.address} shutdown>"


def test_a_node_that_left_can_join_again(node):
    node.leave()
    node.leave()
    assert node.state == "left"
    assert node.members().names() == []
    assert node.members(state="left").names() == ["ours"]
    for call in (lambda: node.hint("x"), lambda: node.tags.update(a="b")):
        with pytest.raises(sprat.StateError, match="has left; a join makes it a member again"):
            call()
    with pytest.raises(sprat.JoinError):
        node.join("127.0.0.1:1")
    assert node.state == "running"
    node.tags["a"] = "b"


def test_a_node_is_not_copied_or_pickled(node):
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="a node cannot be pickled: start one in each process"):
            attempt(node)
        with pytest.raises(TypeError, match="a reader of events cannot be pickled or copied: pass"):
            attempt(node.events())
        with pytest.raises(TypeError, match="the keyring of a node cannot be pickled or copied"):
            attempt(node.keyring)


def test_without_free_descriptors_a_call_raises_a_network_error(program):
    program(
        """
        import resource, sprat
        node = sprat.Node(name="a", bind="127.0.0.1:0")
        reader = node.events()
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
        for attempt in (
            lambda: sprat.Node(name="b", bind="127.0.0.1:0"),
            lambda: node.events(),
            lambda: node.join("127.0.0.1:1"),
        ):
            try:
                attempt()
            except sprat.NetworkError as error:
                assert error.errno == 24, error
            else:
                raise AssertionError
        node.tags["a"] = "b"
        assert [type(reader.next(60)).__name__ for _ in "12"] == ["MemberJoined", "MemberUpdated"]
        assert reader.next(0) is None
        node.close()
        assert list(reader) == []
        """
    ).end()


OUT_OF_DESCRIPTORS = (
    USE_UP_DESCRIPTORS
    + """
import asyncio, os, resource, signal, sys, threading, time
import sprat, sprat.aio
def start(name, cls=sprat.Node, **settings):
    return cls(name=name, bind="127.0.0.1:0", profile="local", **settings)
def state_of(name):
    return str(other.member(name).state)
def give_up():
    if sys.argv[1] == "limit":
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
        return
    use_up_descriptors()
other = start("other")
"""
)


@pytest.fixture(params=["exhausted", "limit"])
def run_out(request, program):
    """Run a program that calls `give_up()` and can then open no more descriptors."""
    return lambda code: program(OUT_OF_DESCRIPTORS + textwrap.dedent(code), request.param)


def test_without_free_descriptors_nodes_leave_and_close(run_out):
    run_out(
        """
        node, block = start("node"), start("block", on_event=lambda event: None)
        for it in (node, block):
            it.join(other.address)
        with block:
            give_up()
            node.leave(timeout=60)
            assert (node.state, state_of("node")) == ("left", "left")
            node.leave()
        assert (block.state, state_of("block")) == ("shutdown", "left")
        node.close()
        other.close()
        """
    ).end()


def test_without_free_descriptors_an_asyncio_node_leaves_and_other_tasks_run(run_out):
    run_out(
        """
        steps = []
        async def count():
            while True:
                steps.append(None)
                await asyncio.sleep(0.001)
        async def main():
            counter = asyncio.create_task(count())
            async with start("node", sprat.aio.Node, leave_propagate_ms=1000) as node:
                await node.join(other.address)
                give_up()
                before = len(steps)
                await node.leave(timeout=60)
                assert len(steps) - before > 2, "the leave takes a second"
                assert (node.state, state_of("node")) == ("left", "left")
            counter.cancel()
        asyncio.run(main())
        other.close()
        """
    ).end()


def test_without_free_descriptors_a_leave_has_a_timeout_and_an_error(run_out):
    run_out(
        """
        node = start("node", probe_interval_ms=60000, leave_propagate_ms=0)
        node.join(other.address)
        other.close()  # it no longer acknowledges, and `node` has not noticed that
        give_up()
        try:
            node.leave(timeout=0)
        except sprat.TimeoutError:
            pass
        else:
            raise AssertionError
        try:
            node.leave(timeout=60)
        except sprat.LeaveError as error:
            assert error.members == ("other",), error.members
            assert "other" in str(error), error
        else:
            raise AssertionError
        node.close()
        """
    ).end()


def test_ctrl_c_ends_a_leave_without_a_descriptor(run_out):
    run_out(
        """
        node = start("node", leave_propagate_ms=60000)
        node.join(other.address)
        def interrupt():
            while node.state != "leaving":
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)
        give_up()
        threading.Thread(target=interrupt).start()
        try:
            node.leave(timeout=None)
        except KeyboardInterrupt:
            assert node.state == "leaving"
        else:
            raise AssertionError
        node.close()
        other.close()
        """
    ).end()


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_leave_goes_on_when_the_kernel_begins_to_refuse_to_poll(program, interrupted):
    ended = program(
        """
        import os, resource, signal, sys, threading, time
        import sprat
        other = sprat.Node(name="other", bind="127.0.0.1:0", profile="local")
        node = sprat.Node(
            name="node", bind="127.0.0.1:0", profile="local", leave_propagate_ms=5000
        )
        node.join(other.address)
        def refuse():
            while node.state != "leaving":
                time.sleep(0.01)
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
            time.sleep(1.5)  # the wait begins another poll within a second
            if sys.argv[1] == "True":
                os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=refuse).start()
        try:
            node.leave(timeout=60)
        except KeyboardInterrupt:
            assert node.state == "leaving"
            print("interrupted")
        else:
            assert node.state == "left"
            print("left")
        node.close()
        other.close()
        """,
        str(interrupted),
    ).end()
    assert ended == ("interrupted\n" if interrupted else "left\n")


def test_a_read_has_a_timeout_where_the_kernel_refuses_to_poll(program):
    program(
        """
        import resource, sprat
        with sprat.Node(name="a", bind="127.0.0.1:0", profile="local") as node:
            reader = node.events(sprat.MemberFailed)
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
            assert reader.next(0.1) is None
        """
    ).end()


def test_an_unknown_setting_is_refused_even_if_its_value_is_none():
    with pytest.raises(TypeError, match='there is no setting "prob_interval_ms"; the nearest'):
        sprat.Node(bind="127.0.0.1:0", prob_interval_ms=None)
    with sprat.Node(bind="127.0.0.1:0", probe_interval_ms=None) as node:
        assert node.is_open


def test_an_address_in_use_is_an_error_with_errno():
    with sprat.Node(bind="127.0.0.1:0") as node:
        with pytest.raises(OSError, match="Address already in use") as caught:
            sprat.Node(bind=node.address)
        assert isinstance(caught.value, sprat.AddressError)
        assert caught.value.errno == errno.EADDRINUSE
    with pytest.raises(sprat.AddressError) as caught, sprat.Node(bind="127.0.0.1:0") as node:
        node.join("a:b")
    assert caught.value.errno is None
