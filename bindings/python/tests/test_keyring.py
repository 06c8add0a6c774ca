"""The keys of a cluster: changed, listed and stored; reports and errors."""

import asyncio
import contextlib
import copy
import json
import pickle
import stat

import pytest
from conftest import eventually

import sprat
import sprat.aio

OLD, NEW = b"o" * 16, b"n" * 32
OLD_TEXT, NEW_TEXT = "b29vb29vb29vb29vb29vbw==", "bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm4="
REPORT = sprat.KeyReport(2, ("a",), ("b",), {}, {"a": "cut"}, {OLD_TEXT: 1}, {OLD_TEXT: 1})


@pytest.fixture
def start(addresses):
    """Start a node of a cluster with the old key: `start(name)`."""
    with contextlib.ExitStack() as stack:

        def start(name, **settings):
            settings = {"keys": [OLD], **settings} if "keyring_file" not in settings else settings
            node = sprat.Node(name=name, bind=addresses.address(), profile="local", **settings)
            return stack.enter_context(contextlib.closing(node))

        yield start


def until_done(change, *key):
    """Repeat a step until all members have done it: messages of a busy machine may be lost."""
    for _ in range(20):
        with contextlib.suppress(sprat.KeyringError):
            return change(*key, timeout=10)
    return change(*key, timeout=10)


def test_all_members_change_their_keys_step_by_step(start):
    node, other = start("node"), start("other")
    other.join(node.address)
    report = until_done(node.keyring.install, NEW)
    assert (report.asked, report.answered, report.missing) == (2, ("node", "other"), ())
    assert report.errors == report.remarks == report.held_keys == {}
    report = until_done(other.keyring.list)
    assert report.held_keys == {OLD_TEXT: 2, NEW_TEXT: 2}
    assert report.primary_keys == {OLD_TEXT: 2}
    until_done(other.keyring.use, NEW_TEXT)
    until_done(node.keyring.remove, OLD_TEXT + "\n")
    report = until_done(node.keyring.list)
    assert report.held_keys == report.primary_keys == {NEW_TEXT: 2}
    late = start("late", keys=[NEW])
    assert late.join(node.address) == 1


def test_a_node_does_not_cut_itself_off(start):
    node = start("node")
    with pytest.raises(sprat.StateError, match="does not hold the key; install it first"):
        node.keyring.use(NEW)
    with pytest.raises(sprat.StateError, match="primary key of this node"):
        node.keyring.remove(OLD)
    node.leave()
    with pytest.raises(sprat.StateError, match="left"):
        node.keyring.list()
    node.close()
    with pytest.raises(sprat.ClosedError):
        node.keyring.list()


def test_a_node_without_keys_manages_none(node):
    with pytest.raises(sprat.StateError, match="does not encrypt"):
        node.keyring.install(NEW)


def test_members_that_do_not_answer_are_named(start):
    node, other = start("node"), start("other")
    other.join(node.address)
    with pytest.raises(sprat.KeyringError, match="no answer from 1 of 2 members: other ") as caught:
        node.keyring.install(NEW, timeout=1e-6)
    assert caught.value.code == "SPRAT_ERR_TIMEOUT"
    assert caught.value.report.answered == ("node",)
    assert caught.value.report.missing == ("other",)


@pytest.mark.parametrize("mode", ["serf", "memberlist"])
def test_keys_are_stored_and_a_failure_is_reported(start, tmp_path, mode):
    folder = tmp_path / "keys"
    folder.mkdir()
    path = folder / "ring.json"
    path.write_text(json.dumps([OLD_TEXT]))
    node = start("node", keyring_file=path, mode=mode)
    node.keyring.install(NEW)
    assert path.read_text() == f'[\n  "{OLD_TEXT}",\n  "{NEW_TEXT}"\n]'
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [it.name for it in folder.iterdir()] == ["ring.json"]
    node.keyring.use(NEW)
    assert json.loads(path.read_text()) == [NEW_TEXT, OLD_TEXT]
    node.close()
    node = start("again", keyring_file=path, mode=mode)
    path.unlink()
    folder.rmdir()
    with pytest.raises(sprat.KeyringError, match="1 of 1 members report a failure") as caught:
        node.keyring.remove(OLD)
    assert caught.value.code == "SPRAT_ERR_STATE"
    assert caught.value.report.errors["again"].startswith("cannot write keyring_file")
    assert node.keyring.list().held_keys == {NEW_TEXT: 1}
    folder.mkdir()
    node.keyring.remove(OLD)
    assert json.loads(path.read_text()) == [NEW_TEXT]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[]", "the array holds no key"),
        ("{", "line 1, column 0 is not part of a JSON array of strings"),
        (f'["{OLD_TEXT}", "secret"]', "key 2 of 2 is not a key in base64"),
    ],
)
def test_a_wrong_keyring_file_is_explained(start, tmp_path, text, what):
    path = tmp_path / "ring.json"
    path.write_text(text)
    with pytest.raises(sprat.ConfigError) as caught:
        start("node", keyring_file=path)
    assert str(caught.value).startswith(f"keyring_file {path}: {what}; allowed is a JSON array")
    assert "secret" not in str(caught.value)


def test_wrong_arguments_are_errors(start):
    keyring = start("node").keyring
    for change in (keyring.install, keyring.use, keyring.remove):
        with pytest.raises(sprat.ConfigError, match="key must have 16, 24 or 32 bytes, got 3"):
            change(b"abc")
        with pytest.raises(sprat.ConfigError, match="key is not base64"):
            change("!")
        with pytest.raises(TypeError, match="key must be bytes, or str in base64, not int"):
            change(5)
        with pytest.raises(sprat.InvalidError, match="timeout must be 0 or more, got -1"):
            change(NEW, timeout=-1)


def test_a_report_is_a_value_that_hides_its_keys():
    assert copy.copy(REPORT) == pickle.loads(pickle.dumps(REPORT)) == REPORT
    assert hash(pickle.loads(pickle.dumps(REPORT))) == hash(REPORT)
    assert REPORT.to_dict()["held_keys"] == {OLD_TEXT: 1}
    assert OLD_TEXT not in repr(REPORT)
    assert "missing=('b',)" in repr(REPORT)
    with pytest.raises(AttributeError, match="read-only"):
        REPORT.asked = 5
    error = pickle.loads(pickle.dumps(sprat.KeyringError("text", report=REPORT)))
    assert (str(error), error.code, error.report) == ("text", "SPRAT_ERR_STATE", REPORT)


def test_an_agent_and_a_node_change_each_others_keys(agent, start):
    stock = agent("stock", f"-encrypt={OLD_TEXT}")
    node = start("node")
    stock.join(node.address)
    eventually("the node lists the agent", lambda: node.member("stock"))
    assert until_done(node.keyring.install, NEW).answered == ("node", "stock")
    with pytest.raises(sprat.StateError):
        node.keyring.remove(OLD)
    until_done(node.keyring.use, NEW)
    until_done(node.keyring.remove, OLD)
    assert until_done(node.keyring.list).primary_keys == {NEW_TEXT: 2}


def test_asyncio_changes_keys(addresses):
    async def main():
        bind = addresses.address()
        node = sprat.aio.Node(name="ours", bind=bind, profile="local", keys=[OLD])
        with contextlib.closing(node):
            assert (await node.keyring.install(NEW)).answered == ("ours",)
            await node.keyring.use(NEW_TEXT)
            await node.keyring.remove(OLD)
            assert (await node.keyring.list()).held_keys == {NEW_TEXT: 1}
            with pytest.raises(sprat.StateError):
                await node.keyring.use(OLD)
            with pytest.raises(sprat.ConfigError):
                await node.keyring.install(b"")

    asyncio.run(main())
