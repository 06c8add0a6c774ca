//! Everything that the application reads: events, the list of members, the outcomes of operations,
//! the log, and the state of the node.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`queue`], [`subscriptions`] | the queue of the node, and those of its subscriptions |
//! | [`completion`], [`pending`] | the parties that wait for operations, and the outcomes |
//! | [`answers`] | the acks and answers to a query, as they arrive |
//! | [`failure`] | the errors of operations |
//! | [`log`], [`refusal_log`] | lines of the log |
//! | [`view`] | the list of members |
//! | [`lifecycle`] | the state of the node |

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
