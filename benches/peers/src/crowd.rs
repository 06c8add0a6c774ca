//! A crowd: thousands of members that exist only as two sockets. They answer every ping, and every
//! push/pull with the state of all of them. Each has an address of its own.

use nix::sys::socket::sockopt::Ipv4PacketInfo;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt,
};
use sprat::wire::codec::Codec;
use sprat::wire::message::{Ack, Alive, Message, NodeState, PushPull, PushPullNode};
use sprat::wire::packet;
use sprat::wire::serf_message::SerfPushPull;
use sprat::wire::stream::{Side, StreamReader};
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The port of all members of the crowd.
const PORT: u16 = 17946;
/// The meta of a Serf member with the tags `role=web` and `dc=europe-1`: 23 bytes.
const META: &[u8] = b"\xff\x82\xa4role\xa3web\xa2dc\xa8europe-1";
const VERSIONS: [u8; 6] = [1, 5, 2, 2, 5, 4];
/// The messages in a datagram: as many as fit into an Ethernet frame.
const PER_DATAGRAM: usize = 12;

/// The members, and the threads that answer for them until it is dropped.
pub struct Crowd {
    size: usize,
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

fn name(index: usize) -> String {
    format!("crowd-{index:05}")
}

fn address(index: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 90, (index / 250) as u8, (index % 250) as u8 + 1)
}

/// Returns the state that a member of the crowd sends in a push/pull.
fn state(size: usize, join: bool) -> Vec<u8> {
    let names: Vec<String> = (0..size).map(name).collect();
    let clocks = SerfPushPull {
        ltime: 1,
        status_ltimes: names.iter().map(|name| (name.as_str(), 1)).collect(),
        event_ltime: 1,
        query_ltime: 1,
        ..SerfPushPull::default()
    };
    let mut serf = Vec::new();
    clocks.encode(&mut serf);
    let mut bytes = Vec::new();
    PushPull::put_header(&mut bytes, size, serf.len(), join);
    for (index, name) in names.iter().enumerate() {
        let node = PushPullNode {
            name,
            addr: &address(index).octets(),
            port: PORT,
            meta: Some(META),
            incarnation: 1,
            state: NodeState::Alive,
            vsn: &VERSIONS,
        };
        node.encode(&mut bytes);
    }
    bytes.extend(serf);
    bytes
}

impl Crowd {
    /// Starts the sockets of a crowd.
    pub fn start(size: usize) -> Crowd {
        let is_over = Arc::new(AtomicBool::new(false));
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)).expect("the port is free");
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).expect("the port is free");
        listener.set_nonblocking(true).expect("a socket option");
        let (over, state) = (is_over.clone(), state(size, false));
        let streams = std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => answer_stream(stream, &state),
                    Err(_) => std::thread::sleep(Duration::from_millis(5)),
                }
            }
        });
        let over = is_over.clone();
        let datagrams = std::thread::spawn(move || answer_datagrams(&socket, &over));
        Crowd {
            size,
            is_over,
            threads: vec![streams, datagrams],
        }
    }

    /// Returns the datagrams with which all members announce themselves, and how many members each
    /// of them holds.
    pub fn announcements(&self) -> Vec<(Vec<u8>, usize)> {
        let alive = |index: usize| {
            let (name, addr) = (name(index), address(index).octets());
            let alive = Alive {
                incarnation: 1,
                node: &name,
                addr: &addr,
                port: PORT,
                meta: Some(META),
                vsn: &VERSIONS,
            };
            Message::Alive(alive).encoded()
        };
        let messages: Vec<Vec<u8>> = (0..self.size).map(alive).collect();
        let datagram = |messages: &[Vec<u8>]| {
            let parts: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
            let mut bytes = Vec::new();
            packet::compound(&parts, &mut bytes);
            (bytes, parts.len())
        };
        messages.chunks(PER_DATAGRAM).map(datagram).collect()
    }

    /// Has a member of the crowd begin a push/pull, and returns the number of nodes in the answer.
    pub fn exchange(&self, with: SocketAddr) -> usize {
        let mut stream = TcpStream::connect(with).expect("the node listens");
        stream
            .write_all(&state(self.size, false))
            .expect("the node reads a state");
        let mut reader = StreamReader::new(Side::Dialled);
        let answer = read_message(&mut stream, &mut reader).expect("the node answers");
        let answer = PushPull::decode(&answer).expect("the answer is a push/pull");
        answer.nodes.len()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that has panicked has printed why.
            let _ = thread.join();
        }
    }
}

fn read_message(stream: &mut TcpStream, reader: &mut StreamReader) -> Option<Vec<u8>> {
    let codec = Codec::default();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a socket option");
    let mut bytes = vec![0; 1 << 16];
    loop {
        let count = stream.read(&mut bytes).ok().filter(|count| *count > 0)?;
        if let Some(message) = reader.push(&codec, &bytes[..count]).ok()? {
            return Some(message);
        }
    }
}

/// Answers one request. A node that gives up does not end the crowd, so errors are ignored.
fn answer_stream(mut stream: TcpStream, state: &[u8]) {
    stream.set_nonblocking(false).expect("a socket option");
    let mut reader = StreamReader::new(Side::Accepted);
    let Some(request) = read_message(&mut stream, &mut reader) else {
        return;
    };
    let answer = match Message::decode(&request) {
        Ok(Message::Ping(ping)) => ack(ping.seq),
        _ => state.to_vec(),
    };
    let _ = stream.write_all(&answer);
    let _ = stream.shutdown(Shutdown::Write);
}

fn ack(seq: u32) -> Vec<u8> {
    Message::Ack(Ack { seq, payload: None }).encoded()
}

/// Answers each ping from the address that it was sent to.
fn answer_datagrams(socket: &UdpSocket, is_over: &AtomicBool) {
    setsockopt(socket, Ipv4PacketInfo, &true).expect("a socket option");
    let pause = Some(Duration::from_millis(100));
    socket.set_read_timeout(pause).expect("a socket option");
    let mut buffer = vec![0; 1 << 16];
    let mut control = nix::cmsg_space!(nix::libc::in_pktinfo);
    while !is_over.load(Ordering::Relaxed) {
        let mut slices = [IoSliceMut::new(&mut buffer)];
        let received = recvmsg::<SockaddrIn>(
            socket.as_raw_fd(),
            &mut slices,
            Some(&mut control),
            MsgFlags::empty(),
        );
        let Ok(received) = received else {
            continue;
        };
        let asked = received.cmsgs().ok().and_then(|mut all| {
            all.find_map(|it| match it {
                ControlMessageOwned::Ipv4PacketInfo(info) => Some(info),
                _ => None,
            })
        });
        let (Some(mut info), Some(from), count) = (asked, received.address, received.bytes) else {
            continue;
        };
        info.ipi_spec_dst = info.ipi_addr;
        info.ipi_ifindex = 0;
        for answer in answers(&buffer[..count]) {
            let control = [ControlMessage::Ipv4PacketInfo(&info)];
            let slices = [IoSlice::new(&answer)];
            // An ack that cannot be sent counts as lost: the node pings again.
            let _ = sendmsg(
                socket.as_raw_fd(),
                &slices,
                &control,
                MsgFlags::empty(),
                Some(&from),
            );
        }
    }
}

/// Returns an ack for each ping in a datagram.
fn answers(datagram: &[u8]) -> Vec<Vec<u8>> {
    let mut answers = Vec::new();
    let Ok(opened) = packet::open(&Codec::default(), datagram) else {
        return answers;
    };
    packet::walk(opened.as_bytes(), &mut |message| {
        if let Ok(Ok(Message::Ping(ping))) = message.map(Message::decode) {
            answers.push(ack(ping.seq));
        }
    });
    answers
}
