"""Reloads, restarts and ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import time

from cluster import eventually
from conftest import CONFINED


def test_reloads_lose_no_request_and_nobody_in_the_cluster_notices(haproxy, web, load) -> None:
    snapshot = "/tmp/sprat-test-snapshot-" + str(os.getpid())
    try:
        proxy = haproxy("-W", user=CONFINED, SNAPSHOT=snapshot)
        webs = [web(f"web-{n}").join(proxy) for n in range(3)]
        proxy.serves(*webs)
        time.sleep(1)  # the snapshot is written every half second
        requests = load(proxy, 200)
        for _ in range(3):
            proxy.reload()
            time.sleep(1)
        proxy.serves(*webs)
        eventually("one worker is left", lambda: len(proxy.processes()) == 2, 15)
        requests.stop()
        assert requests.failures == []
        log = webs[0].agent.log()
        assert log.count("EventMemberJoin: lb ") == 1
        for word in ("EventMemberFailed: lb ", "EventMemberLeave: lb "):
            assert word not in log
    finally:
        os.remove(snapshot)  # noqa: PTH107


def test_a_reload_without_a_snapshot_recovers_by_itself(haproxy, web) -> None:
    proxy = haproxy("-W")
    first, second = web("web-1"), web("web-2")
    second.agent.join(first.agent.address)
    first.join(proxy)
    proxy.serves(first, second)
    proxy.reload()
    proxy.serves(first, second)


def test_a_restart_finds_the_cluster_by_its_snapshot_when_every_seed_is_gone(
    haproxy, web, tmp_path
) -> None:
    snapshot = tmp_path / "snapshot"
    proxy = haproxy(SNAPSHOT=str(snapshot))
    webs = [web(f"web-{n}").join(proxy) for n in range(2)]
    proxy.serves(*webs)
    time.sleep(1)
    proxy.end()
    again = haproxy(SNAPSHOT=str(snapshot), NAME="lb")
    assert again.up() == {it.served_at for it in webs}, "before anybody was heard"
    eventually("it is a member", lambda: "members 4" in again.show() or "members 3" in again.show())


def test_a_soft_stop_leaves_the_cluster_and_a_hard_one_fails(haproxy, web) -> None:
    proxy = haproxy()
    first = web("web-1").join(proxy)
    proxy.serves(first)
    time.sleep(0.5)
    began = time.monotonic()
    os.kill(proxy.worker(), signal.SIGUSR1)
    assert proxy.process.wait(10) == 0
    print(f"a soft stop took {time.monotonic() - began:.2f} s")
    first.agent.sees("lb", "left", 10)
    second = haproxy()
    eventually("its node runs", lambda: "node running" in second.show(), 10)
    first.agent.join(f"{second.ip}:7946")
    first.agent.sees("lb", "alive", 60)
    os.kill(second.worker(), signal.SIGTERM)
    assert second.process.wait(5) != 0
    first.agent.sees("lb", "failed", 60)


def test_hard_stop_after_bounds_a_soft_stop(haproxy, web) -> None:
    proxy = haproxy(user="    hard-stop-after 300ms")
    first = web("web-1").join(proxy)
    proxy.serves(first)
    open_connection = socket.create_connection(proxy.address, 5)
    began = time.monotonic()
    os.kill(proxy.worker(), signal.SIGUSR1)
    proxy.process.wait(10)
    took = time.monotonic() - began
    open_connection.close()
    print(f"it ended after {took:.2f} s")
    assert took < 5
    gone = ("failed", "left")  # whichever comes first: the end, or its farewell
    eventually("lb is gone", lambda: first.agent.members()["lb"]["status"] in gone, 60)


def test_a_port_that_is_taken_is_waited_for_and_said(haproxy, web, agent) -> None:
    stranger = agent("stranger")
    proxy = haproxy(BIND=stranger.address)
    told = eventually("it says so", lambda: (it := proxy.show()) and "in use" in it and it, 10)
    assert re.search(rf"^node starting, .*: cannot bind TCP {stranger.address}", told)
    eventually("it alerts", lambda: "sprat: the node is starting: cannot bind" in proxy.log(), 10)
    stranger.kill()
    eventually("it has it", lambda: "node running" in proxy.show(), 10)


def test_why_no_seed_answers_is_told(haproxy, agent) -> None:
    keyed = agent("keyed", "-encrypt=YWFhYWFhYWFhYWFhYWFhYQ==")
    proxy = haproxy(SEEDS=f"{keyed.address},nowhere.invalid")
    why = f"{keyed.address}: it encrypts, and this node has no key"
    told = eventually("it is told", lambda: (it := proxy.show()) and why in it and it, 20)
    assert "alone: no seed answers: nobody answered: " in told
    assert "nowhere.invalid:7946: the name has no address" in told
    eventually(
        "it is logged",
        lambda: f"sprat: alone in the cluster: nobody answered: {why}" in (proxy.log()),
        5,
    )


def test_only_this_user_and_root_can_be_an_heir(haproxy, web) -> None:
    proxy = haproxy(HEIR_MS="1000")
    first = web("web-1").join(proxy)
    proxy.serves(first)
    time.sleep(0.5)
    with socket.socket(socket.AF_UNIX) as stranger:
        os.seteuid(65534)  # whom the kernel tells of is who connects
        try:
            stranger.connect((b"\0" + f"sprat-{proxy.ip}:7946".encode()).ljust(108, b"\0"))
        finally:
            os.seteuid(0)
        stranger.sendall(b"heir\n")
        time.sleep(0.5)
    os.kill(proxy.worker(), signal.SIGUSR1)
    assert proxy.process.wait(10) == 0
    first.agent.sees("lb", "left", 10)


def test_servers_of_an_earlier_life_are_checked_where_they_are(haproxy, web, tmp_path) -> None:
    options = {"SNAPSHOT": str(tmp_path / "snapshot"), "server": "check inter 1s fall 1"}
    proxy = haproxy(**options)
    webs = [web(f"web-{n}").join(proxy) for n in range(2)]
    proxy.serves(*webs)
    time.sleep(1)
    proxy.end()
    again = haproxy(**options)
    for _ in range(20):
        assert again.up() == {it.served_at for it in webs}, again.servers()
        time.sleep(0.1)
    webs[0].process.kill()  # and not its agent
    eventually("it is down", lambda: again.up() == {webs[1].served_at}, 10)
