"""mDNS, in a network of its own: the package has it, and it is a guest like the rest of a node."""

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
    print(first.stats()["mdns_joins"] + second.stats()["mdns_joins"] > 0)
"""

A_GUEST = """
import os
import pathlib
import threading
import time

import sprat

SETTINGS = {"bind": "127.0.0.1:0", "profile": "local", "discover": "prod"}
CLOSED_ON_EXEC = 0o2000000


def sockets():
    found = set()
    for fd in pathlib.Path("/proc/self/fd").iterdir():
        try:
            if os.readlink(fd).startswith("socket:"):
                found.add(int(fd.name))
        except FileNotFoundError:  # the descriptor that lists the folder
            pass
    return found


def bound():
    return len(pathlib.Path("/proc/net/udp").read_text().splitlines()) - 1


before = sockets()
node = sprat.Node(name="a", **SETTINGS)
until = time.monotonic() + 60
while bound() < 3:  # the socket of the node and the two of mDNS
    assert time.monotonic() < until
    time.sleep(0.01)
own = sockets() - before
for fd in own:
    lines = pathlib.Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines()
    flags = next(line.split()[1] for line in lines if line.startswith("flags:"))
    assert int(flags, 8) & CLOSED_ON_EXEC, fd
child = os.fork()
if child == 0:
    os._exit(len(sockets() & own))
assert os.waitpid(child, 0)[1] == 0, "the child has sockets of the node"
node.close()
assert sockets() == before and bound() == 0

closed = threading.Event()


def close(event):
    ready.wait()
    second.close()
    closed.set()


ready = threading.Event()
second = sprat.Node(name="b", on_event=close, **SETTINGS)
ready.set()
assert closed.wait(60)
until = time.monotonic() + 60
while bound():
    assert time.monotonic() < until
    time.sleep(0.01)
print(True)
"""


def run_apart(program: str) -> None:
    """Run a program, which ends by printing True, in a network with only a loopback address."""
    script = 'ip link set lo up && exec "$0" -c "$1"'
    namespace = ["unshare", "--user", "--map-root-user", "--net"]
    command = [*namespace, "sh", "-c", script, sys.executable, program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


def test_two_nodes_on_one_host_find_each_other():
    run_apart(TWO_NODES)


def test_the_sockets_are_closed_on_exec_in_a_child_and_with_the_node_even_in_a_callback():
    run_apart(A_GUEST)
