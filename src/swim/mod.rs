//! The SWIM state machine: bytes and time in, outputs out. No socket, clock, thread or lock.
//!
//! A driver calls a `handle_*` function of [`Swim`] for every input, and a function such as
//! [`Swim::join`] for every command of the layer above. After each call, it calls
//! [`Swim::poll_output`] (outputs for the driver) and [`Swim::poll_notice`] (notices for the layer
//! above) until both return `None`. It then sleeps until the next input or command, but no longer
//! than until the time that [`Swim::poll_timeout`] returns. The same calls with the same random
//! seed give the same outputs, apart from the nonces if [`Swim::set_fresh_bits`] has been called.
//!
//! # How it is built
//!
//! The protocol consists of parts: types that own their state, or functions if there is no state.
//! The parts share the `Context`, an argument of their functions: the time, the settings, the
//! member table, the outbox, the timers, the streams and the random source. No part calls another:
//! a part returns to `Swim` whatever another part must act on. `Swim` connects the parts in five
//! files: this one for datagrams and timers, `commands` for commands, `stream_events` for streams,
//! `apply` for changes of members, and `remote_state` for the states that push/pulls bring.
//!
//! | part | what it does |
//! | --- | --- |
//! | `detection/probe` | probes members in turn, directly, through helpers, and over a stream |
//! | `detection/relay` | pings on behalf of other nodes |
//! | `detection/suspects` | keeps the deadlines of suspects, and the final probes before them |
//! | `gossip` | sends broadcasts to random members |
//! | `exchanges/requests` | reads requests and answers on streams, and answers requests |
//! | `exchanges/messages` | sends user messages by stream |
//! | `exchanges/push_pull` | exchanges everything that two nodes know |
//! | `exchanges/join_sync` | pulls states after many joins, and from unknown nodes that ping |
//! | `exchanges/joining` | carries out join commands |
//! | `exchanges/looking` | carries out looks at other clusters |
//! | `reconnection/reconnect` | asks seeds and lost members again |
//! | `local/local_node` | announces this node, refutes accusations, leaves and returns |
//! | `local/leaving` | tells members of this node's leave until they acknowledge it |
//! | `local/spreading` | waits until a change of this node has been gossiped |
//! | `local/name_conflict` | finds out whether another node has this node's name |
//! | `explain` | explains why a member is in its state, and the health of this node |
//!
//! The head of each folder's `mod.rs` lists its other files. These are below the parts:
//!
//! | file or folder | contents |
//! | --- | --- |
//! | `shared` | the context, the broadcast queue, the outbox, timers, open streams, counters |
//! | `table` | the member table; the state of a member changes in one function there |
//! | `config`, `seed`, `output` | settings, seeds, and everything that comes out |
//! | `explanation` | the explanation of a member's state, and its text |
//! | `address`, `rng` | addresses on the wire, random numbers |

mod address;
mod apply;
mod commands;
mod config;
mod detection;
mod exchanges;
mod explain;
mod explanation;
mod gossip;
mod local;
mod output;
mod reconnection;
mod remote_state;
mod rng;
mod seed;
mod shared;
mod stream_events;
mod table;
#[cfg(test)]
mod tests;

use crate::time::Time;
use crate::wire::message::{Ack, Message, Ping};
use crate::wire::{Codec, Names, Refusal, packet};
use detection::acks;
use detection::final_probe::SuspectStep;
use detection::probe::Probing;
use detection::relay::Relaying;
use detection::suspects::Suspects;
use exchanges::join_sync::JoinSync;
use exchanges::joining::Joining;
use exchanges::looking::Looking;
use exchanges::messages::Messages;
use exchanges::{push_pull, requests};
use explain::HealthFacts;
use gossip::Gossip;
use local::leaving::Leaving;
use local::local_node;
use local::name_conflict::NameConflicts;
use local::spreading::Spreading;
use reconnection::reconnect::Reconnect;
use shared::broadcast_queue::PassOn;
use shared::context::Context;
use shared::streams::ExchangeCause;
use shared::timer::Timer;
use std::net::SocketAddr;
use std::time::Duration;
use table::members::MemberIndex;

pub use crate::wire::message::NodeState;
pub use config::Config;
pub use explain::Health;
pub use explanation::Explanation;
pub use output::*;
pub use reconnection::lost_members::LostSince;
pub use rng::FreshBits;
pub use seed::Seed;
#[cfg_attr(not(feature = "internals"), expect(unused_imports))]
pub use shared::context::ShareFacts;
pub use shared::identity::Identity;
pub use shared::refusals::{Source, SourceCount, SourceCounts, Transport};
pub use shared::stats::Stats;
pub use table::probe_report::{HelperReport, ProbeAnswer, ProbeReport};

/// The state machine of one node.
pub struct Swim {
    ctx: Context,
    probing: Probing,
    relaying: Relaying,
    suspects: Suspects,
    gossip: Gossip,
    join_sync: JoinSync,
    joining: Joining,
    looking: Looking,
    leaving: Leaving,
    messages: Messages,
    spreading: Spreading,
    reconnect: Reconnect,
    name_conflicts: NameConflicts,
}

impl Swim {
    /// Creates a node that knows no other node. Queues its own alive message, and sets the timers
    /// of the first probe and of the first regular push/pull.
    pub fn new(
        config: Config,
        codec: Codec,
        identity: Identity,
        seed: [u8; 32],
        now: Time,
    ) -> Swim {
        let mut ctx = Context::new(config, codec, identity, seed, now);
        let gossip = Gossip::new(&mut ctx);
        let probing = Probing::new(&mut ctx);
        push_pull::start(&mut ctx);
        local_node::start(&mut ctx);
        Swim {
            ctx,
            probing,
            relaying: Relaying::default(),
            suspects: Suspects::default(),
            gossip,
            join_sync: JoinSync::default(),
            joining: Joining::default(),
            looking: Looking::default(),
            leaving: Leaving::default(),
            messages: Messages::default(),
            spreading: Spreading::default(),
            reconnect: Reconnect::default(),
            name_conflicts: NameConflicts::default(),
        }
    }

    /// Runs an input or command at the time `now`. Every input and command that depends on the time
    /// passes through here.
    fn at<R>(&mut self, now: Time, run: impl FnOnce(&mut Swim) -> R) -> R {
        self.ctx.now = now;
        let result = run(self);
        self.gossip.arm(&mut self.ctx);
        self.spreading.check(&mut self.ctx);
        result
    }

    /// Sets the source of the input that is handled from now on. The functions that handle
    /// datagrams and streams call this themselves. The layer above sets the source to `None` after
    /// it has acted on everything that the input caused.
    pub fn set_source(&mut self, source: Option<Source>) {
        self.ctx.outbox.sources.set_current(source);
    }

    // Datagrams.

    /// A datagram arrived.
    pub fn handle_datagram(&mut self, now: Time, from: SocketAddr, bytes: &[u8]) {
        self.set_source(Some(Source::datagram(from)));
        self.at(now, |swim| {
            let ctx = &mut swim.ctx;
            ctx.outbox.stats.datagrams_in += 1;
            ctx.outbox.stats.bytes_in += bytes.len() as u64;
            let opened = match packet::open(&ctx.codec, bytes) {
                Ok(opened) => opened,
                Err(refusal) => return ctx.refuse_unreadable(refusal),
            };
            packet::walk(opened.as_bytes(), &mut |part| {
                if let Err(refusal) = part.and_then(|bytes| swim.on_message(from, bytes)) {
                    swim.refuse(refusal);
                }
            });
        });
    }

    fn on_message(&mut self, from: SocketAddr, bytes: &[u8]) -> Result<(), Refusal> {
        let names = Names::default();
        let message = Message::decode_in(bytes, &names)?;
        if !self.ctx.is_source_allowed(from.ip()) && !self.is_taken_from_outside(&message) {
            return Err(Refusal::AddressNotAllowed);
        }
        self.ctx.awareness.heard(self.ctx.now);
        let received = PassOn::Received(bytes);
        let ctx = &mut self.ctx;
        match message {
            Message::Ping(ping) => return self.on_ping(from, &ping),
            Message::IndirectPing(ask) => self.relaying.on_indirect_ping(ctx, from, &ask),
            Message::Ack(ack) => self.on_ack(from, &ack),
            Message::Nack(nack) => self.probing.on_nack(ctx, from, nack.seq),
            Message::Suspect(accusation) => {
                self.on_suspect(&accusation, received);
                self.correct_accuser(from, &accusation);
            }
            Message::Dead(accusation) => self.on_dead(&accusation, received),
            Message::Alive(alive) => {
                self.on_alive(&alive, received);
                self.join_sync.on_announced(&mut self.ctx, from, &alive);
            }
            Message::User(content) => return requests::on_user_content(ctx, content),
            Message::Error(_) => return Err(Refusal::UnknownType),
        }
        Ok(())
    }

    /// Returns true if this message is handled although its sender is outside of the networks of
    /// `cidrs_allowed`. The sender may be a member that knows this node from other members. So its
    /// pings are answered, and its accusations of this node are refuted, because it would otherwise
    /// declare this node failed.
    fn is_taken_from_outside(&self, message: &Message) -> bool {
        match message {
            Message::Ping(_) | Message::Ack(_) | Message::Nack(_) => true,
            Message::Suspect(accusation) | Message::Dead(accusation) => {
                accusation.node == &*self.ctx.local.name
            }
            Message::IndirectPing(_) | Message::Alive(_) | Message::User(_) | Message::Error(_) => {
                false
            }
        }
    }

    /// A ping arrived.
    fn on_ping(&mut self, from: SocketAddr, ping: &Ping) -> Result<(), Refusal> {
        let ctx = &mut self.ctx;
        if self.name_conflicts.on_ping(ctx, from, ping) {
            self.on_name_decided();
            return Ok(());
        }
        if !ctx.local.answers_to(ping.node) {
            return Err(Refusal::OtherNode);
        }
        let (source, port, name) = (ping.source_addr, ping.source_port, ping.source_node);
        let peer = ctx.answer_addr(source, port, name, from);
        acks::answer(ctx, from, peer, ping);
        self.join_sync.on_pinged_by(ctx, ping.source_node, peer);
        Ok(())
    }

    /// An ack arrived. It answers a probe, a question about a name conflict, a relayed ping, or the
    /// announcement of this node's leave. Any other ack is only counted.
    fn on_ack(&mut self, from: SocketAddr, ack: &Ack) {
        let ctx = &mut self.ctx;
        if let Some(end) = self.probing.on_ack(ctx, from, ack) {
            self.on_probe_end(end);
        } else if self.name_conflicts.on_ack(ctx, ack.seq) {
            self.on_name_decided();
        } else if !self.relaying.on_ack(ctx, ack.seq) && !self.leaving.on_ack(ctx, ack.seq) {
            ctx.count_late_answer(ack.seq);
        }
    }

    /// Continues the joins that waited to learn whether another node has this node's name.
    fn on_name_decided(&mut self) {
        let undecided = self.name_conflicts.is_asking();
        self.joining.drive_all(&mut self.ctx, undecided);
    }

    /// The driver could not send a datagram of the probe with this sequence number.
    pub fn handle_send_failure(&mut self, now: Time, probe: u32, why: SendFailure) {
        self.at(now, |swim| {
            swim.probing.on_send_failure(&mut swim.ctx, probe, why);
        });
    }

    // Time.

    /// Does everything that is due.
    pub fn handle_timeout(&mut self, now: Time) {
        self.at(now, |swim| {
            while let Some(end) = swim.probing.next_end(&mut swim.ctx) {
                swim.on_probe_end(end);
            }
            swim.relaying.on_timeout(&mut swim.ctx);
            swim.leaving.on_timeout(&mut swim.ctx);
            while let Some(event) = requests::next_timeout(&mut swim.ctx) {
                swim.on_stream_event(event);
            }
            if swim.name_conflicts.on_timeout(&mut swim.ctx) {
                swim.on_name_decided();
            }
            while let Some((member, step)) = swim.suspects.next_due(&swim.ctx) {
                swim.on_suspect_step(member, step);
            }
            while let Some(timer) = swim.ctx.timers.take_due(now) {
                swim.on_timer(timer);
            }
        });
    }

    fn on_timer(&mut self, timer: Timer) {
        let ctx = &mut self.ctx;
        match timer {
            Timer::Probe => self.probing.tick(ctx),
            Timer::Gossip => self.gossip.tick(ctx),
            Timer::PushPull => push_pull::tick(ctx),
            Timer::JoinSync => self.join_sync.tick(ctx),
            Timer::Reclaim => self.join_sync.on_reclaim(ctx),
            Timer::Joining => self.joining.tick(ctx, self.name_conflicts.is_asking()),
            Timer::Looking => self.looking.tick(ctx),
            Timer::Reconnect => self.reconnect.tick(ctx),
            Timer::NameConflict => self.name_conflicts.tick(ctx),
        }
    }

    fn on_suspect_step(&mut self, member: MemberIndex, step: SuspectStep) {
        let ctx = &mut self.ctx;
        match step {
            SuspectStep::Probe { first } => self.probing.begin_final_probe(ctx, member, first),
            SuspectStep::Pull => push_pull::pull_from(ctx, member, ExchangeCause::Suspect),
            SuspectStep::Verdict => self.on_suspicion_end(member),
        }
    }

    /// The time at which [`Swim::handle_timeout`] must be called next.
    pub fn poll_timeout(&self) -> Option<Time> {
        let next = [
            self.ctx.timers.next(),
            self.ctx.streams.next_timeout(),
            self.suspects.next_timeout(),
            self.probing.next_timeout(),
            self.relaying.next_timeout(),
            self.leaving.next_timeout(),
            self.name_conflicts.next_timeout(),
        ];
        next.into_iter().flatten().min()
    }

    /// Handles a stall: this process did not run. The clock advanced by `missed` in that time, and
    /// stood still for `suspended` because the whole machine was suspended. The deadlines that
    /// other nodes have to meet move by `missed`, because the delay is not their fault.
    ///
    /// Returns true if the stall was longer than the time for which dead members are remembered.
    /// After such a stall, an old message about a dead member could wrongly declare its successor
    /// dead: a new member with the same name and a lower incarnation. So members that are dead or
    /// have left are forgotten, streams are closed and probes begin again. Before the caller sends
    /// anything, it must discard the datagrams that waited in the sockets, and count each as
    /// [`Refusal::Stale`].
    pub fn handle_stall(&mut self, now: Time, missed: Duration, suspended: Duration) -> bool {
        self.at(now, |swim| {
            swim.probing.postpone(missed);
            swim.relaying.postpone(missed);
            swim.leaving.postpone(missed);
            swim.suspects.postpone(missed);
            swim.name_conflicts.postpone(missed);
            swim.ctx.streams.on_stall(missed);
            swim.ctx.table.postpone(now, missed);
            swim.ctx.awareness.heard(now);
            let stale = missed + suspended > swim.ctx.config.gossip_to_the_dead;
            if stale {
                swim.forget_what_is_old();
            }
            stale
        })
    }

    /// After a long stall, closes streams, forgets members that are dead or have left, restarts the
    /// probes under way, drops queued states of members, and announces this node unless it has
    /// left.
    fn forget_what_is_old(&mut self) {
        for id in self.ctx.streams.ids() {
            if let Some(event) = requests::fail(&mut self.ctx, id, JoinFailure::TimedOut) {
                self.on_stream_event(event);
            }
        }
        let ctx = &mut self.ctx;
        ctx.start_probe_round(|_| true);
        self.probing.restart(ctx);
        let dropped = ctx.broadcasts.members.prune(0);
        ctx.outbox.tell_done(dropped);
        if !ctx.local.left {
            local_node::announce(ctx);
        }
    }

    // Outputs and views.

    /// The next output for the driver; `None` if no output waits.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.ctx.outbox.poll_output()
    }

    /// The next notice for the layer above; `None` if no notice waits.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.ctx.outbox.poll_notice()
    }

    /// Returns the node with this name, in any state; `None` if the name is unknown.
    pub fn node(&self, name: &str) -> Option<&Node> {
        Some(self.ctx.table.named(name)?.node())
    }

    /// This node.
    pub fn self_node(&self) -> &Node {
        self.ctx.table.local().node()
    }

    /// Returns another address at which members list this node's name, and what is known of the
    /// node there; `None` if members list it at no other address.
    pub fn name_conflict(&self) -> Option<NameConflict> {
        self.name_conflicts.claimed()
    }

    /// Takes the counts of refusals since the last call, one for each pair of reason and source.
    /// The list of pairs is bounded. Refusals of further pairs are only in the counters, and so are
    /// refusals that no input from the network caused.
    pub fn take_refusals(&mut self) -> Vec<SourceCount> {
        self.ctx.outbox.sources.take_counts()
    }

    /// Explains why a member is in its state. Returns `None` if this layer does not know the name.
    pub fn explain(&self, now: Time, name: &str) -> Option<Explanation> {
        let member = self.ctx.table.find(name)?;
        let record = self.ctx.table.get(member)?;
        let suspicion = self.suspects.get(member);
        let sources = &self.ctx.outbox.sources;
        Some(explain::explanation(record, suspicion, sources, now))
    }

    /// Returns the health of this node itself.
    pub fn health(&self, now: Time) -> Health {
        explain::health(&self.ctx, &self.health_facts(), now)
    }

    /// Returns true if this node has seeds other than itself, or former members, but knows no other
    /// member, or only members that have left.
    pub fn is_waiting_for_seeds(&self) -> bool {
        explain::is_waiting_for_seeds(&self.ctx, &self.health_facts())
    }

    /// Returns the address of a seed or lost member that refuses this node, or whose answer this
    /// node refuses, and the reason; `None` if there is none.
    pub fn reconnect_refusal(&self) -> Option<&(SocketAddr, JoinFailure)> {
        self.reconnect.refusal()
    }

    /// Returns true if another member that is alive has this address.
    #[cfg_attr(not(feature = "mdns"), allow(dead_code))]
    pub fn is_alive_at(&self, addr: SocketAddr) -> bool {
        self.ctx.table.is_alive_at(addr)
    }

    /// Returns true if this node knows another member that has not left. Failed members count,
    /// former members do not.
    pub fn knows_others(&self) -> bool {
        explain::others_known(&self.ctx, self.reconnect.lost()) > 0
    }

    fn health_facts(&self) -> HealthFacts<'_> {
        HealthFacts {
            name_conflict: self.name_conflicts.claimed(),
            has_other_seeds: self.reconnect.has_other_seeds(self.ctx.local.addr),
            refusal: self.reconnect.refusal().map(|(_, why)| why),
            lost: self.reconnect.lost(),
        }
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        let mut stats = self.ctx.outbox.stats.clone();
        stats.queue_len = self.ctx.broadcasts.len() as u64;
        stats.broadcasts_dropped = self.ctx.broadcasts.dropped();
        stats.health_score = u64::from(self.ctx.awareness.score());
        stats
    }
}
