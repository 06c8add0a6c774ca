"""The first steps: join a Serf cluster, see its members, and leave."""

from conftest import sees_left

import sprat


def test_a_node_joins_a_serf_cluster_and_both_see_each_other(agent, addresses):
    stock = agent("stock", "-tag", "role=web")
    with sprat.Node(name="ours", bind=addresses.address(), tags={"role": "worker"}) as node:
        assert node.join(stock.address) == 1
        assert node.members(role="web").names() == ["stock"]
        assert stock.sees("ours", "alive")["tags"] == {"role": "worker"}
    sees_left(stock, "ours")
