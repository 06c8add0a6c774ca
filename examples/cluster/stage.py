"""The stage of the demos in this folder: messages, processes, addresses, and serf agents.

A demo says in plain words what happens, and checks it. If something expected is not seen in time,
it says what is missing and ends with status 1. All processes use loopback addresses that depend on
the process id of the demo, and all end with the demo.
"""

import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

BASE = f"127.{100 + os.getpid() % 100}.{1 + os.getpid() // 100 % 250}"
COLOUR = sys.stdout.isatty()
STARTED = time.monotonic()
CHILDREN = []
# Seconds to wait for something that must be seen. On a quiet machine, a few seconds are enough.
PATIENCE = 120


def say(text):
    stamp = f"{time.monotonic() - STARTED:5.1f} s"
    bold, plain = ("\033[1m", "\033[0m") if COLOUR else ("", "")
    print(f"\n{bold}[{stamp}] {text}{plain}", flush=True)


def seen(text):
    print(f"          ok: {text}", flush=True)


class NotSeen(Exception):
    """Something that must happen did not happen."""


def end_children():
    for child in CHILDREN:
        if child.poll() is None:
            child.kill()
    for child in CHILDREN:
        child.wait()


atexit.register(end_children)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, frame: sys.exit(128 + number))


def start(command, stdin=subprocess.DEVNULL):
    child = subprocess.Popen(
        command,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    CHILDREN.append(child)
    return child


def address(host):
    return f"{BASE}.{host}:7946"


class Agent:
    """A serf agent."""

    def __init__(self, name, host, *options):
        self.name, self.host = name, f"{BASE}.{host}"
        self.rpc = f"-rpc-addr={self.host}:7373"
        self.log = []
        self.command = [
            "serf",
            "agent",
            f"-node={name}",
            f"-bind={self.host}:7946",
            self.rpc,
            *options,
        ]
        self.start()

    def start(self):
        self.child = start(self.command)
        threading.Thread(target=self.read, args=(self.child,), daemon=True).start()

    def read(self, child):
        """Keep the log. It is not shown, but must be read: a full pipe would block the agent."""
        self.log.extend(child.stdout)

    def logs(self, text):
        """Wait for a line of the log with this text."""
        deadline = time.monotonic() + PATIENCE
        while not any(text in line for line in list(self.log)):
            if time.monotonic() > deadline:
                raise NotSeen(f"serf agent {self.name} did not log '{text}' within {PATIENCE} s")
            time.sleep(0.2)

    def answer_of(self, name, question):
        """Ask one member, again and again until it answers, and return the answer."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            asked = self.serf("query", "-format=json", "-node", name, question)
            answers = json.loads(asked.stdout)["Responses"] if asked.returncode == 0 else {}
            if name in answers:
                return answers[name]
        raise NotSeen(f"{name} did not answer the query '{question}' of {self.name}")

    def serf(self, *args):
        return subprocess.run(
            ["serf", args[0], self.rpc, *args[1:]],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def lists(self, name, status, *tags, within=PATIENCE):
        """Wait until the agent lists this member with this status and these tags."""
        deadline, found = time.monotonic() + within, "nothing"
        while time.monotonic() < deadline:
            answer = self.serf("members", "-format=json")
            members = json.loads(answer.stdout)["members"] if answer.returncode == 0 else []
            for member in members:
                if member["name"] == name:
                    have = [f"{key}={value}" for key, value in member["tags"].items()]
                    found = f"{member['status']} {' '.join(have)}"
                    if member["status"] == status and all(tag in have for tag in tags):
                        seen(f"serf agent {self.name} lists {name} as {found}")
                        return
            time.sleep(0.2)
        raise NotSeen(
            f"serf agent {self.name} did not list {name} as {status} "
            f"{' '.join(tags)} within {within} s, but as: {found}"
        )


def run(demo, folder, target):
    """Run a demo; `target` is the target of the Makefile that calls it."""
    if not shutil.which("serf"):
        sys.exit(f"serf is not installed: `make {target}` installs it")
    try:
        demo(folder)
    except NotSeen as what:
        print(f"\nFAILED: {what}", file=sys.stderr, flush=True)
        sys.exit(1)
