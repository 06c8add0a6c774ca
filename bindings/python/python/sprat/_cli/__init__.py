"""The console command: its commands, and how each of them ends.

Exit codes: 0 done, 1 failed, 2 wrong usage; 128 and the number of the signal when a signal ended a
command before it was done. Every error is one line on stderr, `sprat: error: ...`. A reader of the
output that has seen enough, like `head`, is no error.
"""

from __future__ import annotations

import contextlib
import os
import sys

import click

import sprat

from .explain import explain
from .keygen import keygen
from .members import members
from .monitor import monitor
from .output import ReaderGone, one_line
from .run import run
from .signals import Ended

__all__ = ["main"]

_HELP = """Look at a cluster of Serf or sprat members, or be a member of it.

Every command that talks to a cluster joins it as a real member and leaves it again before it ends,
so that nobody ever sees a failure. Commands that only look are named sprat-cli-HOST and carry the
tag role=sprat-cli; the agents show them as left afterwards. Each run on a host uses that name
again, so that their lists of members do not grow.

\b
  sprat members --join 10.0.0.5                  who is there
  sprat monitor --join 10.0.0.5                  what happens
  sprat explain web-3 --join 10.0.0.5            why web-3 is in its state
  sprat run --join 10.0.0.5 --tag role=web       be a member
  sprat keygen                                   make a key for encryption

Options that every command shares may stand in the environment instead: SPRAT_JOIN, SPRAT_KEY_FILE
and so on, as `sprat members --help` says.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 or 143 when a signal ended it before it was done.
"""


@click.group(help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(sprat.__version__, prog_name="sprat", message="%(prog)s %(version)s")
def _group() -> None:
    pass


for _command in (members, monitor, explain, run, keygen):
    _group.add_command(_command)


def main(arguments: list[str]) -> int:
    """Run the command with these arguments; its exit code."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed: nothing else may get its number
            setattr(sys, name, open(os.devnull, "r+"))  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        # A name from the cluster must not end a command because the terminal lacks a letter.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _group.main(arguments, prog_name="sprat", standalone_mode=False)
        sys.stdout.flush()
    except (ReaderGone, BrokenPipeError, SystemExit):  # click and rich exit, for this reason only
        return _reader_gone()
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
    """Give the message of an error, and where to read on if it is one of usage."""
    message = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    if context is None:
        return message
    return f"{message} (see {context.command_path} --help)"


def _reader_gone() -> int:
    """Nobody reads on: done. The interpreter would complain when it flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0
