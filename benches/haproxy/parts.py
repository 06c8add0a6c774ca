"""Measures what health checks, redispatch, hints and gossip contribute when a server dies.

HAProxy with the module balances three hosts that run Node.js and a stock serf agent. Each variant
but the last leaves out some of these four. An edit of the configuration takes out health checks
(and with them hints) and redispatch; a freeze of removals takes out gossip. A hint is HAProxy's
report that a server fails its checks. One host dies twice: first its processes are killed, so that
connections are refused; later its cable is pulled, so that no packet comes back. The results are
those of the client that sends 150 requests per second, each on a new connection. A request is slow
if it takes more than 0.4 s.

    scripts/bench-haproxy.sh parts
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from compare import Senders, System
from rack import Host, Namespaces, UnmetError

DURATION = 14  # seconds in which requests are counted
CHECKS = "check inter 1s fall 2 observe layer4 error-limit 2 on-error mark-down"


def without(*words: str) -> Callable[[str], str]:
    """Return an edit of a configuration that removes these words."""

    def edit(text: str) -> str:
        for word in words:
            assert word in text, word
            text = text.replace(word, "")
        return text

    return edit


REDISPATCH = ("    option redispatch 1\n", "    retry-on all-retryable-errors\n")
VARIANTS = {
    "gossip alone": without(f" {CHECKS}", *REDISPATCH),
    "gossip, redispatch": without(f" {CHECKS}"),
    "gossip, checks (and hints)": without(*REDISPATCH),
    "checks, redispatch, no gossip": without(),
    "all": without(),
}


def set_frozen(system: System, yes: bool) -> None:
    system.balancer.cli(f"sprat {'freeze' if yes else 'thaw'}")


def seconds_until_known(system: System, host: Host, until: float) -> float | None:
    """Return the seconds until membership stops the server of a host.

    Return `None` if that does not happen before `until`.
    """
    began = time.monotonic()
    while time.monotonic() < until:
        server = system.balancer.servers().get(host.name)
        if server and server.assignment.startswith("maint"):
            return time.monotonic() - began
        time.sleep(0.02)
    return None


def measure_death(system: System, how: Callable[[Host], None]) -> str:
    """Let a host die, and return the cells of the table."""
    host = system.webs[2]
    senders = Senders(system.rack, system.client, system.ha.ip)
    until = time.monotonic() + DURATION
    how(host)
    known = seconds_until_known(system, host, until)
    time.sleep(max(0.0, until - time.monotonic()))
    report = senders.stop()["new"]
    after = "never" if known is None else f"{known:.1f} s"
    return f"{len(report['lost'])} of {report['sent']} | {report['slow']} | {after}"


def kill_processes(host: Host) -> None:
    pids = [host.pid(it) for it in ("app", "serf")]
    for service in ("app", "serf"):
        host.control("-O", service)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def measure(rack: Namespaces, variant: str) -> str:
    system = System(rack, "member", VARIANTS[variant])
    set_frozen(system, "no gossip" in variant)
    kill = measure_death(system, kill_processes)
    set_frozen(system, False)
    for service in ("app", "serf"):
        system.webs[2].control("-u", service)
    system.wait_until_served_by(*system.webs[:3])
    time.sleep(3)
    set_frozen(system, "no gossip" in variant)
    cable = measure_death(system, rack.pull_cable)
    return f"| {variant} | {kill} | {cable} |"


def main() -> None:
    print("| | killed: lost | slow | known after | cable: lost | slow | known after |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for variant in VARIANTS:
        with tempfile.TemporaryDirectory(prefix="sprat-bench-") as folder:
            rack = Namespaces(Path(folder))
            try:
                print(measure(rack, variant), flush=True)
            except UnmetError as what:
                said = "\n".join(host.said() for host in rack.hosts)
                sys.exit(f"{variant}: {what}\n{said}")
            finally:
                rack.end()


main()
