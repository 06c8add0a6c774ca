"""Runs a script when members come and go, as Serf runs its event handlers.

Scripts written for ``serf agent -event-handler`` run unchanged: the environment has SERF_EVENT
(member-join, member-leave, member-failed, member-update or member-reap), SERF_SELF_NAME,
SERF_SELF_ROLE, and one SERF_TAG_... for each tag of this node. Standard input has one line: the
name, the address, the role and the tags of the member, separated by tabs.

    python watcher.py --bind 10.0.0.7 --tag role=lb ./handler.sh 10.0.0.5 10.0.0.6

There is one difference: an agent gathers events for up to 3 seconds and may pass several members to
one run, each on a line of its own. Here, each event starts a separate run, without such a delay.
Only one run is active at a time, and none is interrupted. After SIGTERM or Ctrl-C, this program
waits for the active run to end, then leaves the cluster.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess

import sprat

# Serf's handlers get no events about suspicions.
KINDS = (
    sprat.MemberJoined,
    sprat.MemberLeft,
    sprat.MemberFailed,
    sprat.MemberUpdated,
    sprat.MemberReaped,
)


def clean(text: str) -> str:
    """Escape tabs and newlines, which separate fields and lines."""
    return text.replace("\t", "\\t").replace("\n", "\\n")


def line(member: sprat.Member) -> str:
    """Return the line that describes a member to a handler."""
    tags = ",".join(f"{key}={value}" for key, value in member.tags.items())
    fields = [clean(member.name), member.host, clean(member.tags.get("role", "")), clean(tags)]
    return "\t".join(fields) + "\n"


def environment(node: sprat.Node, event: sprat.MemberEvent) -> dict[str, str]:
    """Return the environment variables that a run of the script gets."""
    own = dict(node.tags)
    tags = {"SERF_TAG_" + re.sub("[^A-Za-z0-9_]", "_", key).upper(): own[key] for key in own}
    return {
        **os.environ,
        "SERF_EVENT": event.kind,
        "SERF_SELF_NAME": node.name,
        "SERF_SELF_ROLE": own.get("role", ""),
        **tags,
    }


def handle(script: str, node: sprat.Node, event: sprat.MemberEvent) -> None:
    """Run the script and wait for it."""
    done = subprocess.run(
        ["/bin/sh", "-c", script],
        input=line(event.member).encode(),
        env=environment(node, event),
        check=False,
        start_new_session=True,  # Ctrl-C must not reach the script
    )
    if done.returncode:
        print(f"{event.kind} {event.member.name}: status {done.returncode}", flush=True)


def tag(text: str) -> tuple[str, str]:
    """Parse the value of --tag."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Runs a script when members come and go.")
    parser.add_argument("script", help="command for /bin/sh")
    parser.add_argument("seeds", nargs="*", metavar="SEED", help="addresses of other members")
    parser.add_argument("--name", help="name of the member; the host name by default")
    parser.add_argument("--bind", default="0.0.0.0:7946", help="address to listen on")
    parser.add_argument("--tag", type=tag, action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--profile", default="lan", help="lan, wan or local")
    return parser.parse_args()


def main() -> None:
    """Run the script for each event, until a signal arrives."""
    options = arguments()
    with sprat.Node(
        name=options.name,
        bind=options.bind,
        tags=dict(options.tag),
        profile=options.profile,
        seeds=options.seeds,
    ) as node:
        events = node.events(*KINDS)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: events.close())  # ends the loop after the active run
        for event in events:
            handle(options.script, node, event)


if __name__ == "__main__":
    main()
