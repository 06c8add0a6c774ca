"""mDNS, in a network of its own: the package has it, and nodes find each other without addresses."""

from __future__ import annotations

import subprocess
import sys

TWO_NODES = """
import sprat

SETTINGS = {"bind": "127.0.0.1:0", "profile": "local", "discover": "prod"}
with sprat.Node(name="a", **SETTINGS) as first, sprat.Node(name="b", **SETTINGS) as second:
    for node, other in (first, "b"), (second, "a"):
        with node.events(sprat.MemberJoined) as arrivals:
            while other not in node.members(state="alive"):
                assert arrivals.next(60), f"{node.name} has not found {other}"
    print(first.stats()["mdns_joins"] + second.stats()["mdns_joins"])
"""


def test_two_nodes_on_one_host_find_each_other():
    script = "ip link set lo up && exec \"$0\" -c \"$1\""
    namespace = ["unshare", "--user", "--map-root-user", "--net"]
    command = [*namespace, "sh", "-c", script, sys.executable, TWO_NODES]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 1
