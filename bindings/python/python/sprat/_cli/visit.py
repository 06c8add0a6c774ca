"""Visits: a command that only inspects the cluster is a member of the cluster while it runs.

Agents list a member for a day after it has left, and a monitoring job may run thousands of times a
day. So all visits from one host share a few names, `sprat-cli-HOST`, `sprat-cli-HOST-2` and so on:
each visit takes the first name that no other visit from this host is using. An agent thus remembers
a few entries per host, not one per run. A visit adds its process number to the name only if the
cluster still lists the name at another address, or if all names are taken. The tag `role=sprat-cli`
lets handlers and dashboards ignore visitors.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import click

import sprat

from .log import log_to_stderr
from .node import leave, start
from .options import Connection, split_list
from .output import waiting
from .signals import Raiser, signals_raise

__all__ = ["addresses", "cluster_settings", "visit"]

_log = logging.getLogger("sprat.cli")

_NAMES = 32
"""The number of names that visits from one host share."""

_IDENTITY = ("name", "bind", "advertise", "spoe_bind", "seeds", "discover")
"""Settings of a file that describe this host's permanent member, and not the cluster."""


@contextlib.contextmanager
def visit(connection: Connection) -> Iterator[sprat.Node]:
    """Join the cluster for the block, and leave it afterwards even if the block fails."""
    file = connection.file()
    join = addresses(connection, file)
    log_to_stderr(connection.log_level or "warn")
    with signals_raise() as raiser, _shared_name() as name, contextlib.ExitStack() as stack:
        node = stack.enter_context(_member(_visitor(connection, file, name), raiser))
        if not _join_and_check_name(node, connection, join):
            stack.close()
            unshared = _visitor(connection, file, f"{name}-{os.getpid()}")
            node = stack.enter_context(_member(unshared, raiser))
            _join(node, join, connection.timeout)
        yield node


def addresses(connection: Connection, file: dict[str, str]) -> tuple[str, ...]:
    """Return the addresses of the cluster."""
    found = connection.join or tuple(split_list(file.get("seeds", "")))
    if not found:
        raise click.UsageError(
            "no address of a member: give --join ADDR or set SPRAT_JOIN;"
            " for an agent on this host, use --join 127.0.0.1"
        )
    return found


def cluster_settings(connection: Connection, file: dict[str, str]) -> dict[str, Any]:
    """Return the arguments of a node without those that describe this host's permanent member."""
    foreign = ("tag.", "filter.")
    shared = {k: v for k, v in file.items() if k not in _IDENTITY and not k.startswith(foreign)}
    arguments = connection.arguments(shared)
    arguments.pop("seeds", None)  # a node retries its seeds: a visit only joins once
    return arguments


@contextlib.contextmanager
def _member(arguments: Mapping[str, Any], raiser: Raiser) -> Iterator[sprat.Node]:
    """Run a node for the block, and leave the cluster at its end."""
    node = start(arguments)
    try:
        raiser.end_leave()
        yield node
    finally:
        try:
            raiser.begin_leave()
            with waiting("leaving"):
                # Many visits are about a silent member, so its silence is no reason for a warning.
                leave(node, unacked=logging.INFO)
        finally:
            node.close()


def _visitor(connection: Connection, file: dict[str, str], name: str) -> dict[str, Any]:
    """Return the arguments for a visitor's node."""
    arguments = cluster_settings(connection, file)
    arguments.setdefault("name", name)
    arguments.setdefault("bind", _any_address())
    if arguments.get("mode") != "memberlist":
        arguments["tags"] = {**arguments["tags"], "role": "sprat-cli"}
    return arguments


def _any_address() -> str:
    """Return the wildcard address to bind to, of both families if this host has IPv6.

    Only an IPv6 socket reaches members with IPv6 addresses, and a host name does not say which
    addresses it has. An agent may use port 7946 on this host, so the port is any free one.
    """
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    except OSError:
        return "0.0.0.0:0"
    return "[::]:0"


def _join_and_check_name(node: sprat.Node, connection: Connection, join: tuple[str, ...]) -> bool:
    """Join, and return true unless another node has the shared name of this visit.

    Either the last visit with this name was killed and the cluster still lists it at its old
    address, or a host with the same host name has a visitor. If --name gave the name, a conflict
    with a node that answers is an error instead, and a conflict with an address where no node
    answers is only a warning: most likely the user's last visit with this name was killed.
    """
    try:
        _join(node, join, connection.timeout)
    except sprat.NameConflictError:
        if connection.name is not None:
            raise
        return False
    if connection.name is None:
        return node.stats()["conflicts_self"] == 0
    health = node.health()
    other = health.name_conflict
    if other is not None and not health.name_conflict_alive:
        _log.warning(
            'members list the name "%s" at %s, where no node answers, and do not see this command;'
            " another --name avoids that",
            node.name,
            other,
        )
    return True


def _join(node: sprat.Node, addresses: tuple[str, ...], timeout: float) -> None:
    with waiting(f"joining {', '.join(addresses)}"):
        try:
            node.join(*addresses, timeout=timeout)
        except (sprat.AddressError, sprat.TooLargeError) as error:
            raise click.UsageError(str(error)) from None
        except sprat.TimeoutError:
            raise click.ClickException(
                f"no answer within {timeout:g} s from {', '.join(addresses)}"
            ) from None


@contextlib.contextmanager
def _shared_name() -> Iterator[str]:
    """Take the first shared name of this host that no other visit has at the moment.

    An abstract socket marks the name as taken. The socket vanishes with the process.
    """
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:200]
    base = f"sprat-cli-{host}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mark:
        for number in range(1, _NAMES + 1):
            if sys.platform != "linux":
                break
            try:
                mark.bind(f"\0sprat-cli-{number}")
            except OSError:
                continue
            yield base if number == 1 else f"{base}-{number}"
            return
        yield f"{base}-{os.getpid()}"
