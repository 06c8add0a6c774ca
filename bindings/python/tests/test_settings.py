"""Settings as arguments and from files: accepted types and values, and error messages."""

import asyncio
import contextlib
import functools
import ipaddress
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import eventually

import sprat
import sprat.aio

FINE = {"name": "ours", "bind": "127.0.0.1:0", "profile": "local"}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"name": 5}, "name must be str, not int"),
        ({"name": b"x"}, "name must be str, not bytes"),
        ({"bind": 7946}, "bind must be str, IPv4Address or IPv6Address, not int"),
        (
            {"bind": ("127.0.0.1", 0)},
            "bind must be str, IPv4Address or IPv6Address, not tuple",
        ),
        (
            {"bind": ipaddress.ip_network("127.0.0.0/8")},
            "bind must be str, IPv4Address or IPv6Address, not IPv4Network",
        ),
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
        ({"seeds": [b"x"]}, "seeds[0] must be str, IPv4Address or IPv6Address, not bytes"),
        (
            {"seeds": [ipaddress.ip_interface("10.0.0.1/8")]},
            "seeds[0] must be str, IPv4Address or IPv6Address, not IPv4Interface",
        ),
        ({"filter_names": ["a", 3]}, "filter_names[1] must be str, not int"),
        ({"event_queue": 100.0}, "event_queue must be int, not float"),
        ({"event_queue": timedelta(1)}, "event_queue must be int, not timedelta"),
        (
            {"cidrs_allowed": 3},
            "cidrs_allowed must be a list of str, IPv4Network or IPv6Network, not int",
        ),
        (
            {"cidrs_allowed": ["10.0.0.0/8", 3.5]},
            "cidrs_allowed[1] must be str, IPv4Network or IPv6Network, not float",
        ),
        ({"stream_pings": 1.5}, "stream_pings must be bool, not float"),
        ({"keyring_file": 1.5}, "keyring_file must be str or a path, not float"),
        ({"snapshot": 5}, "snapshot must be str or a path, not int"),
        ({"snapshot": True}, "snapshot must be str or a path, not bool"),
        ({"discover": 5}, "discover must be str, not int"),
        ({"discover_interface": ["eth0"]}, "discover_interface must be str, not list"),
        ({"label": Path("x")}, "label must be str, not PosixPath"),
        ({"tag.role": 5}, "tag.role must be str, not int"),
        ({"event_queue": [100]}, "event_queue must be int, not list"),
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
        ({"settings": {}}, 'there is no setting "settings"'),
        ({"a\x1b": None}, r'there is no setting "a\x1b"'),
        ({"": "x"}, 'there is no setting ""'),
        ({"zzzzzzzzzzzz": "x"}, 'there is no setting "zzzzzzzzzzzz"'),
    ],
    ids=str,
)
def test_a_wrong_type_or_name_of_a_setting_is_a_type_error_that_names_it(settings, says):
    with pytest.raises(TypeError) as caught:
        sprat.Node(**{**FINE, **settings})
    assert str(caught.value) == says


@pytest.mark.parametrize(
    ("settings", "cls", "says"),
    [
        ({"name": ""}, sprat.ConfigError, 'name is "", allowed: 1 to 255 bytes'),
        ({"name": "x" * 256}, sprat.ConfigError, "(256 bytes), allowed: 1 to 255 bytes"),
        ({"name": "x\0y"}, sprat.ConfigError, r'name is "x\x00y", allowed: 1 to 255 bytes'),
        ({"name": " x"}, sprat.ConfigError, "no space at the ends"),
        ({"name": "\ud800"}, sprat.InvalidError, r"text that UTF-8 can encode, got '\ud800'"),
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
            "probe_timeout_ms is 1000, but must be less than probe_interval_ms, which is 500",
        ),
        ({"tags": {"a": "x" * 600}}, sprat.TooLargeError, "all tags together take 607 bytes"),
        ({"tags": {"a" * 256: ""}}, sprat.TooLargeError, "the key of a tag has 256 bytes"),
        ({"tags": {"": "x"}}, sprat.ConfigError, "the key of a tag is empty"),
        ({"tags": {"a": "\ud800"}}, sprat.InvalidError, r"tags['a'] must be text that UTF-8 can"),
        ({"tags": {"\udfff": "a"}}, sprat.InvalidError, r"a key of tags must be text that UTF-8"),
        ({"keys": [b"short"]}, sprat.ConfigError, "keys[0] must have 16, 24 or 32 bytes, got 5"),
        (
            {"keys": [b"x" * 16, b""]},
            sprat.ConfigError,
            "keys[1] must have 16, 24 or 32 bytes, got 0",
        ),
        ({"keys": ["c2VjcmV0"]}, sprat.ConfigError, "keys[0] must have 16, 24 or 32 bytes, got 6"),
        ({"keys": ["AAECAwQFBgcICQoLDA0ODw== "]}, sprat.ConfigError, "keys[0] is not base64"),
        ({"keys": ["no base64"]}, sprat.ConfigError, "keys[0] is not base64"),
        ({"keys": ["schlüssel"]}, sprat.ConfigError, "keys[0] is not base64: it has characters"),
        ({"keys": [b"x" * 16] * 65}, sprat.TooLargeError, "65 keys are given, at most 64"),
        (
            {"keys": [b"x" * 16], "encrypt": "MDEyMzQ1Njc4OWFiY2RlZg=="},
            sprat.ConfigError,
            "keys and encrypt exclude each other",
        ),
        ({"encrypt": "secret"}, sprat.ConfigError, "encrypt is a secret of 6 bytes, allowed"),
        (
            {"encrypt": "\ud800"},
            sprat.InvalidError,
            "encrypt must be text that UTF-8 can encode, got <secret>",
        ),
        ({"meta": b"x"}, sprat.ConfigError, "mode is serf, but metadata needs mode = memberlist"),
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
            "seeds[0] must not contain a comma, got 'a,b'",
        ),
        (
            {"filter_names": ["a,b"]},
            sprat.ConfigError,
            "filter_names[0] must not contain a comma, got 'a,b'",
        ),
        (
            {"filter_names": ["web-*", " db"]},
            sprat.ConfigError,
            "filter_names[1] must not begin or end with space, got ' db'",
        ),
        ({"cidrs_allowed": [""]}, sprat.InvalidError, "cidrs_allowed[0] is empty"),
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
def test_a_wrong_value_of_a_setting_raises_an_error_that_explains_it(settings, cls, says):
    with pytest.raises(cls) as caught:
        sprat.Node(**{**FINE, **settings})
    assert says in str(caught.value)
    # The names are compared, because the class may be one that derives from `cls` and OSError.
    assert type(caught.value).__name__ == cls.__name__


class Handler:
    async def __call__(self, event):
        pass

    async def handle(self, event):
        pass


@pytest.mark.parametrize(
    "handle", [Handler(), Handler().handle, functools.partial(Handler.handle, None)]
)
def test_a_coroutine_function_as_callback_is_refused(handle):
    with pytest.raises(
        TypeError, match="on_event must be a plain function, not a coroutine function"
    ):
        sprat.Node(**FINE, on_event=handle)


@pytest.mark.parametrize("cls", [sprat.Node, sprat.aio.Node])
def test_an_attribute_that_a_node_does_not_have_is_an_error(cls):
    with contextlib.closing(cls(**FINE)) as node:
        with pytest.raises(AttributeError, match="'tag'"):
            node.tag = {"a": "b"}
        node.tags = {"a": "b"}


def test_a_block_around_a_closed_node_is_refused(node):
    node.close()
    with pytest.raises(sprat.ClosedError), node:
        pytest.fail("the block was entered")


def test_a_key_is_never_part_of_a_message():
    for settings in ({"keys": ["hunter2!"]}, {"keys": [b"hunter2!"]}, {"encrypt": "hunter2!"}):
        with pytest.raises(sprat.ConfigError) as caught:
            sprat.Node(**FINE, **settings)
        assert "hunter" not in str(caught.value)


def test_the_error_for_an_address_in_use_names_the_address(node):
    with pytest.raises(sprat.AddressError) as caught:
        sprat.Node(bind=node.address)
    assert f"cannot bind TCP {node.address}: Address already in use" in str(caught.value)


def test_settings_take_the_types_of_the_standard_library(addresses, tmp_path):
    ring = tmp_path / "ring.json"
    ring.write_text(f'["{sprat.generate_key()}"]')
    sprat.Node(
        bind=ipaddress.ip_address(addresses.ip()),
        cidrs_allowed=(ipaddress.ip_network(it) for it in ("127.0.0.0/8", "::1/128")),
        probe_interval_ms=timedelta(seconds=2),
        keyring_file=ring,
        compression=False,
        seeds=(it for it in [addresses.address()]),
        advertise=None,
        log_level=25,
        event_queue=16,
    ).close()
    sprat.Node(
        bind=addresses.address(), cidrs_allowed=ipaddress.ip_network("127.0.0.0/8"), seeds=[]
    ).close()


def test_addresses_to_join_may_be_objects_of_ipaddress(node, addresses):
    with contextlib.closing(sprat.Node(name="seed", bind=f"{addresses.ip()}:7946")) as seed:
        address = ipaddress.ip_address(seed.self_member.host)
        assert node.join(address) == 1
        arguments = {"bind": addresses.address(), "profile": "local"}
        with contextlib.closing(sprat.Node(name="late", seeds={address}, **arguments)) as late:
            eventually("the seed was joined", lambda: "seed" in late.members())
        with contextlib.closing(sprat.aio.Node(name="last", **arguments)) as last:
            assert asyncio.run(last.join(address)) == 1
    with pytest.raises(sprat.JoinError) as caught:
        node.join(ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1"))
    assert caught.value.errors.keys() == {"127.0.0.1:7946", "[::1]:7946"}


# A file


def test_arguments_override_the_settings_of_a_file(tmp_path, addresses):
    file = tmp_path / "node.conf"
    file.write_text(
        f"# ours\nname = from-file\nbind = {addresses.address()}\ntag.role = db\nevent_queue = 16\n"
    )
    for path in (file, str(file), bytes(file)):
        with contextlib.closing(sprat.Node.from_file(path, tags={"zone": "b"})) as node:
            assert node.name == "from-file"
            assert node.tags == {"role": "db", "zone": "b"}
            assert isinstance(node.next_event(60), sprat.MemberJoined)
            reader = node.events()
            for number in range(40):
                node.tags["n"] = str(number)
            seen = [reader.next(0) for _ in range(20)]
            assert sprat.Overflow in [type(it) for it in seen], "the file sets event_queue"
    with contextlib.closing(sprat.Node.from_file(file, name="ours")) as node:
        assert node.name == "ours"


def test_a_node_from_a_file_may_have_a_callback(tmp_path):
    path = tmp_path / "sprat.conf"
    path.write_text("name = ours\nbind = 127.0.0.1:0\n")
    seen = threading.Event()
    with contextlib.closing(sprat.Node.from_file(path, on_event=lambda event: seen.set())):
        assert seen.wait(60)
    with pytest.raises(TypeError, match=r"sprat\.aio\.Node takes no on_event"):
        sprat.aio.Node.from_file(path, on_event=print)


def test_a_file_that_is_not_utf_8_is_a_config_error(tmp_path):
    path = tmp_path / "sprat.conf"
    path.write_bytes(b"name = \xff\n")
    with pytest.raises(sprat.ConfigError) as caught:
        sprat.Node.from_file(path)
    assert str(caught.value) == f"{path} is not UTF-8 text"


def test_the_last_line_of_a_setting_counts(tmp_path):
    path = tmp_path / "sprat.conf"
    path.write_text("name = first\nbind = 127.0.0.1:0\nname = last\ntag.a = 1\ntag.b = 2\n")
    with contextlib.closing(sprat.Node.from_file(path, tags={"a": "9"})) as node:
        assert node.name == "last"
        assert node.tags == {"a": "9", "b": "2"}


def test_quotes_and_comments_in_a_file_are_not_part_of_a_value(tmp_path):
    path = tmp_path / "sprat.conf"
    path.write_text(
        """
        # a comment
        name = "web-1"             # the name of this host
        bind = '127.0.0.1:0'
        profile = local            # a comment
        tag.color = "#fff"
        tag.hash = a#b
        tag.note = "say \\"hi\\", it's \\\\ here"
        tag.rule = '\\d+ "x"'
        tag.spaces = " a "
        seeds = "127.0.0.1:1, 127.0.0.1:2"
        """
    )
    with contextlib.closing(sprat.Node.from_file(path)) as node:
        assert node.name == "web-1"
        assert node.tags == {
            "color": "#fff",
            "hash": "a#b",
            "note": """say "hi", it's \\ here""",
            "rule": r'\d+ "x"',
            "spaces": " a ",
        }


def test_keys_of_an_argument_replace_the_key_of_a_file(tmp_path, addresses):
    file = tmp_path / "node.conf"
    file.write_text(f"encrypt = {sprat.generate_key()}\nprofile = local\n")
    keys = [sprat.generate_key(), b"x" * 16]
    with (
        sprat.Node.from_file(file, name="a", bind=addresses.address(), keys=keys) as ours,
        sprat.Node(**{**FINE, "bind": addresses.address()}, keys=keys[:1]) as other,
    ):
        assert other.join(ours.address) == 1
        with sprat.Node.from_file(file, bind=addresses.address()) as stranger:
            with pytest.raises(sprat.JoinError) as caught:
                stranger.join(ours.address)
            assert caught.value.code == "SPRAT_ERR_CRYPTO"


def test_an_error_names_the_line_of_a_file_that_is_wrong(tmp_path):
    file = tmp_path / "node.conf"
    for line, says in (
        ("nam = x", 'there is no setting "nam"; the nearest is "name"'),
        ("event_queue = 1", 'event_queue is "1", allowed: 16 to 1048576'),
        ("name", 'expected "key = value"'),
        ('name = "web-1', "the quote at the beginning of the value is not closed"),
        ('seeds = "a", "b"', "only a comment may follow the closing quote; a list is quoted as a"),
        (
            "tag.color = #fff",
            "there is no value before the comment: put a value that begins with #",
        ),
    ):
        file.write_text(f"\n{line}\n")
        with pytest.raises(sprat.ConfigError) as caught:
            sprat.Node.from_file(file)
        assert str(caught.value).startswith(f"{file}:2: {says}")
    for path, cls in ((5, TypeError), (None, TypeError), (tmp_path, sprat.NetworkError)):
        with pytest.raises(cls):
            sprat.Node.from_file(path)
    with pytest.raises(sprat.InvalidError, match="path must be text that UTF-8 can encode, got"):
        sprat.Node.from_file("\ud800")
    file.write_text("")
    with pytest.raises(TypeError, match='no setting "nam"; the nearest is "name"'):
        sprat.Node.from_file(file, nam="x")
