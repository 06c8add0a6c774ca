"""The module itself: its imports, its settings, and how Lua and HAProxy load it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from pathlib import Path

import pytest
from cluster import PATIENCE, eventually
from conftest import CONFIG, CONFINED, HAPROXY, SCRIPT, WITHOUT_MODULE, HAProxy

IMPORTED = {
    "lua_createtable", "lua_setfield", "lua_getfield", "lua_pushcclosure", "lua_pushinteger",
    "lua_pushboolean", "lua_pushnil", "lua_pushlstring", "lua_tolstring", "lua_tointegerx",
    "lua_toboolean", "lua_type", "lua_settop", "lua_rawseti",
}  # fmt: skip

LUA = """
package.cpath = "{modules}/?.so"
local m = require("sprat")
assert(m.version():match("^%d+%.%d+%.%d+$"))
for name, call in pairs(m) do
  if not ({{ prepare = 1, start = 1, version = 1, generation = 1 }})[name] then
    for _, arguments in ipairs({{
      {{}}, {{ {{}}, {{}} }}, {{ "x", "y", "z" }}, {{ -1, 1e300 }}, {{ true }}, {{ "\\255" }},
      {{ ("x"):rep(100000), "\\0" }},
    }}) do
      local ok, answer, why = pcall(call, table.unpack(arguments))
      assert(ok, name)
      assert(answer ~= nil or why == nil or type(why) == "string", name)
    end
  end
end
local answer, why = m.panic()
assert(answer == nil and why:match("^internal error: on purpose"), why)
print("fine")
"""


def test_the_module_imports_only_functions_that_every_lua_has(modules: Path) -> None:
    symbols = subprocess.run(
        ["nm", "-D", str(modules / "sprat.so")], capture_output=True, text=True, check=True
    ).stdout
    imported = set(re.findall(r" U (lua\w*)", symbols))
    assert imported
    assert imported <= IMPORTED
    assert re.findall(r" [TDBR] (\w+)", symbols) == ["luaopen_sprat"]
    dynamic = subprocess.run(
        ["readelf", "-d", str(modules / "sprat.so")], capture_output=True, text=True, check=True
    ).stdout
    assert "NODELETE" in dynamic
    assert "liblua" not in dynamic


@pytest.mark.parametrize("lua", ["lua5.3", "lua5.4"])
def test_the_module_loads_in_every_lua_and_no_call_raises(
    lua: str, modules: Path, tmp_path: Path
) -> None:
    script = tmp_path / "try.lua"
    script.write_text(LUA.format(modules=modules))
    done = subprocess.run(
        [lua, str(script)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr


@pytest.mark.parametrize("user", ["", CONFINED], ids=["same user", "confined"])
@pytest.mark.parametrize("flags", [(), ("-D",), ("-W",), ("-W", "-D")], ids=" ".join)
def test_the_module_runs_however_haproxy_is_started(haproxy, web, flags, user) -> None:
    if user:
        assert os.geteuid() == 0, "changing the user and the root directory needs root"
    proxy = haproxy(*flags, user=user)
    proxy.serves(web("web-1").join(proxy))
    worker = proxy.worker()
    tasks = list(Path(f"/proc/{worker}/task").iterdir())
    ours = [it for it in tasks if (it / "comm").read_text().startswith("sprat-")]
    names = sorted((it / "comm").read_text().strip() for it in ours)
    assert names == ["sprat-control", "sprat-engine", "sprat-resolver"]
    for task in ours:
        status = dict(
            line.split(":\t", 1)
            for line in (task / "status").read_text().splitlines()
            if ":\t" in line
        )
        of_worker = Path(f"/proc/{worker}/status").read_text()
        assert f"Uid:\t{status['Uid']}" in of_worker
        assert f"NoNewPrivs:\t{status['NoNewPrivs']}" in of_worker
        for number in (1, 2, 10, 12, 15):  # SIGHUP, SIGINT, SIGUSR1, SIGUSR2, SIGTERM
            assert int(status["SigBlk"], 16) >> (number - 1) & 1, f"signal {number} is not blocked"
    for other in set(proxy.processes()) - {worker}:
        names = [(it / "comm").read_text() for it in Path(f"/proc/{other}/task").iterdir()]
        assert not any(name.startswith(("sprat-engine", "sprat-control")) for name in names)


def test_a_script_for_each_thread_is_one_member(haproxy, web) -> None:
    proxy = haproxy(template=CONFIG.replace("lua-load", "lua-load-per-thread"))
    webs = [web(f"web-{n}").join(proxy) for n in range(2)]
    proxy.serves(*webs)
    eventually("all are members", lambda: "members 3" in proxy.show())
    assert proxy.show().count("backend nodes") == 1
    webs[0].set_tags("role=backend", "port=3000", "weight=7")
    eventually("the weight is there", lambda: "weight 7" in proxy.show())
    webs[1].kill()
    proxy.serves(webs[0])


def test_checking_a_configuration_starts_nothing_and_finds_mistakes(haproxy, tmp_path) -> None:
    proxy = haproxy()
    fine = proxy.config.read_text()
    for wrong, says in (
        ("setenv SPRAT_PROFILE man", 'profile is "man", allowed: lan, wan or local'),
        ("setenv SPRAT_TAGS role", "role is not KEY=VALUE"),
        ("setenv SPRAT_SETTINGS probe_intervall_ms=5", 'the nearest is "probe_interval_ms"'),
        ("setenv SPRAT_POLL_MS soon", "SPRAT_POLL_MS is soon, allowed: 1 to 1000"),
        ("setenv SPRAT_POLL_MS 0", "SPRAT_POLL_MS is 0, allowed: 1 to 1000"),
        ("setenv SPRAT_HANDOVER_MS -1", "SPRAT_HANDOVER_MS is -1, allowed: 0 to 60000"),
        ("setenv SPRAT_LOOPBACK YES", "SPRAT_LOOPBACK is YES, allowed: yes or no"),
        ("setenv SPRAT_KEYRING_FILE /nowhere", "cannot read /nowhere"),
        ("setenv SPRAT_BIND here", 'SPRAT_BIND: bind is "here"'),
        ("setenv SPRAT_BACKEND 'nodes nodes'", "SPRAT_BACKEND names nodes twice"),
        ("setenv SPRAT_BACKEND nodes,api", "nodes,api is neither BACKEND nor BACKEND:KEY=VALUE"),
        ("setenv SPRAT_BACKEND nodes=web", "nodes=web is neither BACKEND nor BACKEND:KEY=VALUE"),
        ("setenv SPRAT_BACKEND nodes:web", "there is no backend nodes:web"),
        ("setenv SPRAT_SERVER_STATE /nowhere", "SPRAT_SERVER_STATE needs SPRAT_SNAPSHOT"),
        ("setenv SPRAT_SNAPSHOT /nonexistent/x", "the snapshot /nonexistent/x cannot be opened"),
        (f"setenv SPRAT_SNAPSHOT {proxy.config}", "it holds something other than a snapshot"),
        ("setenv SPRAT_BACKEND nowhere", "there is no backend nowhere"),
        ("setenv SPRAT_BACKEND fe", "there is no backend fe"),
    ):
        config = tmp_path / "wrong.cfg"
        config.write_text(fine.replace("    lua-load", f"    {wrong}\n    lua-load"))
        # A check does not look for the backends: only a start finds that one is missing.
        line = [HAPROXY, "-f", str(config)] + ([] if "there is no" in says else ["-c"])
        done = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 1, wrong
        assert says in done.stderr, done.stderr
    late = fine.replace("\nfrontend fe", "\nglobal\n    setenv SPRAT_NAME late\nfrontend fe")
    config.write_text(late)
    done = subprocess.run(
        [HAPROXY, "-f", str(config)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    assert "setenv SPRAT_NAME comes after lua-load" in done.stderr


def test_a_seed_that_is_a_host_name_is_resolved_before_the_chroot(haproxy, agent) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    agent("named", f"-bind=127.0.0.1:{port}")
    proxy = haproxy(user=CONFINED, SEEDS=f"localhost:{port},nowhere.invalid")
    eventually("the seed is joined", lambda: "members 2" in proxy.show())
    assert "sprat: seeds without an address: nowhere.invalid\n" in proxy.log()


def test_a_warning_names_a_variable_that_is_not_a_setting(haproxy) -> None:
    proxy = haproxy(SEED="127.0.0.1")
    assert "sprat: ignored unknown settings: SPRAT_SEED\n" in proxy.log()


def test_a_panic_in_a_call_leaves_haproxy_alone(haproxy, web, tmp_path) -> None:
    script = tmp_path / "panic.lua"
    lines = SCRIPT.read_text() + (
        '\ncore.register_cli({ "sprat", "panic" }, "", function(applet)\n'
        "  local _, why = sprat.panic()\n  applet:send(why)\nend)\n"
    )
    script.write_text(lines)
    proxy = haproxy(script=script)
    first = web("web-1").join(proxy)
    assert "internal error: on purpose" in proxy.cli("sprat panic")
    proxy.serves(first)


def test_at_rest_the_module_takes_little_processor_time(haproxy, web) -> None:
    proxy = haproxy()
    proxy.serves(web("web-1").join(proxy))
    ticks = os.sysconf("SC_CLK_TCK")

    def used() -> float:
        fields = Path(f"/proc/{proxy.worker()}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / ticks

    before, began = used(), time.monotonic()
    time.sleep(3)
    share = (used() - before) / (time.monotonic() - began)
    print(f"at rest: {share * 100:.2f} % of a core")
    assert share < 0.05, "the limit is several times the share on a quiet machine"
    eventually("HAProxy still serves", proxy.up)


def test_the_module_adds_a_few_megabytes_to_the_worker(haproxy, web) -> None:
    def resident(proxy: HAProxy) -> int:
        lines = Path(f"/proc/{proxy.worker()}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))

    server = "server-template app 1-8 0.0.0.0:1 disabled check"
    plain = haproxy(template=WITHOUT_MODULE, server=server)
    time.sleep(1)  # time to settle
    without = resident(plain)
    plain.end()
    proxy = haproxy()
    proxy.serves(*[web(f"web-{n}").join(proxy) for n in range(3)])
    time.sleep(1)
    more = resident(proxy) - without
    print(f"the worker takes {more} KiB more")
    assert more < 6 * 1024
