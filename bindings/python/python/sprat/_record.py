"""Records: read-only values with named fields, such as the health of a node.

They are like frozen data classes, but importing the module `dataclasses` would take half as long as
importing this whole package. Named tuples would lose the names of their fields in `json`, which
turns them into lists.
"""

import enum
from collections.abc import Iterator
from typing import Any, ClassVar, NoReturn, dataclass_transform

__all__ = ["Record"]


@dataclass_transform(frozen_default=True)
class Record:
    """A read-only value with named fields. `dict()` of it is the same as `to_dict()`."""

    __match_args__: ClassVar[tuple[str, ...]] = ()
    __dataclass_transform__: ClassVar[dict[str, Any]]  # set by the decorator

    def __init_subclass__(cls) -> None:
        cls.__match_args__ = tuple(cls.__annotations__)  # type: ignore[misc]

    def __init__(self, *values: Any, **named: Any) -> None:
        names = self.__match_args__
        fields = {**dict(zip(names, values, strict=False)), **named}
        if len(values) + len(named) != len(names) or fields.keys() != set(names):
            raise TypeError(f"{type(self).__name__} takes the arguments {', '.join(names)}")
        vars(self).update({name: fields[name] for name in names})

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as a new dict of plain values, for example for `json`."""
        return {name: _plain(value) for name, value in vars(self).items()}

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter(self.to_dict().items())

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} is read-only: {name} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} is read-only: {name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other) if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash((type(self), *map(_hashable, vars(self).values())))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({fields})"


def _plain(value: Any) -> Any:
    match value:
        case Record():
            return value.to_dict()
        case enum.Enum():
            return value.value
        case dict():
            return {key: _plain(it) for key, it in value.items()}
    return value


def _hashable(value: Any) -> Any:
    return frozenset(value.items()) if isinstance(value, dict) else value
