"""The acks and answers to a query, in threads; `aio.py` shares all but the waits.

Each query has a queue of its own for its acks, its answers and its end. The queue is read like the
events of a node.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

from . import _native
from ._checks import (
    check_flag,
    check_list,
    check_string_mapping,
    check_text,
    check_timeout,
    wrong_type,
)
from ._errors import ClosedError, ForkedError, InvalidError, TimeoutError
from ._events import BaseEvents, Events, Selection
from ._native import Overflow, QueryAck, QueryEnd, Response

__all__ = ["QueryResult", "begin_query"]


class QueryReader(BaseEvents[Response]):
    """The part of a `QueryResult` that does not wait."""

    def __init__(
        self, subscription: _native.Subscription, native: _native.Node, number: int, node: object
    ) -> None:
        super().__init__(subscription, Selection(()), native.name, node)
        self._query = (native, number)
        self._acks: tuple[str, ...] = ()
        self._missing: tuple[str, ...] = ()
        self._problem = ""
        self._complete = False
        self._is_over = False

    @property
    def acks(self) -> tuple[str, ...]:
        """The names of the members that acknowledged the query so far, in the order of the acks."""
        return self._acks

    @property
    def complete(self) -> bool:
        """True once the query has ended and no ack or answer is missing."""
        return self._complete

    @property
    def missing(self) -> tuple[str, ...]:
        """The names of the members whose ack or answer is missing, sorted; empty before the end.

        They are members that have failed, or have not replied in time, and names in `nodes` that
        no present member has, unless they have replied nevertheless. A member that has left is not
        among them.
        """
        return self._missing

    @property
    def problem(self) -> str:
        """A sentence that names the first few of `missing`, and says why a reply may be missing.

        It is empty before the end, and if nothing is missing.
        """
        return self._problem

    def cancel(self) -> None:
        """End the query now. The answers that have come can still be read."""
        node, number = self._query
        with contextlib.suppress(ClosedError, ForkedError):
            node.cancel_query(number)

    def close(self) -> None:
        """End the query and every wait for an answer. A second call does nothing."""
        if self._native is not None and not self._ended:
            self.cancel()
        super().close()

    def _take(self) -> Response | None:
        event: Any
        while not self._is_over:
            event = super()._take()
            if isinstance(event, QueryAck):
                self._acks = (*self._acks, event.member)
            elif isinstance(event, QueryEnd):
                self._end(event)
            elif isinstance(event, Overflow):
                self._selection.warn(event.lost)
            elif event is None and self._ended:  # the node ended before the query
                self._failure = ClosedError("the node was shut down before its query ended")
                return None
            else:
                return event  # type: ignore[no-any-return]
        return None

    def _end(self, event: QueryEnd) -> None:
        self._is_over = self._ended = True
        self._keeps_alive = None
        if event.error is None:
            self._complete = True
        elif isinstance(event.error, TimeoutError):
            self._missing, self._problem = tuple(event.missing), str(event.error)
        else:
            self._failure = event.error


class QueryResult(QueryReader, Events[Response]):
    """The acks and answers to a query, made by `Node.query`: an iterator over the answers.

    It waits for the next `Response`, and ends with the query; Ctrl-C ends the wait. A ``with``
    block ends the query at its end. Raises `ClosedError` if the node is closed before the query
    has ended.
    """


def begin_query(
    native: _native.Node,
    name: str,
    payload: object,
    timeout: float | None,
    nodes: Iterable[str],
    tags: Mapping[str, str] | None,
    ack: bool,
    relay_factor: int,
) -> tuple[int, _native.Subscription]:
    """Check the arguments of a query and send it.

    Returns the number of the query and the queue for what comes back.
    """
    if isinstance(relay_factor, bool) or not isinstance(relay_factor, int):
        raise wrong_type("relay_factor", "int", relay_factor)
    if relay_factor not in range(256):
        raise InvalidError(f"relay_factor must be 0 to 255, got {relay_factor}")
    names = [check_text("a name in nodes", it) for it in check_list("nodes", nodes)]
    wanted = [] if tags is None else [*check_string_mapping("tags", tags).items()]
    check_flag("ack", ack)
    return native.begin_query(
        check_text("name", name), payload, check_timeout(timeout), names, wanted, ack, relay_factor
    )
