"""An asyncio service that follows the members of its cluster beside work of its own.

Its work is to answer each connection with a list of the live members; one task prints what
happens to them. On SIGTERM or Ctrl-C it takes no more connections, leaves the cluster and exits
(web_server.py shows how to lose no request of those who follow the members).

    python service.py --bind 10.0.0.7 --port 9000 10.0.0.5 10.0.0.6 &
    nc 10.0.0.7 9000

The addresses at the end are any members of the cluster, running yet or not.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import signal

import sprat
import sprat.aio


async def follow(node: sprat.aio.Node) -> None:
    """Print what happens to the members."""
    async for event in node.events(sprat.MemberEvent, sprat.Overflow):
        match event:
            case sprat.MemberEvent(member):
                print(event.kind, member.name, member.address, flush=True)
            case sprat.Overflow(lost):
                # Nobody has to keep a list that could now be wrong: node.members() never is.
                print(f"{lost} changes were not read in time", flush=True)


async def answer(
    node: sprat.aio.Node, _: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Send the list of live members."""
    # Taking it is cheap, so it is taken whenever it is wanted.
    lines = [f"{member.name} {member.address}\n" for member in node.members()]
    try:
        writer.write("".join(lines).encode())
        await writer.drain()
    except ConnectionError:
        pass  # it does not want to know
    finally:
        writer.close()


async def run(options: argparse.Namespace) -> None:
    """The service, from its start to a signal."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with sprat.aio.Node(
        name=options.name,
        bind=options.bind,
        tags={"role": "service"},
        profile=options.profile,
        seeds=options.seeds,
    ) as node:
        host = options.bind.partition(":")[0]
        server = await asyncio.start_server(functools.partial(answer, node), host, options.port)
        async with server, asyncio.TaskGroup() as tasks:
            follower = tasks.create_task(follow(node))
            print(f"{node.name} answers on port {server.sockets[0].getsockname()[1]}", flush=True)
            await stop.wait()  # an error in a task ends this wait, and the service
            follower.cancel()
        print("leaving", flush=True)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description="A service that tells who is in its cluster.")
    parser.add_argument("seeds", nargs="*", metavar="SEED", help="addresses of other members")
    parser.add_argument("--name", help="the host name by default")
    parser.add_argument(
        "--bind", default="0.0.0.0", help="address of the member and of the service"
    )
    parser.add_argument("--port", type=int, default=9000, help="of the service; 0 takes a free one")
    parser.add_argument("--profile", default="lan", help="lan, wan or local")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(run(arguments()))
