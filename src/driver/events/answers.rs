//! The acks and answers to a query, for the caller that sent it.

use crate::driver::events::subscriptions::Subscription;
use crate::error::Error;
#[cfg(doc)]
use crate::event::EventKind;

/// A query that is under way, made by `Node::begin_query`.
pub struct PendingQuery {
    /// The number of the query.
    pub id: u64,
    /// The acks and answers, as events of the kinds [`EventKind::QueryAck`] and
    /// [`EventKind::QueryResponse`], and at last an event of kind [`EventKind::Done`].
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
    /// The error that names the members whose ack or answer is missing; `None` if none is missing.
    pub incomplete: Option<Error>,
}
