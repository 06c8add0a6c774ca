"""Which member owns a key: a rendezvous-hash ring that follows the membership.

Each member gets a score for a key, a hash of both; the highest owns it. So every member finds the
same owner without asking, and when one is lost only its keys move, spread over all the others.

The program prints the owners of some keys, and each key that moves:

    python ring.py --name a --bind 10.0.0.7 10.0.0.5 --key apple --key pear

    apple a
    pear a -> b

Lists of members agree within a second or so, not at every moment: who gets a request for a key
that it does not own should pass it on or refuse it.
"""

from __future__ import annotations

import argparse
import hashlib
import heapq
import signal
import sys
from collections.abc import Iterable

import sprat


def score(name: str, key: str) -> bytes:
    """How strongly a member claims a key: the same in every process, unlike `hash`."""
    # The length keeps ("ab", "c") and ("a", "bc") apart.
    told = name.encode()
    text = len(told).to_bytes(4, "big") + told + key.encode()
    return hashlib.blake2b(text, digest_size=16).digest()


class Ring:
    """Owners of keys among some names. It never changes: make another when the members do."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = frozenset(names)

    def owner(self, key: str) -> str | None:
        """Who owns the key; `None` if there is nobody."""
        return next(iter(self.owners(key, 1)), None)

    def owners(self, key: str, count: int) -> list[str]:
        """The first `count` owners, for copies: when one is lost the next moves up."""
        return heapq.nlargest(count, self.names, lambda name: score(name, key))


def show(ring: Ring, keys: Iterable[str], owners: dict[str, str | None]) -> None:
    """Print the keys whose owner is another now, and remember it."""
    for key in keys:
        owner = ring.owner(key)
        before = owners.get(key)
        if owner != before:
            print(f"{key} {owner}" if before is None else f"{key} {before} -> {owner}", flush=True)
        owners[key] = owner


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description="Tells which member owns a key.")
    parser.add_argument("seeds", nargs="*", metavar="SEED", help="addresses of other members")
    parser.add_argument("--name", help="the host name by default")
    parser.add_argument("--bind", default="0.0.0.0:7946", help="address of this member")
    parser.add_argument("--role", default="ring", help="who owns keys: members of this role")
    parser.add_argument("--key", action="append", default=[], help="a key to follow; repeat it")
    parser.add_argument("--profile", default="lan", help="lan, wan or local")
    return parser.parse_args()


def main() -> None:
    """Follow the members until a signal."""
    options = arguments()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit())  # the block below leaves the cluster
    owners: dict[str, str | None] = {}
    with sprat.Node(
        name=options.name,
        bind=options.bind,
        tags={"role": options.role},
        profile=options.profile,
        seeds=options.seeds,
    ) as node:
        # Whatever happened, the list is asked: one source of truth, even after lost events.
        for _ in node.events():
            show(Ring(node.members(role=options.role).names()), options.key, owners)


if __name__ == "__main__":
    main()
