"""Looks: a command that needs only the list of members asks a member for it instead of joining.

The node of a look listens on the loopback address only, and no member learns of it. So a look
leaves no entry in the lists of members, and no handler runs because of it.
"""

from __future__ import annotations

import concurrent.futures
import time

import click

import sprat

from .log import log_to_stderr
from .node import start
from .options import Connection
from .output import waiting
from .signals import signals_raise
from .visit import addresses, cluster_settings

__all__ = ["look"]

_OWN = ("name", "bind", "advertise", "discover")
"""Settings that describe a member. --set must not give them, because a look does not join."""

_AT_ONCE = 16
"""The number of addresses asked at the same time: the maximum number of looks of a node."""


def look(connection: Connection) -> sprat.Members:
    """Return the list of members from the first address that answers."""
    file = connection.file()
    asked = addresses(connection, file)
    log_to_stderr(connection.log_level or "warn")
    for key, _ in connection.settings:
        if key in _OWN:
            raise click.UsageError(f"--set cannot change {key}: this command does not join")
    arguments = cluster_settings(connection, file)
    arguments.update(name="sprat-look", bind="127.0.0.1:0", tags={})
    # This filter is only for members, and could refuse the loopback address of the node.
    arguments.pop("cidrs_allowed", None)
    errors: dict[str, str] = {}
    rounds = [asked[at : at + _AT_ONCE] for at in range(0, len(asked), _AT_ONCE)]
    share = connection.timeout / len(rounds)
    with signals_raise(), waiting(f"asking {', '.join(asked)}"):
        for some in rounds:
            found = _first_answer(start(arguments), some, share, errors)
            if found is not None:
                return found
    reasons = "; ".join(f"{address}: {why}" for address, why in errors.items())
    limit = "" if len(rounds) == 1 else _rounds_text(len(rounds), connection.timeout)
    raise click.ClickException(f"no node answered{limit}: {reasons}")


def _rounds_text(rounds: int, timeout: float) -> str:
    return (
        f" within {timeout:g} s ({rounds} rounds of at most {_AT_ONCE} addresses,"
        f" {timeout / rounds:g} s each)"
    )


def _first_answer(
    node: sprat.Node, asked: tuple[str, ...], timeout: float, errors: dict[str, str]
) -> sprat.Members | None:
    """Return the first answer, or `None` after adding the reason for each address to `errors`."""
    until = time.monotonic() + timeout
    pool = concurrent.futures.ThreadPoolExecutor(len(asked))

    def ask(address: str) -> sprat.Members:
        return node.look(address, max(until - time.monotonic(), 0))

    try:
        looks = {pool.submit(ask, address): address for address in asked}
        for done in concurrent.futures.as_completed(looks):
            try:
                return done.result()
            except (sprat.AddressError, sprat.TooLargeError) as error:
                raise click.UsageError(str(error)) from None
            except sprat.JoinError as error:
                errors.update({address: str(why) for address, why in error.errors.items()})
            except sprat.TimeoutError:
                errors[looks[done]] = f"no answer within {timeout:g} s"
        return None
    finally:
        node.close()  # ends the other looks
        pool.shutdown(cancel_futures=True)
