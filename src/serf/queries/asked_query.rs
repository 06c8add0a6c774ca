//! One query of this node: its purpose, the members that are to answer, and its repetition.
//!
//! Gossip can miss a member, and no push/pull carries queries. So this node sends a query again to
//! the members that were silent so far: directly, a few times, and only if there are not too many
//! of them. Serf does not do this; for the members it is an ordinary query that must not be passed
//! on.

use super::replies::Replies;
use crate::event::EventBody;
use crate::key_report::KeyReport;
use crate::limits;
use crate::serf::CoreEvent;
use crate::serf::shared::common::Common;
use crate::serf::shared::outbox::{Order, Outbox};
use crate::serf::shared::vote::Tally;
use crate::time::Time;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How often a query is sent again to the members that were silent so far.
const REPETITIONS: u32 = 3;

/// The repetition of a query: the message, and the times at which it is sent.
#[derive(Debug)]
pub(in crate::serf) struct Repetition {
    /// The message, which must not be passed on.
    message: Vec<u8>,
    interval: Duration,
    next: Time,
    left: u32,
}

impl Repetition {
    pub fn new(message: Vec<u8>, interval: Duration, now: Time) -> Repetition {
        Repetition {
            message,
            interval,
            next: now + interval,
            left: REPETITIONS,
        }
    }

    fn deadline(&self) -> Option<Time> {
        (self.left > 0).then_some(self.next)
    }

    /// Uses up a repetition if one is due now. Returns true if it was.
    pub fn take_due(&mut self, now: Time) -> bool {
        let due = self.deadline().is_some_and(|next| next <= now);
        if due {
            self.left -= 1;
            self.next = now + self.interval;
        }
        due
    }
}

/// The purpose of a query, with its answers if this node counts them itself.
#[derive(Debug)]
pub(in crate::serf) enum Purpose {
    /// The application asks, under this number.
    Application { number: u64 },
    /// The application lists or changes the keys of all members, under this number.
    Keys { number: u64, report: KeyReport },
    /// This node asks where the members list its name.
    Vote(Tally),
}

impl Purpose {
    /// Returns the number that the application knows.
    pub fn number(&self) -> Option<u64> {
        match self {
            Purpose::Application { number } | Purpose::Keys { number, .. } => Some(*number),
            Purpose::Vote(_) => None,
        }
    }
}

/// A query that was sent and has not ended.
#[derive(Debug)]
pub(in crate::serf) struct AskedQuery {
    pub purpose: Purpose,
    pub deadline: Time,
    pub acks: Replies,
    pub answers: Replies,
    pub repetition: Repetition,
}

impl AskedQuery {
    /// Returns the next time at which there is something to do.
    pub fn deadline(&self) -> Time {
        let next = self.repetition.deadline();
        next.map_or(self.deadline, |next| next.min(self.deadline))
    }

    /// Sends the query again to the members that have not been heard of since it was sent.
    pub fn repeat(&self, common: &mut Common) {
        let awaited = self.acks.awaited().union(self.answers.awaited());
        let silent = |name: &&Arc<str>| {
            !common.is_self(name) && !self.acks.has(name) && !self.answers.has(name)
        };
        let rows = awaited.filter(silent).map(|name| common.members.get(name));
        let addrs: Vec<SocketAddr> = rows.flatten().map(|row| row.member.addr).collect();
        if addrs.len() > limits::QUERY_REPEATED_TO {
            return;
        }
        for to in addrs {
            common.out.counts.queries_repeated += 1;
            let bytes = self.repetition.message.clone();
            common.out.order(Order::SendIntroduced { to, bytes });
        }
    }

    /// Moves the deadline and the next repetition forward, after a stall of this process.
    pub fn postpone(&mut self, by: Duration) {
        self.deadline = self.deadline + by;
        self.repetition.next = self.repetition.next + by;
    }

    pub fn is_complete(&self) -> bool {
        self.acks.is_complete() && self.answers.is_complete()
    }

    pub fn end(self, out: &mut Outbox) {
        let missing: BTreeSet<&Arc<str>> =
            self.acks.missing().chain(self.answers.missing()).collect();
        let missing: Vec<Arc<str>> = missing.into_iter().cloned().collect();
        match self.purpose {
            Purpose::Application { number } => out.report(CoreEvent::QueryDone {
                number,
                answers: self.answers.count(),
                missing,
            }),
            Purpose::Keys { number, report } => out.report(CoreEvent::KeysDone {
                number,
                report: KeyReport {
                    asked: report.answers.len() + missing.len(),
                    missing,
                    ..report
                },
            }),
            Purpose::Vote(tally) => out.order(Order::EndVote(tally)),
        }
    }

    /// Takes up the answer of a member, or hands it to the application.
    pub fn take_answer(&mut self, out: &mut Outbox, from: Arc<str>, payload: &[u8]) {
        match &mut self.purpose {
            Purpose::Application { number } => out.tell(EventBody::QueryResponse {
                id: *number,
                from: from.to_string(),
                payload: payload.into(),
            }),
            Purpose::Keys { report, .. } => report.add(from, payload),
            Purpose::Vote(tally) => {
                if let Err(why) = tally.add(payload) {
                    out.refuse(why);
                }
            }
        }
    }
}
