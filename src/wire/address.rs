//! The form of addresses on the wire: 4 or 16 bytes, and a port beside them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::Deref;

/// Decodes the address of a wire message. An IPv4-mapped IPv6 address becomes IPv4, so that both
/// forms compare as equal; the flag is true for such an address. Returns `None` if the length is
/// neither 4 nor 16.
pub(crate) fn decode(bytes: &[u8], port: u16) -> Option<(SocketAddr, bool)> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some((SocketAddr::new(IpAddr::from(four), port), false));
    }
    let v6 = Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?);
    match v6.to_ipv4_mapped() {
        Some(v4) => Some((SocketAddr::new(v4.into(), port), true)),
        None => Some((SocketAddr::new(v6.into(), port), false)),
    }
}

/// Decodes the address to which a message is to be sent. Returns `None` for a wrong length or for
/// port 0.
pub(crate) fn decode_target(bytes: &[u8], port: u16) -> Option<SocketAddr> {
    let (addr, _) = decode(bytes, port)?;
    (port != 0).then_some(addr)
}

/// The bytes of an address, as they are sent.
pub(crate) enum Encoded {
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
pub(crate) fn encode(ip: IpAddr, mapped: bool) -> Encoded {
    match ip {
        IpAddr::V4(v4) if mapped => Encoded::Long(v4.to_ipv6_mapped().octets()),
        IpAddr::V4(v4) => Encoded::Short(v4.octets()),
        IpAddr::V6(v6) => Encoded::Long(v6.octets()),
    }
}
