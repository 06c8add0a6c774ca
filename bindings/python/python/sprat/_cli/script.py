"""One call of a handler: `/bin/sh -c SCRIPT` with its input, and what became of it.

The script has a process group of its own, so that Ctrl-C ends the member and not its handler, and
a handler that must end ends with all that it started. Of its output the last 8 KiB are kept, as in
Serf. A process that it leaves behind does not hold up the next handler.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping

__all__ = ["OUTPUT_LIMIT", "Outcome", "call"]

OUTPUT_LIMIT = 8192
"""Bytes of the output that are kept."""

_LOOK = 0.1
"""Seconds between two looks at a script that neither reads nor writes."""
_GRACE = 1.0
"""Seconds for a script to end after SIGTERM, and for the rest of its output."""


@dataclasses.dataclass
class Outcome:
    """How a call ended."""

    code: int = 0
    output: bytes = b""
    printed: int = 0
    seconds: float = 0.0
    abandoned: bool = False
    left_behind: bool = False


class _Exchange:
    """The two pipes to a script."""

    def __init__(self, process: subprocess.Popen[bytes], data: bytes) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out, self._data = process.stdin, process.stdout, memoryview(data)
        self.tail, self.printed, self.is_over = b"", 0, False
        self._selector = selectors.DefaultSelector()
        for pipe in (self._in, self._out):
            os.set_blocking(pipe.fileno(), False)
        self._selector.register(self._in, selectors.EVENT_WRITE)
        self._selector.register(self._out, selectors.EVENT_READ)

    def go_on(self, timeout: float) -> None:
        """Move what can be moved; wait for that if there is nothing."""
        if self.is_over:
            time.sleep(timeout)
            return
        for key, _ in self._selector.select(timeout):
            if key.fileobj is self._in:
                self._feed()
            else:
                self._read()

    def _feed(self) -> None:
        try:
            self._data = self._data[os.write(self._in.fileno(), self._data[:65536]) :]
        except BlockingIOError:
            return
        except OSError:
            self._data = self._data[:0]  # a script need not read
        if not self._data:
            self._selector.unregister(self._in)
            self._in.close()

    def _read(self) -> None:
        try:
            data = os.read(self._out.fileno(), 65536)
        except BlockingIOError:
            return
        self.is_over = not data
        self.printed += len(data)
        self.tail = (self.tail + data)[-OUTPUT_LIMIT:]

    def close(self) -> None:
        self._selector.close()
        for pipe in (self._in, self._out):
            with contextlib.suppress(OSError):
                pipe.close()


def call(
    script: str,
    environment: Mapping[str, str],
    data: bytes,
    must_end: Callable[[float], bool] = lambda _seconds: False,
) -> Outcome:
    """Run a script to its end, or until `must_end(seconds)` says that it took too long."""
    process = subprocess.Popen(  # noqa: S603 - running scripts is what handlers are for
        ["/bin/sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(environment),
        bufsize=0,
        process_group=0,
    )
    begun = time.monotonic()
    exchange = _Exchange(process, data)
    outcome = Outcome()
    try:
        while process.poll() is None:
            exchange.go_on(_LOOK if not exchange.is_over else 0.01)
            if must_end(time.monotonic() - begun):
                outcome.abandoned = True
                _end(process, exchange)
        outcome.left_behind = not _read_rest(exchange)
    finally:
        exchange.close()
    outcome.code, outcome.output = process.returncode, exchange.tail
    outcome.printed, outcome.seconds = exchange.printed, time.monotonic() - begun
    return outcome


def _read_rest(exchange: _Exchange) -> bool:
    """Read what a script that has ended printed last. Whether that is all there will be."""
    until = time.monotonic() + _GRACE
    while not exchange.is_over and time.monotonic() < until:
        exchange.go_on(_LOOK)
    return exchange.is_over


def _end(process: subprocess.Popen[bytes], exchange: _Exchange) -> None:
    """End a script and what it started, first politely."""
    _signal(process, signal.SIGTERM)
    until = time.monotonic() + _GRACE
    while process.poll() is None and time.monotonic() < until:
        exchange.go_on(0.02)
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
