#!/usr/bin/env python3
"""Runs the C quick start together with a serf agent, and checks the lines that it prints."""

import os
import subprocess
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from cluster import PATIENCE, claim_addresses  # needs the path above

program, libraries = sys.argv[1:]
ip = f"{claim_addresses()}.1"
agent = subprocess.Popen(
    [
        "serf",
        "agent",
        "-node=web1",
        f"-bind={ip}:7946",
        f"-rpc-addr={ip}:7373",
        "-tag",
        "role=backend",
    ],
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
)
quick = None
# If anything hangs, both programs are killed, which ends the loops that read from them.
limit = threading.Timer(2 * PATIENCE, lambda: [child.kill() for child in (agent, quick) if child])
limit.start()
try:
    for line in agent.stdout:
        if "EventMemberJoin" in line:
            break
    threading.Thread(target=agent.stdout.read, daemon=True).start()
    # Without stdbuf, the program would buffer its lines, because it prints into a pipe.
    quick = subprocess.Popen(
        ["stdbuf", "-oL", program, f"{ip}:7946"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "LD_LIBRARY_PATH": libraries},
    )
    printed = []
    for line in quick.stdout:
        printed.append(line.strip())
        if line.startswith("member-join web1"):
            break
    else:
        sys.exit(f"the quick start did not print 'member-join web1', but {printed}")
finally:
    limit.cancel()
    for child in (quick, agent):
        if child:
            child.kill()
            child.wait()
