"""Clusters for tests, and their fixture for pytest."""

import asyncio
import subprocess
import sys

import pytest
from cluster import PATIENCE

import sprat
import sprat.aio
import sprat.testing

CALM = {"profile": "local", "leave_propagate_ms": 0}
"""Settings for tests in which no member may count as failed, even for a moment."""

CONFTEST = 'pytest_plugins = ["sprat.pytest_plugin"]\n'

TESTS = """
import pytest
import sprat

made = []

@pytest.mark.parametrize("size", [1, 3])
def test_a_cluster_is_complete(sprat_cluster, size):
    nodes = sprat_cluster(size, profile="local", leave_propagate_ms=0, tags={"role": "web"})
    other = sprat_cluster(profile="local", leave_propagate_ms=0)
    assert [len(it.members(role="web")) for it in nodes] == [size] * size
    assert [len(it.members()) for it in other] == [3, 3, 3]
    made.extend([*nodes, *other])

def test_the_clusters_of_other_tests_have_ended():
    assert len(made) == 10
    assert {it.state for it in made} == {"shutdown"}
"""


def test_a_cluster_is_complete_at_the_beginning_and_every_node_leaves_at_the_end(addresses):
    with sprat.Node(name="guest", bind=addresses.address(), **CALM) as guest:
        with sprat.testing.cluster(4, timeout=PATIENCE, **CALM) as nodes:
            names = ["node-1", "node-2", "node-3", "node-4"]
            assert [it.members().names() for it in nodes] == [names] * 4
            hosts = {it.address.partition(":")[0] for it in nodes}
            assert len(hosts) == 4
            assert all(it.startswith("127.") for it in hosts)
            assert repr(nodes) == "<Cluster of 4 nodes, 4 running>"
            departures = guest.events(sprat.MemberLeft, sprat.MemberFailed)
            guest.join(nodes[0].address)
            nodes.wait_for_state("guest", "alive")
            nodes.wait_for(lambda: guest.members().names() == ["guest", *names])
        assert [it.state for it in nodes] == ["shutdown"] * 4
        seen = [departures.next(PATIENCE) for _ in names]
        assert all(isinstance(it, sprat.MemberLeft) for it in seen), seen
        assert sorted(it.member.name for it in seen) == names


def test_a_killed_node_fails_and_another_one_joins():
    with sprat.testing.cluster(5, timeout=PATIENCE) as nodes:
        killed = nodes[2]
        nodes.kill(killed)
        assert killed.state == "shutdown"
        assert len(nodes.running) == 4
        nodes.wait_for_state(killed, "failed")
        nodes.wait_for_agreement()
        late = nodes.start(tags={"role": "late"})
        assert (late.name, nodes[-1], len(nodes)) == ("node-6", late, 6)
        nodes.wait_for_state("node-6", sprat.MemberState.ALIVE)
        nodes.wait_for(lambda: nodes[0].members(role="late").names() == ["node-6"])
        assert [it.name for it in nodes[:2]] == ["node-1", "node-2"]


def test_a_node_that_left_is_listed_as_left():
    with sprat.testing.cluster(3, timeout=PATIENCE, **CALM) as nodes:
        nodes[1].leave()
        nodes.wait_for_state(nodes[1], "left")
        nodes.wait_for_agreement()
        assert nodes.running == (nodes[0], nodes[2])


def test_a_condition_that_is_not_met_says_what_each_node_lists():
    def never():
        return False

    with sprat.testing.cluster(1, timeout=0.1) as nodes:
        with pytest.raises(sprat.TimeoutError) as caught:
            nodes.wait_for(never)
        first, second = str(caught.value).splitlines()
        assert first.startswith("the condition was not met within 0.1 s: ")
        assert first.endswith("never")
        assert second == "  node-1 (running) lists: node-1 alive"
        nodes._timeout = PATIENCE
        nodes.start()
        nodes.wait_for_agreement()
        nodes._timeout = 0.1
        with pytest.raises(sprat.TimeoutError, match="every node lists node-2 as left"):
            nodes.wait_for_state(nodes[1], "left")


def test_the_nodes_are_closed_if_the_cluster_cannot_start():
    class Broken(sprat.testing.Cluster):
        def _make(self, settings):
            if len(self) == 2:
                raise OSError("on purpose")
            return super()._make(settings)

    nodes = Broken(3, PATIENCE, {})
    with pytest.raises(OSError, match="on purpose"), nodes:
        pass
    assert [it.state for it in nodes] == ["shutdown", "shutdown"]


def test_settings_override_the_fast_ones_and_a_profile_replaces_them():
    def made(**settings):
        return sprat.testing.cluster(1, **settings)._settings

    fast = sprat.testing.FAST
    assert made() == fast
    assert made(probe_interval_ms=50) == {**fast, "probe_interval_ms": 50}
    assert made(profile="lan") == {"profile": "lan"}
    known = {it.name for it in sprat.settings()}
    assert fast.keys() <= known


def test_the_other_mode_and_keys_work_as_well():
    with sprat.testing.cluster(2, timeout=PATIENCE, mode="memberlist", meta=b"x") as nodes:
        assert nodes[0].member("node-2").meta == b"x"
    with sprat.testing.cluster(2, timeout=PATIENCE, keys=[b"k" * 16]) as nodes:
        with pytest.raises(sprat.JoinError):
            nodes.start(keys=[b"n" * 16])
        nodes.wait_for_state("node-2", "alive")


def test_wrong_arguments_are_errors():
    with pytest.raises(TypeError, match="size must be int, not str"):
        sprat.testing.cluster("3")
    with pytest.raises(sprat.InvalidError, match="size must be 1 or more, got 0"):
        sprat.testing.cluster(0)
    with pytest.raises(sprat.InvalidError, match="timeout must be 0 or more, got -1"):
        sprat.testing.aio_cluster(2, timeout=-1)
    for name in ("name", "bind", "advertise", "seeds"):
        with pytest.raises(TypeError, match=f"a cluster chooses {name} for each node"):
            sprat.testing.cluster(2, **{name: "x"})
    with (
        sprat.testing.cluster(1) as nodes,
        pytest.raises(sprat.InvalidError, match="state must be one of"),
    ):
        nodes.wait_for_state("node-1", "gone")


def test_a_cluster_for_asyncio_starts_waits_and_leaves():
    async def main():
        async with sprat.testing.aio_cluster(3, timeout=PATIENCE) as nodes:
            assert all(isinstance(it, sprat.aio.Node) for it in nodes)
            nodes.kill(nodes[0])
            await nodes.wait_for_state("node-1", "failed")
            await nodes.start(name="db", tags={"role": "db"})
            await nodes.wait_for_agreement()

            async def lists_db():
                await asyncio.sleep(0)
                return nodes[1].members(role="db").names() == ["db"]

            await nodes.wait_for(lists_db)
            await nodes.wait_for(lambda: nodes[2].members(role="db").names() == ["db"])
            nodes._timeout = 0.1
            with pytest.raises(sprat.TimeoutError, match="every node lists db as left"):
                await nodes.wait_for_state("db", "left")
            nodes._timeout = PATIENCE
        return nodes

    assert [it.state for it in asyncio.run(main())] == ["shutdown"] * 4


def test_the_fixture_makes_clusters_that_end_with_their_test(tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_program.py").write_text(TESTS)
    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "-p", "no:xdist", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_only_the_plugin_imports_pytest():
    code = "import sys, sprat.testing; assert 'pytest' not in sys.modules"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=90)


def test_a_cluster_is_entered_once_and_starts_nodes_only_then():
    nodes = sprat.testing.cluster(1)
    with pytest.raises(RuntimeError, match="`with` block"):
        nodes.start()
    with nodes:
        with pytest.raises(RuntimeError, match="already"), nodes:
            pass
        assert len(nodes) == 1
    with pytest.raises(RuntimeError, match="`with` block"):
        nodes.start()


def test_arguments_that_would_make_a_test_pass_or_hang_are_refused():
    with pytest.raises(TypeError, match="timeout"):
        sprat.testing.cluster(1, timeout=None)

    async def never():
        return False

    with sprat.testing.cluster(1, **CALM) as nodes, sprat.testing.cluster(1, **CALM) as others:
        with pytest.raises(TypeError, match="ordinary function"):
            nodes.wait_for(never)
        with pytest.raises(sprat.InvalidError, match="not a node of this cluster"):
            nodes.kill(others[0])
        nodes.start(name="node-3")
        assert [nodes.start().name, nodes.start().name] == ["node-2", "node-4"]


def test_no_state_is_met_if_no_other_node_could_list_the_member():
    with (
        sprat.testing.cluster(1, timeout=0.1, **CALM) as nodes,
        pytest.raises(sprat.TimeoutError, match="node-1 as alive"),
    ):
        nodes.wait_for_state("node-1", "alive")
