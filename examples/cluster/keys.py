#!/usr/bin/env python3
"""The key of a mixed cluster is changed twice, while its members send user events to each other.

Two serf agents, a C program and a Python program form a cluster that encrypts. The key is changed
once with `serf keys` and once with `sprat keys`. At the end, each member has only the newest key,
and has had each user event exactly once.
"""

import base64
import collections
import functools
import itertools
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from stage import PATIENCE, STARTED, Agent, NotSeen, address, run, say, seen, start

PAUSE = 0.1
"""The seconds between two user events."""

ENVIRONMENT = {name: it for name, it in os.environ.items() if not name.startswith("SPRAT_")}
"""The environment without options for the command. SPRAT_PROFILE is one, and the scripts that build
sprat use that name for something else.
"""


def new_key():
    return base64.b64encode(secrets.token_bytes(32)).decode()


def wait_for(what, holds):
    """Wait until `holds` returns true; `what` returns the text for the case that it never does."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise NotSeen(f"{what()} (waited {PATIENCE} s)")
        time.sleep(0.1)


class Ring:
    """The keyring file of a member."""

    def __init__(self, folder, member, key):
        self.path = Path(folder) / f"{member}.json"
        self.path.write_text(json.dumps([key]))
        self.path.chmod(0o600)

    def keys(self):
        return json.loads(self.path.read_text())


class Program:
    """The C program or the Python program.

    The user events that it prints are counted, and its other lines are shown.
    """

    def __init__(self, name, command):
        self.name, self.counts = name, collections.Counter()
        self.child = start(command, stdin=subprocess.PIPE)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.child.stdout:
            kind, _, name = line.strip().partition(" ")
            if kind == "user":
                self.counts[name] += 1
            else:
                print(f"          {self.name} prints: {line.rstrip()}", flush=True)

    def events(self):
        return self.counts.copy()

    def send(self, name):
        self.child.stdin.write(name + "\n")
        self.child.stdin.flush()


class CountingAgent(Agent):
    """A serf agent, whose log names the user events that it has had."""

    MARK = "Received event: user-event: "

    def events(self):
        lines = [line for line in list(self.log) if self.MARK in line]
        return collections.Counter(line.split(self.MARK)[1].strip() for line in lines)

    def send(self, name):
        sent = self.serf("event", "-coalesce=false", name)
        if sent.returncode != 0:
            raise NotSeen(f"serf event {name} failed: {sent.stdout}{sent.stderr}")


class Traffic:
    """Sends user events from one member after the other until it ends."""

    def __init__(self, senders):
        self.senders, self.sent, self.error = senders, [], None
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self):
        try:
            for number, sender in enumerate(itertools.cycle(self.senders), 1):
                if self.is_over.wait(PAUSE):
                    return
                name = f"{sender.name}-{number}"
                sender.send(name)
                self.sent.append(name)
        except (NotSeen, OSError, subprocess.TimeoutExpired) as error:
            self.error = error

    def count(self):
        if self.error is not None:
            raise NotSeen(f"a user event could not be sent: {self.error}")
        return len(self.sent)

    def wait_for_more(self):
        """Wait until a few more events have been sent."""
        wanted = self.count() + 6
        wait_for(lambda: "no further user events were sent", lambda: self.count() >= wanted)

    def end(self):
        """End, and return the names of the events that were sent."""
        self.is_over.set()
        self.thread.join()
        self.count()  # raises the error of the last event
        return self.sent


def step(traffic, what, command):
    """Run a step of a change of keys, again until all members have done it."""
    done = None

    def succeeds():
        nonlocal done
        done = command()
        return done.returncode == 0

    wait_for(lambda: f"not all members did it: {what}; {done.stdout}{done.stderr}", succeeds)
    traffic.wait_for_more()
    seen(f"{what}; {traffic.count()} user events have been sent so far")


def change_with_agent(traffic, agent, old, new):
    for option, key, what in (
        ("install", new, "all members have installed the new key"),
        ("use", new, "all members encrypt with it"),
        ("remove", old, "all members have removed the old key"),
    ):
        step(traffic, what, functools.partial(agent.serf, "keys", f"-{option}={key}"))


def sprat_keys(folder, join, own_key, action, key=None):
    """Run `sprat keys` in a cluster that encrypts with `own_key`."""
    file = Path(folder) / "key"
    file.touch(mode=0o600)
    file.write_text(own_key)
    command = [sys.executable, "-m", "sprat", "keys", action, *(["-"] if key else [])]
    command += ["--join", join, "--bind", address(9), "--key-file", str(file)]
    return subprocess.run(
        command,
        input=key,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env=ENVIRONMENT,
    )


def change_with_sprat(traffic, folder, join, old, new):
    for action, own_key, key, what in (
        ("install", old, new, "all members have installed the third key"),
        ("use", old, new, "all members encrypt with it"),
        ("remove", new, old, "all members have removed the second key"),
    ):
        step(traffic, what, functools.partial(sprat_keys, folder, join, own_key, action, key))


def check_ring(ring, key):
    wait_for(
        lambda: f"{ring.path.name} holds {len(ring.keys())} keys and not only the newest",
        lambda: ring.keys() == [key],
    )


def check_keys(rings, agent, key):
    """Check that each member holds this key only."""
    for ring in rings:
        check_ring(ring, key)
    seen("the keyring file of each member holds the third key and no other")

    def agent_lists():
        lines = [line.split() for line in agent.serf("keys", "-list").stdout.splitlines()]
        found = {words[0]: words[1] for words in lines if words and words[-1].startswith("[")}
        return found == {key: f"[{len(rings)}/{len(rings)}]"}

    wait_for(lambda: "serf keys -list did not list the third key alone", agent_lists)
    seen("serf keys -list says the same")


def check_events(member, sent):
    """Check that a member has had each event that was sent, once."""
    wait_for(
        lambda: f"{member.name} lacks user events: {sorted(set(sent) - set(member.events()))}",
        lambda: set(sent) <= set(member.events()),
    )
    twice = [name for name, times in member.events().items() if times > 1]
    if twice:
        raise NotSeen(f"{member.name} should have had each user event once: {twice}")
    seen(f"{member.name} has had each of the {len(sent)} user events once")


def begin(folder, rings):
    """Start the four members, and wait until both agents list all of them."""
    web = []
    for host, name in enumerate(("web1", "web2"), 1):
        keyring = f"-keyring-file={rings[name].path}"
        web.append(CountingAgent(name, host, keyring, f"-join={address(1)}"))
        web[0].lists(name, "alive")
    keyring = f"keyring_file={rings['c-program'].path}"
    watch = [f"{folder}/watch", "--name", "c-program", "--bind", address(3), "--set", keyring]
    c_program = Program("c-program", [*watch, address(1)])
    member = [sys.executable, str(Path(__file__).with_name("member.py")), "py-program", address(4)]
    py_program = Program("py-program", [*member, str(rings["py-program"].path), address(1)])
    for agent in web:
        for name in rings:
            agent.lists(name, "alive")
    return web, c_program, py_program


def end(agent, c_program, py_program):
    """Let the two programs leave."""
    c_program.child.terminate()
    py_program.child.stdin.close()
    for program in (c_program, py_program):
        agent.lists(program.name, "left")
        if program.child.wait(timeout=PATIENCE) != 0:
            raise NotSeen(f"{program.name} did not end with status 0")
    seen("both ended with status 0")


def play(folder, kept):
    """Play the demo, with the files of the members in the folder `kept`."""
    first, second, third = new_key(), new_key(), new_key()
    names = ("web1", "web2", "c-program", "py-program")
    rings = {name: Ring(kept, name, first) for name in names}

    say("Two serf agents, a C program and a Python program start with one key and form a cluster.")
    web, c_program, py_program = begin(folder, rings)

    say("From now on, web1, web2 and the Python program send user events all the time.")
    traffic = Traffic([*web, py_program])
    traffic.wait_for_more()

    say("The key is changed from the side of the agents (serf keys).")
    change_with_agent(traffic, web[0], first, second)

    say("The key is changed from our side (sprat keys). The command joins for a moment each time.")
    change_with_sprat(traffic, kept, address(2), second, third)

    say("The keys of all members are checked.")
    check_keys(rings.values(), web[1], third)
    refused = sprat_keys(kept, address(1), first, "list")
    if refused.returncode != 1 or "the keys" not in refused.stderr:
        raise NotSeen(f"a program with the first key was not refused: {refused.stderr}")
    seen("a program with the first key is refused")

    say("The traffic ends. Every member must have had every user event.")
    sent = traffic.end()
    for member in (*web, c_program, py_program):
        check_events(member, sent)

    say("The two programs leave.")
    end(web[0], c_program, py_program)

    say(f"Everything was seen, in {time.monotonic() - STARTED:.0f} seconds.")


def demo(folder):
    with tempfile.TemporaryDirectory() as kept:
        play(folder, kept)


if len(sys.argv) != 2:
    sys.exit("usage: keys.py FOLDER (make demo-keys calls it)")
run(demo, sys.argv[1], "demo-keys")
