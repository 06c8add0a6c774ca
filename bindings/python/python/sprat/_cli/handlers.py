"""Event handlers as `serf agent -event-handler` has them: which there are, and what they get.

A handler is `SCRIPT` for all events, or `KIND[,KIND...]=SCRIPT`; a list makes one handler per kind.
The script learns of the event by its environment and by lines on its standard input, one for each
member. Scripts that were written for Serf run unchanged. Handlers of user events and queries are
refused, rather than never called.
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
"""The kinds of events of members that Serf knows, and its scripts expect."""


@dataclasses.dataclass(frozen=True)
class Handler:
    """A script, and the kind of events that it is for; "*" for all."""

    kind: str
    script: str

    def wants(self, kind: str) -> bool:
        """Whether it is for this kind."""
        return self.kind in ("*", kind)


def parse_handlers(texts: Iterable[str]) -> list[Handler]:
    """Read the handlers that options `[FILTER=]SCRIPT` ask for, in their order."""
    return [handler for text in texts for handler in _parse(text)]


def _parse(text: str) -> list[Handler]:
    # As Serf splits: at the first "=", also where a script without a filter has one.
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
            f"--handler {text!r}: handlers of user events and queries belong to a later version"
            f" of sprat; this one has {', '.join(KINDS)} and *"
        )
    raise click.UsageError(
        f"--handler {text!r}: {kind!r} is no kind of event, expected {', '.join(KINDS)} or *;"
        " for a script with = in it write '*=SCRIPT'"
    )


# What is told to a supervisor or is secret is not for scripts.
_PRIVATE = ("NOTIFY_SOCKET", "SPRAT_KEY")


def environment(kind: str, name: str, tags: Mapping[str, str]) -> dict[str, str]:
    """Make the environment of a script: the own one, the event, the own name and tags."""
    found = {key: value for key, value in os.environ.items() if key not in _PRIVATE}
    found["SERF_EVENT"] = kind
    found["SERF_SELF_NAME"] = name
    found["SERF_SELF_ROLE"] = tags.get("role", "")
    for key, value in tags.items():
        found[f"SERF_TAG_{_variable(key)}"] = value
    # A variable cannot hold it; a script without it is better than none.
    return {key: value.replace("\0", "") for key, value in found.items()}


def _variable(key: str) -> str:
    """Make a tag's name part of a variable's, as Serf does: one character for each."""
    upper = "".join(it.upper() if len(it.upper()) == 1 else it for it in key)
    return re.sub(r"[^A-Z0-9_]", "_", upper)


def stdin_lines(members: Iterable[sprat.Member]) -> bytes:
    """Write what a script reads: a line for each member, with its name, address, role and tags.

    As in Serf: only tabs and newlines are escaped, backslashes and commas are not. Serf gives the
    tags in any order, here they are sorted.
    """
    return "".join(_line(member) for member in members).encode("utf-8", "surrogateescape")


def _line(member: sprat.Member) -> str:
    tags = ",".join(f"{key}={value}" for key, value in sorted(member.tags.items()))
    role = member.tags.get("role", "")
    return "\t".join((_bare(member.name), member.host, _bare(role), _bare(tags))) + "\n"


def _bare(text: str) -> str:
    return text.replace("\t", "\\t").replace("\n", "\\n")
