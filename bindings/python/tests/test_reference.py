"""The reference: the docstrings of all public names, and the lists of settings and events."""

from __future__ import annotations

import html
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
import reference_tables
import stub_docs

import sprat
import sprat.aio
import sprat.pytest_plugin
import sprat.testing
import sprat.types

TEMPLATE = Path(__file__).parents[1] / "pdoc"
MODULES = [sprat, sprat.aio, sprat.testing, sprat.pytest_plugin]


def own(module, cls):
    """Yield the names and values of the public methods and properties that this package defines
    for a class.
    """
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
    assert text.rstrip()[-1] in ".:)", f"{name}: the docstring ends without a full stop: {text}"


def test_the_stub_has_the_docstrings_of_the_module_for_editors():
    stub = stub_docs.STUB.read_text()
    assert stub == stub_docs.with_docs(stub), "run tests/stub_docs.py"
    assert stub.count('"""The name, unique in the cluster."""') == 1


def test_pdoc_shows_every_public_name(tmp_path):
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


def test_the_types_have_exactly_the_settings_of_the_library():
    known = sprat.types.Settings.__annotations__.keys()
    python_only = {"tags", "keys", "meta", "filter_tags"}
    assert known == {it.name for it in sprat.settings()} | python_only
    named = set(inspect.signature(sprat.Node).parameters) - {"settings", "on_event"}
    assert known - sprat.types.OtherSettings.__annotations__.keys() == named


def test_the_docs_list_every_setting_and_every_counter():
    for page, text in reference_tables.pages().items():
        assert page.read_text() == text, "run tests/reference_tables.py"


def test_settings_have_the_defaults_of_a_profile_and_their_bounds():
    lan, wan = ({it.name: it for it in sprat.settings(profile)} for profile in ("lan", "wan"))
    interval = lan["probe_interval_ms"]
    assert (interval.type, interval.default, interval.unit) == ("milliseconds", 1000, "ms")
    assert (interval.minimum, interval.maximum) == (10, 600_000)
    assert wan["probe_interval_ms"].default == 5000
    assert lan["compression"].default is True
    assert (lan["compression"].minimum, lan["compression"].unit) == (None, "")
    assert (lan["bind"].default, lan["encrypt"].default) == ("0.0.0.0:7946", None)
    assert (lan["seeds"].default, lan["spoe_servers"].default) == ((), "role=backend")
    assert all(it.help.endswith(".") and it.allowed for it in lan.values())
    assert not any(it.changeable for it in lan.values())


def test_an_unknown_profile_is_refused():
    with pytest.raises(sprat.InvalidError) as caught:
        sprat.settings("man")
    assert str(caught.value) == "profile must be one of lan, wan, local, got 'man'"


# Events


def test_every_class_of_events_is_public_and_has_a_kind():
    public = {it for it in vars(sprat).values() if isinstance(it, type)}
    native = {it for it in vars(sprat._native).values() if isinstance(it, type)}
    inside = {sprat._native.LogLine, sprat._native.QueryAck, sprat._native.QueryEnd}
    classes = {it for it in native if issubclass(it, sprat.Event)} - inside
    assert classes <= public
    leaves = {it for it in classes if not it.__subclasses__()}
    assert leaves == {*sprat._events.KINDS, sprat.Response}  # a query has a queue of its own
    names = list(sprat._events.KINDS.values())
    assert len(names) == len(set(names)) == 16
