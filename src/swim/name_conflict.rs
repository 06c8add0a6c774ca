//! The own name at another address: does somebody else live there, or did this node, before?
//!
//! memberlist tells only that it is so, and peers believe whom they knew first. But whoever lives
//! there can be asked: a ping carries the name of whom it is meant for.
//!
//! ```text
//! claim -> asked --- ack -----------> alive: two nodes have one name; asked again now and then
//!            |  --- own ping comes --> this node itself, by another address: no claim
//!            |  nothing in time
//!            +--> silent: a former life of this node. Peers take the new address when the old
//!                 one has been dead for a while: members are told of it again until they do.
//! ```

use super::push_pull::{Cause, Exchange};
use super::relay::answer_address;
use super::timer::Timer;
use super::{NodeState, Notice, Swim};
use crate::time::Time;
use crate::wire::message::Ping;
use std::net::SocketAddr;
use std::time::Duration;

/// Pings of one question: datagrams get lost.
const PINGS: u32 = 2;
/// Between two rounds about the same claim, in probe intervals.
const ROUND: u32 = 5;
/// A claim that nobody has repeated for so many rounds is over.
const ROUNDS_UNHEARD: u32 = 3;
/// Addresses at which this node has met itself.
const MIRRORS: usize = 8;

/// What lives at the other address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameConflict {
    /// Nobody has answered yet.
    Asked,
    /// A node that answers to the name.
    Alive,
    /// Nobody: in time this node will be taken for the owner.
    Silent,
}

/// Who claims the name.
#[derive(Clone, Copy)]
struct Claim {
    addr: SocketAddr,
    /// When somebody last said so.
    heard: Time,
    /// When it was last looked into.
    asked: Time,
    verdict: NameConflict,
}

/// The question under way.
struct Question {
    to: SocketAddr,
    seq: u32,
    pings: u32,
    next: Time,
}

/// What is known about another node of the own name.
#[derive(Default)]
pub(super) struct NameConflicts {
    claim: Option<Claim>,
    question: Option<Question>,
    own_aliases: Vec<SocketAddr>,
}

impl NameConflicts {
    /// Is it not yet known whether somebody lives there?
    pub fn is_asking(&self) -> bool {
        self.question.is_some()
    }

    pub fn next_timeout(&self) -> Option<Time> {
        self.question.as_ref().map(|question| question.next)
    }

    pub fn postpone(&mut self, by: Duration) {
        if let Some(question) = &mut self.question {
            question.next = question.next + by;
        }
        if let Some(claim) = &mut self.claim {
            claim.heard = claim.heard + by;
        }
    }

    /// Where the own name is claimed, and what is known about who lives there.
    pub fn claimed(&self) -> Option<(SocketAddr, NameConflict)> {
        self.claim.map(|claim| (claim.addr, claim.verdict))
    }
}

impl Swim {
    /// Somebody lists the own name at another address. False if this node itself lives there.
    pub(super) fn own_name_claimed(&mut self, now: Time, addr: SocketAddr) -> bool {
        if self.name_conflicts.own_aliases.contains(&addr) {
            return false;
        }
        match &mut self.name_conflicts.claim {
            Some(claim) if claim.addr == addr => claim.heard = now,
            // One at a time: whoever answers stays, one who is silent gives way before long.
            Some(claim) if claim.verdict != NameConflict::Silent => {}
            Some(claim) if now.since(claim.asked) < self.config.probe_interval => {}
            Some(_) | None => self.look_into_claim(now, addr),
        }
        true
    }

    fn look_into_claim(&mut self, now: Time, addr: SocketAddr) {
        self.name_conflicts.claim = Some(Claim {
            addr,
            heard: now,
            asked: now,
            verdict: NameConflict::Asked,
        });
        self.ask_name_conflict(now, addr);
        if self.timers.get(Timer::NameConflict).is_none() {
            self.timers
                .set(Timer::NameConflict, now + self.name_conflict_round());
        }
    }

    fn name_conflict_round(&self) -> Duration {
        self.config.probe_interval * ROUND
    }

    fn ask_name_conflict(&mut self, now: Time, to: SocketAddr) {
        let seq = self.probes.next_seq();
        self.name_conflicts.question = Some(Question {
            to,
            seq,
            pings: 0,
            next: now,
        });
        self.name_conflict_timeout(now);
    }

    /// Pings again, or takes the silence for an answer.
    pub(super) fn name_conflict_timeout(&mut self, now: Time) {
        let pause = self.config.probe_timeout / PINGS;
        let Some(question) = &mut self.name_conflicts.question else {
            return;
        };
        if now < question.next {
            return;
        }
        if question.pings == PINGS {
            return self.name_conflict_is(now, NameConflict::Silent);
        }
        question.pings += 1;
        question.next = now + pause;
        let (to, seq) = (question.to, question.seq);
        let ping = self.ping_bytes(seq, &self.own_name);
        self.send_ping(to, &ping, None, None);
    }

    /// Is this ack the answer of a name_conflict?
    pub(super) fn name_conflict_answers(&mut self, now: Time, seq: u32) -> bool {
        let asked = self.name_conflicts.question.as_ref().map(|asked| asked.seq);
        let is_answer = asked == Some(seq);
        if is_answer {
            self.name_conflict_is(now, NameConflict::Alive);
        }
        is_answer
    }

    fn name_conflict_is(&mut self, now: Time, verdict: NameConflict) {
        self.name_conflicts.question = None;
        if let Some(claim) = &mut self.name_conflicts.claim {
            claim.verdict = verdict;
            if verdict == NameConflict::Alive {
                claim.heard = now;
                let addr = claim.addr;
                self.notices.push_back(Notice::NameTaken { addr });
            }
        }
        self.drive_joins(now);
    }

    /// Is this the question to the name_conflict, come back to who asked it? Then the other address is
    /// one of this node itself, as seen from elsewhere.
    pub(super) fn is_own_echo(&mut self, now: Time, from: SocketAddr, ping: &Ping) -> bool {
        let Some(question) = &self.name_conflicts.question else {
            return false;
        };
        let echo = question.seq == ping.seq
            && ping.source_node == &*self.own_name
            && answer_address(ping.source_addr, ping.source_port, from) == self.own_addr;
        if echo {
            self.name_conflicts.own_aliases.truncate(MIRRORS - 1);
            self.name_conflicts.own_aliases.insert(0, question.to);
            self.name_conflicts.question = None;
            self.name_conflicts.claim = None;
            self.notices.push_back(Notice::NameFree);
            self.drive_joins(now);
        }
        echo
    }

    /// Time for another round about the claim: is it still made, does somebody answer now?
    pub(super) fn name_conflict_tick(&mut self, now: Time) {
        let round = self.name_conflict_round();
        let over = |claim: &Claim| now.since(claim.heard) > round * ROUNDS_UNHEARD;
        if self.left || self.name_conflicts.claim.as_ref().is_none_or(over) {
            self.name_conflicts.claim = None;
            self.notices.push_back(Notice::NameFree);
            return;
        }
        self.timers.set(Timer::NameConflict, now + round);
        match self.name_conflicts.claimed() {
            Some((addr, NameConflict::Alive)) => self.ask_name_conflict(now, addr),
            Some((_, NameConflict::Silent)) => self.claim_own_name(now),
            Some((_, NameConflict::Asked)) | None => {}
        }
    }

    /// Shows itself to a member, and hears from it where it lists the name.
    fn claim_own_name(&mut self, now: Time) {
        let own = self.own;
        let chosen = self.table.choose(1, &mut self.random, |slot, entry| {
            slot != own && entry.node.state == NodeState::Alive
        });
        let peer = chosen.first().and_then(|&slot| self.table.get(slot));
        if let Some(peer) = peer.map(|entry| entry.node.addr)
            && self.may_dial()
        {
            let exchange = Exchange {
                join: false,
                cause: Cause::NameConflict,
                pull_only: true,
                peer,
            };
            self.begin_exchange(now, exchange);
        }
    }
}
