"""Orders of an operator, servers that others change, `show sprat json`, and log levels."""

from __future__ import annotations

import http.client
import json
import re
import resource
import socket
from typing import Any

import pytest
from cluster import PATIENCE, eventually
from conftest import CHECKS, FAST, VERSION


def shown(proxy: Any) -> dict[str, Any]:
    """The backend in the answer to `show sprat json`."""
    found: dict[str, Any] = json.loads(proxy.cli("show sprat json"))["backends"][0]
    return found


def server_of(proxy: Any, member: str) -> str:
    return next(str(it["server"]) for it in shown(proxy)["servers"] if it["member"] == member)


def test_an_operator_takes_a_server_away_until_the_order_is_withdrawn(
    haproxy, web, load, tmp_path
) -> None:
    snapshot = tmp_path / "snapshot"
    proxy = haproxy("-W", SNAPSHOT=str(snapshot))
    webs = [web(f"web-{n}").join(proxy) for n in range(3)]
    proxy.serves(*webs)
    requests = load(proxy, 100)
    assert proxy.cli("sprat drain web-0") == "done"
    proxy.serves(*webs[1:])
    eventually("HAProxy drains", lambda: "DRAIN" in str(proxy.statistics()))
    assert "; an operator ordered drain" in proxy.members()["web-0"]
    # The order survives new tags and a reload.
    webs[0].set_tags("role=backend", "port=3000", "weight=7")
    eventually("the weight follows", lambda: "weight 7" in proxy.members()["web-0"])
    assert proxy.members()["web-0"].split()[1] == "drain"
    assert proxy.cli("sprat maint nodes/web-0") == "done"
    eventually("the server is stopped", lambda: proxy.members()["web-0"].split()[1] == "maint")
    order = b" maint web-0\n"
    eventually("the order is in the snapshot", lambda: order in snapshot.read_bytes())
    proxy.reload()
    proxy.wait_for_node()
    eventually("the order is shown", lambda: "ordered maint" in proxy.members().get("web-0", ""))
    proxy.serves(*webs[1:])
    assert proxy.cli("sprat auto web-0") == "done"
    proxy.serves(*webs)
    assert "operator" not in proxy.members()["web-0"]
    requests.stop()
    assert requests.failures == []


def test_a_snapshot_that_cannot_be_written_is_reported_and_orders_say_what_that_means(
    haproxy, web, tmp_path
) -> None:
    # With this limit, in blocks of 512 bytes, the second record of the file cannot be written.
    shell = "trap '' XFSZ; ulimit -S -f 400"
    proxy = haproxy(SNAPSHOT=str(tmp_path / "snapshot"), shell=shell)
    webs = [web(f"web-{n}").join(proxy) for n in range(2)]
    proxy.serves(*webs)
    why = "File too large (os error 27)"
    said = f"the snapshot cannot be written ({why}), so a reload or restart will undo"
    eventually("the failure is logged", lambda: said in proxy.log())
    assert said in proxy.show()
    assert said in f"the snapshot {json.loads(proxy.cli('show sprat json'))['snapshot']}"
    remark = "done, but a reload or restart will undo it, because the snapshot cannot be written: "
    assert proxy.cli("sprat drain web-0") == remark + why
    proxy.serves(webs[1])
    assert proxy.cli("sprat freeze") == remark + why
    assert proxy.log().count(said) == 1
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(proxy.worker(), resource.RLIMIT_FSIZE, unlimited)
    eventually("the end is logged", lambda: "the snapshot is written again" in proxy.log())
    assert proxy.cli("sprat thaw") == "done"
    assert proxy.cli("sprat auto web-0") == "done"
    assert "the snapshot" not in proxy.show()


def test_orders_keep_the_server_of_a_failed_member_and_stop_even_the_last_one(haproxy, web) -> None:
    proxy = haproxy(SETTINGS=FAST)
    webs = [web(f"web-{n}").join(proxy) for n in range(3)]
    proxy.serves(*webs)
    assert proxy.cli("sprat ready web-0") == "done"
    webs[0].agent.kill()  # its application lives on
    eventually("the member has failed", lambda: "(1 failed)" in proxy.show())
    proxy.serves(*webs)
    for it in webs:
        assert proxy.cli(f"sprat maint {it.name}") == "done"
    eventually("no server is left", lambda: proxy.up() == set())


def test_an_order_for_an_unknown_member_is_refused(haproxy, web) -> None:
    proxy = haproxy()
    first = web("web-1").join(proxy)
    proxy.serves(first)
    assert 'no member "web-9"; `show` (`show sprat` on' in proxy.cli("sprat maint web-9")
    assert 'no member "web-1" of backend api' in proxy.cli("sprat maint api/web-1")
    assert proxy.cli("sprat drain") == "error: `sprat drain` needs the name of a member"
    assert "there is no member" in proxy.cli("sprat drain drain")
    for words in ("web-1 web-2", "web-9 for web-1"):
        assert (
            f"an order is for one member, got {len(words.split())} names ({words});"
            in proxy.cli(f"sprat drain {words}")
        )
    proxy.serves(first)
    assert proxy.cli("sprat maint web-1") == "done"
    eventually("the server is stopped", lambda: proxy.up() == set())


def test_a_server_that_someone_else_changes_is_left_alone_and_shown(haproxy, web) -> None:
    proxy = haproxy()
    webs = [web(f"web-{n}").join(proxy) for n in range(2)]
    proxy.serves(*webs)
    server = server_of(proxy, "web-0")
    proxy.cli(f"disable server nodes/{server}")
    eventually(
        "the change is shown", lambda: "; HAProxy has state maint" in proxy.members()["web-0"]
    )
    line = f"server {server} (web-0): HAProxy has state maint"
    eventually("the change is logged", lambda: line in proxy.log())
    webs[0].set_tags("role=backend", "port=3000", "weight=7")
    eventually("the weight follows", lambda: "weight 7" in proxy.members()["web-0"])
    eventually("weight 7 is set", lambda: proxy.cli(f"get weight nodes/{server}").startswith("7 "))
    proxy.serves(webs[1])
    # The guard counts the server as one that does not serve.
    webs[1].set_tags("role=backend", "port=3000", "state=drain")
    held = "held: HAProxy would reach no other ready server"
    eventually("the last server is held", lambda: held in proxy.members()["web-1"])
    webs[1].set_tags("role=backend", "port=3000", "state=ready")
    proxy.cli(f"enable server nodes/{server}")
    proxy.serves(*webs)
    eventually("nothing differs", lambda: "HAProxy has" not in proxy.show())
    proxy.cli(f"set server nodes/{server} addr 127.0.0.99 port 9")
    proxy.cli(f"set weight nodes/{server} 3")
    differs = "HAProxy has weight 3, address 127.0.0.99:9"
    eventually("address and weight are shown", lambda: differs in proxy.members()["web-0"])
    proxy.cli(f"disable server nodes/{server}")
    eventually("the state is shown", lambda: "HAProxy has state maint" in proxy.members()["web-0"])
    assert proxy.cli("sprat auto web-0") == "done"
    proxy.serves(*webs)
    eventually("nothing differs", lambda: "HAProxy has" not in proxy.show())


def part_of(proxy: Any, server: str, part: str) -> str:
    """The state, the weight or the address of a server, as HAProxy has it."""
    rows = proxy.cli("show servers state nodes").splitlines()
    columns = rows[1].removeprefix("# ").split()
    it = next(dict(zip(columns, row.split(), strict=False)) for row in rows if f" {server} " in row)
    flags = int(it["srv_admin_state"])
    parts = {
        "state": "maint" if flags & 1 else "drain" if flags & 8 else "ready",
        "weight": it["srv_uweight"],
        "address": f"{it['srv_addr']}:{it['srv_port']}",
    }
    return parts[part]


@pytest.mark.parametrize(
    ("tags", "command", "part", "kept"),
    [
        ((), "disable server nodes/{}", "state", "maint"),
        ((), "set server nodes/{} state drain", "state", "drain"),
        (("state=maint",), "enable server nodes/{}", "state", "ready"),
        ((), "set weight nodes/{} 3", "weight", "3"),
        ((), "set weight nodes/{} 0", "weight", "0"),
        ((), "set server nodes/{} addr 127.0.0.99 port 9", "address", "127.0.0.99:9"),
    ],
)
def test_a_part_that_someone_else_has_set_is_kept_whatever_else_changes(
    haproxy, web, tags, command, part, kept
) -> None:
    proxy = haproxy(slots=2)
    first, other = web("web-0").join(proxy), web("web-1").join(proxy)
    proxy.serves(first, other)
    first.set_tags("role=backend", "port=3000", *tags)
    server = server_of(proxy, "web-0")
    state = tags[0].removeprefix("state=") if tags else "ready"
    has = lambda part, value: part_of(proxy, server, part) == value  # noqa: E731
    eventually("HAProxy has the state", lambda: has("state", state))
    proxy.cli(command.format(server))
    ordered = {"address": f"{first.ip}:3001", "weight": "7", "state": "drain"}
    first.set_tags("role=backend", "port=3001", "weight=7", *tags)
    for it in {"address", "weight"} - {part}:
        eventually(f"the {it} follows", lambda it=it: has(it, ordered[it]))
    # The script carries out one change after the other: once HAProxy has the second change, the
    # first one is complete.
    first.set_tags("role=backend", "port=3001", "weight=8", "state=drain")
    ordered["weight"] = "8"
    shown = lambda: proxy.members()["web-0"].replace(";", " ").split()[1:4]  # noqa: E731
    eventually("the second change is shown", lambda: shown() == ["drain", "weight", "8"])
    for it in {"address", "weight", "state"} - {part}:
        eventually(f"the {it} follows", lambda it=it: has(it, ordered[it]))
    assert has(part, kept)
    assert proxy.cli("sprat auto web-0") == "done"
    for it, value in ordered.items():
        eventually(f"the {it} is the ordered one", lambda it=it, value=value: has(it, value))
    proxy.serves(other)


def test_what_the_node_refuses_is_logged_with_its_source(haproxy, addresses) -> None:
    proxy = haproxy()
    proxy.wait_for_node()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((addresses.ip(), 0))
        source = ":".join(map(str, sender.getsockname()))

        def is_logged() -> bool:
            sender.sendto(b"\xff no message", (proxy.ip, 7946))
            line = rf"\[warning\] .*sprat: node: wire: refused_\w+ \+\d+ from {source}: "
            return re.search(line, proxy.log(), re.IGNORECASE) is not None

        eventually("the source is named", is_logged)


def test_programs_read_the_sums_and_the_log_has_levels(haproxy, web, agent) -> None:
    proxy = haproxy(slots=2)
    webs = [web(f"web-{n}").join(proxy) for n in range(3)]
    agent("wrong", "-tag", "role=backend", "-tag", "port=0").join(f"{proxy.ip}:7946")
    sums = ("slots", "ready", "draining", "stopped", "held", "waiting", "refused")
    wanted = [2, 2, 0, 0, 0, 1, 1]
    eventually("the sums are there", lambda: [shown(proxy)[it] for it in sums] == wanted)
    text = "backend nodes, 2 slots: 2 ready, 0 draining, 0 stopped, 0 held, 1 waiting, 1 refused"
    assert text in proxy.show()
    answer = json.loads(proxy.cli("show sprat json"))
    assert answer["node"]["phase"] == "running"
    states = ("alive", "suspect", "leaving", "failed", "left")
    assert answer["members"] == dict(zip(states, (5, 0, 0, 0, 0), strict=True))
    assert {it["member"] for it in answer["backends"][0]["unplaced"]} >= {"wrong"}
    first = answer["backends"][0]["servers"][0]
    assert first["state"] == "ready"
    assert first["address"].endswith(":3000")

    def logged(level: str, text: str) -> bool:
        return re.search(rf"\[{level}\] .*sprat: .*{text}", proxy.log(), re.IGNORECASE) is not None

    ready = r"server app1 \(web-\d at \S+\) is ready: the member is present"
    eventually("a change is logged", lambda: logged("info", ready))
    full = r"backend nodes has more members than slots \(1 waiting\)"
    eventually("the lack of slots is logged", lambda: logged("warning", full))
    wrong = 'member "wrong" of backend nodes: its tag port is "0"'
    eventually("the wrong tag is logged", lambda: logged("warning", wrong))
    assert not logged("alert", "")
    proxy.cli("sprat freeze")
    eventually("the freeze is an alert", lambda: logged("alert", "removals are frozen"))
    assert proxy.log().count("more members than slots (") == 1
    for it in webs:
        it.end()


def test_two_nodes_of_one_name_are_an_alert(haproxy, agent) -> None:
    proxy = haproxy()
    proxy.wait_for_node()
    other = agent("lb")
    third = agent("web-1")
    third.join(other.address)
    third.join(f"{proxy.ip}:7946")
    said = f'the node at {other.address} has the name "lb", too'
    eventually("the conflict is logged", lambda: said in proxy.log())


def test_weights_that_haproxy_refuses_are_shown_and_logged(haproxy, web) -> None:
    proxy = haproxy(balance="static-rr")
    webs = [web(f"web-{n}", f"weight={n * 90 + 10}").join(proxy) for n in range(2)]
    proxy.serves(*webs)
    refused = "sprat: backend nodes: HAProxy refuses weights of members: Backend is using a static"
    eventually("the refusal is logged", lambda: refused in proxy.log())
    assert proxy.log().count(refused) == 1
    eventually("it is also shown", lambda: "; HAProxy has weight 1" in proxy.members()["web-1"])


def test_a_member_with_a_long_name_becomes_a_server(haproxy, web) -> None:
    proxy = haproxy()
    name = "n" * 100
    first = web(name).join(proxy)
    proxy.serves(first)
    assert name in proxy.members()


def test_use_server_by_key_keeps_checks_and_redispatch(haproxy, web) -> None:
    by_key = "    use-server %[lua.sprat_server(url_param,k)] if { url_param(k) -m found }"
    options = {"checks": f"{CHECKS}\n{by_key}", "server": "check inter 200ms fall 1 rise 1"}
    proxies = [haproxy(NAME=f"lb-{n}", **options) for n in range(2)]
    webs = [web(f"web-{n}").join(proxies[0]) for n in range(3)]
    webs[0].agent.join(f"{proxies[1].ip}:7946")
    for it in proxies:
        it.serves(*webs)

    def ask(proxy: Any, key: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(*proxy.address, timeout=PATIENCE)
        connection.request("GET", f"/?k={key}")
        response = connection.getresponse()
        answer = response.status, response.read().decode()
        connection.close()
        return answer

    keys = [f"user-{n}" for n in range(30)]
    first = {key: ask(proxies[0], key) for key in keys}
    assert first == {key: ask(proxies[1], key) for key in keys}, "both choose the same servers"
    assert {name for _, name in first.values()} == {"web-0", "web-1", "web-2"}
    webs[0].process.kill()
    for key in keys:  # a request to a dead server is sent to another one
        assert ask(proxies[0], key)[0] == 200


@pytest.mark.skipif(VERSION < (3, 0), reason="hash-key needs HAProxy 3.0 or later")
def test_two_haproxys_agree_on_consistent_hashing_by_address(haproxy, web) -> None:
    options = {
        "balance": "uri\n    hash-type consistent",
        "server": "check inter 1s hash-key addr-port",
        "slots": 4,
    }
    proxies = [haproxy(NAME=f"lb-{n}", **options) for n in range(2)]
    webs = [web(f"web-{n}").join(proxies[n % 2]) for n in range(4)]
    webs[0].agent.join(f"{proxies[1].ip}:7946")
    for it in proxies:
        it.serves(*webs)

    def ask(proxy: Any, path: str) -> str:
        connection = http.client.HTTPConnection(*proxy.address, timeout=PATIENCE)
        connection.request("GET", path)
        answer = connection.getresponse().read().decode()
        connection.close()
        return answer

    for n in range(50):
        assert ask(proxies[0], f"/{n}") == ask(proxies[1], f"/{n}")
