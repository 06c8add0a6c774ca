"""Members, events, states and tags behave like values of Python's own types."""

import base64
import collections.abc
import copy
import enum
import itertools
import json
import multiprocessing
import pickle
import sys
import threading
from unittest import mock

import pytest

import sprat


def member(name, **more):
    return sprat.Member(name, "10.0.0.1:7946", **more)


A, B, C, D = (member(name) for name in "abcd")
FOUR = sprat.Members([C, A, D, B])

MEMBER_EVENTS = [
    (sprat.MemberJoined, "member-join"),
    (sprat.MemberUpdated, "member-update"),
    (sprat.MemberLeft, "member-leave"),
    (sprat.MemberFailed, "member-failed"),
    (sprat.MemberReaped, "member-reap"),
    (sprat.MemberSuspected, "member-suspect"),
    (sprat.MemberAlive, "member-alive"),
]
EVENTS = [cls(A, 3, 1.5) for cls, _ in MEMBER_EVENTS]
EVENTS += [sprat.Overflow(7, 3, 1.5), sprat.NodeFailed("another has its name", -12, 3, 1.5)]
EVENTS += [sprat.NameRegained(3, 1.5)]
EVENTS += [sprat.MemberConflict("a", "10.0.0.1:1", "10.0.0.2:1", 3, 1.5)]
PAYLOAD = "ü\0".encode() + b"\xff"
MESSAGES = [
    sprat.UserEvent("deploy", PAYLOAD, 5, True, 3, 1.5),
    sprat.Query("deploy", PAYLOAD, 5, "a", 2.5, 3, 1.5),
    sprat.Response("a", PAYLOAD, 3, 1.5),
    sprat.Message("a", PAYLOAD, "10.0.0.1:1", 3, 1.5),
    sprat.RemoteState("a", PAYLOAD, True, "10.0.0.1:1", 3, 1.5),
    sprat.PingAck("a", PAYLOAD, 0.5, 3, 1.5),
]
EVENTS += MESSAGES


# A member


def test_a_member_has_its_fields():
    it = sprat.Member("web-1", "[::1]:7946", "failed", {"role": "web"}, incarnation=4)
    assert (it.name, it.host, it.port, it.address) == ("web-1", "::1", 7946, "[::1]:7946")
    assert it.state is sprat.MemberState.FAILED
    assert it.tags == {"role": "web"}
    assert it.incarnation == 4
    assert it.protocol == (1, 5, 2)
    assert it.serf_protocol == (2, 5, 5)
    assert it.meta == b"\xff\x81\xa4role\xa3web"


def test_the_repr_of_a_member_is_valid_python():
    it = member("it's", tags={"role": "web"})
    assert repr(it) == """Member("it's", '10.0.0.1:7946', 'alive', tags={'role': 'web'})"""
    assert eval(repr(it), {"Member": sprat.Member}) == it


def test_members_with_equal_fields_are_equal_and_have_the_same_hash():
    assert member("a", tags={"x": "1"}) == member("a", tags={"x": "1"})
    assert len({member("a"), member("a"), member("b")}) == 2
    for other in (
        member("b"),
        member("a", state="suspect"),
        member("a", tags={"x": "1"}),
        member("a", incarnation=2),
        member("a", meta=b"raw"),
        member("a", protocol=(1, 5, 3)),
        sprat.Member("a", "10.0.0.1:7947"),
        "a",
        None,
    ):
        assert other != A, other
    assert A == mock.ANY
    assert mock.ANY == A


@pytest.mark.parametrize("name", ["name", "address", "tags", "state", "meta", "anything"])
def test_a_member_is_immutable(name):
    with pytest.raises(AttributeError):
        setattr(A, name, "x")
    with pytest.raises(TypeError):
        member("a", tags={"x": "1"}).tags["x"] = "2"


def test_to_dict_returns_a_new_dict_of_plain_values():
    fields = member("a", tags={"role": "web"}).to_dict()
    assert fields == {
        "name": "a",
        "address": "10.0.0.1:7946",
        "host": "10.0.0.1",
        "port": 7946,
        "state": "alive",
        "tags": {"role": "web"},
        "incarnation": 1,
        "protocol": (1, 5, 2),
        "serf_protocol": (2, 5, 5),
    }
    assert type(fields["state"]) is str
    assert type(fields["tags"]) is dict


def test_a_member_matches_by_position_and_by_name():
    match member("a", tags={"role": "web"}):
        case sprat.Member("a", address, state=sprat.MemberState.ALIVE, tags={"role": role}):
            assert (address, role) == ("10.0.0.1:7946", "web")
        case other:
            pytest.fail(f"{other} does not match")


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_members_and_events_survive_pickling_and_copying(protocol):
    whole = member("ü", state="left", tags={"k": "v"}, incarnation=2**32 - 1)
    bare = member("b", meta=b"\0\xff", serf_protocol=(0, 0, 0))
    for it in (whole, bare, FOUR, FOUR[::-1], FOUR[:0], *EVENTS):
        again = pickle.loads(pickle.dumps(it, protocol))
        assert again == it
        assert type(again) is type(it)
        assert repr(again) == repr(it)
        assert copy.copy(it) == it
        assert copy.deepcopy(it) == it


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (("a", "host:1"), ValueError, 'address must be IPv4:PORT or [IPv6]:PORT, got "host:1"'),
        (("a", "10.0.0.1"), ValueError, ', got "10.0.0.1"'),
        (
            ("a", "10.0.0.1:1", "well"),
            ValueError,
            'state must be one of alive, suspect, failed, leaving, left, got "well"',
        ),
        (("a", "10.0.0.1:1", "alive", {"k": "v"}, b"x"), ValueError, "give only one of them"),
        (("a", "10.0.0.1:1", "alive", {"k": "\0"}), ValueError, 'NUL character, got "\\0"'),
        (("a", "10.0.0.1:1", 5), TypeError, "while processing 'state'"),
        ((5, "10.0.0.1:1"), TypeError, "while processing 'name'"),
        (("a", "10.0.0.1:1", "alive", {"a": 1}), TypeError, "while processing 'tags'"),
        (("a", "10.0.0.1:1", "alive", {}, b"", -1), OverflowError, "processing 'incarnation'"),
        (("a", "10.0.0.1:1", "alive", {}, b"", 2**32), OverflowError, "'incarnation'"),
        (("a",), TypeError, "address"),
    ],
)
def test_the_error_for_a_wrong_member_names_the_argument(arguments, error, says):
    with pytest.raises(error) as caught:
        sprat.Member(*arguments)
    assert says in "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])


# Members


def test_members_are_a_sequence_sorted_by_name():
    assert isinstance(FOUR, collections.abc.Sequence)
    assert len(FOUR) == 4
    assert list(FOUR) == [A, B, C, D]
    assert list(reversed(FOUR)) == [D, C, B, A]
    assert (FOUR[0], FOUR[-1], FOUR[True]) == (A, D, B)
    assert FOUR
    assert not sprat.Members()


def test_slices_of_members_are_like_those_of_a_list():
    numbers = (None, 0, 1, 3, 4, 9, -1, -2, -9)
    for start in numbers:
        for stop in numbers:
            for step in (None, 1, 2, 9, -1, -2, -9):
                picked = FOUR[start:stop:step]
                assert isinstance(picked, sprat.Members)
                assert list(picked) == [A, B, C, D][start:stop:step], (start, stop, step)
                assert all(it.name in picked and picked[it.name] == it for it in picked)
    assert FOUR[::-1][::-1] == FOUR
    with pytest.raises(ValueError, match="slice step cannot be zero"):
        FOUR[::0]


@pytest.mark.parametrize(
    ("members", "says"),
    [
        (3, "members must be a list, not int"),
        ([A, 3], "members[1] must be Member, not int"),
        ("ab", "members[0] must be Member, not str"),
    ],
)
def test_a_list_of_other_objects_is_refused(members, says):
    with pytest.raises(TypeError) as caught:
        sprat.Members(members)
    assert str(caught.value) == says


def test_members_are_found_by_name():
    assert FOUR["b"] == B
    assert FOUR[::-1]["b"] == B
    assert FOUR.get("b") == B
    assert FOUR.get("x") is None
    assert FOUR.get("x", 5) == 5
    assert FOUR.get("\ud800", 5) == 5
    assert FOUR.names() == ["a", "b", "c", "d"]
    assert "b" in FOUR
    assert B in FOUR
    for other in ("x", "\ud800", member("b", state="left"), None, 0):
        assert other not in FOUR, other


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (4, IndexError),
        (-5, IndexError),
        (2**70, IndexError),
        (-(2**70), IndexError),
        ("x", KeyError),
        ("\ud800", KeyError),
        (1.0, TypeError),
        (None, TypeError),
        (A, TypeError),
    ],
)
def test_a_missing_member_raises_what_a_list_or_dict_raises(key, error):
    with pytest.raises(error) as caught:
        FOUR[key]
    if error is KeyError:
        assert caught.value.args == (key,)


def test_members_have_index_and_count():
    assert FOUR.index(C) == 2
    assert FOUR.index(C, 1, 3) == 2
    assert FOUR.index(C, -2) == 2
    assert FOUR.count(C) == 1
    assert FOUR.count("c") == 0
    assert sprat.Members([A, A]).count(A) == 2
    assert sprat.Members([A, A]).index(A, 1) == 1
    for arguments in ((member("x"),), (C, 3), (C, 0, 2), ("c",)):
        with pytest.raises(ValueError, match="the member is not in this list"):
            FOUR.index(*arguments)


def test_members_match_as_a_sequence_compare_and_hash_by_value():
    match FOUR:
        case [first, *rest]:
            assert (first, rest) == (A, [B, C, D])
        case _:
            pytest.fail("Members do not match as a sequence")
    assert sprat.Members([A, B]) == sprat.Members([B, A])
    assert hash(sprat.Members([A, B])) == hash(sprat.Members([B, A]))
    assert sprat.Members([A]) != sprat.Members([B])
    assert sprat.Members([A]) != sprat.Members([A, A])
    assert FOUR != [A, B, C, D]
    assert FOUR == mock.ANY


def test_the_repr_of_members_shows_the_first_ten():
    assert repr(FOUR[:1]) == "Members([Member('a', '10.0.0.1:7946', 'alive')])"
    many = sprat.Members([member(f"m{i:02}") for i in range(12)])
    assert repr(many).count("Member(") == 10
    assert repr(many).endswith("'alive'), ... 2 more])")


def test_an_iterator_over_members_has_a_length_hint():
    walk = iter(FOUR)
    assert walk.__length_hint__() == 4
    next(walk)
    assert walk.__length_hint__() == 3
    assert [it.name for it in walk] == ["b", "c", "d"]
    assert walk.__length_hint__() == 0
    assert list(walk) == []


def test_members_are_immutable():
    with pytest.raises(TypeError):
        FOUR[0] = A
    with pytest.raises(TypeError):
        del FOUR[0]
    with pytest.raises(TypeError):
        sprat.Members(["a"])


# Events


@pytest.mark.parametrize(("cls", "kind"), MEMBER_EVENTS)
def test_a_member_event_matches_and_has_its_fields(cls, kind):
    match cls(A, seq=3, time=1.5):
        case sprat.MemberEvent(member=sprat.Member(name="a")) as event:
            assert isinstance(event, cls)
        case _:
            pytest.fail("the event does not match")
    match event:
        case cls(it):
            assert it == A
    assert (event.seq, event.time, event.kind) == (3, 1.5, kind)
    assert repr(event) == f"{cls.__name__}(Member('a', '10.0.0.1:7946', 'alive'))"
    assert event.to_dict() == {"event": kind, "seq": 3, "time": 1.5, "member": A.to_dict()}


def test_other_events_match_and_have_their_fields():
    match sprat.Overflow(7):
        case sprat.Overflow(lost):
            assert lost == 7
    match sprat.NodeFailed("reason"):
        case sprat.NodeFailed(reason):
            assert reason == "reason"
    assert repr(sprat.Overflow(7)) == "Overflow(7)"
    assert sprat.Overflow(7).to_dict() == {"event": "overflow", "seq": 0, "time": 0.0, "lost": 7}
    failed = sprat.NodeFailed("it's", -12)
    assert repr(failed) == 'NodeFailed("it\'s")'
    assert failed.to_dict() == {"event": "fatal", "seq": 0, "time": 0.0, "reason": "it's"}
    assert type(failed.error) is sprat.NameConflictError
    assert str(failed.error) == "it's"
    assert type(sprat.NodeFailed("x").error) is sprat.InternalError


def test_events_are_equal_by_kind_number_time_and_content():
    for event in EVENTS:
        again = pickle.loads(pickle.dumps(event))
        assert event == again
        assert hash(event) == hash(again)
        assert [other for other in EVENTS if other == event] == [event]
        assert event == mock.ANY
        assert event != "x"
    assert sprat.MemberJoined(A) != sprat.MemberJoined(A, seq=1)
    assert sprat.MemberJoined(A) != sprat.MemberJoined(A, time=1)
    assert sprat.MemberJoined(A) != sprat.MemberJoined(B)
    assert sprat.Overflow(1) != sprat.Overflow(2)
    assert sprat.NodeFailed("x", -12) != sprat.NodeFailed("x", -99)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_an_event_is_immutable(event):
    for name in ("seq", "time", "kind", *type(event).__match_args__, "anything"):
        with pytest.raises(AttributeError):
            setattr(event, name, 1)


def test_events_refuse_wrong_arguments():
    for cls, _ in MEMBER_EVENTS:
        for arguments in ((), ("a",), (A, "x"), (A, -1)):
            with pytest.raises((TypeError, OverflowError)):
                cls(*arguments)
    for base in (sprat.Event, sprat.MemberEvent):
        with pytest.raises(TypeError):
            base(A)


def test_events_go_through_a_queue_to_another_process_and_back():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(copy.copy, EVENTS) == EVENTS
        assert pool.map(repr, EVENTS) == [repr(it) for it in EVENTS]
        pool.close()
        pool.join()


# States, tags, keys


def test_states_are_text_and_enumerations():
    assert [str(it) for it in sprat.MemberState] == [
        "alive",
        "suspect",
        "failed",
        "leaving",
        "left",
    ]
    assert [it.value for it in sprat.NodeState] == [
        "running",
        "leaving",
        "left",
        "shutdown",
        "broken",
    ]
    assert sprat.MemberState.ALIVE == "alive"
    assert f"{sprat.MemberState.ALIVE}" == "alive"
    assert {"alive", "suspect"} == sprat.ALIVE_OR_SUSPECT
    assert pickle.loads(pickle.dumps(A.state)) is sprat.MemberState.ALIVE


def test_tags_are_a_live_mapping(node):
    tags = node.tags
    assert isinstance(tags, collections.abc.MutableMapping)
    assert tags == {}
    assert not tags
    tags["role"] = "db"
    tags.update({"zone": "b"}, rack="7")
    assert tags == {"role": "db", "zone": "b", "rack": "7"} == node.self_member.tags
    assert repr(tags) == "{'rack': '7', 'role': 'db', 'zone': 'b'}"
    assert (len(tags), sorted(tags), "role" in tags, "x" in tags) == (
        3,
        ["rack", "role", "zone"],
        True,
        False,
    )
    assert sorted(tags.items()) == [("rack", "7"), ("role", "db"), ("zone", "b")]
    assert sorted(tags.values()) == ["7", "b", "db"]
    assert dict(tags) == tags
    assert tags | {"x": "y"} == {"role": "db", "zone": "b", "rack": "7", "x": "y"}
    assert tags.pop("rack") == "7"
    assert tags.pop("rack", None) is None
    assert tags.setdefault("role", "other") == "db"
    del tags["zone"]
    node.tags |= {"a": "b"}
    assert node.tags == {"role": "db", "a": "b"}
    node.tags.update([("c", "d")])
    node.tags = {"only": "this"}
    assert tags == {"only": "this"}
    tags.clear()
    assert tags == {}
    for missing in (lambda: tags["x"], lambda: tags.pop("x"), lambda: tags.__delitem__("x")):
        with pytest.raises(KeyError):
            missing()
    assert tags.get("x") is None


def test_an_update_in_place_keeps_the_tags_that_another_thread_sets(node):
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    done = threading.Event()

    def update():
        for number in itertools.count():
            node.tags |= {"a": str(number)}
            if done.is_set():
                return

    thread = threading.Thread(target=update)
    thread.start()
    try:
        for number in range(2000):
            node.tags["b"] = str(number)
            assert node.tags["b"] == str(number)
    finally:
        done.set()
        thread.join()
        sys.setswitchinterval(interval)


def test_each_statement_that_changes_tags_is_one_update(node):
    reader = node.events(sprat.MemberUpdated)
    node.tags.update(a="1", b="2", c="3")
    node.tags = {"d": "4"}
    node.tags.update()
    del node.tags["d"]
    updates = [reader.next(60).member.tags for _ in range(3)]
    assert updates == [{"a": "1", "b": "2", "c": "3"}, {"d": "4"}, {}]
    assert reader.next(0) is None


def test_the_tags_of_a_member_are_a_dict_that_cannot_be_changed():
    tags = member("a", tags={"role": "web"}).tags
    assert isinstance(tags, dict)
    assert json.dumps(tags) == '{"role": "web"}'
    assert repr(tags) == "{'role': 'web'}"
    assert hash(tags) == hash(member("b", tags={"role": "web"}).tags)
    assert type(tags | {"a": "b"}) is type(tags.copy()) is dict
    for again in (pickle.loads(pickle.dumps(tags)), copy.copy(tags), copy.deepcopy(tags)):
        assert again == tags == {"role": "web"}
        assert type(again) is type(tags)
    for change in (
        lambda: tags.__setitem__("a", "b"),
        lambda: tags.__delitem__("role"),
        lambda: tags.__ior__({"a": "b"}),
        lambda: tags.update(a="b"),
        lambda: tags.setdefault("a", "b"),
        lambda: tags.pop("role"),
        tags.popitem,
        tags.clear,
    ):
        with pytest.raises(TypeError, match="the tags of a member are read-only"):
            change()
    assert tags == {"role": "web"}


def test_copies_of_the_tags_of_a_node_are_plain_dicts(node):
    node.tags["role"] = "web"
    tags = node.tags
    for again in (pickle.loads(pickle.dumps(tags)), copy.copy(tags), copy.deepcopy(tags)):
        assert again == {"role": "web"}
        assert type(again) is dict


# Every value as plain data


def plain(value):
    """Return whether a value consists of types that every encoder knows."""
    if type(value) is dict:
        return all(type(key) is str and plain(it) for key, it in value.items())
    if type(value) is tuple:
        return all(map(plain, value))
    return value is None or type(value) in (str, int, float, bool)


def values(node):
    node.tags["role"] = "web"
    silent = sprat.ProbeAnswer.SILENT
    probe = sprat.Probe(0.5, silent, silent, {"c": sprat.ProbeAnswer.NACK}, None)
    explained = sprat.Explanation(
        "b", "10.0.0.1:1", sprat.MemberState.SUSPECT, 1, 0.5, "a", ("c", "d"), 2, 1.0, probe, "text"
    )
    return [
        *EVENTS,
        FOUR,
        member("a", tags={"role": "web"}),
        explained,
        probe,
        node.explain("ours"),
        node.health(),
        node.members(),
        node.self_member,
        node.events().next(60),
        *node.stats(help=True).values(),
        *sprat.settings(),
        sprat.Coordinate((0.0,) * 8, 1.5, 0.0, 0.001),
        sprat.KeyReport(2, ("a",), ("b",), {"a": "no"}, {}, {"key": 2}, {"key": 1}),
    ]


def test_the_values_below_are_of_every_class_that_has_plain_data(node):
    public = {it for it in vars(sprat).values() if isinstance(it, type) and hasattr(it, "to_dict")}
    leaves = {it for it in public if not public.intersection(it.__subclasses__())}
    assert leaves == {type(it) for it in values(node)}


def test_every_value_has_plain_data_for_json(node):
    for value in values(node):
        data = value.to_dict()
        assert plain(data), data
        assert json.loads(json.dumps(value, default=dict)) == json.loads(json.dumps(data)), value
        if not isinstance(value, sprat.Members):
            assert dict(value) == data
    assert dict(FOUR) == {"a": A, "b": B, "c": C, "d": D}
    assert FOUR.to_dict() == {it.name: it.to_dict() for it in FOUR}
    assert list(FOUR[::-1].to_dict()) == FOUR[::-1].keys() == ["d", "c", "b", "a"]
    assert node.health().to_dict()["live"] == 1


@pytest.mark.parametrize("event", MESSAGES, ids=lambda it: it.kind)
def test_a_payload_is_shown_as_text_and_all_of_its_bytes_come_back_from_json(event):
    data = json.loads(json.dumps(event.to_dict()))
    assert data["payload"] == "ü\0\\xff"
    assert base64.b64decode(data["payload_base64"]) == event.payload == PAYLOAD


def test_every_value_survives_pickling_and_copying(node):
    for value in values(node):
        for again in (pickle.loads(pickle.dumps(value)), copy.copy(value), copy.deepcopy(value)):
            assert again == value
            assert type(again) is type(value)
            assert hash(again) == hash(value)
            assert repr(again) == repr(value)


def test_no_value_is_a_tuple_whose_names_json_would_drop():
    public = [it for it in vars(sprat).values() if isinstance(it, type)]
    assert [it for it in public if issubclass(it, tuple)] == []
    for cls in public:
        is_value = "__match_args__" in dir(cls) and not issubclass(cls, enum.Enum)
        assert is_value == hasattr(cls, "to_dict") or cls in (sprat.Event, sprat.Members), cls


def test_a_record_is_read_only_and_compares_by_value():
    stat = sprat.Stat(1, help="Probes.")
    assert stat == sprat.Stat(value=1, help="Probes.") == mock.ANY
    assert stat != sprat.Stat(2, "Probes.")
    assert stat != {"value": 1, "help": "Probes."}
    assert repr(stat) == "Stat(value=1, help='Probes.')"
    assert len({stat, sprat.Stat(1, "Probes."), sprat.Stat(1, "")}) == 2
    with pytest.raises(AttributeError, match="a Stat is read-only: value cannot be set"):
        stat.value = 2
    with pytest.raises(AttributeError, match="a Stat is read-only: x cannot be set"):
        stat.x = 2
    with pytest.raises(AttributeError, match="a Stat is read-only: help cannot be deleted"):
        del stat.help
    match stat:
        case sprat.Stat(value, text):
            assert (value, text) == (1, "Probes.")
    for wrong in (
        lambda: sprat.Stat(1),
        lambda: sprat.Stat(1, "a", "b"),
        lambda: sprat.Stat(1, value=1),
        lambda: sprat.Stat(1, text="a"),
    ):
        with pytest.raises(TypeError, match="Stat takes the arguments value, help"):
            wrong()


def test_a_generated_key_has_the_given_size(addresses):
    for size, length in ((16, 24), (24, 32), (32, 44)):
        key = sprat.generate_key(size)
        assert len(key) == length
        sprat.Node(bind=addresses.address(), keys=[key]).close()
    assert sprat.generate_key() != sprat.generate_key()
    assert len(sprat.generate_key()) == 44


@pytest.mark.parametrize("size", [0, 8, 33, -16, True, "32", 32.0, None])
def test_a_key_of_another_size_is_refused(size):
    wrong = type(size) is not int
    with pytest.raises(TypeError if wrong else sprat.InvalidError) as caught:
        sprat.generate_key(size)
    kind = type(size).__name__
    allowed = f"size must be 16, 24 or 32, got {size}"
    assert str(caught.value) == (f"size must be int, not {kind}" if wrong else allowed)


def test_a_node_has_name_address_state_health_and_counters(node):
    assert node.name == "ours"
    assert node.state is sprat.NodeState.RUNNING
    assert node.is_open
    assert node.self_member.name == "ours"
    assert node.address == node.self_member.address
    assert repr(node) == f"<sprat.Node 'ours' {node.address} running>"
    assert node.health().live == 1
    assert node.explain("ours").state is sprat.MemberState.ALIVE
    assert "ours" in str(node.explain("ours"))
    stats = node.stats()
    assert stats["members"] == 1
    helped = node.stats(help=True)
    assert helped["members"].value == 1
    assert all(it.help for it in helped.values())
    node.close()
    assert node.state is sprat.NodeState.SHUTDOWN
    assert not node.is_open
