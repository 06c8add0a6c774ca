//! The addresses at which this process itself listens. None of them may become a server: the load
//! balancer would send each request to itself, again and again, until it has no connection left.
//!
//! The listeners are found among the descriptors of the process. This search needs no setting and
//! no file, so it works in a chroot.

use sprat::driver::addresses as host_addresses;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{BorrowedFd, RawFd};
use std::time::{Duration, Instant};

/// The number of descriptors that are examined. Listeners are opened first, so they have low
/// numbers.
const DESCRIPTORS: RawFd = 16_384;
/// The time between two readings of the addresses of this host, which may change: a shared address
/// may move to this host at any time.
const PAUSE: Duration = Duration::from_secs(5);

/// The listeners of this process.
pub(super) struct OwnListeners {
    /// The listeners that were open at the start. Listeners that open later are not found.
    listeners: Vec<Listener>,
    /// The addresses of this host when they were last read.
    host: Vec<IpAddr>,
    /// The time at which `host` was last read.
    read: Option<Instant>,
}

/// A listening socket.
struct Listener {
    addr: SocketAddr,
    only_v6: bool,
}

impl OwnListeners {
    pub fn new() -> OwnListeners {
        OwnListeners {
            listeners: (0..DESCRIPTORS).filter_map(bound_listener).collect(),
            host: Vec::new(),
            read: None,
        }
    }

    /// Returns all addresses that reach this process; `None` if the last answer still holds: less
    /// than `PAUSE` has passed since then, or the addresses of this host cannot be read now.
    pub fn addresses_if_due(&mut self, now: Instant) -> Option<Vec<SocketAddr>> {
        self.read_if_due(now, host_addresses)
    }

    fn read_if_due(
        &mut self,
        now: Instant,
        read: impl FnOnce() -> Option<Vec<IpAddr>>,
    ) -> Option<Vec<SocketAddr>> {
        let is_fresh = |at: Instant| now.duration_since(at) < PAUSE;
        if self.read.is_some_and(is_fresh) {
            return None;
        }
        match read() {
            Some(host) => (self.host, self.read) = (host, Some(now)),
            None if self.read.is_some() => return None, // the next call tries again
            None => {}
        }
        let all = self
            .listeners
            .iter()
            .flat_map(|it| it.addresses(&self.host));
        let mut found: Vec<SocketAddr> = all.collect();
        found.sort_unstable();
        found.dedup();
        Some(found)
    }
}

impl Listener {
    /// Returns the addresses that reach the listener: its own or, if it listens on 0.0.0.0 or `::`,
    /// every address of this host, `host`, in the families that it accepts.
    fn addresses(&self, host: &[IpAddr]) -> Vec<SocketAddr> {
        let (ip, port) = (self.addr.ip().to_canonical(), self.addr.port());
        if !ip.is_unspecified() {
            return vec![SocketAddr::new(ip, port)];
        }
        let reaches = |it: &IpAddr| match it.is_ipv4() {
            true => !self.only_v6,
            false => ip.is_ipv6(),
        };
        let ips = host.iter().map(IpAddr::to_canonical);
        ips.filter(reaches)
            .map(|ip| SocketAddr::new(ip, port))
            .collect()
    }
}

/// Returns the listener behind a descriptor; `None` if the descriptor is closed, or is not a
/// listening IP socket.
fn bound_listener(fd: RawFd) -> Option<Listener> {
    if option(fd, libc::SOL_SOCKET, libc::SO_ACCEPTCONN)? == 0 {
        return None;
    }
    // SAFETY: the descriptor was open in the call above, and is only borrowed for `getsockname`. If
    // another thread closes it in between, that call fails or describes another socket.
    let socket = unsafe { BorrowedFd::borrow_raw(fd) };
    let addr = socket2::SockRef::from(&socket).local_addr().ok()?;
    let only_v6 = option(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY);
    Some(Listener {
        addr: addr.as_socket()?,
        only_v6: only_v6.is_some_and(|it| it != 0),
    })
}

/// Returns the value of a socket option; `None` if the descriptor is not a socket or the socket has
/// no such option.
fn option(fd: RawFd, level: libc::c_int, name: libc::c_int) -> Option<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut len = size_of_val(&value) as libc::socklen_t;
    // SAFETY: `value` and `len` are live, and `len` is the size of `value`. If `fd` is not an open
    // descriptor, the call fails.
    let failed = unsafe { libc::getsockopt(fd, level, name, (&raw mut value).cast(), &mut len) };
    (failed == 0).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};

    #[test]
    fn listening_sockets_are_found_and_no_others() {
        let one = TcpListener::bind("127.0.0.1:0").unwrap();
        let all = TcpListener::bind("0.0.0.0:0").unwrap();
        // No other test listens at this address, whose port may be that of a listener elsewhere.
        let datagrams = UdpSocket::bind("127.0.0.77:0").unwrap();
        let (mut own, now) = (OwnListeners::new(), Instant::now());
        let found = own.addresses_if_due(now).unwrap();
        assert!(found.contains(&one.local_addr().unwrap()));
        let port = all.local_addr().unwrap().port();
        assert!(found.contains(&SocketAddr::from(([127, 0, 0, 1], port))));
        assert!(!found.contains(&datagrams.local_addr().unwrap()));
        assert_eq!(own.addresses_if_due(now), None, "no answer is due yet");
        let later = own.addresses_if_due(now + PAUSE).unwrap();
        assert!(later.contains(&one.local_addr().unwrap()));
    }

    #[test]
    fn while_the_addresses_of_the_host_cannot_be_read_the_last_ones_hold() {
        let listener = |ip: [u8; 4], port| Listener {
            addr: (ip, port).into(),
            only_v6: false,
        };
        let mut own = OwnListeners {
            listeners: vec![listener([10, 0, 0, 1], 80), listener([0, 0, 0, 0], 443)],
            host: Vec::new(),
            read: None,
        };
        let host = |n: u8| Some(vec![IpAddr::from([10, 0, 0, n])]);
        let at = |n: u8, port: u16| SocketAddr::from(([10, 0, 0, n], port));
        let now = Instant::now();
        let found = own.read_if_due(now, || None);
        assert_eq!(
            found,
            Some(vec![at(1, 80)]),
            "a listener at one address needs no address of the host"
        );
        let found = own.read_if_due(now, || host(2));
        assert_eq!(found, Some(vec![at(1, 80), at(2, 443)]));
        let later = now + PAUSE;
        assert_eq!(own.read_if_due(later, || None), None);
        let found = own.read_if_due(later, || host(3));
        assert_eq!(
            found,
            Some(vec![at(1, 80), at(3, 443)]),
            "the addresses are read again"
        );
    }
}
