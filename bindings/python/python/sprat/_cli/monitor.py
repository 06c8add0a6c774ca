"""`sprat monitor`: what happens, as it happens."""

from __future__ import annotations

import contextlib
import datetime
import select
import sys
import time
from collections.abc import Iterator
from typing import Any

import click

import sprat

from .connect import Connection, connection_options, visit
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

__all__ = ["monitor"]

_KINDS: dict[str, type[sprat.Event]] = {
    "member-join": sprat.MemberJoined,
    "member-update": sprat.MemberUpdated,
    "member-leave": sprat.MemberLeft,
    "member-failed": sprat.MemberFailed,
    "member-reap": sprat.MemberReaped,
    "member-suspect": sprat.MemberSuspected,
    "member-alive": sprat.MemberAlive,
}

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
    help=f"Only these: {', '.join(_KINDS)}; repeat it, or separate them with commas.",
)
@click.option("--initial", is_flag=True, help="First tell of those who are there, as member-join.")
@format_option
@connection_options(looks=True)
def monitor(kinds: tuple[str, ...], initial: bool, style: str, connection: Connection) -> None:
    """Print events as they happen, until Ctrl-C.

    Joins the cluster as a member that only looks, and leaves it at the end. It ends with exit code
    0 on Ctrl-C and SIGTERM, and when the reader of its output goes away. Of itself it says nothing.

    \b
      sprat monitor --join 10.0.0.5
      sprat monitor --join 10.0.0.5 --event member-failed,member-suspect
      sprat monitor --join 10.0.0.5 --initial --format json | jq -r .member.name

    JSON: one object per line with "time" (UTC), "event" and "member", which has the keys that
    `sprat members` prints. An "overflow" has "lost" instead: so many events were not read in time.
    """  # noqa: D301
    classes = (*_classes(kinds), sprat.Overflow, sprat.NodeFailed)
    show = _show_json if style == "json" else _Lines().show
    # A signal is the usual end of it, unless it comes before there was anything to watch.
    with visit(connection) as node, contextlib.suppress(Ended):
        events: sprat.Events[Any] = node.events(*classes)
        if not initial:
            _skip(events)
        for event in _watched(events):
            if isinstance(event, sprat.NodeFailed):
                raise event.error
            if not (isinstance(event, sprat.MemberEvent) and event.member.name == node.name):
                show(event)


def _classes(kinds: tuple[str, ...]) -> list[type[sprat.Event]]:
    names = [it.strip() for text in kinds for it in text.split(",")]
    for name in names:
        if name not in _KINDS:
            raise click.UsageError(f"--event is {name!r}, expected one of {', '.join(_KINDS)}")
    return [_KINDS[name] for name in names or _KINDS]


def _skip(events: sprat.Events[sprat.Event]) -> None:
    """Take what the join itself brought."""
    while events.next(0) is not None:
        pass


def _watched(events: sprat.Events[sprat.Event]) -> Iterator[sprat.Event]:
    """Give the events, until nobody reads stdout any more.

    A pipe tells that only to who writes, or to who asks: in a quiet cluster `sprat monitor | head`
    would else stay for ever.
    """
    poll = select.poll()
    poll.register(events.fileno(), select.POLLIN)
    stdout = sys.stdout.fileno()
    poll.register(stdout, 0)
    while True:
        while (event := events.next(0)) is not None:
            yield event
        if any(fd == stdout for fd, _ in poll.poll()):
            raise ReaderGone


def _show_json(event: sprat.Event) -> None:
    fields: dict[str, Any] = {"time": _when(event).isoformat(timespec="milliseconds")}
    fields["event"] = event.kind
    if isinstance(event, sprat.MemberEvent):
        fields["member"] = member_fields(event.member)
    elif isinstance(event, sprat.Overflow):
        fields["lost"] = event.lost
    write(as_json(fields))


def _when(event: sprat.Event) -> datetime.datetime:
    """When it was noticed. Events have the clock that never jumps, people the other."""
    ago = time.monotonic() - event.time
    return datetime.datetime.fromtimestamp(time.time() - ago, datetime.UTC)


class _Lines:
    """Lines for people, coloured on a terminal."""

    def __init__(self) -> None:
        from rich.text import Text

        self._text = Text
        self._out = console()

    def show(self, event: sprat.Event) -> None:
        at = _when(event).astimezone().strftime("%H:%M:%S.%f")[:-3]
        if isinstance(event, sprat.MemberEvent):
            member = event.member
            rest = f"{clean(member.name)}  {member.address}  {tags_text(member.tags)}"
        else:
            rest = f"{getattr(event, 'lost', 0)} events were lost"
        if not self._out.is_terminal:
            write(f"{at}  {event.kind:<14}  {rest}".rstrip())
            return
        line = self._text(f"{at}  ", style="dim")
        line.append(f"{event.kind:<14}", style=_STYLES.get(event.kind, ""))
        line.append(f"  {rest}", style="not dim")
        self._out.print(line, soft_wrap=True)
