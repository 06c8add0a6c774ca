"""User events, queries and round-trip times on the command line, with stock agents."""

import contextlib
import json
import signal
from pathlib import Path

import pytest
from conftest import QUICK, eventually, logged

import sprat

NOTE = 'printf "%s %s " "$SERF_USER_EVENT" "$SERF_USER_LTIME" >> "$NOTES"; cat >> "$NOTES"'
"""A handler that notes the name, the Lamport time and the payload of a user event."""


@pytest.fixture
def visit(cli, addresses):
    """Run a command that visits the cluster to its end; return its output."""

    def run(name, *arguments, code=0, **environment):
        done = cli(name, *arguments, "--bind", addresses.address(0), **environment)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    return run


def noted(file: Path) -> list[list[str]]:
    """Return the name and the payload of the user events that a handler has noted."""
    lines = file.read_text().splitlines() if file.exists() else []
    return [[line.split()[0], *line.split()[2:]] for line in lines]


def test_user_events_go_both_ways_and_each_handler_runs_once(
    visit, run, agent, tmp_path, monkeypatch
):
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    monkeypatch.setenv("NOTES", str(theirs))
    stock = agent("stock", f"-event-handler=user:deploy={NOTE}")
    handlers = (f"--handler=user:deploy={NOTE}", "--handler=user:other=echo another name")
    running = run("--name=ours", "--join", stock.address, *handlers, NOTES=str(ours))
    stock.sees("ours", "alive")
    printed = visit("event", "deploy", "v 2", "--no-coalesce", "--join", stock.address)
    assert printed == "event 'deploy' sent to 2 members\n"
    for file in (theirs, ours):
        eventually(f"{file} has the event", lambda file=file: noted(file) == [["deploy", "v", "2"]])
    assert theirs.read_text() == ours.read_text()
    stock.must("event", "-coalesce=false", "deploy", "from an agent")
    visit("event", "other", "--join", stock.address)
    logged(running, "another name")
    both = [["deploy", "v", "2"], ["deploy", "from", "an", "agent"]]
    for file in (theirs, ours):
        eventually(f"{file} has both events", lambda file=file: noted(file) == both)
    running.send(signal.SIGTERM)
    running.end()


def test_events_that_allow_it_are_coalesced_by_default(visit, run):
    running = run("--name=ours", "--coalesce=3600", "--handler=user=cat; echo")
    address = running.process.args[running.process.args.index("--bind") + 1]
    logged(running, "is a member at")
    for payload in ("first", "second"):
        visit("event", "deploy", payload, "--join", address, *QUICK)
    running.send(signal.SIGTERM)
    log = running.end()
    assert "user: second" in log
    assert "user: first" not in log


def test_a_query_is_answered_by_agents_and_handlers_of_sprat(visit, run, agent):
    answer = 'printf "%s of %s for %s" "$SERF_QUERY_NAME" "$SERF_SELF_NAME" "$(cat)"'
    stock = agent("stock", "-tag", "role=web", f"-event-handler=query:load={answer}")
    tags = ("--tag", "role=db")
    handler = (f"--handler=query:load={answer}", "--handler=query:fails=echo no; exit 1")
    running = run("--name=ours", *tags, *handler, "--join", stock.address)
    stock.sees("ours", "alive")

    def answers(*arguments):
        lines = visit(
            "query", *arguments, "--format=json", "--timeout=20", "--join", stock.address
        ).splitlines()
        events = [json.loads(line) for line in lines]
        assert events[-1]["event"] == "end"
        assert events[-1]["complete"] == (events[-1]["missing"] == [])
        acks = sorted(it["member"] for it in events if it["event"] == "ack")
        found = {it["member"]: it["payload"] for it in events if it["event"] == "response"}
        assert events[-1]["responses"] == len(found)
        assert events[-1]["acks"] == len(acks)
        return acks, found

    # A datagram may be lost on a busy machine, so each query is asked until all have answered.
    def ask(expected, acks, *arguments):
        eventually(
            f"{arguments} gets {expected}", lambda: answers(*arguments) == (acks, expected), 300
        )

    of_stock, of_ours = "load of stock for 1 m", "load of ours for 1 m"
    everyone = {"stock": of_stock, "ours": of_ours}
    ask(everyone, ["ours", "stock"], "load", "1 m")
    ask({"ours": of_ours}, ["ours"], "load", "1 m", "--node", "ours")
    ask({"stock": of_stock}, ["stock"], "load", "1 m", "--tag", "role=^w.b$", "--relay-factor=1")
    ask(everyone, [], "load", "1 m", "--no-ack")

    def by_agent():
        found = json.loads(stock.must("query", "-format=json", "-timeout=20s", "load", "1 m"))
        return {name: it for name, it in found["Responses"].items() if it}

    eventually("the agent gets both answers", lambda: by_agent() == everyone, 300)
    running.send(signal.SIGTERM)
    running.end()


def test_a_query_shows_acks_and_answers_as_text_and_who_is_missing(visit, addresses):
    def handle(event):
        if isinstance(event, sprat.Query):
            event.respond(b"one\ntwo \x1b[31m\xff\n")

    with contextlib.ExitStack() as stack:
        silent = sprat.Node(name="silent", bind=addresses.address(), profile="local")
        stack.enter_context(contextlib.closing(silent))
        loud = sprat.Node(name="loud", bind=addresses.address(), profile="local", on_event=handle)
        stack.enter_context(contextlib.closing(loud))
        loud.join(silent.address)
        expected = {"ack from loud", "ack from silent", "response from loud: one"}

        def printed():
            arguments = ("query", "up", "--join", silent.address, "--timeout", "3", *QUICK)
            lines = visit(*arguments).splitlines()
            return lines if expected <= set(lines) else None

        # A datagram may be late on a busy machine, so the query is asked until all have come.
        lines = eventually("both acks and the answer come", printed, 300)
    at = lines.index("response from loud: one")
    assert lines[at + 1] == r"    two \x1b[31m\xff"
    assert lines[-2] == "acks: 2, responses: 1"
    assert lines[-1].startswith("the query lacks an ack or answer from: silent (each has failed,")


def test_a_failed_handler_and_a_long_output_answer_nothing(visit, run):
    handlers = ("--handler=query:fails=echo no; exit 1", "--handler=query:long=seq 2000")
    running = run("--name=ours", *handlers)
    address = running.process.args[running.process.args.index("--bind") + 1]
    logged(running, "is a member at")
    for name, why in (("fails", "failed with exit code 1"), ("long", "cannot answer 'long'")):
        printed = visit("query", name, "--join", address, "--timeout", "3", *QUICK)
        assert "responses: 0" in printed
        logged(running, why)
    running.send(signal.SIGTERM)
    running.end()


def test_round_trip_times_are_measured_or_estimated(visit, cli, agent, addresses):
    stock = agent("stock")
    agent("other", f"-join={stock.address}")
    eventually("the agents know each other", lambda: len(stock.members()) == 2)
    join = ("--join", stock.address)

    def rtt(*arguments):
        def printed():
            done = cli("rtt", *arguments, *join, "--bind", addresses.address(0))
            return done.stdout if done.returncode == 0 else None

        # An answer to a ping may be late on a busy machine.
        return eventually(f"the time of {arguments} is known", printed, 300)

    assert rtt("stock").startswith("this host to stock: ")
    measured = json.loads(rtt("other", "--format=json"))
    assert (measured["a"], measured["b"], measured["measured"]) == ("other", None, True)
    assert 0 < measured["rtt"] < 60
    estimated = json.loads(rtt("stock", "other", "--format=json"))
    assert (estimated["a"], estimated["b"], estimated["measured"]) == ("stock", "other", False)
    assert 0 < estimated["rtt"] < 60
    error = visit("rtt", "stock", "nobody", *join, code=1)
    assert error == "sprat: error: there is no live member 'nobody'\n"


def test_messages_that_no_member_would_take_are_usage_errors(visit, addresses):
    with contextlib.closing(
        sprat.Node(name="ours", bind=addresses.address(), profile="local")
    ) as node:
        join = ("--join", node.address, *QUICK)
        assert "512" in visit("event", "deploy", "x" * 600, *join, code=2)
        assert "1024" in visit("query", "deploy", "x" * 2000, *join, code=2)
        assert "_serf_" in visit("query", "_serf_key", *join, code=2)
        assert "--tag must be KEY=VALUE" in visit("query", "up", "--tag", "role", *join, code=2)
