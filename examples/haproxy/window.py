"""A window into the rack: ports of this machine that lead to sockets of the load balancer.

The miniature hosts normally have a network of their own, which this machine cannot reach. They
share its file system, though. So the load balancer also listens on Unix sockets in its folder, and
each window forwards a TCP port to one of these sockets.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
from pathlib import Path


class Window:
    """One port of 127.0.0.1."""

    def __init__(self, port: int, path: Path) -> None:
        self._path = path
        try:
            self._listener = socket.create_server(("127.0.0.1", port))
        except OSError:  # another program has the port: take any free port
            self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            here, _ = self._listener.accept()
            threading.Thread(target=self._connect, args=(here,), daemon=True).start()

    def _connect(self, here: socket.socket) -> None:
        with here, socket.socket(socket.AF_UNIX) as there, contextlib.suppress(OSError):
            there.connect(str(self._path))
            back = threading.Thread(target=self._pump, args=(there, here), daemon=True)
            back.start()
            self._pump(here, there)
            back.join()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            shutil.copyfileobj(source.makefile("rb", 0), sink.makefile("wb", 0))
            sink.shutdown(socket.SHUT_WR)
