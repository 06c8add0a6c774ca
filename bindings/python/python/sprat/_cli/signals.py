"""Signals that end a command: each of them leaves the cluster first.

A command that looks is ended by an exception, wherever it waits, and leaves on its way out; one
that comes while it leaves anyway changes nothing. A command that stays notes signals, and its loop
obeys them. In both, a second signal ends the leave too. Signals that were ignored when the command
began stay ignored: `nohup`, and shells that start something in the background, mean it.
"""

from __future__ import annotations

import collections
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from types import FrameType

__all__ = ["Ended", "Inbox", "Raiser", "noted", "raised"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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


class Raiser:
    """Raises `Ended`; but the first signal does not cut short a leave that is under way."""

    is_leaving = False
    _came = False

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        is_first, self._came = not self._came, True
        if not (is_first and self.is_leaving):
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
        """From now on a signal raises `Ended`: who asks twice does not want to wait."""
        self._read, self._write = socket.socketpair()
        for end in (self._read, self._write):
            end.setblocking(False)

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if self.is_stopping and number != signal.SIGHUP:
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
