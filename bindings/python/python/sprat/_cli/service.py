"""The loop of `sprat run`, from the start of the member to its leave.

The loop waits for events of the node, for signals, for ended child processes, for the thread of the
handlers, and for the time at which events that wait are due. It never waits for a script. At the
end, the member leaves first, so that the cluster sends no more work here. Then the handlers get a
limited time to finish. A second SIGINT or SIGTERM ends the leave and the wait for handlers.
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

from .changes import KnownMembers
from .children import reap
from .coalesce import Coalescer
from .handlers import MEMBER_KINDS, Handler, member_call
from .messages import WaitingMessages
from .node import leave
from .notify import Supervisor
from .signals import Ended, Inbox
from .worker import Worker

__all__ = ["Service", "Timeouts"]

_log = logging.getLogger("sprat.run")


@dataclasses.dataclass(frozen=True)
class Timeouts:
    """Time limits in seconds."""

    coalesce: float
    """The longest time for which events are gathered."""
    handler: float
    """The longest run time of a handler; 0 means no limit."""
    stop: float
    """The time that the handlers get after the leave."""


class Service:
    """Runs a node until a signal ends it. On SIGHUP, `tags` is called for the configured tags."""

    def __init__(
        self,
        node: sprat.Node,
        inbox: Inbox,
        handlers: Sequence[Handler],
        timeouts: Timeouts,
        supervisor: Supervisor,
        tags: Callable[[], Mapping[str, str]],
        *,
        ready_when_joined: bool,
    ) -> None:
        self._node, self._timeouts = node, timeouts
        self._supervisor, self._tags = supervisor, tags
        self._waits_for_others = ready_when_joined
        self._inbox, self._is_ready = inbox, False
        self._known = KnownMembers(())
        self._gathered = Coalescer(timeouts.coalesce)
        self._messages = WaitingMessages(timeouts.coalesce)
        self._handlers = handlers
        self._worker = None
        if handlers:
            self._worker = Worker(handlers, self._identity, timeouts.handler, inbox.wake)
        # The first reader also gets the events since the start, such as the join of this node.
        self._events: sprat.Events[sprat.Event] = node.events(
            sprat.MemberEvent, sprat.UserEvent, sprat.Query, sprat.Overflow, sprat.NodeFailed
        )

    def run(self) -> None:
        """Run until SIGINT or SIGTERM arrives. Raises the error of a `NodeFailed`, if any."""
        is_hurried = False
        try:
            self._loop()
        except Ended:  # a second signal
            is_hurried = True
            raise
        finally:
            self._stop(is_hurried=is_hurried)

    # The loop

    def _loop(self) -> None:
        poll = select.poll()
        poll.register(self._events.fileno(), select.POLLIN)
        poll.register(self._inbox.fileno(), select.POLLIN)
        if not self._waits_for_others:
            self._report_ready()
        while not self._inbox.is_stopping:
            self._hand_on()
            poll.poll(self._pause())
            self._inbox.clear_wakes()
            reap()
            self._take_events()
            while self._inbox.pending and not self._inbox.is_stopping:
                self._handle_signal(self._inbox.pending.popleft())

    def _pause(self) -> float | None:
        """Return the milliseconds until gathered events are due; `None` means no limit."""
        due = self._due()
        if due is None or self._worker is None or not self._worker.is_idle:
            return None
        return math.ceil(max(due - time.monotonic(), 0.0) * 1000)

    def _take_events(self) -> None:
        while (event := self._events.next(0)) is not None:
            if isinstance(event, sprat.NodeFailed):
                raise event.error
            if isinstance(event, sprat.MemberEvent):
                if not self._known.is_repetition(event):
                    self._take(event)
            elif isinstance(event, sprat.UserEvent | sprat.Query):
                if any(it.wants(event.kind, event.name) for it in self._handlers):
                    self._messages.add(event, time.monotonic())
            elif isinstance(event, sprat.Overflow):
                self._make_up_for(event)

    def _make_up_for(self, overflow: sprat.Overflow) -> None:
        """Take what has changed in the list of members instead of the lost events about members."""
        missed = self._known.missed(self._node.members(state=None), time.monotonic())
        _log.warning(
            "%d events were lost: handlers run for the %d changes that the list of members shows,"
            " and for no lost user event or query",
            overflow.lost,
            len(missed),
        )
        for event in missed:
            self._take(event)

    def _take(self, event: sprat.MemberEvent) -> None:
        self._known.apply(event)
        if self._worker is not None and event.kind in MEMBER_KINDS:
            self._gathered.add(event.kind, event.member, time.monotonic())
        is_other = event.member.name != self._node.name
        if self._waits_for_others and is_other and not self._inbox.is_stopping:
            self._waits_for_others = False
            self._report_ready()

    def _due(self) -> float | None:
        """Return the time at which the first calls are due; `None` if no event waits."""
        times = (self._gathered.due(), self._messages.due())
        return min((it for it in times if it is not None), default=None)

    def _hand_on(self) -> None:
        now, due = time.monotonic(), self._due()
        if due is None or due > now:
            return
        if self._worker is not None and self._worker.is_idle:
            self._give(now)

    def _give(self, now: float) -> None:
        """Give the worker the calls that are due. Queries come first: they have a deadline."""
        assert self._worker is not None
        calls = self._messages.take(now)
        due = self._gathered.due()
        if due is not None and due <= now:
            calls += [member_call(*it) for it in self._gathered.take()]
        self._worker.give(calls)

    def _report_ready(self) -> None:
        self._is_ready = True
        node = self._node
        _log.info("%s is a member at %s", node.name, node.address)
        self._supervisor.ready(f"{node.name} is a member at {node.address}")

    def _identity(self) -> tuple[str, Mapping[str, str]]:
        return self._node.name, self._node.self_member.tags

    # Signals

    def _handle_signal(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._reload()
            return
        self._inbox.is_stopping = True
        _log.info("%s: leaving the cluster", signal.Signals(number).name)

    def _reload(self) -> None:
        """Reload the tags from the file and the options. Other settings need a restart."""
        if self._is_ready:
            self._supervisor.reloading()
        try:
            tags = dict(self._tags())
            if tags != dict(self._node.tags):
                self._node.tags = tags
            _log.info("SIGHUP: reloaded the tags from the file and the options")
        except (click.ClickException, sprat.Error) as error:
            _log.error("SIGHUP: the tags are unchanged: %s", error)
        if self._is_ready:
            self._supervisor.ready("tags reloaded")

    # The end

    def _stop(self, *, is_hurried: bool) -> None:
        self._inbox.is_stopping = True
        self._supervisor.stopping()
        try:
            if not is_hurried:
                leave(self._node)
                self._end_handlers()
        finally:
            if self._worker is not None and not self._worker.is_idle:
                self._worker.abandon()
            self._node.close()

    def _end_handlers(self) -> None:
        """Let the batch finish, then run handlers for the last events, such as the node's leave."""
        if self._worker is None:
            return
        until = time.monotonic() + self._timeouts.stop
        with contextlib.suppress(sprat.Error):
            self._take_events()
        if self._worker.wait(until - time.monotonic()):
            self._give(math.inf)
            self._worker.wait(until - time.monotonic())
        if not self._worker.is_idle:
            _log.warning("a handler is still running %g s after the leave", self._timeouts.stop)
