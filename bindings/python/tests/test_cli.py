"""The console command: help, usage, errors, exit codes; nothing here needs a cluster."""

import base64
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

KEY = "MDEyMzQ1Njc4OWFiY2RlZg=="


def failed(done, code):
    """The message of a command that ended with this code: one line, and no traceback."""
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


def test_it_knows_its_version(cli):
    done = cli("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("sprat 0.")


@pytest.mark.parametrize("name", ["members", "monitor", "explain", "run", "keygen"])
def test_the_help_of_every_command_has_examples(cli, name):
    done = cli(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"\n    sprat {name} " in done.stdout or f"; sprat {name} " in done.stdout
    assert done.stdout in cli(name, "-h").stdout


def test_without_a_command_it_says_what_there_is_and_that_this_is_no_use(cli):
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
RUN = ("run", "--bind", "127.0.0.1:0", "--log-level", "off")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("members",), "nothing to join: give --join ADDR or set SPRAT_JOIN"),
        (("members", "--join", "b!!"), 'address "b!!": expected host'),
        (("members", "--join", "127.0.0.1:99999"), "the port must be a number"),
        (("explain", "--join", "127.0.0.1"), "Missing argument 'NAME'"),
        (("nonsense",), "No such command 'nonsense'"),
        ((*LOOK, "--nonsense"), "No such option"),
        ((*LOOK, "--tag", "role"), "--tag is 'role', expected KEY=VALUE"),
        ((*LOOK, "--state", "dead"), "is not one of 'alive', 'suspect'"),
        ((*LOOK, "--key", "xx"), "--key is not base64"),
        ((*LOOK, "--key", "YWJj"), "--key has 3 bytes, allowed are 16, 24 and 32"),
        ((*LOOK, "--key", ""), "--key is empty"),
        ((*LOOK, "--keyring-file", ""), "does not exist"),
        ((*LOOK, "--key-file", "/dev/null"), "it holds no key"),
        ((*LOOK, "--key-file", "/nonexistent"), "does not exist"),
        ((*LOOK, "--key", KEY, "--keyring-file", __file__), "exclude each other"),
        ((*LOOK, "--keyring-file", __file__), "expected a JSON array"),
        ((*LOOK, "--config", __file__), 'expected "key = value"'),
        ((*LOOK, "--set", "probe_intervall_ms=1"), "probe_interval_ms"),
        ((*LOOK, "--set", "probe_interval_ms=x"), 'probe_interval_ms is "x", allowed: 10 to'),
        ((*LOOK, "--bind", "here"), 'bind is "here", allowed: IP address'),
        ((*LOOK, "--key", KEY, "--set", f"encrypt={KEY}"), "keys and encrypt are both given"),
        ((*LOOK, "--set", "seeds=a"), "'seeds=a', but addresses to join are those of --join"),
        ((*LOOK, "--name", " a "), 'name is " a ", allowed: 1 to 255 bytes'),
        ((*LOOK, "--set", "name=a "), 'name is "a ", allowed: 1 to 255 bytes'),
        ((*LOOK, "--timeout", "0"), "'--timeout' (env var: 'SPRAT_TIMEOUT'): 0, allowed is more"),
        ((*LOOK, "--timeout", "-1.5"), "-1.5, allowed are seconds from 0 to 86400"),
        ((*LOOK, "--timeout", "nan"), "nan, allowed are seconds from 0 to 86400"),
        ((*RUN, "--coalesce", "1e9"), "1e+09, allowed are seconds from 0 to 86400"),
        (("monitor", "--join", "127.0.0.1", "--event", "x"), "expected one of member-join"),
        ((*RUN, "--handler", "user:deploy=x"), "user events and queries belong to a later version"),
        ((*RUN, "--handler", "query=x"), "user events and queries belong to a later version"),
        ((*RUN, "--handler", "member-jion=x"), "'member-jion' is no kind of event"),
        ((*RUN, "--handler", "member-join="), "has no script"),
        ((*RUN, "--tag", "a=" + "x" * 600), "all tags together take"),
        ((*RUN, "--ready-fd", "77"), "--ready-fd 77 is no open descriptor"),
        ((*RUN, "--join", "b!!"), '--join is "b!!"'),
        ((*RUN, "--join", "x:99999"), "the port must be a number from 1 to 65535"),
    ],
)
def test_wrong_usage_ends_with_2(cli, arguments, message):
    told = failed(cli(*arguments), 2)
    assert message in told
    assert KEY not in told


def test_a_wrong_line_of_a_key_file_is_named(cli, tmp_path):
    file = tmp_path / "keys"
    file.write_text(f"# ours\n\n{KEY}\nYWJj\n")
    told = failed(cli(*LOOK, "--key-file", str(file)), 2)
    assert f"--key-file {file}:4: the key has 3 bytes, allowed are 16, 24 and 32" in told


@pytest.mark.parametrize(
    ("option", "message"),
    [("keygen", "standard output: No space left"), ("--help", "No space left")],
)
def test_a_full_disk_is_said_plainly(command, option, message):
    with Path("/dev/full").open("w") as full:
        line = [*command, option]
        done = subprocess.run(
            line, stdout=full, stderr=subprocess.PIPE, text=True, timeout=30, check=False
        )
    assert (done.returncode, done.stderr) == (1, f"sprat: error: {message} on device\n")


def test_what_this_host_or_the_network_refuses_ends_with_1(cli, addresses):
    bind = ("--bind", addresses.address(0))
    nobody = addresses.address()
    told = failed(cli("members", "--join", nobody, *bind), 1)
    assert told == f"nobody answered: {nobody}: connection refused"
    told = failed(cli("members", "--join", "no-such-host.invalid", *bind), 1)
    assert "no-such-host.invalid:7946: the name has no address" in told
    told = failed(cli("run", "--bind", "192.0.2.1:7946", "--log-level", "off"), 1)
    assert told.startswith("cannot bind TCP 192.0.2.1:7946")


@pytest.fixture
def mute(addresses):
    """An address where somebody listens and never answers."""
    with socket.socket() as listener:
        listener.bind((addresses.ip(), 0))
        listener.listen()
        ip, port = listener.getsockname()
        yield f"{ip}:{port}"


def test_a_join_has_its_time(cli, addresses, mute):
    bind = ("--bind", addresses.address(0))
    told = failed(cli("members", "--join", mute, "--timeout", "0.3", *bind), 1)
    assert told == f"nobody answered within 0.3 s: {mute}"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_join_at_once(command, addresses, mute, number, code):
    line = [*command, "members", "--join", mute, "--bind", addresses.address(0)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        time.sleep(0.7)
        assert process.poll() is None
        process.send_signal(number)
        assert process.communicate(timeout=5) == (b"", b"")
    assert process.returncode == code


@pytest.mark.parametrize("arguments", [("keygen",), ("members", "--help")])
def test_a_reader_that_is_gone_is_no_trouble(command, arguments):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*command, *arguments], stdout=writer, stderr=subprocess.PIPE, timeout=30, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("after", [0.01, 0.03, 0.06, 0.1])
def test_an_interrupt_at_the_very_start_is_no_traceback(command, mute, after):
    # Before this line it is Python's own affair.
    code = "import sys; from sprat.__main__ import main; print(1, flush=True);"
    code += f"sys.argv = ['sprat', 'members', '--join', '{mute}', '--bind', '127.0.0.1:0']; main()"
    line = [command[0], "-c", code]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    time.sleep(after)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors.strip()) == (130, "")
