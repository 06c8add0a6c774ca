"""A table for people. Its last column holds lists of words, such as the tags of a member.

On a terminal, a list continues on the next line after a comma, and never inside a word. If a word
is too wide for its column, the whole list follows below its row, where almost the full width is
free; only a word that is wider than that is split. The other columns are never folded, so that
names and addresses can be copied. In a file or a pipe, each row is one line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .output import STATE_STYLES, console, write

__all__ = ["Row", "print_table"]

Row = tuple[Sequence[str], Sequence[str]]
"""The cells of a row, and the words of its last column."""

_GAP = "  "
_INDENT = "    "
"""The space in front of a list below its row."""


def print_table(columns: Sequence[str], rows: Sequence[Row], styled: str) -> None:
    """Print the rows below the names of the columns; `styled` names the column of states."""
    from rich.cells import cell_len
    from rich.text import Text

    out = console()
    *heads, last = columns
    cells = [heads, *(cells for cells, _ in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    for number, (texts, words) in enumerate([(heads, [last]), *rows]):
        line = Text(style="bold" if number == 0 else "")
        for head, text, width in zip(heads, texts, widths, strict=True):
            line.append(text, STATE_STYLES.get(text, "") if head == styled else "")
            line.append(" " * (width - cell_len(text)) + _GAP)
        limit = out.width if out.is_terminal else None
        for more in _beside_or_below(line.cell_len, words, limit):
            if not out.is_terminal:
                write((line.plain + more).rstrip())
            else:
                line.append(more)
                line.rstrip()
                out.print(line, soft_wrap=True)
            line = Text()


def _beside_or_below(begin: int, words: Sequence[str], width: int | None) -> Iterator[str]:
    """Yield the text after the cells, which end at column `begin`, and then the lines below."""
    from rich.cells import cell_len

    if width is None:
        yield ",".join(words)
    elif all(begin + cell_len(word) < width for word in words):  # the comma needs a column, too
        first, *others = _folded(words, width - begin)
        yield first
        yield from (" " * begin + it for it in others)
    else:
        yield ""
        yield from (_INDENT + it for it in _folded(words, width - len(_INDENT)))


def _folded(words: Sequence[str], width: int) -> Iterator[str]:
    """Yield the words, separated by commas, in lines of at most `width` columns."""
    from rich.cells import cell_len

    width = max(width, 2)  # the width of the widest character
    line = ""
    for number, word in enumerate(words, 1):
        text = word if number == len(words) else f"{word},"
        if line and cell_len(line) + cell_len(text) > width:
            yield line
            line = ""
        line += text
        while cell_len(line) > width:  # a word that is wider than the line
            fits = next(at for at in range(len(line), 0, -1) if cell_len(line[:at]) <= width)
            yield line[:fits]
            line = line[fits:]
    yield line
