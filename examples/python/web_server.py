"""A web server that announces itself to a cluster, and leaves it without losing a request.

A load balancer follows the members with the tag ``role=backend`` and sends requests to the port
in their tag ``port``. On SIGTERM or Ctrl-C, this server leaves the cluster first and continues to
serve, because requests still come until the leave has spread. After `--grace` seconds it accepts
no more connections, finishes the running requests and exits. A second signal ends it at once.

    python web_server.py --bind 10.0.0.7 --port 8080 10.0.0.5 10.0.0.6

The last arguments are addresses of members of the cluster. These members need not be up yet.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import sprat

STOP = {signal.SIGINT, signal.SIGTERM}


class Handler(BaseHTTPRequestHandler):
    """Answers every GET, and the HEAD of a health check; `/slow` takes a second."""

    timeout = 10  # a silent client must not delay the exit

    def do_GET(self) -> None:
        """Answer a request."""
        if self.path == "/slow":
            time.sleep(1)
        body = b"hello\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - the base class calls it by this name

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class Server(ThreadingHTTPServer):
    """A server whose close waits for the running requests."""

    daemon_threads = False
    request_queue_size = 128

    def __init__(self, host: str, port: int) -> None:
        """Listen."""
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), Handler)


@contextlib.contextmanager
def serving(server: Server) -> Iterator[None]:
    """Serve in another thread; at the end, accept no more requests and finish the running ones."""
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="web")
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def leave(node: sprat.Node) -> None:
    """Leave the cluster. Continue if members do not acknowledge the leave, or not in time."""
    try:
        node.leave()
    except (sprat.LeaveError, sprat.TimeoutError) as error:
        print(f"leaving: {error}", flush=True)


def host_of(address: str) -> str:
    """Return the host of an address such as 10.0.0.7, 10.0.0.7:7946, ::1 or [::1]:7946."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address if address.count(":") > 1 else address.partition(":")[0]


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="A web server that is a member of a cluster.")
    parser.add_argument("seeds", nargs="*", metavar="SEED", help="addresses of other members")
    parser.add_argument("--name", help="name of the member; the host name by default")
    parser.add_argument("--bind", default="0.0.0.0", help="address of the member and the server")
    parser.add_argument(
        "--port", type=int, default=8080, help="port of the server; 0 for any free port"
    )
    parser.add_argument("--grace", type=float, default=3.0, help="seconds to serve after leaving")
    parser.add_argument("--profile", default="lan", help="lan, wan or local")
    parser.add_argument("--ready-fd", type=int, help="descriptor for a newline when ready (s6)")
    return parser.parse_args()


def main() -> None:
    """Serve until a signal, and for the grace period after it."""
    options = arguments()
    # Block the signals before any thread starts, so that they wait for sigwait() below.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
    server = Server(host_of(options.bind), options.port)
    port = server.server_port
    with (
        serving(server),  # first: other members may use this server as soon as they know it
        sprat.Node(
            name=options.name,
            bind=options.bind,
            tags={"role": "backend", "port": str(port)},
            profile=options.profile,
            seeds=options.seeds,
        ) as node,
    ):
        print(f"{node.name} serves port {port}", flush=True)
        if options.ready_fd is not None:
            os.write(options.ready_fd, b"\n")
            os.close(options.ready_fd)
        signal.sigwait(STOP)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second signal ends the process
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP)
        print("leaving", flush=True)
        leave(node)
        time.sleep(options.grace)
        print("closing", flush=True)


if __name__ == "__main__":
    main()
