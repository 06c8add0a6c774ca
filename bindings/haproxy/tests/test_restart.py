"""Restarts and reloads under clients that never retry: even the first request is answered."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from pathlib import Path

import pytest
from cluster import PATIENCE, eventually
from conftest import VERSION

RESTARTS = 8
LATE = "takes the addresses of the snapshot only once it runs"


def first_answer(ip: str) -> str:
    """The status line of the first connection that HAProxy accepts."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with (
            contextlib.suppress(ConnectionRefusedError),
            socket.create_connection((ip, 8080), PATIENCE) as stream,
        ):
            stream.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return stream.makefile().readline().strip()
        time.sleep(0.001)
    raise AssertionError("HAProxy does not listen")


def test_the_first_request_after_each_restart_is_answered(haproxy, saved_webs, tmp_path) -> None:
    snapshot = tmp_path / "snapshot"
    # Without redispatch, a request that goes to a wrong address is lost.
    proxy = haproxy(SNAPSHOT=str(snapshot), checks="    option httpchk HEAD /")
    webs = saved_webs(proxy, snapshot, 2)
    for _ in range(RESTARTS):
        proxy.end()
        proxy.spawn()
        assert " 200 " in first_answer(proxy.ip), proxy.log()
        eventually("HAProxy answers", proxy.answers)
        assert proxy.up() == {it.served_at for it in webs}, proxy.log()
        assert LATE not in proxy.log()


def test_overlapping_reloads_lose_no_request(haproxy, saved_webs, load, tmp_path) -> None:
    snapshot = tmp_path / "snapshot"
    proxy = haproxy("-W", SNAPSHOT=str(snapshot), checks="    option httpchk HEAD /")
    webs = saved_webs(proxy, snapshot, 3)
    requests = load(proxy, 200)
    master = int(proxy.pidfile.read_text().split()[0])
    for _ in range(6):  # each begins while workers of earlier reloads are still ending
        before = proxy.worker()
        os.kill(master, signal.SIGUSR2)
        with contextlib.suppress(AssertionError):  # a busy master may merge two reloads
            eventually("a new worker serves", lambda old=before: proxy.is_new(old), 5)
    eventually("one worker is left", lambda: len(proxy.processes()) == 2)
    proxy.wait_for_node()
    proxy.serves(*webs)
    requests.stop()
    assert requests.failures == []


def test_a_renamed_backend_takes_over_its_servers(haproxy, saved_webs, load, tmp_path) -> None:
    snapshot = tmp_path / "snapshot"
    proxy = haproxy("-W", SNAPSHOT=str(snapshot), checks="    option httpchk HEAD /")
    saved_webs(proxy, snapshot, 2)
    requests = load(proxy, 200)
    text = proxy.config.read_text()
    text = text.replace("SPRAT_BACKEND nodes", "SPRAT_BACKEND v2::sg::80")
    text = text.replace("backend nodes", "backend v2::sg::80")
    proxy.config.write_text(text.replace("default_backend nodes", "default_backend v2::sg::80"))
    proxy.reload()
    eventually("the new name is shown", lambda: "backend v2::sg::80, 8 slots" in proxy.show())
    proxy.wait_for_node()
    requests.stop()
    assert requests.failures == []


def test_without_a_server_state_file_servers_are_ready_once_they_have_their_addresses(
    haproxy, saved_webs, tmp_path
) -> None:
    snapshot = tmp_path / "snapshot"
    proxy = haproxy(SNAPSHOT=str(snapshot))
    webs = saved_webs(proxy, snapshot, 2)
    proxy.end()
    text = proxy.config.read_text()
    assert "load-server-state-from-file global" in text
    text = text.replace("load-server-state-from-file global", "load-server-state-from-file none")
    proxy.config.write_text(text)
    proxy.start()
    proxy.serves(*webs)
    assert (LATE in proxy.log()) == (VERSION >= (3, 0))
    assert "Layer4 connection problem" not in proxy.log(), "a check went to another address"


def test_a_snapshot_that_others_could_have_written_is_refused(haproxy, web, tmp_path) -> None:
    snapshot = tmp_path / "snapshot"
    proxy = haproxy(SNAPSHOT=str(snapshot))
    first = web("web-1").join(proxy)
    proxy.serves(first)
    proxy.wait_for_snapshot(snapshot, first)
    proxy.end()
    link = Path(f"{snapshot}.real")

    def refusal() -> str:
        proxy.spawn()
        assert proxy.process.wait(PATIENCE) == 1
        return proxy.log()

    snapshot.chmod(0o666)
    assert "other users can write it (mode 666)" in refusal()
    snapshot.chmod(0o600)
    os.chown(snapshot, 65534, -1)
    assert "it belongs to the user 65534, allowed: 0 and root" in refusal()
    os.chown(snapshot, 0, -1)
    snapshot.rename(link)
    snapshot.symlink_to(link)
    assert "it is a symbolic link" in refusal()


def test_a_server_state_file_that_others_could_have_written_is_refused(haproxy, tmp_path) -> None:
    proxy = haproxy(SNAPSHOT=str(tmp_path / "snapshot"))
    proxy.end()
    state = proxy.folder / "server-state"
    line = "7 api 1 s1 10.6.6.6 2 0 1 1 12 1 0 2 0 0 0 0 - 80 - 0 0 - - 0\n"
    state.write_text(f"1\n# be_id\n{line}")
    os.chown(state, 65534, -1)
    proxy.spawn()
    assert proxy.process.wait(PATIENCE) == 1
    why = f"the server-state file {state} cannot be written: it belongs to the user 65534"
    assert why in proxy.log()
    os.chown(state, 0, -1)
    proxy.start()
    assert line in state.read_text()


@pytest.mark.parametrize("flags", [(), ("-D",), ("-W",)], ids=" ".join)
def test_a_haproxy_that_starts_without_standard_input_keeps_its_snapshot(
    haproxy, web, tmp_path, flags
) -> None:
    # The system gives the number 0 to the file that is opened first, and a daemon later puts
    # /dev/null there.
    snapshot = tmp_path / "snapshot"
    proxy = haproxy(*flags, SNAPSHOT=str(snapshot), shell="exec <&-")
    first = web("web-1").join(proxy)
    proxy.serves(first)
    proxy.wait_for_snapshot(snapshot, first)
    number = eventually("the worker has the file", lambda: open_at(proxy.worker(), snapshot))
    assert number > 2


def open_at(process: int, file: Path) -> int | None:
    """The number at which a process has a file open."""
    for it in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since the folder was read
            if it.readlink() == file:
                return int(it.name)
    return None
