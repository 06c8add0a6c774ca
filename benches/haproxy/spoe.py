"""Measures the cost of requests that ask the SPOE agent, compared with requests that do not.

HAProxy itself answers the requests, on a loopback address: immediately on one port, and on the
other after two questions to the agent (the size of the cluster, and whether the client is a
member). `wrk` measures both ports in turn, for three rounds; the results are the medians.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
BASE = f"127.{100 + os.getpid() % 100}.{1 + os.getpid() // 100 % 250}"
SECONDS, ROUNDS = 3, 3

HAPROXY = """
global
    nbthread 2
defaults
    mode http
    timeout connect 500ms
    timeout client 50s
    timeout server 50s
frontend plain
    bind {ip}:8080
    http-request return status 200 content-type text/plain string hello
frontend asking
    bind {ip}:8081
    filter spoe engine sprat config {folder}/spoe.conf
    http-request send-spoe-group sprat grp if {{ nbsrv(spoe-sprat) gt 0 }}
    http-request deny unless {{ var(txn.sprat.size) -m found }}
    http-request return status 200 content-type text/plain string hello
backend spoe-sprat
    mode tcp
    server agent {ip}:29000
"""
SPOE = """
[sprat]
spoe-agent sprat-agent
    groups grp
    option var-prefix sprat
    option continue-on-error
    option force-set-var
    timeout hello 500ms
    timeout idle 30s
    timeout processing 50ms
    use-backend spoe-sprat
spoe-message size
spoe-message member
    args ip=src
spoe-group grp
    messages size member
"""


def measure(port: int, connections: int) -> tuple[float, float, float]:
    """Return the latency in milliseconds at p50 and p99, and the requests per second."""
    url = f"http://{BASE}.1:{port}/?k=somebody"
    line = ["wrk", "--latency", "-t", "1", "-c", str(connections), "-d", f"{SECONDS}s", url]
    text = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        sys.exit(f"not all requests succeeded:\n{text}")
    units = {"us": 0.001, "ms": 1.0, "s": 1000.0}
    found = dict(re.findall(r"(50|99)%\s+([\d.]+(?:us|ms|s))", text))
    times = []
    for which in ("50", "99"):
        value = re.fullmatch(r"([\d.]+)(us|ms|s)", found[which])
        assert value, text
        times.append(float(value[1]) * units[value[2]])
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    assert rate, text
    return times[0], times[1], float(rate[1])


def main() -> None:
    agent = os.environ["SPRAT_HAP"]
    with tempfile.TemporaryDirectory(prefix="sprat-bench-") as name:
        folder, ip = Path(name), f"{BASE}.1"
        (folder / "haproxy.cfg").write_text(HAPROXY.format(ip=ip, folder=folder))
        (folder / "spoe.conf").write_text(SPOE)
        options = ["--backend", "nodes", "--bind", f"{BASE}.2:7946", "--loopback"]
        lines = [
            [agent, *options, "--spoe", f"{ip}:29000"],
            ["haproxy", "-db", "-f", str(folder / "haproxy.cfg")],
        ]
        running = [subprocess.Popen(line, stderr=subprocess.DEVNULL) for line in lines]
        try:
            time.sleep(2)
            report()
        finally:
            for it in running:
                it.kill()
                it.wait()


def report() -> None:
    print("| connections | | p50 | p99 | requests/s |")
    print("| --- | --- | --- | --- | --- |")
    for connections in (1, 8):
        results: dict[int, list[tuple[float, float, float]]] = {8080: [], 8081: []}
        for _ in range(ROUNDS):
            for port, list_ in results.items():
                list_.append(measure(port, connections))
        for port, what in ((8080, "plain"), (8081, "asks the agent")):
            p50, p99, rate = (statistics.median(it) for it in zip(*results[port], strict=True))
            print(f"| {connections} | {what} | {p50:.3f} ms | {p99:.3f} ms | {rate:.0f} |")


main()
