"""`sprat members`: the list of members."""

from __future__ import annotations

import collections

import click

import sprat

from .options import Connection, connection_options, parse_tags
from .output import (
    as_json,
    clean,
    console,
    format_option,
    member_fields,
    tags_words,
    write,
)
from .table import Row, print_table
from .visit import visit

__all__ = ["members"]

_STATES = [state.value for state in sprat.MemberState]


@click.command()
@click.option(
    "--tag", "tags", multiple=True, metavar="KEY=VALUE", help="List only members with this tag."
)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([*_STATES, "all"]),
    help="List only members in this state; by default, in every state except left.",
)
@format_option
@connection_options(visits=True)
def members(
    tags: tuple[str, ...], states: tuple[str, ...], style: str, connection: Connection
) -> None:
    """List the members: name, address, state, tags.

    The command joins the cluster, lists its members and leaves. A newcomer only learns about
    members that are alive, not about those that were suspected, had failed or had left before. The
    command itself is not listed.

    \b
      sprat members --join 10.0.0.5
      sprat members --join 10.0.0.5 --tag role=web --tag dc=ams
      sprat members --join 10.0.0.5 --format json | jq -r '.members[].address'

    JSON: one object with "members", a list of objects with "name", "address", "host", "port",
    "state" (alive, suspect, failed, leaving, left) and "tags".
    """  # noqa: D301
    wanted = parse_tags(tags)
    chosen = set(states) or set(_STATES) - {"left"}
    with visit(connection) as node:
        found = [
            member
            for member in node.members(state=None)
            if member.name != node.name
            and ("all" in chosen or member.state in chosen)
            and all(member.tags.get(key) == value for key, value in wanted)
        ]
        _show(found, style)
    unknown = chosen & {"suspect", "failed", "left"}
    if not found and unknown and chosen == unknown:
        click.echo(
            "a newcomer does not learn about members that were suspected, failed or left before it"
            " joined: ask a member that stays, with `serf members` or sprat.Node.members()",
            err=True,
        )


def _show(found: list[sprat.Member], style: str) -> None:
    if style == "json":
        write(as_json({"members": [member_fields(it) for it in found]}))
        return
    rows = [_row(member) for member in found]
    print_table(("NAME", "ADDRESS", "STATE", "TAGS"), rows, styled="STATE")
    out = console()
    if out.is_terminal:
        counts = collections.Counter(str(member.state) for member in found)
        each = ", ".join(f"{counts[state]} {state}" for state in _STATES if counts[state])
        total = f"{len(found)} member" + ("" if len(found) == 1 else "s")
        out.print(f"{total}: {each}" if each else total, style="dim")


def _row(member: sprat.Member) -> Row:
    return (clean(member.name), member.address, str(member.state)), tags_words(member.tags)
