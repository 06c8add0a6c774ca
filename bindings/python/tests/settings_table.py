"""Generates the table of settings in docs/python/settings.md from the installed package.

Run this program after a change of a setting. `test_reference.py` checks the table.
"""

from __future__ import annotations

from pathlib import Path

from sprat import _native
from sprat._catalog import NOT_IN_PYTHON, argument_name

PAGE = Path(__file__).parents[3] / "docs" / "python" / "settings.md"

HEAD = "| argument | type | default | allowed | meaning |\n| --- | --- | --- | --- | --- |"

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


def table() -> str:
    """Return the table, with a row for each argument that stands for one setting."""
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
    return "\n".join([HEAD, *rows])


def _default(defaults: dict[str, str]) -> str:
    """Return the default of profile lan, and the defaults of other profiles that differ from it."""
    lan = defaults["lan"]
    others = [f"{name} {text}" for name, text in defaults.items() if text != lan]
    return ", ".join([lan, *others])


def main() -> None:
    """Replace the table in the page."""
    text = PAGE.read_text()
    PAGE.write_text(text[: text.index("| argument | type |")] + table() + "\n")


if __name__ == "__main__":
    main()
