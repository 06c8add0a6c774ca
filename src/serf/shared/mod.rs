//! The state that all parts share.
//!
//! | file | contents |
//! | --- | --- |
//! | [`common`] | the settings, the members, the snapshot and the outbox, as one argument |
//! | [`members`], [`lost`] | the members, and the lost ones that this node tries to reach again |
//! | [`outbox`], [`counts`] | orders, events and counters that come out |
//! | [`clock`] | Lamport time |
//! | [`ring`], [`seen`] | messages that are passed on once |
//! | [`event_load`] | the number and the size of user events that wait |
//! | [`asker`] | the sender of a query |
//! | [`vote`] | the answers to a vote about the name of this node |
//! | [`vivaldi`] | how the coordinate of this node moves |

pub(in crate::serf) mod asker;
pub(in crate::serf) mod clock;
pub(in crate::serf) mod common;
pub(in crate::serf) mod counts;
pub(in crate::serf) mod event_load;
pub(in crate::serf) mod lost;
pub(in crate::serf) mod members;
pub(in crate::serf) mod outbox;
pub(in crate::serf) mod ring;
pub(in crate::serf) mod seen;
pub(in crate::serf) mod vivaldi;
pub(in crate::serf) mod vote;
