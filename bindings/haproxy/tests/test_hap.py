"""`sprat-hap`: an HAProxy without the module, over its runtime API; agent checks."""

from __future__ import annotations

import socket
import time

from cluster import eventually
from conftest import NO_SERVER, PLAIN


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
