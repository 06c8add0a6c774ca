"""The files for gunicorn that the guide shows, under a real gunicorn."""

import contextlib
import os
import re
import signal
import socket
import sys
from pathlib import Path

import pytest
from conftest import eventually

import sprat

PAGE = Path(__file__).parents[3] / "docs/python/processes.md"
WORKERS = 2
APPLICATION = """
import membership

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [" ".join(membership.node.members().names()).encode()]
"""


@pytest.fixture
def observer(addresses):
    with sprat.Node(name="observer", bind=addresses.address(), profile="local") as node:
        yield node


@pytest.fixture
def server(observer, addresses, program, tmp_path):
    """Start gunicorn with the files of the page, whose nodes join the observer."""
    for name in ("membership.py", "gunicorn.conf.py"):
        block = re.search(rf"```python\n(# {re.escape(name)}\n.*?)```", PAGE.read_text(), re.DOTALL)
        text = block[1].replace("10.0.0.5", observer.address)
        text = text.replace("0.0.0.0:{", f"{addresses.ip()}:{{")
        text = text.replace("seeds=SEEDS", "seeds=SEEDS, profile='local'")
        (tmp_path / name).write_text(text)
    (tmp_path / "application.py").write_text(APPLICATION)
    options = ["--chdir", str(tmp_path), "--config", str(tmp_path / "gunicorn.conf.py")]
    options += ["--bind", addresses.address(), "--workers", str(WORKERS), "--no-control-socket"]
    command = [str(Path(sys.executable).with_name("gunicorn")), *options, "application"]
    return program(command=command, deadline=120)


def states(observer):
    """Return the states of the workers by number."""
    workers = [it for it in observer.members(state=None) if it.name != "observer"]
    return {int(it.name.rpartition("-")[2]): str(it.state) for it in workers}


def becomes(observer, expected):
    eventually(f"the workers are {expected}", lambda: states(observer) == expected)


def children(server):
    pid = server.process.pid
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def listens(member):
    """Return whether a node listens at the address of a member."""
    with contextlib.suppress(ConnectionRefusedError):
        socket.create_connection((member.host, member.port), timeout=60).close()
        return True
    return False


def test_reloads_and_crashes_leave_no_names_behind(observer, server):
    becomes(observer, {0: "alive", 1: "alive"})
    server.send(signal.SIGHUP)
    becomes(observer, {0: "left", 1: "left", 2: "alive", 3: "alive"})
    server.send(signal.SIGHUP)
    becomes(observer, {0: "alive", 1: "alive", 2: "left", 3: "left"})
    server.send(signal.SIGHUP)
    becomes(observer, {0: "left", 1: "left", 2: "alive", 3: "alive"})

    killed = children(server)[0]
    os.kill(int(killed), signal.SIGKILL)
    eventually("the killed worker is gone", lambda: killed not in children(server))
    workers = [it for it in observer.members(state=None) if it.name[-2:] in ("-2", "-3")]
    eventually("all workers have a node", lambda: all(map(listens, workers)))
    becomes(observer, {0: "left", 1: "left", 2: "alive", 3: "alive"})
    # Both workers leave, because the successor of the killed worker has taken over its name.
    server.send(signal.SIGTERM)
    becomes(observer, dict.fromkeys(range(4), "left"))
    server.end()
