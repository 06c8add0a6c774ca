//! What this host is called and where it can be reached.

use crate::error::{Error, Result, Status};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The host name; "localhost" if there is none.
pub(crate) fn host_name() -> String {
    let mut buffer = [0u8; 256];
    // SAFETY: a writable buffer of this length, whose last byte stays NUL.
    let failed = unsafe { libc::gethostname(buffer.as_mut_ptr().cast(), buffer.len() - 1) } != 0;
    let len = buffer.iter().position(|byte| *byte == 0).unwrap_or(0);
    match std::str::from_utf8(&buffer[..len]) {
        Ok(name) if !failed && !name.is_empty() => name.to_owned(),
        _ => "localhost".to_owned(),
    }
}

/// The addresses of all interfaces that are up.
pub fn addresses() -> Vec<IpAddr> {
    let mut found = Vec::new();
    let mut first: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: a writable pointer; on success it holds a list that is freed below.
    if unsafe { libc::getifaddrs(&mut first) } != 0 {
        return found;
    }
    let mut entry = first;
    while !entry.is_null() {
        // SAFETY: an entry of the list, which lives until it is freed.
        let it = unsafe { &*entry };
        entry = it.ifa_next;
        if it.ifa_addr.is_null() || it.ifa_flags & libc::IFF_UP as u32 == 0 {
            continue;
        }
        // SAFETY: not null; the family tells which address it is, and both are read unaligned.
        unsafe {
            match i32::from((*it.ifa_addr).sa_family) {
                libc::AF_INET => {
                    let addr = it.ifa_addr.cast::<libc::sockaddr_in>().read_unaligned();
                    found.push(Ipv4Addr::from(u32::from_be(addr.sin_addr.s_addr)).into());
                }
                libc::AF_INET6 => {
                    let addr = it.ifa_addr.cast::<libc::sockaddr_in6>().read_unaligned();
                    found.push(Ipv6Addr::from(addr.sin6_addr.s6_addr).into());
                }
                _ => {}
            }
        }
    }
    // SAFETY: the list of the call above, not used afterwards.
    unsafe { libc::freeifaddrs(first) };
    found
}

/// The address that packets to the world would come from. Nothing is sent: the kernel chooses the
/// route when a datagram socket is connected.
fn of_default_route(v6: bool) -> Option<IpAddr> {
    // Addresses kept for documentation: nobody's, so only a default route leads there.
    let (domain, somewhere): (Domain, SocketAddr) = if v6 {
        let nobody = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
        (Domain::IPV6, (nobody, 9).into())
    } else {
        (Domain::IPV4, (Ipv4Addr::new(192, 0, 2, 1), 9).into())
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP)).ok()?;
    socket.connect(&SockAddr::from(somewhere)).ok()?;
    Some(socket.local_addr().ok()?.as_socket()?.ip())
}

/// Private, unique local, or shared between a carrier and its customers (RFC 6598).
fn is_private(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || matches!(ip.octets(), [100, 64..=127, _, _]),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

/// Others cannot use it: it means something else on every host or link.
fn is_usable(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_unspecified() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_unicast_link_local(),
    }
}

/// Of the addresses of this host the one that others most likely reach.
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

/// The address to advertise when bound to "any": IPv4 if there is one, since every member of an
/// IPv4 cluster can use it.
///
/// # Errors
/// `Address` if no interface has an address of the family.
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
        let message = "no interface has an address that others could reach; set advertise";
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
    fn a_private_address_is_preferred_that_of_the_default_route_first() {
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
