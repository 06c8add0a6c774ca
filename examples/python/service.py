"""A service for asyncio: it does its work, follows who is there, and leaves when it is told to end.

    python service.py --name worker-1 --seed 10.0.0.5

Its work here is to say once a second which part of it is its own: the members share it by their
order. SIGTERM and Ctrl-C end the tasks; then the node leaves, and nobody sees a failure.
"""

from __future__ import annotations

import argparse
import asyncio
import signal

import sprat
import sprat.aio


async def follow(node: sprat.aio.Node) -> None:
    """Print what happens to the members."""
    async for event in node.events(sprat.MemberEvent, sprat.Overflow):
        match event:
            case sprat.Overflow(lost=lost):
                print(f"{lost} events lost, there are {node.members().names()}", flush=True)
            case sprat.MemberEvent(member=member):
                print(f"{event.kind} {member.name}", flush=True)


async def work(node: sprat.aio.Node) -> None:
    """Do this member's share, once a second."""
    while True:
        names = node.members(role="worker").names()
        print(f"works on part {names.index(node.name) + 1} of {len(names)}", flush=True)
        await asyncio.sleep(1)


async def main() -> None:
    args = arguments()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    node = sprat.aio.Node(
        name=args.name,
        bind=args.bind,
        seeds=args.seed,
        profile=args.profile,
        tags={"role": "worker"},
    )
    # The tasks end first, so that none of them meets a node that has left.
    async with node, asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(follow(node)), tasks.create_task(work(node))]
        await stop.wait()
        for task in running:
            task.cancel()
    print("has left", flush=True)


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
    asyncio.run(main())
