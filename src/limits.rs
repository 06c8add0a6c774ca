//! Every bound in one table. What comes from the wire is compared with these before it is used.

/// Length of a node name in bytes. Serf's own optional limit is 128; the name is in every message.
pub const NAME_LEN: usize = 255;
/// Meta (encoded tags) of a node in bytes: what a reference sender checks.
pub const META_LEN: usize = 512;
/// Meta accepted from others. The reference stores any length; this still fits one datagram.
pub const REMOTE_META_LEN: usize = 8 * 1024;
/// Largest datagram that UDP can carry.
pub const DATAGRAM_LEN: usize = 65_536;
/// Target size of a datagram filled with gossip (memberlist's UDPBufferSize).
pub const PACKET_LEN: usize = 1400;
/// Parts of one compound that even the oldest receivers handle.
pub const COMPOUND_PARTS: usize = 127;
/// Layers of compound and compress inside one another that are unpacked.
pub const NESTING: usize = 8;
/// Encrypted frame of a stream: 20 MiB, the reference's limit.
pub const STREAM_LEN: usize = 20 * 1024 * 1024;
/// What compressed bytes may expand to: 40 MiB, the reference's limit for streams.
pub const INFLATED_STREAM_LEN: usize = 2 * STREAM_LEN;
/// What a compressed datagram may expand to. No honest sender packs more than its buffer.
pub const INFLATED_DATAGRAM_LEN: usize = 256 * 1024;
/// User state in a push/pull.
pub const USER_STATE_LEN: usize = 20 * 1024 * 1024;
/// Nodes in one push/pull.
pub const PUSH_PULL_NODES: usize = 1_048_576;
/// A label.
pub const LABEL_LEN: usize = 255;
/// Streams that one node serves or uses at a time (the reference serves 127).
pub const STREAMS: usize = 128;
/// Datagrams that a receive buffer holds: of the smallest, each accounted with half a kilobyte.
pub const RECEIVE_QUEUE: usize = 8192;
/// Connections that wait to be accepted: the kernel's own bound is lower by default.
pub const ACCEPT_QUEUE: usize = 4096;
/// Nodes that one table holds.
pub const MEMBERS: usize = 65_536;
/// Slots of the event ring in one push/pull (the reference sends 512).
pub const EVENT_SLOTS: usize = 65_536;
/// Events in all slots of one push/pull.
pub const EVENTS: usize = 262_144;
/// Unencrypted bytes of one stream that are collected: what compressed ones may expand to.
pub const STREAM_BUFFER_LEN: usize = INFLATED_STREAM_LEN;
/// The same for all streams together.
pub const ALL_STREAMS_LEN: usize = 2 * STREAM_BUFFER_LEN;
/// How far ahead of a Lamport clock a time from the wire may lie. A cluster with a thousand events
/// a second needs 34 years to get there, so every honest newcomer catches up in one step; somebody
/// who wants to drive the clock to its end needs 16 million messages instead of one.
pub const LTIME_LEAP: u64 = 1 << 40;
/// Intents kept for names that are not known yet.
pub const BUFFERED_INTENTS: usize = 65_536;
/// Slots of the rings of user events and queries: Serf's EventBuffer and QueryBuffer.
pub const RING_SLOTS: u64 = 512;
/// Events or queries kept at one Lamport time.
pub const RING_SLOT_ITEMS: usize = 256;
/// Bytes that the ring of user events may hold: they travel in every push/pull.
pub const RING_BYTES: usize = 4 * 1024 * 1024;
