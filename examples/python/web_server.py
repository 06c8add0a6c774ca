"""A web server that is its own entry in the cluster: whoever balances load finds it by its tags.

It announces ``role=backend`` and its ``port`` once it can serve, and takes itself out again before
it stops: on SIGTERM it leaves the cluster, goes on serving until the news has reached everybody,
stops accepting, finishes what it has begun, and ends with 0. Nobody's request is lost on the way.

    python web_server.py --name web-1 --http 10.0.0.1:8080 --seed 10.0.0.5

`--linger` is the time that a load balancer needs from hearing the news to acting on it.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import sprat


class Handler(BaseHTTPRequestHandler):
    """Says who answers, after a little work."""

    name = ""
    work = 0.0

    def do_GET(self) -> None:
        """Answer with the name of this server."""
        time.sleep(self.work)
        body = f"{self.name}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


class Server(ThreadingHTTPServer):
    """A thread per request; `server_close` waits for all of them."""

    daemon_threads = False
    request_queue_size = 128


def main() -> None:
    args = arguments()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    Handler.name, Handler.work = args.name, args.work
    host, port = args.http.rsplit(":", 1)
    server = Server((host, int(port)), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    # Only now: a member with this role is one that answers.
    tags = {"role": "backend", "port": str(server.server_port)}
    with sprat.Node(
        name=args.name, bind=args.bind, seeds=args.seed, profile=args.profile, tags=tags
    ) as node:
        print(f"{args.name} serves on {host}:{server.server_port}", flush=True)
        stop.wait()
        with contextlib.suppress(sprat.TimeoutError):  # then not all have heard it
            node.leave()  # returns when the others have been told
        time.sleep(args.linger)
        server.shutdown()
        server.server_close()
    print(f"{args.name} has left", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--name", required=True, help="unique in the cluster")
    parser.add_argument("--http", default="0.0.0.0:8080", help="where to serve; port 0 is any")
    parser.add_argument("--bind", default="0.0.0.0:7946", help="where the node listens")
    parser.add_argument("--seed", action="append", default=[], help="a member, may be repeated")
    parser.add_argument("--profile", default="lan", choices=["lan", "wan", "local"])
    parser.add_argument("--linger", type=float, default=1.0, help="seconds to serve after leaving")
    parser.add_argument("--work", type=float, default=0.05, help="seconds that a request takes")
    return parser.parse_args()


if __name__ == "__main__":
    main()
