"""Starts the node of a command, and lets it leave the cluster."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Mapping
from typing import Any

import click

import sprat

__all__ = ["leave", "start"]

_log = logging.getLogger("sprat.cli")

_LEAVE_TIMEOUT = 12.0
"""Seconds for a leave: two broadcasts of at most 5 s each, and the `leave_propagate_ms` of 1 s."""


def start(arguments: Mapping[str, Any]) -> sprat.Node:
    """Start a node. Wrong settings are a usage error; a refusal by this host is a failure."""
    try:
        return sprat.Node(**arguments)
    except (sprat.ConfigError, sprat.InvalidError, sprat.TooLargeError, TypeError) as error:
        # The seeds of a file were checked when it was read, so wrong seeds come from --join.
        raise click.UsageError(re.sub(r"^seeds\b", "--join", str(error))) from None


def leave(node: sprat.Node, *, unacked: int = logging.WARNING) -> None:
    """Leave the cluster, so that the other members see a leave and not a failure.

    `unacked` is the log level for a leave that members did not acknowledge.
    """
    with contextlib.suppress(sprat.ClosedError, sprat.StateError):
        try:
            node.leave(timeout=_LEAVE_TIMEOUT)
        except sprat.TimeoutError:
            _log.warning(
                "the leave has not spread within %g s: other members may see a failure",
                _LEAVE_TIMEOUT,
            )
        except sprat.LeaveError as error:
            _log.log(unacked, "%s", error)
