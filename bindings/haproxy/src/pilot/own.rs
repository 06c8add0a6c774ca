//! Where this process itself listens. A server there would be the load balancer: each request would
//! come back to it, until it has no connection left.

use sprat::driver::addresses;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, RawFd};

/// Descriptors that are looked at. Listeners are opened first, and have the lowest.
const DESCRIPTORS: RawFd = 16_384;

/// All addresses that lead to a listener of this process. Nothing has to be told to find them, and
/// nothing read from a file: neither is possible in a chroot.
pub(super) fn listeners() -> Vec<SocketAddr> {
    let bound = (0..DESCRIPTORS).filter_map(listener);
    let mut found: Vec<SocketAddr> = bound.flat_map(ways).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The address of a socket that listens, if this is one.
fn listener(fd: RawFd) -> Option<SocketAddr> {
    let mut listens: libc::c_int = 0;
    let mut len = size_of_val(&listens) as libc::socklen_t;
    // SAFETY: a place for the answer and its length. What is no descriptor is refused.
    let failed = unsafe {
        let place = (&raw mut listens).cast();
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_ACCEPTCONN, place, &mut len)
    };
    if failed != 0 || listens == 0 {
        return None;
    }
    // SAFETY: it was open a moment ago; should it be closed meanwhile the call fails.
    let socket = unsafe { BorrowedFd::borrow_raw(fd) };
    let addr = socket2::SockRef::from(&socket).local_addr().ok()?;
    addr.as_socket()
}

/// A listener at all addresses is reached by each of them.
fn ways(addr: SocketAddr) -> Vec<SocketAddr> {
    let ip = addr.ip().to_canonical();
    if !ip.is_unspecified() {
        return vec![SocketAddr::new(ip, addr.port())];
    }
    let ips = addresses()
        .into_iter()
        .filter(|it| it.is_ipv4() || ip.is_ipv6());
    ips.map(|ip| SocketAddr::new(ip.to_canonical(), addr.port()))
        .collect()
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
        let found = listeners();
        assert!(found.contains(&one.local_addr().unwrap()));
        let port = all.local_addr().unwrap().port();
        assert!(found.contains(&SocketAddr::from(([127, 0, 0, 1], port))));
        assert!(!found.contains(&datagrams.local_addr().unwrap()));
        drop(one);
    }
}
