#!/usr/bin/env python3
"""A load balancer and its web servers: hosts come, drain, leave, crash and vanish under load.

The demo says what it does, counts the lost requests of each act, and checks its promises: the exit
status is 1 if a promise is broken. `make demo` calls it; README.md describes the system. With
KEEP=1 the system stays up at the end, until Ctrl-C.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from balancer import Balancer
from rack import (
    PATIENCE,
    Host,
    Loopback,
    Namespaces,
    UnmetError,
    descendants,
    open_rack,
    wait_until,
)
from story import Act, Story
from stuck import held, thread_named
from traffic import Traffic
from window import Window

HERE = Path(__file__).parent
GOSSIP = 7946


class System:
    """The hosts, and ways to start and query them."""

    def __init__(self, rack: Namespaces | Loopback) -> None:
        self.rack = rack
        self.balancer_host = rack.host("ha", "balancer")
        self.node = rack.host("node-1", "node")
        self.python = rack.host("python-1", "python")
        self.c = rack.host("c-1", "c")
        self.python_2 = rack.host("python-2", "python")
        self.c_2 = rack.host("c-2", "c")
        self.client = rack.host("client")
        self.balancer = Balancer(self.balancer_host)

    def power_on(self, host: Host) -> None:
        """Start a host. Its seeds are all other hosts but the client, whether or not they run."""
        members = [it for it in self.rack.hosts if it not in (host, self.client)]
        confined = "" if os.geteuid() else f"-f {host.service('haproxy')}/confined.cfg"
        variables = {
            "SEEDS": ",".join(it.ip for it in members),
            "PROFILE": "local",
            "LOOPBACK": "no" if isinstance(self.rack, Namespaces) else "yes",
            "HAPROXY_CONFINED": confined,
            "EXAMPLES": str(HERE.parent),
            "SPRAT_HAPROXY": os.environ["SPRAT_HAPROXY"],
            "SPRAT_PYTHON": sys.executable,
            "SPRAT_C_SERVER": os.environ["SPRAT_C_SERVER"],
        }
        self.rack.power_on(host, variables)

    def traffic(self) -> Traffic:
        """Start to send requests from the client."""
        url = f"http://{self.balancer_host.ip}:8080/"
        return Traffic(self.rack.inside(self.client), url)

    def serf(self, *words: str) -> str:
        """Run a command that an operator would type on the host of the stock agent."""
        line = self.rack.inside(self.node, "serf", words[0], f"-rpc-addr={self.node.ip}:7373")
        done = subprocess.run(
            [*line, *words[1:]], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        return done.stdout + done.stderr

    def status(self, name: str) -> str:
        """The status of a member in the stock agent, such as alive or failed; empty if unknown."""
        lines = [line.split() for line in self.serf("members").splitlines()]
        return next((words[2] for words in lines if words[:1] == [name]), "")


def start_in_any_order(system: System, story: Story) -> None:
    hosts = [system.balancer_host, system.node, system.python, system.c]
    random.shuffle(hosts)
    story.heading(f"Four hosts start, in a random order: {', '.join(it.name for it in hosts)}.")
    story.tell(
        "         ha is HAProxy with the module; node-1 is unmodified Node.js with a stock serf"
    )
    story.tell(
        "         agent; python-1 and c-1 are themselves members. S6 keeps all services running."
    )
    began = time.monotonic()
    system.power_on(system.client)
    for host in hosts:
        system.power_on(host)
        time.sleep(0.3)
    system.balancer.serves("node-1", "python-1", "c-1")
    for host, service in ((system.node, "serf"), (system.python, "web"), (system.c, "web")):
        host.wait_until_ready(service)
    story.tell(
        f"         ok: all three web hosts get requests after {time.monotonic() - began:.1f} s"
    )


def add_hosts(system: System, story: Story) -> None:
    with story.act("Two more hosts are switched on: python-2 and c-2.") as act:
        began = time.monotonic()
        system.power_on(system.python_2)
        system.power_on(system.c_2)
        for name in ("c-2", "python-2"):
            system.balancer.uses(name)
            act.takes(f"{name} got its first request", time.monotonic() - began)
        system.balancer.serves("node-1", "python-1", "c-1", "python-2", "c-2")


def drain(system: System, story: Story) -> None:
    with story.act("node-1 is drained by an operator: `serf tags -set state=drain`.") as act:
        began = time.monotonic()
        system.serf("tags", "-set", "state=drain")
        system.balancer.serves("python-1", "c-1", "python-2", "c-2")
        act.takes("it gets no new requests", time.monotonic() - began)
        time.sleep(0.5)
        if not system.balancer.idle_for("node-1", 1):
            raise UnmetError("node-1 got requests while it was drained")
        act.seen("it is idle; its process and its agent still run")
        system.serf("tags", "-delete", "state", "-set", "weight=25")
        system.balancer.serves("node-1", "python-1", "c-1", "python-2", "c-2")
        wait_until(
            "node-1 has its weight", lambda: system.balancer.servers()["node-1"].weight == 25
        )
        before = {name: it.requests for name, it in system.balancer.servers().items()}
        wait_until("c-1 gets 60 requests",
                   lambda: system.balancer.requests("c-1") - before["c-1"] >= 60)  # fmt: skip
        after = {name: it.requests for name, it in system.balancer.servers().items()}
        got = {name: after[name] - before[name] for name in before}
        if got["node-1"] * 2 > got["c-1"]:
            raise UnmetError(
                f"node-1 weighs a quarter of c-1 and got {got['node-1']} to {got['c-1']}"
            )
        act.seen(
            f"back with weight=25 it gets {got['node-1']} requests while c-1 gets {got['c-1']}"
        )
        system.serf("tags", "-delete", "weight")


def stop_cleanly(system: System, story: Story) -> None:
    with story.act("python-2 is stopped by its supervisor (SIGTERM): it leaves first.") as act:
        began = time.monotonic()
        system.python_2.control("-d", "web")
        system.balancer.serves("node-1", "python-1", "c-1", "c-2")
        act.takes("it gets no new requests", time.monotonic() - began)
        system.python_2.wait_until_down("web")
        act.takes("it has served the requests that still came, and ended", time.monotonic() - began)
        wait_until(
            "the agent of node-1 lists it as left", lambda: system.status("python-2") == "left"
        )
        act.seen("the stock agent of node-1 lists it as left, not as failed")


def crash(system: System, story: Story) -> None:
    with story.act("The server of c-1 crashes (kill -9). S6 starts it again.", dies=True) as act:
        killed, began = system.c.pid("web"), time.monotonic()
        os.kill(killed, signal.SIGKILL)
        wait_until("S6 starts it again", lambda: is_new(system.c, killed))
        system.c.wait_until_ready("web")
        system.balancer.uses("c-1")
        act.takes("the new server is a member and gets requests", time.monotonic() - began)
        system.balancer.serves("node-1", "python-1", "c-1", "c-2")


def is_new(host: Host, before: int) -> bool:
    try:
        return host.pid("web") != before
    except UnmetError:
        return False


def power_fails(system: System, story: Story) -> None:
    title = "The power of python-1 fails: all its processes are gone at once."
    with story.act(title, dies=True) as act:
        wait_for_removal(system, act, "python-1", system.python.power_off)
        began = time.monotonic()
        system.power_on(system.python)
        system.balancer.serves("node-1", "python-1", "c-1", "c-2")
        act.takes("switched on again, it serves", time.monotonic() - began)


def cut_off(system: System, rack: Namespaces, story: Story) -> None:
    title = "The cable of c-2 is pulled: no packet comes back, not even a refusal."
    with story.act(title, dies=True) as act:
        wait_for_removal(system, act, "c-2", lambda: rack.pull_cable(system.c_2))
        began = time.monotonic()
        rack.plug_cable(system.c_2)
        system.balancer.serves("node-1", "python-1", "c-1", "c-2")
        act.takes("plugged in again, it serves", time.monotonic() - began)
        # The first connections may still fail, and then HAProxy marks the server down once more.
        system.balancer.serves_steadily("node-1", "python-1", "c-1", "c-2")


def wait_for_removal(system: System, act: Act, name: str, accident: Callable[[], None]) -> None:
    """Cause an accident, and wait until the server of the host is stopped."""
    began = time.monotonic()
    accident()
    others = {"node-1", "python-1", "c-1", "c-2"} - {name}
    system.balancer.serves(*others)
    act.takes("HAProxy's own checks keep requests away", time.monotonic() - began)
    stopped = f"membership stops the server of {name}"
    wait_until(stopped, lambda: system.balancer.servers()[name].assignment.startswith("maint"))
    act.takes("the cluster sees it failed, and its server is stopped", time.monotonic() - began)


def partition(system: System, rack: Namespaces, story: Story) -> None:
    title = "ha loses sight of the cluster: its cluster packets are dropped, in and out."
    with story.act(title) as act:
        everyone = {"node-1", "python-1", "c-1", "c-2"}
        began = time.monotonic()
        rack.silence(system.balancer_host, GOSSIP)
        keeps_all_until(system, everyone, "frozen", lambda: "frozen" in system.balancer.policy())
        act.takes("it considers itself isolated, and freezes removals", time.monotonic() - began)
        keeps_all_until(system, everyone, "failed", lambda: system.status("ha") == "failed" or None)
        act.takes("the other members see it failed", time.monotonic() - began)
        act.seen("it has kept every server during the whole time")
        began = time.monotonic()
        rack.let_speak(system.balancer_host)
        keeps_all_until(
            system, everyone, "healed",
            lambda: "frozen" not in system.balancer.policy() and system.status("ha") == "alive",
        )  # fmt: skip
        act.takes("the packets pass again, and all members agree", time.monotonic() - began)


def keeps_all_until(
    system: System, everyone: set[str], what: str, holds: Callable[[], object]
) -> None:
    """Wait for a condition, and check until then that no server is removed."""

    def now() -> bool:
        servers = system.balancer.servers().items()
        ready = {name for name, it in servers if it.assignment.startswith("ready")}
        if not everyone <= ready:
            raise UnmetError(f"{', '.join(sorted(everyone - ready))} was removed: {what}")
        return bool(holds())

    wait_until(what, now)


def engine_stuck(system: System, story: Story) -> None:
    with story.act("The engine inside HAProxy hangs (stopped as by a debugger).") as act:
        thread = thread_named("sprat-engine", descendants(system.balancer_host.starter))
        with held(thread):
            wait_until(
                "the module reports the stuck engine",
                lambda: "not been active" in system.balancer.policy(),
            )
            act.seen("the module reports that the node does not answer")
            if system.balancer.serving() != {"node-1", "python-1", "c-1", "c-2"}:
                raise UnmetError("a server was removed")
            act.seen("HAProxy goes on with all servers")
        wait_until("the engine goes on", lambda: "not been active" not in system.balancer.policy())
        act.seen("after its release, the engine answers again")


def reload(system: System, story: Story) -> None:
    with story.act("The operator reloads HAProxy three times (SIGUSR2).") as act:
        for _ in range(3):
            system.balancer.reload()
            wait_until(
                "the node of the new worker runs",
                lambda: "node running" in system.balancer.policy(),
            )
        system.balancer.serves("node-1", "python-1", "c-1", "c-2")
        wait_until("ha is alive", lambda: system.status("ha") == "alive")
        act.seen("three new workers; the last one serves with the same servers")


def shut_down(system: System, story: Story) -> None:
    story.heading("All hosts except node-1 are shut down: their supervisors end their services.")
    began, others = time.monotonic(), [system.python, system.c, system.c_2, system.balancer_host]
    for host in others:
        host.shut_down()
    for host in others:
        wait_until_off(system, host)
    story.tell(f"         ok: all have left, and are off, after {time.monotonic() - began:.1f} s")


def wait_until_off(system: System, host: Host) -> None:
    left = f"the agent of node-1 lists {host.name} as left"
    wait_until(left, lambda: system.status(host.name) == "left")
    wait_until(f"{host.name} is off", lambda: not host.is_on())


def run(system: System, story: Story) -> None:
    start_in_any_order(system, story)
    stats = Window(1936, system.balancer_host.folder / "stats")
    cli = Window(9999, system.balancer_host.folder / "cli")
    story.tell(
        f"         The stats page of ha: http://127.0.0.1:{stats.port}/   its CLI: port {cli.port}"
    )
    with story.watching(system.balancer):
        add_hosts(system, story)
        drain(system, story)
        stop_cleanly(system, story)
        crash(system, story)
        power_fails(system, story)
        if isinstance(system.rack, Namespaces):
            cut_off(system, system.rack, story)
            partition(system, system.rack, story)
        else:
            story.heading("NOT SHOWN: hosts that are cut off. Namespaces are not allowed here.")
        engine_stuck(system, story)
        reload(system, story)
        if os.environ.get("KEEP"):
            keep(system, story)
    shut_down(system, story)


def keep(system: System, story: Story) -> None:
    story.heading("KEEP=1: the system stays up, under load. Ctrl-C ends it.")
    folder = system.balancer_host.folder.parent
    story.tell(f"         hosts, services and logs: {folder}")
    traffic = system.traffic()
    try:
        signal.pause()
    except KeyboardInterrupt:
        story.tell("")
    finally:
        traffic.stop()


@contextmanager
def new_rack() -> Iterator[Namespaces | Loopback]:
    with tempfile.TemporaryDirectory(prefix="sprat-demo-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # HAProxy serves as another user
        rack = open_rack(folder)
        try:
            yield rack
        finally:
            rack.end()


def main() -> int:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    began = time.monotonic()
    with new_rack() as rack:
        system = System(rack)
        story = Story(system.traffic)
        try:
            run(system, story)
        except UnmetError as what:
            if str(what) not in "".join(story.broken):
                story.broken.append(str(what))
        except KeyboardInterrupt:
            return 130
        story.close()
        if story.broken:
            story.tell("\n".join(it.said() for it in rack.hosts))
    for promise in story.broken:
        story.tell(f"BROKEN: {promise}")
    if not story.broken:
        story.tell(f"Every promise was kept, in {time.monotonic() - began:.0f} seconds.")
    return 1 if story.broken else 0


sys.exit(main())
