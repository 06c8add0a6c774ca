"""Turns the outcome of a join, leave or hint into a result or an exception."""

from __future__ import annotations

from ._errors import Error, JoinError, TimeoutError

__all__ = [
    "Outcome",
    "hint_result",
    "join_result",
    "leave_result",
    "leaves_cluster",
    "timed_out",
]

Outcome = tuple[int | None, Error | None, list[tuple[str, Error]]]
"""The number of members contacted, the error, and for a join the error of each failed address."""


def join_result(outcome: Outcome) -> int:
    """Return the number of addresses that answered a join, or raise its error."""
    contacted, error, failures = outcome
    if error is None:
        return contacted or 0
    if not failures:
        raise error  # the node was closed, or its name is in use
    raise JoinError(str(error), code=error.code, errors=dict(failures))


def leave_result(outcome: Outcome) -> None:
    """Raise the error of a leave, if there is one."""
    _, error, _ = outcome
    if error is not None:
        raise error


def hint_result(outcome: Outcome) -> bool:
    """Return whether the member of a hint answered its probe."""
    _, error, _ = outcome
    if error is None:
        return True
    if error.code == "SPRAT_ERR_UNREACHABLE":
        return False
    raise error


def timed_out(operation: str, timeout: float | None) -> TimeoutError:
    """Make the error for an operation that outlasted the caller's timeout."""
    limit = "" if timeout is None else f" within {timeout:g} s"
    return TimeoutError(f"the {operation} has not finished{limit}; it continues")


def leaves_cluster(error: BaseException | None) -> bool:
    """Return whether a `with` block that ended with this exception leaves the cluster.

    Ctrl-C and `sys.exit` are normal ends. Any other exception should be seen at once, and not only
    after a leave.
    """
    return error is None or isinstance(error, KeyboardInterrupt | SystemExit)
