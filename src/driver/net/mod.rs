//! Sockets that never block, and name resolution, which may.
//!
//! Gossip and services share all of it: a [`listener`] accepts their connections, and a set of
//! [`streams`] reads and writes.

pub(crate) mod listener;
pub(crate) mod resolve;
pub(crate) mod sockets;
pub(crate) mod streams;
