"""Bounds the number of log lines about one kind of trouble.

A callback that fails for every event, or a reader that is always too slow, would otherwise fill the
log of the program with the same lines.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

__all__ = ["PERIOD", "PER_PERIOD", "Rate"]

PER_PERIOD = 5
"""The maximum number of lines that are logged in one period."""

PERIOD = 60.0
"""The length of a period in seconds. The first line after a period begins the next period."""


class Rate:
    """Tells which lines may be logged, and counts the others.

    `clock` returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begun = -math.inf
        self._logged = 0
        self.left_out = 0
        """The number of lines that were not logged since the last call of `take_left_out`."""

    def admits(self) -> bool:
        """Return true if another line may be logged now. Otherwise count it as left out."""
        now = self._clock()
        if now - self._begun >= PERIOD:
            self._begun, self._logged = now, 0
        if self._logged < PER_PERIOD:
            self._logged += 1
            return True
        self.left_out += 1
        return False

    def report_in(self) -> float | None:
        """Return the seconds until the lines left out are reported; `None` if all were logged."""
        if self.left_out == 0:
            return None
        return max(self._begun + PERIOD - self._clock(), 0.0)

    def take_left_out(self) -> int:
        """Return the number of lines left out, and reset it to 0."""
        count, self.left_out = self.left_out, 0
        return count
