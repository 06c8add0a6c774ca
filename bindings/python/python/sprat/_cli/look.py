"""Looks: a command that only wants the list of members asks a member for it, and does not join.

The node of a look listens on the loopback address only, and no member learns of it. So a look
leaves no entry in the lists of members, and calls no handler.
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

_OWN = ("name", "bind", "advertise")
"""Settings of a member, which a look does not have."""

_AT_ONCE = 16
"""The number of addresses that are asked at the same time."""


def look(connection: Connection) -> sprat.Members:
    """Return the members that the first address to answer lists."""
    file = connection.file()
    asked = addresses(connection, file)
    log_to_stderr(connection.log_level or "warn")
    for key, _ in connection.settings:
        if key in _OWN:
            raise click.UsageError(f"--set cannot change {key}: this command does not join")
    arguments = cluster_settings(connection, file)
    arguments.update(name="sprat-look", bind="127.0.0.1:0", tags={})
    with signals_raise():
        node = start(arguments)
        try:
            with waiting(f"asking {', '.join(asked)}"):
                return _first_answer(node, asked, connection.timeout)
        finally:
            node.close()


def _first_answer(node: sprat.Node, asked: tuple[str, ...], timeout: float) -> sprat.Members:
    until = time.monotonic() + timeout
    pool = concurrent.futures.ThreadPoolExecutor(min(len(asked), _AT_ONCE))
    try:

        def ask(address: str) -> sprat.Members:
            return node.look(address, max(until - time.monotonic(), 0))

        looks = {pool.submit(ask, address): address for address in asked}
        errors: dict[str, str] = {}
        for done in concurrent.futures.as_completed(looks):
            try:
                return done.result()
            except (sprat.AddressError, sprat.TooLargeError) as error:
                raise click.UsageError(str(error)) from None
            except sprat.JoinError as error:
                errors.update({address: str(why) for address, why in error.errors.items()})
            except sprat.TimeoutError:
                errors[looks[done]] = f"no answer within {timeout:g} s"
        reasons = "; ".join(f"{address}: {why}" for address, why in errors.items())
        raise click.ClickException(f"no node answered: {reasons}")
    finally:
        node.close()  # ends the other looks
        pool.shutdown(cancel_futures=True)
