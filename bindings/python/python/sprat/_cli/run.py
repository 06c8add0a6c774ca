"""`sprat run`: a permanent member that runs handlers on events."""

from __future__ import annotations

from collections.abc import Mapping

import click

from .handlers import parse_handlers
from .log import log_to_stderr
from .node import start
from .notify import Supervisor
from .options import Connection, Seconds, connection_options, parse_tags, seconds
from .service import Service, Timeouts
from .signals import signals_queue

__all__ = ["run"]


@click.command()
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", help="Tag of this member.")
@click.option(
    "--handler",
    "--event-handler",
    "handlers",
    multiple=True,
    metavar="[FILTER=]SCRIPT",
    help="Run SCRIPT on events, as serf agent -event-handler does; may be repeated.",
)
@click.option(
    "--coalesce",
    type=Seconds(),
    callback=seconds,
    default=3.0,
    show_default=True,
    help="Gather events for this many seconds before a handler runs, or until none arrives for a"
    " third of this time; 0 disables it.",
)
@click.option(
    "--handler-timeout",
    type=Seconds(),
    callback=seconds,
    default=0.0,
    help="Seconds after which a handler is terminated.  [default: no limit]",
)
@click.option(
    "--stop-timeout",
    type=Seconds(),
    callback=seconds,
    default=10.0,
    show_default=True,
    help="Seconds that a handler may still run after the leave.",
)
@click.option(
    "--ready-when-joined",
    is_flag=True,
    help="Report readiness only once another member is known.",
)
@click.option(
    "--ready-fd",
    "--notify-fd",
    "ready_fd",
    type=click.IntRange(min=3),
    metavar="N",
    help="Write a newline to descriptor N when ready, then close it (s6).",
)
@connection_options(visits=False)
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
    """Run a member until SIGTERM or Ctrl-C, then leave the cluster.

    The member retries the addresses of --join for as long as it runs, so it may be started before
    the members at these addresses. It logs to stderr.

    \b
      sprat run --join 10.0.0.5 --tag role=web --tag dc=ams
      sprat run --config /etc/sprat.conf --handler member-failed=/usr/local/bin/alert
      sprat run --join 10.0.0.5 --handler 'member-join,member-leave=update-haproxy'
      sprat run --join 10.0.0.5 --handler user:deploy=install --handler query:uptime=uptime

    Handlers: FILTER is a list of member-join, member-leave, member-failed, member-update,
    member-reap, user, user:NAME, query and query:NAME, or *; without FILTER, SCRIPT handles all
    events. /bin/sh -c runs SCRIPT. The environment of SCRIPT has SERF_EVENT, SERF_SELF_NAME,
    SERF_SELF_ROLE and, for each tag of this member, a variable such as SERF_TAG_DC. Its stdin has a
    line for each member of the event: name, address, role and tags, separated by tabs. For a user
    event or a query, stdin is the payload, and the environment has SERF_USER_EVENT and
    SERF_USER_LTIME, or SERF_QUERY_NAME and SERF_QUERY_LTIME. The output of SCRIPT for a query is
    the answer of this member, unless SCRIPT fails. Scripts run one at a time, in order. The member
    keeps working in the meantime, and a slow script gets several events of members in one call. The
    output of scripts is logged, and so are exit codes other than 0.

    Readiness: systemd (NOTIFY_SOCKET, Type=notify) and s6 (--ready-fd) are notified once the member
    listens, or with --ready-when-joined once it knows another member. SIGHUP reloads the tags from
    the file of --config; tags of --set and --tag override these. A second SIGTERM or Ctrl-C, at
    least a second after the first, ends the command without waiting.
    """  # noqa: D301
    supervisor = Supervisor(ready_fd)
    chosen = parse_handlers(handlers)
    own_tags = dict(parse_tags(tags))

    def configured_tags() -> Mapping[str, str]:
        return {**connection.tags(connection.file()), **own_tags}

    arguments = {"log_level": "info", **connection.arguments(connection.file())}
    arguments["tags"] = {**arguments["tags"], **own_tags}
    log_to_stderr(arguments["log_level"])
    timeouts = Timeouts(coalesce, handler_timeout, stop_timeout)
    # The queue of signals must exist before any other process can learn of the node. If the service
    # cannot begin, the `with` block of the node leaves the cluster; later, the service does so.
    with signals_queue() as inbox, start(arguments) as node:
        service = Service(
            node,
            inbox,
            chosen,
            timeouts,
            supervisor,
            configured_tags,
            ready_when_joined=ready_when_joined,
        )
        service.run()
