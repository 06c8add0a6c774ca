//! The bounds on what the protocol accepts from the wire, and on how much of it is kept.
//!
//! Each constant is a maximum, unless its comment says otherwise. Every length, count or time from
//! the wire is compared with its bound before it is used. A bound that belongs to one mechanism is
//! next to that mechanism, for example the number of requests that are relayed at a time in
//! `swim/detection/relay.rs`. The bounds of settings are in `config`, those of a service in
//! `service`.

/// Length of a node name in bytes, as on the wire. Serf has an optional limit of 128.
pub const NAME_LEN: usize = 255;
/// Number of names in one message that can be escaped (see `wire/wire_name.rs`).
pub const ESCAPED_NAMES: usize = 256;
/// Length in bytes of the meta of this node (in serf mode, the encoded tags): the limit that
/// memberlist checks.
pub const META_LEN: usize = 512;
/// Length in bytes of the meta of another node: twice what memberlist lets a node send.
pub const REMOTE_META_LEN: usize = 2 * META_LEN;
/// Length in bytes of the buffer that receives datagrams. Every UDP datagram is shorter.
pub const DATAGRAM_LEN: usize = 65_536;
/// Length in bytes up to which a datagram is filled with gossip by default: the setting
/// `packet_bytes` (memberlist's UDPBufferSize).
pub const PACKET_LEN: usize = 1400;
/// Number of parts of a compound that even the oldest receivers handle.
pub const COMPOUND_PARTS: usize = 127;
/// Number of nested compound and compress layers that are unpacked.
pub const NESTING: usize = 8;
/// Length in bytes of an encrypted frame of a stream: 20 MiB, as in memberlist.
pub const STREAM_LEN: usize = 20 * 1024 * 1024;
/// Number of bytes to which a compressed stream may expand: 40 MiB, as in memberlist.
pub const INFLATED_STREAM_LEN: usize = 2 * STREAM_LEN;
/// Number of bytes to which a compressed datagram may expand. Senders that follow the protocol
/// compress at most the contents of their packet buffer, which is smaller.
pub const INFLATED_DATAGRAM_LEN: usize = 256 * 1024;
/// Length in bytes of the user state in a push/pull.
pub const USER_STATE_LEN: usize = 20 * 1024 * 1024;
/// Length in bytes of the local state that an application sets in memberlist mode. Every push/pull
/// carries it, together with the members: even if compression makes it half as long again, both
/// fit into an encrypted frame.
pub const LOCAL_STATE_LEN: usize = 8 * 1024 * 1024;
/// Length in bytes of the payload that an application adds to the acks of this node in memberlist
/// mode. Every ping of a member is answered with it, so it is kept as short as a meta.
pub const ACK_PAYLOAD_LEN: usize = 512;
/// Number of bytes of the messages of this node that go by stream and have not ended.
pub const SENT_MESSAGE_BYTES: usize = 64 * 1024 * 1024;
/// Number of bytes of received messages, states, ack payloads, user events, queries and answers
/// that wait in one queue of events: their payloads and names.
pub const QUEUED_MESSAGE_BYTES: usize = 64 * 1024 * 1024;
/// Number of nodes in one push/pull.
pub const PUSH_PULL_NODES: usize = 1_048_576;
/// Length of a label in bytes.
pub const LABEL_LEN: usize = 255;
/// Number of streams that one node has open at a time, a quarter of them reserved for those that it
/// dials. Looks and joins may exceed it. memberlist serves 127 streams.
pub const STREAMS: usize = 128;
/// Number of seeds that a node remembers, and number of addresses in one list of them.
pub const SEEDS: usize = 4096;
/// Number of datagrams that a receive buffer can hold: the kernel charges half a kilobyte even for
/// the smallest datagram.
pub const RECEIVE_QUEUE: usize = 8192;
/// Number of connections that can wait to be accepted; the kernel's own bound is usually lower.
pub const ACCEPT_QUEUE: usize = 4096;
/// Number of nodes in one member table.
pub const MEMBERS: usize = 65_536;
/// Length in bytes of the text with which another node refuses a request; the rest is cut off.
pub const ERROR_TEXT_LEN: usize = 512;
/// Number of messages in one datagram. A compound has at most 255 parts, and no sender puts one
/// compound into another.
pub const DATAGRAM_MESSAGES: usize = 255;
/// Number of slots of the event ring in one push/pull (Serf sends 512).
pub const EVENT_SLOTS: usize = 65_536;
/// Number of events in all slots of one push/pull.
pub const EVENTS: usize = 262_144;
/// Number of bytes of one stream that are collected if they are neither encrypted nor compressed:
/// the state of a hundred thousand members.
pub const STREAM_BUFFER_LEN: usize = 32 * 1024 * 1024;
/// Number of bytes that are collected for all accepted streams together: as many as for one. The
/// streams that this node dialled have a bound of the same size of their own.
pub const ALL_STREAMS_LEN: usize = STREAM_BUFFER_LEN;
/// Number of bytes of the queued broadcasts about members. The broadcasts about 10,000 members that
/// join at once take about a quarter of it.
pub const QUEUED_MEMBER_BYTES: usize = 4 * 1024 * 1024;
/// Distance by which a time from the wire may be ahead of a Lamport clock. A cluster with a
/// thousand events a second needs 34 years to get that far, so a new node catches up with any real
/// cluster in one step. An attacker needs 16 million messages, instead of one, to drive the clock
/// to its end.
pub const LTIME_LEAP: u64 = 1 << 40;
/// Distance by which an incarnation from the wire may be ahead of the one held about the same
/// member. Without forged messages, an incarnation rises in steps of about one. A greater leap is
/// believed only if the member itself reports it on a stream that this node dialled. An attacker
/// needs four million messages, instead of one, to drive an incarnation to its end. The bound does
/// not apply if the setting `join_sync` is off.
pub const INCARNATION_LEAP: u32 = 1024;
/// The highest incarnation from the wire with which a name becomes known, or known at another
/// address, unless the node itself reports that incarnation on a stream that this node dialled.
/// This bound does not apply either if the setting `join_sync` is off.
pub const FIRST_INCARNATION: u32 = 1 << 31;
/// Number of intents that are kept for names that are not known yet.
pub const BUFFERED_INTENTS: usize = 65_536;
/// Number of bytes of the names of these intents: 32 for each of them.
pub const BUFFERED_INTENT_BYTES: usize = 2 * 1024 * 1024;
/// Fixed number of slots of the rings of user events and queries (Serf's EventBuffer and
/// QueryBuffer).
pub const RING_SLOTS: u64 = 512;
/// Length in bytes of a message of Serf. Agents send such messages in datagrams only, and no
/// datagram is longer, however well its content was compressed.
pub const SERF_MESSAGE_LEN: usize = DATAGRAM_LEN;
/// Length in bytes of the name and the payload of a user event together, as in Serf.
pub const USER_EVENT_LEN: usize = 9216;
/// Number of filters of a query. A query of 9,216 bytes, the largest that a sprat node sends, has
/// no room for more filters by tag. An agent sends 1,024 bytes, unless its settings say otherwise.
pub const QUERY_FILTERS: usize = 640;
/// Number of queries of this node that can be under way.
pub const ASKED_QUERIES: usize = 256;
/// The maximum number of silent members to which a query is sent again. If more are silent, nothing
/// is sent again.
pub const QUERY_REPEATED_TO: usize = 64;
/// Number of keys in the keyring of a node. Every key is tried for each datagram.
pub const KEYS: usize = 64;
/// Number of keys in the answer of another node that lists its keys, and number of different keys
/// in a report about the keys of a cluster.
pub const ANSWERED_KEYS: usize = 1024;
/// Number of changes of this node's keys that wait until they are stored in the keyring file.
pub const KEY_CHANGES: usize = 64;
/// Number of queries that wait for an answer from the application.
pub const OPEN_QUERIES: usize = 1024;
/// Number of queries that wait because their sender is not known yet.
pub const EARLY_QUERIES: usize = 64;
/// Number of bytes of the queries that wait because their sender is not known yet.
pub const EARLY_QUERY_BYTES: usize = 64 * 1024;
/// Number of events or queries that are kept for one Lamport time.
pub const RING_SLOT_ITEMS: usize = 256;
/// Number of user events of this node that wait until gossip has room for them.
pub const UNSENT_EVENTS: usize = 2048;
/// Number of user events that wait for earlier ones.
pub const HELD_EVENTS: usize = 512;
/// Number of bytes of the names and payloads of the user events that wait for earlier ones.
pub const HELD_BYTES: usize = 1024 * 1024;
/// Number of user events that wait to be coalesced.
pub const COALESCED_EVENTS: usize = 1024;
/// Number of bytes of the names and payloads of the user events that wait to be coalesced.
pub const COALESCED_BYTES: usize = 1024 * 1024;
/// Number of bytes in the ring of user events, all of which travel in every push/pull.
pub const RING_BYTES: usize = 4 * 1024 * 1024;
