"""The catalog of settings: `sprat.settings()`, from the library's own table."""

from __future__ import annotations

from typing import Any, Literal

from . import _native
from ._errors import InvalidError
from ._record import Record

__all__ = ["NOT_IN_PYTHON", "Setting", "argument_name", "settings"]

NOT_IN_PYTHON = frozenset({"event_kinds"})
"""Settings of the library that Python does not need: each reader selects its kinds of events."""

_PROFILES = ("lan", "wan", "local")


class Setting(Record):
    """A setting of the library, as an argument of `Node`."""

    name: str
    """The name of the argument."""
    type: str
    """The type: "number", "milliseconds", "boolean", "text", "word", "address", "base64", "file",
    "list of addresses", "list of networks" or "list of patterns".
    """
    default: int | bool | str | tuple[str, ...] | None
    """The default in the given profile; `None` if the setting has no default."""
    minimum: int | None
    """The smallest allowed number; `None` if the setting is not a number."""
    maximum: int | None
    """The largest allowed number; `None` if the setting is not a number."""
    unit: str
    """The unit of a number, such as "ms", or an empty string."""
    allowed: str
    """The allowed values, as error messages describe them."""
    help: str
    """The meaning of the setting, in a sentence or two."""
    changeable: bool
    """True if the setting can change while the node runs."""


def settings(profile: Literal["lan", "wan", "local"] = "lan") -> list[Setting]:
    """Return the settings of the library that `Node` takes, with the defaults of a profile.

    `Node` takes five arguments that are not among them: `tags`, `keys`, `meta`, `filter_tags` and
    `on_event`. Raises `InvalidError` for an unknown profile.
    """
    if profile not in _PROFILES:
        raise InvalidError(f"profile must be one of {', '.join(_PROFILES)}, got {profile!r}")
    return [
        Setting(
            name=argument_name(record["name"]),
            type=record["type"],
            default=_value(record["type"], record["defaults"][profile]),
            minimum=record["minimum"],
            maximum=record["maximum"],
            unit=record["unit"],
            allowed=record["allowed"],
            help=record["help"],
            changeable=record["changeable"],
        )
        for record in _native.settings()
        if "KEY" not in record["name"] and record["name"] not in NOT_IN_PYTHON
    ]


def argument_name(name: str) -> str:
    """Return the name of the argument for a setting of the library."""
    return name.replace(".", "_")


def _value(kind: str, text: str) -> Any:
    """Convert a default from the library's text."""
    if kind.startswith("list"):
        return tuple(text.split(",")) if text else ()
    if not text:
        return None
    match kind:
        case "number" | "milliseconds":
            return int(text)
        case "boolean":
            return text == "true"
    return text
