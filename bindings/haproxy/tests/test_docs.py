"""The README: its configuration works as printed, and it lists every variable."""

from __future__ import annotations

import re
import subprocess

from cluster import eventually
from conftest import ENVIRONMENT, HAPROXY, HERE, SCRIPT

README = (HERE.parent / "README.md").read_text()


def test_the_configuration_of_the_readme_serves(haproxy, web, modules, tmp_path, addresses) -> None:
    seed = web("web-1")
    text = re.search(r"```haproxy\n(.*?)```", README, re.DOTALL).group(1)
    proxy = haproxy()  # for its folder and its address; the configuration is replaced below
    proxy.end()
    ip = proxy.ip
    local = f"    setenv SPRAT_MODULES {modules}\n    setenv SPRAT_BIND {ip}:7946\n"
    local += "    setenv SPRAT_LOOPBACK yes\n"
    for old, new in (
        ("/run/haproxy.sock mode 600", f"{proxy.folder}/cli mode 666"),
        ("10.0.0.5,10.0.0.6", f"{seed.agent.address},127.0.0.1:1"),
        ("/var/lib/sprat/haproxy.snapshot", f"{tmp_path}/snapshot"),
        ("/var/lib/sprat/haproxy.state", f"{tmp_path}/state"),
        ("/var/lib/sprat/haproxy.state", f"{tmp_path}/state"),
        ("/usr/share/sprat/sprat-haproxy.lua", str(SCRIPT)),
        ("bind :1936", f"bind {ip}:1936"),
        ("bind :80", f"bind {ip}:8080"),
        ("    setenv SPRAT_NAME", f"{local}    setenv SPRAT_NAME"),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    proxy.config.write_text(text)
    with (proxy.folder / "haproxy.log").open("wb") as log:
        proxy.process = subprocess.Popen(
            [HAPROXY, "-f", str(proxy.config)], stdout=log, stderr=log, env=ENVIRONMENT
        )
    eventually("HAProxy answers", proxy.answers)
    proxy.serves(seed)
    line = re.compile(r"^  \d+ web-1 \S+ ready weight 100 \(rtt .* ms\)$", re.MULTILINE)
    eventually("show sprat has the line of the README", lambda: line.search(proxy.show()))


def test_the_readme_lists_every_variable() -> None:
    script = SCRIPT.read_text()
    used = set(re.findall(r'(?<!get)(?:env|number|set_pairs)\("(\w+)"', script))
    used |= set(re.findall(r"(\w+) = \"", script.split("local SETTINGS = {")[1].split("}")[0]))
    listed = set(re.findall(r"`SPRAT_(\w+)`", README.split("## Settings")[1]))
    assert used == listed
