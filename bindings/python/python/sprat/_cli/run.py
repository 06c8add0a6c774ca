"""`sprat run`: a member that stays, with event handlers."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import click

from .connect import Connection, connection_options, parse_tags, seconds, start, tags_of
from .handlers import parse_handlers
from .log import log_to_stderr
from .notify import Supervisor
from .service import Service, Waits
from .signals import noted

__all__ = ["run"]


@click.command()
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", help="Tag of this member.")
@click.option(
    "--handler",
    "--event-handler",
    "handlers",
    multiple=True,
    metavar="[FILTER=]SCRIPT",
    help="Run SCRIPT on events, as serf agent -event-handler does.",
)
@click.option(
    "--coalesce",
    type=float,
    callback=seconds,
    default=3.0,
    show_default=True,
    help="Gather events for handlers so long, or for a third of it without a new one; 0: never.",
)
@click.option(
    "--handler-timeout",
    type=float,
    callback=seconds,
    default=0.0,
    help="End a handler after so many seconds.  [default: never]",
)
@click.option(
    "--stop-timeout",
    type=float,
    callback=seconds,
    default=10.0,
    show_default=True,
    help="Seconds for a handler that still runs after the leave.",
)
@click.option("--ready-when-joined", is_flag=True, help="Be ready when another member is there.")
@click.option(
    "--ready-fd",
    "--notify-fd",
    "ready_fd",
    type=click.IntRange(min=3),
    metavar="N",
    help="Write a newline to descriptor N when ready, and close it (s6).",
)
@connection_options(looks=False)
def run(
    tags: tuple[str, ...],
    handlers: tuple[str, ...],
    coalesce: float,
    handler_timeout: float,
    stop_timeout: float,
    ready_when_joined: bool,
    ready_fd: int | None,
    connection: Connection,
) -> None:
    """Be a member until SIGTERM or Ctrl-C, then leave the cluster.

    It listens to UDP and TCP, joins, and asks the addresses of --join again for as long as it
    lives, so it may be started before they are. It logs to stderr.

    \b
      sprat run --join 10.0.0.5 --tag role=web --tag dc=ams
      sprat run --config /etc/sprat.conf --handler member-failed=/usr/local/bin/alert
      sprat run --join 10.0.0.5 --handler 'member-join,member-leave=update-haproxy'

    Handlers: FILTER is a list of member-join, member-leave, member-failed, member-update,
    member-reap, or *; without it, all. SCRIPT runs with /bin/sh -c, and gets SERF_EVENT,
    SERF_SELF_NAME, SERF_SELF_ROLE, SERF_TAG_KEY for each own tag, and on stdin a line for each
    member: name, address, role, tags, separated by tabs. Scripts run one at a time, in order; the
    member goes on meanwhile, and a script that is slow gets several events in one call. Output
    and exit codes that are not 0 go to the log. User events and queries come in a later version.

    Ready: systemd (NOTIFY_SOCKET, Type=notify) and s6 (--ready-fd) are told when it listens, or,
    with --ready-when-joined, when it has met another member. SIGHUP reads the tags in the file of
    --config again; those of --tag win. SIGTERM or Ctrl-C a second later ends it without waiting.
    """  # noqa: D301
    supervisor = Supervisor(ready_fd)
    chosen = parse_handlers(handlers)
    own_tags = dict(parse_tags(tags))

    def configured_tags() -> Mapping[str, str]:
        return {**tags_of(connection.file()), **own_tags}

    arguments = {"log_level": "info", **connection.arguments(connection.file())}
    arguments["tags"] = {**arguments["tags"], **own_tags}
    log_to_stderr(arguments["log_level"])
    waits = Waits(coalesce, handler_timeout, stop_timeout)
    # Signals are noted before the node can be known to anybody.
    with noted() as inbox, contextlib.closing(start(arguments)) as node:
        service = Service(
            node,
            inbox,
            chosen,
            waits,
            supervisor,
            configured_tags,
            ready_when_joined=ready_when_joined,
        )
        service.run()
