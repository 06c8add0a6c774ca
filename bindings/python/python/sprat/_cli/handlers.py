"""Event handlers like those of `serf agent -event-handler`: their options and their input.

An option is `SCRIPT`, for all events, or `FILTER=SCRIPT`. FILTER is a list of kinds, separated by
commas; each of them makes a handler. The kinds `user:NAME` and `query:NAME` select user events and
queries by their name. The environment of the script describes the event. Its standard input has a
line per member, or the payload of a user event or query. The output of a script that handles a
query is the answer. Scripts that were written for Serf run unchanged.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Mapping

import click

import sprat

__all__ = [
    "MEMBER_KINDS",
    "Call",
    "Handler",
    "environment",
    "member_call",
    "message_call",
    "parse_handlers",
    "stdin_lines",
]

MEMBER_KINDS = ("member-join", "member-leave", "member-failed", "member-update", "member-reap")
"""The kinds of member events that Serf has, and that scripts for it expect."""

_MESSAGE_KINDS = ("user", "query")
"""The kinds of events that have a name."""

_ALLOWED = f"{', '.join(MEMBER_KINDS)}, user, user:NAME, query, query:NAME"


@dataclasses.dataclass(frozen=True)
class Call:
    """An event as the handlers get it. Several events of members make one call."""

    kind: str
    stdin: bytes
    name: str = ""
    """The name of the user event or query."""
    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """The variables for this event, besides those that every script gets."""
    query: sprat.Query | None = None
    """The query that the output of a script answers."""


@dataclasses.dataclass(frozen=True)
class Handler:
    """A script and the events it handles; the kind "*" stands for all of them."""

    kind: str
    script: str
    name: str = ""
    """The name of the user events or queries to handle; empty for every name."""

    def wants(self, kind: str, name: str = "") -> bool:
        """Return true if this handler runs for an event of this kind and name."""
        return self.kind in ("*", kind) and self.name in ("", name)


def parse_handlers(texts: Iterable[str]) -> list[Handler]:
    """Parse options of the form `[FILTER=]SCRIPT` into handlers, in their order."""
    return [handler for text in texts for handler in _parse(text)]


def _parse(text: str) -> list[Handler]:
    # Serf splits at the first "=", even if it belongs to a script without a filter.
    filters, equals, script = text.partition("=")
    if not equals:
        filters, script = "*", text
    if not script:
        raise click.UsageError(f"--handler {text!r} has no script")
    return [_handler(it, script, text) for it in (filters or "*").split(",")]


def _handler(words: str, script: str, text: str) -> Handler:
    kind, _, name = words.partition(":")
    if words in ("*", *MEMBER_KINDS) or kind in _MESSAGE_KINDS:
        return Handler(kind, script, name)
    raise click.UsageError(
        f"--handler {text!r}: the kind must be one of {_ALLOWED} or *, got {words!r};"
        " for a script that contains =, write '*=SCRIPT'"
    )


_PRIVATE = ("NOTIFY_SOCKET", "SPRAT_KEY")
"""Variables that scripts do not get: the supervisor's socket, and a secret."""


def environment(call: Call, name: str, tags: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a script: that of this process, and variables for the event.

    `name` and `tags` are those of the local node.
    """
    found = {key: value for key, value in os.environ.items() if key not in _PRIVATE}
    found["SERF_EVENT"] = call.kind
    found["SERF_SELF_NAME"] = name
    found["SERF_SELF_ROLE"] = tags.get("role", "")
    for key, value in tags.items():
        found[f"SERF_TAG_{_variable(key)}"] = value
    found.update(call.variables)
    # A variable cannot hold a NUL character, so values lose it. Otherwise no script could run.
    return {key: value.replace("\0", "") for key, value in found.items()}


def _variable(key: str) -> str:
    """Return the key of a tag as a part of a variable's name, converted as Serf converts it."""
    upper = "".join(it.upper() if len(it.upper()) == 1 else it for it in key)
    return re.sub(r"[^A-Z0-9_]", "_", upper)


def member_call(kind: str, members: Iterable[sprat.Member]) -> Call:
    """Return the call for events of one kind about these members."""
    return Call(kind, stdin_lines(members))


def message_call(event: sprat.UserEvent | sprat.Query) -> Call:
    """Return the call for a user event or a query. As in Serf, a line feed ends its payload."""
    ends = event.payload.endswith(b"\n") or not event.payload
    stdin = event.payload if ends else event.payload + b"\n"
    if isinstance(event, sprat.Query):
        variables = {"SERF_QUERY_NAME": event.name, "SERF_QUERY_LTIME": str(event.ltime)}
        return Call(event.kind, stdin, event.name, variables, event)
    variables = {"SERF_USER_EVENT": event.name, "SERF_USER_LTIME": str(event.ltime)}
    return Call(event.kind, stdin, event.name, variables)


def stdin_lines(members: Iterable[sprat.Member]) -> bytes:
    """Return the input of a script: a line per member with its name, address, role and tags.

    As in Serf, only tabs and newlines are escaped, not backslashes or commas. Serf writes the tags
    in any order; here they are sorted.
    """
    return "".join(_line(member) for member in members).encode("utf-8", "surrogateescape")


def _line(member: sprat.Member) -> str:
    tags = ",".join(f"{key}={value}" for key, value in sorted(member.tags.items()))
    role = member.tags.get("role", "")
    return "\t".join((_escaped(member.name), member.host, _escaped(role), _escaped(tags))) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\t", "\\t").replace("\n", "\\n")
