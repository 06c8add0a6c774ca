"""Types for annotations: `import sprat` does not load this module.

>>> from sprat.types import Settings
>>> web: Settings = {"name": "web-1", "bind": "127.0.0.1:0", "probe_interval_ms": 500}
>>> node = sprat.Node(**web)
"""

import os
from collections.abc import Iterable, Mapping
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal, TypedDict

from ._values import MemberState

__all__ = [
    "Address",
    "LogLevel",
    "Milliseconds",
    "Networks",
    "OtherSettings",
    "Settings",
    "State",
]

Milliseconds = int | timedelta
"""A duration: an int of milliseconds, or a timedelta."""

Address = str | IPv4Address | IPv6Address
"""An address to listen on, to be reached at, or to join."""

Networks = str | IPv4Network | IPv6Network | Iterable[str | IPv4Network | IPv6Network]
"""One network or several, in the notation ADDRESS/BITS or as objects of `ipaddress`."""

LogLevel = Literal["off", "error", "warn", "warning", "critical", "info", "debug", "trace"] | int
"""The lowest level that is logged, by name or as a number of `logging`."""

State = MemberState | Literal["alive", "suspect", "failed", "leaving", "left"]
"""The state of a member, or the name of the state."""


class OtherSettings(TypedDict, total=False):
    """Arguments of `sprat.Node` that its signature does not name.

    `sprat.settings()` describes all of them except `filter_tags` and `meta`.
    """

    filter_names: Iterable[str] | None
    filter_tags: Mapping[str, str] | None
    meta: bytes | bytearray | memoryview | None
    encrypt: str | None
    keyring_file: str | os.PathLike[str] | None
    label: str | None
    discover: str | None
    discover_interface: str | None
    snapshot: str | os.PathLike[str] | None
    rejoin_after_leave: bool | None
    member_bytes: int | None
    cidrs_allowed: Networks | None
    probe_interval_ms: Milliseconds | None
    probe_timeout_ms: Milliseconds | None
    indirect_checks: int | None
    stream_pings: bool | None
    suspicion_mult: int | None
    suspicion_max_mult: int | None
    awareness_max: int | None
    gossip_interval_ms: Milliseconds | None
    gossip_nodes: int | None
    gossip_to_the_dead_ms: Milliseconds | None
    retransmit_mult: int | None
    push_pull_interval_ms: Milliseconds | None
    stream_timeout_ms: Milliseconds | None
    packet_bytes: int | None
    message_bytes: int | None
    dead_reclaim_ms: Milliseconds | None
    compression: bool | None
    verify_incoming: bool | None
    verify_outgoing: bool | None
    skip_label_check: bool | None
    join_sync: bool | None
    repeat_pings: bool | None
    final_probe: bool | None
    reconnect: bool | None
    reconnect_min_ms: Milliseconds | None
    reconnect_max_ms: Milliseconds | None
    leave_propagate_ms: Milliseconds | None
    broadcast_timeout_ms: Milliseconds | None
    reconnect_timeout_ms: Milliseconds | None
    tombstone_timeout_ms: Milliseconds | None
    user_event_bytes: int | None
    query_bytes: int | None
    query_response_bytes: int | None
    replay_events: bool | None
    coalesce_members_ms: Milliseconds | None
    coalesce_members_quiet_ms: Milliseconds | None
    coalesce_events_ms: Milliseconds | None
    coalesce_events_quiet_ms: Milliseconds | None
    coordinates: bool | None
    ping_acks: bool | None
    thread_stack_kib: int | None
    spoe_bind: Address | None
    spoe_servers: str | None
    spoe_port: int | None
    spoe_networks: Networks | None


class Settings(OtherSettings, total=False):
    """All arguments of `sprat.aio.Node`, which are those of `sprat.Node` except `on_event`."""

    name: str | None
    bind: Address
    advertise: Address | None
    tags: Mapping[str, str] | None
    keys: Iterable[str | bytes]
    profile: Literal["lan", "wan", "local"]
    mode: Literal["serf", "memberlist"]
    seeds: Iterable[Address]
    event_queue: int
    log_level: LogLevel | None
