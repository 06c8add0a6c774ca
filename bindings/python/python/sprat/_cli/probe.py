"""Probes of a visit: a member is probed at once, instead of when its turn comes."""

from __future__ import annotations

import contextlib

import sprat

__all__ = ["probe_now"]

_PROBES = 20
"""The maximum number of probes. It is reached if each probe is answered by stream only."""


def probe_now(node: sprat.Node, name: str, timeout: float) -> None:
    """Probe a member until it answers by datagram or a probe gets no answer, at most 20 times.

    If an answer by stream is faster, it ends the probe, which then does not show whether datagrams
    get answers.
    """
    for _ in range(_PROBES):
        answers = False
        with contextlib.suppress(sprat.StateError, sprat.TimeoutError):
            # A member that has failed or left, is this node itself, or is the subject of another
            # hint cannot be probed now: its present state is the result.
            answers = node.hint(name, timeout=timeout)
        probe = node.explain(name).probe
        if not answers or probe is None or probe.direct is sprat.ProbeAnswer.ANSWERED:
            return
