"""What the demo counts as lost is what a client loses."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from traffic import Traffic

HERE = Path(__file__).parent


def test_requests_that_are_refused_are_lost(addresses) -> None:
    traffic = Traffic([], f"http://{addresses.ip()}:3000/")
    time.sleep(0.5)
    report = traffic.stop()
    assert report.sent == report.lost >= 10, report
    assert any("connection refused" in error for error in report.errors), report


def test_answers_of_an_empty_backend_are_lost_and_those_of_a_server_are_not(haproxy, web) -> None:
    proxy = haproxy()
    traffic = Traffic([], f"http://{proxy.ip}:8080/")
    time.sleep(0.5)
    report = traffic.stop()
    assert report.sent == report.lost >= 10, report
    assert any("status 503" in error for error in report.errors), report

    proxy.serves(web("web-1").join(proxy))
    traffic = Traffic([], f"http://{proxy.ip}:8080/")
    time.sleep(0.5)
    report = traffic.stop()
    assert report.sent >= 10, report
    assert report.lost == 0, report


def test_requests_cut_short_are_lost(addresses) -> None:
    ip = addresses.ip()
    server = subprocess.Popen([sys.executable, str(HERE / "web.py"), "web", ip, "3000"])
    try:
        traffic = Traffic([], f"http://{ip}:3000/")
        time.sleep(1)
    finally:
        server.kill()
        server.wait(10)
    time.sleep(0.3)
    report = traffic.stop()
    assert 0 < report.lost < report.sent, report
