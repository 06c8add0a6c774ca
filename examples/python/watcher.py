"""Runs scripts when members come and go, as the event handlers of a Serf agent do.

Existing handler scripts run unchanged: same environment, same lines on standard input.

    python watcher.py --name eye --seed 10.0.0.5 --handler ./all.sh
    python watcher.py --name eye --seed 10.0.0.5 --handler member-join,member-failed=./some.sh

A script is run by /bin/sh, one at a time. It finds in its environment

    SERF_EVENT       member-join, member-leave, member-failed, member-update or member-reap
    SERF_SELF_NAME   the name of this node
    SERF_SELF_ROLE   its tag "role", or nothing
    SERF_TAG_X       its tag X, in upper case

and on standard input a line per member: name, address, role and tags, with tabs between them. As
with the agent, what happens close together comes in one run: after 1 s of quiet, or after 3 s.

User events and queries, which a Serf agent hands to its handlers as well, are not passed on.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import sprat

KINDS = (
    sprat.MemberJoined,
    sprat.MemberLeft,
    sprat.MemberFailed,
    sprat.MemberUpdated,
    sprat.MemberReaped,
)
QUIET, PERIOD = 1.0, 3.0
"""Seconds, as the agent has them."""

Handler = tuple[str, str]
"""A kind of event, or "*", and what the shell is to run."""


def main() -> None:
    args = arguments()
    handlers = [handler for it in args.handler for handler in parsed(it)]
    # SIGTERM then ends the wait for events just as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    tags = dict(tag.split("=", 1) for tag in args.tag)
    with sprat.Node(
        name=args.name, bind=args.bind, seeds=args.seed, profile=args.profile, tags=tags
    ) as node:
        events = node.events(*KINDS)
        waiting: dict[str, sprat.MemberEvent] = {}
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                gather(events, waiting)
                deliver(node, handlers, waiting)
        node.leave()
        gather(events, waiting, period=0)  # its own departure, as the agent tells it
        deliver(node, handlers, waiting)


def parsed(text: str) -> Iterator[Handler]:
    """A handler per kind from "SCRIPT" or "KIND,KIND=SCRIPT"."""
    kinds, equals, script = text.partition("=")
    if not equals:
        yield "*", text
        return
    for kind in kinds.split(","):
        yield kind, script


def gather(
    events: sprat.Events[sprat.MemberEvent],
    waiting: dict[str, sprat.MemberEvent],
    period: float | None = None,
) -> None:
    """Wait for an event and those that follow closely; the latest of each member counts."""
    event = events.next(period)
    until = time.monotonic() + (PERIOD if period is None else period)
    while event is not None:
        waiting[event.member.name] = event
        event = events.next(min(QUIET, max(0.0, until - time.monotonic())))


def deliver(
    node: sprat.Node, handlers: list[Handler], waiting: dict[str, sprat.MemberEvent]
) -> None:
    """Run the scripts, once for each kind of event, and forget the events."""
    for cls in KINDS:
        members = [event.member for event in waiting.values() if type(event) is cls]
        if members:
            kind = next(it.kind for it in waiting.values() if type(it) is cls)
            lines = "".join(line(member) for member in members)
            for wanted, script in handlers:
                if wanted in ("*", kind):
                    run(script, environment(node, kind), lines)
    waiting.clear()


def run(script: str, environment: dict[str, str], lines: str) -> None:
    """Run one script to its end; if it fails, say so and go on."""
    done = subprocess.run(
        ["/bin/sh", "-c", script], input=lines.encode(), env=environment, check=False
    )
    if done.returncode != 0:
        print(f"{script}: ended with {done.returncode}", file=sys.stderr, flush=True)


def environment(node: sprat.Node, kind: str) -> dict[str, str]:
    """The environment of this process, and what the agent adds."""
    tags = {f"SERF_TAG_{re.sub('[^A-Z0-9_]', '_', k.upper())}": v for k, v in node.tags.items()}
    return {
        **os.environ,
        "SERF_EVENT": kind,
        "SERF_SELF_NAME": node.name,
        "SERF_SELF_ROLE": node.tags.get("role", ""),
        **tags,
    }


def line(member: sprat.Member) -> str:
    """A member as the agent writes it."""
    tags = ",".join(f"{key}={value}" for key, value in member.tags.items())
    role = member.tags.get("role", "")
    return "\t".join([escaped(member.name), member.host, escaped(role), escaped(tags)]) + "\n"


def escaped(text: str) -> str:
    """Without tabs and ends of lines, which have a meaning of their own."""
    return text.replace("\t", "\\t").replace("\n", "\\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--name", required=True, help="unique in the cluster")
    parser.add_argument("--bind", default="0.0.0.0:7946", help="where the node listens")
    parser.add_argument("--seed", action="append", default=[], help="a member, may be repeated")
    parser.add_argument("--profile", default="lan", choices=["lan", "wan", "local"])
    parser.add_argument("--tag", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--handler", action="append", required=True, metavar="[KIND,..=]SCRIPT")
    return parser.parse_args()


if __name__ == "__main__":
    main()
