"""The one way to wait for an event or an operation, in threads and in greenlets.

Normally the native part waits, and other threads of the interpreter run in the meantime. gevent and
eventlet replace threads by greenlets, which all run in one real thread: a native wait would stop
them all. Once such a library has replaced parts of Python, waits go through its own `select`, and
the other greenlets run in the meantime. A thread that delivers events and was started before the
replacement is a real one, and goes on waiting natively.
"""

from __future__ import annotations

import importlib
import math
import os
import select
import sys
import time
from collections.abc import Callable
from types import BuiltinFunctionType
from typing import Protocol

__all__ = ["CHECK", "PAUSE", "Source", "wait", "way_to_wait"]

PAUSE = 0.02
"""The seconds between two checks of a source whose descriptor does not tell of its end.

There may be no descriptor, or the program has put a file that is always readable in its place.
"""

CHECK = 1.0
"""The seconds between two checks of a source whose descriptor is not readable.

The program may have put a file that never becomes readable in the place of the descriptor.
"""

_PATCHED_BY_GEVENT = ("threading", "select", "socket", "time")


class Source(Protocol):
    """A subscription or a pending operation of the native part."""

    def fileno(self) -> int | None:
        """Return the descriptor, which is readable once the wait is over.

        Returns `None` for a leave for which no descriptor was free.
        """

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until an event can be taken or the operation has finished, and return true.

        Return false after `timeout` seconds.
        """
        ...


def wait(source: Source, timeout: float | None) -> bool:
    """Wait until `source` is readable, and return true. Return false after `timeout` seconds."""
    return way_to_wait()(source, timeout)


def way_to_wait() -> Callable[[Source, float | None], bool]:
    """Return the function that a thread started now must use to wait."""
    if _is_patched_by_gevent():
        return _wait_with_gevent
    if not isinstance(select.select, BuiltinFunctionType):  # as after eventlet.monkey_patch()
        return _wait_with_select
    return _wait_natively


def _wait_natively(source: Source, timeout: float | None) -> bool:
    return source.wait(timeout)


def _wait_with_gevent(source: Source, timeout: float | None) -> bool:
    sleep = importlib.import_module("gevent").sleep
    return _wait_with(_poll_with_gevent, sleep, source, timeout)


def _wait_with_select(source: Source, timeout: float | None) -> bool:
    return _wait_with(_poll_with_select, _sleep_with_select, source, timeout)


def _wait_with(
    poll: Callable[[Source, float], bool],
    sleep: Callable[[float], object],
    source: Source,
    timeout: float | None,
) -> bool:
    """Wait with functions that let other greenlets run.

    The descriptor only wakes the greenlet: the source itself tells whether the wait is over.
    """
    until = math.inf if timeout is None else time.monotonic() + timeout
    was_ready = False
    while not source.wait(0):
        left = until - time.monotonic()
        if left <= 0:
            return False
        if was_ready:
            sleep(min(left, PAUSE))
            was_ready = False
        else:
            was_ready = poll(source, min(left, CHECK))
    return True


def _poll_with_gevent(source: Source, limit: float) -> bool:
    """Wait until the descriptor is readable, or return true at once if there is none."""
    descriptor = source.fileno()
    if descriptor is None:
        return True
    poll = importlib.import_module("gevent.select").poll()  # works with any number of descriptors
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(limit * 1000))


def _poll_with_select(source: Source, limit: float) -> bool:
    """Wait until the descriptor is readable, or return true at once if none can be watched."""
    descriptor = _copy_of(source.fileno())
    if descriptor is None:
        return True
    try:
        readable, _, _ = select.select([descriptor], [], [], limit)
    except BaseException:
        _forget_listener(descriptor)
        raise
    finally:
        os.close(descriptor)
    return bool(readable)


def _sleep_with_select(seconds: float) -> None:
    select.select([], [], [], seconds)


def _copy_of(descriptor: int | None) -> int | None:
    """Return a copy of a descriptor, or `None` if there is none or no copy can be made.

    eventlet refuses two greenlets that wait for one descriptor, so each wait has its own.
    """
    if descriptor is None:
        return None
    try:
        return os.dup(descriptor)
    except OSError:
        return None


def _forget_listener(descriptor: int) -> None:
    # If a signal handler raises while eventlet's `select` adds its listener, eventlet keeps the
    # listener, and refuses a later descriptor with the same number.
    hubs = sys.modules.get("eventlet.hubs")
    if hubs is not None:
        hubs.get_hub().remove_descriptor(descriptor)


def _is_patched_by_gevent() -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and any(map(monkey.is_module_patched, _PATCHED_BY_GEVENT))
