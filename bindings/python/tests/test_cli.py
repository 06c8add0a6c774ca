"""The console command without a cluster: help, usage, errors and exit codes."""

import base64
import os
import shlex
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import sprat
from sprat._cli import signals, visit
from sprat._cli.explain import _probe_text
from sprat._cli.options import Connection

KEY = "MDEyMzQ1Njc4OWFiY2RlZg=="


def failed(done, code):
    """Return the error message of a command, which must be one line."""
    assert done.returncode == code, (done.stdout, done.stderr)
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("sprat: error: ")
    return line.removeprefix("sprat: error: ")


def test_importing_sprat_loads_nothing_of_the_command(program):
    code = """
        import sys, sprat
        print([it for it in ("click", "rich", "sprat._cli") if it in sys.modules])
    """
    assert program(code).end() == "[]\n"


def test_the_command_prints_its_version(cli):
    done = cli("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("sprat 0.")


@pytest.mark.parametrize("name", ["members", "monitor", "explain", "keys", "run", "keygen"])
def test_the_help_of_every_command_has_examples(cli, name):
    done = cli(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"\n    sprat {name} " in done.stdout or f"; sprat {name} " in done.stdout
    assert done.stdout in cli(name, "-h").stdout


def test_without_a_command_the_help_is_a_usage_error(cli):
    done = cli()
    assert (done.returncode, done.stdout) == (2, "")
    assert "Commands:" in done.stderr


@pytest.mark.parametrize(
    ("options", "size"), [((), 32), (("--size", "16"), 16), (("--size", "24"), 24)]
)
def test_keygen_prints_a_new_key(cli, options, size):
    keys = {cli("keygen", *options).stdout for _ in range(2)}
    assert {len(base64.b64decode(key, validate=True)) for key in map(str.strip, keys)} == {size}
    assert len(keys) == 2


LOOK = ("members", "--join", "127.0.0.1:1")
VISIT = ("monitor", "--join", "127.0.0.1:1")
KEYS = ("--join", "127.0.0.1:1", "--key", KEY)
RUN = ("run", "--bind", "127.0.0.1:0", "--log-level", "off")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("members",), "no address of a member: give --join ADDR or set SPRAT_JOIN"),
        (("members", "--join", "b!!"), 'address "b!!": expected host'),
        (("members", "--join", "127.0.0.1:99999"), "the port must be a number"),
        (("explain", "--join", "127.0.0.1"), "Missing argument 'NAME'"),
        (("nonsense",), "No such command 'nonsense'"),
        ((*LOOK, "--nonsense"), "No such option"),
        ((*LOOK, "--tag", "role"), "--tag must be KEY=VALUE, got 'role'"),
        ((*LOOK, "--state", "dead"), "is not one of 'alive', 'suspect'"),
        ((*LOOK, "--key", "xx"), "--key is not base64"),
        ((*LOOK, "--key", "YWJj"), "--key must have 16, 24 or 32 bytes, got 3"),
        ((*LOOK, "--key", ""), "--key is empty"),
        ((*LOOK, "--keyring-file", ""), "does not exist"),
        ((*LOOK, "--key-file", "/dev/null"), "--key-file /dev/null contains no key"),
        ((*LOOK, "--key-file", "/nonexistent"), "does not exist"),
        ((*LOOK, "--key", KEY, "--keyring-file", __file__), "exclude each other"),
        ((*LOOK, "--keyring-file", __file__), "allowed is a JSON array"),
        ((*LOOK, "--config", __file__), 'expected "key = value"'),
        ((*LOOK, "--set", "probe_intervall_ms=1"), "probe_interval_ms"),
        ((*LOOK, "--set", "probe_interval_ms=x"), 'probe_interval_ms is "x", allowed: 10 to'),
        ((*LOOK, "--bind", "127.0.0.1:0"), "No such option"),
        ((*LOOK, "--set", "bind=127.0.0.1:0"), "--set cannot change bind: this command does not"),
        ((*LOOK, "--set", "discover=a"), "--set cannot change discover: this command does not"),
        ((*RUN, "--set", "discover=a.b"), 'discover is "a.b", allowed: ASCII letters'),
        ((*VISIT, "--bind", "here"), 'bind is "here", allowed: IP address'),
        ((*LOOK, "--key", KEY, "--set", f"encrypt={KEY}"), "keys and encrypt exclude each other"),
        (("keys", "list", *VISIT[1:]), "no key: give --key-file, --key or --keyring-file with"),
        (("keys", "list", *VISIT[1:], "--keyring-file", __file__), "allowed is a JSON array"),
        (("keys", "install", *KEYS), "Missing argument 'KEY'"),
        (("keys", "install", "xx", *KEYS), "KEY is not base64"),
        (("keys", "use", "YWJj", *KEYS), "KEY must have 16, 24 or 32 bytes, got 3"),
        (("keys", "remove", KEY, *KEYS), "KEY is the key with which this command encrypts"),
        ((*LOOK, "--set", "seeds=a"), "--set cannot change seeds, got 'seeds=a': use --join"),
        ((*VISIT, "--name", " a "), 'name is " a ", allowed: 1 to 255 bytes'),
        ((*VISIT, "--set", "name=a "), 'name is "a ", allowed: 1 to 255 bytes'),
        ((*LOOK, "--timeout", "0"), "--timeout must be greater than 0 and at most 86400 s"),
        (
            (*LOOK, "--timeout", "1s"),
            "--timeout must be a number of seconds without a unit, for example 1 or 0.5, got '1s'",
        ),
        ((*LOOK, "--timeout", "-1.5"), "at most 86400 seconds, got -1.5"),
        ((*LOOK, "--timeout", "nan"), "at most 86400 seconds, got nan"),
        ((*RUN, "--coalesce", "1e9"), "must be 0 to 86400 seconds, got 1e+09"),
        (("monitor", "--join", "127.0.0.1", "--event", "x"), "--event must be one of member-join"),
        (
            ("query", "q", *VISIT[1:], "--tag", "a=x", "--tag", "b=x", "--tag", "a=y"),
            "--tag must name each key once, got a=x, b=x, a=y",
        ),
        ((*RUN, "--handler", "member-join:a=x"), "got 'member-join:a'"),
        ((*RUN, "--handler", "users=x"), "user, user:NAME, query, query:NAME or *, got 'users'"),
        ((*RUN, "--handler", "member-jion=x"), "got 'member-jion'"),
        ((*RUN, "--handler", "member-join="), "has no script"),
        ((*RUN, "--tag", "a=" + "x" * 600), "all tags together take"),
        ((*RUN, "--ready-fd", "77"), "--ready-fd must be an open descriptor, got 77"),
        ((*RUN, "--join", "b!!"), '--join is "b!!"'),
        ((*RUN, "--join", "x:99999"), "the port must be a number from 1 to 65535"),
    ],
)
def test_wrong_usage_ends_with_2(cli, arguments, message):
    error = failed(cli(*arguments), 2)
    assert message in error
    assert KEY not in error


def test_the_command_line_overrides_the_environment_which_overrides_the_file():
    file = {"profile": "lan", "log_level": "warn", "name": "file", "label": "file"}
    connection = Connection(
        profile="local",
        log_level="error",
        name="line",
        settings=(("profile", "wan"), ("name", "set")),
        from_environment=frozenset({"profile", "log_level"}),
    )
    assert connection.arguments(file) == {
        "profile": "wan",
        "log_level": "error",
        "name": "line",
        "label": "file",
        "keys": (),
        "tags": {},
    }


def test_set_overrides_an_option_from_the_environment(cli):
    message = 'profile is "x", allowed: lan, wan or local'
    assert message in failed(cli(*LOOK, "--set", "profile=x", SPRAT_PROFILE="local"), 2)


def test_an_error_names_the_wrong_line_of_a_key_file(cli, tmp_path):
    file = tmp_path / "keys"
    file.write_text(f"# ours\n\n{KEY}\nYWJj\n")
    error = failed(cli(*LOOK, "--key-file", str(file)), 2)
    assert f"--key-file {file}:4: the key must have 16, 24 or 32 bytes, got 3" in error


@pytest.mark.parametrize(
    ("option", "message"),
    [("keygen", "standard output: No space left"), ("--help", "No space left")],
)
def test_a_full_disk_is_a_one_line_error(command, option, message):
    with Path("/dev/full").open("w") as full:
        line = [*command, option]
        done = subprocess.run(
            line, stdout=full, stderr=subprocess.PIPE, text=True, timeout=90, check=False
        )
    assert (done.returncode, done.stderr) == (1, f"sprat: error: {message} on device\n")


@pytest.mark.parametrize(
    ("arguments", "closed", "error"),
    [
        ("keygen", ">&-", "sprat: error: standard output: Bad file descriptor\n"),
        ("--help", ">&- <&-", "sprat: error: Bad file descriptor\n"),
        ("keygen", ">/dev/null 2>&- <&-", ""),
    ],
)
def test_only_a_closed_stdout_is_an_error(command, arguments, closed, error):
    line = ["sh", "-c", f"{shlex.join([*command, arguments])} {closed}"]
    done = subprocess.run(line, stderr=subprocess.PIPE, text=True, timeout=90, check=False)
    assert (done.returncode, done.stderr) == (1 if error else 0, error)


def test_a_refusal_by_the_host_or_the_network_ends_with_1(cli, addresses):
    bind = ("--bind", addresses.address(0))
    nobody = addresses.address()
    for command in (("members",), ("monitor", *bind)):
        error = failed(cli(*command, "--join", nobody), 1)
        assert error == f"no node answered: {nobody}: connection refused"
        error = failed(cli(*command, "--join", "no-such-host.invalid"), 1)
        assert "no-such-host.invalid:7946: the name has no address" in error
    error = failed(cli("run", "--bind", "192.0.2.1:7946", "--log-level", "off"), 1)
    assert error.startswith("cannot bind TCP 192.0.2.1:7946")


class Mute:
    """A listener that never answers."""

    def __init__(self, listener):
        self.listener = listener
        self.address = "{}:{}".format(*listener.getsockname())

    def accept(self):
        """Wait until a command connects. After that, only a signal or its timeout can end it."""
        self.listener.settimeout(60)
        return self.listener.accept()[0]


@pytest.fixture
def mute(addresses):
    with socket.create_server((addresses.ip(), 0)) as listener:
        yield Mute(listener)


def test_a_join_and_a_look_end_after_their_timeout(cli, addresses, mute):
    limit = ("--join", mute.address, "--timeout", "0.3")
    error = failed(cli("monitor", *limit, "--bind", addresses.address(0)), 1)
    assert error == f"no answer within 0.3 s from {mute.address}"
    error = failed(cli("members", *limit), 1)
    assert error == f"no node answered: {mute.address}: no answer within 0.3 s"
    # Sixteen addresses are asked at a time, so each of these has half of the time.
    many = ("--join", ",".join([mute.address] * 17), "--timeout", "0.4")
    assert failed(cli("members", *many), 1) == (
        "no node answered within 0.4 s (2 rounds of at most 16 addresses, 0.2 s each):"
        f" {mute.address}: no answer within 0.2 s"
    )


@pytest.mark.parametrize(
    ("direct", "helpers", "rtt", "text"),
    [
        ("answered", {}, 0.0003, "datagram: answered; last round trip 0.3 ms"),
        ("silent", {"b": "nack"}, None, "datagram: no answer, through b: no answer there"),
        ("silent", {}, 0.0003, "datagram: no answer; last round trip 0.3 ms"),
        ("not-asked", {"b": "not-asked"}, None, "ended before an answer was due"),
    ],
)
def test_the_text_of_a_probe_names_every_result(direct, helpers, rtt, text):
    answer = sprat.ProbeAnswer
    probe = sprat.Probe(
        ago=0.5,
        direct=answer(direct),
        stream=answer.NOT_ASKED,
        helpers={name: answer(it) for name, it in helpers.items()},
        rtt=rtt,
    )
    assert _probe_text(probe) == f"500.0 ms ago: {text}"


@pytest.mark.parametrize("name", ["members", "monitor"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_join_or_look_at_once(command, addresses, mute, name, number, code):
    bind = [] if name == "members" else ["--bind", addresses.address(0)]
    line = [*command, name, "--join", mute.address, *bind]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        with mute.accept():
            process.send_signal(number)
            begun = time.monotonic()
            assert process.communicate(timeout=60) == (b"", b"")
        assert time.monotonic() - begun < 9, "the command waited for its timeout, which is 10 s"
    assert process.returncode == code


@pytest.mark.parametrize("arguments", [("keygen",), ("members", "--help")])
def test_a_reader_that_is_gone_is_not_an_error(command, arguments):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*command, *arguments], stdout=writer, stderr=subprocess.PIPE, timeout=90, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("after", [0.01, 0.03, 0.06, 0.1])
def test_an_interrupt_at_the_very_start_prints_no_traceback(command, mute, after):
    # Before `main` begins, Python itself handles an interrupt. `main` has begun when 1 is printed.
    arguments = ["sprat", "monitor", "--join", mute.address, "--bind", "127.0.0.1:0"]
    code = f"""
import sys
from sprat.__main__ import main

class Begun:
    def find_spec(self, name, path=None, target=None):
        if name == "sprat._cli":
            print(1, flush=True)

sys.meta_path.insert(0, Begun())
sys.argv = {arguments}
main()
"""
    line = [command[0], "-c", code]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    time.sleep(after)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=90)
    assert (process.returncode, errors.strip()) == (130, "")


def test_sigint_or_sigterm_counts_as_repeated_only_a_second_after_the_first_signal(monkeypatch):
    now = 100.0
    monkeypatch.setattr(signals, "time", SimpleNamespace(monotonic=lambda: now))
    raiser = signals.Raiser()
    with pytest.raises(signals.Ended):
        raiser(signal.SIGTERM, None)
    now = 100.9
    raiser(signal.SIGTERM, None)
    raiser(signal.SIGINT, None)
    now = 101.0
    raiser(signal.SIGHUP, None)
    with pytest.raises(signals.Ended):
        raiser(signal.SIGTERM, None)


def test_a_visit_listens_on_both_families_if_the_host_has_ipv6(monkeypatch):
    assert visit._any_address() == "[::]:0"

    def no_ipv6(family, kind):
        assert family == visit.socket.AF_INET6
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr(visit.socket, "socket", no_ipv6)
    assert visit._any_address() == "0.0.0.0:0"


def test_a_signal_during_the_leave_for_another_name_ends_the_visit(monkeypatch):
    raiser, steps = signals.Raiser(), []

    class Node:
        def __init__(self, arguments):
            self.name = arguments["name"]

        def leave(self, timeout):
            steps.append(f"leave {self.name}")
            if self.name == "shared":
                raiser(signal.SIGTERM, None)

        def close(self):
            steps.append(f"close {self.name}")

    monkeypatch.setattr(visit, "start", Node)
    with visit._member({"name": "shared"}, raiser):
        pass
    with pytest.raises(signals.Ended) as ended, visit._member({"name": "unshared"}, raiser):
        steps.append("the visit goes on")
    assert ended.value.number == signal.SIGTERM
    assert steps == ["leave shared", "close shared", "leave unshared", "close unshared"]
