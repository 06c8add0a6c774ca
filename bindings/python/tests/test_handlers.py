"""Event handlers: what scripts get, beside what they get from a stock agent, and when they fail."""

import os
import signal
import subprocess
import time
from pathlib import Path

import click
import pytest
from conftest import QUICK, eventually, logged

import sprat
from sprat._cli.coalesce import Coalescer
from sprat._cli.handlers import Handler, environment, parse_handlers, stdin_lines
from sprat._cli.script import OUTPUT_LIMIT, call


def member(name, **tags):
    return sprat.Member(name, "10.0.0.1:7946", tags=tags)


# Which handlers there are


def test_filters_are_read_as_serf_reads_them():
    texts = ["a b", "member-join=c", "*=d=e", "member-leave,member-failed=f", "=g"]
    assert parse_handlers(texts) == [
        Handler("*", "a b"),
        Handler("member-join", "c"),
        Handler("*", "d=e"),
        Handler("member-leave", "f"),
        Handler("member-failed", "f"),
        Handler("*", "g"),
    ]
    assert [kind for kind in ("member-join", "x") if Handler("member-join", "c").wants(kind)] == [
        "member-join"
    ]


@pytest.mark.parametrize("text", ["user=x", "user:deploy=x", "query=x", "member-join,query:up=x"])
def test_handlers_of_user_events_and_queries_are_refused(text):
    with pytest.raises(click.UsageError, match="belong to a later version"):
        parse_handlers([text])


def test_a_script_with_an_equals_sign_is_explained():
    with pytest.raises(click.UsageError, match=r"write '\*=SCRIPT'"):
        parse_handlers(["A=1 script"])


# What they get


def test_only_tabs_and_newlines_are_escaped():
    odd = member("ours", role="r\t", a="b\nc\\d,e=f")
    assert stdin_lines([odd, member("plain")]) == (
        b"ours\t10.0.0.1\tr\\t\ta=b\\nc\\d,e=f,role=r\\t\nplain\t10.0.0.1\t\t\n"
    )


def test_the_environment_names_tags_and_keeps_secrets(monkeypatch):
    monkeypatch.setenv("SPRAT_KEY", "secret")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/x")
    monkeypatch.setenv("OTHER", "stays")
    given = environment("member-join", "me", {"role": "web", "d\u00e9j\u00e0-vu": "x\0y"})
    assert given.keys().isdisjoint({"SPRAT_KEY", "NOTIFY_SOCKET"})
    assert given["OTHER"] == "stays"
    assert {key: value for key, value in given.items() if key.startswith("SERF_")} == {
        "SERF_EVENT": "member-join",
        "SERF_SELF_NAME": "me",
        "SERF_SELF_ROLE": "web",
        "SERF_TAG_ROLE": "web",
        "SERF_TAG_D_J__VU": "xy",
    }


# When they are called


def test_events_are_gathered_until_it_is_quiet_or_the_period_is_over():
    gathered = Coalescer(3)
    assert gathered.due() is None
    gathered.add("member-join", member("a"), 10.0)
    assert gathered.due() == 11.0
    gathered.add("member-join", member("b"), 10.9)
    assert gathered.due() == 11.9
    gathered.add("member-join", member("c"), 12.5)
    assert gathered.due() == 13.0
    assert gathered.take() == [("member-join", [member("a"), member("b"), member("c")])]
    assert gathered.due() is None
    assert gathered.take() == []


def test_the_latest_event_of_a_member_counts_and_is_told_once():
    gathered = Coalescer(0)
    gathered.add("member-failed", member("a"), 0.0)
    gathered.add("member-join", member("b"), 0.0)
    gathered.add("member-join", member("a"), 0.0)
    assert gathered.due() == 0.0
    assert gathered.take() == [("member-join", [member("b"), member("a")])]
    gathered.add("member-failed", member("a"), 1.0)
    gathered.add("member-join", member("a"), 1.0)  # back before anybody was told
    gathered.add("member-update", member("b"), 1.0)
    assert gathered.take() == [("member-update", [member("b")])]
    gathered.add("member-update", member("b"), 2.0)
    assert gathered.take() == [("member-update", [member("b")])]


# One script


def test_a_script_need_not_read_and_only_the_end_of_its_output_is_kept():
    outcome = call("exec <&-; seq 100000; echo end >&2; exit 3", os.environ, b"x" * 1_000_000)
    assert (outcome.code, len(outcome.output)) == (3, OUTPUT_LIMIT)
    assert outcome.output.endswith(b"100000\nend\n")
    assert outcome.printed == 588_895 + 4


def test_a_script_reads_all_of_a_large_input():
    assert call("wc -c", os.environ, b"x" * 1_000_000).output.strip() == b"1000000"


def test_a_process_left_behind_holds_up_nobody():
    outcome = call("sleep 30 & echo $!", os.environ, b"")
    os.kill(int(outcome.output), signal.SIGKILL)
    assert (outcome.code, outcome.left_behind) == (0, True)
    assert outcome.seconds < 5


def test_a_script_that_must_end_ends_with_all_that_it_started():
    script = "trap '' TERM; echo $$; sleep 30 & echo $!; wait; wait"
    outcome = call(script, os.environ, b"", lambda seconds: seconds > 0.3)
    assert outcome.abandoned

    def is_gone(state: Path) -> bool:
        try:
            return state.read_text().rsplit(")", 1)[1].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    for pid in map(int, outcome.output.split()):
        # Nobody waits for an orphan at once, and a killed process takes a moment to die.
        eventually(f"{pid} is gone", lambda state=Path(f"/proc/{pid}/stat"): is_gone(state), 10)


# With real agents


DUMP = """#!/bin/sh
# One file for each member and kind; the input of a call may hold several members.
while IFS= read -r line; do
    name=$(printf '%s' "$line" | cut -f1)
    { env | grep ^SERF_ | grep -v ^SERF_SELF_NAME= | sort; printf '%s\\n' "$line"; } \
        > "$DUMP/$name.$SERF_EVENT.tmp"
    mv "$DUMP/$name.$SERF_EVENT.tmp" "$DUMP/$name.$SERF_EVENT"
done
"""


def appears(*files, within=40.0):
    eventually(f"{files} appear", lambda: all(it.exists() for it in files), within)


def test_a_script_gets_the_same_from_a_stock_agent_and_from_sprat(
    run, agent, tmp_path, monkeypatch
):
    script = tmp_path / "dump.sh"
    script.write_text(DUMP)
    script.chmod(0o755)
    folders = {name: tmp_path / name for name in ("stock", "ours")}
    for folder in folders.values():
        folder.mkdir()
    monkeypatch.setenv("DUMP", str(folders["stock"]))
    own = ("role=we\tb\\", "d\u00e9j\u00e0-vu=x,y=z")
    stock = agent(
        "stock", "-profile=local", f"-event-handler={script}", *(f"-tag={it}" for it in own)
    )
    tags = [it for tag in own for it in ("--tag", tag)]
    handler = ("--handler", str(script), "--profile", "local", "--join", stock.address)
    running = run("--name", "ours", *tags, *handler, DUMP=str(folders["ours"]))
    stock.sees("ours", "alive")

    # One tag each: with more, Serf writes them in any order.
    odd = agent("odd", f"-join={stock.address}", "-tag", "a=1\t2\n3\\4,5=\u6f22")
    leaver = agent("leaver", f"-join={stock.address}", "-tag", "role=db")
    every = {"odd.member-join", "leaver.member-join"}
    appears(*(folder / it for folder in folders.values() for it in every))
    odd.must("tags", "-set", "a=2")
    leaver.leave()
    every |= {"odd.member-update", "leaver.member-leave"}
    appears(*(folder / it for folder in folders.values() for it in every))
    odd.kill()
    every.add("odd.member-failed")
    appears(*(folder / it for folder in folders.values() for it in every))
    running.send(signal.SIGTERM)
    running.end()

    for it in sorted(every):
        theirs, ours = ((folders[name] / it).read_bytes() for name in ("stock", "ours"))
        assert ours == theirs, it
    told = (folders["ours"] / "odd.member-join").read_text()
    address = odd.address.removesuffix(":7946")
    assert told.endswith(f"odd\t{address}\t\ta=1\\t2\\n3\\4,5=\u6f22\n")
    assert "SERF_SELF_ROLE=we\tb\\\nSERF_TAG_D_J__VU=x,y=z\nSERF_TAG_ROLE=we\tb\\\n" in told
    # Both hear of themselves, too: when they start, and when they have left.
    for it in ("ours.member-join", "ours.member-leave", "stock.member-join"):
        assert (folders["ours"] / it).exists(), it


def test_failures_and_output_go_to_the_log_and_the_next_handler_runs(run):
    running = run(
        "--name=ours",
        "--coalesce=0",
        "--handler=member-join=echo 'to \033[31mlog'; exit 3",
        "--handler=member-join=kill -9 $$",
        "--handler=member-join=/nonexistent/script",
        "--handler=member-join=seq 100000",
        "--handler=member-join=echo $SERF_SELF_NAME $SERF_EVENT; cat",
    )
    log = "\n".join(logged(running, "ours\\t127."))
    assert r"[INFO] sprat.handler: member-join: to \x1b[31mlog" in log
    assert "ended with exit code 3" in log
    assert "was ended by signal 9" in log
    assert "ended with exit code 127" in log
    assert "printed 588895 bytes, only the last 8192 are shown" in log
    assert "[INFO] sprat.handler: member-join: ours member-join" in log
    running.send(signal.SIGTERM)
    running.end()


def test_a_handler_that_hangs_holds_up_neither_the_member_nor_its_end(run, agent):
    stock = agent("stock", "-profile=local")
    hangs = ("--handler", "member-join=sleep 60", "--stop-timeout", "0.5", "--coalesce", "0")
    running = run("--name=ours", "--profile=local", *hangs, "--join", stock.address)
    logged(running, "takes longer than 1 s")
    other = agent("other", f"-join={stock.address}")
    other.sees("ours", "alive")
    logged(running, "member-join other")
    begun = time.monotonic()
    running.send(signal.SIGTERM)
    assert "was ended after" in running.end()
    assert time.monotonic() - begun < 8
    stock.sees("ours", "left", 5)


def test_a_slow_handler_has_its_time_and_ends_before_the_command_does(run, tmp_path):
    done = tmp_path / "done"
    running = run("--name=ours", "--coalesce=0", f"--handler=member-join=sleep 2; echo > {done}")
    logged(running, "takes longer than 1 s")
    running.send(signal.SIGTERM)
    running.end()
    assert done.exists()


def test_a_handler_may_have_a_limit(run):
    limited = ("--handler-timeout=0.3", "--handler=member-join=sleep 60")
    running = run("--name=ours", "--coalesce=0", *limited)
    assert "'sleep 60' was ended after" in logged(running, "was ended")[-1]
    running.send(signal.SIGTERM)
    running.end()


def test_ctrl_c_at_a_terminal_is_for_the_member_and_not_for_its_handlers(command, addresses):
    script = "trap 'echo interrupted' INT; echo begun; sleep 1.5; echo finished"
    line = [*command, "run", "--name=ours", "--coalesce=0", "--bind", addresses.address(), *QUICK]
    with subprocess.Popen(
        [*line, f"--handler=member-join={script}"],
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as running:
        time.sleep(1)
        os.killpg(running.pid, signal.SIGINT)
        _, log = running.communicate(timeout=15)
    assert running.returncode == 0
    assert "finished" in log
    assert "member-join: interrupted" not in log
