//! The interfaces of this host that carry mDNS, with their IPv4 addresses.

use crate::driver::os::fork_gate::between_forks;
use crate::driver::os::interfaces::interfaces;
use ipnet::Ipv4Net;
use nix::ifaddrs::InterfaceAddress;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use std::net::{IpAddr, Ipv4Addr};

/// The maximum number of addresses that are used. By default, Linux lets a socket join a group on
/// 20 interfaces.
const LINKS: usize = 16;

/// An IPv4 address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::driver) struct Link {
    /// The number of the interface.
    pub index: u32,
    pub ip: Ipv4Addr,
    /// The network that the interface reaches directly.
    pub network: Ipv4Net,
}

/// The interfaces that mDNS may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::driver) enum Choice {
    /// The interface of this name, even if it is loopback or a tunnel.
    Named(String),
    /// The loopback interface.
    Loopback,
    /// Every interface for multicast, except the loopback interface and tunnels.
    Lan,
}

impl Choice {
    fn includes(&self, interface: &InterfaceAddress) -> bool {
        let has = |flag: InterfaceFlags| interface.flags.contains(flag);
        let is_loopback = has(InterfaceFlags::IFF_LOOPBACK);
        let is_tunnel = has(InterfaceFlags::IFF_POINTOPOINT);
        match self {
            Choice::Named(name) => interface.interface_name == *name,
            Choice::Loopback => is_loopback,
            Choice::Lan => has(InterfaceFlags::IFF_MULTICAST) && !is_loopback && !is_tunnel,
        }
    }
}

/// Returns the addresses of the interfaces that `choice` includes and that are up; empty if there
/// are none, or if the system does not list them.
pub(in crate::driver) fn links(choice: &Choice) -> Vec<Link> {
    let up = interfaces().into_iter().flatten();
    let chosen = up.filter(|it| choice.includes(it));
    // The system opens a socket to find the number of an interface.
    between_forks(|| chosen.filter_map(|it| link(&it)).take(LINKS).collect())
}

fn link(interface: &InterfaceAddress) -> Option<Link> {
    let ip = interface.address?.as_sockaddr_in()?.ip();
    let mask = interface.netmask?.as_sockaddr_in()?.ip();
    Some(Link {
        index: if_nametoindex(interface.interface_name.as_str()).ok()?,
        ip,
        network: Ipv4Net::with_netmask(ip, mask).ok()?,
    })
}

/// Returns true if one of the links reaches this address directly.
pub(in crate::driver) fn reach(links: &[Link], ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => links.iter().any(|link| link.network.contains(&ip)),
        IpAddr::V6(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_is_found_by_its_kind_and_by_its_name() {
        let by_kind = links(&Choice::Loopback);
        assert!(by_kind.iter().any(|link| link.ip == Ipv4Addr::LOCALHOST));
        assert!(links(&Choice::Named("lo".to_owned())).contains(&by_kind[0]));
        assert!(!links(&Choice::Lan).contains(&by_kind[0]));
        assert_eq!(links(&Choice::Named("none".to_owned())), []);
        assert!(reach(&by_kind, "127.1.2.3".parse().unwrap()));
        assert!(!reach(&by_kind, "10.0.0.1".parse().unwrap()));
        assert!(!reach(&by_kind, "::1".parse().unwrap()));
    }
}
