"""Requests at a steady pace, and what became of each.

As a program, `load.py IP PORT RATE new|kept` sends them until its input ends, and prints what
became of them as JSON; its clock is CLOCK_MONOTONIC.
"""

from __future__ import annotations

import collections
import http.client
import json
import sys
import threading
import time

THREADS = 8
SLOW = 0.4  # seconds


class Load:
    """Sends `rate` requests per second until `stop`, with a connection for each or kept ones."""

    def __init__(self, address: tuple[str, int], rate: float, *, keep_alive: bool = False) -> None:
        self._address, self._rate, self._keep_alive = address, rate, keep_alive
        self._began, self._lock = time.monotonic(), threading.Lock()
        self._stopping = False
        self.answers: collections.Counter[str] = collections.Counter()
        self.failures: list[tuple[float, str]] = []
        self.first: dict[str, float] = {}
        self.slow = 0
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
            asked = time.monotonic()
            answered, what = self._ask(connection)
            now = time.monotonic()
            if not self._keep_alive or not answered:
                connection.close()
                connection = None
            with self._lock:
                self.answers[what] += 1
                self.first.setdefault(what, now)
                self.slow += now - asked > SLOW
                if not answered:
                    self.failures.append((round(now - self._began, 2), what))
        if connection is not None:
            connection.close()

    @staticmethod
    def _ask(connection: http.client.HTTPConnection) -> tuple[bool, str]:
        """The name of the server that answered, the last word it says, or what went wrong."""
        try:
            connection.request("GET", "/")
            response = connection.getresponse()
            body = response.read().decode()
            if response.status != 200:
                return False, str(response.status)
            return True, body.split()[-1]
        except (OSError, http.client.HTTPException) as error:
            return False, type(error).__name__

    def stop(self) -> None:
        """Send no more, and wait for the answers."""
        self._stopping = True
        for thread in self._threads:
            thread.join(30)

    def lost(self) -> int:
        """How many requests were not answered by a web server."""
        return len(self.failures)


def main() -> None:
    ip, port, rate, how = sys.argv[1:]
    load = Load((ip, int(port)), float(rate), keep_alive=how == "kept")
    sys.stdin.read()
    load.stop()
    began = load._began
    lost = [began + at for at, _ in load.failures]
    kinds = collections.Counter(what for _, what in load.failures)
    sent = sum(load.answers.values())
    about = {"sent": sent, "lost": lost, "kinds": kinds, "slow": load.slow, "first": load.first}
    print(json.dumps(about))


if __name__ == "__main__":
    main()
