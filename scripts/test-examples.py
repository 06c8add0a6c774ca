#!/usr/bin/env python3
"""Runs the Rust example and six of the C examples, one after the other, with a serf agent.

Each example and the agent must see each other before the example leaves. User events and queries
must cross between them in both directions.
"""

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from cluster import PATIENCE, claim_addresses  # needs the path above

folder = sys.argv[1]
BASE = claim_addresses()
AGENT = f"{BASE}.1"
# An example takes seconds. If it takes this long, it hangs and is killed.
LIMIT = 4 * PATIENCE
# The file in which the agent notes the user events that it handles.
NOTES = Path(folder) / "notes"
NOTES.unlink(missing_ok=True)


def command(program, address):
    """Return the command line of an example. The name of its node is its address."""
    join = f"{AGENT}:7946"
    return {
        "watch": ["watch", "--name", address, "--bind", address, join],
        "rust-watch": ["rust-watch", "--name", address, "--bind", address, join],
        "callback": ["callback", address, join],
        "dispatch": ["dispatch", "6", address, join],
        "event": ["event", address, join],
        "query": ["query", address, join],
        "uv": ["uv", address, join],
    }[program]


def serf(command, *arguments):
    line = ["serf", command, f"-rpc-addr={AGENT}:7373", *arguments]
    answer = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE, check=True)
    return answer.stdout


def until(what, holds):
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            sys.exit(f"not seen in time: {what}")
        time.sleep(0.2)


def tell(child, line):
    child.stdin.write(line + "\n")
    child.stdin.flush()


def exchange_events(child, address):
    wait_for("alive", address)
    tell(child, "deploy v2")
    until("the agent handles the event", lambda: NOTES.exists() and NOTES.read_text() == "v2\n")
    serf("event", "-coalesce=false", "greeting", "from an agent")


def exchange_queries(child, address):
    wait_for("alive", address)

    def answers():
        found = serf("query", "-format=json", "-node", address, "uptime")
        return json.loads(found)["Responses"].get(address, "")

    # A datagram may be lost on a busy machine, so the query is repeated.
    until("the example answers a query", lambda: answers().endswith(" s"))
    tell(child, "load 1 m")


# Functions that run before an example prints its line.
EXCHANGES = {"event": exchange_events, "query": exchange_queries}

# The line that shows that an example has seen or heard the agent, and the way to make the example
# leave.
EXAMPLES = {
    "watch": ("web1", lambda child: child.send_signal(signal.SIGTERM)),
    "rust-watch": ("member-join web1", lambda child: child.stdin.close()),
    "callback": ("backends: 2", lambda child: child.stdin.close()),
    "dispatch": ("member-join web1", lambda child: None),
    "event": ("user greeting from an agent", lambda child: child.stdin.close()),
    "query": ("response web1 fine", lambda child: child.stdin.close()),
    "uv": ("member-join web1", lambda child: child.send_signal(signal.SIGINT)),
}


def status_of(name):
    for member in json.loads(serf("members", "-format=json"))["members"]:
        if member["name"] == name:
            return member["status"]
    return None


def wait_for(status, name):
    until(f"the agent lists {name} as {status}", lambda: status_of(name) == status)


def try_example(number, program):
    address = f"{BASE}.{10 + number}:7946"
    words = command(program, address)
    words[0] = str(Path(folder) / words[0])
    child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    limit = threading.Timer(LIMIT, child.kill)
    limit.start()
    expected, end = EXAMPLES[program]
    printed = []
    try:
        if program in EXCHANGES:
            EXCHANGES[program](child, address)
        for line in child.stdout:
            printed.append(line.rstrip())
            if expected in line:
                break
        else:
            sys.exit(f"{program} did not print '{expected}', but {printed}")
        wait_for("alive", address)
        end(child)
        wait_for("left", address)
        # communicate() would fail: the standard input of some examples is closed by now.
        rest = child.stdout.read()
        if child.wait() != 0:
            sys.exit(f"{program} ended with status {child.returncode}: {printed} {rest}")
    finally:
        limit.cancel()
        child.kill()
        child.wait()
    print(f"example {program}: ok", flush=True)


agent = subprocess.Popen(
    [
        "serf",
        "agent",
        "-node=web1",
        f"-bind={AGENT}:7946",
        f"-rpc-addr={AGENT}:7373",
        "-tag",
        "role=backend",
        f"-event-handler=user:deploy=cat >> {NOTES}",
        "-event-handler=query:load=echo fine",
    ],
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
)
try:
    for line in agent.stdout:
        if "EventMemberJoin" in line:
            break
    threading.Thread(target=agent.stdout.read, daemon=True).start()
    for number, program in enumerate(EXAMPLES):
        try_example(number, program)
finally:
    agent.kill()
    agent.wait()
