"""Type checkers understand programs that use the package."""

import subprocess
import sys
import textwrap
from pathlib import Path

CONFIGURATION = Path(__file__).parents[1] / "pyproject.toml"

PATTERNS = """
    from typing import assert_type

    import sprat

    def name_of(event: sprat.Event) -> str:
        match event:
            case sprat.MemberJoined(member) | sprat.MemberUpdated(member):
                return assert_type(member, sprat.Member).name
            case sprat.MemberSuspected(sprat.Member(name, address)):
                return assert_type(name, str) + assert_type(address, str)
            case sprat.MemberEvent(sprat.Member(name, state=sprat.MemberState.FAILED)):
                return assert_type(name, str)
            case sprat.MemberEvent(member=member):
                return assert_type(member, sprat.Member).tags["role"]
            case sprat.Overflow(lost):
                return str(assert_type(lost, int))
            case sprat.NodeFailed(reason):
                return assert_type(reason, str)
            case _:
                return event.kind

    def summary(value: sprat.Health | sprat.Stat) -> str:
        match value:
            case sprat.Health(score, score_max, isolated=isolated):
                assert_type(isolated, bool)
                return f"{assert_type(score, int)} of {assert_type(score_max, int)}"
            case sprat.Stat(value=count, help=text):
                return f"{assert_type(count, int)} {assert_type(text, str)}"

    def by_name(members: sprat.Members) -> dict[str, sprat.Member]:
        return dict(members)

    assert_type(sprat.Stat(1, "help"), sprat.Stat)
"""


def errors_of(tmp_path: Path, code: str) -> str:
    """Return what mypy prints about a program, in its strict mode."""
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(code))
    command = [sys.executable, "-m", "mypy", "--config-file", str(CONFIGURATION), str(program)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=280, check=False, cwd=tmp_path
    ).stdout


def test_patterns_by_position_and_by_name_have_their_types(tmp_path):
    assert "Success" in errors_of(tmp_path, PATTERNS)


def test_the_settings_for_tests_may_stand_beside_a_name_and_an_address(tmp_path):
    code = """
        import sprat
        import sprat.aio
        import sprat.testing

        node = sprat.Node(name="app", bind="127.0.0.1:0", **sprat.testing.FAST)
        other = sprat.aio.Node(name="other", bind="127.0.0.1:0", **sprat.testing.FAST)
    """
    assert "Success" in errors_of(tmp_path, code)


def test_a_pattern_with_too_many_positions_and_a_change_of_a_value_are_errors(tmp_path):
    code = """
        import sprat

        def change(event: sprat.Event, health: sprat.Health, member: sprat.Member) -> None:
            match event:
                case sprat.MemberEvent(_, _):
                    pass
            health.score = 0
            member.name = "x"
    """
    printed = errors_of(tmp_path, code)
    assert "Too many positional patterns" in printed
    assert printed.count("is read-only") == 2
