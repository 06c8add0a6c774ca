"""The options that the commands share; a `Connection` holds their values.

Settings come from three places: the command line, with --set, wins over the environment, and both
win over the file of --config.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

import sprat
from sprat._catalog import NOT_IN_PYTHON
from sprat._checks import check_key
from sprat._native import settings_of

__all__ = [
    "WAITS_FOR_ANSWERS",
    "Connection",
    "Seconds",
    "answers_timeout",
    "connection_options",
    "parse_tags",
    "seconds",
    "split_list",
]

F = TypeVar("F", bound=Callable[..., Any])

_DAY = 86400

_TAG = "tag."
"""The prefix that marks a setting of a file or of --set as a tag."""


@dataclasses.dataclass(frozen=True)
class Connection:
    """The values of the shared options; `None` where an option was not given."""

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
    from_environment: frozenset[str] = frozenset()
    """The names of the options whose values come from the environment."""

    def file(self) -> dict[str, str]:
        """Read the settings of the file, without its keys if an option gives keys."""
        read = {} if self.config is None else read_config(self.config)
        if self.keys or self.keyring_file:
            read = {key: it for key, it in read.items() if key not in ("encrypt", "keyring_file")}
        return read

    def arguments(self, file: Mapping[str, str]) -> dict[str, Any]:
        """Return the arguments for `sprat.Node`.

        The command line overrides the environment, which overrides the file. On the command line,
        the option of a setting overrides --set.
        """
        options = {
            "name": self.name,
            "bind": self.bind,
            "advertise": self.advertise,
            "keyring_file": self.keyring_file,
            "profile": self.profile,
            "log_level": self.log_level,
        }
        given = {key: value for key, value in options.items() if value is not None}
        environment = {key: it for key, it in given.items() if key in self.from_environment}
        line = {key: it for key, it in given.items() if key not in environment}
        plain = {key: it for key, it in _plain(file).items() if key not in NOT_IN_PYTHON}
        found: dict[str, Any] = {**plain, **environment, **_plain(dict(self.settings)), **line}
        if self.join or "seeds" in found:
            found["seeds"] = list(self.join) or split_list(found["seeds"])
        return {**found, "keys": self.keys, "tags": self.tags(file)}

    def tags(self, file: Mapping[str, str]) -> dict[str, str]:
        """Return the tags of the file and of --set, which overrides those of the file."""
        return {**_tags(file), **_tags(dict(self.settings))}


# Parsing


def split_list(text: str) -> list[str]:
    """Split a list at its commas, and drop empty items."""
    return [it.strip() for it in text.split(",") if it.strip()]


def _tags(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the tags among settings."""
    return {key[len(_TAG) :]: it for key, it in settings.items() if key.startswith(_TAG)}


def _plain(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that are not tags."""
    return {key: it for key, it in settings.items() if not key.startswith(_TAG)}


def read_config(path: str) -> dict[str, str]:
    """Read the settings of a file as `sprat.Node.from_file` does."""
    try:
        return dict(settings_of(path))
    except sprat.Error as error:
        raise click.UsageError(str(error)) from None


def parse_tags(texts: tuple[str, ...]) -> list[tuple[str, str]]:
    """Split texts of the form `KEY=VALUE` into pairs."""
    return [_pair("--tag", text) for text in texts]


def _pair(option: str, text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise click.UsageError(f"{option} must be KEY=VALUE, got {text!r}")
    return key, value


def _setting(text: str) -> tuple[str, str]:
    key, value = _pair("--set", text)
    if key == "seeds":
        raise click.UsageError(f"--set cannot change seeds, got {text!r}: use --join")
    return key, value


if TYPE_CHECKING:
    _SecondsType = click.ParamType[float]
else:
    _SecondsType = click.ParamType  # takes no type argument before click 8.5


class Seconds(_SecondsType):
    """A time in seconds, as a number without a unit."""

    name = "seconds"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number; a text such as `1s` is an error that says what to write."""
        try:
            return float(value)
        except ValueError:
            option = param.opts[0] if param else "the time"
            raise click.UsageError(
                f"{option} must be a number of seconds without a unit, for example 1 or 0.5,"
                f" got {value!r}",
                ctx,
            ) from None


def seconds(context: click.Context, parameter: click.Parameter, value: float) -> float:
    """Check a time in seconds, at most a day."""
    return _checked(0 <= value <= _DAY, f"0 to {_DAY} seconds", context, parameter, value)


def _positive_seconds(context: click.Context, parameter: click.Parameter, value: float) -> float:
    allowed = f"greater than 0 and at most {_DAY} seconds"
    return _checked(0 < value <= _DAY, allowed, context, parameter, value)


def _checked(
    fits: bool, allowed: str, context: click.Context, parameter: click.Parameter, value: float
) -> float:
    if not fits:
        raise click.UsageError(f"{parameter.opts[0]} must be {allowed}, got {value:g}", context)
    return value


# The options


def _option(*names: str, **attributes: Any) -> Callable[[F], F]:
    """Make an option that the environment can also give: SPRAT_KEY for --key."""
    long = max(names, key=len)
    env = "SPRAT_" + long.strip("-").replace("-", "_").upper()
    return click.option(*names, envvar=env, show_envvar=True, **attributes)


_FILE = click.Path(exists=True, dir_okay=False, readable=True)
_LEVELS = ["off", "error", "warn", "info", "debug", "trace"]


def _options(visits: bool, joins: bool, waits_for: str) -> list[Callable[[Any], Any]]:
    """Return the shared options. A command that `visits` has its own defaults: see `visit.py`.

    A command that does not join has no options for its name or its own address: see `look.py`.
    `waits_for` completes the help of --timeout.
    """
    name = "sprat-cli-HOST" if visits else "the host name"
    bind = "[::]:0, any free port" if visits else "0.0.0.0:7946"
    # SPRAT_NAME, SPRAT_BIND and SPRAT_ADVERTISE are for the permanent member of this host. A visit
    # that read them would take that member's name and port, and announce its address.
    naming = click.option if visits else _option
    # In `sprat query`, as in `serf query`, --node names the members to ask.
    names = ("--name",) if visits else ("--name", "--node")
    one = "A setting of the library, for example label=blue; may be repeated."
    join = "Address of a member to join, or several separated by commas; may be repeated."
    if not visits:
        join += " The member retries each address whenever no alive member has it."
    if not joins:
        join = "Address of a member to ask, or several separated by commas; may be repeated."
    identity = [
        naming(*names, "name", help=f"Name of this member.  [default: {name}]"),
        naming(
            "--bind",
            metavar="IP:PORT",
            help=f"Address to listen on, UDP and TCP; other members must be able to reach it."
            f"  [default: {bind}]",
        ),
        naming(
            "--advertise",
            metavar="IP:PORT",
            help="Address at which other members reach this member.",
        ),
    ]
    shared = [
        _option("--join", multiple=True, metavar="ADDR", help=join),
        *(identity if joins else []),
        _option("--config", type=_FILE, help='File of settings, with lines "key = value".'),
        click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help=one),
        _option("--key", help="Key in base64. Other users can see it: prefer --key-file."),
        _option("--key-file", type=_FILE, help="File with one key in base64 per line."),
        _option("--keyring-file", type=_FILE, help="Keyring file as Serf writes it."),
        _option(
            "--profile",
            type=click.Choice(["lan", "wan", "local"]),
            help="Selects the defaults of the settings that are times or numbers.",
        ),
        _option("--log-level", type=click.Choice(_LEVELS), help="Level of the log on stderr."),
    ]
    if not visits:
        return shared
    return [
        *shared,
        _option(
            "--timeout",
            type=Seconds(),
            callback=_positive_seconds,
            default=10.0,
            show_default=True,
            help=f"Seconds to wait for {waits_for}.",
        ),
    ]


def connection_options(
    *, visits: bool, joins: bool = True, waits_for: str = "the join"
) -> Callable[[F], F]:
    """Add the shared options; the command receives them as the argument `connection`."""

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
            sources = {name: _source(name) for name in given}
            shared = {name: given.pop(name) for name in names if name in given}
            shared["from_environment"] = frozenset(
                name for name, source in sources.items() if source == ParameterSource.ENVIRONMENT
            )
            shared["join"] = tuple(it for text in shared["join"] for it in split_list(text))
            shared["settings"] = tuple(_setting(it) for it in given.pop("settings"))
            keys = {name: given.pop(name) for name in ("key", "key_file", "keyring_file")}
            return function(connection=Connection(**shared, **_keys(keys)), **given)

        decorated: Any = command
        for option in reversed(_options(visits, joins, waits_for)):
            decorated = option(decorated)
        return decorated  # type: ignore[no-any-return]

    return decorate


WAITS_FOR_ANSWERS = (
    "the join, and then for the answers. Without this option, the size of the cluster decides how"
    " long the command waits for answers, as in Serf"
)
"""The meaning of --timeout in a command that asks the members."""


def answers_timeout(connection: Connection) -> float | None:
    """Return the seconds in which answers count; `None` lets the size of the cluster decide."""
    return None if _source("timeout") == ParameterSource.DEFAULT else connection.timeout


def _source(option: str) -> ParameterSource | None:
    return click.get_current_context().get_parameter_source(option)


# Keys


def _keys(given: dict[str, str | None]) -> dict[str, Any]:
    """Return the keys as arguments of `Connection`. Only one option may give them."""
    for source in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT):
        chosen = [it for it in given if _source(it) == source]
        if source == ParameterSource.ENVIRONMENT:
            chosen = [it for it in chosen if given[it]]  # an empty variable counts as unset
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
        raise click.UsageError(f"--key-file {path} cannot be read as text") from None
    keys = tuple(
        _checked_key(f"--key-file {path}:{number}: the key", line.strip())
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.startswith("#")
    )
    if not keys:
        raise click.UsageError(f"--key-file {path} contains no key")
    return keys


def _checked_key(place: str, text: str) -> str:
    try:
        check_key(place, text)
    except sprat.ConfigError as error:
        raise click.UsageError(str(error)) from None
    return text
