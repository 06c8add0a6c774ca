"""Servers that change their addresses at a time when HAProxy does not take the new ones."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster import PATIENCE, eventually
from conftest import HERE, with_method

PORT = 3001
"""The port to which a server moves."""
LATE = "HAProxy has not taken the address"


class Fault:
    """While it is on, HAProxy takes no address with the port `PORT`.

    Without the fault, HAProxy 2.6 takes every address immediately, HAProxy 3 after a moment.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "fault"
        self.script = with_method(
            folder / "stubborn.lua",
            "set_addr",
            f"""function(self, ip, port)
    local file = port == {PORT} and io.open("{self._file}")
    if not file then return real(self, ip, port) end
    file:close()
  end""",
        )

    def begin(self) -> None:
        self._file.touch()

    def end(self) -> None:
        self._file.unlink()


@pytest.fixture
def moving(
    haproxy: Callable[..., Any], web: Callable[..., Any], tmp_path: Path
) -> Iterator[tuple[Any, Any, Any, Fault]]:
    """An HAProxy with two ready servers, the first of which waits for its new address."""
    fault = Fault(tmp_path)
    proxy = haproxy(script=fault.script)
    first, second = web("web-0").join(proxy), web("web-1").join(proxy)
    proxy.serves(first, second)
    line = [sys.executable, str(HERE / "web.py"), "web-0", first.ip, str(PORT)]
    fault.begin()
    first.set_tags("role=backend", f"port={PORT}")
    eventually("the script logs that it waits", lambda: LATE in proxy.log())
    proxy.serves(second)
    process = subprocess.Popen(line)
    yield proxy, first, second, fault
    process.kill()
    process.wait(PATIENCE)


@pytest.mark.parametrize("tag", ["state=drain", "role=other"])
def test_the_last_server_stays_while_the_other_one_waits_for_its_address(
    moving, web, load, tag
) -> None:
    proxy, first, second, fault = moving
    idle = web("web-2", "state=drain").join(proxy)
    eventually("the third member drains", lambda: "drain" in proxy.members().get("web-2", ""))
    requests = load(proxy, 200)
    second.set_tags("port=3000", tag)
    is_due = lambda: "ready" not in proxy.members().get("web-1", "")  # noqa: E731
    eventually("the removal is decided", is_due)
    # The script carries out one change after the other: once HAProxy has this weight, the script
    # has dealt with the removal.
    idle.set_tags("weight=9")
    weights = lambda: {it["weight"] for it in proxy.statistics().values()}  # noqa: E731
    eventually("the weight is set", lambda: "9" in weights())
    assert proxy.up() == {second.served_at}
    fault.end()
    eventually("the first server moves", lambda: proxy.up() == {f"{first.ip}:{PORT}"})
    requests.stop()
    assert requests.failures == []


@pytest.mark.parametrize("order", ["drain", "maint"])
def test_an_order_does_not_wait_for_another_server(moving, order) -> None:
    proxy, _, _, _ = moving
    assert proxy.cli(f"sprat {order} web-1") == "done"
    eventually("no server is left", lambda: proxy.up() == set())


def test_an_order_does_not_wait_for_the_address_of_its_own_server(moving) -> None:
    proxy, _, second, _ = moving
    second.set_tags(f"port={PORT}")
    new = f"{second.ip}:{PORT}"
    eventually("the move is decided", lambda: new in proxy.members()["web-1"])
    eventually("its move is retried", lambda: f"{LATE} {second.ip}" in proxy.log())
    assert proxy.up() == {second.served_at}, "the last server is not stopped"
    assert proxy.cli("sprat drain web-1") == "done"
    eventually("no server is left", lambda: proxy.up() == set())


@pytest.mark.parametrize("starts_by", ["move", "enable"])
def test_a_server_that_starts_anew_is_not_unreachable_because_of_earlier_checks(
    haproxy, web, tmp_path, starts_by
) -> None:
    # While the file exists, HAProxy reports five failed checks and the status "UP 1/2". This status
    # means that the last check failed, or that there was no check since the start of the server.
    fault = tmp_path / "fault"
    script = with_method(
        tmp_path / "checks.lua",
        "get_stats",
        f"""function(self)
    local stats, file = real(self), io.open("{fault}")
    if not file then return stats end
    file:close()
    stats.chkfail = "5"
    if not stats.status:match("^MAINT") then stats.status = "UP 1/2" end
    return stats
  end""",
    )
    proxy = haproxy(script=script)
    first = web("web-0").join(proxy)
    proxy.serves(first)
    [name] = proxy.servers()
    fault.touch()
    is_unreachable = lambda: "unreachable" in proxy.members()["web-0"]  # noqa: E731
    eventually("the last check has failed", is_unreachable)
    if starts_by == "move":
        first.set_tags("role=backend", f"port={PORT}")
    else:
        proxy.cli(f"set server nodes/{name} state maint")
        eventually("it is stopped", lambda: "HAProxy has state maint" in proxy.show())
        assert is_unreachable()
        proxy.cli(f"set server nodes/{name} state ready")
    eventually("it was not checked since its start", lambda: not is_unreachable())


@pytest.mark.parametrize("poll", ["20", "1000"])
def test_the_last_server_stays_until_haproxy_has_reached_the_new_one(
    haproxy, web, load, poll
) -> None:
    # With the long pause, the script learns of the failed check in the turn in which it tries the
    # removal again, long before the controller can answer.
    proxy = haproxy(POLL_MS=poll)
    first = web("web-0").join(proxy)
    second = web("web-1", "state=maint").join(proxy)
    eventually("the second member is stopped", lambda: "maint" in proxy.members().get("web-1", ""))
    second.end()
    proxy.serves(first)
    requests = load(proxy, 200)
    first.set_tags("state=drain")
    eventually("the last server is held", lambda: "held" in proxy.members()["web-0"])
    # HAProxy counts the server as up until the first health check, which nobody answers.
    second.set_tags("state=ready")
    eventually("the check fails", lambda: "unreachable" in proxy.members()["web-1"])
    assert first.served_at in proxy.up()
    second.restart()
    eventually("the second server replaces it", lambda: proxy.up() == {second.served_at})
    requests.stop()
    assert requests.failures == []


@pytest.mark.parametrize(
    "command", ["set server {} state maint", "set server {} state drain", "set weight {} 0"]
)
def test_a_server_that_someone_has_just_taken_away_does_not_count_as_serving(
    haproxy, web, load, command
) -> None:
    # With this pause, the removal is carried out before the script has read the server that the
    # command takes away.
    proxy = haproxy(POLL_MS="1000")
    first, second = web("web-0").join(proxy), web("web-1").join(proxy)
    proxy.serves(first, second)
    names = {at: name for name, (_, at) in proxy.servers().items()}
    requests = load(proxy, 200)
    proxy.cli(command.format(f"nodes/{names[first.served_at]}"))
    second.set_tags("role=backend", "port=3000", "state=drain")
    held = "held: HAProxy would reach no other ready server"
    eventually("the last server is held", lambda: held in proxy.members()["web-1"])
    assert second.served_at in proxy.up()
    requests.stop()
    assert requests.failures == []
