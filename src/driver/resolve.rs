//! The helper thread: resolving names, the only thing a node does that may block.

use super::shared::Shared;
use crate::swim::LookupId;
use crossbeam_channel::Receiver;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;

/// Addresses of one name that are tried.
const ADDRESSES: usize = 64;

/// A name to be resolved.
pub(super) struct Lookup {
    pub id: LookupId,
    pub host: String,
}

/// Resolves names until the engine hangs up.
pub(super) fn run(shared: &Arc<Shared>, lookups: &Receiver<Lookup>) {
    while let Ok(lookup) = lookups.recv() {
        if shared.is_ending() {
            break;
        }
        let addrs = resolve(&lookup.host);
        let command = Box::new(move |engine: &mut super::engine::Engine| {
            engine.resolved(lookup.id, &addrs);
        });
        if !shared.commands.send(command) {
            break;
        }
    }
}

/// All addresses of a name, IPv4 in its own form, each once; empty if there is none.
fn resolve(host: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    let Ok(addrs) = (host, 0).to_socket_addrs() else {
        return found;
    };
    for addr in addrs {
        let ip = addr.ip().to_canonical();
        if !found.contains(&ip) && found.len() < ADDRESSES {
            found.push(ip);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_literal_and_the_own_host_resolve_and_nonsense_does_not() {
        assert_eq!(resolve("127.0.0.1"), [IpAddr::V4(Ipv4Addr::LOCALHOST)]);
        assert!(!resolve("localhost").is_empty());
        assert!(resolve("no such host").is_empty());
    }
}
