"""Members become servers: joining, leaving, failing, draining, weights, and refused members."""

from __future__ import annotations

import http.client
import re
import signal
import socket
import time
from pathlib import Path

from cluster import PATIENCE, eventually
from conftest import HERE, SERVER

README = (HERE.parent / "README.md").read_text()


def test_members_with_the_tag_get_requests_and_others_do_not(haproxy, web, agent, load) -> None:
    proxy = haproxy()
    first, second = web("web-1"), web("web-2")
    other = agent("other", "-tag", "role=db", "-tag", "port=3000")
    for it in (first, second):
        it.join(proxy)
    other.join(f"{proxy.ip}:7946")
    proxy.serves(first, second)
    requests = load(proxy)
    eventually("both get requests", lambda: len(requests.answers) >= 2)
    requests.stop()
    assert requests.answers.keys() == {"web-1", "web-2"}
    eventually("all are members", lambda: "members 4, healthy" in proxy.show())


def test_hosts_may_start_in_any_order(haproxy, web, addresses) -> None:
    first, second = web("web-1"), web("web-2")
    second.agent.join(first.agent.address)
    proxy = haproxy(SEEDS=first.agent.address)
    proxy.serves(first, second)
    assert first.agent.sees("lb", "alive")["tags"] == {"role": "balancer"}


def test_only_requests_in_a_killed_server_are_lost_while_hosts_come_and_go(
    haproxy, web, load
) -> None:
    proxy = haproxy(DRAIN_MS="1000")
    webs = [web(f"web-{n}").join(proxy) for n in range(3)]
    proxy.serves(*webs)
    new, kept = load(proxy, 150), load(proxy, 50, keep_alive=True)

    fourth = web("web-3").join(proxy)
    proxy.serves(*webs, fourth)
    webs[0].set_tags("role=backend", "port=3000", "state=drain")
    proxy.serves(*webs[1:], fourth)
    eventually("the member drains", lambda: "drain" in proxy.members()["web-0"])
    webs[0].set_tags("role=backend", "port=3000", "state=ready")
    proxy.serves(*webs, fourth)
    webs[1].leave()
    proxy.serves(webs[0], webs[2], fourth)
    eventually(
        "the server of the member that left is stopped", lambda: "maint" in proxy.members()["web-1"]
    )
    death = webs[2].kill()
    proxy.serves(webs[0], fourth)
    time.sleep(1)  # time in which requests could be lost

    for requests in (new, kept):
        requests.stop()
        assert requests.failures_without(death) == []


def test_a_suspect_that_haproxy_cannot_reach_either_is_drained_before_it_fails(
    haproxy, web
) -> None:
    # The suspicion lasts for half a minute: long enough for HAProxy's checks to fail.
    proxy = haproxy(SETTINGS="suspicion_mult=60 probe_interval_ms=500 probe_timeout_ms=200")
    first, second, third = (web(f"web-{n}").join(proxy) for n in range(3))
    proxy.serves(first, second, third)
    third.agent.process.send_signal(signal.SIGSTOP)
    third.process.kill()
    eventually("the suspect is drained", lambda: "drain" in proxy.members()["web-2"])
    assert "1 failed" not in proxy.show()
    third.agent.process.send_signal(signal.SIGCONT)
    eventually("the member is ready again", lambda: "ready" in proxy.members()["web-2"])


def test_weights_and_addresses_follow_the_tags(haproxy, web) -> None:
    proxy = haproxy()
    first, second = web("web-1", "weight=50").join(proxy), web("web-2").join(proxy)
    proxy.serves(first, second)
    assert "weight 50" in proxy.members()["web-1"]
    slot = proxy.show().split(" web-1 ")[0].split()[-1]
    answer = proxy.cli(f"get weight nodes/app{slot}")
    assert answer.startswith("50 "), answer
    first.set_tags("role=backend", "port=3000", "weight=9999")
    weight = lambda: proxy.cli(f"get weight nodes/app{slot}")  # noqa: E731
    eventually("the weight is clamped", lambda: weight().startswith("256 "))
    eventually(
        "the wrong weight is shown",
        lambda: '; its tag weight is "9999", allowed: 0' in proxy.show(),
    )
    first.set_tags("role=backend", f"ip={second.ip}", "port=3000")
    eventually("the address is refused", lambda: "another live member has the same" in proxy.show())
    proxy.serves(second)


def test_tags_and_names_that_haproxy_would_misread_never_reach_it(haproxy, web, agent) -> None:
    proxy = haproxy()
    fine = web("fine").join(proxy)
    proxy.serves(fine)
    wrong = {
        "high": ("port=70000",),
        "none": ("port=0",),
        "words": ("port=abc",),
        "mapped": ("port=+10",),
        "empty": ("port=3000", "ip="),
        "everywhere": ("port=3000", "ip=0.0.0.0"),
        "many": ("port=3000", "ip=224.0.0.1"),
        "host": ("port=3000", "ip=localhost"),
        "a;show version;x": ("port=3000",),
        "with space": ("port=3000",),
    }
    for name, tags in wrong.items():
        options = [word for tag in ("role=backend", *tags) for word in ("-tag", tag)]
        agent(name, *options).join(f"{proxy.ip}:7946")
    eventually("all are refused", lambda: proxy.show().count("has no slot") == len(wrong))
    assert 'its tag port is "70000", allowed: 1 to 65535' in proxy.show()
    for name in wrong:
        eventually(f"{name} is logged", lambda it=name: f'member "{it}" of backend' in proxy.log())
    proxy.serves(fine)
    assert [addr for _, addr in proxy.servers().values()] == [fine.served_at]


def test_a_member_without_a_slot_gets_one_when_another_is_forgotten(haproxy, web) -> None:
    proxy = haproxy(SETTINGS="tombstone_timeout_ms=1000", DRAIN_MS="100")
    webs = [web(f"web-{n}").join(proxy) for n in range(9)]
    eventually("one member has no slot", lambda: proxy.show().count("more members than slots") == 1)
    eventually("the others serve", lambda: len(proxy.up()) == 8)
    unplaced = proxy.show().split('- "')[1].split('"')[0]
    next(it for it in webs if it.name != unplaced).leave()
    eventually("the waiting member has a slot", lambda: f" {unplaced} " in proxy.show())


def test_a_slot_kept_for_a_return_is_given_to_a_member_that_needs_it(haproxy, web) -> None:
    proxy = haproxy(DRAIN_MS="100")
    webs = [web(f"web-{n}").join(proxy) for n in range(9)]
    eventually("one member has no slot", lambda: proxy.show().count("more members than slots") == 1)
    unplaced = proxy.show().split('- "')[1].split('"')[0]
    next(it for it in webs if it.name != unplaced).leave()
    eventually("the waiting member has a slot", lambda: f" {unplaced} " in proxy.show())
    eventually("all slots serve", lambda: len(proxy.up()) == 8)


def test_a_member_that_returns_gets_its_slot_again(haproxy, web) -> None:
    proxy = haproxy()
    first, second = web("web-1").join(proxy), web("web-2").join(proxy)
    proxy.serves(first, second)

    def slot() -> str:
        return next(n for n, it in proxy.servers().items() if it[1] == second.served_at)

    before = slot()
    second.kill()
    proxy.serves(first)
    second.start()
    second.join(proxy)
    proxy.serves(first, second)
    assert slot() == before


def test_a_key_keeps_its_server_while_others_come_and_go(haproxy, web) -> None:
    by_user = re.search(r"```haproxy-snippet\n(.*?)```", README, re.DOTALL).group(1)
    proxy = haproxy(
        SETTINGS="probe_interval_ms=5000 probe_timeout_ms=2000",  # a suspect would lose its keys
        frontend="    use_backend chosen if { url_param(k) -m found }\n"
        "    http-request return status 200 content-type text/plain string member"
        " if { path /member } { lua.sprat_member -m bool }\n",
        backends=by_user.replace("backend by-user", "backend chosen").replace("user", "k")
        + "    http-response set-header x-name %[var(txn.name)]\n"
        "    http-request set-var(txn.name) url_param(k),lua.sprat_name\n",
    )

    def ask(path: str, source: str = "") -> tuple[int, str, str | None]:
        connection = http.client.HTTPConnection(
            *proxy.address, timeout=PATIENCE, source_address=(source, 0) if source else None
        )
        connection.request("GET", path)
        response = connection.getresponse()
        answer = response.status, response.read().decode(), response.getheader("x-name")
        connection.close()
        return answer

    assert ask("/?k=user")[0] == 503, "no member serves"
    webs = [web(f"web-{n}").join(proxy) for n in range(3)]
    proxy.serves(*webs)
    assert ask("/?k=")[0] in (200, 503)
    keys = [f"user-{n}" for n in range(40)]
    before = {key: ask(f"/?k={key}") for key in keys}
    assert {it[1] for it in before.values()} == {"web-0", "web-1", "web-2"}
    assert all(status == 200 and name == body for status, body, name in before.values())
    webs[0].set_tags("role=backend", "port=3000", "state=drain")
    proxy.serves(*webs[1:])
    for key in keys:
        body = ask(f"/?k={key}")[1]
        assert body == before[key][1] or before[key][1] == "web-0"
        assert body != "web-0"
    assert ask("/member", webs[0].ip)[1] == "member"
    assert ask("/member", "127.0.0.99")[1].startswith("web-")


def test_a_list_holds_the_addresses_of_the_members(haproxy, web, tmp_path) -> None:
    acl = tmp_path / "members.acl"
    acl.write_text("")
    proxy = haproxy(
        MEMBERS_ACL=str(acl),
        frontend=f"    http-request set-log-level silent if {{ src -f {acl} }}\n",
    )

    def listed() -> set[str]:
        lines = proxy.cli(f"show acl {acl}").splitlines()
        return {line.split()[1] for line in lines if line.strip()}

    first, second = web("web-1").join(proxy), web("web-2").join(proxy)
    eventually("both are listed", lambda: listed() == {first.ip, second.ip, proxy.ip})
    second.leave()
    eventually("only two are listed", lambda: listed() == {first.ip, proxy.ip})
    proxy.end()
    wrong = haproxy(MEMBERS_ACL="/nowhere")
    first.join(wrong)
    eventually(
        "the wrong file is logged", lambda: "sprat: /nowhere cannot be updated" in wrong.log()
    )
    wrong.serves(first)


def test_servers_that_are_not_slots_are_left_alone(haproxy, web) -> None:
    sorry = web("sorry")
    proxy = haproxy(server=f"{SERVER}\n    server sorry {sorry.served_at} check backup")
    eventually("the backend is shown", lambda: "8 slots" in proxy.show())
    assert proxy.up() == {sorry.served_at}, "no slot is taken yet"
    first = web("web-1").join(proxy)
    proxy.serves(first, sorry)
    connection = http.client.HTTPConnection(*proxy.address, timeout=PATIENCE)
    connection.request("GET", "/")
    assert "web-1" in connection.getresponse().read().decode()
    connection.close()


def test_an_address_in_another_form_is_the_same_address(haproxy, web) -> None:
    proxy = haproxy(LOOPBACK="no")
    hidden = web("web-1", "ip=::ffff:127.0.0.1").join(proxy)
    eventually(
        "the loopback address is refused",
        lambda: "127.0.0.1" in proxy.show().partition("has no slot")[2],
    )
    assert proxy.up() == set()
    hidden.set_tags("role=backend", "port=3000", "ip=::ffff:10.255.255.1")
    eventually("the member has a slot", lambda: "10.255.255.1:3000" in proxy.show())
    # The system and Rust print this address in different forms.
    hidden.set_tags("ip=::1.2.3.4")
    is_ready = lambda: list(proxy.up()) == ["[::1.2.3.4]:3000"]  # noqa: E731
    eventually("HAProxy has the address, and the server is ready", is_ready)
    assert "has not taken the address" not in proxy.log()


def test_addresses_outside_the_networks_and_those_of_the_load_balancer_are_refused(
    haproxy, web
) -> None:
    proxy = haproxy(NETWORKS="127.0.0.0/8")
    fine = web("fine").join(proxy)
    web("outside", "ip=10.255.255.1").join(proxy)
    eventually(
        "the outside address is refused",
        lambda: "10.255.255.1" in proxy.show().partition("no slot")[2],
    )
    loop = web("loop").join(proxy)
    proxy.serves(fine, loop)
    loop.set_tags("role=backend", f"ip={proxy.ip}", "port=8080")
    eventually(
        "the load balancer's address is refused",
        lambda: f"maint weight 100; {proxy.ip}:8080 " in proxy.show(),
    )
    proxy.serves(fine)


def test_a_weight_of_zero_is_a_drain_and_never_empties_a_backend(haproxy, web, load) -> None:
    proxy = haproxy()
    webs = [web(f"web-{n}").join(proxy) for n in range(2)]
    proxy.serves(*webs)
    requests = load(proxy, 100)
    webs[0].set_tags("role=backend", "port=3000", "weight=0")
    proxy.serves(webs[1])
    webs[1].set_tags("role=backend", "port=3000", "weight=0")
    held = "held: HAProxy would reach no other ready server"
    eventually("the last server is held", lambda: held in proxy.show())
    time.sleep(0.5)  # time in which requests could be lost
    requests.stop()
    proxy.serves(webs[1])
    assert requests.failures == []


def test_maps_hold_names_and_tags_of_the_members(haproxy, web, tmp_path) -> None:
    names, colours = tmp_path / "names.map", tmp_path / "colours.map"
    for file in (names, colours):
        file.write_text("")
    proxy = haproxy(
        MEMBERS_MAP=f"{names} {colours}:colour",
        frontend=f"    http-request return status 200 content-type text/plain lf-string "
        f"%[src,map_ip({names},nobody)] if {{ path /who }}\n"
        f"    http-request set-log-level silent if {{ src,map_ip({colours}) red }}\n",
    )

    def entries(file: Path) -> dict[str, str]:
        lines = proxy.cli(f"show map {file}").splitlines()
        return {words[1]: words[2] for line in lines if len(words := line.split(maxsplit=2)) == 3}

    first, second = web("web-1", "colour=dark blue").join(proxy), web("web-2").join(proxy)
    everyone = {first.ip: "web-1", second.ip: "web-2", proxy.ip: "lb"}
    eventually("all have their names", lambda: entries(names) == everyone)
    eventually("one has a colour", lambda: entries(colours) == {first.ip: "dark blue"})
    first.set_tags("role=backend", "port=3000", "colour=red")
    eventually("the colour changes", lambda: entries(colours) == {first.ip: "red"})
    with socket.create_connection(proxy.address, PATIENCE, (second.ip, 0)) as stream:
        stream.sendall(b"GET /who HTTP/1.0\r\n\r\n")
        assert stream.makefile().read().endswith("web-2")
    second.leave()
    eventually("the address is gone", lambda: second.ip not in entries(names))
