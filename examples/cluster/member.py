"""A member with a keyring file, for keys.py: sends and prints user events.

    member.py NAME BIND KEYRING_FILE JOIN

Each line of standard input is sent as a user event with this name. Prints the user events of all
members, its own included: user NAME. Leaves at the end of the input.
"""

import sys

import sprat


def show(event):
    """Print a user event."""
    if isinstance(event, sprat.UserEvent):
        print("user", event.name, flush=True)


def main():
    """Run the member until its input ends."""
    name, bind, keyring_file, join = sys.argv[1:]
    with sprat.Node(name=name, bind=bind, keyring_file=keyring_file, on_event=show) as node:
        node.join(join)
        for line in sys.stdin:
            node.send_event(line.strip())


main()
