"""Compares HAProxy as a member with the usual chain: lost requests, and how long changes take.

Both variants balance three hosts, which a fourth joins and leaves. Each host is a network
namespace, in which S6 runs Node.js and a stock serf agent. The first variant is HAProxy with the
module. The second variant, measured afterwards, is the chain that the module replaces: a serf agent
whose handler rewrites haproxy.cfg from a template and reloads HAProxy. Two clients send 150
requests per second each: the first opens a new connection for each request, and the second keeps
its connections. A kept connection that is closed while a request is under way counts as a lost
request.

This command prints the figures of the comparison in docs/haproxy/measured.md, and draws the plot:

    scripts/bench-haproxy.sh chain
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "examples" / "haproxy")]

from balancer import Balancer  # noqa: E402
from rack import Host, Namespaces, UnmetError, wait_until  # noqa: E402

RATE = 150
SENDER = ROOT / "bindings" / "haproxy" / "tests" / "load.py"


@dataclass
class Row:
    """The results of one act, such as the join of a host."""

    sent: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    seconds: float | None = None


class Senders:
    """Both clients. They send requests until `stop`."""

    def __init__(self, rack: Namespaces, client: Host, ip: str) -> None:
        self._running = {
            how: subprocess.Popen(
                rack.inside(client, sys.executable, str(SENDER), ip, "8080", str(RATE), how),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for how in ("new", "kept")
        }
        time.sleep(1)

    def stop(self) -> dict[str, dict[str, Any]]:
        return {how: json.loads(it.communicate(timeout=60)[0]) for how, it in self._running.items()}


class System:
    """One of the two variants."""

    def __init__(
        self, rack: Namespaces, kind: str, edit: Callable[[str], str] = lambda text: text
    ) -> None:
        self.rack, self.kind = rack, kind
        own = str(HERE / "chain") if kind == "chain" else "balancer"
        self.ha = rack.host(f"ha-{kind}", own)
        self.webs = [rack.host(f"{kind}-{n}", "node") for n in range(1, 5)]
        self.client = rack.host(f"client-{kind}")
        self.members = [self.ha, *self.webs]
        for config in self.ha.services.glob("*/haproxy.cfg"):
            config.write_text(edit(config.read_text()))
        self.balancer = Balancer(self.ha)
        self.rows: dict[str, Row] = {}
        rack.power_on(self.client, {})
        for host in self.members[:4]:
            self.power_on(host)
        self.wait_until_served_by(*self.webs[:3])

    def power_on(self, host: Host) -> None:
        variables = {
            "SEEDS": ",".join(it.ip for it in self.members if it is not host),
            "LOOPBACK": "no",
            "PROFILE": "lan",
            "HAPROXY_CONFINED": "",
            "SPRAT_HAPROXY": os.environ["SPRAT_HAPROXY"],
        }
        self.rack.power_on(host, variables)

    def wait_until_served_by(self, *webs: Host) -> None:
        """Wait until HAProxy sends requests to all of these hosts."""
        wanted = {it.ip for it in webs}

        def up() -> set[str]:
            lines = [line.split(",") for line in self.balancer.cli("show stat").splitlines()]
            names = [name.lstrip("# ") for name in lines[0]] if lines else []
            rows = [dict(zip(names, line, strict=False)) for line in lines[1:]]
            rows = [it for it in rows if it["pxname"] == "nodes" and it["svname"] != "BACKEND"]
            return {
                it["addr"].split(":")[0]
                for it in rows
                if it["status"].startswith(("UP", "no check"))
            }

        wait_until(f"{self.kind}: {sorted(wanted)} are up", lambda: wanted <= up(), 60)

    def tag(self, web: Host, *words: str) -> None:
        line = self.rack.inside(web, "serf", "tags", f"-rpc-addr={web.ip}:7373", *words)
        subprocess.run(line, check=False, capture_output=True, timeout=30)

    def act(self, name: str, happens: Callable[[], float | None], first_from: str = "") -> None:
        """Run an act and keep its results.

        The time is counted from the value that `happens` returns. It ends with the first answer
        from the host `first_from` or, if none is named, with the last lost request.
        """
        senders = Senders(self.rack, self.client, self.ha.ip)
        began = happens()
        time.sleep(1)
        reports = senders.stop()
        row = self.rows[name] = Row(
            {how: it["sent"] for how, it in reports.items()},
            {how: len(it["lost"]) for how, it in reports.items()},
        )
        if began is not None and first_from:
            first = [
                it["first"][first_from] for it in reports.values() if first_from in it["first"]
            ]
            row.seconds = min(first) - began if first else None
        elif began is not None:
            row.seconds = (
                max([began, *(at for it in reports.values() for at in it["lost"])]) - began
            )
        kinds = {how: it["kinds"] for how, it in reports.items() if it["kinds"]}
        print(f"  {self.kind:6} {name:10} lost {row.lost} of {row.sent} {kinds or ''}", flush=True)

    # The acts.

    def join(self) -> float:
        began = time.monotonic()
        self.power_on(self.webs[3])
        self.wait_until_served_by(self.webs[3])
        time.sleep(3)
        return began

    def drain(self) -> None:
        self.tag(self.webs[1], "-set", "state=drain")
        time.sleep(5)
        self.tag(self.webs[1], "-delete", "state")
        time.sleep(3)

    def leave(self) -> None:
        self.webs[3].control("-d", "serf")
        time.sleep(8)
        self.webs[3].control("-d", "app")
        time.sleep(2)

    def crash(self) -> float:
        web = self.webs[2]
        pids = [web.pid(it) for it in ("app", "serf")]
        for service in ("app", "serf"):
            web.control("-O", service)
        began = time.monotonic()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        time.sleep(15)
        return began

    def restart_the_crashed_host(self) -> None:
        for service in ("app", "serf"):
            self.webs[2].control("-u", service)
        self.wait_until_served_by(*self.webs[:3])
        time.sleep(5)

    def reloads(self) -> None:
        for _ in range(10):
            self.balancer.reload()
            time.sleep(0.5)

    def changes(self) -> None:
        """Let three agents change their weights, 201 times in total."""
        for n in range(67):
            running = [
                subprocess.Popen(
                    self.rack.inside(
                        web, "serf", "tags", f"-rpc-addr={web.ip}:7373", "-set", f"weight={50 + n}"
                    ),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
                for web in self.webs[:3]
            ]
            for it in running:
                it.wait(30)
        time.sleep(3)

    def run(self) -> None:
        self.act("join", self.join, first_from=self.webs[3].name)
        self.act("drain", self.drain)
        self.act("leave", self.leave)
        self.act("crash", self.crash)
        self.restart_the_crashed_host()
        self.act("10 reloads", self.reloads)
        self.act("201 changes", self.changes)


def tables(systems: list[System]) -> str:
    lines = [
        "| | member, new | member, kept | chain, new | chain, kept |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in systems[0].rows:
        cells = [
            f"{system.rows[name].lost[how]} of {system.rows[name].sent[how]}"
            for system in systems
            for how in ("new", "kept")
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "| | member | chain |", "| --- | --- | --- |"]
    for name, what in (("join", START), ("crash", KILL)):
        seconds = [system.rows[name].seconds for system in systems]
        cells = [f"{it:.2f} s" if it is not None else "never" for it in seconds]
        lines.append(f"| {what} | {' | '.join(cells)} |")
    return "\n".join(lines)


START = "start of a host to its first request"
KILL = "kill of a host to the last failed request"


def plot(systems: list[System]) -> str:
    """Return both times as bars, in SVG."""
    bars, y = [], 30
    rows = [(START, "join"), (KILL, "crash")]
    most = max(system.rows[name].seconds or 0 for _, name in rows for system in systems) or 1
    for what, name in rows:
        bars.append(f'<text x="10" y="{y}" font-weight="bold">{what}</text>')
        y += 10
        for system, colour in zip(systems, ("#2a7", "#c63"), strict=True):
            seconds = system.rows[name].seconds or 0
            width = max(1, round(440 * seconds / most))
            bars.append(f'<text x="10" y="{y + 14}">{system.kind}</text>')
            bars.append(f'<rect x="80" y="{y}" width="{width}" height="18" fill="{colour}"/>')
            bars.append(f'<text x="{width + 88}" y="{y + 14}">{seconds:.2f} s</text>')
            y += 24
        y += 26
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="640" height="{y - 20}" '
    style = 'font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="#fff"/>'
    return "\n".join([head + style, *bars, "</svg>", ""])


def main() -> int:
    if not Namespaces.allowed():
        sys.exit("this needs network namespaces, and therefore root or user namespaces")
    systems = []
    for kind in ("member", "chain"):
        with tempfile.TemporaryDirectory(prefix="sprat-bench-") as folder:
            rack = Namespaces(Path(folder))
            try:
                systems.append(System(rack, kind))
                systems[-1].run()
            except UnmetError:
                print("\n".join(host.said() for host in rack.hosts), file=sys.stderr)
                raise
            finally:
                rack.end()
    print(f"\n{tables(systems)}")
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(plot(systems))
    return 0


if __name__ == "__main__":
    sys.exit(main())
