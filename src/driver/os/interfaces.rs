//! The name of this host, and the addresses at which others can reach it.

use crate::error::{Error, Result, Status};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::unistd::gethostname;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStringExt;

/// The host name as the kernel holds it; empty if there is none.
pub(crate) fn host_name() -> Vec<u8> {
    gethostname().map_or_else(|_| Vec::new(), OsString::into_vec)
}

/// The addresses of all interfaces that are up.
pub fn addresses() -> Vec<IpAddr> {
    let interfaces = getifaddrs().into_iter().flatten();
    let up = interfaces.filter(|it| it.flags.contains(InterfaceFlags::IFF_UP));
    up.filter_map(|it| {
        let addr = it.address?;
        let v4 = addr.as_sockaddr_in().map(|it| it.ip().into());
        v4.or_else(|| addr.as_sockaddr_in6().map(|it| it.ip().into()))
    })
    .collect()
}

/// The source address of packets that leave by the default route. No packet is sent to find it out:
/// the kernel already chooses the route when a datagram socket is connected.
fn of_default_route(v6: bool) -> Option<IpAddr> {
    // These addresses are reserved for documentation, so only a default route leads there.
    let (domain, target): (Domain, SocketAddr) = if v6 {
        let reserved = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
        (Domain::IPV6, (reserved, 9).into())
    } else {
        (Domain::IPV4, (Ipv4Addr::new(192, 0, 2, 1), 9).into())
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP)).ok()?;
    socket.connect(&SockAddr::from(target)).ok()?;
    Some(socket.local_addr().ok()?.as_socket()?.ip())
}

/// Returns true if an address is private, unique local, or shared between a carrier and its
/// customers (RFC 6598).
fn is_private(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || matches!(ip.octets(), [100, 64..=127, _, _]),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

/// Returns true if other hosts can use an address. Unspecified and link-local addresses are of no
/// use to other hosts, because such an address means something else on every host or link.
fn is_usable(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_unspecified() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_unicast_link_local(),
    }
}

/// Chooses the address of this host that the other members can most likely reach: a private one if
/// possible, that of the default route if possible, and a loopback address only if there is no
/// other.
fn choose(all: &[IpAddr], default: Option<IpAddr>) -> Option<IpAddr> {
    let default = default.filter(|ip| is_usable(ip) && !ip.is_loopback());
    let usable = || all.iter().copied().filter(is_usable);
    let outside = || usable().filter(|ip| !ip.is_loopback());
    default
        .filter(is_private)
        .or_else(|| outside().find(is_private))
        .or(default)
        .or_else(|| outside().next())
        .or_else(|| usable().next())
}

/// The address to advertise when the node is bound to `any`, which is 0.0.0.0 or `::`. It is an
/// IPv4 address if possible, since every member of an IPv4 cluster can use it. With `::` it is an
/// IPv6 address if this host has no usable IPv4 address, or only a loopback one.
///
/// # Errors
/// `Address` if no interface has a usable address.
pub(in crate::driver) fn advertised(any: IpAddr) -> Result<IpAddr> {
    let all = addresses();
    let v4: Vec<IpAddr> = all.iter().copied().filter(IpAddr::is_ipv4).collect();
    let v6: Vec<IpAddr> = all.iter().copied().filter(IpAddr::is_ipv6).collect();
    let mut found = choose(&v4, of_default_route(false));
    if any.is_ipv6() && found.is_none_or(|ip| ip.is_loopback()) {
        let other = choose(&v6, of_default_route(true));
        found = other
            .filter(|ip| found.is_none() || !ip.is_loopback())
            .or(found);
    }
    found.ok_or_else(|| {
        let message = "no interface has an address that others could reach; set advertise to one";
        Error::new(Status::Address, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    #[test]
    fn a_private_address_is_preferred_and_that_of_the_default_route_first() {
        let ip = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        let all = ips(&["127.0.0.1", "8.8.4.4", "172.17.0.1", "10.0.0.5"]);
        assert_eq!(choose(&all, ip("10.0.0.5")), ip("10.0.0.5"));
        assert_eq!(choose(&all, ip("8.8.4.4")), ip("172.17.0.1"));
        assert_eq!(choose(&all, None), ip("172.17.0.1"));
        let public = ips(&["127.0.0.1", "8.8.8.8", "8.8.4.4"]);
        assert_eq!(choose(&public, ip("8.8.4.4")), ip("8.8.4.4"));
        assert_eq!(choose(&public, None), ip("8.8.8.8"));
        assert_eq!(choose(&ips(&["127.0.0.1"]), None), ip("127.0.0.1"));
        assert_eq!(
            choose(&ips(&["169.254.1.1", "127.0.0.1"]), None),
            ip("127.0.0.1")
        );
        assert_eq!(choose(&[], None), None);
        assert_eq!(
            choose(&ips(&["::1", "fe80::1", "2a00::1", "fd00::1"]), None),
            ip("fd00::1")
        );
    }

    #[test]
    fn this_host_has_a_name_and_a_loopback_address() {
        assert!(!host_name().is_empty());
        assert!(addresses().contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)));
        assert!(advertised(Ipv4Addr::UNSPECIFIED.into()).unwrap().is_ipv4());
        assert!(advertised(Ipv6Addr::UNSPECIFIED.into()).is_ok());
    }
}
