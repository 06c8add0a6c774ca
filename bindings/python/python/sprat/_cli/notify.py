"""Telling a supervisor that the member is ready, and that it stops.

systemd gives a datagram socket in NOTIFY_SOCKET, which may be an abstract one; s6 and others give a
descriptor, and read a newline from it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time

import click

__all__ = ["Supervisor"]

_log = logging.getLogger("sprat.run")


_PATIENCE = 5.0
"""Seconds: while a machine starts the queue of systemd may be full for a moment."""


class Supervisor:
    """Whoever started this command and wants to know how it does; perhaps nobody."""

    def __init__(self, ready_fd: int | None) -> None:
        self._socket = os.environ.get("NOTIFY_SOCKET", "")
        self._fd = ready_fd
        if ready_fd is None:
            return
        # Checked before anything else opens a descriptor, which could get this very number.
        try:
            os.fstat(ready_fd)
        except OSError:
            raise click.UsageError(f"--ready-fd {ready_fd} is no open descriptor") from None
        os.set_inheritable(ready_fd, False)

    def ready(self, status: str) -> None:
        """Say that the member is there, also after a reload."""
        self._send(f"READY=1\nSTATUS={status}\nMAINPID={os.getpid()}")
        if self._fd is None:
            return
        try:
            os.write(self._fd, b"\n")
        except OSError as error:
            _log.warning("--ready-fd %d: %s", self._fd, error)
        with contextlib.suppress(OSError):
            os.close(self._fd)
        self._fd = None

    def reloading(self) -> None:
        """Say that it reads its settings again; `ready` follows."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Say that it leaves the cluster."""
        self._send("STOPPING=1\nSTATUS=leaving the cluster")

    def _send(self, message: str) -> None:
        if not self._socket:
            return
        address = "\0" + self._socket[1:] if self._socket.startswith("@") else self._socket
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as end:
                end.settimeout(_PATIENCE)
                end.sendto(message.encode(), address)
        except OSError as error:
            # The member is of use without its supervisor's knowing.
            _log.warning("NOTIFY_SOCKET %s: %s", self._socket, error)
