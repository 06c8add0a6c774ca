"""Measures how HAProxy reacts when ten of fifty servers die together, under load.

Fifty C programs (examples/c/web_server.c) are members on loopback addresses, and HAProxy with the
module balances a thousand requests per second among them. HAProxy's log shows when each of the ten
went out of rotation, because of HAProxy's own checks or because of membership. A member in Python
records when the cluster declared each of the ten failed.

    scripts/bench-haproxy.sh many
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import sprat

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "examples" / "haproxy")]

from rack import die_with_parent, wait_until  # noqa: E402
from traffic import Report  # noqa: E402

NET = f"127.{100 + os.getpid() % 100}.{1 + os.getpid() // 100 % 250}"
SERVERS, DEAD = 50, 10

HAPROXY = """
global
    log stdout format raw local0 notice
    nbthread 2
    setenv SPRAT_MODULES {modules}
    setenv SPRAT_BACKEND nodes
    setenv SPRAT_NAME ha
    setenv SPRAT_BIND {net}.200
    setenv SPRAT_SEEDS {net}.1
    setenv SPRAT_LOOPBACK yes
    lua-load {modules}/sprat-haproxy.lua
defaults
    mode http
    log global
    timeout connect 500ms
    timeout client 50s
    timeout server 50s
frontend web
    bind {net}.200:8080
    default_backend nodes
backend nodes
    balance roundrobin
    option httpchk HEAD /
    option redispatch 1
    retry-on all-retryable-errors
    default-server check inter 1s fall 2 observe layer4 error-limit 2 on-error mark-down
    server-template app 1-64 0.0.0.0:1 disabled
"""


class Log:
    """HAProxy's log lines about its servers, with their times."""

    def __init__(self, haproxy: subprocess.Popen[str]) -> None:
        self.up: set[str] = set()
        self.out: dict[str, float] = {}
        self.stopped: dict[str, float] = {}
        self._haproxy = haproxy
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._haproxy.stdout
        for line in self._haproxy.stdout:
            now = time.monotonic()
            found = re.match(r"Server nodes/(\w+) (.+)", line)
            if found is None:
                continue
            server, what = found.groups()
            if "is UP" in what:
                self.up.add(server)
            elif "maintenance" in what:
                self.stopped.setdefault(server, now)
                self.out.setdefault(server, now)
            elif "DOWN" in what:
                self.out.setdefault(server, now)


def start(line: list[str], **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
        line, preexec_fn=die_with_parent, start_new_session=True, text=True, **options
    )


def batches(times: list[float], apart: float = 0.05) -> int:
    """Return the number of groups of changes that lie close together."""
    ordered = sorted(times)
    return 1 + sum(b - a > apart for a, b in itertools.pairwise(ordered))


def spread(what: str, seconds: list[float]) -> None:
    ordered = [it * 1000 for it in sorted(seconds)]
    middle = ordered[len(ordered) // 2]
    print(f"{what}: {ordered[0]:.0f} / {middle:.0f} / {ordered[-1]:.0f} ms (min, median, max)")


def measure(running: list[subprocess.Popen[str]], folder: Path) -> None:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    program = os.environ["SPRAT_C_SERVER"]
    for n in range(1, SERVERS + 1):
        options = ["--name", f"web-{n}", "--bind", f"{NET}.{n}", "--port", "3000", f"{NET}.1"]
        running.append(start([program, *options], **quiet))
    config = folder / "haproxy.cfg"
    config.write_text(HAPROXY.format(modules=os.environ["SPRAT_HAPROXY"], net=NET))
    line = ["haproxy", "-db", "-f", str(config)]
    proxy = start(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    running.append(proxy)
    log = Log(proxy)
    wait_until("all servers are up", lambda: len(log.up) == SERVERS, 60)

    with sprat.Node(name="observer", bind=f"{NET}.201", seeds=[f"{NET}.1"]) as node:
        wait_until("the observer sees all", lambda: len(node.members()) == SERVERS + 2, 60)
        url = f"http://{NET}.200:8080/"
        load = start(["hey", "-z", "60s", "-c", "20", "-q", "50", url], stdout=subprocess.PIPE)
        running.append(load)
        time.sleep(2)
        log.out.clear()
        log.stopped.clear()
        failures = node.events(sprat.MemberFailed)
        began = time.monotonic()
        for it in running[:DEAD]:
            it.kill()
        verdicts: dict[str, float] = {}
        while len(verdicts) < DEAD:
            failure = failures.next(timeout=40)
            if failure is None:
                sys.exit(f"the cluster has declared only {len(verdicts)} of {DEAD} failed")
            verdicts[failure.member.name] = time.monotonic()
        wait_until("all are stopped", lambda: len(log.stopped) >= DEAD, 20)
        time.sleep(1)
        load.send_signal(2)
        report = Report()
        report.add(load.communicate(timeout=30)[0])

    print(f"requests: {report.sent}, lost {report.lost}, slowest {report.slowest:.3f} s")
    spread("kill to out of rotation, by HAProxy's checks or membership",
           [it - began for it in log.out.values()])  # fmt: skip
    spread("kill to the verdict of the cluster", [it - began for it in verdicts.values()])
    last = max(verdicts.values())
    print(f"all stopped by membership {(max(log.stopped.values()) - last) * 1000:.0f} ms after the "
          f"last verdict was seen by another member")  # fmt: skip
    print(f"servers went out of rotation in {batches(list(log.out.values()))} batches, and were "
          f"stopped by membership in {batches(list(log.stopped.values()))}; "
          f"servers that were stopped: {len(log.stopped)}")  # fmt: skip


def main() -> None:
    running: list[subprocess.Popen[str]] = []
    with tempfile.TemporaryDirectory(prefix="sprat-bench-") as folder:
        try:
            measure(running, Path(folder))
        finally:
            for it in running:
                it.kill()
            for it in running:
                it.wait()


main()
