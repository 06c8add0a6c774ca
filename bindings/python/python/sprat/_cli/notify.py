"""Notifies a supervisor that the member is ready, reloads or stops.

systemd listens on the datagram socket that NOTIFY_SOCKET names, which may be an abstract socket. s6
and others pass a descriptor and wait for a newline on it.
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


_SEND_TIMEOUT = 5.0
"""Seconds to wait for systemd, whose queue may be full while a machine boots."""


class Supervisor:
    """The supervisor that started this command, if there is one."""

    def __init__(self, ready_fd: int | None) -> None:
        self._socket = os.environ.get("NOTIFY_SOCKET", "")
        self._fd = ready_fd
        if ready_fd is None:
            return
        # The check comes before this process opens a descriptor that could get the same number.
        try:
            os.fstat(ready_fd)
        except OSError:
            raise click.UsageError(
                f"--ready-fd must be an open descriptor, got {ready_fd}"
            ) from None
        os.set_inheritable(ready_fd, False)

    def ready(self, status: str) -> None:
        """Report that the member is ready, at the start or after a reload."""
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
        """Report that the member reloads its settings; `ready` must follow."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Report that the member leaves the cluster."""
        self._send("STOPPING=1\nSTATUS=leaving the cluster")

    def _send(self, message: str) -> None:
        if not self._socket:
            return
        address = "\0" + self._socket[1:] if self._socket.startswith("@") else self._socket
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as end:
                end.settimeout(_SEND_TIMEOUT)
                end.sendto(message.encode(), address)
        except OSError as error:
            # The member works without its supervisor, too.
            _log.warning("NOTIFY_SOCKET %s: %s", self._socket, error)
