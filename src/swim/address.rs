//! Addresses of members: where an answer goes, and which addresses a member may have. Their form on
//! the wire is in `wire/address.rs`.

use crate::networks;
use crate::swim::Config;
pub(in crate::swim) use crate::wire::address::{decode, encode};
use std::net::{IpAddr, SocketAddr};

/// Returns the address to which an answer goes: the source that the message names, or else the
/// address of the sender. Anyone can name any source. So a named source counts only if its port is
/// not 0, and if it has the sender's IP address or is the address that this node knows for the
/// named member. `known` returns that address.
pub(in crate::swim) fn of_answer(
    source: &[u8],
    port: u16,
    from: SocketAddr,
    known: impl Fn() -> Option<SocketAddr>,
) -> SocketAddr {
    let named = decode(source, port).map(|(addr, _)| addr);
    let is_plausible = |addr: &SocketAddr| addr.ip() == from.ip() || Some(*addr) == known();
    named
        .filter(|addr| port != 0 && is_plausible(addr))
        .unwrap_or(from)
}

impl Config {
    /// Returns true if a member may have this address: other members can reach it, and it lies in
    /// one of the networks of the setting `cidrs_allowed` unless that list is empty.
    pub(crate) fn allows(&self, ip: IpAddr) -> bool {
        networks::unreachable(ip).is_none() && networks::allow(&self.cidrs_allowed, ip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_an_ipv4_address_are_the_same_address() {
        let mapped = "10.0.0.1"
            .parse::<std::net::Ipv4Addr>()
            .unwrap()
            .to_ipv6_mapped()
            .octets();
        let (short, long) = (decode(&[10, 0, 0, 1], 1), decode(&mapped, 1));
        assert_eq!(short.unwrap().0, long.unwrap().0);
        assert_eq!((short.unwrap().1, long.unwrap().1), (false, true));
        assert_eq!(*encode(long.unwrap().0.ip(), true), mapped);
        assert_eq!(*encode(short.unwrap().0.ip(), false), [10, 0, 0, 1]);
        assert_eq!(decode(&[1, 2, 3, 4, 5], 1), None);
    }
}
