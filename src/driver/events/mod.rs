//! Everything that the application reads: events, the list of members, the outcomes of operations,
//! the log, and the state of the node.

pub(crate) mod answers;
pub(crate) mod completion;
pub(crate) mod failure;
pub(crate) mod lifecycle;
pub(crate) mod log;
pub(crate) mod pending;
pub(crate) mod queue;
mod refusal_log;
pub(crate) mod subscriptions;
pub(crate) mod view;
