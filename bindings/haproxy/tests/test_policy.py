"""When most of the cluster seems to be gone: a backend is never empty."""

from __future__ import annotations

import signal
import time

from cluster import eventually
from stuck import held, thread_named


def test_failures_below_the_floor_are_held_and_haproxys_checks_decide(haproxy, web, load) -> None:
    proxy = haproxy()
    webs = [web(f"web-{n}").join(proxy) for n in range(4)]
    proxy.serves(*webs)
    requests = load(proxy, 100)
    # The agents die, the applications do not; one by one, so that it is no isolation.
    for it in webs[:3]:
        it.agent.kill()
        time.sleep(4)
    eventually("one is held", lambda: "held" in proxy.show(), 20)
    time.sleep(2)
    requests.stop()
    assert len(proxy.up()) >= 2, proxy.show()
    assert requests.failures == []


def test_an_isolated_balancer_keeps_every_server_and_goes_on_when_it_is_back(
    haproxy, web, load
) -> None:
    proxy = haproxy()
    webs = [web(f"web-{n}").join(proxy) for n in range(3)]
    proxy.serves(*webs)
    requests = load(proxy, 100)
    # The balancer loses sight of all agents at once; the applications go on.
    for it in webs:
        it.agent.process.send_signal(signal.SIGSTOP)
    eventually("it freezes", lambda: "frozen: this node may be cut off" in proxy.show(), 30)
    time.sleep(8)
    assert proxy.up() == {it.served_at for it in webs}, proxy.show()
    for it in webs:
        it.agent.process.send_signal(signal.SIGCONT)
    eventually("it thaws", lambda: "frozen" not in proxy.show(), 60)
    proxy.serves(*webs)
    requests.stop()
    assert requests.failures == []


def test_it_stays_frozen_while_most_are_out_of_sight_and_an_operator_may_know_better(
    haproxy, web
) -> None:
    # With a long suspicion failures that are found one after the other still count as one event.
    proxy = haproxy(SETTINGS="suspicion_mult=10", MIN_READY="0")
    webs = [web(f"web-{n}").join(proxy) for n in range(5)]
    proxy.serves(*webs)
    # One agent goes on: the node hears somebody, and after a while calls itself healthy again.
    for it in webs[1:]:
        it.agent.kill()
    eventually("it freezes", lambda: "frozen: this node may be cut off" in proxy.show(), 30)
    kept = proxy.up()
    assert len(kept) > 1
    eventually("the node is content", lambda: ", healthy" in proxy.show(), 90)
    time.sleep(2)
    assert proxy.up() == kept, proxy.show()
    assert "frozen: this node may be cut off" in proxy.show()
    assert proxy.cli("sprat thaw") == "done"
    proxy.serves(webs[0])


def test_an_operator_freezes_and_thaws(haproxy, web) -> None:
    proxy = haproxy()
    webs = [web(f"web-{n}").join(proxy) for n in range(3)]
    proxy.serves(*webs)
    assert proxy.cli("sprat freeze") == "done"
    eventually("it says so", lambda: "frozen: an operator froze it" in proxy.show(), 5)
    webs[0].agent.kill()
    eventually("it is held", lambda: "held: nobody is taken away" in proxy.show(), 30)
    proxy.serves(*webs)
    assert proxy.cli("sprat thaw") == "done"
    proxy.serves(*webs[1:])


def test_servers_stay_when_the_engine_is_stuck(haproxy, web, load) -> None:
    proxy = haproxy()
    webs = [web(f"web-{n}").join(proxy) for n in range(3)]
    proxy.serves(*webs)
    requests = load(proxy, 100)
    with held(thread_named("sprat-engine", [proxy.worker()])):
        webs[0].agent.kill()
        time.sleep(7)
        assert proxy.up() == {it.served_at for it in webs}
        assert "the node has not answered for" in proxy.show()
    proxy.serves(*webs[1:])
    requests.stop()
    assert requests.failures == []


def test_what_haproxy_cannot_reach_is_probed_at_once(haproxy, web) -> None:
    # By itself the node would probe once in a minute. There is nobody else who could.
    proxy = haproxy(SETTINGS="probe_interval_ms=60000 probe_timeout_ms=500")
    only = web("web-1").join(proxy)
    proxy.serves(only)
    only.kill()
    # A suspect that HAProxy cannot reach either would be drained, were it not the last one.
    eventually("it is suspected", lambda: "held: no other would be ready" in proxy.show(), 15)


def test_an_operators_freeze_outlives_a_reload(haproxy, web, tmp_path) -> None:
    proxy = haproxy("-W", SNAPSHOT=str(tmp_path / "snapshot"))
    webs = [web(f"web-{n}").join(proxy) for n in range(3)]
    proxy.serves(*webs)
    assert proxy.cli("sprat freeze") == "done"
    proxy.reload()
    eventually("it says so", lambda: "frozen: an operator froze it" in proxy.show(), 10)
    webs[0].agent.kill()
    eventually("it is held", lambda: "held: nobody is taken away" in proxy.show(), 30)
    assert proxy.cli("sprat thaw") == "done"
    proxy.serves(*webs[1:])


def test_a_server_that_haproxy_calls_down_is_not_the_last_one(haproxy, web, load) -> None:
    proxy = haproxy()
    dead, alive = (web(f"web-{n}").join(proxy) for n in range(2))
    proxy.serves(dead, alive)
    dead.process.kill()  # and not its agent: for the cluster it is alive
    proxy.serves(alive)
    time.sleep(0.5)
    requests = load(proxy, 100)
    alive.set_tags("role=backend", "port=3000", "state=drain")
    eventually("it is held", lambda: "held: no other would be ready" in proxy.show())
    requests.stop()
    assert requests.failures == []
