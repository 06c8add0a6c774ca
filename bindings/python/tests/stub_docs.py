"""Writes the docstrings of the public native classes into the type stub, where editors read them.

Run this program after such a docstring has changed. `test_reference.py` checks the stub.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path

import sprat
from sprat import _native

STUB = Path(__file__).parents[1] / "python/sprat/_native.pyi"

_WIDTH = 100


def with_docs(stub: str) -> str:
    """Return the stub with the docstring of every public class, method and property."""
    starts = [0]
    for line in stub.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for node, text in reversed([*_documented(stub)]):
        first = node.body[0]
        if isinstance(first, ast.Expr):  # `...` or a docstring, which is replaced
            header = stub[: starts[first.lineno - 1] + first.col_offset].rstrip()
            rest = stub[starts[first.end_lineno - 1] + first.end_col_offset :]
        else:  # the first statement of a class, which stays, after an empty line
            begin = min(it.lineno for it in (first, *getattr(first, "decorator_list", ())))
            header, rest = stub[: starts[begin - 1] - 1], "\n" + stub[starts[begin - 1] - 1 :]
        stub = "\n".join([header, *_docstring(text, node.col_offset + 4)]) + rest
    return stub


def _documented(stub: str) -> Iterator[tuple[ast.ClassDef | ast.FunctionDef, str]]:
    for cls in ast.parse(stub).body:
        if not isinstance(cls, ast.ClassDef):
            continue
        native = getattr(_native, cls.name)
        if getattr(sprat, cls.name, None) is native:
            yield from _with_text(cls, native)
            for part in cls.body:
                if isinstance(part, ast.FunctionDef) and not part.name.startswith("_"):
                    yield from _with_text(part, vars(native)[part.name])


def _with_text(
    node: ast.ClassDef | ast.FunctionDef, native: object
) -> Iterator[tuple[ast.ClassDef | ast.FunctionDef, str]]:
    text = inspect.getdoc(native)
    if text:
        yield node, text


def _docstring(text: str, indent: int) -> list[str]:
    """Return the lines of a docstring, as ruff formats it."""
    paragraphs = [" ".join(it.split()) for it in text.strip().split("\n\n")]
    paragraphs[0] = f'"""{paragraphs[0]}'
    lines = "\n\n".join(textwrap.fill(it, _WIDTH - indent - 3) for it in paragraphs).splitlines()
    if len(lines) == 1:
        lines[0] += '"""'
    else:
        lines.append('"""')
    return [(" " * indent + it).rstrip() for it in lines]


if __name__ == "__main__":
    STUB.write_text(with_docs(STUB.read_text()))
