"""Event handlers: their options and input, compared with a stock agent, and their failures."""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import click
import pytest
from conftest import (
    QUICK,
    LeaveSeenAsFailure,
    bound_address,
    eventually,
    logged,
    retry_if_leave_is_lost,
    sees_left,
)

import sprat
from sprat._cli.coalesce import Coalescer
from sprat._cli.handlers import (
    Call,
    Handler,
    environment,
    message_call,
    parse_handlers,
    stdin_lines,
)
from sprat._cli.messages import WaitingMessages
from sprat._cli.script import OUTPUT_LIMIT, call


def member(name, **tags):
    return sprat.Member(name, "10.0.0.1:7946", tags=tags)


# Options


def test_filters_are_parsed_as_serf_parses_them():
    texts = ["a b", "member-join=c", "*=d=e", "member-leave,user:deploy=f", "=g", "query=h"]
    assert parse_handlers(texts) == [
        Handler("*", "a b"),
        Handler("member-join", "c"),
        Handler("*", "d=e"),
        Handler("member-leave", "f"),
        Handler("user", "f", "deploy"),
        Handler("*", "g"),
        Handler("query", "h"),
    ]
    assert [kind for kind in ("member-join", "x") if Handler("member-join", "c").wants(kind)] == [
        "member-join"
    ]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("x", {("user", "deploy"), ("user", "other"), ("query", "deploy"), ("member-join", "")}),
        ("user=x", {("user", "deploy"), ("user", "other")}),
        ("user:deploy=x", {("user", "deploy")}),
        ("query:deploy=x", {("query", "deploy")}),
        ("member-join=x", {("member-join", "")}),
    ],
)
def test_a_filter_with_a_name_selects_only_events_with_this_name(text, wanted):
    events = [("user", "deploy"), ("user", "other"), ("query", "deploy"), ("member-join", "")]
    (handler,) = parse_handlers([text])
    assert {it for it in events if handler.wants(*it)} == wanted


def test_the_error_for_a_script_with_an_equals_sign_shows_the_right_form():
    with pytest.raises(click.UsageError, match=r"write '\*=SCRIPT'"):
        parse_handlers(["A=1 script"])


# Input


def test_only_tabs_and_newlines_are_escaped():
    odd = member("ours", role="r\t", a="b\nc\\d,e=f")
    assert stdin_lines([odd, member("plain")]) == (
        b"ours\t10.0.0.1\tr\\t\ta=b\\nc\\d,e=f,role=r\\t\nplain\t10.0.0.1\t\t\n"
    )


def test_the_environment_has_the_tags_and_no_secret(monkeypatch):
    monkeypatch.setenv("SPRAT_KEY", "secret")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/x")
    monkeypatch.setenv("OTHER", "stays")
    given = environment(
        Call("member-join", b""), "me", {"role": "web", "d\u00e9j\u00e0-vu": "x\0y"}
    )
    assert given.keys().isdisjoint({"SPRAT_KEY", "NOTIFY_SOCKET"})
    assert given["OTHER"] == "stays"
    assert {key: value for key, value in given.items() if key.startswith("SERF_")} == {
        "SERF_EVENT": "member-join",
        "SERF_SELF_NAME": "me",
        "SERF_SELF_ROLE": "web",
        "SERF_TAG_ROLE": "web",
        "SERF_TAG_D_J__VU": "xy",
    }


@pytest.mark.parametrize(
    ("event", "stdin", "variables"),
    [
        (
            sprat.UserEvent("deploy", b"v2", 7),
            b"v2\n",
            {"SERF_EVENT": "user", "SERF_USER_EVENT": "deploy", "SERF_USER_LTIME": "7"},
        ),
        (
            sprat.Query("up", b"a\n", 8),
            b"a\n",
            {"SERF_EVENT": "query", "SERF_QUERY_NAME": "up", "SERF_QUERY_LTIME": "8"},
        ),
        (
            sprat.UserEvent("n\0ul", b"", 9),
            b"",
            {"SERF_EVENT": "user", "SERF_USER_EVENT": "nul", "SERF_USER_LTIME": "9"},
        ),
    ],
)
def test_a_script_gets_the_payload_and_the_name_of_a_message(event, stdin, variables):
    call = message_call(event)
    assert call.stdin == stdin
    given = environment(call, "me", {})
    found = {key: it for key, it in given.items() if key.startswith("SERF_")}
    assert found == {**variables, "SERF_SELF_NAME": "me", "SERF_SELF_ROLE": ""}


# Coalescing


def test_events_are_due_after_a_quiet_time_or_the_period():
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


def taken(messages, now):
    return [(call.name, call.stdin) for call in messages.take(now)]


def test_only_user_events_that_allow_it_are_coalesced():
    messages = WaitingMessages(3)
    assert messages.due() is None
    for payload, ltime in ((b"2\n", 2), (b"1\n", 1), (b"3\n", 3), (b"also 3\n", 3)):
        messages.add(sprat.UserEvent("deploy", payload, ltime, True), 10.0)
    assert messages.due() == 11.0
    messages.add(sprat.UserEvent("once", b"1\n", 1), 10.0)
    messages.add(sprat.UserEvent("once", b"2\n", 2), 10.0)
    messages.add(sprat.Query("up", deadline=time.monotonic() + 600), 10.0)
    messages.add(sprat.Query("late", deadline=time.monotonic()), 10.0)
    assert messages.due() == 0.0
    assert taken(messages, 10.0) == [("once", b"1\n"), ("once", b"2\n"), ("up", b"")]
    assert messages.due() == 11.0
    assert taken(messages, 11.0) == [("deploy", b"3\n"), ("deploy", b"also 3\n")]
    assert messages.due() is None


def test_the_number_of_messages_that_wait_is_bounded_and_the_loss_is_logged(caplog):
    messages = WaitingMessages(3)
    for number in range(1030):
        messages.add(sprat.UserEvent(str(number), coalesce=number % 2 == 0), 0.0)
    found = [int(name) for name, _ in taken(messages, 100.0)]
    assert len(found) == 1024
    assert "6 user events and queries were dropped: handlers are too slow" in caplog.text


def gathered(*events):
    """Return the calls for events (kind, member) that come close together."""
    coalescer = Coalescer(3)
    for kind, it in events:
        coalescer.add(f"member-{kind}", it, 0.0)
    return [(kind.removeprefix("member-"), members) for kind, members in coalescer.take()]


A, B, C = (member(name) for name in "abc")
A_WEB = member("a", role="web")
A_MOVED = sprat.Member("a", "10.0.0.9:7946")


@pytest.mark.parametrize(
    ("events", "calls"),
    [
        # A join is never lost, and has the latest tags.
        ([("join", A), ("update", A_WEB)], [("join", [A_WEB]), ("update", [A_WEB])]),
        (
            [("join", A), ("update", member("a", role="db")), ("update", A_WEB)],
            [("join", [A_WEB]), ("update", [A_WEB])],
        ),
        ([("join", A), ("leave", A)], [("join", [A]), ("leave", [A])]),
        # A departure is never lost, and has the old address.
        ([("failed", A), ("join", A_MOVED)], [("failed", [A]), ("join", [A_MOVED])]),
        ([("leave", A), ("join", A_MOVED)], [("leave", [A]), ("join", [A_MOVED])]),
        ([("leave", A), ("join", A)], [("leave", [A]), ("join", [A])]),
        (
            [("failed", A), ("leave", A), ("reap", A)],
            [("failed", [A]), ("leave", [A]), ("reap", [A])],
        ),
        ([("update", A_WEB), ("failed", A_WEB)], [("update", [A_WEB]), ("failed", [A_WEB])]),
        (
            [("failed", A), ("reap", A), ("join", A_MOVED), ("update", A_WEB)],
            [("failed", [A]), ("reap", [A]), ("join", [A_WEB]), ("update", [A_WEB])],
        ),
        # A stay that is followed by another one is left out, with all its events.
        ([("join", A), ("update", A_WEB), ("leave", A), ("join", A_MOVED)], [("join", [A_MOVED])]),
        (
            [("leave", A), ("join", A_WEB), ("update", A_WEB), ("leave", A_WEB), ("join", A_MOVED)],
            [("leave", [A]), ("join", [A_MOVED])],
        ),
        (
            [("update", A_WEB), ("leave", A_WEB), ("join", A_MOVED)],
            [("update", [A_WEB]), ("leave", [A_WEB]), ("join", [A_MOVED])],
        ),
        # The last departure does not hide the one from the old address.
        (
            [("leave", A), ("join", A_MOVED), ("leave", A_MOVED)],
            [("leave", [A]), ("join", [A_MOVED]), ("leave", [A_MOVED])],
        ),
        # Repetitions are coalesced, and the last event of each member comes last.
        ([("failed", A), ("join", A)] * 5, [("failed", [A]), ("join", [A])]),
        ([("join", A), ("failed", A)] * 5, [("join", [A]), ("failed", [A])]),
        ([("update", A), ("update", A_WEB)], [("update", [A_WEB])]),
        # One call for many members, unless a member needs two.
        ([("failed", A), ("failed", B), ("failed", C)], [("failed", [A, B, C])]),
        (
            [("leave", A), ("join", B), ("join", A_MOVED), ("leave", B), ("join", C)],
            [("leave", [A]), ("join", [B, C]), ("join", [A_MOVED]), ("leave", [B])],
        ),
    ],
)
def test_the_events_of_a_member_are_handed_on_in_order_and_without_repetitions(events, calls):
    assert gathered(*events) == calls


def test_events_that_were_handed_on_are_forgotten():
    coalescer = Coalescer(0)
    for _ in range(2):
        coalescer.add("member-join", A, 0.0)
        assert coalescer.due() == 0.0
        assert coalescer.take() == [("member-join", [A])]
        assert coalescer.take() == []
        assert coalescer.due() is None


# One call


def test_a_script_may_ignore_its_input_and_only_the_end_of_its_output_is_kept():
    outcome = call("exec <&-; seq 100000; echo end >&2; exit 3", os.environ, b"x" * 1_000_000)
    assert (outcome.code, len(outcome.output)) == (3, OUTPUT_LIMIT)
    assert outcome.output.endswith(b"100000\nend\n")
    assert outcome.printed == 588_895 + 4


def test_a_script_reads_all_of_a_large_input():
    assert call("wc -c", os.environ, b"x" * 1_000_000).output.strip() == b"1000000"


def test_a_script_that_redirects_its_output_reads_all_of_a_large_input(tmp_path):
    file = tmp_path / "output"
    script = f"exec >{file} 2>&1; wc -c"
    outcome = call(script, os.environ, b"x" * 1_000_000, lambda seconds: seconds > 60)
    assert (outcome.code, outcome.abandoned, outcome.printed) == (0, False, 0)
    assert file.read_text().strip() == "1000000"


def test_a_process_left_behind_does_not_delay_the_call():
    outcome = call("sleep 30 & echo $!", os.environ, b"")
    os.kill(int(outcome.output), signal.SIGKILL)
    assert (outcome.code, outcome.left_behind) == (0, True)
    assert outcome.seconds < 25, "the call waited for the process, which sleeps 30 s"


def test_ending_a_script_also_ends_its_child_processes():
    script = "trap '' TERM; echo $$; sleep 30 & echo $!; wait; wait"
    outcome = call(script, os.environ, b"", lambda seconds: seconds > 0.3)
    assert outcome.abandoned

    def is_gone(state: Path) -> bool:
        try:
            return state.read_text().rsplit(")", 1)[1].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    for pid in map(int, outcome.output.split()):
        # A killed process takes a moment to end, and init takes a moment to reap it.
        eventually(f"{pid} is gone", lambda state=Path(f"/proc/{pid}/stat"): is_gone(state))


# Children


def test_a_child_that_was_left_behind_is_removed_and_a_script_keeps_its_exit_code(program):
    program(
        """
        import os, subprocess
        from sprat._cli.children import reap, running

        def await_end(process):
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

        def is_child(process):
            try:
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return False
            return True

        reap()  # without any child
        early = subprocess.Popen(["true"])
        await_end(early)
        with running(lambda: subprocess.Popen(["sh", "-c", "exit 3"])) as script:
            await_end(script)
            late = subprocess.Popen(["true"])
            await_end(late)
            alive = subprocess.Popen(["sleep", "60"])
            reap()
            assert not is_child(early)
            assert script.wait() == 3
            reap()
            assert not is_child(late)
        reap()
        assert alive.poll() is None
        alive.kill()
        assert alive.wait() == -9
        early.returncode = late.returncode = 0  # or their destructors warn
        """
    ).end()


SUBREAPER = """
import ctypes, os, signal, sys
PR_SET_CHILD_SUBREAPER = 36  # orphans become children of this process, as they do of process 1
assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # some supervisors leave it like that
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_run_as_process_1_leaves_no_zombies_and_keeps_exit_codes(
    command, program, addresses, tmp_path
):
    go_on, orphan = tmp_path / "go-on", tmp_path / "orphan"
    waits = f"while [ ! -e {go_on} ]; do sleep 0.05; done"
    handler = f"sh -c '(echo $$ > {orphan}; exec >&- 2>&-; {waits}) &'; exit 3"
    options = ["--name=ours", "--bind", addresses.address(), *QUICK, "--coalesce=0"]
    running = program(SUBREAPER, *command, "run", *options, f"--handler=member-join={handler}")
    assert "failed with exit code 3" in logged(running, "exit code")[-1]
    number = int(orphan.read_text())

    def parent_of(pid):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return None  # another process of this host that has just ended
        return int(stat.rsplit(")", 1)[1].split()[1])

    children = {
        int(it.name)
        for it in Path("/proc").iterdir()
        if it.name.isdigit() and parent_of(it.name) == running.process.pid
    }
    assert children, f"the process that {number} started is a child of the command"
    go_on.touch()
    for it in children:
        eventually(f"{it} is gone", lambda it=it: not Path(f"/proc/{it}").exists())
    running.send(signal.SIGTERM)
    running.end()


# With stock agents


DUMP = """#!/bin/sh
# One file for each member and kind; the input of a call may hold several members.
while IFS= read -r line; do
    name=$(printf '%s' "$line" | cut -f1)
    { env | grep ^SERF_ | grep -v ^SERF_SELF_NAME= | sort; printf '%s\\n' "$line"; } \
        > "$DUMP/$name.$SERF_EVENT.tmp"
    mv "$DUMP/$name.$SERF_EVENT.tmp" "$DUMP/$name.$SERF_EVENT"
done
"""


def appear(*files):
    """Wait for files that handlers write.

    Raises `LeaveSeenAsFailure` if `leaver` is reported as failed and not as left.
    """

    def exist():
        for it in files:
            failure = it.with_name("leaver.member-failed")
            if it.name == "leaver.member-leave" and failure.exists():
                raise LeaveSeenAsFailure(f"{failure} exists")
        return all(it.exists() for it in files)

    eventually(f"{files} appear", exist)


@retry_if_leave_is_lost
def test_a_script_gets_the_same_input_from_sprat_as_from_a_stock_agent(
    run, agent, tmp_path, monkeypatch
):
    script = tmp_path / "dump.sh"
    script.write_text(DUMP)
    script.chmod(0o755)
    folders = {name: Path(tempfile.mkdtemp(dir=tmp_path)) for name in ("stock", "ours")}
    monkeypatch.setenv("DUMP", str(folders["stock"]))
    own = ("role=we\tb\\", "d\u00e9j\u00e0-vu=x,y=z")
    stock = agent(
        "stock", "-profile=local", f"-event-handler={script}", *(f"-tag={it}" for it in own)
    )
    tags = [it for tag in own for it in ("--tag", tag)]
    handler = ("--handler", str(script), "--profile", "local", "--join", stock.address)
    running = run("--name", "ours", *tags, *handler, DUMP=str(folders["ours"]))
    stock.sees("ours", "alive")

    # These two agents have one tag each, because Serf writes several tags in any order.
    odd = agent("odd", f"-join={stock.address}", "-tag", "a=1\t2\n3\\4,5=\u6f22")
    leaver = agent("leaver", f"-join={stock.address}", "-tag", "role=db")
    every = {"odd.member-join", "leaver.member-join"}
    appear(*(folder / it for folder in folders.values() for it in every))
    odd.must("tags", "-set", "a=2")
    leaver.leave()
    every |= {"odd.member-update", "leaver.member-leave"}
    appear(*(folder / it for folder in folders.values() for it in every))
    odd.kill()
    every.add("odd.member-failed")
    appear(*(folder / it for folder in folders.values() for it in every))
    running.send(signal.SIGTERM)
    running.end()

    for it in sorted(every):
        theirs, ours = ((folders[name] / it).read_bytes() for name in ("stock", "ours"))
        assert ours == theirs, it
    text = (folders["ours"] / "odd.member-join").read_text()
    address = odd.address.removesuffix(":7946")
    assert text.endswith(f"odd\t{address}\t\ta=1\\t2\\n3\\4,5=\u6f22\n")
    assert "SERF_SELF_ROLE=we\tb\\\nSERF_TAG_D_J__VU=x,y=z\nSERF_TAG_ROLE=we\tb\\\n" in text
    # Handlers also run for their own member: after its start, and after its leave.
    for it in ("ours.member-join", "ours.member-leave", "stock.member-join"):
        assert (folders["ours"] / it).exists(), it


def test_failures_and_output_are_logged_and_the_next_handler_runs(run):
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
    assert "failed with exit code 3" in log
    assert "was killed by signal 9" in log
    assert "failed with exit code 127" in log
    assert "printed 588895 bytes, of which the last 8192 are shown" in log
    assert "[INFO] sprat.handler: member-join: ours member-join" in log
    running.send(signal.SIGTERM)
    running.end()


APPEND = 'while read -r line; do printf "%s %s\\n" "$SERF_EVENT" "$line" >> "$CALLS"; done'


@pytest.mark.parametrize("returns", [False, True])
def test_a_period_has_all_calls_of_a_stay_and_those_of_the_last_one_only(
    run, addresses, tmp_path, returns
):
    calls = tmp_path / "calls"
    # The period does not end before the command does.
    running = run("--name=ours", "--coalesce=3600", f"--handler={APPEND}", CALLS=str(calls))
    address = bound_address(running)

    def guest(**tags):
        place = addresses.address()
        node = sprat.Node(name="guest", bind=place, tags=tags, profile="local")
        node.join(address)
        return place.rpartition(":")[0], node

    logged(running, "is a member at")
    first, node = guest()
    with node:
        node.tags["role"] = "web"
        logged(running, "member-update guest")
    logged(running, "member-leave guest")
    expected = [
        f"member-join guest\t{first}\tweb\trole=web",
        f"member-update guest\t{first}\tweb\trole=web",
        f"member-leave guest\t{first}\tweb\trole=web",
    ]
    if returns:
        second, node = guest(role="db")
        with node:
            logged(running, "member-join guest")
            running.send(signal.SIGTERM)
            running.end()
        expected = [f"member-join guest\t{second}\tdb\trole=db"]
    else:
        running.send(signal.SIGTERM)
        running.end()
    about_guest = [it for it in calls.read_text().splitlines() if it.split()[1] == "guest"]
    assert about_guest == expected


DEAF_WHILE_BUSY = """
import os, time
from sprat.__main__ import main
from sprat._cli.service import Service

take_events = Service._take_events

def take_events_later(self):
    while os.path.exists(os.environ["BUSY"]):
        time.sleep(0.01)
    take_events(self)

Service._take_events = take_events_later
main()
"""
"""The command, which takes no events while the file BUSY exists."""


def test_joins_and_leaves_that_a_full_queue_loses_reach_the_handlers(program, addresses, tmp_path):
    calls, busy = tmp_path / "calls", tmp_path / "busy"
    busy.touch()
    bind = addresses.address()
    arguments = ("--name=ours", "--bind", bind, *QUICK, "--set", "event_queue=16")
    handlers = (f"--handler=member-join,member-leave={APPEND}", "--coalesce=0.1")
    environment = {"CALLS": str(calls), "BUSY": str(busy)}
    running = program(DEAF_WHILE_BUSY, "run", *arguments, *handlers, **environment)
    logged(running, "is a member at")
    crowd = [
        sprat.Node(name=f"crowd-{i}", bind=addresses.address(), profile="local") for i in range(24)
    ]
    names = sorted(it.name for it in crowd)

    def told(kind):
        lines = calls.read_text().splitlines() if calls.exists() else []
        words = [line.split() for line in lines]
        return sorted(it[1] for it in words if it[0] == kind and it[1] != "ours" and it[2] in hosts)

    def lists(alive):
        return sum(it.state == "alive" for it in watcher.look(bind, 60)) == alive

    hosts = {it.self_member.host for it in crowd}
    with contextlib.ExitStack() as stack:
        watcher = stack.enter_context(sprat.Node(bind=addresses.address(), profile="local"))
        for it in crowd:
            stack.enter_context(contextlib.closing(it))
            it.join(bind)
        eventually("the member lists the crowd", lambda: lists(len(crowd) + 1))
        busy.unlink()
        eventually("the handlers know the crowd", lambda: told("member-join") == names)
        busy.touch()
        for it in crowd:
            with contextlib.suppress(sprat.LeaveError):
                it.leave()
        eventually("the member lists itself only", lambda: lists(1))
        busy.unlink()
        eventually("the handlers know who has left", lambda: told("member-leave") == names)
        assert told("member-join") == names
    running.send(signal.SIGTERM)
    assert running.end().count("events were lost: ") == 2


def test_a_hanging_handler_delays_neither_the_member_nor_its_end(run, agent):
    stock = agent("stock", "-profile=local")
    hangs = ("--handler", "member-join=sleep 60", "--stop-timeout", "0.5", "--coalesce", "0")
    running = run("--name=ours", "--profile=local", *hangs, "--join", stock.address)
    logged(running, "is running longer than 1 s")
    other = agent("other", f"-join={stock.address}")
    other.sees("ours", "alive")
    logged(running, "member-join other")
    begun = time.monotonic()
    running.send(signal.SIGTERM)
    assert "was ended after" in running.end()
    assert time.monotonic() - begun < 40, "the command waited for the handler, which sleeps 60 s"
    sees_left(stock, "ours")


def test_run_waits_for_a_slow_handler_before_it_ends(run, tmp_path):
    done = tmp_path / "done"
    running = run("--name=ours", "--coalesce=0", f"--handler=member-join=sleep 2; echo > {done}")
    logged(running, "is running longer than 1 s")
    running.send(signal.SIGTERM)
    running.end()
    assert done.exists()


def test_a_handler_is_ended_at_its_timeout(run):
    limited = ("--handler-timeout=0.3", "--handler=member-join=sleep 60")
    running = run("--name=ours", "--coalesce=0", *limited)
    assert "'sleep 60' was ended after" in logged(running, "was ended")[-1]
    running.send(signal.SIGTERM)
    running.end()


def test_ctrl_c_at_a_terminal_reaches_the_member_and_not_its_handlers(command, addresses, tmp_path):
    begun, end = tmp_path / "begun", tmp_path / "end"
    script = f"trap 'echo interrupted' INT; touch {begun}"
    script += f"; while [ ! -e {end} ]; do sleep 0.1; done; echo finished"
    line = [*command, "run", "--name=ours", "--coalesce=0", "--bind", addresses.address(), *QUICK]
    with subprocess.Popen(
        [*line, f"--handler=member-join={script}"],
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as running:
        eventually("the handler has begun", begun.exists)
        os.killpg(running.pid, signal.SIGINT)
        assert any("leaving the cluster" in line for line in running.stderr)
        end.touch()
        _, log = running.communicate(timeout=90)
    assert running.returncode == 0
    assert "finished" in log
    assert "member-join: interrupted" not in log
