"""The exceptions of sprat.

Every error has a `code`, its name in the C interface, and a message. The message about a wrong
argument names the argument, its value (unless that is secret) and what is allowed. An argument of
the wrong type raises a plain `TypeError`.
"""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any, cast

from ._text import printable

if TYPE_CHECKING:
    from ._key_report import KeyReport

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
    "KeyringError",
    "LeaveError",
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
    """The base class of all errors of sprat."""

    code: str = "SPRAT_ERR_INTERNAL"
    """The name of the error in the C interface, for example ``"SPRAT_ERR_TIMEOUT"``."""

    _code = "SPRAT_ERR_INTERNAL"

    def __init__(self, message: str = "", *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = self._code if code is None else code

    def __str__(self) -> str:
        # KeyError.__str__ would return the repr of the message.
        return str(self.args[0]) if self.args else ""


class InvalidError(Error, ValueError):
    """An argument has a value that is not allowed."""

    _code = "SPRAT_ERR_INVALID"


class ConfigError(Error, ValueError):
    """A setting, a key or a line of a file is wrong, or two settings contradict each other."""

    _code = "SPRAT_ERR_CONFIG"


class TooLargeError(Error, ValueError):
    """A name, a tag, all tags together, the metadata, a message or a list is too long."""

    _code = "SPRAT_ERR_TOO_LARGE"


class AddressError(Error, ValueError):
    """An address cannot be parsed, resolved, or used by this host.

    `errno` is the system's reason for refusing the address, such as `errno.EADDRINUSE`, or `None`.
    If there is such a reason, the error is also the `OSError` that Python raises for it, for
    example a `PermissionError`.
    """

    _code = "SPRAT_ERR_ADDRESS"

    errno: int | None = None


class UnknownMemberError(Error, KeyError):
    """No member has this name."""

    _code = "SPRAT_ERR_NOT_FOUND"


class StateError(Error):
    """The call is not possible in the current state, or with these settings."""

    _code = "SPRAT_ERR_STATE"


class TimeoutError(Error, builtins.TimeoutError):  # noqa: A001 - it derives from the builtin
    """The operation did not finish in time; it continues in the background."""

    _code = "SPRAT_ERR_TIMEOUT"


class ClosedError(Error):
    """The node or the reader was closed."""

    _code = "SPRAT_ERR_CLOSED"


class ForkedError(Error):
    """The node belongs to the parent process: it was started before the fork."""

    _code = "SPRAT_ERR_FORKED"


class DeadlockError(Error, RuntimeError):
    """The call would wait for the thread it runs on."""

    _code = "SPRAT_ERR_DEADLOCK"


class NetworkError(Error, OSError):
    """The operating system refused a call, or a file is not a regular file or is too large.

    `errno` is the reason of the system, or `None`. If there is such a reason, the error is also the
    `OSError` that Python raises for it, for example a `FileNotFoundError`.
    """

    _code = "SPRAT_ERR_IO"

    def __init__(self, message: str = "", *, code: str | None = None, errno: int = 0) -> None:
        super().__init__(message, code=code)
        self.errno = errno or None
        self.strerror = message

    def __reduce__(self) -> tuple[object, ...]:
        return _reduce_of_system(self)


class UnreachableError(Error, ConnectionError):
    """A member or an address does not answer."""

    _code = "SPRAT_ERR_UNREACHABLE"


class CryptoError(Error):
    """Encryption failed: a wrong key or label, no key, or a peer without a key."""

    _code = "SPRAT_ERR_CRYPTO"


class ProtocolError(Error):
    """A peer answered in another protocol or version, or closed the connection unanswered."""

    _code = "SPRAT_ERR_PROTOCOL"


class JoinError(Error, ConnectionError):
    """No address answered a join or a look.

    `errors` maps each address to the reason for its failure. `code` is that of the error to fix
    first: errors about keys come first, then errors of the protocol, then host names without an
    address, and last hosts that do not answer.
    """

    _code = "SPRAT_ERR_UNREACHABLE"

    def __init__(
        self, message: str = "", *, code: str | None = None, errors: dict[str, Error] | None = None
    ) -> None:
        super().__init__(message, code=code)
        self.errors: dict[str, Error] = errors or {}


class LeaveError(Error, ConnectionError):
    """The node has left, but some members did not acknowledge the leave and may list it as failed.

    `members` has the names of these members, of which the message names at most five. They include
    members that have crashed, if this node has not noticed the crash yet.
    """

    _code = "SPRAT_ERR_UNREACHABLE"

    def __init__(
        self, message: str = "", *, code: str | None = None, members: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message, code=code)
        self.members = members


class KeyringError(Error):
    """Some members did not do what was asked with their keys, or have not answered in time.

    `report` is a `KeyReport` with the answers of all members. `code` is ``"SPRAT_ERR_STATE"`` if
    members report a failure, and ``"SPRAT_ERR_TIMEOUT"`` if some members have not answered and the
    others report no failure. The same call can be repeated: a member that did what was asked
    succeeds again.
    """

    _code = "SPRAT_ERR_STATE"

    def __init__(
        self, message: str = "", *, code: str | None = None, report: KeyReport | None = None
    ) -> None:
        super().__init__(message, code=code)
        # It is `None` only in a copy or a pickle, which gets its report afterwards.
        self.report = cast("KeyReport", report)


class NameConflictError(Error):
    """Another member of the cluster has this node's name.

    Members that list the other node do not list this one. This node keeps running, sees the
    members, and becomes a member itself when the other node is gone. Most programs close this node
    and choose another name.
    """

    _code = "SPRAT_ERR_NAME_CONFLICT"


class InternalError(Error, RuntimeError):
    """The library has a defect, or the process closed descriptors of a node.

    The process continues. A node in the state `NodeState.BROKEN` has stopped.
    """

    _code = "SPRAT_ERR_INTERNAL"


for _name in __all__:
    globals()[_name].__module__ = "sprat"  # the name that tracebacks show

# The classes for the numbers of `enum sprat_status`, except `_IO`. Other numbers should not occur.
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


def from_status(status: int, message: str, errno: int) -> Error:
    """Make the error for a status number of the library."""
    message = printable(message)
    if status == _IO:
        cls: type[Error] = NetworkError
    else:
        cls = _CLASSES.get(status, InternalError)
    return of_system(cls, message, cls._code, errno)


def of_system(cls: type[Error], message: str, code: str, errno: int) -> Error:
    """Make an error.

    A network or address error is also an instance of the class that Python raises for its `errno`.
    """
    if errno == 0 or not issubclass(cls, NetworkError | AddressError):
        return cls(message, code=code)
    error: Any = _class_of_system(cls, type(OSError(errno, "")))(message, code=code)
    error.errno, error.strerror = errno, message
    made: Error = error
    return made


_of_system: dict[tuple[type[Error], type[OSError]], type[Error]] = {}


def _class_of_system(cls: type[Error], builtin: type[OSError]) -> type[Error]:
    """Return a class that derives from both classes and has the name of the first."""
    if issubclass(cls, builtin):
        return cls
    if (cls, builtin) not in _of_system:
        content = {"__module__": "sprat", "__doc__": cls.__doc__, "__reduce__": _reduce_of_system}
        _of_system[cls, builtin] = type(cls.__name__, (cls, builtin), content)
    return _of_system[cls, builtin]


def _reduce_of_system(error: Any) -> tuple[object, ...]:
    cls = next(it for it in type(error).__mro__ if it in (NetworkError, AddressError))
    return of_system, (cls, str(error), error.code, error.errno or 0), vars(error)
