"""The child processes of the command: scripts, and processes that were left behind.

A process whose parent has ended becomes a child of process 1. In a container without an init, this
command is process 1. When such a child ends, it stays in the process table as a zombie until its
new parent removes it. So the command removes every child that has ended, except a script: the
caller of the script waits for its exit code.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Callable, Iterator

__all__ = ["reap", "running"]

_lock = threading.Lock()
_scripts: set[int] = set()


@contextlib.contextmanager
def running(
    start: Callable[[], subprocess.Popen[bytes]],
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a script that the block waits for. Until the block ends, `reap` leaves it alone."""
    with _lock:  # `reap` must not see the process before its number is known
        process = start()
        _scripts.add(process.pid)
    try:
        yield process
    finally:
        with _lock:
            _scripts.discard(process.pid)


def reap() -> None:
    """Remove the children that have ended.

    It stops at a script that has just ended, and must be called again once the caller of the script
    has its exit code.
    """
    with _lock, contextlib.suppress(ChildProcessError):
        while (ended := _next_ended()) is not None and ended not in _scripts:
            os.waitpid(ended, 0)


def _next_ended() -> int | None:
    found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return None if found is None else found.si_pid
