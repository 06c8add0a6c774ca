"""`sprat-hap`: an HAProxy without the module, over its runtime API; agent checks; SPOE."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster import Addresses, Agent, eventually
from conftest import ROOT, HAProxy

PLAIN = """
global
    nbthread 2
    stats socket {folder}/cli mode 666 level admin expose-fd listeners
defaults
    mode http
    timeout connect 500ms
    timeout client 50s
    timeout server 50s
frontend fe
    bind {ip}:8080
{frontend}    default_backend nodes
{backends}backend nodes
    balance roundrobin
{checks}
    {server}
"""
NO_SERVER = "# servers come from the cluster"


class Hap:
    """A running `sprat-hap`."""

    def __init__(self, folder: Path, ip: str, haproxys: list[HAProxy], *options: str) -> None:
        self.ip, self.address, self._log = ip, f"{ip}:7946", folder / f"hap-{ip}.log"
        target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
        line = [str(target / "release" / "sprat-hap"), "--backend", "nodes", "--loopback"]
        for it in haproxys:
            line += ["--haproxy", str(it.folder / "cli")]
        line += ["--name", "hap", "--bind", self.address, "--profile", "local", *options]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(line, stdout=log, stderr=log)
        eventually("it is a member", lambda: "is a member" in self.log(), 10)

    def log(self) -> str:
        assert self.process.poll() is None, self._log.read_text()
        return self._log.read_text()

    def join(self, agent: Agent) -> None:
        agent.join(self.address)


@pytest.fixture
def hap(tmp_path: Path, addresses: Addresses) -> Iterator[Callable[..., Hap]]:
    """Start it: `hap([haproxy], *options)`."""
    running: list[Hap] = []

    def start(haproxys: list[HAProxy], *options: str) -> Hap:
        running.append(Hap(tmp_path, addresses.ip(), haproxys, *options))
        return running[-1]

    yield start
    for it in running:
        it.process.kill()
        it.process.wait(10)


def test_servers_come_and_go_under_their_own_names_and_others_are_left_alone(
    haproxy, hap, web, load
) -> None:
    proxy = haproxy(template=PLAIN, server="server fixed 127.0.0.1:1 disabled")
    driver = hap([proxy], "--drain-ms", "500", "--set", "tombstone_timeout_ms=2000")
    webs = [web(f"web-{n}") for n in range(3)]
    for it in webs:
        driver.join(it.agent)
    proxy.serves(*webs)
    assert set(proxy.servers()) == {"fixed", "web-0", "web-1", "web-2"}
    requests = load(proxy, 150)
    webs[0].set_tags("role=backend", "port=3000", "state=drain", "weight=7")
    proxy.serves(*webs[1:])
    assert proxy.servers()["web-0"][0].startswith("DRAIN")
    assert proxy.cli("get weight nodes/web-0").startswith("7 ")
    webs[0].set_tags("role=backend", "port=3000", "state=ready")
    proxy.serves(*webs)
    webs[1].leave()
    proxy.serves(webs[0], webs[2])
    eventually("its server is deleted", lambda: "web-1" not in proxy.servers())
    webs[2].kill()
    proxy.serves(webs[0])
    requests.stop()
    assert requests.failures == []
    assert "fixed" in proxy.servers()


def test_a_haproxy_that_starts_again_gets_all_servers_again(haproxy, hap, web) -> None:
    proxy = haproxy("-W", template=PLAIN, server=NO_SERVER)
    driver = hap([proxy])
    webs = [web(f"web-{n}") for n in range(2)]
    for it in webs:
        driver.join(it.agent)
    proxy.serves(*webs)
    proxy.reload()
    proxy.serves(*webs)


def test_names_that_are_commands_never_reach_the_cli(haproxy, hap, web, agent) -> None:
    proxy = haproxy(template=PLAIN, server=NO_SERVER)
    driver = hap([proxy])
    fine = web("fine")
    driver.join(fine.agent)
    evil = agent("a;shutdown frontend fe;x", "-tag", "role=backend", "-tag", "port=3000")
    driver.join(evil)
    proxy.serves(fine)
    time.sleep(2)
    assert set(proxy.servers()) == {"fine"}
    assert "CLI" not in proxy.log().replace("CLI : ", "")


def test_it_leaves_on_sigterm_and_the_servers_stay(haproxy, hap, web) -> None:
    proxy = haproxy(template=PLAIN, server=NO_SERVER)
    driver = hap([proxy])
    first = web("web-1")
    driver.join(first.agent)
    proxy.serves(first)
    driver.process.terminate()
    assert driver.process.wait(10) == 0
    first.agent.sees("hap", "left", 10)
    proxy.serves(first)


def test_agent_checks_say_what_a_member_is(hap, web, addresses) -> None:
    checks = addresses.ip()
    driver = hap([], "--agent-check", f"{checks}:29100")
    first, second = web("web-1", "weight=40"), web("web-2")
    for it in (first, second):
        driver.join(it.agent)

    def ask(name: str) -> str:
        with socket.create_connection((checks, 29100), 5) as stream:
            stream.sendall(f"{name}\n".encode())
            return stream.makefile().read()

    eventually("it knows it", lambda: ask("web-1") == "up ready 40%\n", 10)
    second.set_tags("role=backend", "port=3000", "state=drain")
    eventually("it drains", lambda: ask("web-2") == "drain\n")
    second.set_tags("role=backend", "port=3000", "state=maint")
    eventually("it is stopped", lambda: ask("web-2").startswith("down #"))
    assert ask("nobody") == ""
    for _ in range(20):  # connections that say nothing are no trouble
        socket.create_connection((checks, 29100), 5).close()
    assert ask("web-1") == "up ready 40%\n"


SPOE = """
[sprat]
spoe-agent sprat-agent
    groups grp
    option var-prefix sprat
    option set-on-error error
    option continue-on-error
    option force-set-var
    timeout hello 500ms
    timeout idle 30s
    timeout processing 200ms
    use-backend spoe-sprat
spoe-message pick
    args key=url_param(k)
spoe-message member
    args ip=src
spoe-message size
spoe-message leader
spoe-message tag
    args name=str(web-1) key=str(zone)
spoe-group grp
    messages pick member size leader tag
"""
ASKS = """    filter spoe engine sprat config {folder}/spoe.conf
    http-request send-spoe-group sprat grp if {{ nbsrv(spoe-sprat) gt 0 }}
    http-request return status 200 hdr x-name %[var(txn.sprat.name)] hdr x-ip %[var(txn.sprat.ip)] \
hdr x-port %[var(txn.sprat.port)] hdr x-member %[var(txn.sprat.member)] \
hdr x-size %[var(txn.sprat.size)] hdr x-leader %[var(txn.sprat.leader)] \
hdr x-tag %[var(txn.sprat.tag)] hdr x-error %[var(txn.sprat.error)] if TRUE
"""


def test_haproxy_asks_by_spoe_and_goes_on_when_nobody_answers(
    haproxy, hap, web, addresses, tmp_path
) -> None:
    agent = f"{addresses.ip()}:29000"
    folder = tmp_path / "haproxy"
    folder.mkdir(exist_ok=True)
    (folder / "spoe.conf").write_text(SPOE)
    driver = hap([], "--spoe", agent)
    first, second = web("web-1", "zone=b"), web("web-2")
    for it in (first, second):
        driver.join(it.agent)
    proxy = haproxy(
        template=PLAIN,
        server=NO_SERVER,
        frontend=ASKS.format(folder=folder),
        backends="backend spoe-sprat\n    mode tcp\n    option spop-check\n"
        f"    server agent {agent} check inter 500ms\n",
    )

    def ask(key: str = "x") -> dict[str, str]:
        connection = http.client.HTTPConnection(*proxy.address, timeout=10)
        connection.request("GET", f"/?k={key}")
        headers = connection.getresponse().headers
        connection.close()
        return {name: value for name, value in headers.items() if name.startswith("x-")}

    told = eventually("it knows both", lambda: (it := ask()).get("x-size") == "3" and it, 20)
    assert (told["x-leader"], told["x-tag"], told["x-member"]) == ("web-1", "b", "0")
    assert told["x-port"] == "3000"
    assert not told.get("x-error")
    names = {ask(f"user-{n}")["x-name"] for n in range(30)}
    assert names == {"web-1", "web-2"}
    assert ask("same") == ask("same")
    before = proxy.worker()
    with contextlib.suppress(OSError):
        stream = socket.create_connection((agent.partition(":")[0], 29000), 5)
        stream.sendall(b"GET / HTTP/1.1\r\n\r\n")  # whatever comes
        stream.recv(100)
        stream.close()
    assert ask()["x-size"] == "3"
    driver.process.kill()
    eventually("HAProxy sees it down", lambda: not ask().get("x-size"), 20)
    began = time.monotonic()
    ask()
    print(f"without an agent a request takes {time.monotonic() - began:.3f} s")
    assert proxy.worker() == before
