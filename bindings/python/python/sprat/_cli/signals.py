"""Signals that end a command: each of them leaves the cluster first.

A command that looks is ended by an exception, wherever it waits, and leaves on its way out. A
second signal ends the leave too. Signals that were ignored when the command began stay ignored:
`nohup`, and shells that start something in the background, mean it.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

__all__ = ["Ended", "handled", "raised"]

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(BaseException):
    """A signal came. Not an `Exception`: nothing but the end of a command handles it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def handled(
    handler: Callable[[int, FrameType | None], Any], numbers: tuple[signal.Signals, ...] = _ENDING
) -> Iterator[None]:
    """Call `handler` for these signals; as before at the end."""
    before = {
        number: signal.signal(number, handler)
        for number in numbers
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def raised() -> contextlib.AbstractContextManager[None]:
    """Raise `Ended` for signals that end a command."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise Ended(number)

    return handled(end)
