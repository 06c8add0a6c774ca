"""Everything that can be got wrong, and what the library says then."""

import contextlib
import copy
import errno
import ipaddress
import math
import pickle
import socket
from datetime import timedelta

import pytest

import sprat

FINE = {"name": "ours", "bind": "127.0.0.1:0", "profile": "local"}

INVALID, CONFIG = "SPRAT_ERR_INVALID", "SPRAT_ERR_CONFIG"
SURROGATE = r"is '\\ud800', allowed is text that UTF-8 can encode"


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
        (sprat.NameConflictError, Exception, "SPRAT_ERR_NAME_CONFLICT"),
        (sprat.InternalError, RuntimeError, "SPRAT_ERR_INTERNAL"),
    ],
)
def test_each_error_has_its_bases_its_code_and_its_words(cls, base, code):
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


def test_every_error_class_is_exported_and_in_the_table_above():
    exported = [getattr(sprat, name) for name in sprat.__all__ if name.endswith("Error")]
    assert len(exported) == 18
    assert all(issubclass(it, sprat.Error) for it in exported)


def test_an_error_of_the_system_keeps_its_number_through_pickling():
    with pytest.raises(OSError, match="cannot read /nonexistent") as caught:
        sprat.Node.from_file("/nonexistent")
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert type(error) is sprat.NetworkError
        assert (error.errno, error.code) == (2, "SPRAT_ERR_IO")
        assert "No such file or directory" in str(error)


# Starting


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"name": 5}, "name must be str, not int"),
        ({"name": b"x"}, "name must be str, not bytes"),
        ({"bind": 1.5}, "bind must be str, int, bool, or a list of str, not float"),
        ({"profile": True}, "profile must be str, not bool"),
        ({"mode": ...}, "mode must be str, not ellipsis"),
        ({"tags": ["a"]}, "tags must be a mapping, not list"),
        ({"tags": {"a": 1}}, "tags['a'] must be str, not int"),
        ({"tags": {"a": None}}, "tags['a'] must be str, not NoneType"),
        ({"tags": {1: "a"}}, "a key of tags must be str, not int"),
        ({"filter_tags": {"a": 1}}, "filter_tags['a'] must be str, not int"),
        ({"filter_names": "web-*"}, "filter_names must be a list, not str"),
        ({"keys": "c2VjcmV0"}, "keys must be a list, not str"),
        ({"keys": b"x" * 16}, "keys must be a list, not bytes"),
        ({"keys": [5]}, "keys[0] must be bytes, or str in base64, not int"),
        ({"encrypt": 5}, "encrypt must be str, not int"),
        ({"meta": "x"}, "meta must be bytes, not str"),
        ({"meta": 5}, "meta must be bytes, not int"),
        ({"seeds": "10.0.0.1"}, "seeds must be a list, not str"),
        ({"seeds": 5}, "seeds must be a list, not int"),
        ({"seeds": [b"x"]}, "seeds[0] must be str, not bytes"),
        ({"filter_names": ["a", 3]}, "filter_names[1] must be str, not int"),
        ({"event_queue": 100.0}, "event_queue must be str, int, bool, or a list of str, not float"),
        ({"on_event": 5}, "on_event must be callable, not int"),
        (
            {"probe_interval_ms": 1.5},
            "probe_interval_ms must be an int of milliseconds or a datetime.timedelta, not float",
        ),
        ({"log_level": 1.5}, "log_level must be str or int, not float"),
        ({"log_level": True}, "log_level must be str or int, not bool"),
        ({"nam": "x"}, 'there is no setting "nam"; the nearest is "name"'),
        (
            {"probe_intervall_ms": 5},
            'there is no setting "probe_intervall_ms"; the nearest is "probe_interval_ms"',
        ),
        ({"on_events": print}, 'there is no setting "on_events"; the nearest is "on_event"'),
        ({"tag": {}}, 'there is no setting "tag"; the nearest is "tags"'),
        ({"port": 80}, 'there is no setting "port"; the nearest is "bind"'),
        ({"node_name": None}, 'there is no setting "node_name"; the nearest is "name"'),
        ({"": "x"}, 'there is no setting ""'),
        ({"zzzzzzzzzzzz": "x"}, 'there is no setting "zzzzzzzzzzzz"'),
    ],
    ids=str,
)
def test_a_setting_of_a_wrong_type_or_name_is_a_type_error_that_names_it(settings, says):
    with pytest.raises(TypeError) as caught:
        sprat.Node(**{**FINE, **settings})
    assert str(caught.value) == says


@pytest.mark.parametrize(
    ("settings", "cls", "says"),
    [
        ({"name": ""}, sprat.ConfigError, 'name is "", allowed: 1 to 255 bytes'),
        ({"name": "x" * 256}, sprat.ConfigError, "(256 bytes), allowed: 1 to 255 bytes"),
        ({"name": "x\0y"}, sprat.ConfigError, r'name is "x\u{0}y", allowed: 1 to 255 bytes'),
        ({"name": " x"}, sprat.ConfigError, "no space at the ends"),
        ({"name": "\ud800"}, sprat.InvalidError, r"name is '\ud800', allowed is text that UTF-8"),
        ({"bind": "localhost:1"}, sprat.ConfigError, 'bind is "localhost:1", allowed: IP address'),
        ({"bind": "127.0.0.1:65536"}, sprat.ConfigError, 'bind is "127.0.0.1:65536", allowed'),
        ({"bind": "192.0.2.1:0"}, sprat.AddressError, "cannot bind TCP 192.0.2.1:0"),
        ({"advertise": "0.0.0.0"}, sprat.ConfigError, 'advertise is "0.0.0.0", allowed: IP'),
        ({"profile": "man"}, sprat.ConfigError, 'profile is "man", allowed: lan, wan or local'),
        ({"mode": "x"}, sprat.ConfigError, 'mode is "x", allowed: serf or memberlist'),
        ({"probe_interval_ms": 9}, sprat.ConfigError, 'is "9", allowed: 10 to 600000'),
        ({"probe_interval_ms": -1}, sprat.ConfigError, 'is "-1", allowed: 10 to 600000'),
        ({"probe_interval_ms": 10**30}, sprat.ConfigError, "allowed: 10 to 600000"),
        (
            {"probe_timeout_ms": 1000, "probe_interval_ms": 500},
            sprat.ConfigError,
            "probe_timeout_ms is 1000, allowed is less than probe_interval_ms, which is 500",
        ),
        ({"tags": {"a": "x" * 600}}, sprat.TooLargeError, "all tags together take 607 bytes"),
        ({"tags": {"a" * 256: ""}}, sprat.TooLargeError, "the key of a tag has 256 bytes"),
        ({"tags": {"": "x"}}, sprat.ConfigError, "the key of a tag is empty"),
        ({"tags": {"a": "\ud800"}}, sprat.InvalidError, r"tags['a'] is '\ud800', allowed is text"),
        ({"tags": {"\udfff": "a"}}, sprat.InvalidError, r"a key of tags is '\udfff', allowed is"),
        ({"keys": [b"short"]}, sprat.ConfigError, "keys[0] has 5 bytes, allowed are 16, 24 and 32"),
        ({"keys": [b"x" * 16, b""]}, sprat.ConfigError, "keys[1] has 0 bytes, allowed are 16"),
        ({"keys": ["c2VjcmV0"]}, sprat.ConfigError, "keys[0] has 6 bytes, allowed are 16"),
        ({"keys": ["no base64"]}, sprat.ConfigError, "keys[0] is not base64"),
        ({"keys": ["schlüssel"]}, sprat.ConfigError, "keys[0] is not base64: it has characters"),
        ({"keys": [b"x" * 16] * 65}, sprat.TooLargeError, "more than 64 keys"),
        (
            {"keys": [b"x" * 16], "encrypt": "MDEyMzQ1Njc4OWFiY2RlZg=="},
            sprat.ConfigError,
            "keys and encrypt are both given",
        ),
        ({"encrypt": "secret"}, sprat.ConfigError, "encrypt is something of 6 bytes, allowed"),
        ({"encrypt": "\ud800"}, sprat.InvalidError, "encrypt is a secret, allowed is text"),
        ({"meta": b"x"}, sprat.ConfigError, "mode is serf, but raw meta needs mode = memberlist"),
        ({"mode": "memberlist", "meta": b"x" * 513}, sprat.TooLargeError, "meta has 513 bytes"),
        (
            {"mode": "memberlist", "tags": {"a": "b"}},
            sprat.ConfigError,
            "but tags need mode = serf",
        ),
        ({"seeds": ["a", ""]}, sprat.InvalidError, "seeds[1] is empty"),
        ({"seeds": ["a b"]}, sprat.ConfigError, 'seeds is "a b", allowed: HOST or HOST:PORT'),
        (
            {"seeds": ["a,b"]},
            sprat.ConfigError,
            "an item of seeds is 'a,b', a comma is not allowed",
        ),
        ({"filter_names": ["a,b"]}, sprat.ConfigError, "is 'a,b', a comma is not allowed in it"),
        ({"event_queue": 15}, sprat.ConfigError, 'event_queue is "15", allowed: 16 to 1048576'),
        ({"event_queue": 0}, sprat.ConfigError, 'event_queue is "0", allowed: 16 to 1048576'),
        ({"event_queue": True}, sprat.ConfigError, 'event_queue is "true", allowed: 16 to'),
        (
            {"log_level": "loud"},
            sprat.ConfigError,
            'log_level is "loud", allowed: off, error, warn',
        ),
        ({"label": "x" * 256}, sprat.ConfigError, "(256 bytes), allowed: at most 255 bytes"),
        ({"cidrs_allowed": "x"}, sprat.ConfigError, 'cidrs_allowed is "x", allowed: CIDR networks'),
        ({"compression": "maybe"}, sprat.ConfigError, 'compression is "maybe", allowed: true or'),
        ({"keyring_file": "/nonexistent"}, sprat.NetworkError, "cannot read /nonexistent"),
    ],
    ids=lambda it: str(it)[:60] if isinstance(it, dict) else "",
)
def test_a_setting_of_a_wrong_value_is_refused_with_what_is_allowed(settings, cls, says):
    with pytest.raises(cls) as caught:
        sprat.Node(**{**FINE, **settings})
    assert says in str(caught.value)
    assert type(caught.value) is cls


def test_a_callback_that_nobody_would_await_is_refused():
    async def handle(event):
        pass

    with pytest.raises(TypeError, match=r"on_event is a coroutine function, .* see sprat\.aio"):
        sprat.Node(**FINE, on_event=handle)


def test_a_block_around_a_closed_node_is_refused(node):
    node.close()
    with pytest.raises(sprat.ClosedError), node:
        pytest.fail("the block has begun")


def test_a_key_is_never_part_of_a_message():
    for settings in ({"keys": ["hunter2!"]}, {"keys": [b"hunter2!"]}, {"encrypt": "hunter2!"}):
        with pytest.raises(sprat.ConfigError) as caught:
            sprat.Node(**FINE, **settings)
        assert "hunter" not in str(caught.value)


def test_an_address_that_is_taken_is_an_error_that_names_it(node):
    with pytest.raises(sprat.AddressError) as caught:
        sprat.Node(bind=node.address)
    assert f"cannot bind TCP {node.address}: Address already in use" in str(caught.value)


def test_settings_may_have_the_types_that_python_has_for_them(addresses, tmp_path):
    ring = tmp_path / "ring.json"
    ring.write_text(f'["{sprat.generate_key()}"]')
    sprat.Node(
        bind=ipaddress.ip_address(addresses.ip()),
        cidrs_allowed=[ipaddress.ip_network("127.0.0.0/8")],
        probe_interval_ms=timedelta(seconds=2),
        keyring_file=ring,
        compression=False,
        seeds=(it for it in [addresses.address()]),
        advertise=None,
        log_level=25,
        event_queue=16,
    ).close()


# A file


def test_a_file_sets_what_its_lines_say_and_arguments_win(tmp_path, addresses):
    file = tmp_path / "node.conf"
    file.write_text(
        f"# ours\nname = from-file\nbind = {addresses.address()}\ntag.role = db\nevent_queue = 16\n"
    )
    for path in (file, str(file), bytes(file)):
        with contextlib.closing(sprat.Node.from_file(path, tags={"zone": "b"})) as node:
            assert node.name == "from-file"
            assert node.tags == {"role": "db", "zone": "b"}
            assert isinstance(node.next_event(10), sprat.MemberJoined)
            reader = node.events()
            for number in range(40):
                node.tags["n"] = str(number)
            seen = [reader.next(0) for _ in range(20)]
            assert sprat.Overflow in [type(it) for it in seen], "event_queue of the file counts"
    with contextlib.closing(sprat.Node.from_file(file, name="ours")) as node:
        assert node.name == "ours"


def test_a_file_that_is_no_text_is_a_mistake_in_it(tmp_path):
    path = tmp_path / "sprat.conf"
    path.write_bytes(b"name = \xff\n")
    with pytest.raises(sprat.ConfigError) as caught:
        sprat.Node.from_file(path)
    assert str(caught.value) == f"{path} is no text in UTF-8"


def test_in_a_file_the_last_line_of_a_setting_counts_and_values_are_taken_literally(tmp_path):
    path = tmp_path / "sprat.conf"
    path.write_text("name = first\nbind = 127.0.0.1:0\nname = 'q' # x\ntag.a = 1\ntag.b = 2\n")
    with contextlib.closing(sprat.Node.from_file(path, tags={"a": "9"})) as node:
        assert node.name == "'q' # x"
        assert node.tags == {"a": "9", "b": "2"}


def test_a_wrong_line_of_a_file_is_named(tmp_path):
    file = tmp_path / "node.conf"
    for line, says in (
        ("nam = x", 'there is no setting "nam"; the nearest is "name"'),
        ("event_queue = 1", 'event_queue is "1", allowed: 16 to 1048576'),
        ("name", 'expected "key = value"'),
    ):
        file.write_text(f"\n{line}\n")
        with pytest.raises(sprat.ConfigError) as caught:
            sprat.Node.from_file(file)
        assert str(caught.value) == f"{file}:2: {says}"
    for path, cls in ((5, TypeError), (None, TypeError), (tmp_path, sprat.NetworkError)):
        with pytest.raises(cls):
            sprat.Node.from_file(path)
    file.write_text("")
    with pytest.raises(TypeError, match='no setting "nam"; the nearest is "name"'):
        sprat.Node.from_file(file, nam="x")


# Calls


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda it: it.join(5), "an address must be str, not int: write join(*addresses)"),
        (lambda it: it.join(["a"]), "an address must be str, not list: write join(*addresses)"),
        (lambda it: it.hint(5), "name must be str, not int"),
        (lambda it: it.reasons(None), "name must be str, not NoneType"),
        (lambda it: it.member(b"x"), "name must be str, not bytes"),
        (lambda it: it.remove_failed(5), "name must be str, not int"),
        (lambda it: it.members(state=5), "state must be a MemberState or several, not int"),
        (lambda it: it.members(state=[5]), "a state must be str, not int"),
        (lambda it: it.members(role=5), "role must be str, not int"),
        (lambda it: it.members(tags=5), "tags must be a mapping, not int"),
        (lambda it: it.members(tags={"a": 5}), "tags['a'] must be str, not int"),
        (lambda it: it.set_meta(5), "meta must be bytes, not int"),
        (lambda it: it.set_meta("x"), "meta must be bytes, not str"),
        (lambda it: it.tags.update(a=5), "tags['a'] must be str, not int"),
        (lambda it: it.tags.__setitem__("a", None), "tags['a'] must be str, not NoneType"),
        (lambda it: it.tags.__setitem__(5, "a"), "a key of tags must be str, not int"),
        (lambda it: setattr(it, "tags", 5), "tags must be a mapping, not int"),
        (lambda it: setattr(it, "tags", {"a": 1}), "tags['a'] must be str, not int"),
        (lambda it: it.events(5), "kinds of events are classes like sprat.MemberJoined, not 5"),
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
def test_an_argument_of_a_wrong_type_is_a_type_error_that_names_it(node, call, says):
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
        (lambda it: it.join("a\0b"), sprat.AddressError, "expected host, host:port"),
        (lambda it: it.join("\ud800"), sprat.InvalidError, r"an address is '\ud800', allowed is"),
        (lambda it: it.join(*["a"] * 4097), sprat.TooLargeError, "4097 addresses to join, allowed"),
        (
            lambda it: it.hint("nobody"),
            sprat.UnknownMemberError,
            "hint about nobody: no such member",
        ),
        (lambda it: it.hint("ours"), sprat.StateError, "hint about ours: that is this node itself"),
        (lambda it: it.hint("\ud800"), sprat.InvalidError, r"name is '\ud800', allowed is text"),
        (lambda it: it.reasons("x"), sprat.UnknownMemberError, 'there is no member "x"'),
        (lambda it: it.remove_failed("x"), sprat.UnknownMemberError, "removing x: no such member"),
        (lambda it: it.remove_failed("ours"), sprat.StateError, "the member has not failed"),
        (
            lambda it: it.members(state="alve"),
            sprat.InvalidError,
            "state is 'alve', allowed are alive, suspect, failed, leaving, left",
        ),
        (lambda it: it.members(state=["alive", ""]), sprat.InvalidError, "state is ''"),
        (lambda it: it.set_meta(b"x"), sprat.StateError, "raw meta to mode = memberlist"),
        (lambda it: it.tags.__setitem__("", "a"), sprat.InvalidError, "the key of a tag is empty"),
        (
            lambda it: it.tags.update(a="x" * 600),
            sprat.TooLargeError,
            "take 607 bytes, allowed are",
        ),
        (lambda it: it.tags.update(a="\ud800"), sprat.InvalidError, r"tags['a'] is '\ud800'"),
        (lambda it: it.events(maxsize=0), sprat.InvalidError, "maxsize is 0, allowed are 4 to"),
        (lambda it: it.events(maxsize=-1), sprat.InvalidError, "maxsize is -1, allowed are 4 to"),
        (lambda it: it.events(maxsize=2**70), sprat.InvalidError, "allowed are 4 to 1048576"),
        (lambda it: it.next_event(-1), sprat.InvalidError, "timeout is -1, allowed are 0 and more"),
        (lambda it: it.join("a", timeout=-0.1), sprat.InvalidError, "timeout is -0.1, allowed are"),
        (
            lambda it: it.leave(math.nan),
            sprat.InvalidError,
            "timeout is nan, allowed are 0 and more",
        ),
        (lambda it: it.hint("a", -math.inf), sprat.InvalidError, "timeout is -inf, allowed are 0"),
    ],
)
def test_an_argument_of_a_wrong_value_is_refused_with_what_is_allowed(node, call, cls, says):
    with pytest.raises(cls) as caught:
        call(node)
    assert type(caught.value) is cls
    assert says in str(caught.value)
    assert node.tags == {}
    assert node.state == "running", "nothing was begun"


def test_a_time_that_is_too_long_for_a_clock_is_for_ever(node):
    for forever in (math.inf, 1e300, 10**400, None):
        node.tags["x"] = str(forever)[:9]
        assert node.next_event(forever) is not None


def test_a_join_that_reaches_nobody_tells_why_for_each_address(node, addresses):
    silent = addresses.address(9)
    with pytest.raises(sprat.JoinError) as caught:
        node.join(silent, "no-such-host.invalid:7")
    error = caught.value
    assert isinstance(error, ConnectionError)
    assert error.errors.keys() == {silent, "no-such-host.invalid:7"}
    assert type(error.errors[silent]) is sprat.UnreachableError
    assert str(error.errors[silent]) == "connection refused"
    assert type(error.errors["no-such-host.invalid:7"]) is sprat.AddressError
    assert error.code == "SPRAT_ERR_ADDRESS", "that is what a person has to mend first"
    assert silent in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert {name: str(it) for name, it in again.errors.items()} == {
        name: str(it) for name, it in error.errors.items()
    }
    assert again.code == error.code


def test_a_join_that_does_not_end_in_time_is_a_timeout_and_goes_on(node, addresses):
    with socket.create_server((addresses.ip(), 0)) as silent:
        host, port = silent.getsockname()
        with pytest.raises(TimeoutError) as caught:
            node.join(f"{host}:{port}", timeout=0.05)
    assert type(caught.value) is sprat.TimeoutError
    assert str(caught.value) == "the time is up, the join goes on"


# States


def calls(it):
    return {
        "join": lambda: it.join("127.0.0.1"),
        "leave": lambda: it.leave(),
        "hint": lambda: it.hint("x"),
        "remove_failed": lambda: it.remove_failed("x"),
        "reasons": lambda: it.reasons("ours"),
        "health": lambda: it.health(),
        "set_meta": lambda: it.set_meta(b""),
        "a tag": lambda: it.tags.__setitem__("a", "b"),
        "tags": lambda: setattr(it, "tags", {}),
        "events": lambda: it.events(),
        "next_event": lambda: it.next_event(),
        "fileno": lambda: it.fileno(),
    }


def test_a_closed_node_refuses_what_it_cannot_do_and_still_tells_what_it_knew(node):
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


def test_a_node_that_left_says_that_a_join_brings_it_back(node):
    node.leave()
    node.leave()
    assert node.state == "left"
    assert node.members().names() == []
    assert node.members(state="left").names() == ["ours"]
    for call in (lambda: node.hint("x"), lambda: node.tags.update(a="b")):
        with pytest.raises(sprat.StateError, match="has left; a join brings it back"):
            call()
    with pytest.raises(sprat.JoinError):
        node.join("127.0.0.1:1")
    assert node.state == "running"
    node.tags["a"] = "b"


def test_a_node_is_not_copied_or_pickled(node):
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="a node cannot be pickled: start one in each process"):
            attempt(node)


def test_without_descriptors_a_start_is_an_error_of_the_system(program):
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
            lambda: node.leave(),
        ):
            try:
                attempt()
            except sprat.NetworkError as error:
                assert error.errno == 24, error
            else:
                raise AssertionError
        node.tags["a"] = "b"
        assert [type(reader.next(9)).__name__ for _ in "12"] == ["MemberJoined", "MemberUpdated"]
        assert reader.next(0.1) is None
        node.close()
        assert list(reader) == []
        """
    ).end()


def test_a_setting_without_a_value_is_refused_all_the_same_if_its_name_is_unknown():
    with pytest.raises(TypeError, match='there is no setting "prob_interval_ms"; the nearest'):
        sprat.Node(bind="127.0.0.1:0", prob_interval_ms=None)
    with sprat.Node(bind="127.0.0.1:0", probe_interval_ms=None) as node:
        assert node.is_open


def test_an_address_in_use_says_why_the_system_refused_it():
    with sprat.Node(bind="127.0.0.1:0") as node:
        with pytest.raises(sprat.AddressError) as caught:
            sprat.Node(bind=node.address)
        assert caught.value.errno == errno.EADDRINUSE
    with pytest.raises(sprat.AddressError) as caught, sprat.Node(bind="127.0.0.1:0") as node:
        node.join("a:b")
    assert caught.value.errno is None
