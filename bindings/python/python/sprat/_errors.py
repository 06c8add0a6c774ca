"""The exceptions of sprat.

Every error has `code`, the name that the C interface gives it, and a sentence that names the
argument, the value and what is allowed. Wrong types are plain `TypeError`.
"""

from __future__ import annotations

import builtins

__all__ = [
    "AddressError",
    "ClosedError",
    "ConfigError",
    "CryptoError",
    "DeadlockError",
    "Error",
    "ForkedError",
    "InternalError",
    "InvalidError",
    "JoinError",
    "NameConflictError",
    "NetworkError",
    "ProtocolError",
    "StateError",
    "TimeoutError",
    "TooLargeError",
    "UnknownMemberError",
    "UnreachableError",
]


class Error(Exception):
    """Base of all errors of sprat."""

    code: str = "SPRAT_ERR_INTERNAL"
    """The name of the error in the C interface, for example ``"SPRAT_ERR_TIMEOUT"``."""

    _code = "SPRAT_ERR_INTERNAL"

    def __init__(self, message: str = "", *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = self._code if code is None else code

    def __str__(self) -> str:
        # KeyError would show the representation of its message.
        return str(self.args[0]) if self.args else ""


class InvalidError(Error, ValueError):
    """An argument has a value that is not allowed."""

    _code = "SPRAT_ERR_INVALID"


class ConfigError(Error, ValueError):
    """A setting is wrong, or settings contradict each other."""

    _code = "SPRAT_ERR_CONFIG"


class TooLargeError(Error, ValueError):
    """A name, a tag, all tags together or a list is longer than allowed."""

    _code = "SPRAT_ERR_TOO_LARGE"


class AddressError(Error, ValueError):
    """An address cannot be read, resolved, or used by this host.

    `errno` is why the system refused it (`errno.EADDRINUSE`, for instance), else `None`.
    """

    _code = "SPRAT_ERR_ADDRESS"

    errno: int | None = None


class UnknownMemberError(Error, KeyError):
    """There is no member of this name."""

    _code = "SPRAT_ERR_NOT_FOUND"


class StateError(Error):
    """Not possible in the present state, or with these settings."""

    _code = "SPRAT_ERR_STATE"


class TimeoutError(Error, builtins.TimeoutError):  # noqa: A001 - it is one
    """The time is up. What was begun goes on."""

    _code = "SPRAT_ERR_TIMEOUT"


class ClosedError(Error):
    """The node was closed."""

    _code = "SPRAT_ERR_CLOSED"


class ForkedError(Error):
    """The node was started before this process was forked: it lives in the parent."""

    _code = "SPRAT_ERR_FORKED"


class DeadlockError(Error, RuntimeError):
    """The call would wait for the thread it runs on."""

    _code = "SPRAT_ERR_DEADLOCK"


class NetworkError(Error, OSError):
    """The operating system refused: see `errno`."""

    _code = "SPRAT_ERR_IO"

    def __init__(self, message: str = "", *, code: str | None = None, errno: int = 0) -> None:
        super().__init__(message, code=code)
        self.errno = errno or None
        self.strerror = message

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuilt_network_error, (self.args[0], self.code, self.errno or 0))


def _rebuilt_network_error(message: str, code: str, errno: int) -> NetworkError:
    return NetworkError(message, code=code, errno=errno)


class UnreachableError(Error, ConnectionError):
    """A member or an address does not answer."""

    _code = "SPRAT_ERR_UNREACHABLE"


class CryptoError(Error):
    """Encryption: a wrong key or label, a missing key, or a peer without one."""

    _code = "SPRAT_ERR_CRYPTO"


class ProtocolError(Error):
    """A peer answered with something that is not this protocol."""

    _code = "SPRAT_ERR_PROTOCOL"


class JoinError(Error, ConnectionError):
    """Nobody answered.

    `errors` maps each address to the error that says why; `code` is that of the one that a person
    has to mend first (keys before addresses before silent hosts).
    """

    _code = "SPRAT_ERR_UNREACHABLE"

    def __init__(
        self, message: str = "", *, code: str | None = None, errors: dict[str, Error] | None = None
    ) -> None:
        super().__init__(message, code=code)
        self.errors: dict[str, Error] = errors or {}


class NameConflictError(Error):
    """Another member of the cluster has this node's name.

    The node is none, then, but goes on: it sees the others, and is one of them when the other is
    gone. Most programs close it and choose another name.
    """

    _code = "SPRAT_ERR_NAME_CONFLICT"


class InternalError(Error, RuntimeError):
    """A defect of sprat: the node has stopped, the process goes on."""

    _code = "SPRAT_ERR_INTERNAL"


for _name in __all__:
    globals()[_name].__module__ = "sprat"  # as tracebacks call them

# By the numbers of `enum sprat_status`, with the name where it is not the class's own.
_CLASSES: dict[int, type[Error]] = {
    -2: InvalidError,
    -3: InvalidError,
    -4: TooLargeError,
    -6: ForkedError,
    -7: ClosedError,
    -8: StateError,
    -9: TimeoutError,
    -10: DeadlockError,
    -11: UnknownMemberError,
    -12: NameConflictError,
    -13: ConfigError,
    -15: AddressError,
    -16: UnreachableError,
    -17: CryptoError,
    -18: ProtocolError,
    -99: InternalError,
}
_IO = -14


def printable(text: str) -> str:
    """Text with escapes for all that a terminal or a log would obey: names come from others."""
    if text.isprintable():
        return text
    return "".join(it if it.isprintable() else repr(it)[1:-1] for it in text)


def from_status(status: int, message: str, errno: int) -> Error:
    """The error for a status of the library."""
    message = printable(message)
    if status == _IO:
        return NetworkError(message, errno=errno)
    error = _CLASSES.get(status, InternalError)(message)
    if isinstance(error, AddressError) and errno:
        error.errno = errno
    return error
