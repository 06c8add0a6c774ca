"""One call of a handler: runs `/bin/sh -c SCRIPT` with its input, and returns its outcome.

The script gets its own process group. So Ctrl-C ends the member and not its handler, and ending a
handler also ends every process in its group. The last 8 KiB of the output are kept, as in Serf. A
process that the script leaves behind delays the next handler by about a second at most.
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

from .children import running

__all__ = ["OUTPUT_LIMIT", "Outcome", "call"]

OUTPUT_LIMIT = 8192
"""The number of bytes that are kept of the output."""

_CHECK_INTERVAL = 0.1
"""Seconds between two checks of a script that neither reads nor writes."""

_CLOSED_INTERVAL = 0.01
"""Seconds between two checks of a script that has closed its output and needs no more input."""

_GRACE = 1.0
"""Seconds to wait for a script to end after SIGTERM, and for the rest of its output."""


@dataclasses.dataclass
class Outcome:
    """The outcome of a call."""

    code: int = 0
    """The exit code, or the negative number of the signal that ended the script."""
    output: bytes = b""
    """The last bytes of the output."""
    printed: int = 0
    """The number of bytes of the whole output."""
    seconds: float = 0.0
    abandoned: bool = False
    """True if the script was ended, because it took too long or because the command ends."""
    left_behind: bool = False
    """True if a process that the script started still holds its output open."""


class _Pipes:
    """The pipes to the input and from the output of a script."""

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

    def transfer(self, timeout: float) -> None:
        """Write input and read output without blocking, after a wait of at most `timeout`."""
        if not self._selector.get_map():
            time.sleep(min(timeout, _CLOSED_INTERVAL))
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
            self._data = self._data[:0]  # the script does not read its input
        if not self._data:
            self._selector.unregister(self._in)
            self._in.close()

    def _read(self) -> None:
        try:
            data = os.read(self._out.fileno(), 65536)
        except BlockingIOError:
            return
        if not data:
            self.is_over = True
            self._selector.unregister(self._out)
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
    """Run a script to its end, or until `must_end(seconds)` is true for its run time so far."""

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - the operator chose the script
            ["/bin/sh", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            bufsize=0,
            process_group=0,
        )

    with running(start) as process:
        return _attend(process, data, must_end)


def _attend(
    process: subprocess.Popen[bytes], data: bytes, must_end: Callable[[float], bool]
) -> Outcome:
    begun = time.monotonic()
    pipes = _Pipes(process, data)
    outcome = Outcome()
    try:
        while process.poll() is None:
            pipes.transfer(_CHECK_INTERVAL)
            if must_end(time.monotonic() - begun):
                outcome.abandoned = True
                _end(process, pipes)
        outcome.left_behind = not _read_rest(pipes)
    finally:
        pipes.close()
    outcome.code, outcome.output = process.returncode, pipes.tail
    outcome.printed, outcome.seconds = pipes.printed, time.monotonic() - begun
    return outcome


def _read_rest(pipes: _Pipes) -> bool:
    """Read the rest of the output of a script that ended. Return whether the output is closed."""
    until = time.monotonic() + _GRACE
    while not pipes.is_over and time.monotonic() < until:
        pipes.transfer(_CHECK_INTERVAL)
    return pipes.is_over


def _end(process: subprocess.Popen[bytes], pipes: _Pipes) -> None:
    """End a script and every process of its group, by SIGTERM and then by SIGKILL."""
    _signal(process, signal.SIGTERM)
    until = time.monotonic() + _GRACE
    while process.poll() is None and time.monotonic() < until:
        pipes.transfer(0.02)
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
