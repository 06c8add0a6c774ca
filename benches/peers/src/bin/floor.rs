//! One node that only sends and answers pings, with the bytes of memberlist: once per second it
//! pings the next of its peers, and it answers every ping. It keeps no state, so it shows what the
//! network, the kernel and the machine take, whatever the library does.
//!
//! The arguments are the index of the node and the number of nodes. At once, it reports every node
//! as joined.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sprat::wire::message::{Ack, Message, Ping};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// The third octet of the nodes' addresses.
const NETWORK: u8 = 7;
const INTERVAL: Duration = Duration::from_secs(1);

fn ping(seq: u32, from: usize, to: usize) -> Vec<u8> {
    let SocketAddr::V4(own) = peers::addr(NETWORK, from) else {
        unreachable!("every node has an IPv4 address")
    };
    let (target, source) = (peers::name(to), peers::name(from));
    let ping = Ping {
        seq,
        node: &target,
        source_addr: &own.ip().octets(),
        source_port: own.port(),
        source_node: &source,
    };
    Message::Ping(ping).encoded()
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = || -> usize {
        let argument = arguments.next().expect("two arguments");
        argument.parse().expect("an argument is a number")
    };
    let (own, size) = (number(), number());
    let socket = UdpSocket::bind(peers::addr(NETWORK, own)).expect("the address is free");
    socket.set_nonblocking(true).expect("a socket option");
    (0..size).for_each(|index| peers::report(own, true, &peers::name(index)));
    let mut buffer = [0; 1500];
    // Not all nodes send at the same moment.
    let mut next = Instant::now() + INTERVAL * (own as u32 * 7 % 100) / 100;
    for seq in 1_u32.. {
        let peer = (own + seq as usize) % size;
        loop {
            let left = next.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
            let millis = u16::try_from(left.as_millis() + 1).expect("at most two seconds");
            poll(&mut fds, PollTimeout::from(millis)).expect("one descriptor can be polled");
            while let Ok((count, from)) = socket.recv_from(&mut buffer) {
                if let Ok(Message::Ping(ping)) = Message::decode(&buffer[..count]) {
                    let ack = Ack {
                        seq: ping.seq,
                        payload: None,
                    };
                    // A lost ack matters to nobody.
                    let _ = socket.send_to(&Message::Ack(ack).encoded(), from);
                }
            }
        }
        next += INTERVAL;
        if peer != own {
            let _ = socket.send_to(&ping(seq, own, peer), peers::addr(NETWORK, peer));
        }
    }
}
