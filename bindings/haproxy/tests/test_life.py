"""Reloads, restarts and stops of HAProxy."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest
from cluster import PATIENCE, eventually
from conftest import CONFINED, SCRIPT, with_method


def test_reloads_lose_no_request_and_the_cluster_does_not_notice(haproxy, saved_webs, load) -> None:
    snapshot = Path(f"/tmp/sprat-test-snapshot-{os.getpid()}")  # outside the chroot
    try:
        proxy = haproxy("-W", user=CONFINED, SNAPSHOT=str(snapshot))
        webs = saved_webs(proxy, snapshot, 3)

        def are_unnoticed() -> bool:
            """Reload three times, and return whether no agent took the node for failed.

            On a busy machine, a new worker can need longer than a member may be silent.
            """
            for _ in range(3):
                proxy.reload()
                proxy.wait_for_node()
            return "EventMemberFailed: lb " not in webs[0].agent.log()

        requests = load(proxy, 200)
        eventually("reloads that the cluster does not notice", are_unnoticed)
        proxy.serves(*webs)
        eventually("one worker is left", lambda: len(proxy.processes()) == 2)
        requests.stop()
        assert requests.failures == []
        assert "EventMemberLeave: lb " not in webs[0].agent.log()
    finally:
        snapshot.unlink(missing_ok=True)


def test_a_reload_without_a_snapshot_finds_the_cluster_again(haproxy, web) -> None:
    proxy = haproxy("-W")
    first, second = web("web-1"), web("web-2")
    second.agent.join(first.agent.address)
    first.join(proxy)
    proxy.serves(first, second)
    proxy.reload()
    proxy.serves(first, second)


def test_a_restart_finds_the_cluster_by_its_snapshot_when_every_seed_is_gone(
    haproxy, saved_webs, tmp_path
) -> None:
    snapshot = tmp_path / "snapshot"
    proxy = haproxy(SNAPSHOT=str(snapshot))
    webs = saved_webs(proxy, snapshot, 2)
    proxy.end()
    again = haproxy(SNAPSHOT=str(snapshot), NAME="lb")
    assert again.up() == {it.served_at for it in webs}, "the snapshot is applied at the start"
    eventually(
        "the new HAProxy is a member",
        lambda: "members 4" in again.show() or "members 3" in again.show(),
    )


def test_a_soft_stop_logs_the_members_that_have_not_acknowledged_the_leave(haproxy, web) -> None:
    proxy = haproxy(HANDOVER_MS="0")
    webs = [web(f"web-{n}").join(proxy) for n in range(2)]
    proxy.serves(*webs)
    proxy.wait_for_handover_connection()
    webs[0].agent.process.send_signal(signal.SIGSTOP)
    proxy.stop_softly()
    proxy.process.wait(PATIENCE)
    said = "it has no acknowledgement from these members, which may list it as failed: web-0"
    assert said in proxy.log()


def test_a_soft_stop_is_a_leave_and_a_hard_stop_a_failure(haproxy, web) -> None:
    proxy = haproxy()
    first = web("web-1").join(proxy)
    proxy.serves(first)
    began = time.monotonic()
    proxy.stop_softly()
    assert proxy.process.wait(PATIENCE) == 0
    print(f"a soft stop took {time.monotonic() - began:.2f} s")
    first.agent.sees("lb", "left")
    second = haproxy()
    second.wait_for_node()
    first.agent.join(f"{second.ip}:7946")
    first.agent.sees("lb", "alive")
    os.kill(second.worker(), signal.SIGTERM)
    assert second.process.wait(PATIENCE) != 0
    first.agent.sees("lb", "failed")


def test_hard_stop_after_bounds_a_soft_stop(haproxy, web) -> None:
    proxy = haproxy(user="    hard-stop-after 300ms")
    first = web("web-1").join(proxy)
    proxy.serves(first)
    # Without a limit this connection would keep HAProxy alive for `timeout client`, 50 seconds.
    open_connection = socket.create_connection(proxy.address, PATIENCE)
    began = time.monotonic()
    proxy.stop_softly()
    proxy.process.wait(PATIENCE)
    took = time.monotonic() - began
    open_connection.close()
    print(f"HAProxy ended after {took:.2f} s")
    assert took < 45
    gone = ("failed", "left")  # HAProxy may end before the leave has spread
    eventually("lb is gone", lambda: first.agent.members()["lb"]["status"] in gone)


def test_a_node_waits_for_a_port_that_is_taken_and_logs_it(haproxy, agent) -> None:
    stranger = agent("stranger")
    proxy = haproxy(BIND=stranger.address)
    shown = eventually(
        "show sprat gives the reason", lambda: (it := proxy.show()) and "in use" in it and it
    )
    assert re.search(rf"^node starting, .*: cannot bind TCP {stranger.address}", shown)
    eventually(
        "the reason is logged", lambda: "sprat: the node is starting: cannot bind" in proxy.log()
    )
    stranger.kill()
    proxy.wait_for_node()


def test_the_reason_is_logged_again_every_minute_of_the_clock(haproxy, agent, tmp_path) -> None:
    # The script's clock is a minute ahead for each character in the file.
    minutes, script = tmp_path / "minutes", tmp_path / "clock.lua"
    script.write_text(
        f"""local real = core.now
core.now = function()
  local now, file = real(), io.open("{minutes}")
  if file then
    now.sec = now.sec + 60 * #file:read("a")
    file:close()
  end
  return now
end
dofile("{SCRIPT}")
"""
    )
    proxy = haproxy(script=script, BIND=agent("stranger").address, POLL_MS="1000")
    for passed in range(5):
        is_logged = lambda n=passed + 1: proxy.log().count("the node is starting: ") >= n  # noqa: E731
        eventually("the reason is logged", is_logged)
        with minutes.open("a") as file:
            file.write("m")


def test_the_reason_why_no_seed_answers_is_shown_and_logged(haproxy, agent) -> None:
    keyed = agent("keyed", "-encrypt=YWFhYWFhYWFhYWFhYWFhYQ==")
    proxy = haproxy(SEEDS=f"{keyed.address},nowhere.invalid")
    why = f"{keyed.address}: the peer encrypts, and this node has no key"
    shown = eventually("the reason is shown", lambda: (it := proxy.show()) and why in it and it)
    no_key = "other members encrypt their messages, and this node has no key"
    assert f"{no_key}: no node answered: " in shown
    assert "nowhere.invalid:7946: the name has no address" in shown
    eventually(
        "the reason is logged",
        lambda: any(
            "sprat: alone in the cluster: no node answered: " in line and why in line
            for line in proxy.log().splitlines()
        ),
    )


def test_a_restart_that_finds_no_member_of_its_snapshot_logs_why_it_is_alone(
    haproxy, saved_webs, tmp_path
) -> None:
    snapshot = tmp_path / "snapshot"
    proxy = haproxy(SNAPSHOT=str(snapshot))
    [only] = saved_webs(proxy, snapshot, 1)
    proxy.end()
    only.agent.kill()
    proxy.start()
    said = f"sprat: alone in the cluster: no node answered: {only.agent.address}: "
    eventually("the reason is logged", lambda: said in proxy.log())


def test_a_process_of_another_user_cannot_take_the_port_over(haproxy, web) -> None:
    proxy = haproxy(HANDOVER_MS="1000")
    first = web("web-1").join(proxy)
    proxy.serves(first)
    proxy.wait_for_handover_connection()
    with socket.socket(socket.AF_UNIX) as stranger:
        os.seteuid(65534)  # the kernel reports the user at the time of the connection
        try:
            stranger.connect((b"\0" + f"sprat-{proxy.ip}:7946".encode()).ljust(108, b"\0"))
        finally:
            os.seteuid(0)
        stranger.sendall(b"handover\n")
        proxy.stop_softly()
        assert proxy.process.wait(PATIENCE) == 0
    first.agent.sees("lb", "left")


def test_remembered_servers_are_checked_at_their_own_addresses(
    haproxy, saved_webs, tmp_path
) -> None:
    snapshot = tmp_path / "snapshot"
    options = {"SNAPSHOT": str(snapshot), "server": "check inter 1s fall 1"}
    proxy = haproxy(**options)
    webs = saved_webs(proxy, snapshot, 2)
    proxy.end()
    again = haproxy(**options)

    def are_checked() -> bool:
        return [it["check_status"] for it in again.statistics().values()] == ["L7OK", "L7OK"]

    eventually("both servers are checked", are_checked)
    assert "Layer4 connection problem" not in again.log(), "a check went to another address"
    webs[0].process.kill()  # its agent lives on
    eventually("its server is down", lambda: again.up() == {webs[1].served_at})


@pytest.mark.parametrize("fault", ['error("a fault", 0)', "return nil"])
def test_a_server_that_fails_or_is_deleted_does_not_keep_another_from_serving(
    haproxy, web, tmp_path, fault
) -> None:
    # A server that was deleted has no address any more.
    first, fault_file = web("web-1"), tmp_path / "fault"
    script = with_method(
        tmp_path / "faulty.lua",
        "get_addr",
        f"""function(self)
    local address = real(self)
    local file = address == "{first.served_at}" and io.open("{fault_file}")
    if not file then return address end
    file:close()
    {fault}
  end""",
    )
    proxy = haproxy(script=script)
    first.join(proxy)
    proxy.serves(first)
    fault_file.touch()
    first.set_tags("weight=9")
    eventually("the change is decided", lambda: "weight 9" in proxy.members()["web-1"])
    second = web("web-2").join(proxy)
    proxy.serves(first, second)
    is_error = "error" in fault
    unreachable = lambda: "unreachable" in proxy.members()["web-1"]  # noqa: E731
    eventually("it is reported", lambda: is_error or unreachable())
    for what in ("changed", "read"):
        line = f"of backend nodes cannot be {what}: a fault; this is tried again"
        eventually("each error is logged", lambda text=line: (text in proxy.log()) == is_error)
        assert proxy.log().count(line) == is_error, "an error is logged once"
    fault_file.unlink()
    first.set_tags("weight=7")
    weights = lambda: {it["weight"] for it in proxy.statistics().values()}  # noqa: E731
    eventually("the weight is set", lambda: weights() == {"7", "100"})


@pytest.mark.parametrize("fault", ["real(600000)", 'error("a fault", 0)'])
def test_a_task_that_no_longer_runs_is_replaced(haproxy, web, tmp_path, fault) -> None:
    # Only the task that serves sleeps for 20 ms or less at a time.
    fault_file = tmp_path / "fault"
    script = tmp_path / "faulty.lua"
    script.write_text(
        f"""local real, is_done = core.msleep, false
core.msleep = function(ms)
  if ms <= 20 and not is_done and io.open("{fault_file}") then
    is_done = true
    {fault}
  end
  return real(ms)
end
dofile("{SCRIPT}")
"""
    )
    proxy = haproxy(script=script)
    first = web("web-1").join(proxy)
    proxy.serves(first)
    fault_file.touch()
    eventually("a new task replaces the old one", lambda: "a new task replaces it" in proxy.log())
    second = web("web-2").join(proxy)
    proxy.serves(first, second)
