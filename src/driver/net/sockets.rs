//! The two sockets of a node: UDP and a TCP listener on the same port.

use crate::config::Advertise;
use crate::driver::net::listener::{Listener, canonical};
use crate::driver::os::interfaces;
use crate::driver::os::own_fd::OwnFd;
use crate::error::{Error, Result, Status, system_text};
use crate::swim::SendFailure;
use ipnet::IpNet;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

/// The size of the receive buffer in bytes. A burst of gossip must fit into it while the engine is
/// busy. The kernel may grant less.
const RECEIVE_BUFFER: usize = 2 * 1024 * 1024;
/// The number of connections that may wait to be accepted.
const BACKLOG: i32 = 512;
/// The number of attempts to find a port that is free for both sockets, if any port will do.
const PORT_ATTEMPTS: usize = 32;
/// The advice for a setting that allows port 0, if the chosen port is taken.
const ANY_PORT: &str = "; another program listens there; port 0 takes any free port";
/// The advice for a setting that does not allow port 0, if the port is taken.
const OTHER_PORT: &str = "; another program listens there; choose another port";

/// The sockets of a node. They do not block, and are closed on exec and in forked children.
pub(in crate::driver) struct Sockets {
    udp: OwnFd<UdpSocket>,
    pub listener: Listener,
    /// The address that both sockets are bound to, with the real port.
    pub bound: SocketAddr,
}

/// Binds TCP and then UDP to this address. Port 0 takes any port that is free for both.
///
/// # Errors
/// `Address` if the address is in use or does not belong to this host; `Io` for any other failure.
pub(in crate::driver) fn bind(addr: SocketAddr) -> Result<Sockets> {
    let failed = |error: io::Error, what: &str| bind_error(&error, what, addr, ANY_PORT);
    let mut attempts = PORT_ATTEMPTS;
    loop {
        attempts -= 1;
        let listener = OwnFd::open(|| listen(addr)).map_err(|error| failed(error, "TCP"))?;
        let bound = listener
            .local_addr()
            .map_err(|error| failed(error, "TCP"))?;
        match OwnFd::open(|| datagrams(bound)) {
            Ok(udp) => {
                return Ok(Sockets {
                    udp,
                    listener: Listener::new(listener),
                    bound,
                });
            }
            Err(error)
                if addr.port() == 0 && attempts > 0 && error.kind() == io::ErrorKind::AddrInUse => {
            }
            Err(error) => return Err(failed(error, "UDP")),
        }
    }
}

/// The error of a bind that failed. `in_use` is the advice if another program has the address.
fn bind_error(error: &io::Error, what: &str, addr: SocketAddr, in_use: &str) -> Error {
    let status = match error.kind() {
        io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable => Status::Address,
        _ => Status::Io,
    };
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => in_use,
        io::ErrorKind::AddrNotAvailable => "; it does not belong to this host",
        _ => "",
    };
    Error {
        status,
        message: format!("cannot bind {what} {addr}: {}{hint}", system_text(error)),
        errno: error.raw_os_error().unwrap_or(0),
    }
}

/// Listens with TCP alone. `setting` is the name of the setting that gives the address, whose port
/// is not 0.
///
/// # Errors
/// The same as for [`bind`].
pub(in crate::driver) fn listen_for(setting: &str, addr: SocketAddr) -> Result<Listener> {
    OwnFd::open(|| listen(addr))
        .map(Listener::new)
        .map_err(|error| bind_error(&error, setting, addr, OTHER_PORT))
}

/// A socket that does not block and is closed on exec. A socket for `[::]` serves IPv4 as well.
fn socket(addr: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(!addr.ip().is_unspecified())?;
    }
    Ok(socket)
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(addr, Type::STREAM, Protocol::TCP)?;
    // Lets a restarted node take its port back even while the kernel still holds old connections.
    socket.set_reuse_address(true)?;
    socket.bind(&SockAddr::from(addr))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn datagrams(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket(addr, Type::DGRAM, Protocol::UDP)?;
    // Linux refuses no size: it grants as much as its own limit allows.
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.bind(&SockAddr::from(addr))?;
    Ok(socket.into())
}

impl Sockets {
    pub fn udp(&self) -> BorrowedFd<'_> {
        self.udp.as_fd()
    }

    /// Returns true unless the host program has closed or replaced a descriptor.
    pub fn are_intact(&self) -> bool {
        self.udp.is_intact() && self.listener.is_intact()
    }

    /// Sends a datagram, or drops it if it cannot be sent without waiting: gossip is repeated, and
    /// an old datagram is worth nothing.
    pub fn send(&self, to: SocketAddr, bytes: &[u8]) -> std::result::Result<(), SendFailure> {
        match self.udp.send_to(bytes, for_family(to, self.bound)) {
            Ok(_) => Ok(()),
            Err(error) => Err(send_failure(&error)),
        }
    }

    /// Receives the next waiting datagram; `None` if none waits. The address of an IPv4 sender
    /// is in IPv4 form.
    pub fn receive(&self, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        // An error may be about an earlier datagram that this node sent, so receiving is tried
        // again, a bounded number of times.
        for _ in 0..8 {
            match self.udp.recv_from(buffer) {
                Ok((len, from)) => return Some((len, canonical(from))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(_) => {}
            }
        }
        None
    }
}

/// An address in the form that the socket bound to `bound` requires: an IPv6 socket requires IPv4
/// addresses in their IPv6 form.
fn for_family(to: SocketAddr, bound: SocketAddr) -> SocketAddr {
    match (to.ip(), bound) {
        (IpAddr::V4(ip), SocketAddr::V6(_)) => {
            SocketAddr::new(ip.to_ipv6_mapped().into(), to.port())
        }
        (IpAddr::V4(_) | IpAddr::V6(_), SocketAddr::V4(_) | SocketAddr::V6(_)) => to,
    }
}

fn send_failure(error: &io::Error) -> SendFailure {
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::EHOSTDOWN) => SendFailure::Remote,
        _ => SendFailure::Local,
    }
}

/// Returns true if the node chooses its own address, which can then change: it is bound to all
/// addresses, and the settings do not say which one to advertise.
pub(in crate::driver) fn is_address_chosen(set: Option<&Advertise>, bound: SocketAddr) -> bool {
    set.is_none() && bound.ip().is_unspecified()
}

/// The address to advertise: the one in the settings, or else the bound one. In place of a bound
/// wildcard, it is the address of an interface, in one of these networks if possible.
///
/// # Errors
/// `Address` if this host has no suitable address.
pub(in crate::driver) fn advertised(
    set: Option<Advertise>,
    bound: SocketAddr,
    networks: &[IpNet],
) -> Result<SocketAddr> {
    let (ip, port) = match set {
        Some(set) => (set.ip, set.port.unwrap_or(bound.port())),
        None if bound.ip().is_unspecified() => {
            (interfaces::advertised(bound.ip(), networks)?, bound.port())
        }
        None => (bound.ip().to_canonical(), bound.port()),
    };
    Ok(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::os::descriptors::becomes_readable;
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn both_sockets_have_the_same_port_and_a_port_in_use_is_an_address_error() {
        let first = bind(addr("127.0.0.1:0")).unwrap();
        assert_ne!(first.bound.port(), 0);
        let udp = first.udp.local_addr().unwrap();
        assert_eq!(udp, first.bound);
        let error = bind(first.bound).err().unwrap();
        assert_eq!(
            (error.status, error.errno),
            (Status::Address, libc::EADDRINUSE)
        );
        assert!(error.message.contains(&first.bound.to_string()));
        let error = bind(addr("192.0.2.1:0")).err().unwrap();
        assert_eq!(error.status, Status::Address);
    }

    #[test]
    fn port_0_is_recommended_only_where_it_is_allowed() {
        let taken = bind(addr("127.0.0.1:0")).unwrap().bound;
        let holder = listen_for("spoe_bind", taken).unwrap();
        let of_node = bind(taken).err().unwrap().message;
        assert!(of_node.ends_with("; another program listens there; port 0 takes any free port"));
        let of_service = listen_for("spoe_bind", taken).err().unwrap().message;
        assert!(of_service.starts_with(&format!("cannot bind spoe_bind {taken}: ")));
        assert!(of_service.ends_with("; another program listens there; choose another port"));
        drop(holder);
    }

    #[test]
    fn a_socket_for_both_families_shows_ipv4_as_ipv4() {
        let both = bind(addr("[::]:0")).unwrap();
        let four = bind(addr("127.0.0.1:0")).unwrap();
        let to = addr(&format!("127.0.0.1:{}", both.bound.port()));
        assert_eq!(four.send(to, b"there"), Ok(()));
        let mut buffer = [0; 64];
        assert!(becomes_readable(both.udp().as_raw_fd(), PATIENCE));
        assert_eq!(both.receive(&mut buffer), Some((5, four.bound)));
        assert_eq!(both.send(four.bound, b"back"), Ok(()));
        assert!(becomes_readable(four.udp().as_raw_fd(), PATIENCE));
        assert_eq!(four.receive(&mut buffer), Some((4, to)));
        assert_eq!(four.receive(&mut buffer), None);
    }

    /// Linux reports twice the size that it grants.
    #[test]
    fn the_receive_buffer_is_as_large_as_requested_or_as_the_system_allows() {
        let most = std::fs::read_to_string("/proc/sys/net/core/rmem_max").unwrap();
        let most: usize = most.trim().parse().unwrap();
        let udp = bind(addr("127.0.0.1:0")).unwrap().udp;
        let granted = socket2::SockRef::from(&*udp).recv_buffer_size().unwrap();
        assert_eq!(granted, 2 * RECEIVE_BUFFER.min(most));
    }

    #[test]
    fn a_send_failure_is_local_unless_the_network_or_the_other_host_reports_it() {
        let four = bind(addr("127.0.0.1:0")).unwrap();
        assert_eq!(four.send(addr("[::1]:9"), b"x"), Err(SendFailure::Local));
        let big = vec![0; 70_000];
        assert_eq!(
            four.send(addr("127.0.0.1:9"), &big),
            Err(SendFailure::Local)
        );
        let refused = io::Error::from_raw_os_error(libc::ECONNREFUSED);
        assert_eq!(send_failure(&refused), SendFailure::Remote);
    }

    #[test]
    fn the_advertised_address_is_the_one_set_or_the_bound_one() {
        let set = |ip: &str, port| {
            let ip = ip.parse().unwrap();
            Some(Advertise { ip, port })
        };
        let bound = addr("127.0.0.2:99");
        assert_eq!(
            advertised(set("1.2.3.4", Some(5)), bound, &[]),
            Ok(addr("1.2.3.4:5"))
        );
        assert_eq!(
            advertised(set("1.2.3.4", None), bound, &[]),
            Ok(addr("1.2.3.4:99"))
        );
        assert_eq!(advertised(None, bound, &[]), Ok(bound));
        let any = advertised(None, addr("0.0.0.0:99"), &[]).unwrap();
        assert!(!any.ip().is_unspecified() && any.port() == 99);
    }
}
