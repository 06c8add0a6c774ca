"""Converts keyword arguments into the settings that the native part starts a node with.

Names and types are checked here; the library checks most values.
"""

from __future__ import annotations

import binascii
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from . import _native
from ._catalog import NOT_IN_PYTHON
from ._checks import (
    check_address,
    check_key,
    check_list,
    check_string_mapping,
    check_text,
    is_ip_address,
    wrong_type,
)
from ._errors import ConfigError, InvalidError
from ._text import printable

__all__ = ["native_settings"]

_LEVELS = {
    logging.CRITICAL: "error",
    logging.ERROR: "error",
    logging.WARNING: "warn",
    logging.INFO: "info",
    logging.DEBUG: "debug",
}

_PYTHON_ONLY = {"tags", "filter_tags", "filter_names", "keys", "meta", "on_event"}
"""Arguments that are not settings of the library, or have another form or name there."""

_SYNONYMS = {
    "host": "bind",
    "port": "bind",
    "address": "bind",
    "addr": "bind",
    "listen": "bind",
    "node": "name",
    "node_name": "name",
    "key": "keys",
    "join": "seeds",
    "callback": "on_event",
    "handler": "on_event",
    "role": "tags",
}
"""Names that other libraries use for an argument, for the hint in an error message."""

_TYPES = {
    "address": "str, IPv4Address or IPv6Address",
    "milliseconds": "an int of milliseconds or a datetime.timedelta",
    "number": "int",
    "boolean": "bool",
    "file": "str or a path",
    "list of networks": "a list of str, IPv4Network or IPv6Network",
}
"""The library's types in Python's words, for messages. Other types are str."""

_NUMERIC = ("boolean", "number", "milliseconds")
"""The library's types that take an int, and a bool, which Python counts among the ints."""


def native_settings(given: Mapping[str, Any], path: str | bytes | None) -> dict[str, Any]:
    """Return the argument of `_native.Node.start`. A setting that is `None` counts as not given."""
    types = {record["name"]: record["type"] for record in _native.settings()}
    _check_names(given, types.keys())
    rest = {key: value for key, value in given.items() if value is not None}
    tags = check_string_mapping("tags", rest.pop("tags", {}))
    filter_tags = check_string_mapping("filter_tags", rest.pop("filter_tags", {}))
    given_keys = enumerate(check_list("keys", rest.pop("keys", ())))
    keys = [check_key(f"keys[{number}]", key) for number, key in given_keys]
    for other in ("encrypt", "keyring_file"):
        if keys and other in rest:
            raise ConfigError(f"keys and {other} exclude each other: give only one of them")
    if keys and path is not None:  # the first key replaces the one in the file
        rest["encrypt"] = binascii.b2a_base64(keys.pop(0), newline=False).decode()
    meta = rest.pop("meta", None)
    if meta is not None and not isinstance(meta, bytes | bytearray | memoryview):
        raise wrong_type("meta", "bytes", meta)
    if "filter_names" in rest:
        rest["filter.names"] = _list("filter_names", rest.pop("filter_names"), _pattern)
    if "seeds" in rest:
        rest["seeds"] = _list("seeds", rest.pop("seeds"), check_address)
    if "log_level" in rest:
        rest["log_level"] = _level(rest["log_level"])
    return {
        "path": None if path is None else _path(path),
        "values": [(key, _text(types.get(key, "text"), key, it)) for key, it in rest.items()],
        "tags": tags,
        "filter_tags": filter_tags,
        "keys": keys,
        "meta": None if meta is None else bytes(meta),
    }


def _path(path: str | bytes) -> str:
    """Return the path of a file of settings if the system can encode it."""
    try:
        return os.fsdecode(os.fsencode(path))
    except UnicodeEncodeError:
        raise InvalidError(f"path must be text that UTF-8 can encode, got {path!r}") from None


def _check_names(given: Iterable[str], settings: AbstractSet[str]) -> None:
    """Refuse an unknown name before any value is checked."""
    known = _PYTHON_ONLY | settings - NOT_IN_PYTHON
    for name in given:
        if name not in known and not name.startswith(("tag.", "filter.tag.")):
            nearest = _SYNONYMS.get(name) or _nearest(name, known)
            hint = "" if nearest is None else f'; the nearest is "{nearest}"'
            raise TypeError(f'there is no setting "{printable(name)}"{hint}')


def _nearest(name: str, known: Iterable[str]) -> str | None:
    import difflib

    return next(iter(difflib.get_close_matches(name, known, 1, 0.75)), None)


def _pattern(name: str, value: object) -> str:
    """Return a pattern for names. Space at its ends would be lost, so it is refused, as in C."""
    pattern = check_text(name, value)
    if pattern != pattern.strip():
        raise ConfigError(f"{name} must not begin or end with space, got {pattern!r}")
    return pattern


def _list(name: str, value: object, check: Callable[[str, object], str]) -> str:
    """Return the items of a list as the library reads them from a file, separated by commas."""
    items = [check(f"{name}[{at}]", it) for at, it in enumerate(check_list(name, value))]
    for at, item in enumerate(items):
        if not item:
            raise InvalidError(f"{name}[{at}] is empty")
        if "," in item:
            raise ConfigError(f"{name}[{at}] must not contain a comma, got {item!r}")
    return ",".join(items)


def _level(level: object) -> str:
    """Return the library's name of a level, which may be a number of `logging`."""
    if isinstance(level, str):
        return {"warning": "warn", "critical": "error"}.get(level.lower(), level.lower())
    if isinstance(level, bool) or not isinstance(level, int):
        raise wrong_type("log_level", "str or int", level)
    if level < logging.DEBUG:
        return "trace"
    return _LEVELS[min(level // 10 * 10, logging.CRITICAL)]


def _text(kind: str, name: str, value: object) -> str:
    """Return a value of this type of the library as text, as the library reads it from a file."""
    match value:
        case str():
            return check_text(name, value)
        case bool() if kind in _NUMERIC:
            return "true" if value else "false"
        case int() if kind in _NUMERIC:
            return str(value)
        case os.PathLike() if kind == "file":
            return check_text(name, os.fsdecode(value))
    if kind == "milliseconds":
        return _milliseconds(name, value)
    if kind == "address":
        return check_address(name, value)
    if kind == "list of networks":
        return _networks(name, value)
    raise wrong_type(name, _TYPES.get(kind, "str"), value)


def _milliseconds(name: str, value: object) -> str:
    import datetime  # only when needed: most programs pass int

    if not isinstance(value, datetime.timedelta):
        raise wrong_type(name, _TYPES["milliseconds"], value)
    return str(round(value / datetime.timedelta(milliseconds=1)))


def _networks(name: str, value: object) -> str:
    import ipaddress  # only when needed: most programs allow all networks

    def is_network(value: object) -> bool:
        known = ipaddress.IPv4Network | ipaddress.IPv6Network
        return isinstance(value, known) or is_ip_address(value)

    def check(name: str, item: object) -> str:
        if isinstance(item, str):
            return check_text(name, item)
        if not is_network(item):
            raise wrong_type(name, "str, IPv4Network or IPv6Network", item)
        return str(item)

    if is_network(value):  # before the lists: a network is iterable, too
        return str(value)
    if not isinstance(value, Iterable) or isinstance(value, bytes | Mapping):
        raise wrong_type(name, _TYPES["list of networks"], value)
    return _list(name, value, check)
