//! The memory that the core takes: bytes for each member that it knows, and heap allocations for
//! each message.
//!
//! Nothing here depends on time. The number of bytes for each member depends a little on the number
//! of members, because hash tables grow in steps.

mod counting;

use counting::{Counting, allocations, in_use, peak};
use sprat::serf::{Config, Core, Mode};
use sprat::swim::StreamId;
use sprat::time::Time;
use sprat::wire::codec::Codec;
use sprat::wire::message::{Alive, Message};
use sprat::wire::query_filter::{NodeNames, QueryFilter, TagFilter};
use sprat::wire::serf_message::{Query, SerfMessage};
use sprat::wire::{packet, stream};
use std::net::SocketAddr;
use std::time::Duration;

/// The number of members of a large cluster.
const MEMBERS: usize = 10_000;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn addr(member: usize) -> SocketAddr {
    let [_, high, middle, low] = (member as u32 + 1).to_be_bytes();
    SocketAddr::from(([10, high, middle, low], 7946))
}

/// A datagram in which a member announces that it is alive.
fn alive(member: usize, incarnation: u32, meta: &[u8]) -> Vec<u8> {
    let [_, high, middle, low] = (member as u32 + 1).to_be_bytes();
    let (name, octets) = (format!("web-{member:05}"), [10, high, middle, low]);
    let message = Message::Alive(Alive {
        incarnation,
        node: &name,
        addr: &octets,
        port: 7946,
        meta: Some(meta),
        vsn: &[1, 5, 2, 2, 5, 5],
    });
    let mut plain = Vec::new();
    message.encode(&mut plain);
    packet::seal(&Codec::default(), &plain, true, [9; 12])
}

/// The meta of a member with a tag that no other member has.
fn meta(member: usize) -> Vec<u8> {
    let tag = format!("{member:05}");
    [b"\xff\x81\xa4rack\xa5", tag.as_bytes()].concat()
}

fn drain(core: &mut Core) {
    core.take_changed();
    while core.poll_event().is_some() {}
    while core.poll_output().is_some() {}
}

/// A node that probes no other node and gossips so fast that its queue is soon empty.
fn node(mode: Mode) -> Core {
    let mut config = Config {
        mode,
        ..Config::default()
    };
    config.swim.probe_interval = Duration::from_secs(3_600);
    config.swim.push_pull_interval = Duration::ZERO;
    config.swim.join_sync = false;
    config.swim.gossip_interval = Duration::from_millis(1);
    config.swim.gossip_nodes = 32;
    config.swim.retransmit_mult = 1;
    let codec = Codec::default();
    let core = Core::new(config, codec, "a".into(), addr(0), [7; 32], Time::ZERO);
    let mut core = core.unwrap();
    drain(&mut core);
    core
}

/// A node that knows this number of other members and has gossiped about all of them.
fn cluster(mode: Mode, members: usize) -> Core {
    let mut core = node(mode);
    let mut now = Time::ZERO;
    for member in 1..=members {
        core.handle_datagram(now, addr(member), &alive(member, 2, &meta(member)));
        drain(&mut core);
    }
    for _ in 0..1_000 {
        now = now + Duration::from_millis(1);
        core.handle_timeout(now);
        drain(&mut core);
    }
    assert_eq!(core.members().count(), members + 1);
    core
}

/// The bytes for each member in a large cluster, its name and meta included.
fn bytes_per_member(mode: Mode) -> isize {
    let before = in_use();
    let core = cluster(mode, MEMBERS);
    let bytes = in_use() - before;
    drop(core);
    bytes / MEMBERS as isize
}

#[test]
fn a_member_takes_few_bytes() {
    for (mode, most) in [(Mode::Serf, 300), (Mode::Memberlist, 300)] {
        let bytes = bytes_per_member(mode);
        println!("{mode:?}: {bytes} bytes per member");
        assert!(bytes <= most, "{mode:?}: {bytes} bytes, at most {most}");
    }
}

#[test]
fn a_stale_message_allocates_nothing() {
    for mode in [Mode::Serf, Mode::Memberlist] {
        let mut core = cluster(mode, 100);
        let stale = alive(50, 1, &meta(50));
        let now = Time::ZERO + Duration::from_secs(2);
        core.handle_datagram(now, addr(50), &stale);
        drain(&mut core);
        let before = allocations();
        for _ in 0..100 {
            core.handle_datagram(now, addr(50), &stale);
            drain(&mut core);
        }
        assert_eq!(allocations() - before, 0, "{mode:?}");
    }
}

#[test]
fn a_flood_of_forged_members_takes_a_bounded_number_of_bytes() {
    let (config, codec) = (Config::default(), Codec::default());
    let core = Core::new(config, codec, "a".into(), addr(0), [7; 32], Time::ZERO);
    let (mut core, before) = (core.unwrap(), in_use());
    for member in 1..=100_000 {
        core.handle_datagram(Time::ZERO, addr(0), &alive(member, 2, &[0xff; 500]));
        drain(&mut core);
    }
    let (bytes, members) = (in_use() - before, core.members().count());
    println!("{members} forged members: {bytes} bytes");
    assert!(
        members < 65_536 && bytes < 24 << 20,
        "{members} members, {bytes} bytes"
    );
}

/// A filter by the tag `x`, which the node does not have, encoded.
fn tag_filter(expr: &str) -> Vec<u8> {
    let (tag, expr) = (b"x", expr.as_bytes());
    QueryFilter::Tag(TagFilter { tag, expr }).encoded()
}

/// A query with these filters, encoded.
fn query_with_filters(ltime: u64, source_node: &str, filters: &[Vec<u8>]) -> Vec<u8> {
    let query = Query {
        ltime,
        id: 7,
        addr: &[10, 0, 0, 2],
        port: 7946,
        source_node,
        filters: Some(filters.iter().map(Vec::as_slice).collect()),
        flags: 0,
        relay_factor: 0,
        timeout_ns: 3_000_000_000,
        name: b"load",
        payload: None,
    };
    SerfMessage::Query(query).encoded()
}

/// The most bytes that a node takes while it handles a query that comes in a datagram or by stream.
fn peak_of_query(core: &mut Core, message: &[u8], by_stream: bool) -> isize {
    let now = Time::ZERO + Duration::from_secs(2);
    let mut bytes = Vec::new();
    if by_stream {
        stream::put_user(&mut bytes, message);
    } else {
        let plain = [&[8], message].concat();
        let codec = Codec {
            compress: true,
            ..Codec::default()
        };
        bytes = packet::seal(&codec, &plain, true, [9; 12]);
        assert!(bytes.len() < 65_536, "{}", bytes.len());
    }
    peak(|| {
        if by_stream {
            core.handle_stream_accepted(now, StreamId(2), addr(1));
            core.handle_stream_data(now, StreamId(2), &bytes);
        } else {
            core.handle_datagram(now, addr(1), &bytes);
        }
        drain(core);
    })
}

#[test]
fn a_query_with_many_or_large_filters_takes_few_bytes() {
    let expressions = |count| vec![tag_filter(".{0,1000}"); count];
    // An own name, so that the expression after it is looked at, and empty names.
    let mut names = vec![&b""[..]; 55_000];
    names.push(b"a");
    let names = QueryFilter::Nodes(NodeNames(names)).encoded();
    for (filters, by_stream) in [
        (expressions(50), false),
        (expressions(600), false),
        (expressions(2_000), false),
        (expressions(8_000), false),
        (expressions(600), true),
        (expressions(300_000), true),
        (vec![names, tag_filter(&r"\w?".repeat(3_000))], false),
        (vec![tag_filter(&"(a)".repeat(3_000))], false),
        (
            vec![tag_filter(&format!("[{}]", r"\w".repeat(4_600)))],
            false,
        ),
        (vec![tag_filter(&"|".repeat(20_000))], false),
    ] {
        for sender in ["web-00001", "stranger"] {
            let mut core = cluster(Mode::Serf, 2);
            let message = query_with_filters(1, sender, &filters);
            let bytes = peak_of_query(&mut core, &message, by_stream);
            // The message itself is held at most four times on its way through the layers.
            let most = (2 << 20) + 4 * message.len() as isize;
            let (count, len) = (filters.len(), message.len());
            println!("{count} filters of {sender}, {len} bytes: {bytes} bytes");
            assert!(bytes <= most, "{count} filters of {sender}: {bytes} bytes");
        }
    }
}

#[test]
fn an_early_query_with_many_expressions_takes_few_bytes_when_its_sender_joins() {
    let mut core = cluster(Mode::Serf, 0);
    for ltime in 1..=64 {
        let filters = vec![tag_filter(".{0,1000}"); 30];
        let message = query_with_filters(ltime, "web-00001", &filters);
        peak_of_query(&mut core, &message, false);
    }
    let now = Time::ZERO + Duration::from_secs(2);
    let joins = alive(1, 2, &meta(1));
    let bytes = peak(|| {
        core.handle_datagram(now, addr(1), &joins);
        drain(&mut core);
    });
    println!("64 early queries: {bytes} bytes");
    assert!(bytes <= 1 << 20, "{bytes} bytes");
}
