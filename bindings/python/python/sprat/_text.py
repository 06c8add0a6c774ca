"""Text from other hosts."""

from __future__ import annotations

__all__ = ["printable"]


def printable(text: str) -> str:
    """Escape unprintable characters. Names come from other hosts and could control a terminal."""
    if text.isprintable():
        return text
    return "".join(it if it.isprintable() else repr(it)[1:-1] for it in text)
