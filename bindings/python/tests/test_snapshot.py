"""The snapshot: a node finds its members again after a restart."""

import contextlib

import pytest
from conftest import eventually

import sprat


@pytest.fixture
def start(addresses):
    """Start a node: `start(name, **settings)`."""
    with contextlib.ExitStack() as stack:

        def run(name, **settings):
            settings = {"bind": addresses.address(), "profile": "local", **settings}
            return stack.enter_context(contextlib.closing(sprat.Node(name=name, **settings)))

        yield run


def test_a_node_that_ended_without_a_leave_finds_its_members_again(start, tmp_path):
    path = tmp_path / "members"
    a, b = start("a"), start("b", snapshot=path)
    b.join(a.address)
    address = b.address
    b.close()
    assert f"alive: a {a.address}\n" in path.read_text()
    b = start("b", bind=address, snapshot=path)
    eventually("b lists a", lambda: "a" in b.members(state="alive"))
    eventually("a lists b", lambda: "b" in a.members(state="alive"))


def test_a_node_that_left_rejoins_only_if_it_is_told_to(start, tmp_path):
    path = tmp_path / "members"
    a, b = start("a"), start("b", snapshot=path)
    b.join(a.address)
    address = b.address
    b.leave()
    b.close()
    assert path.read_text().endswith("leave\n")
    start("b", bind=address, snapshot=path).close()
    b = start("b", bind=address, snapshot=str(path), rejoin_after_leave=True)
    eventually("b lists a", lambda: "a" in b.members(state="alive"))


def test_a_file_that_cannot_be_used_is_an_error_of_the_settings(start, tmp_path):
    path = tmp_path / "members"
    path.write_text("[section]\n")
    path.chmod(0o600)
    with pytest.raises(sprat.ConfigError, match="something other than a snapshot"):
        start("b", snapshot=path)
