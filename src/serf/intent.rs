//! Intents: a member says that it joins or leaves, before the SWIM layer notices.
//!
//! Each carries a Lamport time, and only one later than the last about the same member counts.
//! A leave intent turns the coming death into a leave; a join intent takes an earlier leave
//! intent back. A node that is said to leave and does not know of it refutes with a join intent.
//! Intents about names nobody has heard of wait in a buffer for the member to show up.

use super::SerfState;
use super::members::Status;
use super::serf_state::lane;
use crate::event::EventBody;
use crate::limits;
use crate::time::Time;
use crate::wire::serf_message::{JoinIntent, LeaveIntent, SerfMessage};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long an intent waits for its member to show up (Serf's RecentIntentTimeout).
const PATIENCE: Duration = Duration::from_secs(5 * 60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Join,
    Leave,
}

/// An intent that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub kind: Kind,
    pub ltime: u64,
    since: Time,
}

impl Waiting {
    /// The status of its member when it shows up.
    pub fn status(self) -> Status {
        match self.kind {
            Kind::Join => Status::Alive,
            Kind::Leave => Status::Leaving,
        }
    }
}

/// The latest intent about each unknown name. When it is full, further names are not taken up: a
/// leave that is missed that way is shown as a failure, which is the lesser evil.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    waiting: BTreeMap<Arc<str>, Waiting>,
}

impl Buffer {
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Notes an intent. True if it was news.
    pub fn note(&mut self, now: Time, kind: Kind, name: &str, ltime: u64) -> bool {
        let intent = Waiting {
            kind,
            ltime,
            since: now,
        };
        if let Some(held) = self.waiting.get_mut(name) {
            if ltime <= held.ltime {
                return false;
            }
            *held = intent;
            return true;
        }
        let fits = !name.is_empty() && name.len() <= limits::NAME_LEN;
        if !fits || self.waiting.len() >= limits::BUFFERED_INTENTS {
            return false;
        }
        self.waiting.insert(name.into(), intent);
        true
    }

    /// The intent about a member that has shown up.
    pub fn take(&mut self, name: &str) -> Option<Waiting> {
        self.waiting.remove(name)
    }

    /// Drops what has waited too long.
    pub fn expire(&mut self, now: Time) {
        self.waiting
            .retain(|_, intent| now.since(intent.since) <= PATIENCE);
    }

    pub fn postpone(&mut self, by: Duration) {
        self.waiting
            .values_mut()
            .for_each(|intent| intent.since = intent.since + by);
    }
}

impl SerfState {
    /// A leave intent. True if others should hear of it from us.
    pub fn leave_intent(&mut self, now: Time, intent: &LeaveIntent<'_>) -> bool {
        if !self.witness_member(intent.ltime) {
            return false;
        }
        let (ltime, prune) = (intent.ltime, intent.prune);
        let Some(entry) = self.members.get(intent.node) else {
            return self.intents.note(now, Kind::Leave, intent.node, ltime);
        };
        let (name, status, held) = (entry.member.name.clone(), entry.status, entry.ltime);
        // A leave at the very time of our last join is one that somebody believes: refute it. But
        // one at the time of our own leave is that leave, come back.
        let refutable = self.is_self(&name) && !self.leave.is_under_way_or_done();
        if ltime < held || (ltime == held && !refutable) {
            return false;
        }
        if self.is_self(&name) {
            return self.leave_intent_about_self(ltime);
        }
        match status {
            Status::Alive | Status::Leaving => self.change(&name, |entry| {
                (entry.status, entry.ltime) = (Status::Leaving, ltime);
                entry.prune |= prune;
            }),
            Status::Failed => {
                self.change(&name, |entry| {
                    (entry.status, entry.ltime) = (Status::Left, ltime)
                });
                self.found(&name);
                self.tell(&name, EventBody::MemberLeave);
            }
            Status::Left => self.change(&name, |entry| {
                (entry.ltime, entry.returning) = (ltime, false);
            }),
        }
        if prune && !status.is_present() {
            self.erase(&name);
        }
        true
    }

    /// Somebody says that this node leaves.
    fn leave_intent_about_self(&mut self, ltime: u64) -> bool {
        let name = self.name.clone();
        if self.leave.is_under_way_or_done() {
            self.change(&name, |entry| entry.ltime = ltime);
            return true;
        }
        self.counts.intents_refuted += 1;
        self.announce_join();
        false
    }

    /// A join intent. True if others should hear of it from us.
    pub fn join_intent(&mut self, now: Time, intent: &JoinIntent<'_>) -> bool {
        if !self.witness_member(intent.ltime) {
            return false;
        }
        let ltime = intent.ltime;
        let Some(entry) = self.members.get(intent.node) else {
            return self.intents.note(now, Kind::Join, intent.node, ltime);
        };
        if ltime <= entry.ltime {
            return false;
        }
        let name = entry.member.name.clone();
        // About ourselves we know better: it can only be an echo of an earlier life.
        let believe = !self.is_self(&name);
        self.change(&name, |entry| {
            entry.ltime = ltime;
            entry.returning = entry.status == Status::Left;
            if believe && entry.status == Status::Leaving {
                (entry.status, entry.prune) = (Status::Alive, false);
            }
        });
        true
    }

    /// Tells everybody that this node is here to stay.
    pub fn announce_join(&mut self) {
        let (ltime, name) = (self.member_clock.tick(), self.name.clone());
        self.change(&name, |entry| entry.ltime = ltime);
        self.counts.intents_sent += 1;
        let intent = SerfMessage::Join(JoinIntent { ltime, node: &name });
        self.broadcast(lane::INTENTS, &intent, None);
    }

    /// A leave intent about `node`, made here. Queued for the others only if there are any.
    pub fn announce_leave(&mut self, now: Time, node: &str, prune: bool, token: Option<u64>) {
        // SeenQuery before the intent is handled: afterwards the only other member may be leaving.
        let company = self.has_company();
        let intent = LeaveIntent {
            ltime: self.member_clock.tick(),
            node,
            prune,
        };
        self.leave_intent(now, &intent);
        if company {
            self.counts.intents_sent += 1;
            self.broadcast(lane::INTENTS, &SerfMessage::Leave(intent), token);
        }
    }

    fn witness_member(&mut self, ltime: u64) -> bool {
        let believed = self.member_clock.witness(ltime);
        self.counts.ltimes_refused += u64::from(!believed);
        believed
    }
}
