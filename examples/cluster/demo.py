#!/usr/bin/env python3
"""Serf agents and C programs linked with libsprat form one cluster.

The demo says in plain words what happens, shows the lines that the C programs print, and checks
them and the agents' lists of members.
"""

import queue
import signal
import subprocess
import sys
import threading
import time

from stage import PATIENCE, STARTED, Agent, NotSeen, address, run, say, seen, start

LOAD = "-event-handler=query:load=printf %s \"$(cut -d' ' -f1 /proc/loadavg)\""


def watch(folder, name, host, tags, *join):
    """Start the program examples/c/watch.c."""
    command = [f"{folder}/watch", "--name", name, "--bind", address(host)]
    for tag in tags:
        command += ["--tag", tag]
    return CProgram(name, host, command, *join)


class CProgram:
    """A program of examples/c. The lines that it prints are shown, and can be waited for."""

    def __init__(self, name, host, command, *join):
        self.name, self.address = name, address(host)
        self.child = start([*command, *join], stdin=subprocess.PIPE)
        self.lines, self.fresh = [], queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.child.stdout:
            print(f"          {self.name} prints: {line.rstrip()}", flush=True)
            self.fresh.put(line.split())

    def reads(self, line):
        """Write a line to the standard input of the program."""
        print(f"          {self.name} reads: {line}", flush=True)
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()

    def prints(self, *words, within=PATIENCE):
        """Wait for a line with all of these words. Earlier lines are not examined again."""
        deadline = time.monotonic() + within
        while True:
            try:
                line = self.fresh.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise NotSeen(
                    f"{self.name} did not print '{' '.join(words)}' within {within} s"
                ) from None
            self.lines.append(line)
            if all(word in line for word in words):
                return

    def never_printed(self, *words):
        if any(all(word in line for word in words) for line in self.lines):
            raise NotSeen(f"{self.name} should not have printed '{' '.join(words)}'")


def messages(folder, agent):
    """Show user events and queries that cross between C programs and a serf agent."""
    say("Two more C programs, event.c and query.c, start and join through web1.")
    event, query = (
        CProgram(f"{name}.c", host, [f"{folder}/{name}", address(host)], f"{agent.host}:7946")
        for name, host in (("event", 3), ("query", 4))
    )
    for it in (event, query):
        agent.lists(it.address, "alive")

    say("web1 sends a user event (serf event), and event.c sends another one.")
    agent.serf("event", "-coalesce=false", "deploy", "v2 from web1")
    event.prints("user", "deploy", "v2", "from", "web1")
    seen("the event of the agent reached the C program")
    event.reads("greeting hello")
    agent.logs("Received event: user-event: greeting")
    seen("the event of the C program reached the agent")

    say("query.c asks web1 for its load, and web1 asks query.c for its uptime (serf query).")
    query.reads("load")
    query.prints("response", "web1")
    seen("the agent answered with the output of its handler")
    answer = agent.answer_of(query.address, "uptime")
    seen(f"the C program answered the agent: {answer}")
    for it in (event, query):
        it.child.stdin.close()
        agent.lists(it.address, "left")


def demo(folder):
    say("A C program starts. It is alone: a cluster of one.")
    first = watch(folder, "c-first", 1, ["role=client", "lang=c"])
    first.prints("alive", "c-first", "role=client")
    seen("it lists itself, with its tags")

    say("Three serf agents start and join through the C program.")
    options = ("-tag", "role=backend", f"-join={first.address}", LOAD)
    web = [Agent(f"web{i}", 10 + i, *options) for i in (1, 2, 3)]
    for agent in sorted(web, key=lambda agent: agent.name):
        agent.lists("c-first", "alive", "role=client", "lang=c")
    joined = set()
    deadline = time.monotonic() + PATIENCE
    while len(joined) < len(web):
        left = max(0.1, deadline - time.monotonic())
        first.prints("member-join", "role=backend", within=left)
        joined.add(first.lines[-1][1])
    seen(f"the C program saw {', '.join(sorted(joined))} join, with their tags")

    say("The tags of web1 change.")
    web[0].serf("tags", "-set", "version=2")
    first.prints("member-update", "web1", "role=backend", "version=2")
    seen("the C program saw the change")

    say("web2 is killed without a chance to leave (kill -9).")
    web[1].child.kill()
    first.prints("member-suspect", "web2")
    seen("it did not answer a probe: it is suspected first")
    first.prints("member-failed", "web2")
    seen("no member could reach it: it has failed")
    web[0].lists("web2", "failed")

    say("web2 returns.")
    web[1].start()
    first.prints("member-join", "web2")
    seen("the C program sees it again")

    say("web2 is stopped (kill -STOP), and continued as soon as it is suspected.")
    web[1].child.send_signal(signal.SIGSTOP)
    first.prints("member-suspect", "web2")
    web[1].child.send_signal(signal.SIGCONT)
    first.prints("member-alive", "web2")
    seen("it refuted the suspicion: no failure")

    messages(folder, web[0])

    say("web3 leaves the cluster.")
    web[2].serf("leave")
    first.prints("member-leave", "web3")
    first.never_printed("member-failed", "web3")
    seen("the C program reports that it left, and never called it failed")

    say("A second C program starts and joins through an agent.")
    last = watch(folder, "c-last", 2, ["role=client"], f"{web[0].host}:7946")
    last.prints("listening")
    first.prints("member-join", "c-last")
    web[1].lists("c-last", "alive", "role=client")

    say("The second C program is asked to end (SIGTERM): it leaves.")
    last.child.send_signal(signal.SIGTERM)
    web[0].lists("c-last", "left")
    web[1].lists("c-last", "left")
    first.prints("member-leave", "c-last")
    if last.child.wait(timeout=PATIENCE) != 0:
        raise NotSeen(f"c-last ended with status {last.child.returncode}, not 0")
    seen("it ended with status 0")

    say("The first C program is killed (SIGKILL): it fails.")
    first.child.kill()
    for agent in web[:2]:
        agent.lists("c-first", "failed")

    say(f"Everything was seen, in {time.monotonic() - STARTED:.0f} seconds.")


if len(sys.argv) != 2:
    sys.exit("usage: demo.py FOLDER (make demo-c calls it)")
run(demo, sys.argv[1], "demo-c")
