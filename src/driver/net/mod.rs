//! Sockets, streams and name resolution.

pub(crate) mod listener;
pub(crate) mod resolve;
pub(crate) mod sockets;
pub(crate) mod streams;
