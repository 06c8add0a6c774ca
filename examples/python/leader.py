"""Picks a leader among the live members by a rule that all of them share.

The rule: of the live members with the same role, the one whose name sorts first leads. Each looks
at its own list; nobody votes, nothing is sent, and the next leader is known the moment the last
one is seen to fail or leave.

This is not consensus. Lists agree within a second or so, not at every moment:

- While a failure is being noticed (seconds) nobody leads; while a new member is being noticed two
  may.
- When the network splits, each side has a leader. `--at-least`, more than half of the members
  there are in all, stops the smaller side, but only when it has noticed.
- A node for which most of several others fell silent at once cannot know whether they failed or it
  is cut off. It does not act then (`node.health().isolated`), until enough of them are back. Two
  that know of no others cannot tell either, and each leads when it has lost the other:
  `--at-least 2` says otherwise.
- It takes seconds to notice any of that, and a node that has just started has found nobody yet.
  So a leader acts only after it has led for `--settle` seconds.

So it is right for work that may be done twice: cleaning up, refreshing a cache, sending a report.
Where a second leader does harm, use a lock in a store with consensus.

    python leader.py --name a --bind 10.0.0.7 10.0.0.5 10.0.0.6

The addresses at the end are any members of the cluster, running yet or not.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from typing import NoReturn

import sprat


def leader(members: sprat.Members) -> str:
    """The name of the one that leads; all members with the same list say the same."""
    return min(members.names())


def verdict(node: sprat.Node, role: str, at_least: int) -> tuple[bool, str]:
    """Whether this node is to act now, and what to say about it."""
    # One that is suspected still counts: suspicions differ from member to member, and pass.
    members = node.members(role=role)
    if node.health().isolated:
        return False, "isolated: nobody leads here"
    if len(members) < at_least:
        return False, f"{len(members)} of at least {at_least} members: nobody leads here"
    first = leader(members)
    return first == node.name, f"{first} leads {len(members)}"


def act() -> None:
    """What only the leader does, about once a second. It must bear to be done twice."""
    print("acting", flush=True)


def lead(node: sprat.Node, role: str, at_least: int, settle: float) -> NoReturn:
    """Look at each change, and every second: silence is no event."""
    events = node.events(sprat.MemberEvent)
    said, due = "", 0.0
    while True:
        mine, text = verdict(node, role, at_least)
        if text != said:
            print(text, flush=True)
            said = text
        now = time.monotonic()
        if not mine or not due:
            due = now + settle
        elif now >= due:
            act()
            due = now + 1
        events.next(timeout=1)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description="Picks a leader among the live members.")
    parser.add_argument("seeds", nargs="*", metavar="SEED", help="addresses of other members")
    parser.add_argument("--name", help="the host name by default")
    parser.add_argument("--bind", default="0.0.0.0:7946", help="address of this member")
    parser.add_argument("--role", default="worker", help="who may lead: members of this role")
    parser.add_argument("--at-least", type=int, default=1, help="nobody leads fewer members")
    parser.add_argument("--settle", type=float, default=5.0, help="seconds before it acts")
    parser.add_argument("--profile", default="lan", help="lan, wan or local")
    return parser.parse_args()


def main() -> None:
    """Take part until a signal."""
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
