//! The acks and answers to a query, and those to a key query, for the caller that sent it.

use crate::driver::events::subscriptions::Subscription;
use crate::error::Error;
#[cfg(doc)]
use crate::event::EventKind;
use crate::key_report::KeyReport;
use std::sync::Arc;

/// A query that is under way, made by `Node::begin_query`.
pub struct PendingQuery {
    /// The number of the query.
    pub id: u64,
    /// The acks and answers, as events of the kinds [`EventKind::QueryAck`] and
    /// [`EventKind::QueryResponse`], and finally an event of kind [`EventKind::Done`].
    pub events: Subscription,
}

/// The answer of one member to a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryAnswer {
    /// The name of the member.
    pub from: String,
    /// The answer.
    pub payload: Box<[u8]>,
}

/// Everything that came back for a query.
#[derive(Clone, Debug)]
pub struct QueryAnswers {
    /// The answers, in the order in which they came.
    pub answers: Vec<QueryAnswer>,
    /// The names of the members that acknowledged the query, in the same order.
    pub acks: Vec<String>,
    /// The names of the members whose ack or answer is missing, sorted: members that have failed,
    /// or have not replied in time, and names in the options that no present member has, unless
    /// they have replied nevertheless.
    pub missing: Vec<String>,
    /// The error that names the first few of the missing members; `None` if none is missing.
    pub problem: Option<Error>,
}

/// The end of a key query.
#[derive(Clone, Debug)]
#[must_use = "a member that has not changed its keys may be cut off by the next change"]
pub struct KeyResult {
    /// The answers of the members.
    pub report: Arc<KeyReport>,
    /// The error that names the members that could not do what was asked (status `State`), or that
    /// have failed or not answered in time (status `Timeout`); `None` if all members have done it.
    pub problem: Option<Error>,
}
