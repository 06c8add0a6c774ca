"""Signals that end a command, which leaves the cluster first.

In a command that only looks at the cluster or visits it, a signal raises an exception wherever the
command waits, and the command leaves on its way out. `sprat run` queues signals for its loop
instead. In both cases, a second SIGINT or SIGTERM ends the leave as well, but only if it comes at
least a second after the first signal. The reason is that `timeout`, shells and service managers may
send two signals for one request: to the process and to its group, or SIGTERM and SIGHUP. A signal
that is ignored when the command starts stays ignored, as `nohup` and shells with background jobs
expect.
"""

from __future__ import annotations

import collections
import contextlib
import signal
import socket
import time
from collections.abc import Callable, Iterator
from types import FrameType

__all__ = ["Ended", "Inbox", "Raiser", "signals_queue", "signals_raise"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


_REPEAT = 1.0
"""Seconds after the first signal before another one counts as a repeated request."""


class Ended(BaseException):
    """A signal ended the command. As a `BaseException` it escapes every `except Exception`."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def _child_signals() -> Iterator[None]:
    """Let the end of a child wake the command.

    The handler is also needed for the exit codes of scripts: they would be lost if SIGCHLD was
    ignored when the command started.
    """
    before = signal.signal(signal.SIGCHLD, lambda *_: None)  # the wake-up descriptor does the rest
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)


@contextlib.contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {
        number: signal.signal(number, handler)
        for number in _SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


class _Requests:
    """Distinguishes the first request to end, its duplicates, and a repeated request."""

    def __init__(self) -> None:
        self._first: float | None = None

    def is_first(self) -> bool:
        if self._first is not None:
            return False
        self._first = time.monotonic()
        return True

    def is_repeated(self, number: int) -> bool:
        first = self._first
        is_late = first is not None and time.monotonic() - first >= _REPEAT
        return is_late and number != signal.SIGHUP


class Raiser:
    """Raises `Ended` on the first signal, except during a leave, and on a repeated request."""

    def __init__(self) -> None:
        self._requests = _Requests()
        self._is_leaving = False
        self._held: int | None = None  # the first signal, if it came during a leave

    def begin_leave(self) -> None:
        """Begin the leave. From now on the first signal does not interrupt it."""
        self._is_leaving = True
        # If two signals come together and the handler of the first raises, Python may call the
        # handler of the second much later, as if for a repeated request. This call runs it now.
        signal.pthread_sigmask(signal.SIG_BLOCK, ())

    def end_leave(self) -> None:
        """Go on after a leave. Raises `Ended` if the first signal came during the leave."""
        self._is_leaving = False
        number, self._held = self._held, None
        if number is not None:
            raise Ended(number)

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if self._requests.is_first():
            if not self._is_leaving:
                raise Ended(number)
            self._held = number
        elif self._requests.is_repeated(number):
            raise Ended(number)


@contextlib.contextmanager
def signals_raise() -> Iterator[Raiser]:
    """Make signals raise `Ended` within the block."""
    raiser = Raiser()
    with _handled(raiser):
        yield raiser


class Inbox:
    """Queued signals, and a descriptor that is readable when signals are queued.

    Another thread may call `wake` to end a poll of the descriptor.
    """

    def __init__(self) -> None:
        self.pending: collections.deque[int] = collections.deque()
        self.is_stopping = False
        """True once the command is ending: from then on, a repeated request raises `Ended`."""
        self._requests = _Requests()
        self._read, self._write = socket.socketpair()
        for end in (self._read, self._write):
            end.setblocking(False)

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        is_first = number != signal.SIGHUP and self._requests.is_first()
        if self.is_stopping and not is_first and self._requests.is_repeated(number):
            raise Ended(number)
        self.pending.append(number)
        self.wake()

    def fileno(self) -> int:
        """Return a descriptor that is readable after a signal or a `wake`, until `clear_wakes`."""
        return self._read.fileno()

    def wake(self) -> None:
        """Make the descriptor readable. A full or closed socket is left as it is."""
        with contextlib.suppress(OSError):
            self._write.send(b"\0")

    @contextlib.contextmanager
    def woken_by_signals(self) -> Iterator[None]:
        """Make the descriptor readable as soon as any thread has received a signal.

        Python calls handlers on the main thread, but a process that was stopped may receive a
        signal on another thread.
        """
        before = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)

    def clear_wakes(self) -> None:
        """Make the descriptor unreadable until the next signal or wake."""
        with contextlib.suppress(BlockingIOError):
            self._read.recv(65536)

    def close(self) -> None:
        """Close the descriptor."""
        self._read.close()
        self._write.close()


@contextlib.contextmanager
def signals_queue() -> Iterator[Inbox]:
    """Queue the signals that arrive within the block."""
    with (
        contextlib.closing(Inbox()) as inbox,
        _handled(inbox),
        _child_signals(),
        inbox.woken_by_signals(),
    ):
        yield inbox
