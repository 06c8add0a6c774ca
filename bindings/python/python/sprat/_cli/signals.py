"""Signals that end a command: each of them leaves the cluster first.

A command that looks is ended by an exception, wherever it waits, and leaves on its way out; one
that comes while it leaves anyway changes nothing. A command that stays notes signals, and its loop
obeys them. In both, who asks again ends the leave too; but `timeout`, shells and service managers
send two signals at a time, to the process and to its group, or SIGTERM and SIGHUP, and mean one.
Signals that were ignored when the command began stay ignored: `nohup`, and shells that start
something in the background, mean it.
"""

from __future__ import annotations

import collections
import contextlib
import signal
import socket
import time
from collections.abc import Callable, Iterator
from types import FrameType

__all__ = ["Ended", "Inbox", "Raiser", "noted", "raised"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


_AGAIN = 1.0
"""Seconds after which a signal is no shadow of the first one any more, but impatience."""


class Ended(BaseException):
    """A signal came. Not an `Exception`: nothing but the end of a command handles it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


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


class _Impatience:
    """Tells the first signal, its shadows, and who asks again."""

    def __init__(self) -> None:
        self._first: float | None = None

    def is_first(self) -> bool:
        if self._first is not None:
            return False
        self._first = time.monotonic()
        return True

    def asks_again(self, number: int) -> bool:
        first = self._first
        is_late = first is not None and time.monotonic() - first >= _AGAIN
        return is_late and number != signal.SIGHUP


class Raiser:
    """Raises `Ended`; but the first signal does not cut short a leave that is under way."""

    is_leaving = False

    def __init__(self) -> None:
        self._impatience = _Impatience()

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if self._impatience.is_first():
            if not self.is_leaving:
                raise Ended(number)
        elif self._impatience.asks_again(number):
            raise Ended(number)


@contextlib.contextmanager
def raised() -> Iterator[Raiser]:
    """Raise `Ended` for signals in the block."""
    raiser = Raiser()
    with _handled(raiser):
        yield raiser


class Inbox:
    """Signals that came and were not obeyed yet, and a descriptor that tells of them.

    Other threads may `wake` whoever polls the descriptor.
    """

    def __init__(self) -> None:
        self.pending: collections.deque[int] = collections.deque()
        self.is_stopping = False
        """From now on a signal raises `Ended`: who asks again does not want to wait."""
        self._impatience = _Impatience()
        self._read, self._write = socket.socketpair()
        for end in (self._read, self._write):
            end.setblocking(False)

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        is_first = number != signal.SIGHUP and self._impatience.is_first()
        if self.is_stopping and not is_first and self._impatience.asks_again(number):
            raise Ended(number)
        self.pending.append(number)
        self.wake()

    def fileno(self) -> int:
        """Return a descriptor that is readable after a signal or a `wake`, until `quiet`."""
        return self._read.fileno()

    def wake(self) -> None:
        """Make the descriptor readable. A full or a closed one need not be woken."""
        with contextlib.suppress(OSError):
            self._write.send(b"\0")

    def quiet(self) -> None:
        """Forget the wakes so far."""
        with contextlib.suppress(BlockingIOError):
            self._read.recv(65536)

    def close(self) -> None:
        """Close the descriptor."""
        self._read.close()
        self._write.close()


@contextlib.contextmanager
def noted() -> Iterator[Inbox]:
    """Note the signals of the block."""
    with contextlib.closing(Inbox()) as inbox, _handled(inbox):
        yield inbox
