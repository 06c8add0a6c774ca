"""The thread that runs handlers, one at a time, in order.

It takes one batch of calls at a time, and wakes its owner after each call and when the batch is
done. The member keeps working in the meantime. The log gets the output of the scripts and their
failures; the output of a script that has handled a query is also the answer.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence

import sprat

from .handlers import Call, Handler, environment
from .script import OUTPUT_LIMIT, Outcome, call

__all__ = ["Worker"]

_log = logging.getLogger("sprat.handler")

_SLOW = 1.0
"""Seconds after which a running script is logged as slow, as in Serf."""

Identity = Callable[[], tuple[str, Mapping[str, str]]]


class Worker:
    """Runs handlers in a thread of its own. `identity` returns the name and tags of this member."""

    def __init__(
        self,
        handlers: Sequence[Handler],
        identity: Identity,
        limit: float,
        wake: Callable[[], None],
    ) -> None:
        self._handlers, self._identity = tuple(handlers), identity
        self._limit, self._wake = limit, wake
        self._batches: queue.SimpleQueue[Sequence[Call]] = queue.SimpleQueue()
        self._idle, self._abandoned = threading.Event(), threading.Event()
        self._idle.set()
        self._slow_logged = False
        # The thread is a daemon, because the command waits for scripts only for a limited time.
        threading.Thread(target=self._run, name="sprat-handlers", daemon=True).start()

    @property
    def is_idle(self) -> bool:
        """True if no batch is running."""
        return self._idle.is_set()

    def give(self, batch: Sequence[Call]) -> None:
        """Run the handlers for these events."""
        self._idle.clear()
        self._batches.put(batch)

    def wait(self, timeout: float) -> bool:
        """Wait until no batch is running, and return true. Return false after `timeout` seconds."""
        return self._idle.wait(max(timeout, 0.0))

    def abandon(self) -> None:
        """End the running script, and start no other."""
        self._abandoned.set()
        self._idle.wait(5.0)

    def _run(self) -> None:
        while True:
            batch = self._batches.get()
            try:
                for it in batch:
                    for handler in self._handlers:
                        if handler.wants(it.kind, it.name) and not self._abandoned.is_set():
                            self._call(handler, it)
            except Exception:  # noqa: BLE001 - handlers must still run for later events
                _log.exception("the handlers failed")
            finally:
                self._idle.set()
                self._wake()

    def _call(self, handler: Handler, event: Call) -> None:
        self._slow_logged = False

        def must_end(seconds: float) -> bool:
            if seconds > _SLOW and not self._slow_logged:
                self._slow_logged = True
                _log.warning(
                    "%s: %r is running longer than %g s", event.kind, handler.script, _SLOW
                )
            return self._abandoned.is_set() or 0 < self._limit < seconds

        try:
            given = environment(event, *self._identity())
            outcome = call(handler.script, given, event.stdin, must_end)
        except (OSError, ValueError, sprat.Error) as error:
            _log.error("%s: cannot run %r: %s", event.kind, handler.script, error)
        else:
            _report(event.kind, handler.script, outcome)
            if event.query is not None:
                _answer(event.query, handler.script, outcome)
        finally:
            self._wake()


def _answer(query: sprat.Query, script: str, outcome: Outcome) -> None:
    """Answer a query with the output of a script that succeeded. As in Serf, no output means no
    answer, and a second script cannot answer again.
    """
    if outcome.code or outcome.abandoned or not outcome.output:
        return
    try:
        query.respond(outcome.output)
    except sprat.Error as error:
        _log.error("query: the output of %r cannot answer %r: %s", script, query.name, error)


def _report(kind: str, script: str, outcome: Outcome) -> None:
    is_cut = outcome.printed > OUTPUT_LIMIT
    lines = outcome.output.decode(errors="replace").splitlines()
    for line in lines[1:] if is_cut else lines:
        _log.info("%s: %s", kind, line)
    if is_cut:
        text = "%s: %r printed %d bytes, of which the last %d are shown"
        _log.warning(text, kind, script, outcome.printed, OUTPUT_LIMIT)
    if outcome.left_behind:
        _log.warning("%s: %r left a process behind that holds its output open", kind, script)
    if outcome.abandoned:
        _log.error("%s: %r was ended after %.1f s", kind, script, outcome.seconds)
    elif outcome.code < 0:
        _log.error("%s: %r was killed by signal %d", kind, script, -outcome.code)
    elif outcome.code:
        _log.error("%s: %r failed with exit code %d", kind, script, outcome.code)
    else:
        _log.debug("%s: %r took %.3f s", kind, script, outcome.seconds)
