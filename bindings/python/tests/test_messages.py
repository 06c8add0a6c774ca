"""User events and queries: values, errors, answers, and asyncio."""

import asyncio
import contextlib
import pickle
import threading

import pytest

import sprat
import sprat.aio


@pytest.fixture
def answering(addresses):
    """Start a node whose callback answers queries: `answering(name, answer)`."""
    with contextlib.ExitStack() as stack:

        def start(name, answer):
            def handle(event):
                if isinstance(event, sprat.Query):
                    event.respond(answer(event))

            bind = addresses.address()
            node = sprat.Node(name=name, bind=bind, profile="local", on_event=handle)
            return stack.enter_context(contextlib.closing(node))

        yield start


# Values


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        (sprat.UserEvent("deploy", b"v2", 7, True, 3, 1.5), "UserEvent('deploy', b'v2')"),
        (sprat.Query("uptime", b"?", 7, "web-1", 9.5, 3, 1.5), "Query('uptime', b'?')"),
        (sprat.Response("web-1", b"12d", 3, 1.5), "Response('web-1', b'12d')"),
    ],
)
def test_a_message_is_a_value(event, shown):
    copy = pickle.loads(pickle.dumps(event))
    assert repr(event) == shown
    assert copy == event
    assert hash(copy) == hash(event)
    assert copy.to_dict() == event.to_dict() == dict(event)
    assert copy != type(event)("other", b"v2")


def test_patterns_take_the_name_and_the_payload():
    match sprat.UserEvent("deploy", b"v2"):
        case sprat.UserEvent("deploy", payload):
            assert payload == b"v2"
    match sprat.Query("uptime"):
        case sprat.Query(name, b""):
            assert name == "uptime"


def test_a_query_without_a_node_cannot_be_answered(node):
    reader = node.events(sprat.Query)
    result = node.query("uptime", timeout=60)
    delivered = reader.next(60)
    for query in (sprat.Query("uptime"), pickle.loads(pickle.dumps(delivered))):
        with pytest.raises(sprat.StateError, match="copy that belongs to no node"):
            query.respond(b"12d")
    assert query == delivered
    result.close()


# User events


def test_every_reader_gets_a_user_event_once(node):
    readers = [node.events(sprat.UserEvent), node.events(sprat.UserEvent)]
    node.send_event("deploy", bytearray(b"v2"), coalesce=True)
    node.send_event("done")
    for reader in readers:
        first, second = reader.next(60), reader.next(60)
        assert (first.name, first.payload, first.coalesce) == ("deploy", b"v2", True)
        assert (second.name, second.payload, second.coalesce) == ("done", b"", False)
        assert first.ltime < second.ltime
        assert first.kind == "user"


@pytest.mark.parametrize("payload", ["text", 5, None, [1, 2]])
def test_a_payload_that_is_not_bytes_is_a_type_error(node, payload):
    kind = type(payload).__name__
    for send in (node.send_event, node.query, sprat.UserEvent, sprat.Response):
        if payload is None and isinstance(send, type):
            continue
        with pytest.raises(TypeError, match=f"payload must be bytes, not {kind}"):
            send("deploy", payload)


def test_a_message_that_is_too_large_or_comes_after_the_close_is_an_error(node):
    with pytest.raises(sprat.TooLargeError, match="512"):
        node.send_event("deploy", bytes(600))
    with pytest.raises(sprat.TooLargeError, match="1024"):
        node.query("deploy", bytes(2000))
    node.close()
    with pytest.raises(sprat.ClosedError):
        node.send_event("deploy")
    with pytest.raises(sprat.ClosedError):
        node.query("uptime")


# Queries


def test_a_query_returns_the_answers_of_all_members(answering):
    first = answering("first", lambda query: query.payload + b" first")
    second = answering("second", lambda query: query.asker.encode())
    second.join(first.address)
    with first.query("who", memoryview(b"it is"), ack=True, timeout=60) as result:
        answers = {it.member: it.payload for it in result}
    assert answers == {"first": b"it is first", "second": b"first"}
    assert sorted(result.acks) == ["first", "second"]
    assert result.complete
    assert (result.missing, result.problem) == ((), "")


def test_nodes_and_tags_select_who_answers(answering):
    first = answering("first", lambda _: b"1")
    second = answering("second", lambda _: b"2")
    second.join(first.address)
    answers = first.query("who", nodes=["second"], timeout=60)
    assert [(it.member, it.payload) for it in answers] == [("second", b"2")]
    assert list(first.query("who", tags={"role": "^db$"}, timeout=60)) == []


def test_a_query_to_a_name_that_no_member_has_is_not_complete(node):
    result = node.query("uptime", nodes=["nobody"])
    assert list(result) == []
    assert not result.complete
    assert result.missing == ("nobody",)
    assert result.problem == (
        "the query lacks an ack or answer from: nobody"
        " (each has failed, has not replied in time, or is not a member)"
    )


def test_a_query_that_no_one_answers_names_all_missing_members(node):
    names = [f"no{i}" for i in range(9)]
    result = node.query("uptime", timeout=0.05, nodes=["ours", *names])
    assert (result.complete, result.missing, result.problem) == (False, (), "")
    assert list(result) == []
    assert (result.complete, result.missing) == (False, (*names, "ours"))
    assert "from: no0, no1, no2, no3, no4, 5 more (each has failed" in result.problem


def test_a_cancelled_query_ends(node):
    result = node.query("uptime", timeout=600)
    assert result.next(0) is None
    result.cancel()
    assert list(result) == []
    assert not result.complete


def test_a_query_is_answered_once_and_in_time_from_any_thread(node):
    reader = node.events(sprat.Query)
    result = node.query("uptime", timeout=600)
    query = reader.next(60)
    assert 0 < query.time_left <= 600
    assert query.asker == "ours"
    with pytest.raises(sprat.TooLargeError):
        query.respond(bytes(2000))
    with pytest.raises(TypeError, match="payload must be bytes, not str: encode"):
        query.respond("12d")
    thread = threading.Thread(target=query.respond, args=[b"12d"])
    thread.start()
    thread.join()
    assert [it.payload for it in result] == [b"12d"]
    with pytest.raises(sprat.StateError):
        query.respond(b"again")
    list(node.query("late", timeout=0.01))
    with pytest.raises(sprat.TimeoutError):
        reader.next(60).respond(b"12d")
    node.close()
    with pytest.raises(sprat.ClosedError):
        query.respond(b"12d")


def test_a_closed_node_ends_the_wait_for_an_answer_with_an_error(node):
    result = node.query("uptime", timeout=600)
    threading.Timer(0.05, node.close).start()
    with pytest.raises(sprat.ClosedError):
        next(result)


def test_wrong_options_are_errors(node):
    with pytest.raises(sprat.InvalidError, match="relay_factor must be 0 to 255, got 256"):
        node.query("uptime", relay_factor=256)
    with pytest.raises(TypeError, match="nodes must be a list, not str"):
        node.query("uptime", nodes="web-1")
    with pytest.raises(sprat.InvalidError):
        node.query("uptime", tags={"role": "("})
    with pytest.raises(sprat.InvalidError, match="_serf_"):
        node.query("_serf_other")


def test_asyncio_sends_events_and_reads_answers(addresses):
    async def main():
        node = sprat.aio.Node(name="ours", bind=addresses.address(), profile="local")
        with contextlib.closing(node):
            events = node.events(sprat.UserEvent, sprat.Query)
            node.send_event("deploy", b"v2")
            assert (await events.next(60)).payload == b"v2"
            result = node.query("uptime", ack=True, timeout=600)
            (await events.next(60)).respond(b"12d")
            assert [it.payload async for it in result] == [b"12d"]
            assert result.acks == ("ours",)
            assert result.complete
            left = node.query("uptime", timeout=600)
            left.close()
            assert [it async for it in left] == []

    asyncio.run(main())
