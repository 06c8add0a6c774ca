#!/usr/bin/env python3
"""Runs the Rust example and four of the C examples, one after the other, with a serf agent.

Each example and the agent must see each other before the example leaves.
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


def command(program, address):
    """Return the command line of an example. The name of its node is its address."""
    join = f"{AGENT}:7946"
    return {
        "watch": ["watch", "--name", address, "--bind", address, join],
        "rust-watch": ["rust-watch", "--name", address, "--bind", address, join],
        "callback": ["callback", address, join],
        "dispatch": ["dispatch", "6", address, join],
        "uv": ["uv", address, join],
    }[program]


# The line that an example prints once it sees the agent, and the way to make the example leave.
EXAMPLES = {
    "watch": ("web1", lambda child: child.send_signal(signal.SIGTERM)),
    "rust-watch": ("member-join web1", lambda child: child.stdin.close()),
    "callback": ("backends: 2", lambda child: child.stdin.close()),
    "dispatch": ("member-join web1", lambda child: None),
    "uv": ("member-join web1", lambda child: child.send_signal(signal.SIGINT)),
}


def status_of(name):
    answer = subprocess.run(
        ["serf", "members", f"-rpc-addr={AGENT}:7373", "-format=json"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    for member in json.loads(answer.stdout)["members"]:
        if member["name"] == name:
            return member["status"]
    return None


def wait_for(status, name):
    deadline = time.monotonic() + PATIENCE
    while status_of(name) != status:
        if time.monotonic() > deadline:
            sys.exit(f"the agent lists {name} as {status_of(name)}, not as {status}")
        time.sleep(0.2)


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
