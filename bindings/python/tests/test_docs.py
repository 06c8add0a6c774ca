"""Runs the documentation: every Python block of each page, in order.

HTML comments, which readers do not see, may stand between the blocks of a page:

- ``<!-- setup: CODE -->`` runs code before the next block, in the same namespace. The code can call
  ``replace(shown, real)`` for addresses that this machine does not have, ``interrupt(text)`` for
  Ctrl-C once the next block has printed this text, and ``terminate(text)`` for SIGTERM instead.
- ``<!-- program -->`` runs the next block in a process of its own.

A text block after a Python block is its expected output; ``...`` matches any text. If a page
names 127.0.0.2:7946, the address of a stock serf agent replaces that address.
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
ALL_PAGES = sorted(
    page
    for folder in ("", ".github/**/", "docs/**/", "bindings/**/", "examples/**/")
    for page in ROOT.glob(f"{folder}*.md")
    if not {"target", "node_modules", ".pytest_cache"}.intersection(page.parts)
)


@dataclass
class Block:
    what: str
    """The kind of block: setup, python or program."""
    line: int
    """The number of the line where the code begins."""
    code: str
    printed: str | None = None


def blocks(text: str, first: int = 1) -> list[Block]:
    """Return the Python blocks of a page, with the setups and the expected outputs.

    Blocks of shell commands and of settings are left out. A malformed block is an error.
    """
    found: list[Block] = []
    program = fresh = False  # fresh: only empty lines since the last Python block
    lines = iter(enumerate(text.splitlines(), first))
    for number, line in lines:
        if line.startswith("```"):
            language, body = line.removeprefix("```"), []
            for _, inner in lines:
                if inner == "```":
                    break
                body.append(inner + "\n")
            else:
                raise AssertionError(f"line {number}: the block has no end")
            assert language in LANGUAGES, f"line {number}: unknown language {language!r}"
            if language == "python":
                what = "program" if program else "python"
                found.append(Block(what, number + 1, "".join(body)))
            elif language == "text":
                assert fresh, f"line {number}: no Python block comes before this output"
                found[-1].printed = "".join(body)
            program, fresh = False, language == "python"
        elif line.startswith("<!--"):
            comment = line
            while not comment.endswith("-->"):
                comment += "\n" + next(lines)[1]
            directive = comment.removeprefix("<!--").removesuffix("-->").strip()
            if directive == "program":
                program = True
            elif directive.startswith("setup:"):
                code = directive.removeprefix("setup:").strip() + "\n"
                found.append(Block("setup", number, code))
            else:
                raise AssertionError(f"line {number}: neither a setup nor a program: {directive}")
            fresh = False
        elif line.strip():
            assert "```" not in line, f"line {number}: a block must not be indented"
            fresh = False
    assert not program, "no block follows <!-- program -->"
    return found


def check(run, name: str, text: str, agent, tmp_path: Path, first: int = 1) -> None:
    parts = blocks(text, first)
    assert any(it.what != "setup" for it in parts), f"{name} shows no Python"
    replaced = {SERF: agent("web1", "-tag", "role=backend").address} if SERF in text else {}
    task, results = tmp_path / "task.json", tmp_path / "results.json"
    parameters = {"page": name, "blocks": [asdict(it) for it in parts], "replaced": replaced}
    task.write_text(json.dumps(parameters))
    command = [sys.executable, "-W", "error", str(RUNNER), str(task), str(results)]
    output = run(command=command, deadline=150).end()
    # An error in a thread or a destructor is only printed.
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
def test_the_code_of_a_page_runs_and_prints_what_the_page_shows(page, agent, program, tmp_path):
    if page.name == "command.md" and "```python" not in page.read_text():
        return  # shell commands, which other tests run
    check(program, str(page.relative_to(ROOT)), page.read_text(), agent, tmp_path)


def test_the_python_code_of_the_main_readme_runs(agent, program, tmp_path):
    lines = (ROOT / "README.md").read_text().splitlines()
    if "## For Python programs" not in lines:
        assert not any(line.startswith("```python") for line in lines)
        return
    begin = lines.index("## For Python programs") + 1
    rest = range(begin, len(lines))
    end = next((at for at in rest if lines[at].startswith("## ")), len(lines))
    section = "\n".join(lines[begin:end])
    check(program, "README.md", section, agent, tmp_path, begin + 1)


def without_code(text: str) -> str:
    """Return a page without its blocks of code, in which a comment looks like a heading."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    found: dict[str, int] = {}
    names = set()
    for heading in re.findall(r"^#+ (.+)$", without_code(text), re.MULTILINE):
        shown = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", shown.strip().lower()).replace(" ", "-")
        number = found[name] = found.get(name, -1) + 1
        names.add(f"{name}-{number}" if number else name)
    return names


def test_an_anchor_is_made_from_a_heading():
    text = "# `a`: b_c d-e?\n```sh\n# no heading\n```\n## Same\n## Same\n### A [link](x.md#y)\n"
    assert anchors(text) == {"a-b_c-d-e", "same", "same-1", "a-link"}


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda it: str(it.relative_to(ROOT)))
def test_links_of_a_page_have_a_target(page):
    links = re.findall(r"\]\(<?([^)#\s>]*)(?:#([^)\s>]*))?>?\)", without_code(page.read_text()))
    for link, anchor in links:
        if "://" in link or link.startswith("mailto:"):
            continue
        target = page.parent / link if link else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text()), f"{link}#{anchor}"


def too_wide(text: str) -> list[str]:
    """Return the lines of more than 120 characters, except in code, comments and tables."""
    prose = re.sub(r"<!--.*?-->", "", without_code(text), flags=re.DOTALL)
    return [it for it in prose.splitlines() if len(it) > 120 and not it.lstrip().startswith("|")]


def test_only_lines_of_prose_may_not_be_wide():
    long = "x" * 121
    hidden = f"```sh\n{long}\n```\n<!-- setup:\n{long} -->\n| {long} |\n"
    assert too_wide(f"{hidden}{long}\nshort\n") == [long]


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda it: str(it.relative_to(ROOT)))
def test_the_lines_of_a_page_have_at_most_120_characters(page):
    assert too_wide(page.read_text()) == []


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
def test_a_malformed_block_is_an_error(text):
    with pytest.raises(AssertionError):
        blocks(text)
