"""The keys of a cluster on the command line, with stock agents and their `serf keys`."""

import contextlib
import importlib
import json
import signal
import subprocess

import pytest
from conftest import QUICK, eventually, logged

import sprat

keys_command = importlib.import_module("sprat._cli.keys")  # the package has the command itself

OLD, NEW = "b29vb29vb29vb29vb29vbw==", "bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm4="


@pytest.fixture
def keys(command, addresses):
    """Run `sprat keys`; `text` is its standard input."""

    def run(*arguments, text=""):
        bind = ("--bind", addresses.address(0))
        line = [*command, "keys", *arguments, *bind, *QUICK, "--timeout=20"]
        return subprocess.run(
            line, input=text, capture_output=True, text=True, timeout=90, check=False
        )

    return run


@pytest.fixture
def succeed(keys):
    """Run `sprat keys` until it succeeds: a datagram may get lost on a busy machine."""

    def run(*arguments, text=""):
        def printed():
            done = keys(*arguments, text=text)
            assert done.returncode in (0, 1), done.stderr
            return done.stdout if done.returncode == 0 else None

        return eventually(f"sprat keys {arguments[0]} succeeds", printed, 300)

    return run


def listed_by(stock):
    """Return the keys that `serf keys -list` prints, and the numbers of members that hold them."""
    lines = [line.split() for line in stock.must("keys", "-list").splitlines()]
    return {words[0]: words[1] for words in lines if words and words[-1].startswith("[")}


def test_the_key_of_a_cluster_with_agents_is_changed_step_by_step(succeed, run, agent, tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text(OLD + "\n")
    new.write_text(NEW + "\n")
    stock = agent("stock", f"-encrypt={OLD}")
    other = agent("other", f"-encrypt={OLD}", f"-join={stock.address}")
    running = run("--name=ours", "--key-file", str(old), "--join", stock.address)
    for it in (stock, other):
        it.sees("ours", "alive")
    with_old = ("--join", stock.address, "--key-file", str(old))
    with_new = ("--join", other.address, "--key-file", str(new))
    assert succeed("install", "-", *with_old, text=NEW + "\n") == (
        "3 of 3 members have installed the key\n"
    )
    lines = succeed("list", *with_old).splitlines()
    assert [line.split() for line in lines] == [
        ["KEY", "HELD", "BY", "ENCRYPTS", "AT"],
        [OLD, "3", "of", "3", "3", "of", "3"],
        [NEW, "3", "of", "3", "0", "of", "3"],
    ]
    assert succeed("use", NEW, *with_old) == "3 of 3 members encrypt with the key\n"
    assert succeed("remove", OLD, *with_new) == "3 of 3 members do not hold the key any more\n"
    assert json.loads(succeed("list", *with_new, "--format=json")) == {
        "asked": 3,
        "answered": ["other", "ours", "stock"],
        "missing": [],
        "errors": {},
        "remarks": {},
        "held_keys": {NEW: 3},
        "primary_keys": {NEW: 3},
    }

    def agent_lists():
        # The visits have left, and the agent asks the three members that stay.
        with contextlib.suppress(AssertionError):
            return listed_by(stock) == {NEW: "[3/3]"}

    eventually("the agent lists the same keys", agent_lists)
    running.send(signal.SIGTERM)
    running.end()


def test_the_agents_change_the_key_and_the_command_lists_it(succeed, run, agent):
    stock = agent("stock", f"-encrypt={OLD}")
    running = run("--name=ours", "--key", OLD, "--join", stock.address)
    stock.sees("ours", "alive")

    def agent_does(*arguments):
        with contextlib.suppress(AssertionError):
            return bool(stock.must("keys", *arguments))

    for step in (f"-install={NEW}", f"-use={NEW}", f"-remove={OLD}"):
        eventually(f"serf keys {step} succeeds", lambda step=step: agent_does(step))
    printed = json.loads(succeed("list", "--join", stock.address, "--key", NEW, "--format=json"))
    assert (printed["held_keys"], printed["primary_keys"]) == ({NEW: 2}, {NEW: 2})
    running.send(signal.SIGTERM)
    running.end()


def test_a_member_that_reports_an_error_is_named_and_the_command_fails(keys, addresses, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    file = folder / "ring.json"
    file.write_text(json.dumps([OLD]))
    node = sprat.Node(name="ours", bind=addresses.address(), profile="local", keyring_file=file)
    with contextlib.closing(node):
        file.unlink()
        folder.rmdir()
        options = ("--join", node.address, "--key", OLD)

        def failed():
            done = keys("install", NEW, *options)
            return done if "keyring_file" in done.stdout else None

        done = eventually("the member reports an error", failed, 300)
        assert done.returncode == 1
        error, summary = done.stdout.splitlines()
        assert error.startswith("ours: cannot write keyring_file ")
        assert summary == "0 of 1 members have installed the key"
        assert done.stderr == (
            "sprat: error: 1 of 1 members did not do it, failed or did not answer;"
            " repeat the command before you go on\n"
        )


def test_a_key_that_members_lack_is_not_used(keys, addresses):
    node = sprat.Node(name="ours", bind=addresses.address(), profile="local", keys=[OLD])
    with contextlib.closing(node):
        done = keys("use", NEW, "--join", node.address, "--key", OLD)
        assert (done.returncode, done.stdout) == (1, "")
        assert "1 of 1 members do not list the key, or did not answer" in done.stderr
        assert "`sprat keys install`" in done.stderr

        def unchanged():
            # The visit may still be asked, although it has left.
            with contextlib.suppress(sprat.KeyringError):
                return node.keyring.list(timeout=10).primary_keys == {OLD: 1}

        eventually("the key is as before", unchanged)


def test_the_command_reads_a_keyring_file_and_does_not_write_it(succeed, run, tmp_path):
    file, config = tmp_path / "ring.json", tmp_path / "sprat.conf"
    file.write_text(f'["{OLD}"]')
    running = run("--name=ours", "--key", OLD)
    logged(running, "is a member at")
    address = running.process.args[running.process.args.index("--bind") + 1]
    config.write_text(f"name = ours\nseeds = {address}\nkeyring_file = {file}\n")
    succeed("install", NEW, "--config", str(config))
    assert file.read_text() == f'["{OLD}"]'
    succeed("use", NEW, "--join", address, "--keyring-file", str(file))
    config.write_text(f"seeds = {address}\nencrypt = {NEW}\n")
    succeed("remove", OLD, "--config", str(config))
    assert file.read_text() == f'["{OLD}"]'
    assert NEW in succeed("list", "--join", address, "--set", f"encrypt={NEW}")
    running.send(signal.SIGTERM)
    running.end()


def test_the_own_member_is_left_out_and_silent_members_are_named(capsys):
    report = sprat.KeyReport(
        4, ("a", "cli"), ("b\x1b", "c"), {}, {"a": "cut"}, {OLD: 2, NEW: 1}, {OLD: 2}
    )
    facts = keys_command._facts_about_others(report, "cli", (OLD, NEW))
    assert facts == {
        "asked": 3,
        "answered": ["a"],
        "missing": ["b\x1b", "c"],
        "errors": {},
        "remarks": {"a": "cut"},
        "held_keys": {OLD: 1},
        "primary_keys": {OLD: 1},
    }
    keys_command._print("install", facts)
    assert capsys.readouterr().out.splitlines() == [
        "a: cut",
        r"b\x1b: no answer",
        "c: no answer",
        "1 of 3 members have installed the key",
    ]
    silent = sprat.KeyReport(2, (), ("a", "cli"), {}, {}, {}, {})
    facts = keys_command._facts_about_others(silent, "cli", (OLD,))
    assert (facts["asked"], facts["missing"]) == (1, ["a"])
