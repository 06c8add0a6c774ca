"""Cluster membership as a library.

A program that imports sprat is a full member of a memberlist or Serf cluster by itself: it finds
the other members, notices who fails, tells the others about itself with tags, and hears what they
say::

    import sprat

    with sprat.Node(name="worker-1", tags={"role": "web"}) as node:
        node.join("10.0.0.5")
        for event in node.events():
            print(event)

`sprat.aio` has the same for `asyncio`.
"""

from __future__ import annotations

import binascii as _binascii
from collections.abc import Sequence as _Sequence

from ._errors import (
    AddressError,
    ClosedError,
    ConfigError,
    CryptoError,
    DeadlockError,
    Error,
    ForkedError,
    InternalError,
    InvalidError,
    JoinError,
    NameConflictError,
    NetworkError,
    ProtocolError,
    StateError,
    TimeoutError,
    TooLargeError,
    UnknownMemberError,
    UnreachableError,
)
from ._events import Events
from ._native import (
    Event,
    Member,
    MemberAlive,
    MemberEvent,
    MemberFailed,
    MemberJoined,
    MemberLeft,
    MemberReaped,
    Members,
    MemberSuspected,
    MemberUpdated,
    NodeFailed,
    Overflow,
    __version__,
)
from ._node import Node
from ._tags import Tags
from ._values import (
    ALIVE_OR_SUSPECT,
    Explanation,
    Health,
    MemberState,
    NodeState,
    Probe,
    ProbeAnswer,
    Stat,
)

__all__ = [
    "ALIVE_OR_SUSPECT",
    "AddressError",
    "ClosedError",
    "ConfigError",
    "CryptoError",
    "DeadlockError",
    "Error",
    "Event",
    "Events",
    "Explanation",
    "ForkedError",
    "Health",
    "InternalError",
    "InvalidError",
    "JoinError",
    "Member",
    "MemberAlive",
    "MemberEvent",
    "MemberFailed",
    "MemberJoined",
    "MemberLeft",
    "MemberReaped",
    "MemberState",
    "MemberSuspected",
    "MemberUpdated",
    "Members",
    "NameConflictError",
    "NetworkError",
    "Node",
    "NodeFailed",
    "NodeState",
    "Overflow",
    "Probe",
    "ProbeAnswer",
    "ProtocolError",
    "Stat",
    "StateError",
    "Tags",
    "TimeoutError",
    "TooLargeError",
    "UnknownMemberError",
    "UnreachableError",
    "__version__",
    "generate_key",
]

_Sequence.register(Members)


def generate_key(size: int = 32) -> str:
    """Make a random key in base64, as `Node(keys=[...])` and Serf take it.

    size: 16, 24 or 32 bytes, for AES-128, AES-192 or AES-256.
    """
    if isinstance(size, bool) or not isinstance(size, int):
        raise TypeError(f"size must be int, not {type(size).__name__}")
    if size not in (16, 24, 32):
        raise InvalidError(f"size is {size!r}, allowed are 16, 24 and 32")
    import secrets  # takes a tenth of the time of importing sprat, and few make keys

    return _binascii.b2a_base64(secrets.token_bytes(size), newline=False).decode()
