"""The cost of the Python package, compared with other ways to use the same library.

Latency is the time from the event's time stamp, which the library sets when it queues the event, to
the first line of application code that has the event. It is measured for one event at a time on an
idle interpreter.

Throughput is the rate at which waiting events are delivered. The rows `usual design` show what most
native packages do: a thread of the library enters the interpreter for each event. Here that is a
callback by `ctypes` on the C interface of sprat. The row `floor` shows the lowest possible latency:
two Python threads and an eventfd, without any library.

The last column was measured on an early prototype of this package, on a machine with two shared
cores. `scripts/bench.sh` runs this file with the library built in the profile `release`, and the
package in the profile `guest`, which has the same options.
"""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import os
import select
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import uvloop

import sprat
import sprat.aio

LATENCIES = int(os.environ.get("SPRAT_BENCH_EVENTS", "3000"))
BACKLOG = 20_000
CROWD = 1_000
ADDRESS = "127.0.0.77:7946"

LOCAL: dict[str, Any] = {
    "name": "bench",
    "bind": ADDRESS,
    "probe_interval_ms": 600_000,
    "event_queue": 1_000_000,
}


def show(what: str, figure: str, prototype: str) -> None:
    """Print a row."""
    print(f"  {what:<44} {figure:>34}   {prototype}", flush=True)


def microseconds(times: list[float]) -> str:
    """Format the median and the 99th percentile."""
    times = sorted(times)
    p99 = times[len(times) * 99 // 100]
    return f"p50 {statistics.median(times) * 1e6:6.1f} us, p99 {p99 * 1e6:7.1f} us"


def changes(tags: Any, count: int) -> None:
    """Cause events about this node: one for each change of its tags."""
    for number in range(count):
        tags["n"] = str(number)


# Latency: another process sends messages about a member that changes its tags a thousand times a
# second. This interpreter has nothing else to do.

SOURCE = """
import socket, sys, time, msgpack
host, port = sys.argv[1].split(":")
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
kind = {"alive": 4, "dead": 5}
def send(what, **more):
    message = {"Incarnation": number, "Node": "source", **more}
    packed = msgpack.packb(message, use_bin_type=False)
    out.sendto(bytes([kind[what]]) + packed, (host, int(port)))
for number in range(1, int(sys.argv[2])):
    meta = b"\\xff" + msgpack.packb({"n": str(number)}, use_bin_type=False)
    send("alive", Addr=bytes([127, 0, 0, 78]), Port=7946, Meta=meta, Vsn=bytes([1, 5, 2, 2, 5, 5]))
    time.sleep(0.001)
send("dead", From="source")
time.sleep(0.1)
"""


def source() -> subprocess.Popen[bytes]:
    """Start the process that causes the events."""
    return subprocess.Popen([sys.executable, "-c", SOURCE, ADDRESS, str(LATENCIES)])


def callback_latency() -> list[float]:
    """Measure a callback on the package's thread."""
    times: list[float] = []

    def handle(event: sprat.Event) -> None:
        times.append(time.monotonic() - event.time)

    with sprat.Node(on_event=handle, **LOCAL):
        source().wait()
    return times


def iterator_latency() -> list[float]:
    """Measure `for event in node.events()`."""
    times: list[float] = []
    with sprat.Node(**LOCAL) as node:
        running = source()
        for event in node.events():
            times.append(time.monotonic() - event.time)
            if isinstance(event, sprat.MemberLeft | sprat.MemberFailed):
                break
        running.wait()
    return times


async def _async_latency() -> list[float]:
    times: list[float] = []
    async with sprat.aio.Node(**LOCAL) as node:
        running = source()
        async for event in node.events():
            times.append(time.monotonic() - event.time)
            if isinstance(event, sprat.MemberLeft | sprat.MemberFailed):
                break
        running.wait()
    return times


def async_latency() -> list[float]:
    """Measure `async for` on asyncio's own loop."""
    return asyncio.run(_async_latency())


def uvloop_latency() -> list[float]:
    """Measure `async for` on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_async_latency())


class CEvent(ctypes.Structure):
    """The first fields of `sprat_event`."""

    _fields_ = (
        ("kind", ctypes.c_int32),
        ("status", ctypes.c_int32),
        ("seq", ctypes.c_uint64),
        ("time_ns", ctypes.c_uint64),
    )


CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(CEvent), ctypes.c_void_p)


class CNode:
    """A node through the C interface, with a callback on the library's own thread."""

    def __init__(self, handle: Callable[[Any], None]) -> None:
        lib = ctypes.CDLL(os.environ["SPRAT_LIBRARY"])
        lib.sprat_config_new.restype = ctypes.c_void_p
        lib.sprat_node_free.argtypes = (ctypes.c_void_p,)
        lib.sprat_node_set_tag.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p)
        config = ctypes.c_void_p(lib.sprat_config_new())
        for key, value in LOCAL.items():
            lib.sprat_config_set(config, key.encode(), str(value).encode())
        self._callback = CALLBACK(lambda _node, event, _data: handle(event.contents))
        lib.sprat_config_set_event_cb(config, self._callback, None, None)
        self._node = ctypes.c_void_p()
        status = lib.sprat_node_start(config, ctypes.byref(self._node))
        assert status == 0, status
        lib.sprat_config_free(config)
        self._lib = lib

    def __setitem__(self, key: str, value: str) -> None:
        assert self._lib.sprat_node_set_tag(self._node, key.encode(), value.encode()) == 0

    def close(self) -> None:
        self._lib.sprat_node_free(self._node)


def ctypes_latency() -> list[float]:
    """Measure a callback from a thread of the library, through ctypes."""
    times: list[float] = []
    node = CNode(lambda event: times.append(time.monotonic() - event.time_ns / 1e9))
    source().wait()
    node.close()
    return times


def eventfd_latency() -> list[float]:
    """Measure the floor: one Python thread wakes another through an eventfd."""
    times: list[float] = []
    sent = 0.0
    fd = os.eventfd(0, os.EFD_SEMAPHORE)

    def read() -> None:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        while len(times) < LATENCIES:
            poll.poll()
            os.eventfd_read(fd)
            times.append(time.monotonic() - sent)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(LATENCIES):
        time.sleep(0.001)
        sent = time.monotonic()
        os.eventfd_write(fd, 1)
    reader.join()
    os.close(fd)
    return times


# Throughput


def per_second(began: float, count: int) -> str:
    """Format the events per second since `began`."""
    return f"{count / (time.monotonic() - began):,.0f} events/s"


def backlog_throughput(make: Callable[[Callable[[Any], None]], Any]) -> str:
    """Measure the delivery of events that waited for a callback."""
    go_on, done, seen = threading.Event(), threading.Event(), 0

    def handle(_event: Any) -> None:
        nonlocal seen
        if seen == 0:
            go_on.wait()
        seen += 1
        if seen == BACKLOG:
            done.set()

    node, tags = make(handle)
    changes(tags, BACKLOG)
    began = time.monotonic()
    go_on.set()
    assert done.wait(60)
    figure = per_second(began, BACKLOG)
    node.close()
    return figure


def callback_throughput() -> str:
    def make(handle: Callable[[Any], None]) -> Any:
        node = sprat.Node(on_event=handle, **LOCAL)
        return node, node.tags

    return backlog_throughput(make)


def ctypes_throughput() -> str:
    def make(handle: Callable[[Any], None]) -> Any:
        node = CNode(handle)
        return node, node

    return backlog_throughput(make)


def iterator_throughput() -> str:
    node = sprat.Node(**LOCAL)
    events = node.events()
    changes(node.tags, BACKLOG)
    began = time.monotonic()
    for _ in range(BACKLOG):
        next(events)
    figure = per_second(began, BACKLOG)
    node.close()
    return figure


async def _async_throughput() -> str:
    node = sprat.aio.Node(**LOCAL)
    events = node.events()
    changes(node.tags, BACKLOG)  # the event loop does not run during this call
    seen = 0
    began = time.monotonic()
    async for _event in events:
        seen += 1
        if seen == BACKLOG:
            break
    figure = per_second(began, BACKLOG)
    node.close()
    return figure


def async_throughput() -> str:
    return asyncio.run(_async_throughput())


# Members


def push_pull_of_many() -> bytes:
    """Return an unencrypted push/pull request with many members."""

    def pack(value: Any) -> bytes:
        return msgpack.packb(value, use_bin_type=False)

    header = {"Join": False, "Nodes": CROWD, "UserStateLen": 0}
    parts = [b"\x06", pack(header)]
    for number in range(CROWD):
        meta = b"\xff" + pack({"role": "web", "port": str(3000 + number)})
        state = {
            "Addr": struct.pack(">I", 0x7F630001 + number),
            "Incarnation": 1,
            "Meta": meta,
            "Name": f"member-{number:04}",
            "Port": 7946,
            "State": 0,
            "Vsn": bytes([1, 5, 2, 2, 5, 5]),
        }
        parts.append(pack(state))
    return b"".join(parts)


def node_with_many_members() -> sprat.Node:
    """Start a node that knows the members of `push_pull_of_many`."""
    node = sprat.Node(**LOCAL)
    host, port = node.address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as peer:
        peer.sendall(push_pull_of_many())
        while peer.recv(65536):
            pass
    until = time.monotonic() + 10
    while len(node.members()) <= CROWD:
        assert time.monotonic() < until, len(node.members())
        time.sleep(0.01)
    return node


def timed(work: Callable[[], object], inner: int, rounds: int = 30) -> float:
    """Return the median time of `work` in seconds."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(inner):
            work()
        times.append((time.perf_counter() - began) / inner)
    return statistics.median(times)


def member_rows() -> Iterator[tuple[str, float, str]]:
    node = node_with_many_members()
    members = node.members()
    yield "node.members()", timed(node.members, 100), "7.6 us"
    # Another selection discards the cached list, as a change of a member would.
    states = itertools.cycle([sprat.ALIVE_OR_SUSPECT, None])
    changed = timed(lambda: node.members(state=next(states)), 100)
    yield "node.members() after a change", changed, "7.6 us"
    yield "node.members(role='web')", timed(lambda: node.members(role="web"), 100), ""
    yield "list(node.members())", timed(lambda: list(node.members()), 5), "79-81 us"
    yield (
        "{m.name: m for m in node.members()}",
        timed(lambda: {m.name: m for m in node.members()}, 5),
        "163-165 us",
    )
    yield (
        "name and port of all",
        timed(lambda: [(m.name, m.port) for m in members], 5),
        "176-182 us",
    )
    yield "members()['member-0500']", timed(lambda: members["member-0500"], 1000), ""
    yield (
        "node._native.name, a native property",
        timed(lambda: node._native.name, 10_000),
        "54-66 ns",
    )
    node.close()


def import_time() -> str:
    """Measure the time that `import sprat` adds to the start of Python."""

    def run(code: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - began

    pairs = [(run("import logging, asyncio"), run("import sprat, asyncio")) for _ in range(15)]
    bare = statistics.median(pair[0] for pair in pairs)
    more = statistics.median(b - a for a, b in pairs)
    return f"{more * 1e3:+.1f} ms on {bare * 1e3:.1f} ms"


def main() -> None:
    """Measure and print everything."""
    print(f"sprat {sprat.__version__}, Python {sys.version.split()[0]}")
    print(f"{'':46} {'measured now':>34}   on the prototype")
    print(f"latency, {LATENCIES} events, one at a time")
    show("callback on the package's thread", microseconds(callback_latency()), "16-20, 36-53")
    show("for event in node.events()", microseconds(iterator_latency()), "")
    show("async for, asyncio", microseconds(async_latency()), "27-33, 600-1400")
    show("async for, uvloop", microseconds(uvloop_latency()), "")
    show("usual design: library's thread, ctypes", microseconds(ctypes_latency()), "22-26, 74-103")
    show("floor: eventfd between two threads", microseconds(eventfd_latency()), "16, 33")
    print(f"throughput, {BACKLOG} waiting events")
    show("callback on the package's thread", callback_throughput(), "1.9-3.8 million/s")
    show("for event in node.events()", iterator_throughput(), "")
    show("async for, asyncio", async_throughput(), "1.6-2.1 million/s")
    show("usual design: library's thread, ctypes", ctypes_throughput(), "61-105 thousand/s")
    print(f"members, {CROWD} of them")
    for what, seconds, prototype in member_rows():
        figure = f"{seconds * 1e6:.1f} us" if seconds > 1e-6 else f"{seconds * 1e9:.0f} ns"
        show(what, figure, prototype)
    print("import")
    show("import sprat", import_time(), "lost in the noise (1 ms)")


if __name__ == "__main__":
    main()
