"""Who owns a key: rendezvous hashing over the members that are there.

Each member has a score for each key, and the highest score owns it. Whoever sees the same members
gives the same answer, without asking. When a member is lost only its keys move, spread over all
the others; when one joins it takes its share from each.

    python ring.py --name cache-1 --seed 10.0.0.5 user:1 user:2 user:3

It prints the owners of the keys, again after each change. Members that see a change later send
keys to the old owner for a moment: an owner that is asked for a key of another should pass it on
or refuse.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import signal
from collections.abc import Iterable

import sprat


def score(name: str, key: str) -> bytes:
    """The same on every machine and in every run, which `hash` is not."""
    return hashlib.blake2b(f"{name}\0{key}".encode(), digest_size=8).digest()


def owner(key: str, members: Iterable[sprat.Member]) -> sprat.Member | None:
    """The member that owns a key, or `None` if there is no member."""
    return max(members, key=lambda member: score(member.name, key), default=None)


def table(node: sprat.Node, keys: list[str]) -> str:
    """The owners of the keys, among the members with this role."""
    members = node.members(role="cache")  # one picture for all keys
    found = ((key, owner(key, members)) for key in keys)
    return " ".join(f"{key}={member.name}" for key, member in found if member)


def main() -> None:
    args = arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with sprat.Node(
        name=args.name,
        bind=args.bind,
        seeds=args.seed,
        profile=args.profile,
        tags={"role": "cache"},
    ) as node:
        last = None
        with contextlib.suppress(KeyboardInterrupt):
            for _ in node.events():  # whatever it was, an overflow too: look again
                now = table(node, args.key)
                if now != last:
                    print(now, flush=True)
                last = now


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--name", required=True, help="unique in the cluster")
    parser.add_argument("--bind", default="0.0.0.0:7946", help="where the node listens")
    parser.add_argument("--seed", action="append", default=[], help="a member, may be repeated")
    parser.add_argument("--profile", default="lan", choices=["lan", "wan", "local"])
    parser.add_argument("key", nargs="+", help="keys whose owners to print")
    return parser.parse_args()


if __name__ == "__main__":
    main()
