//! A stock agent reads the output of the LZW coder beyond one full table.
//!
//! sprat's coder and Go's writer reset their tables at different codes, so their long outputs
//! differ. This test sends an agent two megabytes of state in one push/pull, and then a datagram of
//! almost the largest size. After each, a push/pull of the agent must soon contain every event that
//! fits into the agent's ring of events.

use super::agent::{Agent, Block, PORT, Setup, agent_sees};
use super::wait::until;
use sprat::wire::Codec;
use sprat::wire::message::{Message, NodeState, PushPull, PushPullNode};
use sprat::wire::serf_message::{PastEvent, PastEvents, SerfMessage, SerfPushPull, UserEvent};
use sprat::wire::stream::{self, Side, StreamReader};
use sprat::wire::{lzw, packet};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, TcpStream, UdpSocket};
use std::time::Duration;

/// The number of slots in an agent's ring of events.
const SLOTS: u64 = 512;
/// The length of the content of one event. The push/pull carries two megabytes of such content.
const PAYLOAD_LEN: usize = 4096;
/// The maximum number of bytes that the codes of a whole table take: each code has 9 to 12 bits.
const TABLE_LEN: usize = 4096 * 12 / 8;

/// Events by Lamport time, each with name and content.
type Events = BTreeMap<u64, (String, Vec<u8>)>;

/// Makes content that fills tables in one of three ways, by `seed`: random bytes, random letters,
/// or one byte repeated.
fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed as u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let byte = |_| match seed % 3 {
        0 => next(),
        1 => b"etaoin shrdlu\n"[usize::from(next()) % 14],
        _ => seed as u8,
    };
    (0..length).map(byte).collect()
}

fn events(times: impl Iterator<Item = u64>, length: usize) -> Events {
    times
        .map(|time| (time, (format!("event-{time}"), content(time, length))))
        .collect()
}

fn compressing() -> Codec {
    Codec {
        compress: true,
        ..Codec::default()
    }
}

/// Encodes a push/pull of a node `writer` at `ip` with these events.
fn push_pull(ip: IpAddr, events: &Events) -> Vec<u8> {
    let past = events.iter().map(|(ltime, (name, payload))| PastEvents {
        ltime: *ltime,
        events: vec![PastEvent {
            name: name.as_bytes(),
            payload: Some(payload),
        }],
    });
    let mut user_state = Vec::new();
    SerfPushPull {
        ltime: 1,
        event_ltime: events.keys().last().map_or(1, |last| last + 1),
        query_ltime: 1,
        events: past.collect(),
        ..SerfPushPull::default()
    }
    .encode(&mut user_state);
    let IpAddr::V4(ip) = ip else {
        panic!("{ip} is not an IPv4 address")
    };
    let writer = PushPullNode {
        name: "writer",
        addr: &ip.octets(),
        port: PORT,
        meta: Some(b"\xff\x80"),
        incarnation: 1,
        state: NodeState::Alive,
        vsn: &[1, 5, 2, 2, 5, 5],
    };
    let mut out = Vec::new();
    PushPull {
        join: false,
        nodes: vec![writer],
        user_state: &user_state,
    }
    .encode(&mut out);
    out
}

/// Sends a compressed push/pull, and returns the push/pull with which the agent answers.
fn exchange(agent: &Agent, plain: &[u8]) -> Result<Vec<u8>, String> {
    let codec = compressing();
    let sealed = stream::seal(
        &codec,
        Side::Dialled,
        &|take| take(plain),
        [0; 12],
        &mut lzw::CompressCache::default(),
    );
    let fault = |why: std::io::Error| why.to_string();
    let limit = Duration::from_secs(10);
    let mut socket = TcpStream::connect_timeout(&agent.addr(), limit).map_err(fault)?;
    socket.set_read_timeout(Some(limit)).map_err(fault)?;
    socket.set_write_timeout(Some(limit)).map_err(fault)?;
    socket.write_all(&sealed).map_err(fault)?;
    socket.shutdown(Shutdown::Write).map_err(fault)?;
    let mut reader = StreamReader::new(Side::Dialled);
    let mut buffer = vec![0; 65_536];
    loop {
        let count = socket.read(&mut buffer).map_err(fault)?;
        let pushed = reader.push(&codec, &buffer[..count]);
        match pushed.map_err(|why| format!("the answer is refused: {why:?}"))? {
            Some(answer) => return Ok(answer),
            None if count == 0 => return Err("the answer ends too early".to_owned()),
            None => {}
        }
    }
}

/// Returns the events that an agent holds.
fn held(agent: &Agent, ip: IpAddr) -> Result<Events, String> {
    let answer = exchange(agent, &push_pull(ip, &Events::new()))?;
    let push_pull = PushPull::decode(&answer).map_err(|why| format!("{why:?}"))?;
    let state = SerfPushPull::decode(push_pull.user_state).map_err(|why| format!("{why:?}"))?;
    let held = state.events.iter().flat_map(|slot| {
        let event = |event: &PastEvent<'_>| {
            let payload = event.payload.unwrap_or_default().to_vec();
            (
                slot.ltime,
                (String::from_utf8_lossy(event.name).into_owned(), payload),
            )
        };
        slot.events.iter().map(event).collect::<Vec<_>>()
    });
    Ok(held.collect())
}

/// Waits until the agent holds exactly these events. Calls `before` ahead of each request.
fn holds(agent: &Agent, ip: IpAddr, expected: &Events, mut before: impl FnMut()) {
    until("the agent has read every event", || {
        before();
        let held = held(agent, ip)?;
        let wrong = expected
            .iter()
            .find(|(time, event)| held.get(time) != Some(event));
        match wrong {
            None if held.len() == expected.len() => Ok(()),
            None => Err(format!(
                "it holds {} events of {}",
                held.len(),
                expected.len()
            )),
            Some((time, (name, _))) => Err(format!("{name} at {time} is missing or different")),
        }
    });
}

#[test]
fn an_agent_reads_two_megabytes_of_state_and_the_largest_datagrams() {
    let block = Block::new();
    let ours = block.ip(2);
    let agent = Setup::new("stock", block.ip(1)).start();

    let mut expected = events(1..=SLOTS, PAYLOAD_LEN);
    let plain = push_pull(ours, &expected);
    assert!(plain.len() > 2 * 1024 * 1024, "{} bytes", plain.len());
    assert!(lzw::deflate(&plain).len() > 100 * TABLE_LEN);
    exchange(&agent, &plain).unwrap_or_else(|why| panic!("push/pull: {why}"));
    agent_sees(&agent, "writer", "alive");
    holds(&agent, ours, &expected, || {});

    let later = events(SLOTS + 1..=SLOTS + 120, 480);
    let messages: Vec<Vec<u8>> = later
        .iter()
        .map(|(time, event)| user_message(*time, event))
        .collect();
    let parts: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let mut compound = Vec::new();
    packet::compound(&parts, &mut compound);
    let datagram = packet::seal(&compressing(), &compound, true, [0; 12]);
    assert!(
        compound.len() > 60_000
            && datagram.len() > 4 * TABLE_LEN
            && datagram.len() < compound.len()
    );
    let socket = UdpSocket::bind((ours, PORT)).expect("the address is free");
    expected.extend(later);
    // Each slot of the ring keeps only the events of the newest time.
    expected.retain(|time, _| *time > 120);
    holds(&agent, ours, &expected, || {
        socket
            .send_to(&datagram, agent.addr())
            .expect("a datagram can be sent");
    });
}

fn user_message(ltime: u64, (name, payload): &(String, Vec<u8>)) -> Vec<u8> {
    let mut content = Vec::new();
    let event = UserEvent {
        ltime,
        name: name.as_bytes(),
        payload: Some(payload),
        coalesce: false,
    };
    SerfMessage::UserEvent(event).encode(&mut content);
    let mut out = Vec::new();
    Message::User(&content).encode(&mut out);
    out
}
