"""Stops a single thread, as a debugger does, while the other threads of its process run."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

ATTACH, DETACH, ALL_KINDS = 16, 17, 0x40000000  # of ptrace and of waitpid


def thread_named(name: str, processes: Iterable[int]) -> int:
    """Return the id of the thread with this name in one of these processes."""
    for pid in processes:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                if (task / "comm").read_text() == f"{name}\n":
                    return int(task.name)
    raise LookupError(f"no thread {name}")


@contextlib.contextmanager
def held(thread: int) -> Iterator[None]:
    """Stop a thread for as long as the context lasts."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(ATTACH, thread, None, None) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    os.waitpid(thread, ALL_KINDS)
    try:
        yield
    finally:
        libc.ptrace(DETACH, thread, None, None)
