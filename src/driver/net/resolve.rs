//! Resolving names with the resolver of the system, which can block.

use crate::Config;
use crate::config::address;
use crate::swim::Seed;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// The maximum number of addresses of one name that are used.
const ADDRESSES: usize = 64;

/// Resolves all seeds that are host names, adds their addresses to the seeds, and returns the names
/// that have no address. If the addresses would make too many seeds, none is added. A process that
/// changes its root directory before it starts the node calls this first, since it cannot resolve
/// names afterwards. The call blocks as long as the resolver of the system does.
#[cfg_attr(not(feature = "internals"), expect(dead_code))]
pub fn resolve_seeds(config: &mut Config) -> Vec<String> {
    let mut seeds = config.settings.seeds.clone();
    let mut unknown = Vec::new();
    for seed in &config.settings.seeds {
        let Seed::Host(host, port) = seed else {
            continue;
        };
        let addrs = resolve(host);
        if addrs.is_empty() {
            unknown.push(host.clone());
        }
        for ip in addrs {
            let addr = Seed::Addr(SocketAddr::new(ip, *port));
            if !seeds.contains(&addr) {
                seeds.push(addr);
            }
        }
    }
    if seeds.len() <= address::TARGETS {
        config.settings.seeds = seeds;
    }
    unknown
}

/// The addresses of a host name, at most [`ADDRESSES`], without duplicates; empty if the name does
/// not resolve. An IPv4 address is never in its IPv6 form.
pub(in crate::driver) fn resolve(host: &str) -> Vec<IpAddr> {
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
    fn the_addresses_of_seeds_that_are_names_are_added_to_the_seeds() {
        let mut config = Config::new();
        let seeds = "10.0.0.1:1,localhost:5,nowhere.invalid";
        config.set("seeds", seeds).unwrap();
        assert_eq!(resolve_seeds(&mut config), ["nowhere.invalid"]);
        let resolved = config.get("seeds").unwrap();
        assert!(
            resolved.starts_with("10.0.0.1:1,localhost:5,nowhere.invalid:7946,"),
            "{resolved}"
        );
        assert!(resolved.contains("127.0.0.1:5") || resolved.contains("[::1]:5"));
    }

    #[test]
    fn a_literal_and_localhost_resolve_and_nonsense_does_not() {
        assert_eq!(resolve("127.0.0.1"), [IpAddr::V4(Ipv4Addr::LOCALHOST)]);
        assert!(!resolve("localhost").is_empty());
        assert!(resolve("no such host").is_empty());
    }
}
