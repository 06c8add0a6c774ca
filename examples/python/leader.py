"""A leader without an election: the first by name of those candidates that are there.

Everybody applies the same rule to what it sees, so nobody has to ask anybody.

    python leader.py --name a --seed 10.0.0.5

This is not consensus. Members see a change at slightly different times, so for a moment (with
profile lan some seconds, when a leader fails) there may be no leader or two. A leader that was
suspended or cut off does not know at once that others have taken over. And when the network
splits, each part has members who look like the first. To make the last case harmless, a node acts
only while it sees more than half of the members that it knows, and is not itself `isolated`; two
equal halves then both stand still. Members that failed count until they are reaped or removed
(`Node.remove_failed`); those who left do not count.

So: good for work that may be done twice or a little late, such as cleaning up, a report, a cache.
Where two leaders would do harm, use what has consensus: etcd, Consul, a lock in a database.
"""

from __future__ import annotations

import argparse
import contextlib
import signal

import sprat


def leader(node: sprat.Node) -> sprat.Member | None:
    """The candidate whom all who see the same members call leader."""
    candidates = node.members(role="candidate")  # sorted by name
    return candidates[0] if candidates else None


def doubt(node: sprat.Node) -> str | None:
    """Why this node should not act, whatever it sees; `None` if it may."""
    health = node.health()
    if health.isolated:
        return health.summary
    if 2 * health.live <= health.known:
        return f"sees {health.live} of {health.known} members, which is not most of them"
    return None


def verdict(node: sprat.Node) -> str:
    """What this node is to do now."""
    first = leader(node)
    if first is None or first.name != node.name:
        return f"follows {first.name if first else 'nobody'}"
    reason = doubt(node)
    return f"refuses to lead: {reason}" if reason else "leads"


def main() -> None:
    args = arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with sprat.Node(
        name=args.name,
        bind=args.bind,
        seeds=args.seed,
        profile=args.profile,
        tags={"role": "candidate"},
    ) as node:
        last = None
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                now = verdict(node)
                if now != last:
                    print(now, flush=True)
                last = now
                # An event says that something is new; health may change without one.
                node.next_event(timeout=0.5)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--name", required=True, help="unique in the cluster")
    parser.add_argument("--bind", default="0.0.0.0:7946", help="where the node listens")
    parser.add_argument("--seed", action="append", default=[], help="a member, may be repeated")
    parser.add_argument("--profile", default="lan", choices=["lan", "wan", "local"])
    return parser.parse_args()


if __name__ == "__main__":
    main()
