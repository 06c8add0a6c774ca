"""A member that stays: its loop, from being ready to having left.

The loop waits for events of the node, for signals, for the handlers' thread, and for the moment at
which gathered events are due. It never waits for a script. At its end it leaves first, so that the
cluster sends no more work here, and then gives a handler that runs the time that is left.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import select
import signal
import time
from collections.abc import Callable, Mapping, Sequence

import click

import sprat

from .coalesce import Coalescer
from .connect import say_goodbye
from .handlers import KINDS, Handler
from .notify import Supervisor
from .signals import Ended, Inbox
from .worker import Worker

__all__ = ["Service", "Waits"]

_log = logging.getLogger("sprat.run")


@dataclasses.dataclass(frozen=True)
class Waits:
    """How long, in seconds."""

    coalesce: float
    """Events are gathered."""
    handler: float
    """A handler may run; 0 is without limit."""
    stop: float
    """A handler may go on after the leave."""


class Service:
    """See the head of this file.

    `tags` gives the tags as they are configured now, for SIGHUP.
    """

    def __init__(
        self,
        node: sprat.Node,
        inbox: Inbox,
        handlers: Sequence[Handler],
        waits: Waits,
        supervisor: Supervisor,
        tags: Callable[[], Mapping[str, str]],
        *,
        ready_when_joined: bool,
    ) -> None:
        self._node, self._waits, self._supervisor, self._tags = node, waits, supervisor, tags
        self._waits_for_others = ready_when_joined
        self._inbox, self._is_ready = inbox, False
        self._gathered = Coalescer(waits.coalesce)
        self._worker = None
        if handlers:
            self._worker = Worker(handlers, self._identity, waits.handler, inbox.wake)
        # The first reader also gets what happened since the start: this node's own join.
        self._events = node.events(sprat.MemberEvent, sprat.Overflow, sprat.NodeFailed)

    def run(self) -> None:
        """Be a member until a signal ends it. Raises what stops the node."""
        is_hurried = False
        try:
            self._loop()
        except Ended:  # somebody is impatient
            is_hurried = True
            raise
        finally:
            self._stop(is_hurried=is_hurried)

    # While it runs

    def _loop(self) -> None:
        poll = select.poll()
        poll.register(self._events.fileno(), select.POLLIN)
        poll.register(self._inbox.fileno(), select.POLLIN)
        if not self._waits_for_others:
            self._tell_ready()
        while not self._inbox.is_stopping:
            self._hand_on()
            poll.poll(self._pause())
            self._inbox.quiet()
            self._take_events()
            while self._inbox.pending and not self._inbox.is_stopping:
                self._obey(self._inbox.pending.popleft())

    def _pause(self) -> float | None:
        """Milliseconds until gathered events are due; `None` is until something happens."""
        due = self._gathered.due()
        if due is None or self._worker is None or not self._worker.is_idle:
            return None
        return math.ceil(max(due - time.monotonic(), 0.0) * 1000)

    def _take_events(self) -> None:
        while (event := self._events.next(0)) is not None:
            if isinstance(event, sprat.NodeFailed):
                raise event.error
            if isinstance(event, sprat.MemberEvent):
                self._take(event)
            elif isinstance(event, sprat.Overflow):
                _log.warning("%d events were lost: handlers do not hear of them", event.lost)

    def _take(self, event: sprat.MemberEvent) -> None:
        if self._worker is not None and event.kind in KINDS:
            self._gathered.add(event.kind, event.member, time.monotonic())
        is_other = event.member.name != self._node.name
        if self._waits_for_others and is_other and not self._inbox.is_stopping:
            self._waits_for_others = False
            self._tell_ready()

    def _hand_on(self) -> None:
        due = self._gathered.due()
        if due is None or due > time.monotonic():
            return
        if self._worker is not None and self._worker.is_idle:
            self._worker.give(self._gathered.take())

    def _tell_ready(self) -> None:
        self._is_ready = True
        node = self._node
        _log.info("%s is a member at %s", node.name, node.address)
        self._supervisor.ready(f"{node.name} is a member at {node.address}")

    def _identity(self) -> tuple[str, Mapping[str, str]]:
        return self._node.name, self._node.self_member.tags

    # Signals

    def _obey(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._reload()
            return
        self._inbox.is_stopping = True
        _log.info("%s: leaving the cluster", signal.Signals(number).name)

    def _reload(self) -> None:
        """Take the tags from the file again. All else needs a new start."""
        if self._is_ready:
            self._supervisor.reloading()
        try:
            tags = dict(self._tags())
            if tags != dict(self._node.tags):
                self._node.tags = tags
            _log.info("SIGHUP: the tags are now those of the file and of the options")
        except (click.ClickException, sprat.Error) as error:
            _log.error("SIGHUP: the tags stay as they are: %s", error)
        if self._is_ready:
            self._supervisor.ready("tags were read again")

    # Its end

    def _stop(self, *, is_hurried: bool) -> None:
        self._inbox.is_stopping = True
        self._supervisor.stopping()
        try:
            if not is_hurried:
                say_goodbye(self._node)
                self._end_handlers()
        finally:
            if self._worker is not None and not self._worker.is_idle:
                self._worker.abandon()
            self._node.close()

    def _end_handlers(self) -> None:
        """Let them end, and hear of what was gathered, the own leave included, as Serf's do."""
        if self._worker is None:
            return
        until = time.monotonic() + self._waits.stop
        with contextlib.suppress(sprat.Error):
            self._take_events()
        if self._worker.wait(until - time.monotonic()):
            self._worker.give(self._gathered.take())
            self._worker.wait(until - time.monotonic())
        if not self._worker.is_idle:
            _log.warning("a handler still runs %g s after the leave", self._waits.stop)
