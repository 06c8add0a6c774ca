"""The first thing that anybody does."""

import sprat


def test_a_node_joins_a_serf_cluster_and_both_see_each_other(agent, addresses):
    stock = agent("stock", "-tag", "role=web")
    with sprat.Node(name="ours", bind=addresses.address(), tags={"role": "worker"}) as node:
        assert node.join(stock.address) == 1
        assert node.members(role="web").names() == ["stock"]
        assert stock.sees("ours", "alive")["tags"] == {"role": "worker"}
    stock.sees("ours", "left")
