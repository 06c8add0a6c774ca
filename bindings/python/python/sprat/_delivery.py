"""The thread that hands events to a callback and lines of the log to `logging`.

It is a Python thread: debuggers and context variables work, an exception is logged with its
traceback, and no thread of the library ever waits for the interpreter. It is a daemon, and holds
its node only while it delivers, so that a forgotten node can be collected; the end of the node
ends it.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import traceback
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ._errors import Error
from ._events import BATCH
from ._native import LogLine

if TYPE_CHECKING:
    from . import _native
    from ._node import BaseNode

__all__ = ["Delivery"]

_log = logging.getLogger("sprat")

TRACE = 5
"""The level of `logging` for lines below DEBUG."""

_LEVELS = {1: logging.ERROR, 2: logging.WARNING, 3: logging.INFO, 4: logging.DEBUG, 5: TRACE}


class Delivery:
    """See the head of this file."""

    def __init__(self, node: BaseNode, subscription: _native.Subscription) -> None:
        self.stopped = False
        context = contextvars.copy_context()
        arguments = (weakref.ref(node), subscription, self)
        self.thread = threading.Thread(
            target=context.run, args=(_run, *arguments), name="sprat-events", daemon=True
        )
        self.thread.start()

    def stop(self) -> None:
        """Start no further callback."""
        self.stopped = True

    def join(self, timeout: float) -> None:
        """Wait for the callback that runs, unless it is the caller."""
        if self.thread is not threading.current_thread():
            self.thread.join(timeout)


def _run(
    node: weakref.ref[BaseNode], subscription: _native.Subscription, delivery: Delivery
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
            # What goes wrong in code of the program must not end the delivery, whatever it is:
            # sys.exit() would end this thread without a word.
            try:
                if isinstance(event, LogLine):
                    _pass_on(event)
                elif callback is not None and not delivery.stopped:
                    _call(callback, event)
            except BaseException:  # noqa: BLE001 - even the log failed
                traceback.print_exc()
        del callback, events, event


def _pass_on(line: LogLine) -> None:
    logger = logging.getLogger(f"sprat.{line.target}")
    logger.log(_LEVELS.get(line.level, logging.INFO), "%s", line.text)


def _call(callback: Callable[[Any], object], event: Any) -> None:
    try:
        callback(event)
    except BaseException:  # noqa: BLE001 - see above
        _log.exception("the callback for events failed on %r", event)
