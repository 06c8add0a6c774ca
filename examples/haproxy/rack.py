"""Miniature hosts, each under a real S6 supervisor, on a network of their own.

A host has its own network, process tree and name (`unshare`). A cable links it to a switch, which
is a network namespace as well; the addresses are 10.77.0.x and exist nowhere else. The first
process of a host is `s6-svscan`, which keeps the services in the host's folder running. All hosts
vanish with the program that made them, so nothing is left to clean up.

Where namespaces are not allowed, the hosts are loopback addresses (`Loopback`). They have no cable
that could be pulled.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE = 60.0
"""Seconds within which an awaited condition must hold, even on a busy machine."""
KINDS = Path(__file__).parent / "hosts"
PR_SET_PDEATHSIG = 1
SVSCAN = ["s6-svscan", "-t", "0"]
WAITS = ["sh", "-c", 'read -r _; exec "$@" </dev/null', "init"]


class UnmetError(Exception):
    """A broken promise: something did not happen in time, or should not have happened."""


def wait_until(what: str, holds: Callable[[], object], within: float = PATIENCE) -> float:
    """Wait until a condition holds. Return the seconds that this took."""
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > within:
            raise UnmetError(f"{what}: not within {within:g} s")
        time.sleep(0.02)
    return time.monotonic() - began


def die_with_parent() -> None:
    """Make the calling process end with this program, however this program ends.

    A child calls this function between fork and exec.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def children(pid: int) -> list[int]:
    """The child processes of a process."""
    try:
        tasks = Path(f"/proc/{pid}/task").iterdir()
        return [int(it) for task in tasks for it in (task / "children").read_text().split()]
    except OSError:
        return []


def descendants(pid: int) -> list[int]:
    """A process and all its descendants."""
    return [pid] + [it for child in children(pid) for it in descendants(child)]


class Host:
    """One machine. The services of its kind are copied to its own folder, where S6 finds them."""

    def __init__(self, folder: Path, name: str, ip: str, kind: str) -> None:
        self.name, self.ip, self.folder = name, ip, folder
        self.services, self.logs = folder / "services", folder / "logs"
        if kind:
            shutil.copytree(KINDS / kind, self.services)
        else:
            self.services.mkdir(parents=True)
        for service in self.services.iterdir():
            (service / "log").mkdir()
            shutil.copy(KINDS / "log-run", service / "log" / "run")
        self.logs.mkdir()
        self._starter: subprocess.Popen[bytes] | None = None

    def environment(self, variables: dict[str, str]) -> dict[str, str]:
        """The environment of the services of this host."""
        own = {"HOST_NAME": self.name, "HOST_IP": self.ip, "HOST_FOLDER": str(self.folder)}
        return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **variables, **own}

    def power_on(self, command: list[str], variables: dict[str, str]) -> None:
        """Start the first process of the host, which waits for `go`."""
        with (self.folder / "host.log").open("ab") as log:
            self._starter = subprocess.Popen(
                [*command, *WAITS, *SVSCAN, str(self.services)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self.environment(variables),
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def go(self) -> None:
        """Let the supervisor start."""
        assert self._starter, "power_on comes first"
        assert self._starter.stdin
        self._starter.stdin.write(b"go\n")
        self._starter.stdin.close()

    @property
    def starter(self) -> int:
        """The id of the process that started the host."""
        assert self._starter, f"{self.name} is off"
        return self._starter.pid

    def is_on(self) -> bool:
        """Return true if the host runs."""
        return self._starter is not None and self._starter.poll() is None

    def service(self, name: str) -> str:
        """The folder that identifies a service for S6."""
        return str(self.services / name)

    def control(self, flags: str, service: str) -> None:
        """Run a command that an operator of this host would type, such as `s6-svc -d web`."""
        subprocess.run(["s6-svc", *flags.split(), self.service(service)], check=True, timeout=60)

    def wait_until_down(self, service: str, within: float = PATIENCE) -> None:
        """Wait until the process of a service has ended."""
        line = ["s6-svwait", "-D", "-t", str(int(within * 1000)), self.service(service)]
        if subprocess.run(line, check=False, capture_output=True).returncode:
            raise UnmetError(f"{service} of {self.name} still runs after {within:g} s")

    def wait_until_ready(self, service: str, within: float = PATIENCE) -> None:
        """Wait until a service has reported that it is ready."""
        path = Path(self.service(service))
        wait_until(f"{self.name} is on", (path / "supervise" / "control").exists, within)
        line = ["s6-svwait", "-U", "-t", str(int(within * 1000)), str(path)]
        if subprocess.run(line, check=False, capture_output=True).returncode:
            raise UnmetError(
                f"{service} of {self.name} is not ready within {within:g} s\n{self.said()}"
            )

    def pid(self, service: str) -> int:
        """The process id of a service, in the PID namespace of this program."""
        for supervisor in descendants(self.starter):
            try:
                words = Path(f"/proc/{supervisor}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0].endswith(b"s6-supervise") and words[1] == service.encode():
                running = children(supervisor)
                if running:
                    return running[0]
        raise UnmetError(f"{service} of {self.name} does not run\n{self.said()}")

    def said(self) -> str:
        """The last lines of the logs of the host's services."""
        return "\n".join(
            f"    {self.name}/{log.parent.name}: {line}"
            for log in sorted(self.logs.glob("*/current"))
            for line in log.read_text(errors="replace").splitlines()[-8:]
        )

    def shut_down(self) -> None:
        """Ask the supervisor to end all services in good order, and then to exit."""
        line = ["s6-svscanctl", "-t", str(self.services)]
        subprocess.run(line, check=False, capture_output=True)

    def power_off(self) -> None:
        """Kill all processes at once, as if the power had failed."""
        if self._starter:
            for pid in reversed(descendants(self._starter.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._starter.wait()


class Namespaces:
    """Hosts that are namespaces, linked by a switch."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._ports = folder, dict[str, str]()
        self._root = os.geteuid() == 0
        user = [] if self._root else ["--user", "--map-root-user"]
        self._switch = subprocess.Popen(
            ["unshare", *user, "--net", "sleep", "infinity"],
            preexec_fn=die_with_parent,
            start_new_session=True,
        )
        wait_until("the switch is on", self._is_apart)
        self._in(self._switch.pid, "ip link add br0 type bridge")
        self._in(self._switch.pid, "ip link set br0 up")
        self.hosts: list[Host] = []

    @staticmethod
    def allowed() -> bool:
        """Return true if this user can make namespaces here."""
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        line = [
            "unshare",
            *user,
            "--net",
            "--pid",
            "--fork",
            "--mount-proc",
            "nft",
            "list",
            "tables",
        ]
        return subprocess.run(line, check=False, capture_output=True).returncode == 0

    def _is_apart(self) -> bool:
        name = Path(f"/proc/{self._switch.pid}/cmdline").read_bytes()
        return name.startswith(b"sleep")

    def _enter(self, pid: int) -> list[str]:
        user = [] if self._root else ["--user", "--preserve-credentials"]
        return ["nsenter", f"--target={pid}", "--net", *user]

    def _in(self, pid: int, command: str) -> None:
        line = self._enter(pid) + command.split()
        done = subprocess.run(line, check=False, capture_output=True, text=True)
        if done.returncode:
            raise UnmetError(f"{command}: {done.stderr.strip()}")

    def host(self, name: str, kind: str = "") -> Host:
        """Make a host that is off, with the services of a kind (a folder of `hosts`)."""
        number = len(self.hosts) + 1
        folder = self._folder / name
        self.hosts.append(Host(folder, name, f"10.77.0.{number}", kind))
        self._ports[name] = f"v{number}"
        return self.hosts[-1]

    def power_on(self, host: Host, variables: dict[str, str]) -> None:
        """Start a host: plug in its cable, then let its supervisor run."""
        apart = ["unshare", "--net", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
        named = ["sh", "-c", 'hostname "$HOST_NAME" && exec "$@"', "init"]
        host.power_on([*self._enter(self._switch.pid), *apart, *named], variables)
        wait_until(f"{host.name} is on", lambda: children(host.starter))
        inside, port = children(host.starter)[0], self._ports[host.name]
        self._in(
            self._switch.pid,
            f"ip link add {port} type veth peer name eth0 netns {inside}",
        )
        self._in(self._switch.pid, f"ip link set {port} master br0 up")
        for command in (
            f"ip address add {host.ip}/24 dev eth0",
            "ip link set eth0 up",
            "ip link set lo up",
        ):
            self._in(inside, command)
        host.go()

    def inside(self, host: Host, *command: str) -> list[str]:
        """Return the command line that runs a command on a host."""
        return [*self._enter(children(host.starter)[0]), *command]

    def pull_cable(self, host: Host) -> None:
        """Cut the host off: no packet arrives and none leaves."""
        self._in(self._switch.pid, f"ip link set {self._ports[host.name]} down")

    def plug_cable(self, host: Host) -> None:
        """Connect the host again."""
        self._in(self._switch.pid, f"ip link set {self._ports[host.name]} up")

    def silence(self, host: Host, port: int) -> None:
        """Drop the packets to one port, both those that arrive and those that leave."""
        filters = (
            f"add table inet cut; "
            f"add chain inet cut in {{ type filter hook input priority 0; }}; "
            f"add chain inet cut out {{ type filter hook output priority 0; }}; "
            f"add rule inet cut in meta l4proto {{ tcp, udp }} th dport {port} drop; "
            f"add rule inet cut out meta l4proto {{ tcp, udp }} th dport {port} drop"
        )
        subprocess.run(self.inside(host, "nft", filters), check=True)

    def let_speak(self, host: Host) -> None:
        """Let the packets pass again."""
        self._in(children(host.starter)[0], "nft delete table inet cut")

    def end(self) -> None:
        """End all hosts and the switch."""
        for host in self.hosts:
            host.power_off()
        self._switch.kill()
        self._switch.wait()


class Loopback:
    """Hosts that are loopback addresses, where namespaces are not allowed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._net = f"127.{100 + os.getpid() % 100}.{1 + os.getpid() // 100 % 250}"
        self.hosts: list[Host] = []

    def host(self, name: str, kind: str = "") -> Host:
        """Make a host that is off, with the services of a kind (a folder of `hosts`)."""
        folder = self._folder / name
        ip = f"{self._net}.{len(self.hosts) + 1}"
        self.hosts.append(Host(folder, name, ip, kind))
        return self.hosts[-1]

    def power_on(self, host: Host, variables: dict[str, str]) -> None:
        """Start a host."""
        host.power_on([], variables)
        host.go()

    def inside(self, _: Host, *command: str) -> list[str]:
        """Return the command line that runs a command on a host."""
        return list(command)

    def end(self) -> None:
        """End all hosts."""
        for host in self.hosts:
            host.power_off()


def open_rack(folder: Path) -> Namespaces | Loopback:
    """Return hosts that are namespaces if these are allowed, unless RACK=loopback is set."""
    if os.environ.get("RACK") != "loopback":
        if Namespaces.allowed():
            return Namespaces(folder)
        print("namespaces are not allowed here: the hosts are loopback addresses", file=sys.stderr)
    return Loopback(folder)
