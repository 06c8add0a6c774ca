"""`sprat explain NAME`: why a member is in its state."""

from __future__ import annotations

import contextlib
from typing import Any

import click

import sprat

from .connect import Connection, connection_options, visit
from .output import (
    STATE_STYLES,
    as_json,
    clean,
    console,
    format_option,
    member_fields,
    tags_text,
    waiting,
    write,
)

__all__ = ["explain"]


@click.command()
@click.argument("member_name", metavar="NAME")
@format_option
@connection_options(looks=True)
def explain(member_name: str, style: str, connection: Connection) -> None:
    """Say why member NAME is in its state, and how this node sees the network.

    Joins the cluster, probes NAME at once, directly and through others, and leaves. So it says
    whether NAME answers *this host*, which may differ from what others see. If it does not, that
    counts as any probe: the cluster suspects NAME until it refutes. Exit code 1 if there is no such
    member; one that is suspected, failed or left before is not told to a newcomer, and is none.

    \b
      sprat explain web-3 --join 10.0.0.5
      sprat explain web-3 --join 10.0.0.5 --format json | jq .explanation.probe.rtt

    JSON: an object with "member" (the keys of `sprat members`), "explanation" (since, accuser,
    confirmations, confirmations_wanted, time_left, incarnation, and probe with ago, direct, stream,
    helpers, rtt) and "health" (score, score_max, live, known, isolated, datagrams_work,
    streams_work, summary). Times are in seconds.
    """  # noqa: D301
    with visit(connection) as node:
        member = node.member(member_name)
        if member is None:
            raise click.ClickException(
                f"there is no member {member_name!r}, or it was suspected, failed or left before"
                " this command came, which is not told to newcomers: ask a member that stays, with"
                " `serf members` or sprat.Node.explain()"
            )
        with waiting(f"probing {member_name}"):
            _ask(node, member_name, connection.timeout)
        member = node.member(member_name) or member
        explanation = node.explain(member_name)
        (_show_json if style == "json" else _show)(member, explanation, node.health())


_PROBES = 20


def _ask(node: sprat.Node, name: str, timeout: float) -> None:
    """Probe a member until it answered a datagram: a stream that was faster says less."""
    for _ in range(_PROBES):
        answers = False
        with contextlib.suppress(sprat.StateError, sprat.TimeoutError):
            # Not alive, the own one, or being asked already: then that is what there is to say.
            answers = node.hint(name, timeout=timeout)
        probe = node.explain(name).probe
        if not answers or probe is None or probe.direct is sprat.ProbeAnswer.ANSWERED:
            return


def _probe(probe: sprat.Probe | None) -> dict[str, Any] | None:
    """Give the probe as plain values."""
    if probe is None:
        return None
    return {
        "ago": probe.ago,
        "direct": str(probe.direct),
        "stream": str(probe.stream),
        "helpers": {name: str(answer) for name, answer in probe.helpers.items()},
        "rtt": probe.rtt,
    }


def _show_json(member: sprat.Member, explanation: sprat.Explanation, health: sprat.Health) -> None:
    fields = {
        "since": explanation.since,
        "accuser": explanation.accuser,
        "confirmations": list(explanation.confirmations),
        "confirmations_wanted": explanation.confirmations_wanted,
        "time_left": explanation.time_left,
        "incarnation": explanation.incarnation,
        "probe": _probe(explanation.probe),
    }
    told = {
        "member": member_fields(member),
        "explanation": fields,
        "health": health._asdict(),
    }
    write(as_json(told))


def _show(member: sprat.Member, explanation: sprat.Explanation, health: sprat.Health) -> None:
    from rich.text import Text

    state = str(member.state)
    lines = [
        ("member", f"{member.name}  {member.address}", ""),
        ("state", f"{state}, as far as this node knows for {_span(explanation.since)}", state),
    ]
    if explanation.accuser is not None:
        lines.append(
            ("accused by", ", ".join((explanation.accuser, *explanation.confirmations)), "")
        )
    if explanation.time_left is not None:
        lines.append(("fails in", _span(explanation.time_left), ""))
    lines.append(("last probe", _probe_text(explanation.probe), ""))
    if member.tags:
        lines.append(("tags", tags_text(member.tags), ""))
    score = f"score {health.score} of {health.score_max}"
    lines.append(("this node", f"{health.summary}, {score}, {health.live} members live", ""))
    out = console()
    for label, value, style in lines:
        text = Text(f"{label:<12}", style="bold" if out.is_terminal else "")
        text.append(clean(value), style=f"not bold {STATE_STYLES.get(style, '')}")
        if out.is_terminal:
            out.print(text, soft_wrap=True)
        else:
            write(text.plain)


def _probe_text(probe: sprat.Probe | None) -> str:
    told = _probe(probe)
    if probe is None or told is None:
        return "none"
    ways = {"datagram": told["direct"], "stream": told["stream"]}
    ways.update({f"through {name}": answer for name, answer in told["helpers"].items()})
    words = {"answered": "answered", "silent": "no answer", "nack": "it does not answer there"}
    results = [f"{way}: {words[answer]}" for way, answer in ways.items() if answer in words]
    rtt = "" if probe.rtt is None else f", round trip {_span(probe.rtt)}"
    return f"{_span(probe.ago)} ago: {', '.join(results) or 'under way'}{rtt}"


def _span(seconds: float) -> str:
    """Say a time as people do."""
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"
