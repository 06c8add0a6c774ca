"""The thread that calls `on_event`, and that hands log lines of the library to `logging`.

It is a Python thread: debuggers and context variables work, an exception in the callback is logged
with its traceback, and no thread of the library ever waits for the interpreter. The thread is a
daemon and holds its node only while it delivers a batch, so a forgotten node can be collected. It
ends with the node.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import traceback
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from ._errors import Error
from ._events import BATCH
from ._native import LogLine

if TYPE_CHECKING:
    from . import _native

__all__ = ["Delivery"]

_log = logging.getLogger("sprat")

_TRACE = 5
"""The level of `logging` for lines of level trace, below DEBUG."""

_LEVELS = {1: logging.ERROR, 2: logging.WARNING, 3: logging.INFO, 4: logging.DEBUG, 5: _TRACE}


class HasCallback(Protocol):
    """The node: the thread looks up its callback again for every batch."""

    _on_event: Callable[[Any], object] | None


class Delivery:
    """The delivery of one node's events and log lines."""

    def __init__(self, node: HasCallback, subscription: _native.Subscription) -> None:
        self.stopped = False
        context = contextvars.copy_context()
        arguments = (weakref.ref(node), subscription, self)
        self.thread = threading.Thread(
            target=context.run, args=(_run, *arguments), name="sprat-events", daemon=True
        )
        self.thread.start()

    def stop(self) -> None:
        """Let no further callback start."""
        self.stopped = True

    def join(self, timeout: float) -> None:
        """Wait for a running callback, unless this is called from it."""
        if self.thread is not threading.current_thread():
            self.thread.join(timeout)


def _run(
    node: weakref.ref[HasCallback], subscription: _native.Subscription, delivery: Delivery
) -> None:
    while True:
        try:
            events = subscription.drain(BATCH)
            if not events:
                subscription.wait()
                continue
        except Error:
            return  # the node has ended
        owner = node()
        callback = None if owner is None else owner._on_event
        del owner
        for event in events:
            # Code of the program must not end the delivery, whatever it raises: SystemExit would
            # end this thread silently.
            try:
                if isinstance(event, LogLine):
                    _log_line(event)
                elif callback is not None and not delivery.stopped:
                    _call(callback, event)
            except BaseException:  # noqa: BLE001 - logging itself failed
                traceback.print_exc()
        del callback, events, event


def _log_line(line: LogLine) -> None:
    logger = logging.getLogger(f"sprat.{line.target}")
    logger.log(_LEVELS.get(line.level, logging.INFO), "%s", line.text)


def _call(callback: Callable[[Any], object], event: Any) -> None:
    try:
        callback(event)
    except BaseException:  # noqa: BLE001 - the delivery must go on
        _log.exception("the callback for events failed on %r", event)
