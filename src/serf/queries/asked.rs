//! The queries of this node that have not ended, and the acks and answers to them.
//!
//! A query ends when every member that it is addressed to has answered, or at its deadline. Serf
//! waits for the deadline in any case. A member that fails or leaves meanwhile is not waited for;
//! one that fails counts as missing, and so does a name in the options that no present member has.
//! Neither is missing if it replies nevertheless: see [`super::replies`].
//!
//! Queries of Serf itself end in the same way. Their answers are counted and not handed to the
//! application: those about keys, and the votes about the name of this node.

use super::asked_query::{AskedQuery, Purpose};
use crate::event::EventBody;
use crate::limits;
use crate::serf::shared::common::Common;
use crate::serf::shared::outbox::Outbox;
use crate::sorted_map::SortedMap;
use crate::time::Time;
use crate::wire::serf_message::{QueryResponse, flag};
use std::sync::Arc;
use std::time::Duration;

/// The queries that this node sent and that have not ended, by the Lamport time and the random
/// number of each. At the end of the clock, many queries have the same Lamport time.
#[derive(Default)]
pub(in crate::serf) struct Asked(SortedMap<(u64, u32), AskedQuery>);

impl Asked {
    /// Returns true if another query may be sent.
    pub fn may_ask(&self) -> bool {
        self.len() < limits::ASKED_QUERIES
    }

    /// The number of these queries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn add(&mut self, ltime: u64, id: u32, query: AskedQuery) {
        self.0.insert((ltime, id), query);
    }

    /// An ack or an answer arrived. The first of each kind from each member counts. Only members
    /// that are present have a vote.
    pub fn on_response(&mut self, common: &mut Common, response: &QueryResponse<'_>) {
        let is_voter = common.is_other_present(response.from);
        let out = &mut common.out;
        let Some(query) = self.0.get_mut((response.ltime, response.id)) else {
            out.counts.stray_answers += 1;
            return;
        };
        if matches!(query.purpose, Purpose::Vote(_)) && !is_voter {
            out.counts.votes_refused += 1;
            return;
        }
        let is_ack = response.flags & flag::ACK != 0;
        let replies = match is_ack {
            true => &mut query.acks,
            false => &mut query.answers,
        };
        let from: Arc<str> = response.from.into();
        if !replies.receive(&from) {
            out.counts.repeated_answers += 1;
            return;
        }
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

    /// A member has failed or left, and will not reply.
    pub fn on_gone(&mut self, out: &mut Outbox, name: &str, has_failed: bool) {
        for query in self.0.values_mut() {
            query.acks.on_gone(name, has_failed);
            query.answers.on_gone(name, has_failed);
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
        let ending = self.0.iter().filter(|(_, query)| ends(query));
        let ending: Vec<_> = ending.map(|(key, _)| key).collect();
        for key in ending {
            if let Some(query) = self.0.remove(key) {
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
            query.postpone(by);
        }
    }
}
