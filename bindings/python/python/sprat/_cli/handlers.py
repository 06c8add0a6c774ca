"""Event handlers like those of `serf agent -event-handler`: their options and their input.

An option is `SCRIPT`, for all events, or `KIND[,KIND...]=SCRIPT`, which makes a handler per kind.
The environment of the script describes the event, and its standard input has a line per member.
Scripts that were written for Serf run unchanged, but a handler for user events or queries is
refused, since it would never be called.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Mapping

import click

import sprat

__all__ = ["KINDS", "Handler", "environment", "parse_handlers", "stdin_lines"]

KINDS = ("member-join", "member-leave", "member-failed", "member-update", "member-reap")
"""The kinds of member events that Serf has, and that scripts for it expect."""


@dataclasses.dataclass(frozen=True)
class Handler:
    """A script and the kind of event it handles; "*" stands for all kinds."""

    kind: str
    script: str

    def wants(self, kind: str) -> bool:
        """Return true if this handler runs for this kind of event."""
        return self.kind in ("*", kind)


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
    return [Handler(_kind(it, text), script) for it in (filters or "*").split(",")]


def _kind(kind: str, text: str) -> str:
    if kind == "*" or kind in KINDS:
        return kind
    if kind.split(":")[0] in ("user", "query"):
        raise click.UsageError(
            f"--handler {text!r}: user events and queries are not supported yet;"
            f" the kinds are {', '.join(KINDS)} and *"
        )
    raise click.UsageError(
        f"--handler {text!r}: the kind must be one of {', '.join(KINDS)} or *, got {kind!r};"
        " for a script that contains =, write '*=SCRIPT'"
    )


_PRIVATE = ("NOTIFY_SOCKET", "SPRAT_KEY")
"""Variables that scripts do not get: the supervisor's socket, and a secret."""


def environment(kind: str, name: str, tags: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a script: that of this process, and variables for the event.

    `name` and `tags` are those of the local node.
    """
    found = {key: value for key, value in os.environ.items() if key not in _PRIVATE}
    found["SERF_EVENT"] = kind
    found["SERF_SELF_NAME"] = name
    found["SERF_SELF_ROLE"] = tags.get("role", "")
    for key, value in tags.items():
        found[f"SERF_TAG_{_variable(key)}"] = value
    # A variable cannot hold a NUL character, so values lose it. Otherwise no script could run.
    return {key: value.replace("\0", "") for key, value in found.items()}


def _variable(key: str) -> str:
    """Return the key of a tag as a part of a variable's name, converted as Serf converts it."""
    upper = "".join(it.upper() if len(it.upper()) == 1 else it for it in key)
    return re.sub(r"[^A-Z0-9_]", "_", upper)


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
