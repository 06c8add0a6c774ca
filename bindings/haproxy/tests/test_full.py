"""Members that drain or wait for a slot: requests are served while any member could serve.

The client of these tests never retries. In most tests, there are more members than slots.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from cluster import PATIENCE, eventually
from conftest import FAST, SCRIPT, HAProxy, Web

QUICK_CHECKS = "check inter 200ms fall 2 rise 1"
"""Health checks that find a dead server quickly."""
WAITS = "has no slot: there are more members than slots"


def one_serves_and_one_waits(proxy: HAProxy, web: Callable[..., Web]) -> tuple[Web, Web]:
    """Start two members for the only slot, and return them."""
    first = web("web-1").join(proxy)
    proxy.serves(first)
    second = web("web-2").join(proxy)
    eventually("the second member waits", lambda: WAITS in proxy.show())
    return first, second


def test_a_role_that_moves_takes_the_only_slot_with_it(haproxy, web, load) -> None:
    proxy = haproxy(slots=1, BACKEND="nodes:role=primary", server=QUICK_CHECKS)
    first, second = web("web-1"), web("web-2")
    for it in (first, second):
        it.join(proxy)
    first.set_tags("role=primary", "port=3000")
    proxy.serves(first)
    requests = load(proxy, 200)
    # The role moves twice. The first time, the new primary announces itself before the old one
    # steps down; the second time, only afterwards.
    second.set_tags("role=primary", "port=3000")
    eventually("the second member waits", lambda: WAITS in proxy.show())
    first.set_tags("role=backend", "port=3000")
    proxy.serves(second)
    second.set_tags("role=backend", "port=3000")
    eventually("the server is held", lambda: "held: HAProxy would reach no other" in proxy.show())
    first.set_tags("role=primary", "port=3000")
    proxy.serves(first)
    requests.stop()
    assert requests.failures == []
    assert requests.answers.keys() == {"web-1", "web-2"}


def test_a_member_that_waits_serves_when_the_only_server_dies(haproxy, web) -> None:
    proxy = haproxy(slots=1, server=QUICK_CHECKS, SETTINGS=FAST)
    first, second = one_serves_and_one_waits(proxy, web)
    first.kill()
    proxy.serves(second)


def test_a_member_that_waits_serves_when_haproxy_finds_the_only_server_down(haproxy, web) -> None:
    proxy = haproxy(slots=1, server=QUICK_CHECKS)
    first, second = one_serves_and_one_waits(proxy, web)
    first.process.kill()  # its agent lives on, so the cluster sees the member alive
    proxy.serves(second)


def test_a_member_that_waits_takes_the_slot_of_a_server_that_is_down_for_long(
    haproxy, web, load
) -> None:
    proxy = haproxy(slots=2, server=QUICK_CHECKS)
    first, second = web("web-1").join(proxy), web("web-2").join(proxy)
    proxy.serves(first, second)
    third = web("web-3").join(proxy)
    eventually("the third member waits", lambda: WAITS in proxy.show())
    died = time.monotonic()
    first.end()  # its agent lives on, so the cluster sees the member alive
    proxy.serves(second)
    requests = load(proxy, 50)
    proxy.serves(second, third, within=PATIENCE + 30)
    assert time.monotonic() - died >= 30, "the server may have been down only for a moment"
    requests.stop()
    assert requests.failures == []
    place = f"(web-3 at {third.served_at}, in place of web-1) is ready"
    eventually("the change is logged", lambda: place in proxy.log())
    # The program of the first member runs again, and that of the third one ends.
    first.restart()
    third.process.kill()
    proxy.serves(second, first, within=PATIENCE + 60)


def test_a_lost_server_is_found_before_the_next_regular_reading(haproxy, web, tmp_path) -> None:
    # While the file exists, the script's clock stands still, so no regular reading becomes due.
    fault, script = tmp_path / "fault", tmp_path / "clock.lua"
    script.write_text(
        f"""local real, stopped = core.now, nil
core.now = function()
  local file = io.open("{fault}")
  if not file then return real() end
  file:close()
  stopped = stopped or real()
  return stopped
end
dofile("{SCRIPT}")
"""
    )
    proxy = haproxy(slots=1, server=QUICK_CHECKS, script=script)
    first, second = one_serves_and_one_waits(proxy, web)
    fault.touch()
    time.sleep(0.5)  # the last regular reading may have become due just before
    first.process.kill()  # its agent lives on, so the cluster sees the member alive
    proxy.serves(second)


def test_two_members_are_replaced_by_two_that_wait(haproxy, web, load) -> None:
    proxy = haproxy(slots=2, SETTINGS=FAST, DRAIN_MS="3600000")
    old = [web(f"old-{n}").join(proxy) for n in range(2)]
    proxy.serves(*old)
    new = [web(f"new-{n}").join(proxy) for n in range(2)]
    eventually("two members wait", lambda: proxy.show().count(WAITS) == 2)
    requests = load(proxy, 200)
    for it in old:
        it.leave()
    proxy.serves(*new)
    requests.stop()
    assert requests.failures == []


def test_a_member_that_asks_for_no_requests_gives_its_slot_to_one_that_waits(haproxy, web) -> None:
    proxy = haproxy(slots=1)
    idle = web("web-1", "state=maint").join(proxy)
    eventually("the member is stopped", lambda: "maint" in proxy.members().get("web-1", ""))
    second = web("web-2").join(proxy)
    proxy.serves(second)
    idle.set_tags("role=backend", "port=3000", "state=ready")
    eventually("the first member waits", lambda: WAITS in proxy.show())
    second.leave()
    proxy.serves(idle)


def test_a_draining_server_serves_again_when_it_is_the_only_one_left(haproxy, web, load) -> None:
    proxy = haproxy(server=QUICK_CHECKS)
    draining, other = web("web-1").join(proxy), web("web-2").join(proxy)
    proxy.serves(draining, other)
    draining.set_tags("role=backend", "port=3000", "state=drain")
    proxy.serves(other)
    other.process.kill()  # its agent lives on
    proxy.serves(draining)
    assert "held: HAProxy would reach no other ready server" in proxy.members()["web-1"]


def test_a_member_that_asks_for_a_drain_when_it_joins_is_drained(haproxy, web) -> None:
    proxy = haproxy()
    web("web-1", "state=drain").join(proxy)
    other = web("web-2").join(proxy)
    eventually("the member drains", lambda: "drain" in proxy.members().get("web-1", ""))
    proxy.serves(other)
    status = lambda: {it["status"] for it in proxy.statistics().values()}  # noqa: E731
    eventually("HAProxy drains the server", lambda: any("DRAIN" in it for it in status()))
    other.set_tags("role=backend", "port=3000", "state=maint")
    eventually("the last server is held", lambda: "ready" in proxy.members()["web-2"])
