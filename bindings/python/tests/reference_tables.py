"""Generates the tables of settings and of counters in the docs from the installed package.

Run this program after a change of a setting or a counter. `test_reference.py` checks the tables.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import sprat
from sprat import _native
from sprat._catalog import NOT_IN_PYTHON, argument_name

DOCS = Path(__file__).parents[3] / "docs"

SETTINGS_HEAD = "| argument | type | default | allowed | meaning |\n| --- | --- | --- | --- | --- |"
COUNTERS_HEAD = "| counter | meaning |\n| --- | --- |"

TYPES = {
    "milliseconds": "int of ms, or timedelta",
    "number": "int",
    "boolean": "bool",
    "text": "str",
    "word": "str",
    "address": "str",
    "base64": "str",
    "file": "str or Path",
}


def pages() -> dict[Path, str]:
    """Return each page with a table at its end, as it should be."""
    tables = {
        DOCS / "python" / "settings.md": (SETTINGS_HEAD, settings_rows()),
        DOCS / "counters.md": (COUNTERS_HEAD, counters_rows()),
    }
    return {page: _page(page.read_text(), *table) for page, table in tables.items()}


def _page(text: str, head: str, rows: list[str]) -> str:
    return "\n".join([text[: text.index(head)] + head, *rows]) + "\n"


def settings_rows() -> list[str]:
    """Return a row for each argument that stands for one setting."""
    rows = []
    for record in _native.settings():
        name = record["name"]
        if "KEY" in name or name in NOT_IN_PYTHON:
            continue
        kind = TYPES.get(record["type"], record["type"])
        allowed = record["allowed"].removesuffix(", separated by commas")
        default = _default(record["defaults"])
        cells = (f"`{argument_name(name)}`", kind, default, allowed, record["help"])
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _default(defaults: dict[str, str]) -> str:
    """Return the default of profile lan, and the defaults of other profiles that differ from it."""
    lan = defaults["lan"]
    others = [f"{name} {text}" for name, text in defaults.items() if text != lan]
    return ", ".join([lan, *others])


def counters_rows() -> list[str]:
    """Return a row for each counter of a node, those of mDNS included."""
    settings = {"bind": "127.0.0.1:0", "discover": "nobody"}
    with contextlib.closing(sprat.Node(name="counters", **settings)) as node:
        stats = node.stats(help=True)
    return [f"| `{name}` | {stat.help} |" for name, stat in stats.items()]


def main() -> None:
    """Replace the tables in their pages."""
    for page, text in pages().items():
        page.write_text(text)


if __name__ == "__main__":
    main()
