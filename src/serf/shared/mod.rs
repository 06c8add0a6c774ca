//! The state that all parts share.
//!
//! | file | contents |
//! | --- | --- |
//! | [`common`] | the settings, the members and the outbox, as one argument of the parts |
//! | [`members`], [`lost`] | the members, and the lost ones that this node tries to reach again |
//! | [`outbox`], [`counts`] | orders, events and counters that come out |
//! | [`clock`] | Lamport time |
//! | [`ring`], [`seen`] | messages that are passed on once |
//! | [`asker`] | the sender of a query |
//! | [`vote`] | the answers to a vote about the name of this node |
//! | [`vivaldi`] | how the coordinate of this node moves |

pub(in crate::serf) mod asker;
pub(in crate::serf) mod clock;
pub(in crate::serf) mod common;
pub(in crate::serf) mod counts;
pub(in crate::serf) mod lost;
pub(in crate::serf) mod members;
pub(in crate::serf) mod outbox;
pub(in crate::serf) mod ring;
pub(in crate::serf) mod seen;
pub(in crate::serf) mod vivaldi;
pub(in crate::serf) mod vote;
