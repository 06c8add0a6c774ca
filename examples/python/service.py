"""An asyncio service that follows the members of its cluster while it does its own work.

It answers each connection with a list of the live members, and one task prints the events. On
SIGTERM or Ctrl-C it accepts no more connections, leaves the cluster and exits. See web_server.py
for a server that loses no request when it leaves.

    python service.py --bind 10.0.0.7 --port 9000 10.0.0.5 10.0.0.6 &
    nc 10.0.0.7 9000

The last arguments are addresses of members of the cluster. These members need not be up yet.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import signal

import sprat
import sprat.aio


async def follow(node: sprat.aio.Node) -> None:
    """Print the events of members."""
    async for event in node.events(sprat.MemberEvent, sprat.Overflow):
        match event:
            case sprat.MemberEvent(member):
                print(event.kind, member.name, member.address, flush=True)
            case sprat.Overflow(lost):
                # This service keeps no list that could now be wrong: it asks node.members().
                print(f"{lost} events were lost", flush=True)


async def answer(
    node: sprat.aio.Node, _: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Send the list of live members."""
    # Taking the list is cheap, so there is no need to keep a list.
    lines = [f"{member.name} {member.address}\n" for member in node.members()]
    try:
        writer.write("".join(lines).encode())
        await writer.drain()
    except ConnectionError:
        pass  # the client has gone away
    finally:
        writer.close()


def host_of(address: str) -> str:
    """Return the host of an address such as 10.0.0.7, 10.0.0.7:7946, ::1 or [::1]:7946."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address if address.count(":") > 1 else address.partition(":")[0]


async def run(options: argparse.Namespace) -> None:
    """Run the service until a signal."""
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
        host = host_of(options.bind)
        server = await asyncio.start_server(functools.partial(answer, node), host, options.port)
        async with server, asyncio.TaskGroup() as tasks:
            follower = tasks.create_task(follow(node))
            print(f"{node.name} answers on port {server.sockets[0].getsockname()[1]}", flush=True)
            await stop.wait()  # an error in a task also ends this wait
            follower.cancel()
        print("leaving", flush=True)


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="A service that lists the members of its cluster.")
    parser.add_argument("seeds", nargs="*", metavar="SEED", help="addresses of other members")
    parser.add_argument("--name", help="name of the member; the host name by default")
    parser.add_argument("--bind", default="0.0.0.0", help="address of the member and the service")
    parser.add_argument(
        "--port", type=int, default=9000, help="port of the service; 0 for any free port"
    )
    parser.add_argument("--profile", default="lan", help="lan, wan or local")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(run(arguments()))
