//! The name of this host, and the addresses at which others can reach it.

use crate::driver::os::fork_gate::between_forks;
use crate::driver::os::own_fd::OwnFd;
use crate::error::{Error, Result, Status};
use crate::networks;
use ipnet::IpNet;
use nix::ifaddrs::{InterfaceAddress, getifaddrs};
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

/// The interfaces that are up, an entry for each address; `None` if the system does not list them,
/// for instance because descriptors have run out.
pub(in crate::driver) fn interfaces() -> Option<impl Iterator<Item = InterfaceAddress>> {
    let all = between_forks(getifaddrs).ok()?;
    Some(all.filter(|it| it.flags.contains(InterfaceFlags::IFF_UP)))
}

/// The addresses of all interfaces that are up; `None` if the system does not list them.
pub fn addresses() -> Option<Vec<IpAddr>> {
    let addresses = interfaces()?.filter_map(|it| {
        let addr = it.address?;
        let v4 = addr.as_sockaddr_in().map(|it| it.ip().into());
        v4.or_else(|| addr.as_sockaddr_in6().map(|it| it.ip().into()))
    });
    Some(addresses.collect())
}

/// The source address of packets that leave by the default route. No packet is sent for this:
/// the kernel already chooses the route when a datagram socket is connected.
fn of_default_route(v6: bool) -> Option<IpAddr> {
    // These addresses are reserved for documentation, so only a default route leads there.
    let (domain, target): (Domain, SocketAddr) = if v6 {
        let reserved = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
        (Domain::IPV6, (reserved, 9).into())
    } else {
        (Domain::IPV4, (Ipv4Addr::new(192, 0, 2, 1), 9).into())
    };
    let open = || Socket::new(domain, Type::DGRAM, Some(Protocol::UDP));
    let socket = OwnFd::open(open).ok()?;
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

/// Returns true if an address is neither unspecified nor link-local. An unspecified or link-local
/// address is of no use to other hosts, because it means something else on every host or link. A
/// loopback address counts as usable: members on the same host can use it.
fn is_usable(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_unspecified() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_unicast_link_local(),
    }
}

/// Chooses the address of this host that the other members can most likely reach. Private addresses
/// come before public ones, and in each group the address of the default route comes first. A
/// loopback address is the last resort.
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

/// The addresses of this host at one moment.
pub(in crate::driver) struct HostAddresses {
    /// The addresses of all interfaces that are up.
    all: Vec<IpAddr>,
    /// The source address of IPv4 packets that leave by the default route.
    default_v4: Option<IpAddr>,
    /// The same for IPv6.
    default_v6: Option<IpAddr>,
}

impl HostAddresses {
    /// Reads the addresses; `None` if the system does not list them.
    pub fn read() -> Option<HostAddresses> {
        Some(HostAddresses {
            all: addresses()?,
            default_v4: of_default_route(false),
            default_v6: of_default_route(true),
        })
    }

    /// Returns the addresses that are in one of these networks; all if no networks are given.
    pub fn within(&self, networks: &[IpNet]) -> HostAddresses {
        let is_inside = |ip: &IpAddr| networks::allow(networks, *ip);
        HostAddresses {
            all: self.all.iter().copied().filter(is_inside).collect(),
            default_v4: self.default_v4.filter(is_inside),
            default_v6: self.default_v6.filter(is_inside),
        }
    }

    /// Returns true if an interface that is up has this address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.all.contains(&ip)
    }

    /// Returns the address to advertise when the node is bound to `any`, which is 0.0.0.0 or `::`.
    /// It is an IPv4 address if possible, since every member of an IPv4 cluster can use it. With
    /// `::` it is an IPv6 address if this host has no usable IPv4 address, or if the IPv4 address
    /// is a loopback address and the IPv6 address is not.
    pub fn best(&self, any: IpAddr) -> Option<IpAddr> {
        let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = self.all.iter().partition(|ip| ip.is_ipv4());
        let found = choose(&v4, self.default_v4);
        if any.is_ipv4() || found.is_some_and(|ip| !ip.is_loopback()) {
            return found;
        }
        let other = choose(&v6, self.default_v6);
        other
            .filter(|ip| found.is_none() || !ip.is_loopback())
            .or(found)
    }

    /// Returns the source address of the default route, if other hosts can use it and a node bound
    /// to `any` can advertise it. An address of the family of `own` is preferred.
    pub fn of_default_route(&self, any: IpAddr, own: IpAddr) -> Option<IpAddr> {
        let usable = |ip: &IpAddr| is_usable(ip) && !ip.is_loopback();
        let v4 = self.default_v4.filter(usable);
        let v6 = self.default_v6.filter(|ip| any.is_ipv6() && usable(ip));
        match own.is_ipv6() {
            true => v6.or(v4),
            false => v4.or(v6),
        }
    }
}

/// The address to advertise when the node is bound to `any`, which is 0.0.0.0 or `::`: see
/// [`HostAddresses::best`]. It is in one of these networks if possible.
///
/// # Errors
/// `Address` if no interface has a usable address.
pub(in crate::driver) fn advertised(any: IpAddr, networks: &[IpNet]) -> Result<IpAddr> {
    let host = HostAddresses::read();
    let found = host.and_then(|host| host.within(networks).best(any).or_else(|| host.best(any)));
    found.ok_or_else(|| {
        let message = "no interface has an address that other hosts could reach; set advertise";
        Error::new(Status::Address, message)
    })
}

/// A host with these addresses, for tests. `default` is the address of the default route, if any.
#[cfg(test)]
pub(in crate::driver) fn host_with(all: &[&str], default: Option<&str>) -> HostAddresses {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let default = default.map(ip);
    HostAddresses {
        all: all.iter().map(|text| ip(text)).collect(),
        default_v4: default.filter(IpAddr::is_ipv4),
        default_v6: default.filter(IpAddr::is_ipv6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    #[test]
    fn a_private_address_is_preferred_and_so_is_the_address_of_the_default_route() {
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
    fn a_node_on_both_families_falls_back_to_ipv6_and_one_on_ipv4_does_not() {
        let (any_v4, any_v6) = (Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into());
        let best = |any, all: &[&str]| host_with(all, None).best(any).map(|ip| ip.to_string());
        let only_v6 = ["127.0.0.1", "::1", "fe80::1", "fd00::5"];
        assert_eq!(best(any_v4, &only_v6).as_deref(), Some("127.0.0.1"));
        assert_eq!(best(any_v6, &only_v6).as_deref(), Some("fd00::5"));
        let both = ["127.0.0.1", "10.0.0.5", "::1", "fd00::5"];
        assert_eq!(best(any_v6, &both).as_deref(), Some("10.0.0.5"));
        let link_local = ["127.0.0.1", "169.254.7.7", "::1", "fe80::1"];
        assert_eq!(best(any_v6, &link_local).as_deref(), Some("127.0.0.1"));
        assert_eq!(best(any_v6, &["::1"]).as_deref(), Some("::1"));
        assert_eq!(best(any_v4, &["::1"]), None);
    }

    #[test]
    fn the_address_of_the_default_route_is_one_of_the_same_family_if_possible() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let (any_v4, any_v6) = (ip("0.0.0.0"), ip("::"));
        let (v4, v6) = (ip("10.0.0.6"), ip("fd00::6"));
        let both = HostAddresses {
            all: vec![v4, v6],
            default_v4: Some(v4),
            default_v6: Some(v6),
        };
        assert_eq!(both.of_default_route(any_v6, ip("fd00::5")), Some(v6));
        assert_eq!(both.of_default_route(any_v6, ip("10.0.0.5")), Some(v4));
        assert_eq!(both.of_default_route(any_v4, ip("10.0.0.5")), Some(v4));
        let only_v6 = both.within(&["fd00::/8".parse().unwrap()]);
        assert_eq!(only_v6.of_default_route(any_v6, ip("10.0.0.5")), Some(v6));
        assert_eq!(only_v6.of_default_route(any_v4, ip("10.0.0.5")), None);
    }

    #[test]
    fn this_host_has_a_name_and_a_loopback_address() {
        assert!(!host_name().is_empty());
        assert!(
            addresses()
                .unwrap()
                .contains(&IpAddr::V4(Ipv4Addr::LOCALHOST))
        );
        let (v4, v6) = (Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED);
        assert!(advertised(v4.into(), &[]).unwrap().is_ipv4());
        assert!(advertised(v6.into(), &[]).is_ok());
        let inside = advertised(v4.into(), &["127.0.0.0/8".parse().unwrap()]);
        assert!(inside.unwrap().is_loopback());
    }
}
