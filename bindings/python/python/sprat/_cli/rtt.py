"""`sprat rtt A [B]`: the round-trip time between this host and a member, or between two members."""

from __future__ import annotations

import click

import sprat

from .options import Connection, connection_options
from .output import as_json, clean, format_option, span, waiting, write
from .probe import probe_now
from .visit import visit

__all__ = ["rtt"]


@click.command()
@click.argument("a")
@click.argument("b", required=False)
@format_option
@connection_options(visits=True, waits_for="the join, and for each probe")
def rtt(a: str, b: str | None, style: str, connection: Connection) -> None:
    """Print the round-trip time between this host and member A, or between members A and B.

    The command joins the cluster, probes the members, and leaves. Without B, it prints the time
    that the answer of A took. With B, it prints an estimate from the network coordinates that A and
    B send with their answers, as `serf rtt` does: the two need not have measured it. If a member
    does not answer, the cluster suspects it, as after any failed probe.

    \b
      sprat rtt web-3 --join 10.0.0.5
      sprat rtt web-3 web-4 --join 10.0.0.5

    JSON: an object with "a", "b" (null without B), "rtt" in seconds, and "measured", which is false
    for an estimate.
    """  # noqa: D301
    with visit(connection) as node:
        for name in filter(None, (a, b)):
            with waiting(f"probing {name}"):
                _probe(node, name, connection.timeout)
        seconds = _measured(node, a) if b is None else _estimated(node, a, b)
        if style == "json":
            write(as_json({"a": a, "b": b, "rtt": seconds, "measured": b is None}))
        elif b is None:
            write(f"this host to {clean(a)}: {span(seconds)}, measured")
        else:
            write(f"{clean(a)} to {clean(b)}: {span(seconds)}, estimated")


def _probe(node: sprat.Node, name: str, timeout: float) -> None:
    if name not in node.members():
        raise click.ClickException(f"there is no live member {name!r}")
    probe_now(node, name, timeout)


def _measured(node: sprat.Node, name: str) -> float:
    probe = node.explain(name).probe
    if probe is None or probe.rtt is None:
        raise click.ClickException(f"member {name!r} does not answer pings from this host")
    return probe.rtt


def _estimated(node: sprat.Node, a: str, b: str) -> float:
    for name in (a, b):
        try:
            node.coordinate(name)
        except sprat.UnknownMemberError:
            raise click.ClickException(
                f"member {name!r} has sent no coordinate: it does not answer pings from this host,"
                " or its coordinates are switched off"
            ) from None
    return node.rtt(a, b)
