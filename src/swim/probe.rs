//! Probing: is that member still there?
//!
//! ```text
//!  ping --- ack ------------------------------------------------> answered
//!    |  no ack within probe_timeout
//!    +--> helpers ping it for us, a stream ping runs beside ---- ack ---> answered
//!            |  nothing until probe_interval x (health score + 1)
//!            +--> the stream answered: alive, datagrams are the trouble
//!            +--> else: suspect
//! ```
//!
//! A hint of the application starts a round of its own that asks everybody at once and decides
//! within probe_timeout, too early for nacks: so it says nothing about this node's own health.
//! Rules as in SWIM section 4.1, Lifeguard, and memberlist 0.2.2.

use super::explain::{Answer, ProbeReport};
use super::members::{self, Next, Slot};
use super::news::Spread;
use super::relay::answer_address;
use super::rounds::{Cause, Round};
use super::streams::Purpose;
use super::suspicion::LOOKS;
use super::timer::Timer;
use super::{Change, NodeState, Notice, OpId, SendFailure, Swim};
use crate::time::Time;
use crate::wire::Refusal;
use crate::wire::message::{Accusation, Ack, IndirectPing, Message, Ping};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Rounds that hints may have under way at once.
const HINT_ROUNDS: usize = 16;

impl Swim {
    /// Probes the next member in turn, unless the last round still runs.
    pub(super) fn probe_tick(&mut self, now: Time) {
        self.timers
            .set(Timer::Probe, now + self.config.probe_interval);
        if self.left {
            return self.sweep(now);
        }
        if self.probes.running(|cause| cause == Cause::Turn) > 0 {
            return;
        }
        let own = self.own_name.clone();
        for _ in 0..2 {
            match self
                .table
                .next_probe(|entry| entry.is_live() && entry.node.name != own)
            {
                Next::Probe(slot) => return self.begin_probe(now, slot, Cause::Turn),
                Next::Wrapped => self.sweep(now),
            }
        }
    }

    /// The end of the probe order: who has been dead long enough is forgotten.
    fn sweep(&mut self, now: Time) {
        let grace = self.config.gossip_to_the_dead;
        self.forget_the_dead(|since| now.since(since) > grace);
    }

    /// Forgets those who have been dead since a time for which this holds.
    pub(super) fn forget_the_dead(&mut self, long_enough: impl Fn(Time) -> bool) {
        let own = self.own_name.clone();
        let gone = |entry: &members::Entry| {
            !entry.is_live() && entry.node.name != own && long_enough(entry.node.since)
        };
        let gone = self.table.sweep(gone, &mut self.random);
        for entry in gone {
            self.notice_member(Change::Forgotten, entry.node.name);
        }
    }

    /// "I could not reach NAME just now": probes it at once, directly and indirectly. The verdict
    /// comes as [`Notice::HintDone`]. `None` if the name is unknown, this node's own, not alive or
    /// suspect, or if it is being asked already or too many are (counted in `hints_limited`).
    pub fn hint(&mut self, now: Time, name: &str) -> Option<OpId> {
        let slot = self.table.find(name)?;
        let entry = self.table.get(slot)?;
        if !entry.is_live() || slot == self.own || self.left {
            return None;
        }
        let asked = |round: &Round| round.cause.is_hint() && round.slot == slot;
        let busy = self.probes.rounds.iter().any(asked);
        if busy || self.probes.running(Cause::is_hint) >= HINT_ROUNDS {
            self.stats.hints_limited += 1;
            return None;
        }
        self.stats.hints += 1;
        let op = self.next_op();
        self.begin_probe(now, slot, Cause::Hint(op));
        Some(op)
    }

    pub(super) fn begin_probe(&mut self, now: Time, slot: Slot, cause: Cause) {
        let seq = self.probes.next_seq();
        let Some(entry) = self.table.get(slot) else {
            return;
        };
        let node = entry.node.clone();
        let checksum = entry.protocol_max() >= 5;
        let (timeout, interval) = (self.config.probe_timeout, self.config.probe_interval);
        let (widen_at, whole) = match cause {
            Cause::Turn => {
                let whole = self.awareness.stretch(interval.max(timeout));
                (Some(now + timeout), whole)
            }
            Cause::Hint(_) => (Some(now), timeout),
            Cause::FinalProbe { .. } => (None, timeout * LOOKS),
        };
        let report = ProbeReport {
            ago: Duration::ZERO,
            direct: Answer::Waiting,
            stream: Answer::NotAsked,
            helpers: Vec::new(),
            rtt: None,
        };
        self.stats.probes += 1;
        let ping = self.ping_bytes(seq, &node.name);
        let (tells, introduction) = self.introduction(slot, ping.len()).unzip();
        self.probes.rounds.push(Round {
            seq,
            slot,
            name: node.name.clone(),
            addr: node.addr,
            incarnation: node.incarnation,
            sent: now,
            widen_at,
            deadline: now + whole,
            nacks_expected: 0,
            nacks: 0,
            unsent: 0,
            helper_addrs: Vec::new(),
            report,
            tells,
            cause,
        });
        if node.state == NodeState::Suspect {
            // The accusation goes in front, so that the answer can bring the refutation along.
            let own = self.own_name.clone();
            let news = Accusation {
                incarnation: node.incarnation,
                node: &node.name,
                from: &own,
            };
            let mut suspect = Vec::new();
            Message::Suspect(news).encode(&mut suspect);
            self.send_parts(node.addr, &[&suspect, &ping], checksum, Some(seq));
        } else {
            self.send_ping(node.addr, &ping, introduction.as_deref(), Some(seq));
        }
        let this = self.probes.rounds.len() - 1;
        match cause {
            Cause::Hint(_) => self.widen(this),
            Cause::FinalProbe { first: true } => self.ping_by_stream(this),
            Cause::Turn | Cause::FinalProbe { first: false } => {}
        }
    }

    pub(super) fn ping_bytes(&self, seq: u32, node: &str) -> Vec<u8> {
        let addr = members::address_bytes(self.own_addr.ip(), false);
        let ping = Ping {
            seq,
            node,
            source_addr: &addr,
            source_port: self.own_addr.port(),
            source_node: &self.own_name,
        };
        let mut bytes = Vec::with_capacity(80);
        Message::Ping(ping).encode(&mut bytes);
        bytes
    }

    /// Carries out what is due: asks helpers, ends rounds, tells askers that nothing came.
    pub(super) fn probe_timeouts(&mut self, now: Time) {
        let mut i = 0;
        while i < self.probes.rounds.len() {
            if self.probes.rounds[i].widen_at.is_some_and(|at| at <= now) {
                self.widen(i);
            }
            if self.probes.rounds[i].deadline <= now {
                let round = self.probes.rounds.swap_remove(i);
                self.end_round(now, round);
            } else {
                i += 1;
            }
        }
        self.relay_timeouts(now);
    }

    /// The direct ping stayed unanswered: asks helpers, and tries a stream beside them.
    fn widen(&mut self, index: usize) {
        let round = &mut self.probes.rounds[index];
        round.widen_at = None;
        let (slot, seq, name, addr) = (round.slot, round.seq, round.name.clone(), round.addr);
        let own = self.own;
        let helpers = self.table.choose(
            self.config.indirect_checks,
            &mut self.random,
            |other, entry| other != own && other != slot && entry.node.state == NodeState::Alive,
        );
        for helper in helpers {
            self.ask_helper(index, helper, seq, &name, addr);
        }
        self.ping_by_stream(index);
    }

    fn ping_by_stream(&mut self, index: usize) {
        let may_dial = self.config.stream_pings && self.may_dial();
        let round = &mut self.probes.rounds[index];
        let entry = self.table.get(round.slot);
        if may_dial && entry.is_some_and(|entry| entry.protocol_max() >= 3) {
            round.report.stream = Answer::Waiting;
            let (to, seq, deadline) = (round.addr, round.seq, round.deadline);
            self.dial(to, Purpose::Ping { seq, to }, deadline);
        }
    }

    fn ask_helper(
        &mut self,
        index: usize,
        helper: Slot,
        seq: u32,
        name: &Arc<str>,
        addr: SocketAddr,
    ) {
        let Some(entry) = self.table.get(helper) else {
            return;
        };
        let (to, nack) = (entry.node.addr, entry.protocol_max() >= 4);
        let round = &mut self.probes.rounds[index];
        round
            .report
            .helpers
            .push((entry.node.name.clone(), Answer::Waiting));
        round.helper_addrs.push(to);
        round.nacks_expected += u32::from(nack);
        let own = members::address_bytes(self.own_addr.ip(), false);
        let target = members::address_bytes(addr.ip(), false);
        let request = Message::IndirectPing(IndirectPing {
            seq,
            target: &target,
            port: addr.port(),
            node: name,
            nack,
            source_addr: &own,
            source_port: self.own_addr.port(),
            source_node: &self.own_name,
        });
        let mut bytes = Vec::with_capacity(128);
        request.encode(&mut bytes);
        self.stats.indirect_probes += 1;
        self.send_ping(to, &bytes, None, Some(seq));
    }

    /// Somebody asks whether we are there.
    pub(super) fn hear_ping(&mut self, now: Time, from: SocketAddr, ping: &Ping) {
        if !ping.node.is_empty() && ping.node != &*self.own_name {
            return self.refuse(Refusal::OtherNode);
        }
        if self.is_own_echo(now, from, ping) {
            return;
        }
        let mut ack = Vec::with_capacity(160);
        let payload = self.ack_payload.as_deref();
        Message::Ack(Ack {
            seq: ping.seq,
            payload,
        })
        .encode(&mut ack);
        let sender = answer_address(ping.source_addr, ping.source_port, from);
        self.send_with_rumours(sender, &ack);
        if self.is_stranger(ping.source_node) {
            self.meet_stranger(now, sender);
        }
    }

    pub(super) fn hear_ack(&mut self, now: Time, from: SocketAddr, ack: &Ack) {
        if let Some(i) = self
            .probes
            .rounds
            .iter()
            .position(|round| round.seq == ack.seq)
        {
            let mut round = self.probes.rounds.swap_remove(i);
            match round.helper_addrs.iter().position(|addr| *addr == from) {
                Some(helper) => round.report.helpers[helper].1 = Answer::Answered,
                None => {
                    round.report.direct = Answer::Answered;
                    round.report.rtt = Some(now.since(round.sent));
                    self.probes.datagram_failures = 0;
                    self.note_met(&round);
                }
            }
            self.answered(round);
        } else if !self.name_conflict_answers(now, ack.seq) {
            self.relay_ack(ack);
        }
    }

    pub(super) fn hear_nack(&mut self, from: SocketAddr, seq: u32) {
        let Some(round) = self.probes.rounds.iter_mut().find(|round| round.seq == seq) else {
            return self.late_answer(seq);
        };
        let helper = round.helper_addrs.iter().position(|addr| *addr == from);
        // Each helper counts once: a repeated nack must not make this node look healthier.
        match helper.map(|i| &mut round.report.helpers[i].1) {
            Some(answer @ Answer::Waiting) => {
                *answer = Answer::Nack;
                round.nacks += 1;
            }
            Some(Answer::NotAsked | Answer::Answered | Answer::Nack | Answer::Silent) => {}
            None => self.refuse(Refusal::UnknownSequence),
        }
    }

    /// An ack or nack that nobody waits for: the probe has ended, or there never was one.
    pub(super) fn late_answer(&mut self, seq: u32) {
        if (1..=self.probes.last_seq).contains(&seq) {
            self.stats.late_answers += 1;
        } else {
            self.refuse(Refusal::UnknownSequence);
        }
    }

    /// The stream ping of a round was answered, or failed.
    pub(super) fn stream_ping_ended(&mut self, seq: u32, ok: bool) {
        let Some(i) = self.probes.rounds.iter().position(|round| round.seq == seq) else {
            return;
        };
        self.probes.rounds[i].report.stream = if ok { Answer::Answered } else { Answer::Silent };
        // A regular round still waits: an ack by datagram would be the better news.
        if ok && self.probes.rounds[i].cause != Cause::Turn {
            let round = self.probes.rounds.swap_remove(i);
            self.answered(round);
        }
    }

    fn answered(&mut self, round: Round) {
        self.awareness.improve();
        if round.report.stream == Answer::Silent {
            self.stream_did_not_work(); // for somebody who is there
        }
        self.speaks_for(round.slot, &round.name);
        self.close_round(round, true);
    }

    fn end_round(&mut self, now: Time, round: Round) {
        if round.cause.is_final_probe() {
            return; // the probe that made it a suspect says more
        }
        if round.cause == Cause::Turn {
            self.probes.datagram_failures = self.probes.datagram_failures.saturating_add(1);
        }
        if round.report.stream == Answer::Answered {
            self.stats.stream_fallbacks += 1;
            return self.answered(round);
        }
        self.stats.probes_failed += 1;
        let is_unsent = round.is_unsent();
        if round.cause == Cause::Turn {
            let missing = round.nacks_expected.saturating_sub(round.nacks);
            let told = round.nacks_expected > 0 && !is_unsent;
            self.awareness.worsen(if told { missing } else { 1 });
        }
        let (name, incarnation) = (round.name.clone(), round.incarnation);
        self.close_round(round, false);
        if is_unsent {
            return;
        }
        let own = self.own_name.clone();
        let news = Accusation {
            incarnation,
            node: &name,
            from: &own,
        };
        self.hear_suspect(now, &news, Spread::Encoded);
    }

    fn close_round(&mut self, mut round: Round, answered: bool) {
        if let Some(entry) = self
            .table
            .get_mut(round.slot)
            .filter(|e| e.node.name == round.name)
        {
            let before = entry.probe.as_ref().and_then(|probe| probe.1.rtt);
            round.report.rtt = round.report.rtt.or(before);
            // A hint asks in all ways at once: whichever is first, the others had no time.
            let had_time = round.widen_at.is_none() && !(answered && round.cause.is_hint());
            round.report.end(had_time, answered);
            entry.probe = Some(Box::new((round.sent, round.report)));
        }
        if let Cause::Hint(op) = round.cause {
            self.notices.push_back(Notice::HintDone {
                op,
                name: round.name,
                answered,
            });
        }
    }

    /// A datagram of a probe could not be sent. The helpers are asked at once: they may reach whom
    /// this host cannot. A local failure says nothing about anybody; where nothing could be sent
    /// at all, nobody is accused.
    pub fn handle_send_failure(&mut self, _now: Time, probe: u32, why: SendFailure) {
        let mut rounds = self.probes.rounds.iter();
        let Some(i) = rounds.position(|round| round.seq == probe) else {
            return;
        };
        let round = &mut self.probes.rounds[i];
        round.unsent += usize::from(why == SendFailure::Local);
        if round.widen_at.is_some() {
            self.widen(i);
        }
    }

    /// The request of a stream ping.
    pub(super) fn stream_ping_bytes(&self, seq: u32, to: SocketAddr) -> Option<Vec<u8>> {
        let round = self
            .probes
            .rounds
            .iter()
            .find(|r| r.seq == seq && r.addr == to)?;
        Some(self.ping_bytes(seq, &round.name))
    }
}
