"""`sprat query NAME [PAYLOAD]`: asks members a question, and prints the answers as they come."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from typing import Any

import click

import sprat

from .options import (
    WAITS_FOR_ANSWERS,
    Connection,
    answers_timeout,
    connection_options,
    parse_tags,
)
from .output import as_json, clean, format_option, write
from .visit import visit

__all__ = ["query"]


@click.command()
@click.argument("query_name", metavar="NAME")
@click.argument("payload", default="")
@click.option(
    "--node",
    "nodes",
    multiple=True,
    metavar="NAME",
    help="Ask only the member with this name; may be repeated.",
)
@click.option(
    "--tag",
    "tags",
    multiple=True,
    metavar="KEY=REGEX",
    help="Ask only members whose tag matches this regular expression; may be repeated for other"
    " keys, for members that match all of them.",
)
@click.option("--no-ack", is_flag=True, help="Do not let members acknowledge the query.")
@click.option(
    "--relay-factor",
    type=click.IntRange(0, 255),
    default=0,
    show_default=True,
    metavar="N",
    help="Send each answer through this many other members as well; a sprat node uses at most 8.",
)
@format_option
@connection_options(visits=True, waits_for=WAITS_FOR_ANSWERS)
def query(
    query_name: str,
    payload: str,
    nodes: tuple[str, ...],
    tags: tuple[str, ...],
    no_ack: bool,
    relay_factor: int,
    style: str,
    connection: Connection,
) -> None:
    """Ask members the question NAME, and print acks and answers as they come.

    The command joins the cluster, asks, and leaves. Programs that use sprat, and the handlers of
    Serf agents, answer. The query ends as soon as every member that was asked has answered, failed
    or left, and at the latest after --timeout. As with `serf query`, the exit code is 0 even if
    answers are missing: a member without a handler for NAME never answers.

    The name _serf_ping without PAYLOAD asks the nodes themselves: each live member acknowledges it.

    \b
      sprat query uptime --join 10.0.0.5
      sprat query load '1 m' --join 10.0.0.5 --tag role=web --timeout 3
      sprat query uptime --join 10.0.0.5 --format json | jq -r 'select(.payload).payload'

    JSON: one object per line with "event". An "ack" has "member"; a "response" has "member",
    "payload" (as text; bytes that are not UTF-8 are escaped) and "payload_base64" (exact); the last
    line, "end", has the numbers "acks" and "responses", "complete", which is true if no ack or
    answer is missing, and "missing", the names of the members whose ack or answer is missing.
    """  # noqa: D301
    pairs = parse_tags(tags)
    wanted = dict(pairs)
    if len(wanted) < len(pairs):
        raise click.UsageError(f"--tag must name each key once, got {', '.join(tags)}")
    report = _Json() if style == "json" else _Text()
    with visit(connection) as node:
        own = node.events(sprat.Query)
        try:
            result = node.query(
                query_name,
                os.fsencode(payload),
                timeout=answers_timeout(connection),
                nodes=nodes,
                tags=wanted,
                ack=not no_ack,
                relay_factor=relay_factor,
            )
        except (sprat.InvalidError, sprat.TooLargeError) as error:
            raise click.UsageError(str(error)) from None
        with result:
            acks = responses = 0
            for it in _incoming(node, own, result):
                if isinstance(it, sprat.Response):
                    responses += 1
                    report.response(it)
                else:
                    acks += 1
                    report.ack(it)
        report.end(acks, responses, result)


def _incoming(
    node: sprat.Node, own: sprat.Events[sprat.Query], result: sprat.QueryResult
) -> Iterator[str | sprat.Response]:
    """Yield the names of members that acknowledge, and answers, in the order in which they come.

    A query also asks this node. Its answer, which only lets the query end, is not yielded.
    """
    poll = select.poll()
    for reader in (own, result):
        poll.register(reader.fileno(), select.POLLIN)
    shown = 0
    while True:
        while (asked := own.next(0)) is not None:
            if asked.asker == node.name:
                asked.respond(b"")
        response = result.next(0)
        acks, shown = result.acks[shown:], len(result.acks)
        yield from (member for member in acks if member != node.name)
        if response is None:
            if result.complete or result.problem:
                return
            poll.poll()
        elif response.member != node.name:
            yield response


class _Text:
    """Prints lines for people."""

    def ack(self, member: str) -> None:
        write(f"ack from {clean(member)}")

    def response(self, response: sprat.Response) -> None:
        text = response.payload.decode(errors="backslashreplace").removesuffix("\n")
        first, *others = text.split("\n")
        write(f"response from {clean(response.member)}: {clean(first)}")
        for line in others:
            write(f"    {clean(line)}")

    def end(self, acks: int, responses: int, result: sprat.QueryResult) -> None:
        write(f"acks: {acks}, responses: {responses}")
        if result.problem:
            write(clean(result.problem))


class _Json:
    """Prints an object per line for programs."""

    def ack(self, member: str) -> None:
        self._write("ack", member=member)

    def response(self, response: sprat.Response) -> None:
        fields = response.to_dict()
        shown = {name: fields[name] for name in ("member", "payload", "payload_base64")}
        self._write("response", **shown)

    def end(self, acks: int, responses: int, result: sprat.QueryResult) -> None:
        counts = {"acks": acks, "responses": responses}
        self._write("end", **counts, complete=result.complete, missing=result.missing)

    def _write(self, event: str, **fields: Any) -> None:
        write(as_json({"event": event, **fields}))
