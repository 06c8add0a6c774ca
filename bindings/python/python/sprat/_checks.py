"""Checks of arguments, with messages that name the argument and what is allowed."""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Mapping
from typing import Any

from ._errors import ConfigError, InvalidError

__all__ = [
    "check_address",
    "check_addresses",
    "check_callback",
    "check_flag",
    "check_key",
    "check_list",
    "check_maxsize",
    "check_string_mapping",
    "check_text",
    "check_timeout",
    "is_ip_address",
    "wrong_type",
]

_CENTURY = 100 * 365 * 86400.0

_QUEUE_SIZES = range(4, 1_048_577)

_KEY_SIZES = (16, 24, 32)

_CO_COROUTINE = 0x80
"""The flag of code objects that marks an `async def`."""


def wrong_type(name: str, wanted: str, value: object) -> TypeError:
    """Return the `TypeError` for an argument that is not of the `wanted` type."""
    return TypeError(f"{name} must be {wanted}, not {type(value).__name__}")


def check_text(name: str, text: object) -> str:
    """Return `text` if it is a str that UTF-8 can encode, that is, without lone surrogates."""
    if not isinstance(text, str):
        raise wrong_type(name, "str", text)
    try:
        text.encode()
    except UnicodeEncodeError:
        shown = "<secret>" if name == "encrypt" else repr(text)
        raise InvalidError(f"{name} must be text that UTF-8 can encode, got {shown}") from None
    return text


def check_list(name: str, value: object) -> Iterable[Any]:
    """Return `value` if it is iterable. A str or bytes is refused: it was meant as one item."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise wrong_type(name, "a list", value)
    return value


def check_string_mapping(name: str, value: object) -> dict[str, str]:
    """Return a copy of a mapping from str to str."""
    if not isinstance(value, Mapping):
        raise wrong_type(name, "a mapping", value)
    for key, text in value.items():
        if not isinstance(key, str):
            raise wrong_type(f"a key of {name}", "str", key)
        if not isinstance(text, str):
            raise wrong_type(f"{name}[{key!r}]", "str", text)
        check_text(f"a key of {name}", key)
        check_text(f"{name}[{key!r}]", text)
    return dict(value)


def check_addresses(addresses: tuple[object, ...]) -> list[str]:
    """Return the addresses for `join` as text. The error for a list says how to unpack it."""
    for address in addresses:
        if isinstance(address, list | tuple | set | frozenset):
            kind = type(address).__name__
            raise TypeError(f"an address must be str, not {kind}: write join(*addresses)")
    return [check_address("an address", address) for address in addresses]


def check_address(name: str, address: object) -> str:
    """Return the text of an address, which may be a str, IPv4Address or IPv6Address."""
    if not isinstance(address, str) and is_ip_address(address):
        return str(address)
    if not isinstance(address, str):
        raise wrong_type(name, "str, IPv4Address or IPv6Address", address)
    return check_text(name, address)


def is_ip_address(value: object) -> bool:
    """Return true for an IPv4Address or IPv6Address, but false for an IPv4Interface or the like."""
    import ipaddress  # only when needed: most programs pass no such objects

    address = ipaddress.IPv4Address | ipaddress.IPv6Address
    interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
    return isinstance(value, address) and not isinstance(value, interface)


def check_key(name: str, key: object) -> bytes:
    """Return the bytes of a key, which is given as bytes or, as in Serf, as a str in base64."""
    # The key is a secret and stays out of every message.
    if isinstance(key, bytes | bytearray | memoryview):
        found = bytes(key)
    elif isinstance(key, str):
        try:
            # A key that was read from a file often ends with a line break.
            text = key.replace("\r", "").replace("\n", "")
            found = binascii.a2b_base64(text, strict_mode=True)
        except binascii.Error as error:
            raise ConfigError(f"{name} is not base64: {error}") from None
        except ValueError:
            raise ConfigError(f"{name} is not base64: it has characters beyond ASCII") from None
    else:
        raise wrong_type(name, "bytes, or str in base64", key)
    if len(found) not in _KEY_SIZES:
        raise ConfigError(f"{name} must have 16, 24 or 32 bytes, got {len(found)}")
    return found


def check_callback(on_event: Any) -> None:
    """Refuse an `on_event` that cannot be called, or that is a coroutine function."""
    if not callable(on_event):
        raise wrong_type("on_event", "callable", on_event)
    # `inspect` has a function for this, but takes as long to import as the whole package.
    for called in (on_event, getattr(on_event, "func", None), type(on_event).__call__):
        code = getattr(called, "__code__", None)
        if code is not None and code.co_flags & _CO_COROUTINE:
            raise TypeError(
                "on_event must be a plain function, not a coroutine function: nothing would"
                " await it; sprat.aio has nodes for asyncio"
            )


def check_flag(name: str, value: object) -> bool:
    """Return `value` if it is a bool. A true value of another type may be a misplaced argument."""
    if not isinstance(value, bool):
        raise wrong_type(name, "bool", value)
    return value


def check_timeout(timeout: float | None) -> float | None:
    """Return a timeout in seconds; `None` waits without limit."""
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise wrong_type("timeout", "a number of seconds or None", timeout)
    if not timeout >= 0:
        raise InvalidError(f"timeout must be 0 or more, got {timeout}")
    # Beyond a century, the clocks of some event loops overflow: such a timeout waits without limit.
    return float(timeout) if timeout < _CENTURY else None


def check_maxsize(maxsize: int) -> int:
    """Return `maxsize`, the number of events that may wait for a reader, if it is allowed."""
    if isinstance(maxsize, bool) or not isinstance(maxsize, int):
        raise wrong_type("maxsize", "int or None", maxsize)
    if maxsize not in _QUEUE_SIZES:
        lowest, highest = _QUEUE_SIZES[0], _QUEUE_SIZES[-1]
        raise InvalidError(f"maxsize must be {lowest} to {highest}, got {maxsize}")
    return maxsize
