//! Attackers and broken peers: floods, idle connections, unfinished requests.
//!
//! Each test has a node under attack, and another member of its cluster that must not notice
//! anything.

use super::help::{PATIENCE, alone, counter, eventually, join, state_of, with};
use sprat::EventKind;
use sprat::Node;
use sprat::serf::MemberState;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// The maximum number of accepted streams, silent or not, that a node keeps open.
const MAX_ACCEPTED: i64 = 96;

/// A node to attack, and another member of its cluster.
fn pair() -> (Node, Node) {
    let start = |name: &str| Node::start(&with(name, &[("stream_timeout_ms", "5000")])).unwrap();
    let (attacked, friend) = (start("attacked"), start("friend"));
    join(&friend, &attacked);
    eventually("both listed", || {
        state_of(&attacked, "friend") == Some(MemberState::Alive)
    });
    (attacked, friend)
}

/// Checks that no member was reported as failed, and that the nodes still answer by datagram and by
/// stream.
fn assert_unharmed(attacked: &Node, friend: &Node) {
    assert_eq!(
        friend.join(&[&attacked.addr().to_string()], Some(PATIENCE)),
        Ok(1)
    );
    attacked.set_tag("after", Some("all")).unwrap();
    eventually("gossip arrives", || {
        let members = friend.members();
        members.iter().any(|it| it.tags().contains_key("after"))
    });
    for node in [attacked, friend] {
        while let Some(event) = node.next_event(Some(Duration::ZERO)).unwrap() {
            assert_ne!(event.kind(), EventKind::MemberFail, "{event:?}");
        }
    }
}

fn dial(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&to, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads until the peer closes. Panics if it does not close in time.
fn wait_for_close(mut stream: TcpStream) {
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
            Err(error) => panic!("still open: {error}"),
        }
    }
}

#[test]
fn silent_connections_are_bounded_and_closed_and_do_not_block_other_requests() {
    let _turn = alone();
    let (attacked, friend) = pair();
    let idle: Vec<TcpStream> = (0..300).map(|_| dial(attacked.addr())).collect();
    eventually("as many silent streams are open as allowed", || {
        counter(&attacked, "streams_open") >= MAX_ACCEPTED
    });
    // The node holds as many silent streams as it allows, and two hundred connections wait. A
    // request is still served.
    let joined = friend.join(&[&attacked.addr().to_string()], Some(PATIENCE));
    assert_eq!(joined, Ok(1));
    assert!(counter(&attacked, "streams_open") <= MAX_ACCEPTED + 32);
    idle.into_iter().for_each(wait_for_close);
    eventually("all streams are closed", || {
        counter(&attacked, "streams_open") == 0
    });
    let (late, given_up) = (
        counter(&attacked, "refused_stream_timeout"),
        counter(&attacked, "streams_given_up"),
    );
    assert_eq!(late + given_up, 300, "{late} too late, {given_up} given up");
    assert_unharmed(&attacked, &friend);
}

#[test]
fn a_stream_with_a_slow_or_unfinished_request_is_closed_in_time() {
    let _turn = alone();
    let (attacked, friend) = pair();
    // The start of a push/pull with three nodes: the type, the header, and part of the first node.
    let half = b"\x06\x83\xa4Join\xc2\xa5Nodes\x03\xacUserStateLen\x00\x87\xa4Addr";
    let begun = Instant::now();
    let mut silent: Vec<TcpStream> = (0..8).map(|_| dial(attacked.addr())).collect();
    for stream in &mut silent {
        stream.write_all(half).unwrap();
    }
    let mut slow: Vec<TcpStream> = (0..8).map(|_| dial(attacked.addr())).collect();
    for byte in half.iter().cycle().take(400) {
        // If the writes to all slow streams fail, the node has closed these streams.
        let mut open = 0;
        for stream in &mut slow {
            open += usize::from(stream.write_all(&[*byte]).is_ok());
        }
        if open == 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    silent.into_iter().chain(slow).for_each(wait_for_close);
    assert!(begun.elapsed() < PATIENCE);
    eventually("all streams are closed", || {
        counter(&attacked, "streams_open") == 0
    });
    let refused: i64 = ["stream_timeout", "msgpack", "unknown_type", "too_large"]
        .iter()
        .map(|why| counter(&attacked, &format!("refused_{why}")))
        .sum();
    assert_eq!(refused, 16);
    assert_unharmed(&attacked, &friend);
}

/// Malformed datagrams of many kinds, the same in every run.
fn malformed_datagrams() -> impl Iterator<Item = Vec<u8>> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..).map(move |number: u64| {
        let len = 1 + random() % 1400;
        let mut bytes: Vec<u8> = (0..len).map(|_| random() as u8).collect();
        // The first byte is the type: 0 to 19 in turn, of which 14 to 19 do not exist.
        bytes[0] = (number % 20) as u8;
        bytes
    })
}

#[test]
fn a_flood_of_malformed_datagrams_is_counted_and_harms_no_member() {
    let _turn = alone();
    let (attacked, friend) = pair();
    let refused = |node: &Node| -> i64 {
        let stats = node.stats();
        let refusals = stats.iter().filter(|it| it.name.starts_with("refused_"));
        refusals.map(|it| it.value).sum()
    };
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let before = (counter(&attacked, "datagrams_in"), refused(&attacked));
    let (mut sent, begun) = (0, Instant::now());
    for bytes in malformed_datagrams().take(50_000) {
        socket.send_to(&bytes, attacked.addr()).unwrap();
        sent += 1;
        if sent % 1000 == 0 {
            // Calls are answered during the flood.
            let asked = Instant::now();
            attacked.health().unwrap();
            assert!(asked.elapsed() < PATIENCE);
        }
    }
    let flood = begun.elapsed();
    assert_unharmed(&attacked, &friend);
    let arrived = counter(&attacked, "datagrams_in") - before.0;
    let refused = refused(&attacked) - before.1;
    // Datagrams for which the buffer of the socket has no room are lost before they are counted.
    assert!(arrived > 1000, "{arrived} of {sent} in {flood:?}");
    // Nearly every datagram that arrived is refused and counted by its reason. A malformed compound
    // may have many parts, and a few datagrams are valid by chance.
    assert!(refused > arrived / 2, "{refused} of {arrived}");
    let health = attacked.health().unwrap();
    assert!(health.live == 2, "{health:?}");
    assert_eq!(attacked.members().len(), 2, "no member was invented");
}

#[test]
fn a_datagram_of_the_largest_size_does_no_harm() {
    let _turn = alone();
    let (attacked, friend) = pair();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let before = counter(&attacked, "bytes_in");
    let unknown = counter(&attacked, "refused_unknown_type");
    let bytes = vec![0xee; 65_507];
    socket.send_to(&bytes, attacked.addr()).unwrap();
    eventually("the datagram arrived whole, and was refused", || {
        counter(&attacked, "bytes_in") >= before + 65_507
            && counter(&attacked, "refused_unknown_type") == unknown + 1
    });
    socket.send_to(&[], attacked.addr()).unwrap();
    assert_unharmed(&attacked, &friend);
}
