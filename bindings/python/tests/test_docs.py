"""Runs what the documentation shows: every block of Python of a page, in order.

Around the blocks of a page may stand, unseen by readers:

- ``<!-- setup: CODE -->``: run before what follows, in the same namespace. It also has
  ``replace(shown, real)``, for addresses that are not those of this machine,
  ``interrupt(text)``: Ctrl-C as soon as the next block has printed this text, and
  ``terminate(text)``: SIGTERM then.
- ``<!-- program -->``: the next block is a program of its own, and runs in a process of its own.

A block of text after a block of Python is what it prints; ``...`` stands for what varies.
127.0.0.2:7946 is a stock serf agent, which every page that names it gets.
"""

from __future__ import annotations

import doctest
import json
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
RUNNER = Path(__file__).with_name("run_page.py")
SERF = "127.0.0.2:7946"
LANGUAGES = {"python", "text", "sh", "ini"}

PAGES = [ROOT / "bindings/python/README.md", *sorted((ROOT / "docs/python").glob("*.md"))]


@dataclass
class Block:
    what: str
    """setup, python or program"""
    line: int
    """where its code begins"""
    code: str
    printed: str | None = None


def blocks(text: str, first: int = 1) -> list[Block]:
    """The blocks of a page; what cannot be run is an error, nothing is passed over."""
    found: list[Block] = []
    program = fresh = False  # fresh: nothing but empty lines since the last block of Python
    lines = iter(enumerate(text.splitlines(), first))
    for number, line in lines:
        if line.startswith("```"):
            language, body = line.removeprefix("```"), []
            for _, inner in lines:
                if inner == "```":
                    break
                body.append(inner + "\n")
            else:
                raise AssertionError(f"line {number}: a block without end")
            assert language in LANGUAGES, f"line {number}: what is {language!r}?"
            if language == "python":
                what = "program" if program else "python"
                found.append(Block(what, number + 1, "".join(body)))
            elif language == "text":
                assert fresh, f"line {number}: text that no block of Python prints"
                found[-1].printed = "".join(body)
            program, fresh = False, language == "python"
        elif line.startswith("<!--"):
            comment = line
            while not comment.endswith("-->"):
                comment += "\n" + next(lines)[1]
            told = comment.removeprefix("<!--").removesuffix("-->").strip()
            if told == "program":
                program = True
            elif told.startswith("setup:"):
                code = told.removeprefix("setup:").strip() + "\n"
                found.append(Block("setup", number, code))
            else:
                raise AssertionError(f"line {number}: neither setup nor program: {told}")
            fresh = False
        elif line.strip():
            assert "```" not in line, f"line {number}: a block that does not begin at the margin"
            fresh = False
    assert not program, "a program is announced, and none comes"
    return found


def check(run, name: str, text: str, agent, tmp_path: Path, first: int = 1) -> None:
    parts = blocks(text, first)
    assert any(it.what != "setup" for it in parts), f"{name} shows no Python"
    replaced = {SERF: agent("web1", "-tag", "role=backend").address} if SERF in text else {}
    task, results = tmp_path / "task.json", tmp_path / "results.json"
    told = {"page": name, "blocks": [asdict(it) for it in parts], "replaced": replaced}
    task.write_text(json.dumps(told))
    command = [sys.executable, "-W", "error", str(RUNNER), str(task), str(results)]
    output = run(command=command, deadline=45).end()
    # What goes wrong in a thread or a destructor is printed, and seen by nobody.
    assert "Exception ignored" not in output, output
    assert "Exception in thread" not in output, output
    checker = doctest.OutputChecker()
    for block, printed in zip(parts, json.loads(results.read_text()), strict=True):
        if block.printed is None:
            continue
        place = f"{name}, line {block.line}"
        same = checker.check_output(block.printed, printed, doctest.ELLIPSIS)
        assert same, f"{place} should print\n{block.printed}\nand printed\n{printed}"


@pytest.mark.parametrize("page", PAGES, ids=lambda it: str(it.relative_to(ROOT)))
def test_what_a_page_shows_works(page, agent, program, tmp_path):
    if page.name == "command.md" and "```python" not in page.read_text():
        return  # commands of a shell, which other tests run
    check(program, str(page.relative_to(ROOT)), page.read_text(), agent, tmp_path)


def test_what_the_main_page_shows_works(agent, program, tmp_path):
    lines = (ROOT / "README.md").read_text().splitlines()
    if "## For Python programs" not in lines:
        assert not any(line.startswith("```python") for line in lines)
        return
    begin = lines.index("## For Python programs") + 1
    rest = range(begin, len(lines))
    end = next((at for at in rest if lines[at].startswith("## ")), len(lines))
    section = "\n".join(lines[begin:end])
    check(program, "README.md", section, agent, tmp_path, begin + 1)


@pytest.mark.parametrize("page", PAGES, ids=lambda it: str(it.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in link:
            assert (page.parent / link).exists(), link


def test_the_index_names_every_page():
    index = (ROOT / "docs/python/README.md").read_text()
    for page in PAGES:
        assert page.name == "README.md" or f"]({page.name})" in index, page.name


@pytest.mark.parametrize(
    "text",
    [
        "```pyton\n```\n",
        "  ```python\n  ```\n",
        "```python\n",
        "```text\nwhere from?\n```\n",
        "<!-- note -->\n",
        "<!-- program -->\n",
    ],
)
def test_nothing_is_passed_over(text):
    with pytest.raises(AssertionError):
        blocks(text)
