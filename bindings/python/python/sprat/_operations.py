"""Turns the outcome of an operation, such as a join, into a result or an error."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from ._errors import ClosedError, Error, JoinError, KeyringError, LeaveError, TimeoutError
from ._key_report import KeyAnswers, KeyReport
from ._native import Members

__all__ = [
    "Outcome",
    "end_result",
    "hint_result",
    "join_result",
    "keys_result",
    "last_leave",
    "leave_result",
    "look_result",
    "timed_out",
]

_log = logging.getLogger("sprat")

Outcome = tuple[
    int | None, Error | None, list[tuple[str, Error]], list[str], Members, KeyAnswers | None
]
"""The outcome of an operation.

It has the number of addresses that a join or look reached, the error, the error of each address
that a join or look did not reach, the members that did not acknowledge a leave, the members that a
look has found, and the answers to a key query that was sent.
"""


def join_result(outcome: Outcome) -> int:
    """Return the number of addresses that answered a join, or raise its error."""
    contacted, error, failures, *_ = outcome
    if error is None:
        return contacted or 0
    raise _unanswered(error, failures)


def look_result(outcome: Outcome) -> Members:
    """Return the members that a look has found, or raise its error."""
    _, error, failures, _, members, _ = outcome
    if error is None:
        return members
    raise _unanswered(error, failures)


def _unanswered(error: Error, failures: list[tuple[str, Error]]) -> Error:
    if not failures:
        return error  # the node was closed, its name is in use, or too many looks are under way
    return JoinError(str(error), code=error.code, errors=dict(failures))


def leave_result(outcome: Outcome) -> None:
    """Raise the error of a leave, if there is one."""
    _, error, _, unacked, *_ = outcome
    if error is None:
        return
    if unacked:
        raise LeaveError(str(error), code=error.code, members=tuple(unacked))
    raise error


def end_result(outcome: Outcome) -> None:
    """Raise the error of an operation without a result, if there is one."""
    _, error, *_ = outcome
    if error is not None:
        raise error


def hint_result(outcome: Outcome) -> bool:
    """Return whether the member that a hint was about answered the probe."""
    _, error, *_ = outcome
    if error is None:
        return True
    if error.code == "SPRAT_ERR_UNREACHABLE":
        return False
    raise error


def keys_result(outcome: Outcome) -> KeyReport:
    """Return the answers to a key query, or raise its error."""
    *_, answers = outcome
    error = outcome[1]
    report = None if answers is None else KeyReport._from_native(answers)
    if error is None and report is not None:
        return report
    if error is None or report is None:  # the query was not sent, or the node was closed
        raise error or ClosedError("the node was shut down")
    raise KeyringError(str(error), code=error.code, report=report)


def timed_out(operation: str, timeout: float | None) -> TimeoutError:
    """Make the error for an operation that outlasted the caller's timeout."""
    limit = "" if timeout is None else f" within {timeout:g} s"
    return TimeoutError(f"the {operation} has not finished{limit}; it continues")


@contextlib.contextmanager
def last_leave(name: str) -> Iterator[None]:
    """Log the errors of the leave at the end of a `with` block.

    These errors must not replace the exception that ended the block.
    """
    try:
        yield
    except ClosedError:
        pass  # another thread closed the node in the meantime
    except TimeoutError:
        _log.warning("%s: the leave did not spread in time; other members may see a failure", name)
    except LeaveError as error:
        _log.warning("%s: %s", name, str(error))
    except Error as error:
        _log.warning("%s: the leave failed; other members may see a failure: %s", name, str(error))
