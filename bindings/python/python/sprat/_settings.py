"""Converts keyword arguments into the settings that the native part starts a node with.

Names and types are checked here; the library checks most values.
"""

from __future__ import annotations

import binascii
import logging
import os
from collections.abc import Callable, Iterable, Mapping
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

_TEXTS = {"name", "profile", "mode", "label", "encrypt"}
"""Settings whose value must be a str."""

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
}
"""The library's types in Python's words, for messages. Other types are str or lists of str."""


def native_settings(given: Mapping[str, Any], path: str | bytes | None) -> dict[str, Any]:
    """Return the argument of `_native.Node.start`. A setting that is `None` counts as not given."""
    _check_names(given)
    rest = {key: value for key, value in given.items() if value is not None}
    for name in _TEXTS & rest.keys():
        if not isinstance(rest[name], str):
            raise wrong_type(name, "str", rest[name])
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
        rest["filter.names"] = _nonempty("filter_names", rest.pop("filter_names"), check_text)
    if "seeds" in rest:
        rest["seeds"] = _nonempty("seeds", rest.pop("seeds"), check_address)
    if "log_level" in rest:
        rest["log_level"] = _level(rest["log_level"])
    return {
        "path": None if path is None else os.fsdecode(path),
        "values": [(key, _text(key, value)) for key, value in rest.items()],
        "tags": tags,
        "filter_tags": filter_tags,
        "keys": keys,
        "meta": None if meta is None else bytes(meta),
    }


def _check_names(given: Iterable[str]) -> None:
    """Refuse an unknown name before any value is checked."""
    known = _PYTHON_ONLY | _library_types().keys() - NOT_IN_PYTHON
    for name in given:
        if name not in known and not name.startswith(("tag.", "filter.tag.")):
            nearest = _SYNONYMS.get(name) or _nearest(name, known)
            hint = "" if nearest is None else f'; the nearest is "{nearest}"'
            raise TypeError(f'there is no setting "{printable(name)}"{hint}')


def _nearest(name: str, known: Iterable[str]) -> str | None:
    import difflib

    return next(iter(difflib.get_close_matches(name, known, 1, 0.75)), None)


def _nonempty(name: str, value: object, check: Callable[[str, object], str]) -> list[str]:
    items = [check(f"{name}[{at}]", it) for at, it in enumerate(check_list(name, value))]
    if "" in items:
        raise InvalidError(f"{name}[{items.index('')}] is empty")
    return items


def _level(level: object) -> str:
    """Return the library's name of a level, which may be a number of `logging`."""
    if isinstance(level, str):
        return {"warning": "warn", "critical": "error"}.get(level.lower(), level.lower())
    if isinstance(level, bool) or not isinstance(level, int):
        raise wrong_type("log_level", "str or int", level)
    if level < logging.DEBUG:
        return "trace"
    return _LEVELS[min(level // 10 * 10, logging.CRITICAL)]


def _text(name: str, value: object) -> str:
    """Return a value as text, in the form that the library reads from a file."""
    match value:
        case str():
            return check_text(name, value)
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case os.PathLike():
            return check_text(name, os.fsdecode(value))
    text = _text_of_library_type(name, value)  # before the lists: a network is iterable, too
    if text is not None:
        return text
    if isinstance(value, Iterable) and not isinstance(value, bytes | Mapping):
        return ",".join(_item(f"{name}[{at}]", item) for at, item in enumerate(value))
    raise wrong_type(name, _type_of(name), value)


def _library_types() -> dict[str, str]:
    """Return the type of each setting of the library, by name."""
    return {record["name"]: record["type"] for record in _native.settings()}


def _type_of(name: str) -> str:
    kind = _library_types().get(name, "")
    return "a list of str" if kind.startswith("list") else _TYPES.get(kind, "str")


def _text_of_library_type(name: str, value: object) -> str | None:
    """Return a value of `datetime` or `ipaddress` as text, or `None` for any other value."""
    import datetime  # both modules are imported only when needed
    import ipaddress

    match value:
        case datetime.timedelta() if name.endswith("_ms"):
            return str(round(value / datetime.timedelta(milliseconds=1)))
        case _ if is_ip_address(value):
            return str(value)
        case ipaddress.IPv4Network() | ipaddress.IPv6Network():
            return str(value)
    return None


def _item(name: str, item: object) -> str:
    text = _text(name, item)
    if "," in text:
        raise ConfigError(f"{name} must not contain a comma, got {text!r}")
    return text
