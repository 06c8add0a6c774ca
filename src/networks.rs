//! Addresses at which members cannot reach a node, and lists of allowed networks.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr};

/// Returns why members cannot reach a node at this address, whatever the network is like; `None` if
/// there is no such reason.
pub(crate) fn unreachable(ip: IpAddr) -> Option<&'static str> {
    let is_broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    match ip {
        _ if ip.is_unspecified() => Some("this address means \"any\" and cannot be reached"),
        IpAddr::V4(ip) if ip.octets()[0] == 0 => Some("0.0.0.0/8 is reserved and has no hosts"),
        _ if ip.is_multicast() || is_broadcast => Some("this address belongs to no single node"),
        IpAddr::V6(ip) if ip.is_unicast_link_local() => Some(
            "a link-local address means a different host on every link, and members pass it on \
             without its zone",
        ),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

/// Returns true if the address is in one of these networks, or if the list is empty.
pub(crate) fn allow(networks: &[IpNet], ip: IpAddr) -> bool {
    networks.is_empty() || networks.iter().any(|it| it.contains(&ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_allows_every_address() {
        let ip: IpAddr = "10.0.0.1".parse().unwrap();
        let list = |text: &str| vec![text.parse::<IpNet>().unwrap()];
        assert!(allow(&[], ip) && allow(&list("10.0.0.0/8"), ip));
        assert!(!allow(&list("192.168.0.0/16"), ip));
    }
}
