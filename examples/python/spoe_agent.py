"""A member of a cluster that HAProxy asks about requests.

HAProxy asks through its stream processing offload engine (SPOE): which server owns a key, whether
the source of a request is a member, how many members there are, who the leader is, and what the
value of a tag is. The library answers on its own thread, without Python, so the program is free for
other work: this program prints the number of questions every ten seconds. docs/haproxy/spoe.md
describes the configuration of HAProxy.

    python spoe_agent.py --listen 127.0.0.1:29000 --bind 10.0.0.7 10.0.0.5 10.0.0.6

The last arguments are addresses of members of the cluster. These members need not be up yet.
"""

from __future__ import annotations

import argparse
import signal

import sprat

STOP = {signal.SIGINT, signal.SIGTERM}


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="A member that HAProxy asks about requests.")
    parser.add_argument("seeds", nargs="*", metavar="SEED", help="addresses of other members")
    parser.add_argument("--listen", default="127.0.0.1:29000", help="address for HAProxy")
    parser.add_argument("--name", help="name of the member; the host name by default")
    parser.add_argument("--bind", default="0.0.0.0", help="address of the member")
    parser.add_argument("--profile", default="lan", help="lan, wan or local")
    return parser.parse_args()


def main() -> None:
    """Run until SIGINT or SIGTERM."""
    options = arguments()
    # Block the signals before any thread starts, so that they wait for sigtimedwait() below.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
    with sprat.Node(
        name=options.name,
        bind=options.bind,
        profile=options.profile,
        seeds=options.seeds,
        spoe_bind=options.listen,
    ) as node:
        print("answering HAProxy", flush=True)
        while signal.sigtimedwait(STOP, 10) is None:
            stats = node.stats()
            questions, connections = stats["spoe_questions"], stats["spoe_connections"]
            print(f"{questions} questions, {connections} connections", flush=True)


if __name__ == "__main__":
    main()
