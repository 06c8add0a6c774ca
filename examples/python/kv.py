"""A replicated map without a server, over messages and states of memberlist.

    python kv.py --name a --bind 10.0.0.7 10.0.0.5 10.0.0.6

The last arguments are addresses of members, which need not be up yet. Each line of standard input
is a command: `set KEY VALUE`, `del KEY`, `get KEY`, or `all`. The end of the input (Ctrl-D), Ctrl-C
or SIGTERM ends the program.

Every member holds the whole map. A change is gossiped as a message, and each member passes on what
is new to it. Each push/pull (at a join, and every 30 seconds) carries the whole map, so members
that were cut off from each other agree again once they can talk. Of two changes to one key, the one
with the higher version counts; if the versions are equal, that of the member whose name sorts last.
All members decide in the same way, so all end with the same map.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import selectors
import signal
import sys
from collections.abc import Mapping
from typing import Any

import sprat


class Map:
    """The map. An entry is its version, the member that wrote it, and the value or `None`."""

    def __init__(self, node: sprat.Node) -> None:
        self.node = node
        self.entries: dict[str, tuple[int, str, str | None]] = {}

    def set(self, key: str, value: str | None) -> None:
        """Set a key, or delete it with `None`, here and everywhere."""
        version, _, _ = self.entries.get(key, (0, "", None))
        self.merge({key: [version + 1, self.node.name, value]})

    def merge(self, changes: Mapping[str, Any]) -> None:
        """Take over the changes that are newer than the entries here, and pass them on."""
        news = {}
        for key, change in changes.items():
            if is_entry(change) and tuple(change[:2]) > self.entries.get(key, (0, ""))[:2]:
                version, writer, value = change
                news[key] = self.entries[key] = (version, writer, value)
        for key, entry in news.items():
            # An entry that does not fit into a packet goes with the next push/pulls.
            with contextlib.suppress(sprat.TooLargeError):
                self.node.broadcast(json.dumps({key: entry}).encode(), name=key)
        if news:
            self.node.set_local_state(json.dumps(self.entries).encode())

    def take(self, event: sprat.Event) -> None:
        """Merge what another member has sent."""
        match event:
            case sprat.Message(payload=payload) | sprat.RemoteState(payload=payload):
                try:
                    changes = json.loads(payload)
                except ValueError:
                    return  # not from a program of this kind
                if isinstance(changes, dict):
                    self.merge(changes)

    def values(self) -> dict[str, str]:
        """Return the keys that are set, with their values."""
        values = ((key, value) for key, (_, _, value) in sorted(self.entries.items()))
        return {key: value for key, value in values if value is not None}


def is_entry(change: object) -> bool:
    """Return whether a change of another member has the right shape."""
    match change:
        case [int(), str(), str() | None]:
            return True
        case _:
            return False


def run(replicated: Map, line: str) -> None:
    """Run one command, and print its result."""
    match line.split(maxsplit=2):
        case ["set", key, value]:
            replicated.set(key, value)
        case ["del", key]:
            replicated.set(key, None)
        case ["get", key]:
            print(replicated.values().get(key, ""), flush=True)
        case ["all"]:
            print(json.dumps(replicated.values()), flush=True)
        case []:
            pass
        case _:
            print("commands: set KEY VALUE, del KEY, get KEY, all", flush=True)


def serve(node: sprat.Node) -> None:
    """Run the commands of standard input, and follow the other members, until the input ends."""
    replicated = Map(node)
    events = node.events(sprat.Message, sprat.RemoteState)
    rest = b""  # the beginning of a line whose end has not come
    with selectors.DefaultSelector() as selector:
        selector.register(events, selectors.EVENT_READ)
        selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is events:
                    while (event := events.next(0)) is not None:
                        replicated.take(event)
                    continue
                data = os.read(sys.stdin.fileno(), 65536)
                *lines, rest = (rest + (data or b"\n")).split(b"\n")
                for line in lines:
                    run(replicated, line.decode(errors="replace"))
                if not data:
                    return


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="A replicated map without a server.")
    parser.add_argument("seeds", nargs="*", metavar="SEED", help="addresses of other members")
    parser.add_argument("--name", help="name of the member; the host name by default")
    parser.add_argument("--bind", default="0.0.0.0:7946", help="address to listen on")
    parser.add_argument("--profile", default="lan", help="lan, wan or local")
    return parser.parse_args()


def main() -> None:
    """Run until the end of the input or a signal."""
    options = arguments()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit())  # the block below leaves the cluster
    settings = {"name": options.name, "bind": options.bind, "profile": options.profile}
    with sprat.Node(mode="memberlist", seeds=options.seeds, **settings) as node:
        serve(node)


if __name__ == "__main__":
    main()
