"""The reference: every public name has a docstring, and pdoc shows it."""

from __future__ import annotations

import html
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sprat
import sprat.aio
import sprat.types

TEMPLATE = Path(__file__).parents[1] / "pdoc"
MODULES = [sprat, sprat.aio]
GUIDE = Path(__file__).parents[3] / "docs" / "python"


def own(module, cls):
    """Yield the public methods and properties of a class that this package defines."""
    for name in dir(cls):
        if name.startswith("_"):
            continue
        home = next(it for it in cls.__mro__ if name in vars(it))
        if home.__module__.partition(".")[0] == "sprat":
            value = inspect.getattr_static(cls, name)
            if (
                callable(value)
                or isinstance(value, property | classmethod | staticmethod)
                or inspect.isgetsetdescriptor(value)
            ):
                yield name, value


def documented():
    for module in MODULES:
        for name in module.__all__:
            value = getattr(module, name)
            if name.startswith("__"):
                continue
            if isinstance(value, type):
                yield module, name, value
                for part, it in own(module, value):
                    yield module, f"{name}.{part}", it
            elif inspect.isroutine(value):
                yield module, name, value


NAMES = [(f"{module.__name__}.{name}", value) for module, name, value in documented()]


@pytest.mark.parametrize(("name", "value"), NAMES, ids=[name for name, _ in NAMES])
def test_every_public_name_has_a_docstring(name, value):
    text = inspect.getdoc(value)
    assert text, f"{name} has no docstring"
    assert text.rstrip()[-1] in ".:)", f"{name}: the docstring does not end a sentence: {text}"


def test_pdoc_shows_all_of_it(tmp_path):
    command = [sys.executable, "-m", "pdoc", "-t", str(TEMPLATE), "-o", str(tmp_path)]
    command += [module.__name__ for module in MODULES]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    assert "Warn" not in done.stderr, done.stderr
    pages = {it: tmp_path / f"{it.__name__.replace('.', '/')}.html" for it in MODULES}
    shown = {module: plain(page.read_text()) for module, page in pages.items()}
    ids = {
        module: set(re.findall(r'id="([^"]+)"', page.read_text())) for module, page in pages.items()
    }
    for module in MODULES:
        assert set(module.__all__) - {"__version__"} <= ids[module]
    for module, name, value in documented():
        assert name in ids[module]
        first = (inspect.getdoc(value) or "").splitlines()[0]
        assert words(first) in shown[module], f"{name}: {first}"


def plain(page: str) -> str:
    return words(html.unescape(re.sub(r"<[^>]*>", "", page)))


def words(text: str) -> str:
    return "".join(re.findall(r"\w+", text))


# Settings


def settings():
    """Every setting of the library under its name in Python."""
    foreign = {"event_kinds"}  # events() says which ones are wanted
    for name, *about in sprat._native.settings():
        if name in foreign:
            continue
        yield name.replace(".", "_"), *about


def test_the_types_have_exactly_the_settings_of_the_library():
    known = sprat.types.Settings.__annotations__.keys()
    of_python = {"tags", "keys", "meta", "filter_tags"}
    assert known == {name for name, *_ in settings()} | of_python
    named = set(inspect.signature(sprat.Node).parameters) - {"settings", "on_event"}
    assert known - sprat.types.OtherSettings.__annotations__.keys() == named


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


def test_the_guide_lists_every_setting():
    rows = ["| argument | type | default | allowed | |", "| --- | --- | --- | --- | --- |"]
    for name, kind, default, allowed, text in settings():
        of_list = allowed.removesuffix(", separated by commas")
        type_ = TYPES.get(kind, kind)
        rows.append(f"| `{name}` | {type_} | {default} | {of_list} | {text} |")
    table = "\n".join(rows)
    page = (GUIDE / "settings.md").read_text()
    assert table in page, f"docs/python/settings.md should have\n\n{table}"
