//! The SWIM state machine: bytes and time in, outputs out. No socket, clock, thread or lock.
//!
//! Whoever drives a [`Swim`] calls a `handle_*` function for whatever happened, and then takes
//! everything from [`Swim::poll_output`] (orders to the driver) and [`Swim::poll_notice`] (news
//! for the layer above) until both are empty, and sleeps until [`Swim::poll_timeout`]. The same
//! calls with the same seed give the same outputs.
//!
//! | file | its idea |
//! | --- | --- |
//! | `merge` | what news does to what is held: the rule, nothing else |
//! | `news`, `own` | carrying the rule out for others, and for this node |
//! | `members` | the table, the probe order, random choice |
//! | `probe`, `rounds` | who is there |
//! | `awareness`, `suspicion` | how sure are we, and how long may they answer |
//! | `final_probe` | beyond memberlist: nobody who answers is declared dead |
//! | `relay` | probing for others |
//! | `gossip`, `spread` | the queue of rumours, and packets |
//! | `streams`, `push_pull` | connections, and exchanging everything |
//! | `name_conflict` | beyond memberlist: who else has the own name |
//! | `join_sync`, `reconnect` | beyond memberlist: nobody is missed, nobody stays lost |
//! | `why` | reasons and health |

mod awareness;
mod broadcast_queue;
pub mod config;
pub mod explain;
mod explain_text;
mod gossip;
mod join_sync;

mod final_probe;
mod members;
mod merge;
mod name_conflict;
mod news;
pub mod output;
mod own;
mod probe;
mod push_pull;
mod reconnect;
mod relay;
mod rng;
mod rounds;

mod streams;
mod suspicion;
#[cfg(test)]
mod tests;
mod timer;

use crate::time::Time;
use crate::wire::message::Message;
pub use crate::wire::message::NodeState;
use crate::wire::packet::{self, Opened};
use crate::wire::{Codec, Keyring, Refusal};
use awareness::Awareness;
use broadcast_queue::Queue;
pub use config::Config;
pub use explain::{Answer, Explanation, Health, ProbeReport};
use join_sync::JoinSync;
use members::{Slot, Table};
pub use name_conflict::NameConflict;
use name_conflict::NameConflicts;
use news::Spread;
pub use output::*;
use reconnect::Reconnect;
use rng::Random;
use rounds::Probes;
use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use streams::Streams;
use timer::{Deadlines, Timer, Timers};

/// memberlist protocol versions that this node announces: minimum, maximum, spoken.
pub const PROTOCOL: [u8; 3] = [1, 5, 2];

/// Who this node is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its name: unique in the cluster.
    pub name: Arc<str>,
    /// Where others reach it.
    pub addr: SocketAddr,
    /// Its meta (encoded tags).
    pub meta: Arc<[u8]>,
    /// Versions of the layer above: minimum, maximum, spoken.
    pub delegate: [u8; 3],
    /// Its first incarnation, at least 1.
    pub incarnation: u32,
}

/// A place to ask for the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Seed {
    /// A literal address.
    Addr(SocketAddr),
    /// A host name and a port; resolved anew each time.
    Host(String, u16),
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Seed::Addr(addr) => addr.fmt(f),
            Seed::Host(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

/// Counters of this layer.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)] // the layer above explains each in a sentence
pub struct Stats {
    pub datagrams_in: u64,
    pub datagrams_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub stream_bytes_in: u64,
    pub stream_bytes_out: u64,
    pub probes: u64,
    pub probes_failed: u64,
    pub indirect_probes: u64,
    pub stream_fallbacks: u64,
    pub late_answers: u64,
    pub suspicions: u64,
    pub refutations: u64,
    pub push_pulls: u64,
    pub join_syncs: u64,
    pub reconnects: u64,
    pub hints: u64,
    pub hints_limited: u64,
    pub queue_len: u64,
    pub health_score: u64,
    pub refused: RefusalCounts,
}

/// One counter per kind of refusal.
#[derive(Clone, Debug)]
pub struct RefusalCounts(pub [u64; Refusal::COUNT]);

impl Default for RefusalCounts {
    fn default() -> Self {
        RefusalCounts([0; Refusal::COUNT])
    }
}

/// The state machine of one node.
pub struct Swim {
    config: Config,
    codec: Arc<Codec>,
    random: Random,
    awareness: Awareness,
    table: Table,
    own: Slot,
    own_name: Arc<str>,
    own_addr: SocketAddr,
    /// This node has announced its departure.
    left: bool,
    ack_payload: Option<Vec<u8>>,
    queue: Queue,
    lanes: [Queue; USER_LANES],
    population: usize,
    gossip_phase: Duration,
    timers: Timers,
    suspicions: Deadlines<Slot>,
    probes: Probes,
    streams: Streams,
    join_sync: JoinSync,
    reconnect: Reconnect,
    name_conflicts: NameConflicts,
    last_op: u64,
    last_heard: Time,
    stats: Stats,
    transmits: VecDeque<Output>,
    notices: VecDeque<Notice>,
}

impl Swim {
    /// A node that knows nobody. Its own alive message is queued, its timers run.
    pub fn new(
        config: Config,
        codec: Codec,
        identity: Identity,
        seed: [u8; 32],
        now: Time,
    ) -> Swim {
        let mut random = Random::new(seed);
        let mut table = Table::default();
        let [pmin, pmax, pcur] = PROTOCOL;
        let [dmin, dmax, dcur] = identity.delegate;
        let node = Node {
            name: identity.name.clone(),
            addr: identity.addr,
            meta: identity.meta,
            vsn: [pmin, pmax, pcur, dmin, dmax, dcur],
            incarnation: identity.incarnation.max(1),
            state: NodeState::Alive,
            since: now,
        };
        let own = table.insert(node, false, &mut random);
        let mut swim = Swim {
            awareness: Awareness::new(config.awareness_max),
            gossip_phase: random.within(config.gossip_interval),
            codec: Arc::new(codec),
            own_name: identity.name.clone(),
            own_addr: identity.addr,
            left: false,
            ack_payload: None,
            queue: Queue::default(),
            lanes: Default::default(),
            population: 1,
            timers: Timers::default(),
            suspicions: Deadlines::new(),
            probes: Probes::default(),
            streams: Streams::new(),
            join_sync: JoinSync::default(),
            reconnect: Reconnect::default(),
            name_conflicts: NameConflicts::default(),
            last_op: 0,
            last_heard: now,
            stats: Stats::default(),
            transmits: VecDeque::new(),
            notices: VecDeque::new(),
            random,
            table,
            own,
            config,
        };
        let first_probe = swim.random.within(swim.config.probe_interval);
        swim.timers.set(Timer::Probe, now + first_probe);
        let interval = swim.config.push_pull_interval;
        let delay = swim.random.within(interval);
        swim.arm_push_pull(now, delay);
        swim.spread_self(now);
        swim.notice_member(Change::Joined, identity.name);
        swim
    }

    /// A datagram arrived.
    pub fn handle_datagram(&mut self, now: Time, from: SocketAddr, bytes: &[u8]) {
        self.stats.datagrams_in += 1;
        self.stats.bytes_in += bytes.len() as u64;
        let codec = self.codec.clone();
        let opened = match packet::open(&codec, bytes) {
            Ok(opened) => opened,
            Err(refusal) => return self.refuse(refusal),
        };
        let plain: &[u8] = match &opened {
            Opened::Borrowed(plain) => plain,
            Opened::Owned(plain) => plain,
        };
        packet::walk(plain, &mut |part| match part {
            Ok(message) => self.handle_message(now, from, message),
            Err(refusal) => self.refuse(refusal),
        });
    }

    fn handle_message(&mut self, now: Time, from: SocketAddr, bytes: &[u8]) {
        let message = match Message::decode(bytes) {
            Ok(message) => message,
            Err(refusal) => return self.refuse(refusal),
        };
        self.note_heard(now);
        let spread = Spread::AsReceived(bytes);
        match message {
            Message::Ping(ping) => self.hear_ping(now, from, &ping),
            Message::IndirectPing(ask) => self.hear_indirect(now, from, &ask),
            Message::Ack(ack) => self.hear_ack(now, from, &ack),
            Message::Nack(nack) => self.hear_nack(from, nack.seq),
            Message::Suspect(news) => self.hear_suspect(now, &news, spread),
            Message::Alive(alive) => {
                self.hear_alive(now, &alive, spread);
            }
            Message::Dead(news) => self.hear_dead(now, &news, spread),
            Message::User(content) => {
                self.notices.push_back(Notice::UserMessage {
                    bytes: content.to_vec(),
                });
            }
            Message::Error(_) => self.refuse(Refusal::UnknownType),
        }
    }

    /// Does everything that is due.
    pub fn handle_timeout(&mut self, now: Time) {
        self.probe_timeouts(now);
        self.stream_timeouts(now);
        self.name_conflict_timeout(now);
        while let Some(slot) = self.suspicions.take_due(now) {
            self.suspicion_due(now, slot);
        }
        while let Some(timer) = self.timers.take_due(now) {
            match timer {
                Timer::Probe => self.probe_tick(now),
                Timer::Gossip => self.gossip_round(now),
                Timer::PushPull => self.push_pull_tick(now),
                Timer::JoinSync => self.join_sync_tick(now),
                Timer::Reconnect => self.reconnect_tick(now),
                Timer::NameConflict => self.name_conflict_tick(now),
            }
        }
    }

    /// When [`Swim::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Option<Time> {
        let next = [
            self.timers.next(),
            self.suspicions.next(),
            self.probes.next_timeout(),
            self.streams.next_timeout(),
            self.name_conflicts.next_timeout(),
        ];
        next.into_iter().flatten().min()
    }

    /// The next order to the driver.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.transmits.pop_front()
    }

    /// The next notice for the layer above.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// This process did not run: `missed` is what its clock went on by meanwhile, `suspended` what
    /// passed while the clock stood still with the whole machine. Deadlines that measure others
    /// move by what was missed: they are not to blame for our absence.
    ///
    /// True if the absence was longer than the dead are remembered. Old news about a name can meet
    /// a newcomer of that name with a lower incarnation, and would bury it: so the dead are
    /// forgotten then, streams end, and what waited in the sockets is not to be handed in, but
    /// counted as [`Refusal::Stale`].
    pub fn handle_stall(&mut self, now: Time, missed: Duration, suspended: Duration) -> bool {
        self.probes.postpone(missed);
        self.streams.postpone(missed);
        self.suspicions.postpone(missed);
        self.name_conflicts.postpone(missed);
        self.table.postpone(now, missed);
        self.last_heard = now;
        let stale = missed + suspended > self.config.gossip_to_the_dead;
        if stale {
            self.end_streams(now);
            self.forget_the_dead(|_| true);
            let unsaid = self.queue.prune(0);
            self.broadcasts_done(unsaid);
            if !self.left {
                self.spread_self(now);
            }
        }
        stale
    }

    /// Payload of the acks to direct pings; `None` for none.
    #[cfg_attr(not(feature = "internals"), expect(dead_code))]
    pub fn set_ack_payload(&mut self, payload: Option<Vec<u8>>) {
        self.ack_payload = payload;
    }

    /// How many members the layer above knows, in any status: scales retransmits of its lanes.
    pub fn set_population(&mut self, members: usize) {
        self.population = members;
    }

    /// Replaces the keys.
    #[cfg_attr(not(feature = "internals"), expect(dead_code))]
    pub fn set_keyring(&mut self, keyring: Keyring) {
        Arc::make_mut(&mut self.codec).keyring = keyring;
    }

    /// What is held about a name.
    pub fn node(&self, name: &str) -> Option<&Node> {
        Some(&self.table.get(self.table.find(name)?)?.node)
    }

    /// Every known node in any state, this one included, in no particular order.
    #[cfg_attr(not(feature = "internals"), expect(dead_code))]
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.table.iter().map(|(_, entry)| &entry.node)
    }

    /// This node.
    pub fn self_node(&self) -> &Node {
        match self.table.get(self.own) {
            Some(entry) => &entry.node,
            None => unreachable!("the own slot is never swept"),
        }
    }

    /// Where the own name is claimed beside the own address, and who is there.
    pub fn name_conflict(&self) -> Option<(SocketAddr, NameConflict)> {
        self.name_conflicts.claimed()
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        let mut stats = self.stats.clone();
        let lanes: usize = self.lanes.iter().map(Queue::len).sum();
        stats.queue_len = (self.queue.len() + lanes) as u64;
        stats.health_score = u64::from(self.awareness.score());
        stats
    }

    /// Counts a refusal; the layer above calls it for those that it finds.
    pub fn refuse(&mut self, why: Refusal) {
        self.stats.refused.0[why as usize] += 1;
    }

    fn next_op(&mut self) -> OpId {
        self.last_op += 1;
        OpId(self.last_op)
    }

    fn note_heard(&mut self, now: Time) {
        self.last_heard = now;
    }
}
