"""User events that reach Lua functions, and the round-trip times that `show sprat` shows."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

from cluster import eventually
from conftest import SCRIPT

import sprat

COLLECT = """
local sprat = require("sprat")
sprat.on_event(function(event)
  local file = assert(io.open("{notes}", "a"))
  file:write(event.name, " ", event.payload, " ", math.type(event.ltime), " ",
    tostring(event.coalesce), "\\n")
  file:close()
end)
"""
"""A function that notes each event."""


def script(folder: Path, functions: str) -> Path:
    """Write a script that loads the module's script, and then runs this code."""
    file = folder / "functions.lua"
    file.write_text(f'dofile("{SCRIPT}")\n{functions}')
    return file


def send(agent, name: str, payload: str, coalesce: str = "false") -> None:
    agent.must("event", f"-coalesce={coalesce}", name, payload)


def counted(proxy) -> tuple[int, int]:
    """Return how many user events were taken and how many were dropped."""
    found = re.search(r"^user events: (\d+) taken, (\d+) dropped$", proxy.show(), re.MULTILINE)
    assert found, proxy.show()
    return int(found[1]), int(found[2])


def test_a_user_event_of_an_agent_reaches_every_function_once(haproxy, web, tmp_path) -> None:
    notes, functions = tmp_path / "notes", tmp_path / "functions.lua"
    functions.write_text(COLLECT.format(notes=notes) * 2)
    proxy = haproxy(user=f"    lua-load {functions}")
    one = web("web-1").join(proxy)
    proxy.serves(one)
    assert counted(proxy) == (0, 0)
    send(one.agent, "deploy", "v2")
    send(one.agent, "cache", "", "true")
    eventually("both events are taken", lambda: counted(proxy) == (2, 0))
    expected = ["cache  integer true"] * 2 + ["deploy v2 integer false"] * 2
    eventually(
        "the functions have noted them",
        lambda: sorted(notes.read_text().splitlines()) == expected,
    )
    shown = json.loads(proxy.cli("show sprat json"))
    assert shown["user_events"] == {"taken": 2, "dropped": 0}


def test_a_function_that_fails_or_waits_hurts_neither_requests_nor_servers(
    haproxy, web, load, tmp_path
) -> None:
    notes = tmp_path / "notes"
    functions = """
local sprat = require("sprat")
sprat.on_event(function(event) error("on purpose: " .. event.name) end)
sprat.on_event(function(event)
  if event.name == "wait" then core.msleep(3600000) end
  if event.name == "spin" then for n = 1, 20000000 do math.abs(n) end end
end)
"""
    functions += COLLECT.format(notes=notes)
    proxy = haproxy(script=script(tmp_path, functions))
    one = web("web-1").join(proxy)
    proxy.serves(one)
    requests = load(proxy)
    send(one.agent, "spin", "")
    eventually("the last function gets the event", lambda: notes.exists())
    for words in ("a function of on_event failed (1 times", "on purpose: spin"):
        eventually("the failure is logged", lambda words=words: words in proxy.log())
    send(one.agent, "wait", "")
    eventually("the event is taken", lambda: counted(proxy) == (2, 0))
    two = web("web-2").join(proxy)
    proxy.serves(one, two)
    requests.stop()
    assert not requests.failures_without()
    assert len(notes.read_text().splitlines()) == 1


def test_events_that_a_slow_function_leaves_waiting_are_dropped_and_counted(
    haproxy, addresses, tmp_path
) -> None:
    functions = """
require("sprat").on_event(function() core.msleep(3600000) end)
"""
    proxy = haproxy(script=script(tmp_path, functions))
    proxy.wait_for_node()
    node = sprat.Node(name="sender", bind=addresses.address(), profile="local")
    with contextlib.closing(node):
        for number in range(400):
            node.send_event("flood", str(number).encode())

        def are_dropped() -> bool:
            node.join(f"{proxy.ip}:7946")  # which also hands over the latest events
            return counted(proxy)[1] > 0

        eventually("events are dropped", are_dropped)
    eventually("the function has its first event", lambda: counted(proxy)[0] == 1)
    eventually(
        "an alert says so", lambda: "user events are dropped, because a function" in proxy.log()
    )


def test_without_a_function_user_events_are_not_kept(haproxy, web) -> None:
    proxy = haproxy()
    one = web("web-1").join(proxy)
    proxy.serves(one)
    send(one.agent, "deploy", "v2")
    assert "user events" not in proxy.show()
    assert json.loads(proxy.cli("show sprat json"))["user_events"] is None


def test_show_sprat_has_the_round_trip_time_to_each_member(haproxy, web) -> None:
    proxy = haproxy()
    webs = [web(f"web-{n}").join(proxy) for n in range(2)]
    proxy.serves(*webs)

    def times() -> list[tuple[float | None, float | None]]:
        (backend,) = json.loads(proxy.cli("show sprat json"))["backends"]
        return [(it["rtt"], it["rtt_estimated"]) for it in backend["servers"]]

    eventually(
        "both members have answered pings",
        lambda: len(times()) == 2 and all(a and b for a, b in times()),
    )
    assert all(0 < it < 60 for both in times() for it in both if it)
    for it in webs:
        assert re.search(r"\(rtt [\d.]+ ms, estimated [\d.]+ ms\)$", proxy.members()[it.name])
