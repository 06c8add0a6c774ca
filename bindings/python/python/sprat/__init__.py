"""Cluster membership as a library.

A program that imports sprat becomes a full member of a memberlist or Serf cluster: it finds the
other members, notices when one fails or leaves, and describes itself to them with tags::

    import sprat

    with sprat.Node(name="worker-1", tags={"role": "web"}) as node:
        node.join("10.0.0.5")
        for event in node.events():
            print(event)

`sprat.aio` offers the same for `asyncio`. `sprat.testing` runs clusters for tests.
"""

from __future__ import annotations

import binascii as _binascii
from collections.abc import Sequence as _Sequence

from ._catalog import Setting, settings
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
    KeyringError,
    LeaveError,
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
from ._key_report import KeyReport
from ._native import (
    Event,
    Member,
    MemberAlive,
    MemberConflict,
    MemberEvent,
    MemberFailed,
    MemberJoined,
    MemberLeft,
    MemberReaped,
    Members,
    MemberSuspected,
    MemberUpdated,
    Message,
    NameRegained,
    NodeFailed,
    Overflow,
    PingAck,
    Query,
    RemoteState,
    Response,
    UserEvent,
    __version__,
)
from ._node import Keyring, Node
from ._query import QueryResult
from ._tags import Tags
from ._values import (
    ALIVE_OR_SUSPECT,
    Coordinate,
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
    "Coordinate",
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
    "KeyReport",
    "Keyring",
    "KeyringError",
    "LeaveError",
    "Member",
    "MemberAlive",
    "MemberConflict",
    "MemberEvent",
    "MemberFailed",
    "MemberJoined",
    "MemberLeft",
    "MemberReaped",
    "MemberState",
    "MemberSuspected",
    "MemberUpdated",
    "Members",
    "Message",
    "NameConflictError",
    "NameRegained",
    "NetworkError",
    "Node",
    "NodeFailed",
    "NodeState",
    "Overflow",
    "PingAck",
    "Probe",
    "ProbeAnswer",
    "ProtocolError",
    "Query",
    "QueryResult",
    "RemoteState",
    "Response",
    "Setting",
    "Stat",
    "StateError",
    "Tags",
    "TimeoutError",
    "TooLargeError",
    "UnknownMemberError",
    "UnreachableError",
    "UserEvent",
    "__version__",
    "generate_key",
    "settings",
]

# Pyright does not know that the class is an abstract base class.
_Sequence.register(Members)  # pyright: ignore[reportAttributeAccessIssue]


def generate_key(size: int = 32) -> str:
    """Return a random key in base64, for `Node(keys=[...])` or for Serf.

    size: 16, 24 or 32 bytes, for AES-128, AES-192 or AES-256.
    """
    if isinstance(size, bool) or not isinstance(size, int):
        raise TypeError(f"size must be int, not {type(size).__name__}")
    if size not in (16, 24, 32):
        raise InvalidError(f"size must be 16, 24 or 32, got {size!r}")
    # Few programs make keys, and importing this module takes a tenth as long as importing sprat.
    import secrets

    return _binascii.b2a_base64(secrets.token_bytes(size), newline=False).decode()
