"""Picks a leader among the live members by a rule that all of them share.

The rule: of the live members with the same role, the one whose name sorts first leads. Each member
applies the rule to its own list. There are no votes and no messages, and the next leader is known
as soon as the previous leader is seen to fail or leave.

This is not consensus. The lists agree within about a second, but not at every moment:

- While the failure of the leader is being detected (seconds), no member leads. While a new member
  is being detected, two members may lead.
- If the network splits, each side has a leader. Set `--at-least` to more than half of all members
  to stop the smaller side, once it has detected the split.
- If most of the other members, and at least two, fall silent at about the same time, a node cannot
  know whether they failed or whether it is cut off itself. It then does not act
  (`node.health().isolated`) until enough members are back. In a cluster of two, each node leads
  after it has lost the other; `--at-least 2` prevents that.
- Each detection takes seconds, and a node that has just started knows no other member. So a leader
  acts only after it has led for `--settle` seconds.

So the rule suits work that may be done twice: cleaning up, refreshing a cache, sending a report.
If a second leader does harm, use a lock in a store with consensus.

    python leader.py --name a --bind 10.0.0.7 10.0.0.5 10.0.0.6

The last arguments are addresses of members of the cluster. These members need not be up yet.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from typing import NoReturn

import sprat


def leader(members: sprat.Members) -> str:
    """Return the name of the leader. All members with the same list agree."""
    return min(members.names())


def verdict(node: sprat.Node, role: str, at_least: int) -> tuple[bool, str]:
    """Return true if this node leads, and a line that describes the situation."""
    # A suspect still counts: members differ in whom they suspect, and most suspects refute.
    members = node.members(role=role)
    if node.health().isolated:
        return False, "isolated: no member leads here"
    if len(members) < at_least:
        return False, f"{len(members)} of at least {at_least} members: no member leads here"
    first = leader(members)
    return first == node.name, f"{first} leads {len(members)}"


def act() -> None:
    """Do the work of the leader, about once a second. Doing it twice must be harmless."""
    print("acting", flush=True)


def lead(node: sprat.Node, role: str, at_least: int, settle: float) -> NoReturn:
    """Apply the rule after each event, and also every second, because silence causes no event."""
    events = node.events(sprat.MemberEvent)
    printed, due = "", 0.0
    while True:
        mine, text = verdict(node, role, at_least)
        if text != printed:
            print(text, flush=True)
            printed = text
        now = time.monotonic()
        if not mine or not due:
            due = now + settle
        elif now >= due:
            act()
            due = now + 1
        events.next(timeout=1)


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Picks a leader among the live members.")
    parser.add_argument("seeds", nargs="*", metavar="SEED", help="addresses of other members")
    parser.add_argument("--name", help="name of the member; the host name by default")
    parser.add_argument("--bind", default="0.0.0.0:7946", help="address to listen on")
    parser.add_argument("--role", default="worker", help="only members with this role may lead")
    parser.add_argument("--at-least", type=int, default=1, help="members needed to have a leader")
    parser.add_argument("--settle", type=float, default=5.0, help="seconds to lead before acting")
    parser.add_argument("--profile", default="lan", help="lan, wan or local")
    return parser.parse_args()


def main() -> None:
    """Run until a signal."""
    options = arguments()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit())  # the block below leaves the cluster
    with sprat.Node(
        name=options.name,
        bind=options.bind,
        tags={"role": options.role},
        profile=options.profile,
        seeds=options.seeds,
    ) as node:
        lead(node, options.role, options.at_least, options.settle)


if __name__ == "__main__":
    main()
