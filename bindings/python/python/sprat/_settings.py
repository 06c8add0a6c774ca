"""From keyword arguments to what the native part takes: names and types are checked here, values
by the library.
"""

from __future__ import annotations

import binascii
import logging
import os
from collections.abc import Iterable, Mapping
from typing import Any

from . import _native
from ._errors import ConfigError, InvalidError, printable

__all__ = [
    "check_callback",
    "checked_addresses",
    "checked_key",
    "checked_text",
    "native_settings",
    "several",
    "texts",
]

_LEVELS = {
    logging.CRITICAL: "error",
    logging.ERROR: "error",
    logging.WARNING: "warn",
    logging.INFO: "info",
    logging.DEBUG: "debug",
}

_OWN = {"tags", "filter_tags", "filter_names", "keys", "meta", "on_event"}
"""Arguments that the library knows by other names."""

_FOREIGN = {"event_kinds"}
"""Settings of the library that mean nothing here: each reader says which events it wants."""

_TEXTS = {"name", "profile", "mode", "label", "encrypt"}
"""Settings that no number can be meant for."""

_MEANT = {
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
"""What people write who know the argument by another name."""

_TYPES = {
    "milliseconds": "an int of milliseconds or a datetime.timedelta",
    "number": "int",
    "boolean": "bool",
    "file": "str or a path",
}
"""What the types of the library are in Python; lists are lists of str, the rest is str."""

_KEY_SIZES = (16, 24, 32)

_CO_COROUTINE = 0x80
"""Marks the code of an `async def`."""


def native_settings(given: Mapping[str, Any], path: str | bytes | None) -> dict[str, Any]:
    """What `_native.Node.start` takes. Arguments that are `None` keep their default."""
    _check_names(given)
    rest = {key: value for key, value in given.items() if value is not None}
    for name in _TEXTS & rest.keys():
        if not isinstance(rest[name], str):
            raise _wrong_type(name, "str", rest[name])
    tags = texts("tags", rest.pop("tags", {}))
    filter_tags = texts("filter_tags", rest.pop("filter_tags", {}))
    several_keys = several("keys", rest.pop("keys", ()))
    keys = [checked_key(f"keys[{place}]", key) for place, key in enumerate(several_keys)]
    for other in ("encrypt", "keyring_file"):
        if keys and other in rest:
            raise ConfigError(f"keys and {other} are both given: one of them has to do")
    if keys and path is not None:  # the first key stands in for that of the file
        rest["encrypt"] = binascii.b2a_base64(keys.pop(0), newline=False).decode()
    meta = rest.pop("meta", None)
    if meta is not None and not isinstance(meta, bytes | bytearray | memoryview):
        raise _wrong_type("meta", "bytes", meta)
    if "filter_names" in rest:
        rest["filter.names"] = _items("filter_names", rest.pop("filter_names"))
    if "seeds" in rest:
        rest["seeds"] = _items("seeds", rest.pop("seeds"))
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
    """Refuse what is no setting, before its value is looked at."""
    known = _OWN | {name for name, *_ in _native.settings()} - _FOREIGN
    for name in given:
        if name not in known and not name.startswith(("tag.", "filter.tag.")):
            nearest = _MEANT.get(name) or _nearest(name, known)
            hint = "" if nearest is None else f'; the nearest is "{nearest}"'
            raise TypeError(f'there is no setting "{printable(name)}"{hint}')


def _nearest(name: str, known: Iterable[str]) -> str | None:
    import difflib

    return next(iter(difflib.get_close_matches(name, known, 1, 0.75)), None)


def _wrong_type(name: str, wanted: str, value: object) -> TypeError:
    return TypeError(f"{name} must be {wanted}, not {type(value).__name__}")


def several(name: str, value: object) -> Iterable[Any]:
    """What must be a list, and not the one element that somebody forgot to put into one."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise _wrong_type(name, "a list", value)
    return value


def _items(name: str, value: object) -> list[str]:
    """A list of texts, none of which is empty."""
    items = [checked_text(f"{name}[{at}]", it) for at, it in enumerate(several(name, value))]
    if "" in items:
        raise InvalidError(f"{name}[{items.index('')}] is empty")
    return items


def checked_text(name: str, text: object) -> str:
    """Text that can be told to others: half of a surrogate pair is none."""
    if not isinstance(text, str):
        raise _wrong_type(name, "str", text)
    try:
        text.encode()
    except UnicodeEncodeError:
        shown = "a secret" if name == "encrypt" else repr(text)
        raise InvalidError(f"{name} is {shown}, allowed is text that UTF-8 can encode") from None
    return text


def checked_addresses(addresses: tuple[object, ...]) -> list[str]:
    """The addresses as a list; a list given in place of arguments is a mistake worth a word."""
    for address in addresses:
        if not isinstance(address, str):
            kind = type(address).__name__
            raise TypeError(f"an address must be str, not {kind}: write join(*addresses)")
    return [checked_text("an address", address) for address in addresses]


def texts(name: str, value: object) -> dict[str, str]:
    """A copy of a mapping of text to text."""
    if not isinstance(value, Mapping):
        raise _wrong_type(name, "a mapping", value)
    for key, text in value.items():
        if not isinstance(key, str):
            raise _wrong_type(f"a key of {name}", "str", key)
        if not isinstance(text, str):
            raise _wrong_type(f"{name}[{key!r}]", "str", text)
        checked_text(f"a key of {name}", key)
        checked_text(f"{name}[{key!r}]", text)
    return dict(value)


def checked_key(place: str, key: object) -> bytes:
    """The bytes of a key, which may be given in base64 as Serf writes it."""
    # The key itself is a secret and stays out of messages.
    if isinstance(key, bytes | bytearray | memoryview):
        found = bytes(key)
    elif isinstance(key, str):
        try:
            found = binascii.a2b_base64(key, strict_mode=True)
        except binascii.Error as error:
            raise ConfigError(f"{place} is not base64: {error}") from None
        except ValueError:
            raise ConfigError(f"{place} is not base64: it has characters beyond ASCII") from None
    else:
        raise _wrong_type(place, "bytes, or str in base64", key)
    if len(found) not in _KEY_SIZES:
        raise ConfigError(f"{place} has {len(found)} bytes, allowed are 16, 24 and 32")
    return found


def check_callback(on_event: Any) -> None:
    """Refuse what cannot be called, and what nobody would await."""
    if not callable(on_event):
        raise TypeError(f"on_event must be callable, not {type(on_event).__name__}")
    # Where `inspect` would ask, which takes as long to import as the whole package.
    for called in (on_event, getattr(on_event, "func", None), type(on_event).__call__):
        code = getattr(called, "__code__", None)
        if code is not None and code.co_flags & _CO_COROUTINE:
            raise TypeError(
                "on_event is a coroutine function, which nobody would await: see sprat.aio"
            )


def _level(level: object) -> str:
    """The name of a level, which may be given as a number of `logging`."""
    if isinstance(level, str):
        return {"warning": "warn", "critical": "error"}.get(level.lower(), level.lower())
    if isinstance(level, bool) or not isinstance(level, int):
        raise _wrong_type("log_level", "str or int", level)
    if level < logging.DEBUG:
        return "trace"
    return _LEVELS[min(level // 10 * 10, logging.CRITICAL)]


def _text(name: str, value: object) -> str:
    """A value as the library reads it from a file."""
    match value:
        case str():
            return checked_text(name, value)
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case os.PathLike():
            return checked_text(name, os.fsdecode(value))
        case list() | tuple() | set() | frozenset():
            return ",".join(_item(f"{name}[{at}]", item) for at, item in enumerate(value))
    text = _special(name, value)
    if text is None:
        raise _wrong_type(name, _type_of(name), value)
    return text


def _type_of(name: str) -> str:
    kind = next((kind for known, kind, *_ in _native.settings() if known == name), "")
    return "a list of str" if kind.startswith("list") else _TYPES.get(kind, "str")


def _special(name: str, value: object) -> str | None:
    """Values of other modules of Python, which are only loaded when there is such a value."""
    import datetime
    import ipaddress

    match value:
        case datetime.timedelta() if name.endswith("_ms"):
            return str(round(value / datetime.timedelta(milliseconds=1)))
        case ipaddress.IPv4Address() | ipaddress.IPv6Address():
            return str(value)
        case ipaddress.IPv4Network() | ipaddress.IPv6Network():
            return str(value)
    return None


def _item(name: str, item: object) -> str:
    text = _text(name, item)
    if "," in text:
        raise ConfigError(f"{name} is {text!r}, a comma is not allowed in it")
    return text
