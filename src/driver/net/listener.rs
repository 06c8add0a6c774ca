//! A TCP listener that never blocks, and can pause while the process is short of descriptors.
//!
//! Gossip and services accept their connections here. During a pause the listener is not polled,
//! and connections wait in the backlog of the kernel. Without the pause, a thread that cannot
//! accept connections would wake up again and again.

use crate::driver::os::descriptors::{PollFd, PollFlags, is_shortage};
use crate::driver::os::own_fd::OwnFd;
use crate::time::Time;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

/// The length of a pause.
const PAUSE: Duration = Duration::from_millis(200);
/// The maximum number of broken connections that are skipped in one call. After that, the remaining
/// connections wait for the next turn.
const BROKEN: usize = 8;

/// A listening socket, and the end of its pause.
pub(in crate::driver) struct Listener {
    socket: OwnFd<TcpListener>,
    resumes: Time,
}

impl Listener {
    /// Takes over a socket that listens and does not block.
    pub fn new(socket: OwnFd<TcpListener>) -> Listener {
        Listener {
            socket,
            resumes: Time::ZERO,
        }
    }

    /// Returns true unless the host program has closed or replaced the descriptor.
    pub fn is_intact(&self) -> bool {
        self.socket.is_intact()
    }

    /// Pauses: connections wait in the backlog of the kernel.
    pub fn pause(&mut self, now: Time) {
        self.resumes = now + PAUSE;
    }

    /// The time at which the last pause ends or ended.
    pub fn resumes(&self) -> Time {
        self.resumes
    }

    /// The entry that polls for connections.
    pub fn poll_entry(&self) -> PollFd<'_> {
        PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)
    }

    /// Accepts the next connection that waits; `Ok(None)` if none waits. The address of an IPv4
    /// peer is in IPv4 form.
    ///
    /// # Errors
    /// The process or the system is short of descriptors or memory. The connection still waits: the
    /// caller either makes room for it, or pauses the listener.
    pub fn accept(&mut self) -> io::Result<Option<(OwnFd<TcpStream>, SocketAddr)>> {
        for _ in 0..BROKEN {
            let mut from = None;
            let accepted = OwnFd::open(|| {
                let (stream, peer) = self.socket.accept()?;
                from = Some(canonical(peer));
                Ok(stream)
            });
            match accepted {
                Ok(stream) => return Ok(from.map(|from| (stream, from))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if is_shortage(&error) => return Err(error),
                Err(_) => {} // this connection broke while it waited, so the next one is tried
            }
        }
        Ok(None)
    }
}

/// An address in the form that the core uses: an IPv4 address is never in its IPv6 form.
pub(in crate::driver) fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}
