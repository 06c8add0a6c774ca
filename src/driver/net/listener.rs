//! A TCP listener that never blocks, and can pause while the process is short of descriptors.
//!
//! Gossip and services accept their connections here, by one rule: [`accept_waiting`]. During a
//! pause the listener is not polled, and connections wait in the backlog of the kernel. Without the
//! pause, a thread that cannot accept connections would wake up again and again.

use crate::driver::os::descriptors::{PollFd, PollFlags, is_shortage};
use crate::driver::os::own_fd::OwnFd;
use crate::time::Time;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

/// The length of a pause.
const PAUSE: Duration = Duration::from_millis(200);
/// The maximum number of connections accepted in one turn.
const ACCEPTS: usize = 32;
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

/// The owner of a listener and of the connections that it has accepted.
pub(in crate::driver) trait Acceptor {
    /// The listener.
    fn listener(&mut self) -> &mut Listener;

    /// Returns true if a connection can be accepted: a place is free, or can be freed.
    fn has_room(&self, now: Time) -> bool;

    /// Takes over a connection, and frees a place for it if all are taken.
    fn take(&mut self, now: Time, socket: OwnFd<TcpStream>, peer: SocketAddr);

    /// Frees a descriptor after the system has refused one with this error, and returns whether
    /// that was possible.
    fn free_descriptor(&mut self, now: Time, error: &io::Error) -> bool;

    /// Counts that no connection could be accepted.
    fn count_failure(&mut self);
}

/// Accepts the connections that wait, but not so many that other work would have to wait long for
/// its turn. The caller has found that one waits. If descriptors are short, an older connection
/// gives way to that one. If none gives way, or if that does not help, the listener pauses.
pub(in crate::driver) fn accept_waiting(owner: &mut impl Acceptor, now: Time) {
    for accepted_so_far in 0..ACCEPTS {
        if !owner.has_room(now) {
            return;
        }
        let accepted = match owner.listener().accept() {
            // The system needs a descriptor even to find out that no connection waits. If one does,
            // the next turn shows it.
            Err(_) if accepted_so_far > 0 => return,
            Err(error) if owner.free_descriptor(now, &error) => owner.listener().accept(),
            accepted => accepted,
        };
        match accepted {
            Ok(None) => return,
            Ok(Some((socket, peer))) => owner.take(now, socket, peer),
            Err(_) => {
                owner.count_failure();
                return owner.listener().pause(now);
            }
        }
    }
}

/// An address in the form that the core uses: an IPv4 address is never in its IPv6 form.
pub(in crate::driver) fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}
