//! Probing: finds out whether a member is still there.
//!
//! ```text
//!  ping --- ack ------------------------------------------------> answered
//!    |  no ack yet: the ping is repeated several times
//!    |  no ack within probe_timeout
//!    +--> helpers and a stream ping from this node try as well --- ack by datagram ---> answered
//!            |  no ack until probe_interval x (health score + 1)
//!            +--> the stream ping was answered: alive, but datagrams do not work
//!            +--> neither the first ping nor a request to a helper could be sent: no verdict
//!            +--> else: suspect
//! ```
//!
//! A hint of the application starts an additional round that tries every way at the same time and
//! decides within probe_timeout. Nacks would come later, so a hint that fails does not change the
//! health score. A member that is claimed at another address gets an additional round, too, because
//! the known address may be that of an earlier run. The rules are those of SWIM section 4.1,
//! Lifeguard, and memberlist 0.2.2.
//!
//! The repeated pings are an addition. At 30 % loss, about half of all pings get no ack. In a large
//! cluster, suspicions would then begin faster than gossip can spread them and their refutations,
//! and live members would be declared dead. A ping is repeated no sooner than after twice the last
//! round-trip time. So where nothing is lost, only the first probe of a distant member repeats its
//! ping.

use super::rounds::{DirectPing, ProbeCause, Round};
use crate::swim::detection::acks;
use crate::swim::local::announcement;
use crate::swim::output::{Notice, OpId, SendFailure};
use crate::swim::shared::context::Context;
use crate::swim::shared::streams::Purpose;
use crate::swim::shared::timer::Timer;
use crate::swim::table::members::MemberIndex;
use crate::swim::table::probe_report::{LastProbe, OpenReport, ProbeAnswer};
use crate::swim::{NodeState, address};
use crate::time::Time;
use crate::wire::Refusal;
use crate::wire::message::{Accusation, Ack, IndirectPing, Message};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The number of hints that may be under way at once.
const HINT_ROUNDS: usize = 16;
/// The number of final probes that may be under way at once. A node that suspects more members than
/// that at the same time is probably cut off itself.
const FINAL_ROUNDS: usize = 64;
/// The number of probes of doubted members that may be under way at once.
const DOUBT_ROUNDS: usize = 64;
/// The number of probe intervals within which a member that was probed is not doubted again.
const DOUBT_PAUSE: u32 = 10;

/// The maximum number of pings within `probe_timeout`.
const PINGS: u32 = 6;
/// The number of pings after which they are repeated only once per `probe_timeout`: as many as fit
/// into a round of the profile `lan`.
const QUICK_PINGS: usize = 2 * PINGS as usize;
/// The maximum number of pings in a round.
const MOST_PINGS: usize = 32;

/// The probes under way.
pub(in crate::swim) struct Probing {
    rounds: Vec<Round>,
}

/// The end of a probe on which other parts have to act.
pub(in crate::swim) enum ProbeEnd {
    /// The member at `addr` answered. If it is a suspect, the answer may put off its verdict.
    Answered {
        member: MemberIndex,
        name: Arc<str>,
        addr: SocketAddr,
    },
    /// The member did not answer, so this node accuses it.
    Failed { name: Arc<str>, incarnation: u32 },
}

impl Probing {
    /// Sets the timer of the first probe, at a random time within the interval.
    pub fn new(ctx: &mut Context) -> Probing {
        let delay = ctx.random.within(ctx.config.probe_interval);
        ctx.timers.set(Timer::Probe, ctx.now + delay);
        Probing { rounds: Vec::new() }
    }

    /// Probes the next member in turn, unless the round of the previous turn is still running. At
    /// the end of the probe order, forgets the members that died or left long enough ago. If this
    /// node itself has left, it probes no member, and only forgets such members.
    pub fn tick(&mut self, ctx: &mut Context) {
        ctx.timers
            .set(Timer::Probe, ctx.now + ctx.config.probe_interval);
        let remembered = ctx.config.gossip_to_the_dead;
        if ctx.local.left {
            return ctx.start_probe_round(|dead_for| dead_for > remembered);
        }
        if self.running(|cause| cause == ProbeCause::Turn) > 0 {
            return;
        }
        for _ in 0..2 {
            match ctx.table.next_to_probe() {
                Some(member) => return self.begin(ctx, member, ProbeCause::Turn),
                None => ctx.start_probe_round(|dead_for| dead_for > remembered),
            }
        }
    }

    /// Probes a member that the application could not reach. Returns `None` if the member is
    /// unknown, is this node, or is neither alive nor suspect, or if this node has left. Also
    /// returns `None`, and counts this hint in `hints_limited`, if a hint already probes this
    /// member, or if too many hints are under way.
    pub fn hint(&mut self, ctx: &mut Context, name: &str) -> Option<OpId> {
        let member = ctx.table.find(name)?;
        let is_live = ctx.table.get(member)?.is_live();
        if !is_live || member == ctx.table.local_index() || ctx.local.left {
            return None;
        }
        let asked = |round: &Round| round.cause.is_hint() && round.member == member;
        let busy = self.rounds.iter().any(asked);
        if busy || self.running(ProbeCause::is_hint) >= HINT_ROUNDS {
            ctx.outbox.stats.hints_limited += 1;
            return None;
        }
        ctx.outbox.stats.hints += 1;
        let op = ctx.next_op();
        self.begin(ctx, member, ProbeCause::Hint(op));
        Some(op)
    }

    /// Probes a suspect before its verdict, unless too many such probes are under way.
    pub fn begin_final_probe(&mut self, ctx: &mut Context, member: MemberIndex, first: bool) {
        if self.running(ProbeCause::is_final_probe) < FINAL_ROUNDS {
            self.begin(ctx, member, ProbeCause::FinalProbe { first });
        }
    }

    /// Probes an alive member that is claimed at another address, unless it was probed a short time
    /// ago or too many such probes are under way. Otherwise a node that has just joined would learn
    /// only in the turn of each member that its old address is silent. memberlist does not do this.
    pub fn doubt(&mut self, ctx: &mut Context, member: MemberIndex) {
        let known = ctx.table.get(member);
        let Some(record) = known.filter(|it| it.node().state == NodeState::Alive) else {
            return;
        };
        let pause = ctx.config.probe_interval * DOUBT_PAUSE;
        let last = record.last_probe.as_ref();
        let is_recent = last.is_some_and(|last| ctx.now.since(last.began) < pause);
        let is_under_way = self.rounds.iter().any(|round| round.member == member);
        let free = self.running(|cause| cause == ProbeCause::Doubt) < DOUBT_ROUNDS;
        let wanted = ctx.config.join_sync && !ctx.local.left;
        if wanted && free && !is_recent && !is_under_way {
            self.begin(ctx, member, ProbeCause::Doubt);
        }
    }

    fn begin(&mut self, ctx: &mut Context, member: MemberIndex, cause: ProbeCause) {
        let seq = ctx.next_seq();
        let Some(record) = ctx.table.get(member) else {
            return;
        };
        let (name, addr) = (record.node().name.clone(), record.node().addr);
        let incarnation = record.node().incarnation;
        let (widen_at, duration) = cause.schedule(ctx);
        let mut round = Round {
            seq,
            member,
            name,
            addr,
            incarnation,
            began: ctx.now,
            pings: Vec::new(),
            widen_at,
            repeat_at: None,
            deadline: ctx.now + duration,
            nacks_expected: 0,
            nacks: 0,
            unsent: 0,
            helper_addrs: Vec::new(),
            report: OpenReport::begun(),
            cause,
        };
        ctx.outbox.stats.probes += 1;
        ping(ctx, &mut round, seq);
        let this = self.rounds.len();
        self.rounds.push(round);
        match cause {
            ProbeCause::Hint(_) => self.widen(ctx, this),
            ProbeCause::FinalProbe { first: true } => self.ping_by_stream(ctx, this),
            ProbeCause::Turn | ProbeCause::Doubt | ProbeCause::FinalProbe { first: false } => {}
        }
    }

    /// Continues the probes that are due: repeats pings, asks helpers, and ends rounds. Stops after
    /// the first round whose end other parts have to act on, and returns that end.
    pub fn next_end(&mut self, ctx: &mut Context) -> Option<ProbeEnd> {
        let mut i = 0;
        while i < self.rounds.len() {
            if self.rounds[i].widen_at.is_some_and(|at| at <= ctx.now) {
                self.widen(ctx, i);
            }
            if self.rounds[i].deadline > ctx.now {
                if self.rounds[i].repeat_at.is_some_and(|at| at <= ctx.now) {
                    let seq = ctx.next_seq();
                    ping(ctx, &mut self.rounds[i], seq);
                }
                i += 1;
                continue;
            }
            let round = self.rounds.swap_remove(i);
            let end = time_over(ctx, round);
            if end.is_some() {
                return end;
            }
        }
        None
    }

    /// Asks helpers, and tries a stream at the same time.
    fn widen(&mut self, ctx: &mut Context, index: usize) {
        let round = &mut self.rounds[index];
        round.widen_at = None;
        let target = round.member;
        let helpers = ctx.table.choose(
            ctx.config.indirect_checks,
            &mut ctx.random,
            |member, node| member != target && node.state == NodeState::Alive,
        );
        for helper in helpers {
            ask_helper(ctx, round, helper);
        }
        self.ping_by_stream(ctx, index);
    }

    fn ping_by_stream(&mut self, ctx: &mut Context, index: usize) {
        let may_dial = ctx.config.stream_pings && ctx.streams.may_dial();
        let round = &mut self.rounds[index];
        let record = round.record(&ctx.table);
        if may_dial && record.is_some_and(|record| record.protocol_max() >= 3) {
            round.report.stream = None;
            let (to, seq) = (round.addr, round.seq);
            ctx.dial(to, Purpose::Ping { seq, to }, round.deadline);
        }
    }

    /// Returns the ping that a stream sends once it is open; `None` if its probe has already ended.
    pub fn stream_ping(&self, ctx: &Context, seq: u32, to: SocketAddr) -> Option<Vec<u8>> {
        let mut rounds = self.rounds.iter();
        let round = rounds.find(|round| round.seq == seq && round.addr == to)?;
        Some(ctx.local.encode_ping(seq, &round.name))
    }

    /// The stream ping of a round was answered, or failed. Returns the end of the round if the
    /// answer ends it.
    pub fn on_stream_ping(&mut self, ctx: &mut Context, seq: u32, ok: bool) -> Option<ProbeEnd> {
        let i = self.position(seq)?;
        self.rounds[i].report.stream = Some(match ok {
            true => ProbeAnswer::Answered,
            false => ProbeAnswer::Silent,
        });
        // A regular round goes on, because an ack by datagram would show that datagrams work, too.
        if !ok || self.rounds[i].cause == ProbeCause::Turn {
            return None;
        }
        let round = self.rounds.swap_remove(i);
        Some(answered(ctx, round))
    }

    /// An ack arrived. Returns `None` if no probe waits for it.
    pub fn on_ack(&mut self, ctx: &mut Context, from: SocketAddr, ack: &Ack) -> Option<ProbeEnd> {
        let i = self.position(ack.seq)?;
        let mut round = self.rounds.swap_remove(i);
        match round.helper_mut(from) {
            Some(helper) => *helper = Some(ProbeAnswer::Answered),
            None => {
                round.report.direct = Some(ProbeAnswer::Answered);
                ctx.awareness.ping_answered();
                if let Some(ping) = round.pings.iter().find(|ping| ping.seq == ack.seq) {
                    let rtt = ctx.now.since(ping.sent);
                    round.report.rtt = Some(rtt);
                    note_announced(ctx, &round, ping);
                    acks::tell(ctx, &round, rtt, ack.payload);
                }
            }
        }
        Some(answered(ctx, round))
    }

    /// A helper reports that the target is silent.
    pub fn on_nack(&mut self, ctx: &mut Context, from: SocketAddr, seq: u32) {
        let Some(i) = self.position(seq) else {
            return ctx.count_late_answer(seq);
        };
        let round = &mut self.rounds[i];
        // Each helper counts once: a repeated nack must not make this node look healthier.
        match round.helper_mut(from) {
            Some(answer @ None) => {
                *answer = Some(ProbeAnswer::Nack);
                round.nacks += 1;
            }
            Some(Some(_)) => {}
            None => ctx.outbox.refuse(Refusal::UnknownSequence),
        }
    }

    /// A datagram of a probe could not be sent. If helpers are still to be asked, they are asked
    /// now: they may reach the member when this host cannot. A local failure says nothing about the
    /// member: if neither the first ping nor any request to a helper could be sent, the member is
    /// not accused.
    pub fn on_send_failure(&mut self, ctx: &mut Context, seq: u32, why: SendFailure) {
        let Some(i) = self.position(seq) else { return };
        let round = &mut self.rounds[i];
        round.unsent += usize::from(why == SendFailure::Local);
        if round.widen_at.is_some() {
            self.widen(ctx, i);
        }
    }

    pub fn next_timeout(&self) -> Option<Time> {
        self.rounds.iter().map(Round::next_timeout).min()
    }

    /// This process did not run for `by`: the members being probed get that much more time.
    pub fn postpone(&mut self, by: Duration) {
        self.rounds.iter_mut().for_each(|round| round.postpone(by));
    }

    /// Restarts the probes under way, because their answers are discarded. The probes of members
    /// that have been forgotten end.
    pub fn restart(&mut self, ctx: &mut Context) {
        for round in std::mem::take(&mut self.rounds) {
            if round.record(&ctx.table).is_some() {
                self.begin(ctx, round.member, round.cause);
            } else {
                close(ctx, round, false);
            }
        }
    }

    fn position(&self, seq: u32) -> Option<usize> {
        self.rounds.iter().position(|round| round.waits_for(seq))
    }

    /// Returns the number of rounds under way whose cause passes `wanted`.
    fn running(&self, wanted: impl Fn(ProbeCause) -> bool) -> usize {
        let causes = self.rounds.iter().map(|round| round.cause);
        causes.filter(|cause| wanted(*cause)).count()
    }
}

/// Sends a direct ping, and sets the time at which the next one follows. Only the first one, which
/// has the number of the round, can carry broadcasts, and only its failure to be sent is reported.
fn ping(ctx: &mut Context, round: &mut Round, seq: u32) {
    let is_first = seq == round.seq;
    round.repeat_at = repeat_after(ctx, round).map(|after| ctx.now + after);
    let Some(record) = round.record(&ctx.table) else {
        return;
    };
    let (node, checksum) = (record.node(), record.protocol_max() >= 5);
    let ping = ctx.local.encode_ping(seq, &node.name);
    let (announced, announcement) = announcement::due(ctx, round.member, ping.len()).unzip();
    round.pings.push(DirectPing {
        seq,
        sent: ctx.now,
        announced,
    });
    ctx.outbox.stats.pings_repeated += u64::from(!is_first);
    let probe = is_first.then_some(seq);
    if node.state == NodeState::Suspect {
        // The accusation precedes the ping, so that the ack can bring the refutation along.
        let accusation = Accusation {
            incarnation: node.incarnation,
            node: &node.name,
            from: &ctx.local.name,
        };
        let suspect = Message::Suspect(accusation).encoded();
        return ctx.send_parts(round.addr, &[&suspect, &ping], checksum, probe);
    }
    let mut messages = vec![&*ping];
    messages.extend(announcement.as_deref());
    if is_first {
        ctx.send_with_broadcasts(round.addr, &messages, probe);
    } else {
        ctx.send_parts(round.addr, &messages, false, probe);
    }
}

/// Returns the time until the ping is repeated; `None` if it is not. A final probe does not repeat
/// its ping, because the next final probe follows. In a long round, pings are sent less often after
/// a while.
fn repeat_after(ctx: &Context, round: &Round) -> Option<Duration> {
    if !ctx.config.repeat_pings || round.cause.is_final_probe() {
        return None;
    }
    let timeout = ctx.config.probe_timeout;
    let record = round.record(&ctx.table).filter(|it| it.is_live())?;
    let is_calm = round.pings.len() >= QUICK_PINGS;
    let least = if is_calm { timeout } else { timeout / PINGS };
    let last_probe = record.last_probe.as_ref();
    let rtt = last_probe.and_then(|last| last.report.rtt);
    let interval = least.max(2 * rtt.unwrap_or_default());
    (round.pings.len() < MOST_PINGS).then_some(interval)
}

fn ask_helper(ctx: &mut Context, round: &mut Round, helper: MemberIndex) {
    let Some(record) = ctx.table.get(helper) else {
        return;
    };
    let (to, nack) = (record.node().addr, record.protocol_max() >= 4);
    let name = record.node().name.clone();
    round.report.helpers.push((name, None));
    round.helper_addrs.push(to);
    round.nacks_expected += u32::from(nack);
    let own = address::encode(ctx.local.addr.ip(), false);
    let target = address::encode(round.addr.ip(), false);
    let request = Message::IndirectPing(IndirectPing {
        seq: round.seq,
        target: &target,
        port: round.addr.port(),
        node: &round.name,
        nack,
        source_addr: &own,
        source_port: ctx.local.addr.port(),
        source_node: &ctx.local.name,
    });
    let bytes = request.encoded();
    ctx.outbox.stats.indirect_probes += 1;
    ctx.send_with_broadcasts(to, &[&bytes], Some(round.seq));
}

/// A round has timed out.
fn time_over(ctx: &mut Context, round: Round) -> Option<ProbeEnd> {
    if round.cause.is_final_probe() {
        close(ctx, round, false);
        return None; // the member is a suspect already
    }
    let is_turn = round.cause == ProbeCause::Turn;
    if is_turn {
        ctx.awareness.ping_unanswered();
    }
    if round.report.stream == Some(ProbeAnswer::Answered) {
        ctx.outbox.stats.stream_fallbacks += 1;
        return Some(answered(ctx, round));
    }
    ctx.outbox.stats.probes_failed += 1;
    let is_unsent = round.is_unsent();
    if is_turn {
        let missing = round.nacks_expected.saturating_sub(round.nacks);
        let nacks_tell = round.nacks_expected > 0 && !is_unsent;
        ctx.awareness.worsen(if nacks_tell { missing } else { 1 });
    }
    let incarnation = round.incarnation;
    let is_blamed = !is_unsent && round.is_current(&ctx.table);
    let name = close(ctx, round, false);
    is_blamed.then_some(ProbeEnd::Failed { name, incarnation })
}

fn answered(ctx: &mut Context, round: Round) -> ProbeEnd {
    ctx.awareness.improve();
    if round.report.stream == Some(ProbeAnswer::Silent) {
        ctx.awareness.stream_failed(); // the member is there, so the stream is at fault
    }
    let (member, addr) = (round.member, round.addr);
    let name = close(ctx, round, true);
    ProbeEnd::Answered { member, name, addr }
}

/// Stores the report of a round, and reports the end of a hint if the round was caused by one.
/// Returns the name of the member. The report of a final probe without an answer is dropped,
/// because it would replace that of the probe that raised the suspicion, which tried more ways.
fn close(ctx: &mut Context, mut round: Round, answered: bool) -> Arc<str> {
    let is_kept = round.is_current(&ctx.table) && (answered || !round.cause.is_final_probe());
    let record = ctx.table.get_named(round.member, &round.name);
    if let Some(record) = record.filter(|_| is_kept) {
        let before = record.last_probe.as_ref().and_then(|it| it.report.rtt);
        round.report.rtt = round.report.rtt.or(before);
        // A hint tries every way at the same time. If one way brought an answer, the other ways had
        // no time for theirs.
        let had_time = round.widen_at.is_none() && !(answered && round.cause.is_hint());
        record.last_probe = Some(Box::new(LastProbe {
            began: round.began,
            report: round.report.end(had_time, answered),
        }));
    }
    if let ProbeCause::Hint(op) = round.cause {
        let name = round.name.clone();
        ctx.outbox.tell(Notice::HintDone { op, name, answered });
    }
    round.name
}

/// The member has received the announcement that the acknowledged ping carried.
fn note_announced(ctx: &mut Context, round: &Round, ping: &DirectPing) {
    let record = ctx.table.get_named(round.member, &round.name);
    if let (Some(announced), Some(record)) = (ping.announced, record) {
        record.acked = Some(announced);
    }
}
