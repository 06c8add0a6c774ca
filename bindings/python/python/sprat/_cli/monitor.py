"""`sprat monitor`: events as they happen."""

from __future__ import annotations

import contextlib
import datetime
import select
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

import click

import sprat
from sprat._events import KINDS

from .changes import KnownMembers, differences
from .options import Connection, connection_options
from .output import (
    ReaderGone,
    as_json,
    clean,
    console,
    format_option,
    member_fields,
    tags_text,
    write,
)
from .signals import Ended
from .visit import visit

__all__ = ["monitor"]

_KINDS = {name: cls for cls, name in KINDS.items() if issubclass(cls, sprat.MemberEvent)}
"""The class of each kind that can be selected."""

_STYLES = {
    "member-join": "green",
    "member-alive": "green",
    "member-update": "cyan",
    "member-leave": "blue",
    "member-suspect": "yellow",
    "member-failed": "bold red",
    "overflow": "bold red",
}


@click.command()
@click.option(
    "--event",
    "--kind",
    "kinds",
    multiple=True,
    metavar="KIND",
    help="Print only events of this kind, or of several kinds separated by commas; may be repeated."
    f" The kinds are {', '.join(_KINDS)}.",
)
@click.option(
    "--initial",
    is_flag=True,
    help="First print the current members, as member-join, sorted by name.",
)
@format_option
@connection_options(visits=True)
def monitor(kinds: tuple[str, ...], initial: bool, style: str, connection: Connection) -> None:
    """Print events as they happen, until Ctrl-C.

    The command joins the cluster and leaves it at the end. Once it has joined, it ends with exit
    code 0 on Ctrl-C, SIGTERM or SIGHUP, and when the reader of its output goes away. It prints no
    events about itself. A member-update shows what has changed: "weight: 10 -> 20, +new=1, -old=1".

    \b
      sprat monitor --join 10.0.0.5
      sprat monitor --join 10.0.0.5 --event member-failed,member-suspect
      sprat monitor --join 10.0.0.5 --initial --format json | jq -r .member.name

    JSON: one object per line with "time" (UTC), "event" and "member", which has the keys that
    `sprat members` prints. A "member-update" also has "before", the member as it was, or null if
    it was not known. An "overflow" has "lost" instead, the number of lost events; the events after
    it lead from the last known members to the present ones.
    """  # noqa: D301
    classes = _classes(kinds)
    show = _show_json if style == "json" else _Lines().show
    # A signal is the normal end, unless it comes before the join has finished.
    with visit(connection) as node, contextlib.suppress(Ended):
        # Unselected kinds are read, too: an update is compared with the last known record.
        events: sprat.Events[Any] = node.events(sprat.MemberEvent, sprat.Overflow, sprat.NodeFailed)
        _skip(events)
        members = node.members(state=None)
        known = KnownMembers(members)
        if initial:
            for member in members:
                if member.name != node.name and member.state in sprat.ALIVE_OR_SUSPECT:
                    show(sprat.MemberJoined(member, time=time.monotonic()), None)
        for batch in _batches(events):
            for event in _with_missed(batch, known, node):
                if isinstance(event, sprat.NodeFailed):
                    raise event.error
                if not isinstance(event, sprat.MemberEvent):
                    show(event, None)
                elif not known.is_repetition(event):
                    before = known.apply(event)
                    if event.member.name != node.name and isinstance(event, classes):
                        show(event, before)


def _classes(kinds: tuple[str, ...]) -> tuple[type[sprat.Event], ...]:
    names = [it.strip() for text in kinds for it in text.split(",")]
    for name in names:
        if name not in _KINDS:
            raise click.UsageError(f"--event must be one of {', '.join(_KINDS)}, got {name!r}")
    return tuple(_KINDS[name] for name in names or _KINDS)


def _skip(events: sprat.Events[sprat.Event]) -> None:
    """Discard the events that the join itself caused: the list of members includes their effect."""
    while events.next(0) is not None:
        pass


def _with_missed(
    batch: Iterable[sprat.Event], known: KnownMembers, node: sprat.Node
) -> Iterator[sprat.Event]:
    """Yield the events of a batch.

    If events were lost, those that the list of members shows follow, in place of the events about
    members behind the overflow: the list includes these, and is newer.
    """
    is_lossy = False
    for event in batch:
        is_lossy = is_lossy or isinstance(event, sprat.Overflow)
        if not (is_lossy and isinstance(event, sprat.MemberEvent)):
            yield event
    if is_lossy:
        yield from known.missed(node.members(state=None), time.monotonic())


def _batches(events: sprat.Events[sprat.Event]) -> Iterator[list[sprat.Event]]:
    """Yield the events that wait, again and again, until the reader of stdout is gone.

    A pipe reports the end of its reader only on a write or a poll. Without the poll,
    `sprat monitor | head` would never end in a quiet cluster.
    """
    poll = select.poll()
    poll.register(events.fileno(), select.POLLIN)
    stdout = sys.stdout.fileno()
    poll.register(stdout, 0)
    while True:
        batch = []
        while (event := events.next(0)) is not None:
            batch.append(event)
        yield batch
        if any(fd == stdout for fd, _ in poll.poll()):
            raise ReaderGone


def _show_json(event: sprat.Event, before: sprat.Member | None) -> None:
    fields: dict[str, Any] = {"time": _when(event).isoformat(timespec="milliseconds")}
    fields["event"] = event.kind
    if isinstance(event, sprat.MemberEvent):
        fields["member"] = member_fields(event.member)
        if isinstance(event, sprat.MemberUpdated):
            fields["before"] = None if before is None else member_fields(before)
    elif isinstance(event, sprat.Overflow):
        fields["lost"] = event.lost
    write(as_json(fields))


def _when(event: sprat.Event) -> datetime.datetime:
    """Return the wall-clock time of an event, whose own time is that of the monotonic clock."""
    ago = time.monotonic() - event.time
    return datetime.datetime.fromtimestamp(time.time() - ago, datetime.UTC)


class _Lines:
    """Prints a line per event for people, coloured on a terminal."""

    def __init__(self) -> None:
        from rich.text import Text

        self._text = Text
        self._out = console()

    def show(self, event: sprat.Event, before: sprat.Member | None) -> None:
        at = _when(event).astimezone().strftime("%H:%M:%S.%f")[:-3]
        if isinstance(event, sprat.MemberEvent):
            member = event.member
            rest = f"{clean(member.name)}  {member.address}  {tags_text(member.tags)}"
            if isinstance(event, sprat.MemberUpdated) and before is not None:
                rest += f"  ({differences(before, member)})"
        else:
            rest = f"{getattr(event, 'lost', 0)} events were lost"
        if not self._out.is_terminal:
            write(f"{at}  {event.kind:<14}  {rest}".rstrip())
            return
        line = self._text(f"{at}  ", style="dim")
        line.append(f"{event.kind:<14}", style=_STYLES.get(event.kind, ""))
        line.append(f"  {rest}", style="not dim")
        self._out.print(line, soft_wrap=True)
