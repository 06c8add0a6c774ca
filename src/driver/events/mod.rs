//! What the application reads: queue, subscriptions, completions, log.

pub(crate) mod completion;
pub(crate) mod failure;
pub(crate) mod lifecycle;
pub(crate) mod log;
pub(crate) mod pending;
pub(crate) mod queue;
pub(crate) mod subscriptions;
pub(crate) mod view;
