//! The handover of the port to a successor: the next process on this host with the same address
//! for the cluster.
//!
//! A load balancer that has to stop cannot know whether it is being reloaded or shut down. In a
//! reload, its successor asks for the port on a socket, and the old process ends without leaving
//! the cluster. If no successor asks, the old process leaves the cluster. The socket has an
//! abstract name: it needs no file, works in a chroot, and vanishes with its owner.

use crate::trusted_file::own_user;
use sprat::driver::above_standard_streams;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as SocketName, UnixListener, UnixStream};

/// The length to which HAProxy pads the names of abstract sockets with zeros.
const NAME_LEN: usize = 107;
/// The message with which a successor asks for the port. HAProxy itself also connects to this
/// socket, to keep the old process alive, but sends nothing.
const REQUEST: &[u8] = b"handover\n";
/// The maximum number of open connections. Further connections are closed immediately.
const CONNECTIONS: usize = 64;

/// Returns the name of the socket, as HAProxy expects it after `abns@`.
pub(super) fn socket_name(addr: SocketAddr) -> String {
    format!("sprat-{addr}")
}

fn abstract_name(addr: SocketAddr) -> std::io::Result<SocketName> {
    let mut bytes = socket_name(addr).into_bytes();
    bytes.resize(NAME_LEN, 0);
    SocketName::from_abstract_name(bytes)
}

/// The handover as seen by the process that has the port.
pub(super) struct Handover {
    listener: UnixListener,
    /// The open connections, each with true if a request has arrived on it.
    connections: Vec<(UnixStream, bool)>,
}

impl Handover {
    /// Listens for a successor; `None` if that fails, for example because another process has the
    /// socket.
    pub fn listen(addr: SocketAddr) -> Option<Handover> {
        let listener = UnixListener::bind_addr(&abstract_name(addr).ok()?).ok()?;
        let listener = above_standard_streams(listener).ok()?;
        listener.set_nonblocking(true).ok()?;
        Some(Handover {
            listener,
            connections: Vec::new(),
        })
    }

    /// Reads what has arrived, and returns true if a successor has asked for the port and still
    /// waits for it. A process that has asked and then ended takes over nothing. If reloads
    /// overlap, such a process may even be older than this one.
    pub fn is_requested(&mut self) -> bool {
        while let Ok((stream, _)) = self.listener.accept() {
            let Ok(stream) = above_standard_streams(stream) else {
                continue;
            };
            if is_trusted(&stream)
                && stream.set_nonblocking(true).is_ok()
                && self.connections.len() < CONNECTIONS
            {
                self.connections.push((stream, false));
            }
        }
        self.connections.retain_mut(|(stream, has_asked)| {
            let mut message = [0; REQUEST.len()];
            match stream.read(&mut message) {
                Ok(0) => false,
                Ok(_) => {
                    *has_asked |= message == REQUEST;
                    true
                }
                Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
            }
        });
        self.connections.iter().any(|(_, has_asked)| *has_asked)
    }
}

/// Returns true if the process at the other end runs as this user or as root. An abstract socket
/// has no owner and no mode, so any process on this host can connect to it.
fn is_trusted(stream: &UnixStream) -> bool {
    let mut peer = libc::ucred {
        pid: 0,
        uid: u32::MAX,
        gid: u32::MAX,
    };
    let mut len = size_of_val(&peer) as libc::socklen_t;
    let (level, option) = (libc::SOL_SOCKET, libc::SO_PEERCRED);
    let out = (&raw mut peer).cast();
    // SAFETY: `peer` and `len` are live, and `len` is the size of `peer`.
    let failed = unsafe { libc::getsockopt(stream.as_raw_fd(), level, option, out, &mut len) };
    failed == 0 && (peer.uid == own_user() || peer.uid == 0)
}

/// Asks the process that has the port to give it up. Returns the connection, or `None` if that
/// fails, for example because no process listens on the socket. A caller that keeps the connection
/// need not ask again while [`is_open`] returns true.
pub(super) fn request(addr: SocketAddr) -> Option<UnixStream> {
    let stream = UnixStream::connect_addr(&abstract_name(addr).ok()?).ok()?;
    let mut stream = above_standard_streams(stream).ok()?;
    stream.write_all(REQUEST).ok()?;
    stream.set_nonblocking(true).ok()?;
    Some(stream)
}

/// Returns true if the process at the other end of a connection from [`request`] still has it open.
/// That process sends nothing. Once it has ended, another process may have the port.
pub(super) fn is_open(mut request: &UnixStream) -> bool {
    let found = request.read(&mut [0]);
    found.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_that_asks_for_the_port_is_a_successor() {
        let addr = SocketAddr::from(([127, 0, 0, 1], std::process::id() as u16));
        assert!(request(addr).is_none());
        let mut handover = Handover::listen(addr).unwrap();
        assert!(Handover::listen(addr).is_none(), "the socket is taken");
        let _other = UnixStream::connect_addr(&abstract_name(addr).unwrap()).unwrap();
        assert!(!handover.is_requested());
        let successor = request(addr).unwrap();
        assert!(handover.is_requested());
        drop(successor);
        assert!(!handover.is_requested(), "the one that asked has ended");
        let [first, second] = [(); 2].map(|()| request(addr).unwrap());
        assert!(handover.is_requested());
        assert!(is_open(&first) && is_open(&second));
        drop(handover);
        assert!(
            !is_open(&first) && !is_open(&second),
            "another process may have the port"
        );
        assert!(
            Handover::listen(addr).is_some(),
            "the name vanishes with its owner"
        );
    }
}
