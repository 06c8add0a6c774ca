"""SPOE: the configuration of docs/haproxy/spoe.md with agents in C, in Python and `sprat-hap`."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster import PATIENCE, eventually
from conftest import HAP, NO_SERVER, ROOT, WITHOUT_MODULE, HAProxy

GUIDE = (ROOT / "docs" / "haproxy" / "spoe.md").read_text()
MORE = """spoe-message size
spoe-message leader
spoe-message tag
    args name=str(web-1) key=str(zone)
"""
TELL = """    http-request return status 200 hdr x-name %[var(txn.sprat.name)] \
hdr x-ip %[var(txn.sprat.ip)] hdr x-port %[var(txn.sprat.port)] \
hdr x-member %[var(txn.sprat.member)] hdr x-size %[var(txn.sprat.size)] \
hdr x-leader %[var(txn.sprat.leader)] hdr x-tag %[var(txn.sprat.tag)] \
hdr x-error %[var(txn.sprat.error)] if { path /tell }
"""


def snippet(kind: str) -> str:
    found = re.search(rf"```{kind}\n(.*?)```", GUIDE, re.DOTALL)
    assert found
    return found.group(1)


class Program:
    """A running SPOE agent."""

    def __init__(self, line: list[str], address: str, log: Path) -> None:
        self.address = address
        with log.open("wb") as out:
            self.process = subprocess.Popen(line, stdout=out, stderr=out)
        eventually("the agent listens", lambda: self._listens(log))

    def _listens(self, log: Path) -> bool:
        assert self.process.poll() is None, log.read_text()
        with contextlib.suppress(OSError), self.connect():
            return True
        return False

    def connect(self) -> socket.socket:
        ip, _, port = self.address.partition(":")
        return socket.create_connection((ip, int(port)), PATIENCE)


@pytest.fixture
def program(tmp_path: Path, addresses) -> Iterator[Callable[[str, str], Program]]:
    """Start an SPOE agent: `program("python", seed)`."""
    running: list[Program] = []

    def start(kind: str, seed: str) -> Program:
        ip = addresses.ip()
        listen = f"{ip}:29000"
        target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
        own = ["--name", "agent", "--bind", f"{ip}:7946", "--profile", "local"]
        line = {
            "c": [str(target / "test-haproxy" / "spoe_agent"), "--listen", listen, *own, seed],
            "python": [
                *(sys.executable, "-W", "error", str(ROOT / "examples/python/spoe_agent.py")),
                *("--listen", listen, *own, seed),
            ],
            "sprat-hap": [
                *(HAP, "--loopback", "--spoe", listen, *own, "--join", seed),
            ],
        }[kind]
        running.append(Program(line, listen, tmp_path / f"{kind}.log"))
        return running[-1]

    yield start
    for it in running:
        it.process.kill()
        it.process.wait(PATIENCE)


class Asking:
    """An HAProxy that asks an SPOE agent, with the configuration of the guide.

    The timeouts are longer, because on a busy machine an answer may take more than 50 ms. This
    HAProxy also sends further messages, shows the answers at `/tell`, and checks the agent more
    often.
    """

    def __init__(self, haproxy: Callable[..., HAProxy], folder: Path, agent: str) -> None:
        folder.mkdir(exist_ok=True)
        conf = snippet("haproxy-spoe") + MORE
        conf = conf.replace("messages pick member", "messages pick member size leader tag")
        for timeout in ("hello 500ms", "processing 50ms"):
            assert timeout in conf
            conf = conf.replace(timeout, timeout.split()[0] + " 10s")
        (folder / "spoe.conf").write_text(conf)
        text = snippet("haproxy-snippet")
        front, backends = text.split("\n\n", 1)
        lines = [line + "\n" for line in front.splitlines()[2:]]
        routes = "".join(line for line in lines if "default_backend" not in line)
        before, ask, after = routes.partition("    use_backend")
        front = before + TELL + ask + after
        self.proxy = haproxy(
            template=WITHOUT_MODULE,
            server=NO_SERVER,
            frontend=front.replace("/etc/haproxy/spoe.conf", str(folder / "spoe.conf")),
            backends=backends.replace("127.0.0.1:29000", agent).replace("inter 1s", "inter 300ms"),
        )

    def get(self, path: str) -> tuple[int, dict[str, str], str]:
        connection = http.client.HTTPConnection(*self.proxy.address, timeout=PATIENCE)
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, dict(answer.headers.items()), body

    def answers(self, user: str = "x") -> dict[str, str]:
        """The variables that the agent has set, as headers."""
        headers = self.get(f"/tell?user={user}")[1]
        return {name: value for name, value in headers.items() if name.startswith("x-")}


def frame(kind: int, payload: bytes, flags: int = 1) -> bytes:
    body = bytes([kind]) + struct.pack(">I", flags) + b"\0\0" + payload
    return struct.pack(">I", len(body)) + body


HELLO = frame(
    1,
    b"\x12supported-versions\x08\x032.0"
    b"\x0emax-frame-size\x03\xfc\xf0\x06"
    b"\x0ccapabilities\x08\x0apipelining",
)
MALFORMED = [
    b"GET / HTTP/1.1\r\n\r\n",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    frame(1, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
    frame(3, b"\x04pick\x01"),
    HELLO + HELLO,
    HELLO + frame(3, b"\x04pick\x01\x03key\x0f"),
    HELLO + frame(3, b"\x04pick\xff"),
    HELLO + frame(3, b"\x04pi", flags=0),
    HELLO + b"\0\xff\xff\xff",
]


@pytest.mark.parametrize("kind", ["c", "python", "sprat-hap"])
def test_haproxy_asks_by_spoe_and_goes_on_without_an_answer(
    kind, haproxy, program, web, tmp_path
) -> None:
    first, second = web("web-1", "zone=b"), web("web-2")
    second.agent.join(first.agent.address)
    agent = program(kind, first.agent.address)
    asking = Asking(haproxy, tmp_path / "haproxy", agent.address)

    def complete() -> dict[str, str]:
        answers = asking.answers()
        return answers if answers.get("x-size") == "3" else {}

    answers = eventually("the agent knows all members", complete)
    assert (answers["x-leader"], answers["x-tag"], answers["x-member"]) == ("web-1", "b", "0")
    assert answers["x-port"] == "3000"
    assert not answers.get("x-error")
    users = [f"user-{n}" for n in range(30)]
    names = {user: asking.answers(user)["x-name"] for user in users}
    assert set(names.values()) == {"web-1", "web-2"}
    for user in users[:5]:
        status, _, body = asking.get(f"/?user={user}")
        assert (status, names[user] in body) == (200, True), body
    worker = asking.proxy.worker()
    for bytes_ in MALFORMED:
        with agent.connect() as stream, contextlib.suppress(OSError):
            stream.sendall(bytes_)
            while stream.recv(1000):
                pass
    assert asking.answers()["x-size"] == "3"
    second.set_tags("role=backend", "port=3000", "state=drain")
    eventually(
        "all keys go to the other server",
        lambda: {asking.answers(it)["x-name"] for it in users} == {"web-1"},
    )
    agent.process.kill()
    agent.process.wait(PATIENCE)
    eventually("HAProxy finds the agent down", lambda: not asking.answers().get("x-size"))
    began = time.monotonic()
    assert asking.get("/?user=x")[0] == 503  # the default backend of this test has no server
    print(f"without an agent a request takes {time.monotonic() - began:.3f} s")
    assert asking.proxy.worker() == worker


def test_many_silent_connections_do_not_keep_haproxy_out(haproxy, program, web, tmp_path) -> None:
    first = web("web-1")
    agent = program("c", first.agent.address)
    silent = [agent.connect() for _ in range(600)]
    asking = Asking(haproxy, tmp_path / "haproxy", agent.address)
    eventually("HAProxy gets answers", lambda: asking.answers().get("x-size") == "2")
    for it in silent:
        it.close()


def test_an_agent_program_leaves_the_cluster_on_sigterm(program, web) -> None:
    first = web("web-1")
    for kind in ("c", "python"):
        agent = program(kind, first.agent.address)
        first.agent.sees("agent", "alive")
        agent.process.send_signal(signal.SIGTERM)
        assert agent.process.wait(PATIENCE) == 0
        first.agent.sees("agent", "left")
