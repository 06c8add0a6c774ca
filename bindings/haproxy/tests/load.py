"""Requests at a steady pace, and what became of each."""

from __future__ import annotations

import collections
import http.client
import threading
import time

THREADS = 8


class Load:
    """Sends `rate` requests per second until `stop`, with a connection for each or kept ones."""

    def __init__(self, address: tuple[str, int], rate: float, *, keep_alive: bool = False) -> None:
        self._address, self._rate, self._keep_alive = address, rate, keep_alive
        self._began, self._lock = time.monotonic(), threading.Lock()
        self._stopping = False
        self.answers: collections.Counter[str] = collections.Counter()
        self.failures: list[tuple[float, str]] = []
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(THREADS)]
        for thread in self._threads:
            thread.start()

    def _run(self, number: int) -> None:
        connection: http.client.HTTPConnection | None = None
        sent = 0
        while not self._stopping:
            due = self._began + (sent * THREADS + number) / self._rate
            time.sleep(max(0.0, due - time.monotonic()))
            sent += 1
            if connection is None:
                connection = http.client.HTTPConnection(*self._address, timeout=15)
            answer = self._ask(connection)
            if not self._keep_alive or not answer.startswith("web"):
                connection.close()
                connection = None
            with self._lock:
                self.answers[answer] += 1
                if not answer.startswith("web"):
                    self.failures.append((round(time.monotonic() - self._began, 2), answer))
        if connection is not None:
            connection.close()

    @staticmethod
    def _ask(connection: http.client.HTTPConnection) -> str:
        """The name of the server that answered, or what went wrong."""
        try:
            connection.request("GET", "/")
            response = connection.getresponse()
            body = response.read().decode()
            return body if response.status == 200 else str(response.status)
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__

    def stop(self) -> None:
        """Send no more, and wait for the answers."""
        self._stopping = True
        for thread in self._threads:
            thread.join(30)

    def lost(self) -> int:
        """How many requests were not answered by a web server."""
        return len(self.failures)
