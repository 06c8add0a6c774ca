//! mDNS: asking for nodes on the local network, and answering such questions.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`links`] | the interfaces that carry mDNS |
//! | [`message`] | the messages: questions, answers, goodbyes |
//! | [`sockets`] | the two sockets |
//!
//! The names and records are those of Serf's agents, so nodes and agents find each other. The
//! engine decides when to ask and whom to join (`engine/discovery`).

pub(crate) mod links;
pub(crate) mod message;
pub(crate) mod sockets;
