//! Times single steps of the core, each from the bytes that arrive to the bytes that leave.
//!
//! Every step goes through the public interface of [`Core`], as in the engine, and ends when the
//! outputs and events are drained. The bench prints nanoseconds and heap allocations for one
//! operation: the minimum and the median time of many batches, and the fewest allocations. The
//! minimum is the cost of the code; the distance to the median shows how busy the machine was. The
//! number of allocations varies between batches only because hash maps have random keys. An
//! argument restricts the rows: `cargo bench --bench core -- push/pull`.

#[path = "../tests/counting/mod.rs"]
mod counting;

use counting::{Counting, allocations};
use sprat::serf::{Config, Core, Mode};
use sprat::swim::{Output, StreamId};
use sprat::time::Time;
use sprat::wire::codec::{Codec, Key, Keyring};
use sprat::wire::message::{Alive, Message, Ping};
use sprat::wire::packet;
use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The number of batches per row.
const BATCHES: usize = 31;
/// The number of members in the clusters of the rows for stale messages and gossip.
const MEMBERS: usize = 1_000;
/// The number of members in a push/pull.
const EXCHANGED: usize = 10_000;
/// The number of new members in one batch.
const NEWCOMERS: usize = 1_000;
/// The number of gossip rounds in one batch: too few to send everything that is queued.
const ROUNDS: usize = 100;
/// The number of stale messages, or of pings, in one batch.
const DATAGRAMS: usize = 2_000;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Measures batches of `count` operations, each batch on a fresh state that `prepare` makes
/// outside the measured time.
fn measure<S>(
    what: &str,
    count: usize,
    mut prepare: impl FnMut() -> S,
    mut work: impl FnMut(&mut S),
) {
    let wanted = std::env::args().skip(1).find(|it| !it.starts_with('-'));
    if wanted.is_some_and(|it| !what.contains(&it)) {
        return;
    }
    let mut times = Vec::new();
    let mut fewest = usize::MAX;
    for _ in 0..BATCHES {
        let mut state = prepare();
        let before = allocations();
        let began = Instant::now();
        work(&mut state);
        times.push(began.elapsed().as_nanos() as f64 / count as f64);
        fewest = fewest.min(allocations() - before);
    }
    times.sort_by(f64::total_cmp);
    println!(
        "{what:<44} {:>12.1} {:>12.1} {:>9.1}",
        times[0],
        times[BATCHES / 2],
        fewest as f64 / count as f64
    );
}

fn addr(member: usize) -> SocketAddr {
    let [_, high, middle, low] = (member as u32 + 1).to_be_bytes();
    SocketAddr::from(([10, high, middle, low], 7946))
}

fn name(member: usize) -> String {
    format!("web-{member:05}")
}

/// A node that begins no probe and no push/pull, so that a row measures only the step that it
/// names.
fn node(index: usize, mode: Mode, codec: &Codec) -> Core {
    let mut config = Config {
        mode,
        ..Config::default()
    };
    config.swim.probe_interval = Duration::from_secs(3_600);
    config.swim.push_pull_interval = Duration::ZERO;
    config.swim.join_sync = false;
    config.swim.reconnect = false;
    let seed = [7; 32];
    let name = name(index).into();
    let core = Core::new(config, codec.clone(), name, addr(index), seed, Time::ZERO);
    let mut core = core.expect("the settings are legal");
    drain(&mut core);
    core
}

/// Takes everything that the core has for its driver; returns the outputs.
fn drain(core: &mut Core) -> Vec<Output> {
    while let Some(event) = core.poll_event() {
        black_box(event);
    }
    std::iter::from_fn(|| core.poll_output()).collect()
}

/// Like [`drain`], but drops the outputs.
fn discard(core: &mut Core) {
    while let Some(event) = core.poll_event() {
        black_box(event);
    }
    while let Some(output) = core.poll_output() {
        black_box(output);
    }
}

/// A datagram in which a member announces that it is alive.
fn alive(member: usize, incarnation: u32, codec: &Codec) -> Vec<u8> {
    let SocketAddr::V4(from) = addr(member) else {
        unreachable!("every member has an IPv4 address")
    };
    let (name, octets) = (name(member), from.ip().octets());
    let message = Message::Alive(Alive {
        incarnation,
        node: &name,
        addr: &octets,
        port: from.port(),
        meta: Some(b"\xff\x82\xa4role\xa3web\xa2dc\xa6europe"),
        vsn: &[1, 5, 2, 2, 5, 5],
    });
    let mut plain = Vec::new();
    message.encode(&mut plain);
    packet::seal(codec, &plain, true, [9; 12])
}

/// A datagram in which member 1 pings node 0.
fn ping(codec: &Codec) -> Vec<u8> {
    let (target, source) = (name(0), name(1));
    let message = Message::Ping(Ping {
        seq: 77,
        node: &target,
        source_addr: &[10, 0, 0, 2],
        source_port: 7946,
        source_node: &source,
    });
    let mut plain = Vec::new();
    message.encode(&mut plain);
    packet::seal(codec, &plain, true, [9; 12])
}

/// A node that knows this number of members, itself included.
fn cluster(index: usize, members: usize, codec: &Codec) -> Core {
    fill(node(index, Mode::Serf, codec), index, members, codec)
}

fn fill(mut core: Core, index: usize, members: usize, codec: &Codec) -> Core {
    for member in (0..members).filter(|member| *member != index) {
        core.handle_datagram(Time::ZERO, addr(member), &alive(member, 2, codec));
        discard(&mut core);
    }
    core
}

/// The bytes with which node 1, which knows every member, asks node 0 for a push/pull.
fn push_pull_request(codec: &Codec) -> Vec<u8> {
    let mut dialler = cluster(1, EXCHANGED, codec);
    dialler.join(Time::ZERO, &[sprat::swim::Seed::Addr(addr(0))]);
    let connect = drain(&mut dialler).into_iter().find_map(|it| match it {
        Output::Connect { id, .. } => Some(id),
        _ => None,
    });
    let id = connect.expect("a join dials its seed");
    dialler.handle_stream_connected(Time::ZERO, id);
    let request = drain(&mut dialler).into_iter().find_map(|it| match it {
        Output::Write { bytes, .. } => Some(bytes),
        _ => None,
    });
    request.expect("a push/pull begins with the state of the dialler")
}

/// Measures all rows for one codec.
fn rows(label: &str, codec: &Codec) {
    datagrams(label, codec);
    messages(label, codec);
    members(label, codec);
    push_pull(label, codec);
}

/// Measures datagrams that change no member.
fn datagrams(label: &str, codec: &Codec) {
    let (now, sender) = (Time::ZERO, addr(1));
    let handle = |core: &mut Core, datagram: &[u8]| {
        core.handle_datagram(now, sender, black_box(datagram));
        discard(core);
    };
    let stale = alive(1, 1, codec);
    measure(
        &format!("a stale alive message, {label}"),
        DATAGRAMS,
        || cluster(0, MEMBERS, codec),
        |core| (0..DATAGRAMS).for_each(|_| handle(core, &stale)),
    );
    let ping = ping(codec);
    measure(
        &format!("a ping answered, {label}"),
        DATAGRAMS,
        || {
            let mut core = cluster(0, 2, codec);
            // These acks use up the broadcast about member 1, so later acks carry nothing else.
            (0..40).for_each(|_| handle(&mut core, &ping));
            core
        },
        |core| (0..DATAGRAMS).for_each(|_| handle(core, &ping)),
    );
}

/// Measures messages of other programs in memberlist mode, by the number of members: the sender of
/// each is found by its address.
fn messages(label: &str, codec: &Codec) {
    let message = packet::seal(codec, &Message::User(b"hello").encoded(), true, [9; 12]);
    for members in [100, 1_000, 10_000] {
        measure(
            &format!("a message, {members} members, {label}"),
            DATAGRAMS,
            || fill(node(0, Mode::Memberlist, codec), 0, members, codec),
            |core| {
                for _ in 0..DATAGRAMS {
                    core.handle_datagram(Time::ZERO, addr(members - 1), black_box(&message));
                    discard(core);
                }
            },
        );
    }
}

/// Measures new members, and the gossip that announces them to others.
fn members(label: &str, codec: &Codec) {
    let newcomers: Vec<Vec<u8>> = (1..=NEWCOMERS).map(|it| alive(it, 1, codec)).collect();
    measure(
        &format!("a new member, {label}"),
        NEWCOMERS,
        || node(0, Mode::Serf, codec),
        |core| {
            for datagram in &newcomers {
                core.handle_datagram(Time::ZERO, addr(1), black_box(datagram));
                discard(core);
            }
        },
    );
    measure(
        &format!("a gossip round of three packets, {label}"),
        ROUNDS,
        || cluster(0, MEMBERS, codec),
        |core| {
            for _ in 0..ROUNDS {
                let due = core.poll_timeout().expect("gossip is queued");
                core.handle_timeout(due);
                discard(core);
            }
        },
    );
}

/// Measures how a node answers a push/pull if both nodes know all members already: the first one,
/// and a second one after it, when nothing has changed.
fn push_pull(label: &str, codec: &Codec) {
    let now = Time::ZERO;
    let request = push_pull_request(codec);
    let answer = |core: &mut Core, id: u64| {
        core.handle_stream_accepted(now, StreamId(id), addr(1));
        core.handle_stream_data(now, StreamId(id), black_box(&request));
        discard(core);
    };
    measure(
        &format!("a push/pull of {EXCHANGED} members, {label}"),
        1,
        || cluster(0, EXCHANGED, codec),
        |core| answer(core, 2),
    );
    measure(
        &format!("the same again, {label}"),
        1,
        || {
            let mut core = cluster(0, EXCHANGED, codec);
            answer(&mut core, 2);
            core
        },
        |core| answer(core, 4),
    );
}

fn main() {
    println!(
        "{:<44} {:>12} {:>12} {:>9}",
        "operation", "min ns", "median ns", "allocs"
    );
    rows("plain", &Codec::default());
    let key = Key::new(&[7; 32]).expect("a key may have 32 bytes");
    let sealed = Codec {
        keyring: Keyring::new(vec![key]),
        compress: true,
        verify_incoming: true,
        verify_outgoing: true,
        ..Codec::default()
    };
    rows("LZW and AES-256", &sealed);
}
