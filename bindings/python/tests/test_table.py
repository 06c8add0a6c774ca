"""Tables for people: nothing is cut off, and a word that fits on a line is not split."""

import io
import sys

import pytest
from rich.console import Console

from sprat._cli import table

ROWS = [
    (("lb", "10.0.0.1:7946", "alive"), []),
    (("web-1", "10.0.0.12:7946", "failed"), ["dc=ams", "port=8080", "role=web", "version=1.4.2"]),
    (("web-漢", "[2001:db8::1]:7946", "alive"), ["note=" + "y" * 30, "role=web"]),
]
COLUMNS = ("NAME", "ADDRESS", "STATE", "TAGS")


@pytest.fixture
def printed(monkeypatch):
    """Return a function that prints the table in `width` columns, and returns its lines.

    A `width` of `None` stands for a file.
    """

    def show(width, rows=ROWS, color_system=None):
        stream = io.StringIO()
        out = Console(
            file=stream,
            width=width or 1 << 20,
            force_terminal=width is not None,
            color_system=color_system,
            highlight=False,
            markup=False,
            emoji=False,
        )
        monkeypatch.setattr(table, "console", lambda: out)
        monkeypatch.setattr(sys, "stdout", stream)
        table.print_table(COLUMNS, rows, styled="STATE")
        return stream.getvalue().splitlines()

    return show


def test_a_wide_terminal_and_a_file_have_a_line_for_each_row(printed):
    lines = [
        "NAME    ADDRESS             STATE   TAGS",
        "lb      10.0.0.1:7946       alive",
        "web-1   10.0.0.12:7946      failed  dc=ams,port=8080,role=web,version=1.4.2",
        "web-漢  [2001:db8::1]:7946  alive   note=yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy,role=web",
    ]
    assert printed(90) == printed(None) == lines
    assert printed(90, color_system="standard")[1] == (
        "lb      10.0.0.1:7946       \x1b[32malive\x1b[0m"
    )


def test_a_list_continues_in_its_column_or_below_its_row(printed):
    assert printed(66) == [
        "NAME    ADDRESS             STATE   TAGS",
        "lb      10.0.0.1:7946       alive",
        "web-1   10.0.0.12:7946      failed  dc=ams,port=8080,role=web,",
        "                                    version=1.4.2",
        "web-漢  [2001:db8::1]:7946  alive",
        "    note=yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy,role=web",
    ]
    assert printed(44) == [
        "NAME    ADDRESS             STATE   TAGS",
        "lb      10.0.0.1:7946       alive",
        "web-1   10.0.0.12:7946      failed",
        "    dc=ams,port=8080,role=web,version=1.4.2",
        "web-漢  [2001:db8::1]:7946  alive",
        "    note=yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy,",
        "    role=web",
    ]


def test_only_a_word_that_is_wider_than_the_line_is_split(printed):
    rows = [(("a", "10.0.0.1:7946", "alive"), ["long=" + "x" * 20, "漢=" + "漢" * 9, "z=1"])]
    assert printed(20, rows) == [
        "NAME  ADDRESS        STATE",
        "    TAGS",
        "a     10.0.0.1:7946  alive",
        "    long=xxxxxxxxxxx",
        "    xxxxxxxxx,",
        "    漢=漢漢漢漢漢漢",
        "    漢漢漢,z=1",
    ]


@pytest.mark.parametrize("width", range(1, 100))
def test_nothing_is_cut_off_at_any_width(printed, width):
    text = "".join("".join(line.split()) for line in printed(width))
    for cells, words in ROWS:
        assert "".join([*cells, ",".join(words)]) in text
