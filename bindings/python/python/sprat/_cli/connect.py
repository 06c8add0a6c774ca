"""How commands reach the cluster: the options they share, and a visit to it.

A command that only looks is a member for a few seconds. Agents remember members that left for a
day, and a monitoring job runs thousands of times a day: so all visits from one host share a few
names. Each takes the first name that no other visit from this host has at the moment,
`sprat-cli-HOST`, `sprat-cli-HOST-2` and so on; an agent thus remembers one entry per host, not
one per run. The tag `role=sprat-cli` lets handlers and dashboards pass over it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

import sprat
from sprat._native import settings_of
from sprat._settings import checked_key

from .log import log_to_stderr
from .output import waiting
from .signals import Raiser, raised

__all__ = [
    "Connection",
    "connection_options",
    "parse_tags",
    "say_goodbye",
    "seconds",
    "start",
    "tags_of",
    "visit",
]

F = TypeVar("F", bound=Callable[..., Any])

_log = logging.getLogger("sprat.cli")

LEAVE_TIMEOUT = 12.0
"""Seconds for a leave: two broadcasts of at most five seconds each, and a moment to linger."""

_SLOTS = 32

_DAY = 86400

# What a visitor does not take from the file of a daemon: who that daemon is.
_IDENTITY = ("name", "bind", "advertise", "seeds", "event_kinds")


@dataclasses.dataclass(frozen=True)
class Connection:
    """What the shared options say."""

    join: tuple[str, ...] = ()
    name: str | None = None
    bind: str | None = None
    advertise: str | None = None
    config: str | None = None
    keys: tuple[str, ...] = ()
    keyring_file: str | None = None
    profile: str | None = None
    log_level: str | None = None
    timeout: float = 10.0
    settings: tuple[tuple[str, str], ...] = ()

    def file(self) -> dict[str, str]:
        """Read the settings of the file, without keys if the options have some."""
        read = {} if self.config is None else read_config(self.config)
        if self.keys or self.keyring_file:
            read = {key: it for key, it in read.items() if key not in ("encrypt", "keyring_file")}
        return read

    def arguments(self, file: Mapping[str, str]) -> dict[str, Any]:
        """Arguments for `sprat.Node`: those of the file, under those of the options."""
        options = {
            "name": self.name,
            "bind": self.bind,
            "advertise": self.advertise,
            "keyring_file": self.keyring_file,
            "profile": self.profile,
            "log_level": self.log_level,
        }
        given = {key: value for key, value in options.items() if value is not None}
        plain = {key: it for key, it in file.items() if not key.startswith(_TAG)}
        found: dict[str, Any] = {**plain, **dict(self.settings), **given}
        if self.join or "seeds" in found:
            found["seeds"] = list(self.join) or _several(found["seeds"])
        return {**found, "keys": self.keys, "tags": tags_of(file)}


_TAG = "tag."


def _several(text: str) -> list[str]:
    """Split a list with commas."""
    return [it.strip() for it in text.split(",") if it.strip()]


def tags_of(file: Mapping[str, str]) -> dict[str, str]:
    """Pick the tags out of the settings of a file."""
    return {key[len(_TAG) :]: it for key, it in file.items() if key.startswith(_TAG)}


def read_config(path: str) -> dict[str, str]:
    """Read the settings of a file, as `sprat.Node.from_file` reads them."""
    try:
        return dict(settings_of(path))
    except sprat.Error as error:
        raise click.UsageError(str(error)) from None


def parse_tags(texts: tuple[str, ...]) -> list[tuple[str, str]]:
    """Pairs from texts `KEY=VALUE`."""
    return [_pair("--tag", text) for text in texts]


def _pair(option: str, text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise click.UsageError(f"{option} is {text!r}, expected KEY=VALUE")
    return key, value


def _setting(text: str) -> tuple[str, str]:
    key, value = _pair("--set", text)
    if key == "seeds":
        raise click.UsageError(f"--set is {text!r}, but addresses to join are those of --join")
    return key, value


def seconds(context: click.Context, parameter: click.Parameter, value: float) -> float:
    """Check a time: at most a day."""
    if not 0 <= value <= _DAY:
        message = f"{value:g}, allowed are seconds from 0 to {_DAY}"
        raise click.BadParameter(message, context, parameter)
    return value


def _more_than_none(context: click.Context, parameter: click.Parameter, value: float) -> float:
    if value == 0:
        raise click.BadParameter("0, allowed is more", context, parameter)
    return seconds(context, parameter, value)


# The options


def _option(*names: str, **attributes: Any) -> Callable[[F], F]:
    """Make an option that may stand in the environment."""
    long = max(names, key=len)
    env = "SPRAT_" + long.strip("-").replace("-", "_").upper()
    return click.option(*names, envvar=env, show_envvar=True, **attributes)


_FILE = click.Path(exists=True, dir_okay=False, readable=True)
_LEVELS = ["off", "error", "warn", "info", "debug", "trace"]


def _options(looks: bool) -> list[Callable[[Any], Any]]:
    """All shared options. Commands that look have other defaults than one that stays."""
    name = "sprat-cli-HOST" if looks else "the host name"
    bind = "0.0.0.0:0, any free port" if looks else "0.0.0.0:7946"
    # The environment is that of the member that stays: a visitor would take its name and its port,
    # and tell others that it is to be reached at its address.
    naming = click.option if looks else _option
    one = "One setting of the library, as label=blue; repeat it for several."
    join = "Member to join through; repeat it for several, or separate them with commas."
    if not looks:
        join += " Asked again until it answers."
    shared = [
        _option("--join", multiple=True, metavar="ADDR", help=join),
        naming("--name", "--node", "name", help=f"Name of this member.  [default: {name}]"),
        naming(
            "--bind",
            metavar="IP:PORT",
            help=f"Where to listen, UDP and TCP; the others must reach it.  [default: {bind}]",
        ),
        naming("--advertise", metavar="IP:PORT", help="Where others reach it, if elsewhere."),
        _option("--config", type=_FILE, help='Settings, lines "key = value".'),
        click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help=one),
        _option("--key", help="Key in base64. Other users can see it: prefer --key-file."),
        _option("--key-file", type=_FILE, help="File with a key in base64 in each line."),
        _option("--keyring-file", type=_FILE, help="Keyring file of Serf."),
        _option(
            "--profile", type=click.Choice(["lan", "wan", "local"]), help="Defaults of all times."
        ),
        _option("--log-level", type=click.Choice(_LEVELS), help="Log to stderr."),
    ]
    if not looks:
        return shared
    return [
        *shared,
        _option(
            "--timeout",
            type=float,
            callback=_more_than_none,
            default=10.0,
            show_default=True,
            help="Seconds for the join.",
        ),
    ]


def connection_options(*, looks: bool) -> Callable[[F], F]:
    """Add the shared options; the command gets them as the argument `connection`."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def command(**given: Any) -> object:
            names = (
                "join",
                "name",
                "bind",
                "advertise",
                "config",
                "profile",
                "log_level",
                "timeout",
            )
            shared = {name: given.pop(name) for name in names if name in given}
            shared["join"] = tuple(it for text in shared["join"] for it in _several(text))
            shared["settings"] = tuple(_setting(it) for it in given.pop("settings"))
            keys = {name: given.pop(name) for name in ("key", "key_file", "keyring_file")}
            return function(connection=Connection(**shared, **_keys(keys)), **given)

        decorated: Any = command
        for option in reversed(_options(looks)):
            decorated = option(decorated)
        return decorated  # type: ignore[no-any-return]

    return decorate


def _keys(given: dict[str, str | None]) -> dict[str, Any]:
    """Find the one option with keys; the command line wins over the environment."""
    context = click.get_current_context()
    for source in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT):
        chosen = [it for it in given if context.get_parameter_source(it) == source]
        if source == ParameterSource.ENVIRONMENT:
            chosen = [it for it in chosen if given[it]]  # an empty variable is none
        for it in chosen:
            if not given[it]:
                raise click.UsageError(f"--{it.replace('_', '-')} is empty")
        if len(chosen) > 1:
            names = " and ".join("--" + name.replace("_", "-") for name in chosen)
            raise click.UsageError(f"{names} exclude each other")
        if chosen:
            name, value = chosen[0], given[chosen[0]] or ""
            match name:
                case "key":
                    return {"keys": (_checked_key("--key", value),)}
                case "key_file":
                    return {"keys": _key_lines(value)}
            return {"keyring_file": value}
    return {}


def _key_lines(path: str) -> tuple[str, ...]:
    try:
        lines = Path(path).read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        raise click.UsageError(f"--key-file {path}: cannot be read as text") from None
    keys = tuple(
        _checked_key(f"--key-file {path}:{number}: the key", line.strip())
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.startswith("#")
    )
    if not keys:
        raise click.UsageError(f"--key-file {path}: it holds no key")
    return keys


def _checked_key(place: str, text: str) -> str:
    try:
        checked_key(place, text)
    except sprat.ConfigError as error:
        raise click.UsageError(str(error)) from None
    return text


# Being a member


def start(arguments: Mapping[str, Any]) -> sprat.Node:
    """Start a node; wrong settings are wrong usage, what this host refuses is a failure."""
    try:
        return sprat.Node(**arguments)
    except (sprat.ConfigError, sprat.InvalidError, sprat.TooLargeError, TypeError) as error:
        # Seeds of a file were checked when it was read: these are those of the option.
        raise click.UsageError(re.sub(r"^seeds\b", "--join", str(error))) from None


def say_goodbye(node: sprat.Node) -> None:
    """Leave the cluster, so that the others see a member that left."""
    with contextlib.suppress(sprat.ClosedError, sprat.StateError):
        try:
            node.leave(timeout=LEAVE_TIMEOUT)
        except sprat.TimeoutError:
            _log.warning("the leave has not spread in time: others may see a failure")


@contextlib.contextmanager
def visit(connection: Connection) -> Iterator[sprat.Node]:
    """Be a member for the block: join before it, and leave after it, whatever happens in it."""
    file = connection.file()
    join = connection.join or tuple(_several(file.get("seeds", "")))
    if not join:
        raise click.UsageError(
            "nothing to join: give --join ADDR or set SPRAT_JOIN;"
            " for an agent on this host, --join 127.0.0.1"
        )
    log_to_stderr(connection.log_level or "warn")
    with raised() as raiser, _borrowed_name() as name, contextlib.ExitStack() as left_at_end:
        node = left_at_end.enter_context(_member(_visitor(connection, file, name, join), raiser))
        if _is_taken(node, connection, join):
            left_at_end.close()
            own = _visitor(connection, file, f"{name}-{os.getpid()}", join)
            node = left_at_end.enter_context(_member(own, raiser))
            _join(node, join, connection.timeout)
        yield node


@contextlib.contextmanager
def _member(arguments: Mapping[str, Any], raiser: Raiser) -> Iterator[sprat.Node]:
    """Run a node for the block, which leaves at its end."""
    node = start(arguments)
    raiser.is_leaving = False
    try:
        yield node
    finally:
        raiser.is_leaving = True
        try:
            with waiting("leaving"):
                say_goodbye(node)
        finally:
            node.close()


def _visitor(
    connection: Connection, file: dict[str, str], name: str, join: tuple[str, ...]
) -> dict[str, Any]:
    """Put together what a visitor is: of the file only what the cluster is like."""
    foreign = ("tag.", "filter.")
    shared = {k: v for k, v in file.items() if k not in _IDENTITY and not k.startswith(foreign)}
    arguments = connection.arguments(shared)
    arguments.pop("seeds", None)  # joined once, and not again after the leave
    arguments.setdefault("name", name)
    # Beside an agent on the same host; a socket of IPv4 cannot talk to members with IPv6.
    ipv6 = any(it.count(":") > 1 for it in join)
    arguments.setdefault("bind", "[::]:0" if ipv6 else "0.0.0.0:0")
    if arguments.get("mode") != "memberlist":
        arguments["tags"] = {"role": "sprat-cli"}
    return arguments


def _is_taken(node: sprat.Node, connection: Connection, join: tuple[str, ...]) -> bool:
    """Join, and say whether a name that nobody chose is in use.

    The last visit of this name was killed, and the others still wait for it; or a host of the same
    name has a visitor, too.
    """
    try:
        _join(node, join, connection.timeout)
    except sprat.NameConflictError:
        if connection.name is not None:
            raise
        return True
    return connection.name is None and node.stats()["conflicts_self"] > 0


def _join(node: sprat.Node, addresses: tuple[str, ...], timeout: float) -> None:
    with waiting(f"joining {', '.join(addresses)}"):
        try:
            node.join(*addresses, timeout=timeout)
        except (sprat.AddressError, sprat.TooLargeError) as error:
            raise click.UsageError(str(error)) from None
        except sprat.TimeoutError:
            raise click.ClickException(
                f"nobody answered within {timeout:g} s: {', '.join(addresses)}"
            ) from None


@contextlib.contextmanager
def _borrowed_name() -> Iterator[str]:
    """Take the first name of this host's that no other visit has now.

    An abstract socket marks it as taken: it vanishes with the process, however that ends.
    """
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:200]
    base = f"sprat-cli-{host}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mark:
        for number in range(1, _SLOTS + 1):
            if sys.platform != "linux":
                break
            try:
                mark.bind(f"\0sprat-cli-{number}")
            except OSError:
                continue
            yield base if number == 1 else f"{base}-{number}"
            return
        yield f"{base}-{os.getpid()}"
