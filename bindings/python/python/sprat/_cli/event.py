"""`sprat event NAME [PAYLOAD]`: sends a user event to every member."""

from __future__ import annotations

import logging
import os
import time

import click

import sprat

from .options import Connection, connection_options
from .output import waiting, write
from .visit import visit

__all__ = ["event"]

_log = logging.getLogger("sprat.cli")

_CHECK_INTERVAL = 0.02
"""Seconds between two checks of the messages that wait to be gossiped."""


@click.command()
@click.argument("event_name", metavar="NAME")
@click.argument("payload", default="")
@click.option(
    "--coalesce/--no-coalesce",
    default=True,
    show_default=True,
    help="Let agents that get several events with this name within a few seconds handle only the"
    " last one.",
)
@connection_options(visits=True, waits_for="the join, and then for the gossip of the event")
def event(event_name: str, payload: str, coalesce: bool, connection: Connection) -> None:
    """Send the user event NAME to every member, as `serf event` does.

    The command joins the cluster, sends the event, gossips until it has sent the event as often as
    gossip requires, and leaves. Programs that use sprat, and the handlers of Serf agents, get
    NAME and PAYLOAD. No member confirms that it has the event; a member that misses the gossip
    usually gets the event from another member within half a minute. To learn who got a message, use
    `sprat query`.

    \b
      sprat event deploy v2 --join 10.0.0.5
    """  # noqa: D301
    with visit(connection) as node:
        try:
            node.send_event(event_name, os.fsencode(payload), coalesce)
        except (sprat.InvalidError, sprat.TooLargeError) as error:
            raise click.UsageError(str(error)) from None
        with waiting(f"gossiping {event_name}"):
            _gossip(node, event_name, connection.timeout)
        write(f"event {event_name!r} sent to {_others(node)}")


def _gossip(node: sprat.Node, name: str, timeout: float) -> None:
    """Wait until no message waits to be gossiped, so that the leave does not cut the event off."""
    until = time.monotonic() + timeout
    while node.stats()["queue_len"]:
        if time.monotonic() > until:
            _log.warning(
                "messages still wait to be gossiped after %g s: members may miss the event %r",
                timeout,
                name,
            )
            return
        time.sleep(_CHECK_INTERVAL)


def _others(node: sprat.Node) -> str:
    count = len(node.members()) - 1
    return f"{count} member" + ("" if count == 1 else "s")
