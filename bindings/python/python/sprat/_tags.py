"""The tags of a node and of a member.

The tags of a node are a live mapping: a change to it is sent to the cluster. The tags of a member
are a dict that cannot be changed, because only the member itself can change its tags.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, Mapping, MutableMapping, ValuesView
from typing import TYPE_CHECKING, Any, NoReturn, Self

from ._checks import check_string_mapping

if TYPE_CHECKING:
    from . import _native

__all__ = ["MemberTags", "Tags"]


class Tags(MutableMapping[str, str]):
    """The tags of this node.

    Reading returns the current tags. Each statement that changes them sends one update to the
    cluster: call `update` to change several at once. All tags together take at most 512 bytes;
    beyond that, `TooLargeError` is raised and nothing changes. Any thread may use this mapping.
    """

    __slots__ = ("_native",)

    def __init__(self, native: _native.Node) -> None:
        self._native = native

    def _all(self) -> Mapping[str, str]:
        member = self._native.member(self._native.name)
        return {} if member is None else member.tags

    def __getitem__(self, key: str) -> str:
        return self._all()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __setitem__(self, key: str, value: str) -> None:
        self._native.update_tags([*check_string_mapping("tags", {key: value}).items()])

    def __delitem__(self, key: str) -> None:
        if key not in self._all():
            raise KeyError(key)
        self._native.update_tags([(key, None)])

    def update(  # type: ignore[override]
        self, other: Mapping[str, str] | Iterable[tuple[str, str]] = (), /, **more: str
    ) -> None:
        """Set several tags in one step. Raises `TooLargeError` beyond 512 bytes of tags."""
        changes = check_string_mapping("tags", {**dict(other), **more})
        if changes:
            self._native.update_tags([*changes.items()])

    def items(self) -> ItemsView[str, str]:
        """Return the current keys and values."""
        return self._all().items()

    def values(self) -> ValuesView[str]:
        """Return the current values."""
        return self._all().values()

    def clear(self) -> None:
        """Remove all tags."""
        self._native.set_tags({})

    def __or__(self, other: Mapping[str, str]) -> dict[str, str]:
        return {**self._all(), **other}

    def __ior__(self, other: Mapping[str, str]) -> Self:
        self.update(other)
        return self

    def __repr__(self) -> str:
        return repr(dict(self._all()))

    def __reduce__(self) -> tuple[type[dict[str, str]], tuple[dict[str, str]]]:
        # A node cannot leave its process: a copy or a pickle is a dict of its present tags.
        return dict, (dict(self._all()),)


class MemberTags(dict[str, str]):
    """The tags of a member at one moment: a dict that cannot be changed."""

    # This is a dict, so that `json`, `pickle` and other code that expects a dict accept it.
    __slots__ = ()

    def _refuse(self: Any, *_values: object, **_more: object) -> NoReturn:
        raise TypeError("the tags of a member are read-only; a node changes its own with node.tags")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)
