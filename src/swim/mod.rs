//! The SWIM state machine: bytes and time in, outputs out. No socket, clock, thread or lock.
//!
//! A driver calls a `handle_*` function of [`Swim`] for everything that happens. It then takes
//! everything from [`Swim::poll_output`] (orders to the driver) and [`Swim::poll_notice`] (notices
//! for the layer above) until both are empty, and sleeps until [`Swim::poll_timeout`]. The same
//! calls with the same seed give the same outputs.
//!
//! # How it is built
//!
//! The protocol consists of parts. Each part is a type that owns its state, or functions where
//! there is none. A call hands it the `Context`: the time, the settings, the member
//! table, the outbox, the timers, the streams and the random source. No part calls another: what
//! one learns and another must do is returned to `Swim`, which wires them in three files: this one
//! for datagrams, timers and commands, `stream_events` for streams, `apply` for changes of members.
//!
//! | part | what it does |
//! | --- | --- |
//! | `probe` | asks members in turn, directly, through helpers, and over a stream |
//! | `relay` | pings on behalf of others |
//! | `suspects` | counts down for suspects, with final probes before the verdict |
//! | `gossip` | sends broadcasts to random members |
//! | `requests` | answers what arrives on streams |
//! | `push_pull` | exchanges everything that two nodes know |
//! | `join_sync` | pulls once more after a burst of joins |
//! | `joining` | carries out join commands |
//! | `reconnect` | asks seeds and lost members again |
//! | `name_conflict` | finds out which node has this node's name at another address |
//! | `local_node` | announces this node, refutes accusations, leaves and returns |
//! | `explain` | says why a member is in its state, and how this node is doing |
//!
//! | shared ground | what it holds |
//! | --- | --- |
//! | `context` | everything that the parts share, and sending |
//! | `members` | the member table; the state of a member changes in one function there |
//! | `merge` | the rule: what a message about a member does to what is held about it |
//! | `broadcast_queue` | messages to gossip, and which go into the next packet |
//! | `outbox`, `output`, `stats` | outputs and notices, and the counters |
//! | `streams`, `lookups`, `timer`, `rng` | open streams, look-ups, deadlines, random numbers |
//! | `awareness` | the local health score |
//! | `suspicion`, `final_probe` | the time that one suspect has, and its final probes |
//! | `rounds`, `probe_report`, `announcement` | one probe, its report, its announcement |
//! | `explanation` | the explanation of a member's state, and its text |
//! | `seeds`, `lost_members`, `retry` | the lists of `reconnect`, and its pauses |
//! | `identity`, `address`, `config` | this node, addresses on the wire, settings |

mod address;
mod announcement;
mod apply;
mod awareness;
mod broadcast_queue;
mod config;
mod context;
mod explain;
mod explanation;
mod final_probe;
mod gossip;
mod identity;
mod join_sync;
mod joining;
mod local_node;
mod lookups;
mod lost_members;
mod members;
mod merge;
mod name_conflict;
mod outbox;
mod output;
mod probe;
mod probe_report;
mod push_pull;
mod reconnect;
mod relay;
mod requests;
mod retry;
mod rng;
mod rounds;
mod seeds;
mod stats;
mod stream_events;
mod streams;
mod suspects;
mod suspicion;
#[cfg(test)]
mod tests;
mod timer;

use crate::time::Time;
use crate::wire::message::{Ack, Message, Ping};
use crate::wire::{Codec, Refusal, packet};
use broadcast_queue::PassOn;
use context::Context;
use explain::HealthFacts;
use final_probe::SuspectStep;
use gossip::Gossip;
use join_sync::JoinSync;
use joining::Joining;
use members::MemberIndex;
use name_conflict::NameConflicts;
use probe::Probing;
use reconnect::Reconnect;
use relay::Relaying;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use streams::ExchangeCause;
use suspects::Suspects;
use timer::Timer;

pub use crate::wire::message::NodeState;
pub use config::Config;
pub use explain::Health;
pub use explanation::Explanation;
pub use identity::Identity;
pub use output::*;
pub use probe_report::{ProbeAnswer, ProbeReport};
pub use seeds::Seed;
pub use stats::Stats;

/// The state machine of one node.
pub struct Swim {
    ctx: Context,
    probing: Probing,
    relaying: Relaying,
    suspects: Suspects,
    gossip: Gossip,
    join_sync: JoinSync,
    joining: Joining,
    reconnect: Reconnect,
    name_conflicts: NameConflicts,
}

impl Swim {
    /// A node that knows no other. Its own alive message is queued, its timers run.
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
            reconnect: Reconnect::default(),
            name_conflicts: NameConflicts::default(),
        }
    }

    /// Every input and command that depends on the time goes through here.
    fn at<R>(&mut self, now: Time, run: impl FnOnce(&mut Swim) -> R) -> R {
        self.ctx.now = now;
        let result = run(self);
        self.gossip.arm(&mut self.ctx);
        result
    }

    // Datagrams.

    /// A datagram arrived.
    pub fn handle_datagram(&mut self, now: Time, from: SocketAddr, bytes: &[u8]) {
        self.at(now, |swim| {
            swim.ctx.outbox.stats.datagrams_in += 1;
            swim.ctx.outbox.stats.bytes_in += bytes.len() as u64;
            let opened = match packet::open(&swim.ctx.codec, bytes) {
                Ok(opened) => opened,
                Err(refusal) => return swim.refuse(refusal),
            };
            packet::walk(opened.as_bytes(), &mut |part| {
                if let Err(refusal) = part.and_then(|bytes| swim.on_message(from, bytes)) {
                    swim.refuse(refusal);
                }
            });
        });
    }

    fn on_message(&mut self, from: SocketAddr, bytes: &[u8]) -> Result<(), Refusal> {
        let message = Message::decode(bytes)?;
        self.ctx.awareness.heard(self.ctx.now);
        let received = PassOn::Received(bytes);
        let ctx = &mut self.ctx;
        match message {
            Message::Ping(ping) => return self.on_ping(from, &ping),
            Message::IndirectPing(ask) => self.relaying.on_indirect_ping(ctx, from, &ask),
            Message::Ack(ack) => self.on_ack(from, &ack),
            Message::Nack(nack) => self.probing.on_nack(ctx, from, nack.seq),
            Message::Suspect(accusation) => self.on_suspect(&accusation, received),
            Message::Dead(accusation) => self.on_dead(&accusation, received),
            Message::Alive(alive) => {
                self.on_alive(&alive, received);
            }
            Message::User(content) => {
                let bytes = content.to_vec();
                ctx.outbox.tell(Notice::UserMessage { bytes });
            }
            Message::Error(_) => return Err(Refusal::UnknownType),
        }
        Ok(())
    }

    /// A node asks whether this one is there.
    fn on_ping(&mut self, from: SocketAddr, ping: &Ping) -> Result<(), Refusal> {
        let ctx = &mut self.ctx;
        if !ping.node.is_empty() && ping.node != &*ctx.local.name {
            return Err(Refusal::OtherNode);
        }
        if self.name_conflicts.on_ping(ctx, from, ping) {
            self.on_name_decided();
            return Ok(());
        }
        self.probing.on_ping(ctx, from, ping);
        let peer = address::of_answer(ping.source_addr, ping.source_port, from);
        self.join_sync.on_pinged_by(ctx, ping.source_node, peer);
        Ok(())
    }

    /// An ack answers a probe, the question about a name conflict, or a relayed ping.
    fn on_ack(&mut self, from: SocketAddr, ack: &Ack) {
        let ctx = &mut self.ctx;
        if let Some(end) = self.probing.on_ack(ctx, from, ack.seq) {
            self.on_probe_end(end);
        } else if self.name_conflicts.on_ack(ctx, ack.seq) {
            self.on_name_decided();
        } else if !self.relaying.on_ack(ctx, ack.seq) {
            ctx.count_late_answer(ack.seq);
        }
    }

    /// It is known whether another node has this node's name: joins that waited for that go on.
    fn on_name_decided(&mut self) {
        let undecided = self.name_conflicts.is_asking();
        self.joining.drive_all(&mut self.ctx, undecided);
    }

    /// A datagram of a probe could not be sent.
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

    /// The time when [`Swim::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Option<Time> {
        let next = [
            self.ctx.timers.next(),
            self.ctx.streams.next_timeout(),
            self.suspects.next_timeout(),
            self.probing.next_timeout(),
            self.relaying.next_timeout(),
            self.name_conflicts.next_timeout(),
        ];
        next.into_iter().flatten().min()
    }

    /// This process did not run: its clock went on by `missed` meanwhile, and stood still with the
    /// whole machine for `suspended`. Deadlines that measure others move by the missed time: other
    /// nodes are not to blame for this one's absence.
    ///
    /// Returns true if the absence was longer than the dead are remembered. An old message about a
    /// name could then meet a new member of that name with a lower incarnation, and declare it
    /// dead. So the dead are forgotten and streams end. The caller drops the datagrams that waited
    /// in the sockets, and counts each as [`Refusal::Stale`].
    pub fn handle_stall(&mut self, now: Time, missed: Duration, suspended: Duration) -> bool {
        self.at(now, |swim| {
            swim.probing.postpone(missed);
            swim.relaying.postpone(missed);
            swim.suspects.postpone(missed);
            swim.name_conflicts.postpone(missed);
            swim.ctx.streams.postpone(missed);
            swim.ctx.table.postpone(now, missed);
            swim.ctx.awareness.heard(now);
            let stale = missed + suspended > swim.ctx.config.gossip_to_the_dead;
            if stale {
                swim.forget_what_is_old();
            }
            stale
        })
    }

    fn forget_what_is_old(&mut self) {
        for id in self.ctx.streams.ids() {
            if let Some(event) = requests::fail(&mut self.ctx, id, JoinFailure::TimedOut) {
                self.on_stream_event(event);
            }
        }
        let ctx = &mut self.ctx;
        ctx.forget_the_dead(|_| true);
        let unsaid = ctx.broadcasts.members.prune(0);
        ctx.outbox.tell_done(unsaid);
        if !ctx.local.left {
            local_node::announce(ctx);
        }
    }

    // Commands.

    /// Asks every seed for the cluster, and remembers the seeds in order to ask them again. The
    /// end comes as [`Notice::JoinDone`]. A seed that is this node itself counts as contacted.
    pub fn join(&mut self, now: Time, seeds: &[Seed]) -> OpId {
        self.at(now, |swim| {
            swim.reconnect.remember_seeds(&mut swim.ctx, seeds);
            let undecided = swim.name_conflicts.is_asking();
            swim.joining.begin(&mut swim.ctx, seeds, undecided)
        })
    }

    /// Announces the leave of this node. [`Notice::LeaveSpread`] tells when it was transmitted as
    /// often as its limit asks, or at once if no other node is there. Until [`Swim::revive`] this
    /// node answers, but accuses no member and does not defend itself.
    pub fn leave(&mut self, now: Time) {
        self.at(now, |swim| local_node::leave(&mut swim.ctx));
    }

    /// Leaves without an announcement: members would take it for one of the other node that has
    /// this name. To those that knew this node it will have failed.
    pub fn leave_silently(&mut self) {
        local_node::leave_silently(&mut self.ctx);
    }

    /// Takes part again after a leave, with a higher incarnation.
    pub fn revive(&mut self, now: Time) {
        self.at(now, |swim| {
            if local_node::revive(&mut swim.ctx) {
                swim.reconnect.arm(&mut swim.ctx);
            }
        });
    }

    /// Replaces this node's meta and announces it.
    pub fn set_meta(&mut self, now: Time, meta: Arc<[u8]>) {
        self.at(now, |swim| local_node::set_meta(&mut swim.ctx, &meta));
    }

    /// Probes a member that the application could not reach just now, in every way at once. The
    /// verdict comes as [`Notice::HintDone`]. `None` if the name is unknown, this node's own, or
    /// neither alive nor suspect, or if it is being probed for a hint already or too many others
    /// are (counted in `hints_limited`).
    pub fn hint(&mut self, now: Time, name: &str) -> Option<OpId> {
        self.at(now, |swim| swim.probing.hint(&mut swim.ctx, name))
    }

    /// Queues a user message (its complete content) in one of the lanes of the layer above.
    /// `token`, if given, comes back in [`Notice::BroadcastDone`]; it is below `u64::MAX`. A
    /// message larger than a packet could never be sent: it is refused.
    pub fn broadcast(&mut self, now: Time, lane: usize, bytes: Vec<u8>, token: Option<u64>) {
        self.at(now, |swim| {
            let gossip = &swim.gossip;
            gossip.broadcast(&mut swim.ctx, lane, &bytes, token);
        });
    }

    /// Sends a user message to one address at once.
    pub fn send_user(&mut self, now: Time, to: SocketAddr, bytes: &[u8]) {
        self.at(now, |swim| swim.gossip.send_user(&mut swim.ctx, to, bytes));
    }

    /// Remembers a member that the layer above lost: it is asked again until it is forgotten.
    pub fn remember_lost(&mut self, now: Time, name: Arc<str>, addr: SocketAddr) {
        self.at(now, |swim| {
            swim.reconnect.remember_lost(&mut swim.ctx, name, addr);
        });
    }

    /// Forgets a lost member: it is back, or nothing waits for it any more.
    pub fn forget_lost(&mut self, name: &str) {
        self.reconnect.forget_lost(name);
    }

    /// Sets the number of members that the layer above knows, in any state: the transmit limit of
    /// its broadcasts grows with it.
    pub fn set_population(&mut self, members: usize) {
        self.ctx.population = members;
    }

    /// Counts a refusal; the layer above calls it for those that it finds.
    pub fn refuse(&mut self, why: Refusal) {
        self.ctx.outbox.refuse(why);
    }

    // Outputs and views.

    /// The next order to the driver.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.ctx.outbox.poll_output()
    }

    /// The next notice for the layer above.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.ctx.outbox.poll_notice()
    }

    /// The node of this name, if it is known in any state.
    pub fn node(&self, name: &str) -> Option<&Node> {
        Some(self.ctx.table.get(self.ctx.table.find(name)?)?.node())
    }

    /// This node.
    pub fn self_node(&self) -> &Node {
        self.ctx.table.local().node()
    }

    /// Another address at which members list this node's name, and what is known of the node
    /// there.
    pub fn name_conflict(&self) -> Option<(SocketAddr, NameConflict)> {
        self.name_conflicts.claimed()
    }

    /// Why a member is in its state. `None` if the name is unknown in this layer.
    pub fn explain(&self, now: Time, name: &str) -> Option<Explanation> {
        let member = self.ctx.table.find(name)?;
        let record = self.ctx.table.get(member)?;
        let suspicion = self.suspects.get(member);
        Some(explain::explanation(record, suspicion, now))
    }

    /// How this node itself is doing.
    pub fn health(&self, now: Time) -> Health {
        explain::health(&self.ctx, &self.health_facts(), now)
    }

    /// Whether no other node is known although there are seeds that could tell of others.
    pub fn is_waiting_for_seeds(&self) -> bool {
        explain::is_waiting_for_seeds(&self.ctx, &self.health_facts())
    }

    fn health_facts(&self) -> HealthFacts<'_> {
        HealthFacts {
            name_conflict: self.name_conflicts.claimed(),
            has_other_seeds: self.reconnect.has_other_seeds(self.ctx.local.addr),
            lost: self.reconnect.lost().collect(),
        }
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        let mut stats = self.ctx.outbox.stats.clone();
        stats.queue_len = self.ctx.broadcasts.len() as u64;
        stats.health_score = u64::from(self.ctx.awareness.score());
        stats
    }
}
