"""The keys of the cluster: all members install, use, remove or list them."""

from __future__ import annotations

from typing import Any

from . import _native
from ._checks import check_key, check_timeout

__all__ = ["BaseKeyring"]


class BaseKeyring:
    """The part of a `Keyring` that does not wait."""

    __slots__ = ("_native",)

    def __init__(self, native: _native.Node) -> None:
        self._native = native

    def __reduce__(self) -> Any:
        raise TypeError("the keyring of a node cannot be pickled or copied: use node.keyring")

    def _begin(
        self, action: str, key: str | bytes | None, timeout: float | None
    ) -> _native.Pending:
        found = None if action == "list" else check_key("key", key)
        return self._native.begin_manage_keys(action, found, check_timeout(timeout))
