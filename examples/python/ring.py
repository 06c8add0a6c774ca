"""Finds the member that owns a key, with a rendezvous-hash ring that follows the membership.

For a key, the score of each member is a hash of its name and the key. The member with the highest
score owns the key. So every member finds the same owner without a message. When a member is lost,
only its keys move, spread over all other members.

The program prints the owners of some keys, and each key that moves:

    python ring.py --name a --bind 10.0.0.7 10.0.0.5 --key apple --key pear

    apple a
    pear a -> b

The lists of members agree within about a second, but not at every moment: a member that gets a
request for a key that it does not own should forward or refuse it.
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
    """Return the score of a member for a key: the same in every process, unlike `hash`."""
    # With the length in front, ("ab", "c") and ("a", "bc") have different scores.
    encoded = name.encode()
    text = len(encoded).to_bytes(4, "big") + encoded + key.encode()
    return hashlib.blake2b(text, digest_size=16).digest()


class Ring:
    """The owners of keys among some names. A ring never changes: make a new one for new members."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = frozenset(names)

    def owner(self, key: str) -> str | None:
        """Return the owner of a key; `None` if there are no members."""
        return next(iter(self.owners(key, 1)), None)

    def owners(self, key: str, count: int) -> list[str]:
        """Return the first `count` owners, for copies: if an owner is lost, the next moves up."""
        return heapq.nlargest(count, self.names, lambda name: score(name, key))


def show(ring: Ring, keys: Iterable[str], owners: dict[str, str | None]) -> None:
    """Print the keys whose owner has changed, and remember the new owners."""
    for key in keys:
        owner = ring.owner(key)
        before = owners.get(key)
        if owner != before:
            print(f"{key} {owner}" if before is None else f"{key} {before} -> {owner}", flush=True)
        owners[key] = owner


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Prints the member that owns each key.")
    parser.add_argument("seeds", nargs="*", metavar="SEED", help="addresses of other members")
    parser.add_argument("--name", help="name of the member; the host name by default")
    parser.add_argument("--bind", default="0.0.0.0:7946", help="address to listen on")
    parser.add_argument("--role", default="ring", help="only members with this role own keys")
    parser.add_argument(
        "--key", action="append", default=[], help="a key to follow; may be repeated"
    )
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
        # After every event the list is read again, so the ring is right even if events were lost.
        for _ in node.events():
            show(Ring(node.members(role=options.role).names()), options.key, owners)


if __name__ == "__main__":
    main()
