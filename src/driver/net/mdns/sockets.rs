//! The two sockets of mDNS.
//!
//! The listener is bound to the multicast group at the port of mDNS, so it gets what is sent to the
//! group. Other programs on this host that are bound to it still get every message. The questioner
//! has a port of its own: it sends the questions, and answers to them come back to that port.
//!
//! mDNS is used over IPv4 only. The announced addresses may be of both families.

use crate::driver::net::mdns::links::{self, Link};
use crate::driver::os::descriptors::{PollFd, PollFlags};
use crate::driver::os::own_fd::OwnFd;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockAddr, SockRef, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;

/// The multicast group of mDNS.
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
/// The port of mDNS.
const PORT: u16 = 5353;
/// The hop limit that mDNS requires.
const TTL: u32 = 255;

/// The sockets, and the links that they use. The sockets do not block, and are closed on exec and
/// in forked children.
pub(in crate::driver) struct MulticastSockets {
    listener: OwnFd<UdpSocket>,
    questioner: OwnFd<UdpSocket>,
    links: Vec<Link>,
}

impl MulticastSockets {
    /// Opens the sockets for these links.
    ///
    /// # Errors
    /// There is no link, no link supports multicast, or the system refuses a socket.
    pub fn open(links: Vec<Link>) -> io::Result<MulticastSockets> {
        let mut sockets = MulticastSockets {
            listener: OwnFd::open(|| socket(SocketAddrV4::new(GROUP, PORT)))?,
            questioner: OwnFd::open(|| socket(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)))?,
            links: Vec::new(),
        };
        sockets.use_links(links)?;
        Ok(sockets)
    }

    /// Uses these links from now on. Returns whether one of them is new.
    ///
    /// # Errors
    /// There is no link, or no link supports multicast.
    pub fn use_links(&mut self, links: Vec<Link>) -> io::Result<bool> {
        let mut problem = io::Error::other("no suitable interface is up and has an IPv4 address");
        let mut joined = Vec::new();
        for link in links {
            let interface = InterfaceIndexOrAddress::Index(link.index);
            match SockRef::from(&*self.listener).join_multicast_v4_n(&GROUP, &interface) {
                Ok(()) => joined.push(link),
                // The socket has joined the group on this interface already.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => joined.push(link),
                Err(error) => problem = error,
            }
        }
        let is_new = joined.iter().any(|link| !self.links.contains(link));
        self.links = joined;
        match self.links.is_empty() {
            true => Err(problem),
            false => Ok(is_new),
        }
    }

    /// Returns true unless the host program has closed or replaced a descriptor.
    pub fn are_intact(&self) -> bool {
        self.listener.is_intact() && self.questioner.is_intact()
    }

    /// The entries that poll for messages.
    pub fn poll_entries(&self) -> [PollFd<'_>; 2] {
        [&self.listener, &self.questioner].map(|it| PollFd::new(it.as_fd(), PollFlags::POLLIN))
    }

    /// Sends a question to all links.
    ///
    /// # Errors
    /// No link has taken it.
    pub fn ask(&self, bytes: &[u8]) -> io::Result<()> {
        self.to_all(&self.questioner, bytes)
    }

    /// Sends a message that answers no question to all links.
    ///
    /// # Errors
    /// No link has taken it.
    pub fn tell_all(&self, bytes: &[u8]) -> io::Result<()> {
        self.to_all(&self.listener, bytes)
    }

    fn to_all(&self, socket: &UdpSocket, bytes: &[u8]) -> io::Result<()> {
        let mut result = Err(io::Error::other("there is no interface"));
        for (at, link) in self.links.iter().enumerate() {
            let is_same = |earlier: &Link| earlier.index == link.index;
            if self.links[..at].iter().any(is_same) {
                continue;
            }
            let sent = SockRef::from(socket)
                .set_multicast_if_v4(&link.ip)
                .and_then(|()| socket.send_to(bytes, (GROUP, PORT)));
            match sent {
                Ok(_) => result = Ok(()),
                Err(error) => result = result.map_err(|_| error),
            }
        }
        result
    }

    /// Sends an answer to one host, or drops it if it cannot be sent without waiting.
    pub fn answer(&self, to: SocketAddr, bytes: &[u8]) {
        let _ = self.listener.send_to(bytes, to);
    }

    /// Receives the next waiting message; `None` if none waits.
    pub fn receive(&self, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        let first = receive_from(&self.questioner, buffer);
        first.or_else(|| receive_from(&self.listener, buffer))
    }

    /// Returns true if a link reaches this sender directly. The messages of all others are refused:
    /// mDNS is meant for one network (RFC 6762, section 11).
    pub fn is_local(&self, from: SocketAddr) -> bool {
        links::reach(&self.links, from.ip())
    }
}

fn receive_from(socket: &UdpSocket, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
    // An error may be about an earlier message that this node sent, so receiving is tried again, a
    // bounded number of times.
    for _ in 0..8 {
        match socket.recv_from(buffer) {
            Ok(received) => return Some(received),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(_) => {}
        }
    }
    None
}

/// A socket for multicast that is bound to this address.
fn socket(bound: SocketAddrV4) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // Several programs on this host may use the port of mDNS.
    socket.set_reuse_address(bound.port() != 0)?;
    socket.set_multicast_ttl_v4(TTL)?;
    socket.bind(&SockAddr::from(bound))?;
    Ok(socket.into())
}
