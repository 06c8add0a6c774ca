"""The answers of the members to a query about the keys of the cluster."""

# This file omits `from __future__ import annotations`, so that programs that inspect the fields of
# a report find real types and not strings.

from typing import Self

from ._record import Record
from ._text import printable

__all__ = ["KeyAnswers", "KeyReport"]

KeyAnswers = tuple[int, list[tuple[str, bool, str]], list[str], list[tuple[str, int, int]]]
"""The answers of members as the native part returns them.

They are the number of members that were asked; the name of each member that answered, whether it
has done what was asked, and its message; the members that have not answered; and each key in
base64, the number of members that hold it, and the number of members whose primary key it is.
"""


class KeyReport(Record):
    """The answers of the members to a change of their keys, or to a request to list them."""

    asked: int
    """The number of members that were asked, this node included: always the sum of `answered` and
    `missing`. A member that left before it answered is not counted. One that joined meanwhile, or
    had failed, is counted if it has answered.
    """
    answered: tuple[str, ...]
    """The names of the members that have answered, sorted."""
    missing: tuple[str, ...]
    """The names of the members that have not answered in time, sorted. A member that has failed
    meanwhile is among them unless it has answered after all, one that has left is not.
    """
    errors: dict[str, str]
    """The members that could not do what was asked, with their reasons."""
    remarks: dict[str, str]
    """Remarks of members that did what was asked, for example that their list of keys is cut."""
    held_keys: dict[str, int]
    """Each key that members listed, in base64, with the number of members that hold it."""
    primary_keys: dict[str, int]
    """Each primary key that members listed, in base64, with the number of members that encrypt with
    it. While a key is being changed, there may be two.
    """

    @classmethod
    def _from_native(cls, answers: KeyAnswers) -> Self:
        asked, answered, missing, keys = answers
        said = {name: (done, printable(message)) for name, done, message in answered}
        return cls(
            asked=asked,
            answered=tuple(said),
            missing=tuple(missing),
            errors={name: message for name, (done, message) in said.items() if not done},
            remarks={name: message for name, (done, message) in said.items() if done and message},
            held_keys={key: members for key, members, _ in keys},
            primary_keys={key: primary for key, _, primary in keys if primary},
        )

    def __repr__(self) -> str:
        # Keys are secrets, which must not get into a log by mistake.
        return (
            f"KeyReport(asked={self.asked}, answered={len(self.answered)},"
            f" missing={self.missing!r}, errors={self.errors!r}, remarks={self.remarks!r},"
            f" held_keys=<{len(self.held_keys)}>, primary_keys=<{len(self.primary_keys)}>)"
        )
