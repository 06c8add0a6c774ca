"""`sprat-hap` drives an HAProxy without the module, and answers agent checks."""

from __future__ import annotations

import re
import resource
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from cluster import PATIENCE, eventually
from conftest import HAP, NO_SERVER, WITHOUT_MODULE

FORGETFUL = ("--set", "tombstone_timeout_ms=1000", "--set", "reconnect_timeout_ms=1000")
"""Settings with which members that have left or failed are soon forgotten. Both are needed: a leave
that the node does not hear about in time counts as a failure."""


def served(proxy, driver, web, count: int) -> list:
    """Start this many web servers, web-0 and so on, and wait until HAProxy serves them."""
    webs = [web(f"web-{n}") for n in range(count)]
    for it in webs:
        driver.join(it.agent)
    proxy.serves(*webs)
    return webs


def test_servers_come_and_go_under_their_own_names_and_others_are_left_alone(
    haproxy, hap, web, load
) -> None:
    proxy = haproxy(template=WITHOUT_MODULE, server="server fixed 127.0.0.1:1 disabled")
    driver = hap([proxy], "--drain-ms", "500", *FORGETFUL)
    webs = served(proxy, driver, web, 3)
    assert set(proxy.servers()) == {"fixed", "web-0", "web-1", "web-2"}
    said = f"server web-1 (at {webs[1].served_at}) is ready"
    eventually("the server has the name of its member", lambda: said in driver.log())
    requests = load(proxy, 150)
    webs[0].set_tags("role=backend", "port=3000", "state=drain", "weight=7")
    proxy.serves(*webs[1:])
    assert proxy.servers()["web-0"][0].startswith("DRAIN")
    assert proxy.cli("get weight nodes/web-0").startswith("7 ")
    webs[0].set_tags("role=backend", "port=3000", "state=ready")
    proxy.serves(*webs)
    webs[1].leave()
    proxy.serves(webs[0], webs[2])
    eventually(
        "the server of the member that left is deleted", lambda: "web-1" not in proxy.servers()
    )
    death = webs[2].kill()
    proxy.serves(webs[0])
    requests.stop()
    assert requests.failures_without(death) == []
    assert "fixed" in proxy.servers()


def test_an_haproxy_that_reloads_gets_all_servers_again(haproxy, hap, web) -> None:
    proxy = haproxy("-W", template=WITHOUT_MODULE, server=NO_SERVER)
    driver = hap([proxy])
    webs = served(proxy, driver, web, 2)
    proxy.reload()
    proxy.serves(*webs)


EMPTY = "1\n# be_id\n"
"""A server-state file without servers."""
SLOTS = "server-template app 1-8 member.invalid:1 init-addr last,0.0.0.0 disabled check inter 1s"


def with_template(haproxy, folder, balance="roundrobin"):
    """Start an HAProxy with slots and a server-state file.

    Return the HAProxy, the options of `sprat-hap`, and the file.
    """
    state = folder / "servers"
    state.write_text(EMPTY)
    text = WITHOUT_MODULE.replace("global\n", f"global\n    server-state-file {state}\n")
    text = text.replace("defaults\n", "defaults\n    load-server-state-from-file global\n")
    text = text.replace("balance roundrobin", f"balance {balance}")
    options = ["--template", "app 1-8", "--snapshot", str(folder / "snapshot")]
    options += ["--server-state", str(state)]
    return haproxy("-W", template=text, server=SLOTS), options, state


def test_with_a_template_reloads_lose_no_request(haproxy, hap, web, load, tmp_path) -> None:
    proxy, options, state = with_template(haproxy, tmp_path)
    driver = hap([proxy], *options)
    webs = [web(f"web-{n}", f"weight={n + 5}") for n in range(3)]
    for it in webs:
        driver.join(it.agent)
    proxy.serves(*webs)
    webs[0].set_tags("role=backend", "port=3000", "state=drain")
    proxy.serves(*webs[1:])
    eventually("the drain is in the file", lambda: f" {webs[0].ip} 2 12 " in state.read_text())
    written = lambda it: f" {it.ip} 2 4 " in state.read_text()  # noqa: E731
    eventually("the others are in the file", lambda: all(written(it) for it in webs[1:]))
    requests = load(proxy, 200)
    for _ in range(5):
        proxy.reload()
    eventually("HAProxy drains", lambda: "DRAIN" in str(proxy.statistics()))
    proxy.serves(*webs[1:])
    # A restart of sprat-hap keeps the servers that it finds, even without its snapshot.
    driver.process.kill()
    driver.process.wait(PATIENCE)
    (tmp_path / "snapshot").unlink()
    again = hap([proxy], *options)
    again.join(webs[1].agent)
    webs[0].set_tags("role=backend", "port=3000", "state=ready")
    proxy.serves(*webs)
    webs[1].leave()
    proxy.serves(webs[0], webs[2])
    requests.stop()
    assert requests.failures == []


def test_with_a_template_a_member_that_waits_takes_the_slot_of_a_server_that_is_down_for_long(
    haproxy, hap, web, tmp_path
) -> None:
    proxy, options, _ = with_template(haproxy, tmp_path)
    options[options.index("app 1-8")] = "app 1-2"
    driver = hap([proxy], *options)
    webs = served(proxy, driver, web, 2)
    third = web("web-2")
    driver.join(third.agent)
    eventually("the third member waits", lambda: "(1 waiting)" in driver.log())
    webs[0].process.kill()  # its agent lives on, so the cluster sees the member alive
    proxy.serves(webs[1], third, within=PATIENCE + 30)
    place = f"(web-2 at {third.served_at}, in place of web-0) is ready"
    eventually("the change is logged", lambda: place in driver.log())


def test_with_a_static_balance_a_server_that_someone_has_stopped_stays_stopped(
    haproxy, hap, web, tmp_path
) -> None:
    proxy, options, _ = with_template(haproxy, tmp_path, "static-rr")
    driver = hap([proxy], *options)
    webs = served(proxy, driver, web, 2)
    eventually("the weight is refused", lambda: "using a static LB algorithm" in driver.log())
    name = next(it for it, (_, at) in proxy.servers().items() if at == webs[0].served_at)
    proxy.cli(f"disable server nodes/{name}")
    said = f"server {name} (web-0): HAProxy has state maint"
    eventually("the change is logged", lambda: said in driver.log())
    proxy.serves(webs[1])


def test_a_server_that_someone_has_stopped_stays_stopped_after_a_reload_but_not_a_fresh_start(
    haproxy, hap, web, tmp_path
) -> None:
    proxy, options, state = with_template(haproxy, tmp_path)
    driver = hap([proxy], *options)
    webs = served(proxy, driver, web, 2)
    name = next(it for it, (_, at) in proxy.servers().items() if at == webs[0].served_at)
    proxy.cli(f"disable server nodes/{name}")
    said = f"server {name} (web-0): HAProxy has state maint"
    eventually("the change is logged", lambda: said in driver.log())
    eventually("the change is in the file", lambda: f" {webs[0].ip} 0 5 " in state.read_text())
    proxy.reload()
    eventually("the new process is asked", lambda: "HAProxy has state maint" in driver.report())
    proxy.serves(webs[1])
    proxy.end()
    state.write_text(EMPTY)
    proxy.start()
    proxy.serves(*webs)


def test_the_only_slot_gets_another_member_while_requests_go_on(
    haproxy, hap, web, load, tmp_path
) -> None:
    proxy = haproxy(template=WITHOUT_MODULE, server=SLOTS.replace("1-8", "1"))
    options = ("--template", "app 1", "--snapshot", str(tmp_path / "snapshot"))
    driver = hap([proxy], *options)
    first, second = web("web-1"), web("web-2")
    driver.join(first.agent)
    proxy.serves(first)
    driver.join(second.agent)
    eventually("the other member waits", lambda: "1 waiting" in driver.report())
    requests = load(proxy, 200)
    first.set_tags("role=other", "port=3000")
    proxy.serves(second)
    requests.stop()
    assert requests.failures == []


def test_a_state_that_someone_else_sets_is_left_alone(haproxy, hap, web) -> None:
    proxy = haproxy(template=WITHOUT_MODULE, server=NO_SERVER)
    driver = hap([proxy])
    webs = served(proxy, driver, web, 2)
    proxy.cli("disable server nodes/web-0")
    said = "server web-0: HAProxy has state maint"
    eventually("the change is logged", lambda: said in driver.log())
    assert "HAProxy has state maint" in driver.report()
    webs[0].set_tags("role=backend", "port=3000", "weight=9")
    eventually("the weight follows", lambda: proxy.cli("get weight nodes/web-0").startswith("9 "))
    proxy.serves(webs[1])
    webs[1].set_tags("role=backend", "port=3000", "state=drain")
    held = "held: HAProxy would reach no other ready server"
    eventually("the last server is held", lambda: held in driver.report())
    proxy.cli("enable server nodes/web-0")
    proxy.serves(webs[0])
    eventually("no state differs", lambda: "HAProxy has" not in driver.report())


@pytest.mark.parametrize(
    ("command", "differs"),
    [
        ("set weight nodes/web-0 0", "weight 0"),
        ("set server nodes/web-0 state drain", "state drain"),
        ("set server nodes/web-0 addr 127.0.0.99 port 9", "address 127.0.0.99:9"),
    ],
)
def test_a_part_that_someone_else_has_set_is_kept_logged_once_and_shown(
    haproxy, hap, web, tmp_path, command, differs
) -> None:
    proxy = haproxy(template=WITHOUT_MODULE, server=NO_SERVER)
    driver = hap([proxy])
    webs = served(proxy, driver, web, 2)
    proxy.cli(command)
    said = f"server web-0: HAProxy has {differs}"
    eventually("the change is logged", lambda: said in driver.log())
    eventually("the change is shown", lambda: f"HAProxy has {differs}" in driver.report())
    webs[1].set_tags("role=backend", "port=3000", "weight=9")
    eventually("a later round", lambda: proxy.cli("get weight nodes/web-1").startswith("9 "))
    time.sleep(2)  # two more rounds
    eventually("the change is shown", lambda: f"HAProxy has {differs}" in driver.report())
    assert driver.log().count(said) == 1


ONE_MEMBER = "an order is for one member"
HINT = "`show` (`show sprat` on HAProxy's socket) lists the members"


def ask(path, command: str, is_open: bool = False) -> str:
    """Return the answer of a control socket to a command."""
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(PATIENCE)
        control.connect(str(path))
        control.sendall(command.encode(errors="surrogateescape"))
        if not is_open:
            control.shutdown(socket.SHUT_WR)
        return control.makefile().read()


def test_an_operator_takes_a_server_away_until_the_order_is_withdrawn(
    haproxy, hap, web, tmp_path
) -> None:
    proxy, options, _ = with_template(haproxy, tmp_path)
    control = tmp_path / "control"
    driver = hap([proxy], *options, "--control", str(control))
    webs = served(proxy, driver, web, 2)
    assert ask(control, "drain web-0\n") == "ok\n"
    proxy.serves(webs[1])
    assert "; an operator ordered drain" in ask(control, "show\n")
    assert '"order":"drain"' in ask(control, "show json")
    # The order survives new tags, a reload, and a restart of sprat-hap.
    webs[0].set_tags("role=backend", "port=3000", "state=ready", "weight=9")
    proxy.reload()
    proxy.serves(webs[1])
    snapshot = tmp_path / "snapshot"
    eventually("the order is saved", lambda: b" drain web-0\n" in snapshot.read_bytes())
    driver.process.kill()
    driver.process.wait(PATIENCE)
    driver = hap([proxy], *options, "--control", str(control))
    driver.join(webs[1].agent)
    eventually("the order is shown", lambda: "ordered drain" in ask(control, "show"))
    proxy.serves(webs[1])
    # An order may stop even the last server.
    ask(control, "maint web-1")
    proxy.serves()
    ask(control, "auto web-0")
    ask(control, "auto web-1")
    proxy.serves(*webs)
    driver.process.terminate()
    driver.process.wait(PATIENCE)
    assert not control.exists()


def test_an_order_that_the_snapshot_does_not_keep_says_so(haproxy, hap, web, tmp_path) -> None:
    proxy, options, _ = with_template(haproxy, tmp_path)
    control = tmp_path / "control"
    # With this limit, in blocks of 512 bytes, the second record of the file cannot be written.
    shell = "trap '' XFSZ; ulimit -S -f 400"
    driver = hap([proxy], *options, "--control", str(control), shell=shell)
    first = web("web-0")
    driver.join(first.agent)
    proxy.serves(first)
    why = "File too large (os error 27)"
    said = f"the snapshot cannot be written ({why})"
    eventually("the failure is logged", lambda: said in driver.log())
    remark = "a reload or restart will undo it, because the snapshot cannot be written"
    assert ask(control, "drain web-0") == f"ok, but {remark}: {why}\n"
    assert ask(control, "freeze") == f"ok, but {remark}: {why}\n"
    assert said in ask(control, "show")
    assert driver.log().count(said) == 1


def test_the_control_socket_explains_what_is_wrong(haproxy, hap, web, tmp_path) -> None:
    control = tmp_path / "control"
    driver = hap([haproxy(template=WITHOUT_MODULE, server=NO_SERVER)], "--control", str(control))
    driver.join(web("web-1").agent)
    eventually("the member is known", lambda: "web-1" in ask(control, "show"))
    for command, answer in (
        ("drain nobody", f'error: there is no member "nobody"; {HINT}\n'),
        ("drain", "error: `drain` needs the name of a member\n"),
        (
            "maint web-1 web-2",
            f"error: {ONE_MEMBER}, got 2 names (web-1 web-2); give one order for each\n",
        ),
        ("stop web-1\n", 'error: unknown command "stop web-1"; `help` lists all\n'),
        ("\n", 'error: unknown command ""; `help` lists all\n'),
        ("drain a\nauto b\n", 2 * f'error: there is no member "?"; {HINT}\n'),
        ("", ""),
        ("x" * 1025, "error: a command has at most 1024 bytes\n"),
        ("x" * 100000 + "\nshow\n", "error: a command has at most 1024 bytes\n"),
        ("\udcff\n", "error: a command must be UTF-8\n"),
    ):
        assert re.sub('"[ab]"', '"?"', ask(control, command)) == answer
    assert "auto NAME" in ask(control, "help\n")
    # A command without a newline is not carried out while more of it may come.
    wrong = "error: the command did not end with a newline within 5 s\n"
    assert ask(control, "drain web-1", is_open=True) == wrong
    assert "ordered drain" not in ask(control, "show")
    ask(control, "freeze")
    eventually("removals are frozen", lambda: "frozen" in ask(control, "show"))
    ask(control, "thaw")
    eventually("removals are thawed", lambda: "frozen" not in ask(control, "show"))
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(control))
        assert "web-1" in ask(control, "show")
    arguments = [HAP, "--backend", "a", "--agent-check", "127.0.0.1:0", "--bind", "127.0.0.1:0"]
    arguments += ["--control", str(control)]
    again = subprocess.run(arguments, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert again.returncode == 1
    assert f"cannot create the control socket {control}: Address already in use" in again.stderr


def test_names_that_are_commands_never_reach_the_cli(haproxy, hap, web, agent) -> None:
    proxy = haproxy(template=WITHOUT_MODULE, server=NO_SERVER)
    driver = hap([proxy])
    fine = web("fine")
    driver.join(fine.agent)
    evil = agent("a;shutdown frontend fe;x", "-tag", "role=backend", "-tag", "port=3000")
    driver.join(evil)
    proxy.serves(fine)
    refused = 'member "a;shutdown frontend fe;x" of backend nodes: '
    eventually("the evil name is refused", lambda: refused in driver.log())
    proxy.serves(fine)
    assert set(proxy.servers()) == {"fine"}
    assert "CLI" not in proxy.log().replace("CLI : ", "")


def test_on_sigterm_sprat_hap_leaves_and_the_servers_stay(haproxy, hap, web) -> None:
    proxy = haproxy(template=WITHOUT_MODULE, server=NO_SERVER)
    driver = hap([proxy])
    first = web("web-1")
    driver.join(first.agent)
    proxy.serves(first)
    driver.process.terminate()
    assert driver.process.wait(PATIENCE) == 0
    first.agent.sees("hap", "left")
    proxy.serves(first)


def test_sprat_hap_logs_the_members_that_have_not_acknowledged_its_leave(
    haproxy, hap, web, tmp_path
) -> None:
    proxy = haproxy(template=WITHOUT_MODULE, server=NO_SERVER)
    driver = hap([proxy])
    webs = served(proxy, driver, web, 2)
    webs[0].agent.process.send_signal(signal.SIGSTOP)
    driver.process.terminate()
    assert driver.process.wait(PATIENCE) == 0
    said = "it has no acknowledgement from these members, which may list it as failed: web-0"
    assert said in (tmp_path / f"hap-{driver.ip}.log").read_text()


def test_agent_checks_are_answered_with_the_state_of_a_member(hap, web, addresses) -> None:
    checks = addresses.ip()
    driver = hap([], "--agent-check", f"{checks}:29100")
    first, second = web("web-1", "weight=40"), web("web-2")
    for it in (first, second):
        driver.join(it.agent)

    def ask(name: str, end: str = "\n") -> str:
        with socket.create_connection((checks, 29100), PATIENCE) as stream:
            stream.sendall(f"{name}{end}".encode())
            return stream.makefile().read()

    eventually("sprat-hap knows the member", lambda: ask("web-1") == "up 40%\n")
    assert ask("web-1", end="") == "up 40%\n", "HAProxy adds no newline to the name"
    second.set_tags("role=backend", "port=3000", "state=drain")
    eventually("the answer is drain", lambda: ask("web-2") == "up 0%\n")
    second.set_tags("role=backend", "port=3000", "state=maint")
    eventually("the answer is down", lambda: ask("web-2").startswith("down #"))
    assert ask("stranger") == ""
    assert driver.log().count('asks for "stranger", but no member') == 1
    for _ in range(20):  # connections that close without a question
        socket.create_connection((checks, 29100), PATIENCE).close()
    assert ask("web-1") == "up 40%\n"


def test_sprat_hap_without_descriptors_logs_once_that_it_accepts_nothing_and_pauses(
    hap, addresses
) -> None:
    checks = (addresses.ip(), 29100)
    driver = hap([], "--agent-check", f"{checks[0]}:{checks[1]}")
    pid = driver.process.pid
    numbers = [int(it.name) for it in Path(f"/proc/{pid}/fd").iterdir()]
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (max(numbers) + 1, before[1]))
    spare = [it for it in range(max(numbers)) if it not in numbers]
    waiting = [socket.create_connection(checks, PATIENCE) for _ in range(len(spare) + 2)]
    said = "agent checks: connections cannot be accepted at the moment: Too many open files"
    eventually("the lack is logged", lambda: said in driver.log())
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    for it in waiting:  # each is accepted in the end, and closed without an answer
        assert it.recv(1) == b""
        it.close()
    assert driver.log().count("cannot be accepted") == 1


def test_a_taken_address_for_agent_checks_is_found_before_the_node_starts(addresses) -> None:
    ip = addresses.ip()
    with socket.create_server((ip, 29100)), socket.create_server((ip, 7946)) as seed:
        line = [HAP, "--backend", "a", "--bind", f"{addresses.ip()}:7946", "--profile", "local"]
        line += ["--join", f"{ip}:7946", "--agent-check", f"{ip}:29100"]
        for _ in range(20):
            it = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE, check=False)
            assert it.returncode == 1
            assert f"cannot serve agent checks at {ip}:29100: Address already in use" in it.stderr
        seed.setblocking(False)
        with pytest.raises(BlockingIOError):  # no process has tried to join
            seed.accept()


def test_haproxy_follows_the_answers_to_its_agent_checks(haproxy, hap, web, addresses) -> None:
    checks = addresses.ip()
    driver = hap([], "--agent-check", f"{checks}:29100")
    webs = [web(f"web-{n}", "weight=50") for n in (1, 2)]
    for it in webs:
        driver.join(it.agent)
    agent = f"check inter 1s agent-check agent-addr {checks} agent-port 29100 agent-inter 100ms"
    servers = "\n    ".join(
        f"server s{n} {it.served_at} weight 100 {agent} agent-send {it.name}"
        for n, it in enumerate(webs)
    )
    proxy = haproxy(template=WITHOUT_MODULE, server=servers)
    proxy.serves(*webs)
    eventually("the weight is set", lambda: proxy.cli("get weight nodes/s0").startswith("50 "))
    webs[0].set_tags("role=backend", "port=3000", "state=drain")
    eventually("the server drains", lambda: proxy.cli("get weight nodes/s0").startswith("0 "))
    assert webs[0].served_at in proxy.up(), "the agent check does not set the state"
    webs[0].set_tags("role=backend", "port=3000", "state=ready")
    eventually("the drain ends", lambda: proxy.cli("get weight nodes/s0").startswith("50 "))
    # The state that an operator sets outlasts many agent checks, even a change of the member.
    for command, status in (("state maint", "MAINT"), ("state drain", "DRAIN")):
        proxy.cli(f"set server nodes/s0 {command}")
        for weight in ("30", "50"):
            webs[0].set_tags("role=backend", "port=3000", f"weight={weight}")
            known = lambda of=weight: f"weight {of}" in driver.report()  # noqa: E731
            eventually("the member has the weight", known)
            checked = lambda of=weight: proxy.cli("get weight nodes/s0").startswith(of)  # noqa: E731
            eventually("the agent is asked", checked)
        assert proxy.servers()["s0"][0].startswith(status)
        proxy.cli("set server nodes/s0 state ready")
    proxy.serves(*webs)
    webs[0].kill()
    eventually("the server is down", lambda: proxy.servers()["s0"][0].startswith("DOWN"))
    proxy.serves(webs[1])


def test_a_server_of_the_configuration_is_not_taken_by_a_member_of_its_name(
    haproxy, hap, web
) -> None:
    proxy = haproxy(template=WITHOUT_MODULE, server="server web-1 127.0.0.9:9 weight 3")
    driver = hap([proxy])
    first, second = web("web-1"), web("web-2")
    for it in (first, second):
        driver.join(it.agent)
    said = 'member "web-1" of backend nodes: '
    eventually("the conflict is logged", lambda: said in driver.log())
    eventually("the other member serves", lambda: second.served_at in proxy.up())
    assert proxy.servers()["web-1"] == ("no check", "127.0.0.9:9")
    assert proxy.cli("get weight nodes/web-1").startswith("3 ")
    assert driver.log().count(said) == 1


def test_sprat_hap_recognises_its_servers_after_a_restart(haproxy, hap, web, load) -> None:
    proxy = haproxy(template=WITHOUT_MODULE, server=NO_SERVER)
    driver = hap([proxy])
    webs = [web(f"web-{n}", "weight=30") for n in range(3)]
    for it in webs:
        driver.join(it.agent)
    proxy.serves(*webs)
    requests = load(proxy, 100)
    driver.process.kill()
    driver.process.wait(PATIENCE)
    webs[0].leave()
    again = hap([proxy], *FORGETFUL, "--drain-ms", "100", "--grace-ms", "3000")
    eventually(
        "sprat-hap has all servers again",
        lambda: again.report().count("held: not listed") >= 3,
    )
    proxy.serves(*webs)
    again.join(webs[1].agent)
    eventually("web-0 is stopped", lambda: proxy.servers()["web-0"][0] == "MAINT")
    proxy.serves(*webs[1:])
    requests.stop()
    assert requests.failures == []


def test_sprat_hap_recognises_its_servers_when_haproxy_does_not_answer_at_first(
    haproxy, hap, web
) -> None:
    proxy = haproxy(template=WITHOUT_MODULE, server=NO_SERVER)
    socket_path = proxy.folder / "cli"
    driver = hap([proxy])
    webs = served(proxy, driver, web, 2)
    driver.process.kill()
    driver.process.wait(PATIENCE)
    webs[0].leave()
    socket_path.rename(proxy.folder / "hidden")
    again = hap([proxy], *FORGETFUL, "--drain-ms", "100", "--grace-ms", "8000")
    again.join(webs[1].agent)
    eventually("HAProxy does not answer", lambda: "cli: No such file" in again.log())
    (proxy.folder / "hidden").rename(socket_path)
    eventually("HAProxy answers", lambda: "cli: all problems are solved" in again.log())
    assert "web-0" in proxy.servers(), "the first round keeps the servers that it finds"
    eventually("web-0 is stopped", lambda: proxy.servers()["web-0"][0] == "MAINT")
    proxy.serves(webs[1])


def two_haproxys(haproxy, hap, web):
    """Start two HAProxys, one sprat-hap for both, and two members that both HAProxys serve."""
    proxies = [haproxy(template=WITHOUT_MODULE, server=NO_SERVER) for _ in range(2)]
    driver = hap(proxies)
    webs = web("web-0"), web("web-1")
    for it in webs:
        driver.join(it.agent)
    for proxy in proxies:
        proxy.serves(*webs)
    return driver, proxies, webs


def test_an_haproxy_that_is_gone_does_not_hide_that_a_server_serves_nobody(
    haproxy, hap, web
) -> None:
    driver, (gone, proxy), (good, dead) = two_haproxys(haproxy, hap, web)
    gone.end()
    dead.process.kill()  # the server; its member stays alive
    eventually(
        "the server is unreachable for every HAProxy that answers",
        lambda: "ready weight 100 unreachable" in driver.report(),
    )
    good.set_tags("role=backend", "port=3000", "state=drain")
    eventually("the last server is held", lambda: "held: HAProxy would reach" in driver.report())
    proxy.serves(good)


def test_an_haproxy_keeps_its_last_server_although_another_haproxy_has_more(
    haproxy, hap, web
) -> None:
    driver, (rich, poor), webs = two_haproxys(haproxy, hap, web)
    poor.cli("disable server nodes/web-1")
    poor.serves(webs[0])
    webs[0].set_tags("role=backend", "port=3000", "state=drain")
    rich.serves(webs[1])
    stays = "web-0: it keeps serving, because this HAProxy has reached no other server that serves"
    eventually("the reason is logged", lambda: stays in driver.log())
    poor.serves(webs[0])
    poor.cli("enable server nodes/web-1")
    poor.serves(webs[1])


def test_the_last_server_stays_until_haproxy_has_reached_the_new_one(
    haproxy, hap, web, load
) -> None:
    proxy = haproxy(template=WITHOUT_MODULE, server=NO_SERVER)
    driver = hap([proxy])
    first, second = web("web-0"), web("web-1", "state=maint")
    for it in (first, second):
        driver.join(it.agent)
    proxy.serves(first)
    second.end()
    requests = load(proxy, 150)
    first.set_tags("role=backend", "port=3000", "state=drain")
    eventually("the last server is held", lambda: "held" in driver.report())
    # HAProxy counts the server as up until the first health check, which nobody answers.
    second.set_tags("role=backend", "port=3000", "state=ready")
    eventually("the check fails", lambda: "unreachable" in driver.report())
    assert first.served_at in proxy.up()
    second.restart()
    proxy.serves(second)
    requests.stop()
    assert requests.failures == []


def test_a_change_by_others_is_no_longer_shown_when_its_haproxy_is_gone(haproxy, hap, web) -> None:
    driver, (gone, proxy), webs = two_haproxys(haproxy, hap, web)
    gone.cli("disable server nodes/web-1")
    said = f"HAProxy at {gone.folder}/cli has state maint"
    eventually("the change is shown", lambda: said in driver.report())
    gone.end()
    eventually("the change is not shown", lambda: "has state maint" not in driver.report())
    proxy.serves(*webs)


def test_two_sprat_haps_share_a_backend_with_members_of_different_tags(haproxy, hap, web) -> None:
    proxy = haproxy(template=WITHOUT_MODULE, server=NO_SERVER)
    one = hap([proxy])
    other = hap([proxy], "--role", "role=api", "--name", "other")
    first, second = web("web-1"), web("api-1", "role=api")
    second.set_tags("role=api", "port=3000")
    one.join(first.agent)
    one.join(second.agent)
    other.join(first.agent)
    proxy.serves(first, second)
    # Each sprat-hap compares the servers every second, and must not delete those of the other.
    for _ in range(20):
        time.sleep(0.1)
        assert proxy.up() == {first.served_at, second.served_at}


def test_servers_that_were_added_disabled_can_be_stopped(haproxy, hap, web) -> None:
    proxy = haproxy(template=WITHOUT_MODULE, server=NO_SERVER)
    driver = hap([proxy], "--server", "check inter 1s disabled")
    webs = served(proxy, driver, web, 2)
    webs[0].set_tags("role=backend", "port=3000", "state=maint")
    proxy.serves(webs[1])


def test_a_command_that_haproxy_refuses_is_logged_and_stops_no_other_server(
    haproxy, hap, web
) -> None:
    proxy = haproxy(template=WITHOUT_MODULE, server="server fixed 127.0.0.1:1 disabled")
    driver = hap([proxy], "--server", "check inter 1s")
    first = web("aaa")
    driver.join(first.agent)
    proxy.serves(first)
    # A person adds a server: its id is not one of sprat-hap's, and its name is that of a member.
    proxy.cli("add server nodes/bbb 127.0.0.1:2")
    for name in ("bbb", "ccc"):
        driver.join(web(name).agent)
    eventually("the other member serves", lambda: "ccc" in proxy.servers())
    assert proxy.servers()["bbb"][1] == "127.0.0.1:2"
    other = hap([proxy], "--server", "cookie nonsense intre 7", "--name", "other")
    other.join(first.agent)
    driver.process.terminate()
    assert driver.process.wait(PATIENCE) == 0
    fourth = web("ddd")
    other.join(fourth.agent)
    refused = "ddd: ", "(command: add server"
    eventually("the refused command is logged", lambda: all(it in other.log() for it in refused))
    first.set_tags("role=backend", "port=3000", "weight=9")
    eventually("the weight follows", lambda: proxy.cli("get weight nodes/aaa").startswith("9 "))


def test_on_sigusr1_sprat_hap_prints_members_and_servers(haproxy, hap, web) -> None:
    driver = hap([haproxy(template=WITHOUT_MODULE, server=NO_SERVER)])
    driver.join(web("web-1").agent)
    driver.join(web("web-2", "state=off").agent)
    wrong = 'member "web-2" of backend nodes: its tag state is "off"'
    eventually("the odd tag is logged", lambda: wrong in driver.log())
    eventually("sprat-hap prints the members", lambda: "sprat-hap: members 3, " in driver.report())
    assert re.search(
        r"sprat-hap:   \d+ web-1 127\.\S+:3000 ready weight 100( \(rtt .*\))?\n", driver.log()
    )


def test_a_server_that_haproxy_finds_down_does_not_count_as_the_last_one(haproxy, hap, web) -> None:
    proxy = haproxy(template=WITHOUT_MODULE, server=NO_SERVER)
    driver = hap([proxy])
    dead, alive = web("web-1"), web("web-2")
    for it in (dead, alive):
        driver.join(it.agent)
    proxy.serves(dead, alive)
    dead.process.kill()  # its agent lives on, so the cluster sees the member alive
    proxy.serves(alive)
    eventually(
        "sprat-hap sees the server down", lambda: "ready weight 100 unreachable" in driver.report()
    )
    alive.set_tags("role=backend", "port=3000", "state=maint")
    held = "held: HAProxy would reach no other ready server"
    eventually("the other server is held", lambda: held in driver.report())
    proxy.serves(alive)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--haproxy /x", "--backend is missing"),
        ("--backend a --backend b --haproxy /x", "--backend is given twice"),
        ("--frobnicate", "unknown option --frobnicate"),
        ("--backend a", "nothing to do: give --haproxy, --agent-check or --spoe"),
        ("--backend a;b --haproxy /x", '--backend is "a;b", allowed: 1 to 255 letters, digits'),
        ("--haproxy /x --backend a --server-state /y", "--server-state and --snapshot need"),
        ("--networks ten --spoe 127.0.0.1:0", '--networks: spoe_networks is "ten"'),
        ("--port 70000 --spoe 127.0.0.1:0", '--port: spoe_port is "70000", allowed: 0 to 65535'),
    ],
)
def test_wrong_usage_is_explained(options: str, says: str) -> None:
    done = subprocess.run(
        [HAP, *options.split()], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 2
    assert says in done.stderr
