"""The client of the demo (examples/haproxy/traffic.py) counts every request that it loses."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cluster import PATIENCE
from traffic import Report, Traffic

HERE = Path(__file__).parent


def watched(url: str, proves: Callable[[Report], bool]) -> Report:
    """Send requests for longer and longer, until there are enough for a verdict.

    On a busy machine `hey` may need a while to start.
    """
    for seconds in (0.5, 2, 8, 30):
        traffic = Traffic([], url)
        time.sleep(seconds)
        report = traffic.stop()
        if proves(report):
            return report
    pytest.fail(f"too few requests for a verdict: {report}")


def test_refused_requests_are_lost(addresses) -> None:
    report = watched(f"http://{addresses.ip()}:3000/", lambda it: it.sent >= 10)
    assert report.sent == report.lost, report
    assert any("connection refused" in error for error in report.errors), report


def test_answers_of_an_empty_backend_are_lost_and_those_of_a_server_are_not(haproxy, web) -> None:
    proxy = haproxy()
    url = f"http://{proxy.ip}:8080/"
    report = watched(url, lambda it: it.sent >= 10)
    assert report.sent == report.lost, report
    assert any("status 503" in error for error in report.errors), report

    proxy.serves(web("web-1").join(proxy))
    report = watched(url, lambda it: it.sent >= 10)
    assert report.lost == 0, report


def test_requests_cut_short_are_lost(addresses) -> None:
    for seconds in (0.5, 2, 8, 30):
        ip = addresses.ip()
        server = subprocess.Popen([sys.executable, str(HERE / "web.py"), "web", ip, "3000"])
        try:
            traffic = Traffic([], f"http://{ip}:3000/")
            time.sleep(seconds)
        finally:
            server.kill()
            server.wait(PATIENCE)
        time.sleep(seconds)
        report = traffic.stop()
        if 0 < report.lost < report.sent:
            return
    pytest.fail(f"expected some answered and some lost requests: {report}")
