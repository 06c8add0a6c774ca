//! Where this process itself listens. A server there would be the load balancer: each request would
//! come back to it, until it has no connection left.

use sprat::driver::addresses;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, RawFd};
use std::time::{Duration, Instant};

/// Descriptors that are looked at. Listeners are opened first, and have the lowest.
const DESCRIPTORS: RawFd = 16_384;
/// Between two looks at the addresses of this host: a shared one may come to it at any time.
const PAUSE: Duration = Duration::from_secs(5);

/// See the head of this file. Nothing has to be told to find them, and nothing read from a file:
/// neither is possible in a chroot.
pub(super) struct Own {
    /// What the listeners of this process are bound to. They do not change.
    bound: Vec<Bound>,
    looked: Option<Instant>,
}

/// What a listener is bound to.
struct Bound {
    addr: SocketAddr,
    only_v6: bool,
}

impl Own {
    pub fn new() -> Own {
        Own {
            bound: (0..DESCRIPTORS).filter_map(listener).collect(),
            looked: None,
        }
    }

    /// All addresses that lead here, if it is time to look.
    pub fn look(&mut self, now: Instant) -> Option<Vec<SocketAddr>> {
        if self.looked.is_some_and(|at| now.duration_since(at) < PAUSE) {
            return None;
        }
        self.looked = Some(now);
        let mut found: Vec<SocketAddr> = self.bound.iter().flat_map(Bound::ways).collect();
        found.sort_unstable();
        found.dedup();
        Some(found)
    }
}

impl Bound {
    /// A listener at all addresses is reached by each of them.
    fn ways(&self) -> Vec<SocketAddr> {
        let (ip, port) = (self.addr.ip().to_canonical(), self.addr.port());
        if !ip.is_unspecified() {
            return vec![SocketAddr::new(ip, port)];
        }
        let is_way = |it: &std::net::IpAddr| match it.is_ipv4() {
            true => !self.only_v6,
            false => ip.is_ipv6(),
        };
        let ips = addresses().into_iter().map(|it| it.to_canonical());
        ips.filter(is_way)
            .map(|ip| SocketAddr::new(ip, port))
            .collect()
    }
}

/// The address of a socket that listens, if this is one.
fn listener(fd: RawFd) -> Option<Bound> {
    if option(fd, libc::SOL_SOCKET, libc::SO_ACCEPTCONN)? == 0 {
        return None;
    }
    // SAFETY: it was open a moment ago; should it be closed meanwhile the call fails.
    let socket = unsafe { BorrowedFd::borrow_raw(fd) };
    let addr = socket2::SockRef::from(&socket).local_addr().ok()?;
    let only_v6 = option(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY);
    Some(Bound {
        addr: addr.as_socket()?,
        only_v6: only_v6.is_some_and(|it| it != 0),
    })
}

fn option(fd: RawFd, level: libc::c_int, name: libc::c_int) -> Option<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut len = size_of_val(&value) as libc::socklen_t;
    // SAFETY: a place for the answer and its length. What is no descriptor is refused.
    let failed = unsafe { libc::getsockopt(fd, level, name, (&raw mut value).cast(), &mut len) };
    (failed == 0).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};

    #[test]
    fn listeners_are_found_and_nothing_else() {
        let one = TcpListener::bind("127.0.0.1:0").unwrap();
        let all = TcpListener::bind("0.0.0.0:0").unwrap();
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (mut own, now) = (Own::new(), Instant::now());
        let found = own.look(now).unwrap();
        assert!(found.contains(&one.local_addr().unwrap()));
        let port = all.local_addr().unwrap().port();
        assert!(found.contains(&SocketAddr::from(([127, 0, 0, 1], port))));
        assert!(!found.contains(&datagrams.local_addr().unwrap()));
        assert_eq!(own.look(now), None, "it is not time yet");
        assert_eq!(own.look(now + PAUSE), Some(found));
    }
}
