"""A web server for the tests: `web.py NAME IP PORT` answers every request with NAME."""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Answers with the name of the server."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    """The answer is buffered and leaves in one piece: it is sent as a whole or not at all."""

    def do_GET(self) -> None:
        body = sys.argv[1].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if self.command == "GET" else b"")

    do_HEAD = do_GET  # noqa: N815 - the name that the base class calls

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """Ignores errors, such as connections that the client resets."""

    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        pass


Server((sys.argv[2], int(sys.argv[3])), Handler).serve_forever()
