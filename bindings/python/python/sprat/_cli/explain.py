"""`sprat explain NAME`: explains why a member is in its state."""

from __future__ import annotations

import contextlib

import click

import sprat

from .options import Connection, connection_options
from .output import (
    STATE_STYLES,
    as_json,
    clean,
    console,
    format_option,
    member_fields,
    span,
    tags_text,
    waiting,
    write,
)
from .probe import probe_now
from .visit import addresses, visit

__all__ = ["explain"]


@click.command()
@click.argument("member_name", metavar="NAME")
@format_option
@connection_options(visits=True)
def explain(member_name: str, style: str, connection: Connection) -> None:
    """Explain why member NAME is in its state.

    The command joins the cluster, probes NAME directly and through other members, and leaves. The
    result shows whether NAME answers *this host*; other members may see something else. If NAME
    does not answer, the cluster suspects it, as after any failed probe, until NAME refutes the
    suspicion or is declared failed. The exit code is 1 if there is no such member, or if it was
    suspected, had failed or had left before the command joined.

    \b
      sprat explain web-3 --join 10.0.0.5
      sprat explain web-3 --join 10.0.0.5 --format json | jq .explanation.probe.rtt

    JSON: an object with "member" (the keys of `sprat members`), "explanation" (name, address,
    state, incarnation, since, accuser, confirmations, confirmations_wanted, time_left, text, and
    probe with ago, direct, stream, helpers, rtt) and "health", which describes how well this host
    sees the cluster (score, score_max, live, known, isolated, datagrams_work, streams_work,
    name_conflict, name_conflict_alive, summary). Times are in seconds.
    """  # noqa: D301
    with visit(connection) as node:
        member = node.member(member_name)
        if member is None:
            raise click.ClickException(_why_unknown(node, member_name, connection))
        with waiting(f"probing {member_name}"):
            probe_now(node, member_name, connection.timeout)
        member = node.member(member_name) or member
        explanation = node.explain(member_name)
        (_show_json if style == "json" else _show)(member, explanation, node.health())


def _why_unknown(node: sprat.Node, name: str, connection: Connection) -> str:
    """Return why this node does not know a member, after asking the cluster for its list."""
    text = f"this node does not know member {name!r}, and no member could be asked for its list"
    for address in addresses(connection, connection.file()):
        with contextlib.suppress(sprat.Error):
            listed = node.look(address, connection.timeout).get(name)
            if listed is not None:
                return (
                    f"{address} lists member {name!r} as {listed.state}, but not why; ask a"
                    " permanent member, with sprat.Node.explain()"
                )
            text = f"there is no member {name!r}"
    return text


def _show_json(member: sprat.Member, explanation: sprat.Explanation, health: sprat.Health) -> None:
    result = {
        "member": member_fields(member),
        "explanation": explanation.to_dict(),
        "health": health.to_dict(),
    }
    write(as_json(result))


def _show(member: sprat.Member, explanation: sprat.Explanation, health: sprat.Health) -> None:
    from rich.text import Text

    state = str(member.state)
    lines = [
        ("member", f"{member.name}  {member.address}", ""),
        ("state", f"{state} (known to this node for {span(explanation.since)})", state),
    ]
    if explanation.accuser is not None:
        lines.append(
            ("suspected by", ", ".join((explanation.accuser, *explanation.confirmations)), "")
        )
    if explanation.time_left is not None:
        lines.append(("fails in", span(explanation.time_left), ""))
    lines.append(("last probe", _probe_text(explanation.probe), ""))
    if member.tags:
        lines.append(("tags", tags_text(member.tags), ""))
    score = f"score {health.score} of {health.score_max}"
    lines.append(("this node", f"{health.summary}, {score}, {health.live} members live", ""))
    out = console()
    for label, value, style in lines:
        text = Text(f"{label:<14}", style="bold" if out.is_terminal else "")
        text.append(clean(value), style=f"not bold {STATE_STYLES.get(style, '')}")
        if out.is_terminal:
            out.print(text, soft_wrap=True)
        else:
            write(text.plain)


def _probe_text(probe: sprat.Probe | None) -> str:
    if probe is None:
        return "none yet"
    ways = {"datagram": probe.direct, "stream": probe.stream}
    ways.update({f"through {name}": answer for name, answer in probe.helpers.items()})
    words = {"answered": "answered", "silent": "no answer", "nack": "no answer there"}
    results = [f"{way}: {words[answer]}" for way, answer in ways.items() if answer in words]
    # A probe that this node gave up early has no result for any way.
    text = ", ".join(results) or "ended before an answer was due"
    # The last round trip may be that of an earlier probe.
    rtt = "" if probe.rtt is None else f"; last round trip {span(probe.rtt)}"
    return f"{span(probe.ago)} ago: {text}{rtt}"
