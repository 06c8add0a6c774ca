//! Addresses of members: their form on the wire, and which of them a member may have.

use super::Config;
use crate::networks;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::Deref;

/// Decodes the address of a wire message. An IPv4-mapped IPv6 address becomes IPv4, so that both
/// forms compare as equal; the flag is true for such an address. Returns `None` if the length is
/// neither 4 nor 16.
pub(super) fn decode(bytes: &[u8], port: u16) -> Option<(SocketAddr, bool)> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some((SocketAddr::new(IpAddr::from(four), port), false));
    }
    let v6 = Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?);
    match v6.to_ipv4_mapped() {
        Some(v4) => Some((SocketAddr::new(v4.into(), port), true)),
        None => Some((SocketAddr::new(v6.into(), port), false)),
    }
}

/// The bytes of an address, as they are sent.
pub(super) enum Encoded {
    Short([u8; 4]),
    Long([u8; 16]),
}

impl Deref for Encoded {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Encoded::Short(bytes) => bytes,
            Encoded::Long(bytes) => bytes,
        }
    }
}

/// Encodes an address: IPv6 as 16 bytes, IPv4 as 4 bytes, or as 16 bytes if `mapped` is true.
pub(super) fn encode(ip: IpAddr, mapped: bool) -> Encoded {
    match ip {
        IpAddr::V4(v4) if mapped => Encoded::Long(v4.to_ipv6_mapped().octets()),
        IpAddr::V4(v4) => Encoded::Short(v4.octets()),
        IpAddr::V6(v6) => Encoded::Long(v6.octets()),
    }
}

/// Returns the address to which an answer goes: the source that the message names, or else the
/// address of the sender. Anyone can name any source. So a named source counts only if its port is
/// not 0, and if it has the sender's IP address or is the address that this node knows for the
/// named member. `known` returns that address.
pub(super) fn of_answer(
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

/// Returns true if a member may have this address: other members can reach it, and it lies in one
/// of the networks of the setting `cidrs_allowed` unless that list is empty.
pub(super) fn is_allowed(config: &Config, ip: IpAddr) -> bool {
    networks::unreachable(ip).is_none() && networks::allow(&config.cidrs_allowed, ip)
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
