//! Queries that this node sent, and the acks and answers to them.
//!
//! A query ends when every member that it is addressed to has answered, or at its deadline. Serf
//! waits for the deadline in any case. A member that fails or leaves meanwhile is not waited for;
//! one that fails counts as missing, and so does a name in the options that no present member has.
//!
//! Gossip can miss a member, and no push/pull carries queries. So this node sends a query again to
//! the members that were silent so far: directly, a few times, and only if there are not too many
//! of them. Serf does not do this; for the members it is an ordinary query that must not be passed
//! on.
//!
//! Queries of Serf itself end in the same way. Their answers are counted and not handed to the
//! application: those about keys, and the votes about the name of this node.

use super::query::ACK;
use crate::event::EventBody;
use crate::key_report::KeyReport;
use crate::limits;
use crate::serf::CoreEvent;
use crate::serf::shared::common::Common;
use crate::serf::shared::outbox::{Order, Outbox};
use crate::serf::shared::vote::Tally;
use crate::sorted_map::SortedMap;
use crate::time::Time;
use crate::wire::serf_message::QueryResponse;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The options of a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryOptions {
    /// The time in which answers count; by default, it follows from the size of the cluster, as in
    /// Serf: 3.2 seconds with up to 9 members and the profile `lan`.
    pub timeout: Option<Duration>,
    /// The names of the members that are to answer; an empty list addresses all members.
    pub nodes: Vec<String>,
    /// Pairs of a tag and a regular expression: only members that have a match in the value of each
    /// of these tags are to answer. A missing tag counts as empty.
    pub tags: Vec<(String, String)>,
    /// True if each member is to acknowledge the query as soon as it arrives.
    pub ack: bool,
    /// The number of members through which each answer is sent as well, so that it arrives even if
    /// the direct way is blocked. A sprat node uses at most 8.
    pub relay_factor: u8,
}

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
    fn take_due(&mut self, now: Time) -> bool {
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
    fn number(&self) -> Option<u64> {
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
    /// The random number on the wire.
    pub id: u32,
    pub deadline: Time,
    /// The members whose ack is awaited.
    pub to_ack: BTreeSet<Arc<str>>,
    /// The members whose answer is awaited.
    pub to_answer: BTreeSet<Arc<str>>,
    /// The members that have acknowledged the query, and those that have answered it.
    pub acked: BTreeSet<Arc<str>>,
    pub answered: BTreeSet<Arc<str>>,
    /// The members that have failed before they answered, and the names in the options that no
    /// present member has.
    pub absent: BTreeSet<Arc<str>>,
    pub repetition: Repetition,
}

impl AskedQuery {
    /// Returns the next time at which there is something to do.
    fn deadline(&self) -> Time {
        let next = self.repetition.deadline();
        next.map_or(self.deadline, |next| next.min(self.deadline))
    }

    /// Sends the query again to the members that have not been heard of since it was sent.
    fn repeat(&self, common: &mut Common) {
        let awaited = self.to_ack.union(&self.to_answer);
        let silent = |name: &&Arc<str>| {
            !common.is_self(name) && !self.acked.contains(*name) && !self.answered.contains(*name)
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

    fn is_complete(&self) -> bool {
        self.to_ack.is_empty() && self.to_answer.is_empty()
    }

    fn end(self, out: &mut Outbox) {
        let mut missing: BTreeSet<Arc<str>> = self.to_ack.union(&self.to_answer).cloned().collect();
        // A member that has failed may have returned, and have answered.
        let has_answered = |name: &Arc<str>| self.answered.contains(name);
        missing.extend(self.absent.into_iter().filter(|name| !has_answered(name)));
        let missing: Vec<Arc<str>> = missing.into_iter().collect();
        match self.purpose {
            Purpose::Application { number } => out.report(CoreEvent::QueryDone {
                number,
                answers: self.answered.len(),
                missing,
            }),
            Purpose::Keys { number, report } => out.report(CoreEvent::KeysDone {
                number,
                report: KeyReport { missing, ..report },
            }),
            Purpose::Vote(tally) => out.order(Order::EndVote(tally)),
        }
    }

    /// Takes up the answer of a member, or hands it to the application.
    fn take_answer(&mut self, out: &mut Outbox, from: Arc<str>, payload: &[u8]) {
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

/// The queries that this node sent and that have not ended, by their Lamport times.
#[derive(Default)]
pub(in crate::serf) struct Asked(SortedMap<u64, AskedQuery>);

impl Asked {
    /// Returns true if another query may be sent.
    pub fn has_room(&self) -> bool {
        self.len() < limits::ASKED_QUERIES
    }

    /// The number of these queries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn add(&mut self, ltime: u64, query: AskedQuery) {
        self.0.insert(ltime, query);
    }

    /// An ack or an answer arrived. The first of each kind from each member counts. Only members
    /// that are present have a vote.
    pub fn on_response(&mut self, common: &mut Common, response: &QueryResponse<'_>) {
        let is_voter = common.is_other_present(response.from);
        let out = &mut common.out;
        let query = self.0.get_mut(response.ltime);
        let Some(query) = query.filter(|query| query.id == response.id) else {
            out.counts.stray_answers += 1;
            return;
        };
        if matches!(query.purpose, Purpose::Vote(_)) && !is_voter {
            out.counts.votes_refused += 1;
            return;
        }
        let is_ack = response.flags & ACK != 0;
        let (awaited, had) = match is_ack {
            true => (&mut query.to_ack, &mut query.acked),
            false => (&mut query.to_answer, &mut query.answered),
        };
        let from: Arc<str> = response.from.into();
        if had.len() >= limits::MEMBERS || !had.insert(from.clone()) {
            out.counts.repeated_answers += 1;
            return;
        }
        awaited.remove(&from);
        match &query.purpose {
            Purpose::Application { number } if is_ack => out.tell(EventBody::QueryAck {
                id: *number,
                from: response.from.to_owned(),
            }),
            _ if is_ack => {}
            _ => query.take_answer(out, from, response.payload.unwrap_or_default()),
        }
        self.end_complete(out);
    }

    /// A member has failed or left, and will not answer. A member that has failed is named at the
    /// end: it may still hold the keys from before a change, or have done only a part of what it
    /// was asked for.
    pub fn on_gone(&mut self, out: &mut Outbox, name: &str, has_failed: bool) {
        for query in self.0.values_mut() {
            let acks = query.to_ack.take(name);
            let awaited = query.to_answer.take(name).or(acks);
            query.absent.extend(awaited.filter(|_| has_failed));
        }
        self.end_complete(out);
    }

    /// Ends the queries for which no ack and no answer is awaited any more.
    pub fn end_complete(&mut self, out: &mut Outbox) {
        self.end(out, AskedQuery::is_complete);
    }

    /// Ends the queries whose time is up, and repeats those that are due.
    pub fn handle_timeout(&mut self, now: Time, common: &mut Common) {
        self.end(&mut common.out, |query| query.deadline <= now);
        for query in self.0.values_mut() {
            if query.repetition.take_due(now) {
                query.repeat(common);
            }
        }
    }

    /// Ends the query with this number.
    pub fn cancel(&mut self, out: &mut Outbox, number: u64) {
        self.end(out, |query| query.purpose.number() == Some(number));
    }

    fn end(&mut self, out: &mut Outbox, ends: impl Fn(&AskedQuery) -> bool) {
        let ending: Vec<u64> = self
            .0
            .iter()
            .filter(|(_, query)| ends(query))
            .map(|(ltime, _)| ltime)
            .collect();
        for ltime in ending {
            if let Some(query) = self.0.remove(ltime) {
                query.end(out);
            }
        }
    }

    /// Returns the time of the next call of [`Asked::handle_timeout`].
    pub fn deadline(&self) -> Option<Time> {
        self.0.iter().map(|(_, query)| query.deadline()).min()
    }

    /// Moves the deadlines `by` into the future, after a stall of this process.
    pub fn postpone(&mut self, by: Duration) {
        for query in self.0.values_mut() {
            query.deadline = query.deadline + by;
            query.repetition.next = query.repetition.next + by;
        }
    }
}
