"""`sprat members`: the list of members."""

from __future__ import annotations

import collections

import click

import sprat

from .look import look
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
@connection_options(visits=True, joins=False, waits_for="the answer")
def members(
    tags: tuple[str, ...], states: tuple[str, ...], style: str, connection: Connection
) -> None:
    """List the members: name, address, state, tags.

    The command asks a member for its list, and does not join the cluster: no member learns of it.
    If several addresses are given, the first answer counts. Some time after a member has
    failed or left (half a minute by default), the others forget its address and tags; after about a
    day they forget its name. In between, the address is "-".

    \b
      sprat members --join 10.0.0.5
      sprat members --join 10.0.0.5 --tag role=web --tag dc=ams
      sprat members --join 10.0.0.5 --format json | jq -r '.members[].address'

    JSON: one object with "members", a list of objects with "name", "address", "host", "port",
    "state" (alive, suspect, failed, leaving, left) and "tags". An unknown address is "0.0.0.0:0".
    """  # noqa: D301
    wanted = parse_tags(tags)
    chosen = set(states) or set(_STATES) - {"left"}
    found = [
        member
        for member in look(connection)
        if ("all" in chosen or member.state in chosen)
        and all(member.tags.get(key) == value for key, value in wanted)
    ]
    _show(found, style)


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
    address = member.address if member.port else "-"
    return (clean(member.name), address, str(member.state)), tags_words(member.tags)
