//! The context: the state that all parts of the protocol share.
//!
//! [`crate::swim::Swim`] owns the context and passes it to the functions of the parts. A part
//! changes its own state and the context, and returns to `Swim` whatever other parts have to act
//! on.
//!
//! The context also sends: it fills datagrams with broadcasts that wait in the queue, and seals
//! datagrams and streams with the keys of the node and random nonces.

use super::awareness::Awareness;
use super::broadcast_queue::{Broadcasts, PART_COST, retransmit_limit};
use super::identity::{Identity, LocalNode};
use super::lookups::Lookups;
use super::outbox::Outbox;
use super::streams::{Exchange, Purpose, Streams};
use super::timer::Timers;
use crate::limits;
use crate::member::NodeFacts;
use crate::networks;
use crate::swim::output::{Change, OpId, Output, StreamId};
use crate::swim::rng::Random;
use crate::swim::table::members::MemberTable;
use crate::swim::{Config, address};
use crate::time::Time;
use crate::wire::lzw::CompressCache;
use crate::wire::stream::{self, Side};
use crate::wire::{Codec, Refusal, packet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

const _: () = assert!(
    limits::COMPOUND_PARTS < 128,
    "old receivers misread compounds of 128 or more parts"
);

/// A function that returns shared facts equal to those it is given.
pub type ShareFacts = fn(NodeFacts) -> Arc<NodeFacts>;

/// Everything that the parts share.
pub(in crate::swim) struct Context {
    /// The time of the input that is being handled.
    pub now: Time,
    pub config: Config,
    pub codec: Codec,
    pub random: Random,
    pub table: MemberTable,
    pub local: LocalNode,
    pub awareness: Awareness,
    pub broadcasts: Broadcasts,
    /// The number of members that the layer above knows, in any state.
    pub population: usize,
    pub timers: Timers,
    pub streams: Streams,
    pub lookups: Lookups,
    pub outbox: Outbox,
    /// Puts the facts about a new member on the heap. A program with many nodes may set a function
    /// that lets them share equal facts.
    pub share: ShareFacts,
    compressed: CompressCache,
    last_seq: u32,
    last_op: u64,
}

impl Context {
    /// Creates the context of a node that knows no other node and has no timer set.
    pub fn new(
        config: Config,
        codec: Codec,
        identity: Identity,
        seed: [u8; 32],
        now: Time,
    ) -> Context {
        let mut random = Random::new(seed);
        let node = identity.into_node(now);
        let local = LocalNode {
            name: node.name.clone(),
            addr: node.addr,
            left: false,
            intends_to_leave: false,
            name_is_taken: false,
            left_silently: false,
            ack_payload: None,
        };
        Context {
            now,
            awareness: Awareness::new(config.awareness_max, now),
            table: MemberTable::new(node, &mut random),
            config,
            codec,
            random,
            local,
            broadcasts: Broadcasts::default(),
            population: 1,
            timers: Timers::default(),
            streams: Streams::default(),
            lookups: Lookups::default(),
            outbox: Outbox::default(),
            share: Arc::new,
            compressed: CompressCache::default(),
            last_seq: 0,
            last_op: 0,
        }
    }

    /// Returns a new sequence number for a ping.
    pub fn next_seq(&mut self) -> u32 {
        self.last_seq = self.last_seq.wrapping_add(1);
        self.last_seq
    }

    /// Counts an ack or nack that no ping waits for: as late if this node has used its sequence
    /// number, otherwise as refused.
    pub fn count_late_answer(&mut self, seq: u32) {
        if (1..=self.last_seq).contains(&seq) {
            self.outbox.stats.late_answers += 1;
        } else {
            self.outbox.refuse(Refusal::UnknownSequence);
        }
    }

    /// Returns a new number for an operation whose end is reported.
    pub fn next_op(&mut self) -> OpId {
        self.last_op += 1;
        OpId(self.last_op)
    }

    /// Counts the refusal of the current input. If the reason is a key or label that differs from
    /// this node's, also remembers the source, unless the source is an accepted stream.
    pub fn refuse_unreadable(&mut self, why: Refusal) {
        self.outbox.refuse(why);
        self.outbox.sources.note_unreadable(self.now, why);
    }

    /// Returns true if a member may have this address.
    pub fn is_allowed(&self, ip: IpAddr) -> bool {
        self.config.allows(ip)
    }

    /// Returns true if the sender of input may have this address: it lies in one of the networks of
    /// the setting `cidrs_allowed`, unless that list is empty.
    pub fn is_source_allowed(&self, ip: IpAddr) -> bool {
        networks::allow(&self.config.cidrs_allowed, ip)
    }

    /// Decodes the address of a member as [`address::decode`] does; the flag is true for an
    /// IPv4-mapped address. If the port is 0, the port of this node is used: the first protocol
    /// versions send none, because they assume that all nodes have the same port.
    pub fn decode_addr(&self, bytes: &[u8], port: u16) -> Option<(SocketAddr, bool)> {
        let port = match port {
            0 => self.local.addr.port(),
            port => port,
        };
        address::decode(bytes, port)
    }

    /// Starts a new round of probes, in a new order. Before that, removes the members that died or
    /// left, if `long_enough` returns true for the time since then.
    pub fn start_probe_round(&mut self, long_enough: impl Fn(Duration) -> bool) {
        let now = self.now;
        let gone = self.table.sweep(
            |it| !it.is_live() && long_enough(now.since(it.node().since)),
            &mut self.random,
        );
        for name in gone {
            self.outbox.tell_member(Change::Forgotten, name);
        }
    }

    /// Returns the number of bytes that the parts of a compound may have: the length of a packet
    /// without the label, the encryption and the header of the compound.
    pub fn packet_room(&self) -> usize {
        self.config
            .packet_bytes
            .saturating_sub(2 + self.codec.overhead())
    }

    /// Returns true if this message is small enough to travel by gossip.
    pub fn fits_a_packet(&self, message: &[u8]) -> bool {
        message.len() + PART_COST <= self.packet_room()
    }

    /// Queues the state of a member for gossip, in place of an older one.
    pub fn queue_broadcast(&mut self, subject: &Arc<str>, message: Arc<[u8]>) {
        let dropped = if self.fits_a_packet(&message) {
            let is_own = *subject == self.local.name;
            let room = if is_own {
                usize::MAX
            } else {
                limits::QUEUED_MEMBER_BYTES
            };
            self.broadcasts.push_member(subject.clone(), message, room)
        } else {
            // Only push/pulls bring the new state to other nodes; the queued state is outdated.
            self.outbox.stats.broadcasts_too_long += 1;
            self.broadcasts.members.drop_about(subject)
        };
        self.outbox.tell_done(dropped);
    }

    /// Returns the retransmit limit for states of members.
    pub fn member_retransmits(&self) -> u32 {
        retransmit_limit(self.config.retransmit_mult, self.table.len())
    }

    /// Takes broadcasts for one packet.
    pub fn take_broadcasts(&mut self, room: usize, parts: usize) -> Vec<Arc<[u8]>> {
        if self.broadcasts.is_empty() {
            return Vec::new();
        }
        let mut done = Vec::new();
        let mult = self.config.retransmit_mult;
        // For the states of members, and for the messages of the layer above.
        let retransmit_limits = [
            self.member_retransmits(),
            retransmit_limit(mult, self.population),
        ];
        let messages = self
            .broadcasts
            .take(room, parts, retransmit_limits, &mut done);
        self.outbox.tell_done(done);
        messages
    }

    /// Returns true if the live member `name` has this address.
    pub fn is_live_at(&self, name: &str, addr: SocketAddr) -> bool {
        let member = self.table.named(name);
        member.is_some_and(|it| it.is_live() && it.node().addr == addr)
    }

    /// Returns the address at which to answer a message. The message came from `from`, and names
    /// the node `name` at `source` and `port` as its sender.
    pub fn answer_addr(
        &self,
        source: &[u8],
        port: u16,
        name: &str,
        from: SocketAddr,
    ) -> SocketAddr {
        let known = || self.table.named(name).map(|it| it.node().addr);
        address::of_answer(source, port, from, known)
    }

    /// Sends an answer to `to`, the address that [`Context::answer_addr`] returned for the node
    /// `name`. The message to answer came from `from`. Broadcasts are added only if the two
    /// addresses are the same, so that a third party that merely names a member cannot make this
    /// node send them.
    pub fn answer(&mut self, from: SocketAddr, to: SocketAddr, name: &str, message: &[u8]) {
        if to == from {
            self.send_to_claimed(to, name, message);
        } else {
            self.send_parts(to, &[message], false, None);
        }
    }

    /// Sends one message to an address that a received message names. If the live member `name` has
    /// that address, the packet is filled with broadcasts. Any other receiver would not pass the
    /// broadcasts on, and sending them would still use up their retransmit limits.
    pub fn send_to_claimed(&mut self, to: SocketAddr, name: &str, message: &[u8]) {
        if self.is_live_at(name, to) {
            self.send_with_broadcasts(to, &[message], None);
        } else {
            self.send_parts(to, &[message], false, None);
        }
    }

    /// Sends one packet to a member: these messages, then as many broadcasts as fit. `probe` is the
    /// sequence number of the probe that is informed if the datagram cannot be sent.
    pub fn send_with_broadcasts(&mut self, to: SocketAddr, messages: &[&[u8]], probe: Option<u32>) {
        let mut parts = messages.to_vec();
        let taken: usize = parts.iter().map(|part| part.len() + PART_COST).sum();
        let room = self.packet_room().saturating_sub(taken);
        let broadcasts = self.take_broadcasts(room, limits::COMPOUND_PARTS - parts.len());
        parts.extend(broadcasts.iter().map(|message| &**message));
        self.send_parts(to, &parts, false, probe);
    }

    /// Sends these messages in one datagram, and adds nothing to them.
    pub fn send_parts(
        &mut self,
        to: SocketAddr,
        parts: &[&[u8]],
        checksum: bool,
        probe: Option<u32>,
    ) {
        if let [message] = parts {
            return self.send(to, message, checksum, probe);
        }
        let mut plain = Vec::with_capacity(self.config.packet_bytes);
        packet::compound(parts, &mut plain);
        self.send(to, &plain, checksum, probe);
    }

    /// Seals and sends a datagram.
    pub fn send(&mut self, to: SocketAddr, plain: &[u8], checksum: bool, probe: Option<u32>) {
        let nonce = self.nonce();
        let bytes = packet::seal(&self.codec, plain, checksum, nonce);
        self.outbox.datagram(to, bytes, probe);
    }

    /// Returns a fresh nonce if this node has keys, else zeros.
    fn nonce(&mut self) -> [u8; 12] {
        if self.codec.keyring.is_empty() {
            [0; 12]
        } else {
            self.random.nonce()
        }
    }

    /// Dials a stream.
    pub fn dial(&mut self, to: SocketAddr, purpose: Purpose, deadline: Time) {
        let id = self.streams.dial(to, purpose, deadline);
        self.outbox.order(Output::Connect { id, to });
    }

    /// Begins a push/pull.
    pub fn begin_exchange(&mut self, exchange: Exchange) {
        self.outbox.stats.push_pulls += 1;
        let deadline = self.now + self.config.stream_timeout;
        self.dial(exchange.peer, Purpose::PushPull(exchange), deadline);
    }

    /// Seals a message and writes it to a stream.
    pub fn write(&mut self, id: StreamId, side: Side, plain: &[u8]) {
        self.write_pieces(id, side, |_, take| take(plain));
    }

    /// Seals a message that comes piece by piece, and writes it to a stream.
    pub fn write_pieces(
        &mut self,
        id: StreamId,
        side: Side,
        plain: impl Fn(&Context, &mut dyn FnMut(&[u8])),
    ) {
        let nonce = self.nonce();
        let mut cache = std::mem::take(&mut self.compressed);
        let pieces = |take: &mut dyn FnMut(&[u8])| plain(self, take);
        let bytes = stream::seal(&self.codec, side, &pieces, nonce, &mut cache);
        self.compressed = cache;
        self.outbox.write(id, bytes);
    }

    /// Forgets a stream; the driver closes it when everything written has gone out.
    pub fn close(&mut self, id: StreamId) {
        self.streams.remove(id);
        self.outbox.order(Output::Close { id });
    }
}
