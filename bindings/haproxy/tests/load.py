"""Requests at a steady rate, and the result of each.

As a program, `load.py IP PORT RATE new|kept` sends requests until its input ends, and prints the
results as JSON. Its times are those of CLOCK_MONOTONIC.
"""

from __future__ import annotations

import collections
import http.client
import json
import sys
import threading
import time
from dataclasses import dataclass

THREADS = 8
SLOW = 0.4  # seconds


@dataclass(frozen=True)
class Interval:
    """A span of time."""

    began: float
    ended: float

    def overlaps(self, other: Interval) -> bool:
        return self.began <= other.ended and other.began <= self.ended


@dataclass(frozen=True)
class Failure:
    """A request that was not answered with the status 200."""

    time: Interval
    what: str


class Load:
    """Sends `rate` requests per second until `stop`, each on a new connection or on kept ones."""

    def __init__(self, address: tuple[str, int], rate: float, *, keep_alive: bool = False) -> None:
        self._address, self._rate, self._keep_alive = address, rate, keep_alive
        self._began, self._lock = time.monotonic(), threading.Lock()
        self._stopping = False
        self.answers: collections.Counter[str] = collections.Counter()
        self.failures: list[Failure] = []
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
                connection = http.client.HTTPConnection(*self._address, timeout=60)
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
                    self.failures.append(Failure(Interval(asked, now), what))
        if connection is not None:
            connection.close()

    @staticmethod
    def _ask(connection: http.client.HTTPConnection) -> tuple[bool, str]:
        """Return true and the name of the server, or false and the error.

        The name is the last word of the answer.
        """
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
        """Send no more requests, and wait for the answers."""
        self._stopping = True
        for thread in self._threads:
            thread.join(90)

    def failures_without(self, *deaths: Interval) -> list[Failure]:
        """Return the failures, except those of requests in flight when a server was killed.

        A server that dies by SIGKILL loses the requests that it is answering: HAProxy can send a
        request again only if no part of the answer has arrived.
        """
        return [it for it in self.failures if not any(it.time.overlaps(death) for death in deaths)]


def main() -> None:
    ip, port, rate, how = sys.argv[1:]
    load = Load((ip, int(port)), float(rate), keep_alive=how == "kept")
    sys.stdin.read()
    load.stop()
    lost = [it.time.ended for it in load.failures]
    kinds = collections.Counter(it.what for it in load.failures)
    sent = sum(load.answers.values())
    about = {"sent": sent, "lost": lost, "kinds": kinds, "slow": load.slow, "first": load.first}
    print(json.dumps(about))


if __name__ == "__main__":
    main()
