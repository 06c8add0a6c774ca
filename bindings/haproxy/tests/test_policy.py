"""The guard against an empty backend when most of the cluster seems to be gone."""

from __future__ import annotations

import signal
import time

from cluster import eventually
from conftest import FAST
from stuck import held, thread_named

ISOLATED = "frozen: this node may be isolated"
FROZEN = "frozen: an operator froze removals"


def test_failures_that_leave_too_few_servers_are_held_and_haproxys_checks_decide(
    haproxy, web, load
) -> None:
    proxy = haproxy(SETTINGS=f"{FAST} suspicion_mult=2")
    webs = [web(f"web-{n}").join(proxy) for n in range(4)]
    proxy.serves(*webs)
    requests = load(proxy, 100)
    # The agents die, and the applications live on. Failures in quick succession would look like an
    # isolation, so the test waits for longer than two suspicion timeouts after each failure.
    for failed, it in enumerate(webs[:3], 1):
        it.agent.kill()
        eventually("the member has failed", lambda n=failed: f"({n} failed)" in proxy.show())
        time.sleep(2)
    eventually("a server is held", lambda: "held" in proxy.show())
    requests.stop()
    assert len(proxy.up()) >= 2, proxy.show()
    assert requests.failures == []


def test_an_isolated_balancer_keeps_every_server_until_it_is_connected_again(
    haproxy, web, load
) -> None:
    proxy = haproxy(SETTINGS=FAST)
    webs = [web(f"web-{n}").join(proxy) for n in range(3)]
    proxy.serves(*webs)
    requests = load(proxy, 100)
    # The balancer loses sight of all agents at the same time, and the applications go on.
    for it in webs:
        it.agent.process.send_signal(signal.SIGSTOP)
    eventually("removals are frozen", lambda: ISOLATED in proxy.show())
    eventually("all members have failed", lambda: "(3 failed)" in proxy.show())
    assert proxy.up() == {it.served_at for it in webs}, proxy.show()
    for it in webs:
        it.agent.process.send_signal(signal.SIGCONT)
    eventually("removals are allowed again", lambda: "frozen" not in proxy.show())
    proxy.serves(*webs)
    requests.stop()
    assert requests.failures == []


def test_removals_stay_frozen_while_most_members_are_missing_until_an_operator_thaws_them(
    haproxy, web
) -> None:
    # With a long suspicion, failures that are found one after the other still count together.
    proxy = haproxy(SETTINGS=f"{FAST} suspicion_mult=10", MIN_READY="0")
    webs = [web(f"web-{n}").join(proxy) for n in range(5)]
    proxy.serves(*webs)
    # One agent goes on, so after a while the node reports itself as healthy again.
    for it in webs[1:]:
        it.agent.process.kill()
    eventually("removals are frozen", lambda: ISOLATED in proxy.show())
    members = proxy.members()
    kept = [it for it in webs if " ready " in members[it.name]]
    assert len(kept) > 1, members
    eventually("the node reports itself as healthy", lambda: ", healthy" in proxy.show())
    time.sleep(1)  # time in which a server could be removed by mistake
    proxy.serves(*kept)
    assert ISOLATED in proxy.show()
    assert proxy.cli("sprat thaw") == "done"
    proxy.serves(webs[0])


def test_an_operator_freezes_and_thaws(haproxy, web) -> None:
    proxy = haproxy()
    webs = [web(f"web-{n}").join(proxy) for n in range(3)]
    proxy.serves(*webs)
    assert proxy.cli("sprat freeze") == "done"
    eventually("removals are frozen", lambda: FROZEN in proxy.show())
    webs[0].agent.kill()
    eventually("a server is held", lambda: "held: removals are frozen" in proxy.show())
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
        eventually(
            "the stuck controller is reported",
            lambda: "the controller has not been active for" in proxy.show(),
        )
        assert proxy.up() == {it.served_at for it in webs}
    proxy.serves(*webs[1:])
    requests.stop()
    assert requests.failures == []


def test_a_member_that_haproxy_cannot_reach_is_probed_at_once(haproxy, web) -> None:
    # On its own, the node would probe only every ten minutes, and no other member could probe
    # instead.
    proxy = haproxy(SETTINGS="probe_interval_ms=600000 probe_timeout_ms=500")
    only = web("web-1").join(proxy)
    proxy.serves(only)
    # The agent must be gone before it is probed.
    only.agent.kill()
    only.process.kill()
    # A suspect that HAProxy cannot reach either would be drained, but this is the last server.
    held = "held: HAProxy would reach no other ready server"
    eventually("the member is suspected", lambda: held in proxy.show())


def test_a_server_that_was_not_checked_yet_does_not_count_as_unreachable(haproxy, web) -> None:
    # HAProxy shows a server that was just started like one whose last check has failed.
    proxy = haproxy(SETTINGS=FAST, server="check inter 600s fall 2")
    webs = [web(f"web-{n}").join(proxy) for n in range(3)]
    proxy.serves(*webs)
    webs[0].agent.process.kill()
    seen = set()

    def is_stopped() -> bool:
        state = proxy.members()["web-0"].split()[1]
        seen.add(state)
        return state == "maint"

    eventually("the server is stopped", is_stopped)
    # A suspect that HAProxy did not reach either would have been drained first.
    assert seen == {"ready", "maint"}


def test_an_operators_freeze_outlives_a_reload(haproxy, web, tmp_path) -> None:
    proxy = haproxy("-W", SNAPSHOT=str(tmp_path / "snapshot"))
    webs = [web(f"web-{n}").join(proxy) for n in range(3)]
    proxy.serves(*webs)
    assert proxy.cli("sprat freeze") == "done"
    proxy.reload()
    eventually("removals are frozen", lambda: FROZEN in proxy.show())
    webs[0].agent.kill()
    eventually("a server is held", lambda: "held: removals are frozen" in proxy.show())
    assert proxy.cli("sprat thaw") == "done"
    proxy.serves(*webs[1:])


def test_a_server_that_haproxy_finds_down_does_not_count_as_the_last_one(
    haproxy, web, load
) -> None:
    proxy = haproxy()
    dead, alive = (web(f"web-{n}").join(proxy) for n in range(2))
    proxy.serves(dead, alive)
    dead.process.kill()  # its agent lives on, so the cluster sees the member alive
    proxy.serves(alive)
    eventually("the module sees the server down", lambda: "unreachable" in proxy.members()["web-0"])
    assert "unreachable" not in proxy.members()["web-1"]
    requests = load(proxy, 100)
    alive.set_tags("role=backend", "port=3000", "state=drain")
    held = "held: HAProxy would reach no other ready server"
    eventually("the other server is held", lambda: held in proxy.show())
    requests.stop()
    assert requests.failures == []
