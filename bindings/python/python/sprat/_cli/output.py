r"""Output of the commands: tables and lines of text for people, JSON for programs.

Names and tags come from the network, so their unprintable characters are escaped: an escape
sequence in a name shows as `\x1b[2J`. JSON is plain ASCII for the same reason. A table folds its
last column to the width of the terminal; in a file or a pipe, nothing is folded. Colours appear
only on a terminal, and only if NO_COLOR is not set.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TextIO

import click

import sprat
from sprat._text import printable as clean

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "STATE_STYLES",
    "ReaderGone",
    "as_json",
    "clean",
    "console",
    "format_option",
    "member_fields",
    "one_line",
    "quoted",
    "span",
    "tags_text",
    "tags_words",
    "waiting",
    "write",
]

format_option = click.option(
    "--format",
    "style",
    type=click.Choice(["text", "json"]),
    default="text",
    envvar="SPRAT_FORMAT",
    show_default=True,
    show_envvar=True,
    help="Text for people, or JSON for programs.",
)

STATE_STYLES = {
    "alive": "green",
    "suspect": "yellow",
    "failed": "bold red",
    "leaving": "cyan",
    "left": "dim",
}

_UNLIMITED = 1 << 20


def one_line(text: str) -> str:
    """Return a message as one printable line."""
    return clean(" ".join(text.split()))


def tags_text(tags: Mapping[str, str]) -> str:
    """Return tags as Serf writes them, `k=v,k=v`; an ambiguous key or value is quoted."""
    return ",".join(tags_words(tags))


def tags_words(tags: Mapping[str, str]) -> list[str]:
    """Return a word `k=v` for each tag."""
    return [f"{quoted(key)}={quoted(value)}" for key, value in sorted(tags.items())]


def quoted(text: str) -> str:
    """Return a key or a value of a tag, in quotes if it is ambiguous."""
    ambiguous = any(it in text for it in ',="') or text != text.strip()
    return clean(json.dumps(text, ensure_ascii=False) if ambiguous else text)


def span(seconds: float) -> str:
    """Format a duration for people."""
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"


def as_json(value: object) -> str:
    """Return one line of JSON in ASCII, so that C1 control characters are escaped, too."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def member_fields(member: sprat.Member) -> dict[str, Any]:
    """Return a member as the JSON output shows it. The keys are documented and do not change."""
    return {
        "name": member.name,
        "address": member.address,
        "host": member.host,
        "port": member.port,
        "state": str(member.state),
        "tags": dict(sorted(member.tags.items())),
    }


class ReaderGone(Exception):  # noqa: N818 - not an error
    """The reader of the output has gone away."""


def write(line: str) -> None:
    """Write a line to stdout and flush it, so that its reader sees it at once."""
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise ReaderGone from None
    except OSError as error:
        raise click.ClickException(f"standard output: {error.strerror}") from None


def console(stream: TextIO | None = None) -> Console:
    """Make a console that uses colours only on a terminal."""
    from rich.console import Console

    out: TextIO = stream or sys.stdout
    terminal = out.isatty()
    plain = not terminal or bool(os.environ.get("NO_COLOR"))
    return Console(
        file=out,
        force_terminal=terminal,
        color_system=None if plain else "auto",
        width=None if terminal else _UNLIMITED,
        highlight=False,
        markup=False,
        emoji=False,
    )


@contextlib.contextmanager
def waiting(text: str) -> Iterator[None]:
    """Show on stderr that the command is waiting, if stderr is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.text import Text

    with console(sys.stderr).status(Text(clean(text))):
        yield
