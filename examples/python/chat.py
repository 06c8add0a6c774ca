"""A chat without a server: each line is a user event, which every member of the cluster shows.

    python chat.py --name ann --bind 10.0.0.7 10.0.0.5 10.0.0.6

The last arguments are addresses of members of the cluster. These members need not be up yet. Agents
take part, too: `serf event -coalesce=false chat "bob: hello"` shows up in every chat. The end of
the input (Ctrl-D), Ctrl-C or SIGTERM leaves the chat.

A user event reaches every member that gossip reaches, usually within a second, and the lines of one
member come in order. An event is not stored, so a member that joins later does not see it. It has
at most about 470 bytes of text.
"""

from __future__ import annotations

import argparse
import os
import selectors
import signal
import sys

import sprat

EVENT = "chat"


def printable(text: str) -> str:
    """Escape control characters: a line of another member must not move the cursor."""
    return "".join(it if it.isprintable() else repr(it)[1:-1] for it in text)


def show(event: sprat.Event) -> None:
    """Print a line for an event."""
    match event:
        case sprat.UserEvent(name, payload) if name == EVENT:
            print(printable(payload.decode(errors="replace")), flush=True)
        case sprat.MemberJoined(member):
            print(f"* {printable(member.name)} is here", flush=True)
        case sprat.MemberLeft(member) | sprat.MemberFailed(member):
            print(f"* {printable(member.name)} is gone", flush=True)


def say(node: sprat.Node, line: str) -> None:
    """Send a line to all members, this one included."""
    try:
        node.send_event(EVENT, f"{node.name}: {line}".encode())
    except sprat.TooLargeError:
        print("* this line is too long", flush=True)


def chat(node: sprat.Node) -> None:
    """Send the lines of standard input and show those of all members, until the input ends."""
    events = node.events(sprat.UserEvent, sprat.MemberEvent)
    rest = b""  # the beginning of a line whose end has not come
    with selectors.DefaultSelector() as selector:
        selector.register(events, selectors.EVENT_READ)
        selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is events:
                    while (event := events.next(0)) is not None:
                        show(event)
                    continue
                # readline() would keep the lines after the first in a buffer, unseen by select().
                data = os.read(sys.stdin.fileno(), 65536)
                *lines, rest = (rest + (data or b"\n")).split(b"\n")
                for line in filter(None, lines):
                    say(node, line.decode(errors="replace"))
                if not data:
                    return


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="A chat without a server.")
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
    with sprat.Node(
        name=options.name, bind=options.bind, profile=options.profile, seeds=options.seeds
    ) as node:
        chat(node)


if __name__ == "__main__":
    main()
