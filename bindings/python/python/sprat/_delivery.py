"""The thread that calls `on_event`, and that hands log lines of the library to `logging`.

It is a Python thread: debuggers and context variables work, exceptions in the callback are logged,
and no thread of the library ever waits for the interpreter. The thread is a daemon and ends with
the node. It has only a weak reference to the node, and refers to the callback only while it
delivers a batch, so a forgotten node can be collected.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import sys
import threading
import traceback
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from ._errors import Error
from ._events import BATCH
from ._native import LogLine
from ._rate import Rate
from ._waiting import way_to_wait

if TYPE_CHECKING:
    from . import _native

__all__ = ["Delivery"]

_log = logging.getLogger("sprat")

_TRACE = 5
"""The level of `logging` for lines of level trace, below DEBUG."""

_LEVELS = {1: logging.ERROR, 2: logging.WARNING, 3: logging.INFO, 4: logging.DEBUG, 5: _TRACE}


class HasCallback(Protocol):
    """A node with a callback, which the thread looks up again for every batch."""

    _on_event: Callable[[Any], object] | None


class Delivery:
    """Delivers the events and log lines of one node."""

    def __init__(self, node: HasCallback, subscription: _native.Subscription) -> None:
        self.stopped = False
        self.wait = way_to_wait()
        context = contextvars.copy_context()
        arguments = (weakref.ref(node), subscription, self)
        self.thread = threading.Thread(
            target=context.run, args=(_run, *arguments), name="sprat-events", daemon=True
        )
        self.thread.start()

    def stop(self) -> None:
        """Prevent further callbacks from starting."""
        self.stopped = True

    def join(self, timeout: float) -> None:
        """Wait at most `timeout` seconds for the thread to end, unless it is the current one."""
        if self.thread is not threading.current_thread():
            self.thread.join(timeout)


def _run(
    node: weakref.ref[HasCallback], subscription: _native.Subscription, delivery: Delivery
) -> None:
    failures, guarded = _Failures(), _Guard()
    while True:
        try:
            events = subscription.drain(BATCH)
            if not events:
                delivery.wait(subscription, failures.report_in())
        except Error:
            break  # the node has ended
        owner = node()
        callback = None if owner is None else owner._on_event
        del owner
        for event in events:
            with guarded:
                if isinstance(event, LogLine):
                    _log_line(event)
                elif callback is not None and not delivery.stopped:
                    _call(callback, event, failures)
        with guarded:
            failures.report_when_due()
        del callback, events
        event = None  # otherwise the thread would keep the last event alive
    with guarded:
        failures.report()


class _Guard:
    """Keeps the delivery alive when `logging`, which runs code of the program, fails.

    It suppresses every exception, even `SystemExit`, which would end the thread silently.
    """

    def __init__(self) -> None:
        self._rate = Rate()

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        # Without a stderr, `print_exception` would write to stdout.
        if error is not None and sys.stderr is not None and self._rate.admits():
            with contextlib.suppress(BaseException):  # stderr, too, may be an object of the program
                traceback.print_exception(error)
        return True


def _log_line(line: LogLine) -> None:
    logger = logging.getLogger(f"sprat.{line.target}")
    logger.log(_LEVELS.get(line.level, logging.INFO), "%s", line.text)


def _call(callback: Callable[[Any], object], event: Any, failures: _Failures) -> None:
    try:
        callback(event)
    except BaseException as error:  # noqa: BLE001 - the delivery must go on
        failures.log(event, error)


class _Failures:
    """Logs failures of a callback: a few per period with a traceback, the others as a number."""

    def __init__(self) -> None:
        self._rate = Rate()
        self._last = ""

    def log(self, event: Any, error: BaseException) -> None:
        if self._rate.admits():
            _log.error("the callback for events failed on %r", event, exc_info=error)
        else:
            self._last = traceback.format_exception_only(error)[-1].strip()

    def report_in(self) -> float | None:
        return self._rate.report_in()

    def report_when_due(self) -> None:
        if self._rate.report_in() == 0:
            self.report()

    def report(self) -> None:
        count = self._rate.take_left_out()
        if count:
            text = "the callback for events failed on %d more events; the last error: %s"
            _log.error(text, count, self._last)
