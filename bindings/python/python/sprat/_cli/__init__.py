"""The console command `sprat`: its commands, exit codes and error messages.

Exit codes: 0 for success, 1 for a failure, 2 for wrong usage, and 128 plus the number of the signal
if a signal ended a command before it was done. Every error is one line on stderr,
`sprat: error: ...`, except that `sprat` without a command prints its help there. It is not an error
if the reader of the output stops reading, as `head` does.

Reading order: `options` (the shared options), `look` (asking a member), `visit` (joining for a
moment), the commands `members`, `monitor`, `explain`, `rtt`, `event`, `query`, `keys`, `keygen`;
then `run`, which builds a `service` of `handlers`, `coalesce`, `messages`, `worker`, `script`,
`children` and `notify`.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys

import click

import sprat

from .event import event
from .explain import explain
from .keygen import keygen
from .keys import keys
from .members import members
from .monitor import monitor
from .output import ReaderGone, one_line
from .query import query
from .rtt import rtt
from .run import run
from .signals import Ended

__all__ = ["main"]

_HELP = """Look at a cluster of Serf or sprat members, or run a member of it.

`sprat members` asks a member for its list without joining, so the cluster does not notice it.
`sprat keygen` sends nothing. The other commands join the cluster as a real member and leave it
before they end, so that no member sees a failure. Except for `run`, their members are named
sprat-cli-HOST and have the tag role=sprat-cli; agents list them as left afterwards. Runs on one
host share a few names, so the lists hardly grow.

\b
  sprat members --join 10.0.0.5                  list the members
  sprat monitor --join 10.0.0.5                  print events as they happen
  sprat explain web-3 --join 10.0.0.5            explain why web-3 is in its state
  sprat rtt web-3 --join 10.0.0.5                measure the round-trip time to web-3
  sprat event deploy v2 --join 10.0.0.5          send a user event to all members
  sprat query uptime --join 10.0.0.5             ask all members a question
  sprat run --join 10.0.0.5 --tag role=web       run a member
  sprat keys list --join 10.0.0.5 --key-file F   list the keys of the cluster, or change them
  sprat keygen                                   make a key for encryption

Most of the shared options can also be given by environment variables, such as SPRAT_JOIN or
SPRAT_KEY_FILE: see `sprat members --help`.

Exit codes: 0 success, 1 failure, 2 wrong usage, 128 plus the number of the signal if one ended the
command early.
"""


@click.group(help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(sprat.__version__, prog_name="sprat", message="%(prog)s %(version)s")
def _group() -> None:
    pass


for _command in (members, monitor, explain, rtt, event, query, keys, run, keygen):
    _group.add_command(_command)


def main(arguments: list[str]) -> int:
    """Run the command with these arguments and return its exit code."""
    _prepare_streams()
    code = _run(arguments)
    _drop_unwritten()
    return code


def _prepare_streams() -> None:
    # No other file may get the descriptor number of a closed stream. Output to a closed stdout must
    # fail, or a new key would be lost; an error that stderr does not take changes nothing.
    for name, access in (("stdin", os.O_RDONLY), ("stdout", os.O_RDONLY), ("stderr", os.O_WRONLY)):
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            null = os.open(os.devnull, access)
            setattr(sys, name, os.fdopen(null, mode, closefd=False))  # as Python's own streams
    for stream in (sys.stdout, sys.stderr):
        # A name from the cluster that the terminal cannot encode must not end a command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _run(arguments: list[str]) -> int:
    try:
        code = _group.main(arguments, prog_name="sprat", standalone_mode=False)
        sys.stdout.flush()
    except (
        ReaderGone,
        BrokenPipeError,
        SystemExit,
    ):
        # click and rich call `sys.exit` only if the reader is gone.
        return 0
    except Ended as ended:
        return 128 + ended.number
    except (click.Abort, KeyboardInterrupt):
        return 130
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except click.ClickException as error:
        return _failed(_with_hint(error), error.exit_code)
    except sprat.Error as error:
        return _failed(str(error), 1)
    except OSError as error:
        return _failed(error.strerror or str(error), 1)
    return code if isinstance(code, int) else 0


def _failed(message: str, code: int) -> int:
    with contextlib.suppress(OSError):
        print(f"sprat: error: {one_line(message)}", file=sys.stderr, flush=True)  # noqa: T201
    return code


def _with_hint(error: click.ClickException) -> str:
    """Return the message of an error; a usage error also names the command to get help from."""
    message = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    if context is None:
        return message
    return f"{message} (see {context.command_path} --help)"


def _drop_unwritten() -> None:
    """Drop the output that stdout does not take, because its reader is gone or the disk is full.

    Otherwise the interpreter would try again at its end, and replace the exit code with 120.
    """
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
