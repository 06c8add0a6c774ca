"""`sprat keys list|install|use|remove`: the keys of the cluster, as with `serf keys`.

Changing keys takes a member, so the command visits the cluster. Its member is asked as well, but
the output leaves it out. The member must be able to talk to the others at each step: it holds the
key to install or to use from its start, because its keys do not outlast the command. It never
writes a keyring file, since the file belongs to the permanent member of this host.
"""

from __future__ import annotations

import binascii
import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

import sprat
from sprat._checks import check_key

from .options import WAITS_FOR_ANSWERS, Connection, answers_timeout, connection_options
from .output import as_json, clean, format_option, waiting, write
from .table import Row, print_table
from .visit import visit

__all__ = ["keys"]

_DONE = {
    "install": "have installed the key",
    "use": "encrypt with the key",
    "remove": "do not hold the key any more",
    "list": "have listed their keys",
}
"""How the report says that members have done what was asked."""

_SETTINGS = ("encrypt", "keyring_file")
"""Settings that give keys."""


def _key_of(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Return the key of an argument or, for "-", of standard input, in its usual form."""
    text = sys.stdin.buffer.read(1024).decode("ascii", "replace").strip() if value == "-" else value
    try:
        return _usual_form(text)
    except sprat.ConfigError as error:
        raise click.UsageError(str(error)) from None


_changed_key = click.argument("changed", metavar="KEY", callback=_key_of)
_options = connection_options(visits=True, waits_for=WAITS_FOR_ANSWERS)


@click.group()
def keys() -> None:
    """List or change the keys of the cluster, as `serf keys` does.

    A new key comes in three steps. Each must have succeeded at all members before the next one:
    a member that does not know the key with which the others encrypt can no longer talk to them.

    \b
      sprat keys list --join 10.0.0.5 --key-file old
      sprat keys install - --join 10.0.0.5 --key-file old < new
      sprat keys use - --join 10.0.0.5 --key-file old < new
      sprat keys remove - --join 10.0.0.5 --key-file new < old

    The file of --key-file, or the other options for keys, must have the key with which the members
    encrypt at the moment. KEY is in base64. Other users can see it, so prefer "-", which reads it
    from standard input.

    The exit code is 1 if a member reports an error or does not answer; then repeat the command,
    which is harmless. Members that have failed are not asked.
    """  # noqa: D301


@keys.command("list")
@format_option
@_options
def _list(style: str, connection: Connection) -> None:
    """List the keys that the members hold, and how many members hold each.

    \b
      sprat keys list --join 10.0.0.5 --key-file /etc/sprat.key

    JSON: an object with "asked", a number; "answered" and "missing", lists of names; "errors" and
    "remarks", texts by name; and "held_keys" and "primary_keys", numbers of members by key: those
    that hold it, and those that encrypt with it.
    """  # noqa: D301
    _ask("list", None, style, _with_own_keys(connection))


@keys.command("install")
@_changed_key
@format_option
@_options
def _install(changed: str, style: str, connection: Connection) -> None:
    """Let all members install KEY: they decrypt with it, but do not encrypt with it yet.

    \b
      sprat keys install - --join 10.0.0.5 --key-file /etc/sprat.key < new.key

    JSON: as `sprat keys list`, without the keys.
    """  # noqa: D301
    _ask("install", changed, style, _with_own_keys(connection, changed))


@keys.command("use")
@_changed_key
@format_option
@_options
def _use(changed: str, style: str, connection: Connection) -> None:
    """Let all members encrypt with KEY, which they must have installed before.

    The command first asks all members whether they hold the key. If one does not, it changes
    nothing.

    \b
      sprat keys use - --join 10.0.0.5 --key-file /etc/sprat.key < new.key

    JSON: as `sprat keys list`, without the keys.
    """  # noqa: D301
    _ask("use", changed, style, _with_own_keys(connection, changed))


@keys.command("remove")
@_changed_key
@format_option
@_options
def _remove(changed: str, style: str, connection: Connection) -> None:
    """Let all members remove KEY. They refuse to remove the key with which they encrypt.

    \b
      sprat keys remove - --join 10.0.0.5 --key-file new.key < /etc/sprat.key

    JSON: as `sprat keys list`, without the keys.
    """  # noqa: D301
    own = _with_own_keys(connection)
    if changed in own.keys[:1]:
        raise click.UsageError(
            "KEY is the key with which this command encrypts: let the members use another key, and"
            " give that one to this command, with --key-file for example"
        )
    _ask("remove", changed, style, own)


def _with_own_keys(connection: Connection, more: str | None = None) -> Connection:
    """Return a connection whose `keys` are all the keys of this command's member.

    They come from the options, the settings or a keyring file. If they are wrong, the connection
    stays as it is: the library explains what is wrong when the member starts.
    """
    given = connection.arguments(connection.file())
    found = [it for it in (given["keys"], *map(given.get, _SETTINGS)) if it]
    if not found:
        raise click.UsageError(
            "no key: give --key-file, --key or --keyring-file with the key of the cluster"
        )
    try:
        [only] = found
        own = [_usual_form(it) for it in _texts(only, given)]
    except (ValueError, OSError, sprat.ConfigError):
        return connection
    if more is not None and more not in own:
        own.append(more)
    others = tuple(it for it in connection.settings if it[0] not in _SETTINGS)
    return dataclasses.replace(connection, keys=tuple(own), keyring_file=None, settings=others)


def _texts(found: Any, given: Mapping[str, Any]) -> list[str]:
    """Return the keys of an option or a setting."""
    if found is given["keys"]:
        return list(found)
    if found is given.get("encrypt"):
        return [str(found)]
    texts = json.loads(Path(found).read_text(encoding="ascii"))
    if not isinstance(texts, list) or not all(isinstance(it, str) for it in texts) or not texts:
        raise ValueError("no list of keys")
    return texts


def _usual_form(key: str) -> str:
    """Return a key in the base64 of the reports, which may differ from that of a file."""
    return binascii.b2a_base64(check_key("KEY", key), newline=False).decode()


def _ask(action: str, key: str | None, style: str, connection: Connection) -> None:
    """Ask the members, and print the report. An incomplete report is an error."""
    with visit(connection) as node:
        if action == "use":
            _check_installed(node, str(key), connection)
        facts = _asked(node, action, key, connection)
        if style == "json":
            write(as_json({it: facts[it] for it in facts if action == "list" or "keys" not in it}))
        else:
            _print(action, facts)
    failed = len(facts["missing"]) + len(facts["errors"])
    if failed:
        raise click.ClickException(
            f"{failed} of {facts['asked']} members did not do it, failed or did not answer;"
            " repeat the command before you go on"
        )


def _asked(
    node: sprat.Node, action: str, key: str | None, connection: Connection
) -> dict[str, Any]:
    """Ask the members, and return what they have answered."""
    method = getattr(node.keyring, action)
    arguments = () if key is None else (key,)
    try:
        with waiting("waiting for the answers of the members"):
            report = method(*arguments, timeout=answers_timeout(connection))
    except sprat.KeyringError as error:
        report = error.report
    return _facts_about_others(report, node.name, connection.keys)


def _check_installed(node: sprat.Node, key: str, connection: Connection) -> None:
    """Refuse to let members use a key that some of them lack.

    This command's member encrypts with the key from then on, so a member that lacks it could not
    even read the question, and would count as failed. A member with very many keys cuts its list
    and says so in a remark; in this case nothing is refused.
    """
    facts = _asked(node, "list", None, connection)
    asked, held = facts["asked"], facts["held_keys"].get(key, 0)
    if held < asked and not facts["remarks"]:
        raise click.ClickException(
            f"{asked - held} of {asked} members do not list the key, or did not answer; let all of"
            " them install it first, with `sprat keys install`"
        )


def _facts_about_others(
    report: sprat.KeyReport, own_name: str, own_keys: tuple[str, ...]
) -> dict[str, Any]:
    """Return the fields of a report without the member of this command."""
    facts = report.to_dict()
    facts["asked"] -= 1
    answered = own_name in facts["answered"]
    for names in ("answered", "missing"):
        facts[names] = [it for it in facts[names] if it != own_name]
    for field, own in (("held_keys", own_keys), ("primary_keys", own_keys[:1])):
        counts = {it: n - (answered and it in own) for it, n in facts[field].items()}
        facts[field] = {it: n for it, n in counts.items() if n}
    return facts


def _print(action: str, facts: dict[str, Any]) -> None:
    """Print a report for people."""
    asked, primary = facts["asked"], facts["primary_keys"]
    if action == "list":
        rows: list[Row] = [
            ((key, f"{held} of {asked}"), [f"{primary.get(key, 0)} of {asked}"])
            for key, held in sorted(
                facts["held_keys"].items(), key=lambda it: -primary.get(it[0], 0)
            )
        ]
        print_table(("KEY", "HELD BY", "ENCRYPTS AT"), rows, styled="")
    for name, text in (facts["errors"] | facts["remarks"]).items():
        write(f"{clean(name)}: {clean(text)}")
    for name in facts["missing"]:
        write(f"{clean(name)}: no answer")
    done = len(facts["answered"]) - len(facts["errors"])
    if action != "list":
        write(f"{done} of {asked} members {_DONE[action]}")
