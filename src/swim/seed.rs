//! Seeds: the nodes through which this node can join a cluster.

use std::fmt;
use std::net::SocketAddr;

/// The address of a node through which this node can join the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Seed {
    /// A literal address.
    Addr(SocketAddr),
    /// A host name and a port. The name is resolved again for each attempt.
    Host(String, u16),
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Seed::Addr(addr) => addr.fmt(f),
            Seed::Host(host, port) => write!(f, "{host}:{port}"),
        }
    }
}
