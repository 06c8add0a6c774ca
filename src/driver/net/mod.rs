//! Sockets that never block, and name resolution, which can block.
//!
//! The engine and the host of services both use a [`listener`], which accepts connections, and a
//! set of [`streams`], which reads and writes. [`sockets`] has the two sockets of a node, and
//! [`resolve`] looks up names. `mdns` has the sockets and messages of mDNS; it exists only with the
//! feature of that name.

pub(crate) mod listener;
#[cfg(feature = "mdns")]
pub(crate) mod mdns;
pub(crate) mod resolve;
pub(crate) mod sockets;
pub(crate) mod streams;
