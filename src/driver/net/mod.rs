//! Sockets that never block, and name resolution, which can block.
//!
//! Gossip and services both use a [`listener`], which accepts connections, and a set of
//! [`streams`], which reads and writes.

pub(crate) mod listener;
pub(crate) mod resolve;
pub(crate) mod sockets;
pub(crate) mod streams;
