"""Runs a command on all hosts with a tag, and prints the results as they come.

On each host, a member waits for orders and runs them with /bin/sh:

    python deploy.py serve --bind 10.0.0.7 --tag role=web 10.0.0.5 10.0.0.6

Anywhere else, an order for the hosts with this tag is a query, which each of them answers:

    python deploy.py run --bind 10.0.0.9 --tag role=web 'systemctl restart app' 10.0.0.5

A progress bar on the terminal counts the answers. The exit status is 0 if every host has answered
and the command succeeded on all of them. An answer has the exit status and the end of the output; a
query and an answer have at most about 1,000 bytes.

Every member of the cluster can run any command on these hosts: protect the cluster with a key
(`--key-file`, which both sides need).
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import sprat

QUERY = "deploy"
OUTPUT = 800
"""The maximum number of bytes of output in an answer, which also has a few other bytes."""


NAMES = {"serve": socket.gethostname(), "run": f"deploy-{socket.gethostname()}"}
"""The names of members without `--name`. They differ, so that a host that serves can also run."""


# A host that carries out orders


def carry_out(query: sprat.Query) -> None:
    """Run the command of a query, and answer with its exit status and the end of its output."""
    done = subprocess.run(
        ["/bin/sh", "-c", query.payload.decode(errors="surrogateescape")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    print(f"order of {query.asker}: status {done.returncode}", flush=True)
    try:
        query.respond(f"{done.returncode}\n".encode() + done.stdout[-OUTPUT:])
    except sprat.TimeoutError:
        print("the order was carried out too late for an answer", flush=True)


def serve(node: sprat.Node) -> None:
    """Carry out orders, one at a time, until a signal."""
    print(f"{node.name} waits for orders at {node.address}", flush=True)
    for event in node.events(sprat.Query):
        if event.name == QUERY:
            carry_out(event)


# The host that gives an order


class Progress:
    """A bar on the terminal that counts the answers."""

    WIDTH = 30

    def __init__(self, total: int) -> None:
        self._done, self._total = 0, total
        self._draw()

    def answer(self, text: str) -> None:
        """Print an answer above the bar, and count it."""
        self._done += 1
        self._print(text)

    def close(self, text: str) -> None:
        """Print a last line instead of the bar."""
        self._total = 0
        self._print(text)

    def _print(self, text: str) -> None:
        clear = "\r\x1b[K" if sys.stdout.isatty() else ""
        print(f"{clear}{text}", flush=True)
        self._draw()

    def _draw(self) -> None:
        if self._total and sys.stdout.isatty():
            full = self.WIDTH * self._done // max(self._total, self._done)
            bar = "#" * full + "-" * (self.WIDTH - full)
            print(f"[{bar}] {self._done} of {self._total}", end="", flush=True)


def printable(text: str) -> str:
    """Escape control characters, except the ends of lines."""
    return "".join(it if it.isprintable() or it == "\n" else repr(it)[1:-1] for it in text)


def run(node: sprat.Node, command: str, tag: tuple[str, str], timeout: float) -> bool:
    """Give an order, and print the answers. Return true if all hosts have succeeded."""
    key, value = tag
    hosts = node.members(tags={key: value})
    progress = Progress(len(hosts))
    failed = 0
    if not hosts:
        progress.close(f"no host has the tag {key}={value}")
        return False
    # The names of many hosts would not fit into a query, so a regular expression selects them.
    exactly = {key: f"^{re.escape(value)}$"}
    with node.query(
        QUERY, os.fsencode(command), tags=exactly, timeout=timeout, relay_factor=1
    ) as result:
        for response in result:
            status, _, output = response.payload.decode(errors="replace").partition("\n")
            failed += status != "0"
            verdict = "ok" if status == "0" else f"status {status}"
            progress.answer(f"{response.member}: {verdict}\n{printable(output)}".rstrip())
    progress.close(result.problem or f"{len(hosts)} hosts, {failed} failed")
    return result.complete and not failed


# The command line


def tag(text: str) -> tuple[str, str]:
    """Parse the value of --tag."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Runs a command on all hosts with a tag.")
    actions = parser.add_subparsers(dest="action", required=True)
    for action in ("serve", "run"):
        one = actions.add_parser(action)
        if action == "run":
            one.add_argument("command", help="command for /bin/sh on each host")
            one.add_argument("--timeout", type=float, default=30.0, help="seconds for the answers")
        one.add_argument("members", nargs="*", metavar="MEMBER", help="addresses of other members")
        one.add_argument("--name", default=NAMES[action], help="name of the member")
        one.add_argument("--bind", default="0.0.0.0:7946", help="address to listen on")
        one.add_argument("--tag", type=tag, required=True, metavar="KEY=VALUE")
        one.add_argument("--key-file", type=Path, help="file with a key in base64")
        one.add_argument("--profile", default="lan", help="lan, wan or local")
    return parser.parse_args()


def main() -> int:
    """Carry out orders until a signal, or give one order."""
    options = arguments()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(1))  # the block below leaves the cluster
    serves = options.action == "serve"
    settings: dict[str, Any] = {"bind": options.bind, "profile": options.profile}
    if options.key_file:
        settings["keys"] = [options.key_file.read_text().strip()]
    if serves:
        settings.update(tags=dict([options.tag]), seeds=options.members)
    with sprat.Node(name=options.name, **settings) as node:
        if serves:
            serve(node)
            return 0
        if options.members:
            node.join(*options.members)
        return 0 if run(node, options.command, options.tag, options.timeout) else 1


if __name__ == "__main__":
    sys.exit(main())
