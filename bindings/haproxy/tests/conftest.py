"""Fixtures: HAProxy with the module, web servers that are members, and load.

Everything stays on 127.0.0.0/8, is bounded in time, and ends with its test. A wait for a condition
has a deadline (`PATIENCE`) that allows for a busy machine.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster import PATIENCE, Addresses, Agent, eventually
from load import Interval, Load

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BUILT = TARGET / os.environ.get("SPRAT_PROFILE", "guest-dev")
HAP = str(BUILT / "sprat-hap")
HAPROXY = os.environ.get("HAPROXY", "haproxy")
"""The HAProxy that is tested."""


def haproxy_version() -> tuple[int, int]:
    line = subprocess.run([HAPROXY, "-v"], capture_output=True, text=True, check=True).stdout
    found = re.match(r"HAProxy version (\d+)\.(\d+)", line)
    assert found, line
    return int(found[1]), int(found[2])


VERSION = haproxy_version()
TUNE = "tune.lua.bool-sample-conversion normal" if VERSION >= (3, 1) else ""
"""HAProxy 3.1 and later warn if Lua is loaded without this setting."""
SCRIPT = HERE.parent / "lua" / "sprat-haproxy.lua"


def with_method(script: Path, name: str, method: str) -> Path:
    """Write a script that replaces a method of servers and then loads the module's script.

    In the Lua function `method`, `real` is the method that it replaces.
    """
    script.write_text(
        f"""core.register_init(function()
  local _, server = next(core.backends.nodes.servers)
  local methods = getmetatable(server).__index
  local real = methods.{name}
  methods.{name} = {method}
end)
dofile("{SCRIPT}")
"""
    )
    return script


def behind(shell: str, line: list[str]) -> list[str]:
    """Return a command that runs commands of a shell, which then becomes the program `line`."""
    return ["sh", "-c", f'{shell}; exec "$@"', "sh", *line] if shell else line


ENVIRONMENT = {name: it for name, it in os.environ.items() if not name.startswith("SPRAT_")}
"""The environment of HAProxy, without variables that the module would take as settings."""

CONFIG = """
global
    nbthread 2
    {tune}
    stats socket {folder}/cli mode 666 level admin expose-fd listeners
    {state}
    setenv SPRAT_MODULES {modules}
    setenv SPRAT_BACKEND nodes
    setenv SPRAT_NAME lb
    setenv SPRAT_BIND {ip}:7946
    setenv SPRAT_PROFILE local
    setenv SPRAT_LOOPBACK yes
{settings}
    lua-load {script}
{user}
defaults
    mode http
    timeout connect 500ms
    timeout check 30s
    timeout client 50s
    timeout server 50s
    load-server-state-from-file {load}
frontend fe
    bind {ip}:8080
{frontend}    default_backend nodes
{backends}backend nodes
    balance {balance}
{checks}
    server-template app 1-{slots} member.invalid:1 init-addr last,0.0.0.0 disabled {server}
"""

WITHOUT_MODULE = """
global
    nbthread 2
    stats socket {folder}/cli mode 666 level admin expose-fd listeners
defaults
    mode http
    timeout connect 500ms
    timeout check 30s
    timeout client 50s
    timeout server 50s
frontend fe
    bind {ip}:8080
{frontend}    default_backend nodes
{backends}backend nodes
    balance roundrobin
{checks}
    {server}
"""
"""An HAProxy without the module."""
NO_SERVER = "# sprat-hap adds the servers"
FAST = "probe_interval_ms=300 probe_timeout_ms=150"
"""Settings with which failures are found in a second or two."""

CHECKS = """    option httpchk HEAD /
    option redispatch 1
    retry-on conn-failure empty-response"""
SERVER = "check inter 1s fall 2 observe layer4 error-limit 2 on-error mark-down"
CONFINED = """    user haproxy
    group haproxy
    chroot /var/lib/haproxy"""


@pytest.fixture(scope="session")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder from which HAProxy loads the module."""
    folder = tmp_path_factory.mktemp("modules")
    built = BUILT / "libsprat_lua.so"
    assert built.exists(), f"{built} is missing: scripts/test-haproxy.sh builds it"
    shutil.copy(built, folder / "sprat.so")
    for parent in [folder, *folder.parents[:3]]:
        parent.chmod(0o755)  # root loads the module, and another user maps it
    return folder


class HAProxy:
    """A running HAProxy, with the module unless `template` is `WITHOUT_MODULE`."""

    def __init__(
        self,
        folder: Path,
        ip: str,
        modules: Path,
        *flags: str,
        user: str = "",
        checks: str = CHECKS,
        server: str = SERVER,
        slots: int = 8,
        balance: str = "roundrobin",
        script: Path = SCRIPT,
        frontend: str = "",
        backends: str = "",
        template: str = CONFIG,
        shell: str = "",
        **settings: str,
    ) -> None:
        self.ip, self.folder = ip, folder
        state = folder / "server-state"
        if "SNAPSHOT" in settings:
            settings.setdefault("SERVER_STATE", str(state))
        lines = [f'    setenv SPRAT_{name} "{value}"' for name, value in settings.items()]
        self.config = folder / "haproxy.cfg"
        self.config.write_text(
            template.format(
                folder=folder,
                tune=TUNE,
                state=f"server-state-file {state}" if "SERVER_STATE" in settings else "",
                load="global" if "SERVER_STATE" in settings else "none",
                balance=balance,
                modules=modules,
                ip=ip,
                settings="\n".join(lines),
                script=script,
                frontend=frontend,
                backends=backends,
                user=user,
                checks=checks,
                server=server,
                slots=slots,
            )
        )
        self.pidfile = folder / "pid"
        self._log = folder / "haproxy.log"
        self._flags, self._shell = flags, shell
        self.start()

    def start(self) -> None:
        """Start HAProxy with its configuration, and wait until it answers."""
        self.spawn()
        eventually("HAProxy answers", self.answers)

    def spawn(self) -> None:
        line = [HAPROXY, "-f", str(self.config), "-p", str(self.pidfile), *self._flags]
        line = behind(self._shell, line)
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(line, stdout=log, stderr=log, env=ENVIRONMENT)

    def answers(self) -> bool:
        if "-D" not in self.process.args and self.process.poll() is not None:
            raise AssertionError(self.log())
        with contextlib.suppress(OSError):
            return "Uptime" in self.cli("show info")
        return False

    @property
    def address(self) -> tuple[str, int]:
        return self.ip, 8080

    def log(self) -> str:
        return self._log.read_text()

    def cli(self, command: str) -> str:
        """The answer of the runtime CLI."""
        with socket.socket(socket.AF_UNIX) as stream:
            stream.settimeout(PATIENCE)
            stream.connect(str(self.folder / "cli"))
            stream.sendall(command.encode() + b"\n")
            return "".join(iter(lambda: stream.recv(65536).decode(), "")).strip()

    def show(self) -> str:
        return self.cli("show sprat")

    def wait_for_node(self) -> None:
        """Wait until the node of this HAProxy runs."""
        eventually("the node of HAProxy runs", lambda: "node running" in self.show())

    def worker(self) -> int:
        """The process that serves requests."""
        info = dict(
            line.split(": ", 1) for line in self.cli("show info").splitlines() if ": " in line
        )
        return int(info["Pid"])

    def servers(self) -> dict[str, tuple[str, str]]:
        """Status and address of every server of the backend `nodes` that has an address."""
        return {name: (it["status"], it["addr"]) for name, it in self.statistics().items()}

    def statistics(self) -> dict[str, dict[str, str]]:
        """The columns of `show stat` for every server of `nodes` that has an address."""
        rows = self.cli("show stat").splitlines()
        columns = rows[0].lstrip("# ").split(",")
        found = {}
        for row in rows[1:]:
            it = dict(zip(columns, row.split(","), strict=False))
            if it["pxname"] == "nodes" and it["svname"] not in ("FRONTEND", "BACKEND"):
                found[it["svname"]] = it
        return {name: it for name, it in found.items() if it["addr"] != "0.0.0.0:1"}

    def up(self) -> set[str]:
        """The addresses that get requests."""
        return {addr for status, addr in self.servers().values() if status.startswith("UP")}

    def members(self) -> dict[str, str]:
        """The line of `show sprat` for each member that has a slot."""
        lines = [
            line.split(maxsplit=2)
            for line in self.show().splitlines()
            if line[:3] == "   " or line[:2] == "  "
        ]
        return {words[1]: words[2] for words in lines if len(words) == 3 and words[0].isdigit()}

    def serves(self, *webs: Web, within: float = PATIENCE) -> None:
        """Wait until HAProxy sends requests to exactly these web servers."""
        wanted = {web.served_at for web in webs}
        try:
            eventually("these web servers get requests", lambda: self.up() == wanted, within)
        except AssertionError as error:
            shown = f"{error}\n{self.servers()}\n{self.show()}\n{self.log()}"
            raise AssertionError(shown) from None

    def reload(self) -> None:
        """Have the master start a new worker, and wait until the worker serves.

        A master that is still busy with the previous reload may miss the signal, so it is sent
        again.
        """
        before, master = self.worker(), int(self.pidfile.read_text().split()[0])

        def is_reloaded() -> bool:
            os.kill(master, signal.SIGUSR2)
            with contextlib.suppress(AssertionError):
                eventually("a new worker serves", lambda: self.is_new(before), 10)
                return True
            return False

        eventually("a new worker serves", is_reloaded)

    def is_new(self, before: int) -> bool:
        with contextlib.suppress(OSError, KeyError):
            return self.worker() != before
        return False

    def wait_for_handover_connection(self) -> None:
        """Wait until the script has its connection to the handover socket.

        That connection keeps a stopping HAProxy alive. Without it, a soft stop ends HAProxy
        immediately. A test that connects to the socket itself calls this method first, because the
        method counts connections and cannot tell the script's connection from the test's.
        """
        name = f"@sprat-{self.ip}:7946@".encode()

        def is_connected() -> bool:
            lines = Path("/proc/net/unix").read_bytes().splitlines()
            return sum(name in line for line in lines) >= 2  # the listener and a connection

        eventually("the script is connected to the node", is_connected)

    def stop_softly(self) -> None:
        """Wait until a soft stop gives the node time to leave the cluster, and send SIGUSR1."""
        self.wait_for_handover_connection()
        os.kill(self.worker(), signal.SIGUSR1)

    def wait_for_snapshot(self, snapshot: Path, *webs: Web) -> None:
        """Wait until these members are ready in the same record of the snapshot."""
        wanted = [f" ready 100 {it.served_at} {it.name}\n".encode() for it in webs]

        def is_written() -> bool:
            data = snapshot.read_bytes()
            half = 256 * 1024
            return any(all(it in part for it in wanted) for part in (data[:half], data[half:]))

        eventually("the snapshot is written", is_written)

    def processes(self) -> list[int]:
        """The running processes of this HAProxy."""
        return [pid for pid in all_processes() if is_of(pid, self.config)]

    def end(self) -> None:
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(PATIENCE)


def all_processes() -> list[int]:
    return [int(it.name) for it in Path("/proc").iterdir() if it.name.isdigit()]


def is_of(pid: int, config: Path) -> bool:
    """Return true if this is a process with this configuration, and not a zombie."""
    with contextlib.suppress(OSError):
        line = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return line[0].endswith(b"haproxy") and str(config).encode() in line
    return False


class Web:
    """A web server, and the stock agent that makes it a member."""

    def __init__(self, folder: Path, agent: Callable[..., Agent], name: str, *tags: str) -> None:
        self.name = name
        self._agent, self._folder, self._tags, self.ip = agent, folder, tags, ""
        self.start()

    def start(self) -> None:
        options = [word for tag in self._tags for word in ("-tag", tag)]
        options += ["-tag", "role=backend", "-tag", "port=3000"]
        self.agent = self._agent(self.name, *options, ip=self.ip)
        self.ip = self.agent.address.partition(":")[0]
        self.served_at = f"{self.ip}:3000"
        self.restart()

    def restart(self) -> None:
        """Start the web server, but not its agent."""
        line = [sys.executable, str(HERE / "web.py"), self.name, self.ip, "3000"]
        self.process = subprocess.Popen(line)
        eventually(f"{self.name} listens", self._listens)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((self.ip, 3000), 1):
            return True
        return False

    def join(self, haproxy: HAProxy) -> Web:
        haproxy.wait_for_node()
        self.agent.join(f"{haproxy.ip}:7946")
        return self

    def set_tags(self, *tags: str) -> None:
        words = [word for tag in tags for word in ("-set", tag)]
        with contextlib.suppress(
            AssertionError
        ):  # a stock agent may report a timeout although it succeeded
            self.agent.must("tags", *words)

    def kill(self) -> Interval:
        """Kill the web server and its agent together, as if the host had vanished.

        Return the interval in which the web server died: requests that were in flight in it may
        be lost.
        """
        began = time.monotonic()
        self.process.kill()
        self.agent.process.kill()
        self.process.wait(PATIENCE)
        ended = time.monotonic()
        self.agent.process.wait(PATIENCE)
        return Interval(began, ended)

    def leave(self) -> None:
        """Leave the cluster, and go on serving the requests that still arrive."""
        self.agent.leave()

    def end(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)


@pytest.fixture
def addresses() -> Addresses:
    return Addresses()


@pytest.fixture
def agent(tmp_path: Path, addresses: Addresses) -> Iterator[Callable[..., Agent]]:
    """Start a stock agent with the local profile: `agent(name, *options)`."""
    agents: list[Agent] = []

    def start(name: str, *options: str, ip: str = "") -> Agent:
        agents.append(Agent(tmp_path, ip or addresses.ip(), name, "-profile=local", *options))
        return agents[-1]

    yield start
    for it in agents:
        with contextlib.suppress(ProcessLookupError):
            it.kill()


@pytest.fixture
def haproxy(
    tmp_path: Path, addresses: Addresses, modules: Path
) -> Iterator[Callable[..., HAProxy]]:
    """Start HAProxy: `haproxy(*flags, **settings)`."""
    running: list[HAProxy] = []

    def start(*flags: str, **options: Any) -> HAProxy:
        folder = tmp_path / (f"haproxy-{len(running) + 1}" if running else "haproxy")
        folder.mkdir(exist_ok=True)
        for it in [folder, *folder.parents[:4]]:
            with contextlib.suppress(PermissionError):
                it.chmod(0o755)
        running.append(HAProxy(folder, addresses.ip(), modules, *flags, **options))
        return running[-1]

    yield start
    for it in running:
        it.end()


@pytest.fixture
def web(tmp_path: Path, agent: Callable[..., Agent]) -> Iterator[Callable[..., Web]]:
    """Start a web server that is a member: `web(name, *tags)`."""
    running: list[Web] = []

    def start(name: str, *tags: str) -> Web:
        running.append(Web(tmp_path, agent, name, *tags))
        return running[-1]

    yield start
    for it in running:
        it.end()


@pytest.fixture
def saved_webs(web: Callable[..., Web]) -> Callable[[HAProxy, Path, int], list[Web]]:
    """Start members that an HAProxy serves and saves: `saved_webs(proxy, snapshot, count)`."""

    def start(proxy: HAProxy, snapshot: Path, count: int) -> list[Web]:
        webs = [web(f"web-{n}").join(proxy) for n in range(count)]
        proxy.serves(*webs)
        proxy.wait_for_snapshot(snapshot, *webs)
        return webs

    return start


@pytest.fixture
def load() -> Iterator[Callable[..., Load]]:
    """Send requests until `stop` or the end of the test: `load(haproxy, rate)`."""
    running: list[Load] = []

    def start(haproxy: HAProxy, rate: float = 200, *, keep_alive: bool = False) -> Load:
        running.append(Load(haproxy.address, rate, keep_alive=keep_alive))
        eventually("requests are answered", lambda: running[-1].answers)
        return running[-1]

    yield start
    for it in running:
        it.stop()


class Hap:
    """A running `sprat-hap`."""

    def __init__(
        self, folder: Path, ip: str, haproxys: list[HAProxy], *options: str, shell: str = ""
    ) -> None:
        self.ip, self.address, self._log = ip, f"{ip}:7946", folder / f"hap-{ip}.log"
        line = [HAP, "--backend", "nodes", "--loopback"]
        for it in haproxys:
            line += ["--haproxy", str(it.folder / "cli")]
        line += ["--name", "hap", "--bind", self.address, "--profile", "local", *options]
        line = behind(shell, line)
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(line, stdout=log, stderr=log)
        eventually("sprat-hap is a member", lambda: "the node is running" in self.log())

    def log(self) -> str:
        assert self.process.poll() is None, self._log.read_text()
        return self._log.read_text()

    def join(self, agent: Agent) -> None:
        agent.join(self.address)

    def report(self) -> str:
        """The text that `sprat-hap` prints on SIGUSR1."""
        before = len(self.log())
        self.process.send_signal(signal.SIGUSR1)
        eventually("sprat-hap prints its report", lambda: "backend nodes" in self.log()[before:])
        return self.log()[before:]


@pytest.fixture
def hap(tmp_path: Path, addresses: Addresses) -> Iterator[Callable[..., Hap]]:
    """Start `sprat-hap`: `hap([haproxy], *options)`."""
    running: list[Hap] = []

    def start(haproxys: list[HAProxy], *options: str, shell: str = "") -> Hap:
        running.append(Hap(tmp_path, addresses.ip(), haproxys, *options, shell=shell))
        return running[-1]

    yield start
    for it in running:
        it.process.kill()
        it.process.wait(PATIENCE)
