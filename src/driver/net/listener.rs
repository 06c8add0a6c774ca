//! A TCP listener that never blocks, and pauses while the process is short of descriptors.
//!
//! Gossip and services accept their connections here. During a pause the listener is not polled:
//! connections wait in the backlog of the kernel, and a thread that could not accept them would
//! otherwise spin.

use crate::driver::os::descriptors::{PollFd, PollFlags, is_shortage};
use crate::driver::os::fork::CloseOnFork;
use crate::time::Time;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

/// The length of a pause.
const PAUSE: Duration = Duration::from_millis(200);
/// Connections that may break while they wait, before the others have to wait for the next turn.
const BROKEN: usize = 8;

/// See the head of this file.
pub(in crate::driver) struct Listener {
    socket: CloseOnFork<TcpListener>,
    resumes: Time,
}

impl Listener {
    /// Takes over a socket that listens and does not block.
    pub fn new(socket: TcpListener) -> Listener {
        Listener {
            socket: CloseOnFork::new(socket),
            resumes: Time::ZERO,
        }
    }

    /// When the present pause ends; it lies in the past if there is none.
    pub fn resumes(&self) -> Time {
        self.resumes
    }

    /// The entry that polls for connections.
    pub fn poll_entry(&self) -> PollFd<'_> {
        PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)
    }

    /// Accepts the next connection that waits, IPv4 peers in IPv4 form. `Ok(None)` if none waits.
    ///
    /// # Errors
    /// The process or the system is short of descriptors or memory; the listener pauses.
    pub fn accept(&mut self, now: Time) -> io::Result<Option<(TcpStream, SocketAddr)>> {
        for _ in 0..BROKEN {
            match self.socket.accept() {
                Ok((stream, peer)) => return Ok(Some((stream, canonical(peer)))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if is_shortage(&error) => {
                    self.resumes = now + PAUSE;
                    return Err(error);
                }
                Err(_) => {} // this connection broke while it waited; the next may be whole
            }
        }
        Ok(None)
    }
}

/// An address in the form that the core uses: IPv4 never in IPv6 form.
pub(in crate::driver) fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}
