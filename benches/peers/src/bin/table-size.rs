//! Measures how long the core takes for one message, depending on the number of members that it
//! knows, and how long foca takes, which is another SWIM core without sockets. Prints a table, and
//! draws it into the file that the argument names.

use foca::{AccumulatingRuntime, Foca, Member, PostcardCodec};
use nix::time::{ClockId, clock_gettime};
use plotters::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use sprat::serf::{Config, Core};
use sprat::swim::{Output, StreamId};
use sprat::time::Time;
use sprat::wire::codec::Codec;
use sprat::wire::message::{Accusation, Alive, Message, Ping, PushPull};
use sprat::wire::serf_message::{LeaveIntent, SerfMessage};
use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Duration;

/// The numbers of known members.
const SIZES: [usize; 5] = [10, 100, 1_000, 10_000, 50_000];
/// The number of batches. The fastest counts: it was disturbed least.
const BATCHES: usize = 15;
/// Gossip is over if nothing happens for this long.
const GOSSIP_PAUSE: Duration = Duration::from_secs(1);
/// The number of messages in a batch. They concern different members if there are that many.
const MESSAGES: usize = 256;

/// A curve: what was measured, and nanoseconds for each of [`SIZES`].
struct Curve {
    name: &'static str,
    times: Vec<f64>,
}

fn addr(member: usize) -> SocketAddr {
    let [_, high, middle, low] = (member as u32 + 1).to_be_bytes();
    SocketAddr::from(([10, high, middle, low], 7946))
}

fn name(member: usize) -> String {
    format!("web-{member:05}")
}

/// The processor time of this process so far. Unlike a clock, it does not count the time in which
/// other programs had the processor.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("every process has it");
    time.into()
}

/// Returns the nanoseconds of processor time since `began`.
fn since(began: Duration) -> u128 {
    (processor_time() - began).as_nanos()
}

/// Drops everything that the core has for its driver.
fn discard(core: &mut Core) {
    while let Some(event) = core.poll_event() {
        black_box(event);
    }
    while let Some(output) = core.poll_output() {
        black_box(output);
    }
}

/// A message in which a member announces that it is alive.
fn alive(member: usize, incarnation: u32, dc: &str) -> Vec<u8> {
    let SocketAddr::V4(from) = addr(member) else {
        unreachable!("every member has an IPv4 address")
    };
    let (name, octets) = (name(member), from.ip().octets());
    let mut meta = b"\xff\x82\xa4role\xa3web\xa2dc\xa2".to_vec();
    meta.extend(dc.bytes());
    let alive = Alive {
        incarnation,
        node: &name,
        addr: &octets,
        port: from.port(),
        meta: Some(&meta),
        vsn: &[1, 5, 2, 2, 5, 5],
    };
    Message::Alive(alive).encoded()
}

/// A node that knows `members` others, all of which have been gossiped already. It begins no probe
/// and no push/pull.
fn node(members: usize) -> (Core, Time) {
    let mut config = Config::default();
    config.swim.probe_interval = Duration::from_secs(1_000_000);
    config.swim.push_pull_interval = Duration::ZERO;
    config.swim.join_sync = false;
    config.swim.reconnect = false;
    config.swim.retransmit_mult = 1;
    let (codec, seed) = (Codec::default(), [7; 32]);
    let core = Core::new(config, codec, name(0).into(), addr(0), seed, Time::ZERO);
    let mut core = core.expect("the settings are legal");
    for member in 1..=members {
        core.handle_datagram(Time::ZERO, addr(member), &alive(member, 2, "eu"));
        discard(&mut core);
    }
    let mut now = Time::ZERO;
    while let Some(due) = core
        .poll_timeout()
        .filter(|due| due.since(now) < GOSSIP_PAUSE)
    {
        now = due;
        core.handle_timeout(now);
        discard(&mut core);
    }
    (core, now)
}

/// Returns the nanoseconds that a node takes for one of the messages: the least of some batches. If
/// `fresh` is true, the messages change the node, and each batch gets a new one.
fn time(members: usize, fresh: bool, messages: &[(SocketAddr, Vec<u8>)]) -> f64 {
    let (mut core, mut now) = node(members);
    let mut best = f64::INFINITY;
    for _ in 0..BATCHES {
        if fresh {
            // The old node is dropped before the new one is built. Otherwise, the allocator would
            // sort the memory of the old one, for milliseconds, while the messages are handled.
            drop(core);
            (core, now) = node(members);
        }
        let began = processor_time();
        for (from, bytes) in messages {
            core.handle_datagram(now, *from, black_box(bytes));
            discard(&mut core);
        }
        best = best.min(since(began) as f64 / messages.len() as f64);
    }
    best
}

/// Returns messages about members that are spread over the whole table, at most one each.
fn about(members: usize, message: impl Fn(usize) -> Vec<u8>) -> Vec<(SocketAddr, Vec<u8>)> {
    let count = MESSAGES.min(members);
    let spread = (0..count).map(|index| 1 + index * members / count);
    spread
        .map(|member| (addr(member), message(member)))
        .collect()
}

fn curve(name: &'static str, of: impl Fn(usize) -> f64) -> Curve {
    let times = SIZES.map(|size| {
        eprint!(".");
        of(size)
    });
    Curve {
        name,
        times: times.to_vec(),
    }
}

/// Returns the nanoseconds that a node takes to answer a push/pull whose request lists no node,
/// divided by the number of nodes that it knows, itself included.
fn exchange(members: usize) -> f64 {
    let (mut core, now) = node(members);
    let mut request = Vec::new();
    PushPull::put_header(&mut request, 0, 0, false);
    let mut best = f64::INFINITY;
    for batch in 0..BATCHES as u64 {
        let id = StreamId(2 + 2 * batch);
        let began = processor_time();
        core.handle_stream_accepted(now, id, addr(1));
        core.handle_stream_data(now, id, black_box(&request));
        let mut answered = false;
        while let Some(output) = core.poll_output() {
            answered |= matches!(output, Output::Write { .. });
        }
        best = best.min(since(began) as f64);
        assert!(answered, "a request is answered");
        discard(&mut core);
    }
    best / (members + 1) as f64
}

/// Returns the nanoseconds that a node of foca takes to answer a ping.
fn foca_ping(members: usize) -> f64 {
    let new = |member: usize, members: &mut dyn Iterator<Item = usize>| {
        let config = foca::Config::new_lan(10.try_into().expect("not zero"));
        let rng = StdRng::seed_from_u64(member as u64);
        let mut node = Foca::new(addr(member), config, rng, PostcardCodec);
        let mut runtime = AccumulatingRuntime::new();
        let all = members.map(|it| Member::alive(addr(it)));
        node.apply_many(all, false, &mut runtime).expect("legal");
        (node, runtime)
    };
    let (mut target, _) = new(0, &mut (1..=members));
    let (mut prober, mut timers) = new(1, &mut std::iter::once(0));
    let mut runtime = AccumulatingRuntime::new();
    while let Some((_, timer)) = timers.to_schedule() {
        prober.handle_timer(timer, &mut runtime).expect("a timer");
    }
    let (_, ping) = runtime.to_send().expect("a probe begins");
    let mut best = f64::INFINITY;
    for _ in 0..BATCHES {
        let began = processor_time();
        for _ in 0..MESSAGES {
            let mut runtime = AccumulatingRuntime::new();
            let handled = target.handle_data(black_box(&ping), &mut runtime);
            handled.expect("a ping is legal");
            assert!(black_box(runtime.to_send()).is_some(), "an ack");
        }
        best = best.min(since(began) as f64 / MESSAGES as f64);
    }
    best
}

fn curves() -> Vec<Curve> {
    let accusation = |member: usize, from: &str, dead: bool| {
        let name = name(member);
        let accusation = Accusation {
            incarnation: 2,
            node: &name,
            from,
        };
        let message = if dead {
            Message::Dead
        } else {
            Message::Suspect
        };
        message(accusation).encoded()
    };
    let ping = |member: usize| {
        let (target, source) = (name(0), name(member));
        let ping = Ping {
            seq: 77,
            node: &target,
            source_addr: &[],
            source_port: 0,
            source_node: &source,
        };
        Message::Ping(ping).encoded()
    };
    let leave = |member: usize| {
        let intent = LeaveIntent {
            ltime: 1,
            node: &name(member),
            prune: false,
        };
        Message::User(&SerfMessage::Leave(intent).encoded()).encoded()
    };
    let newcomers = |members: usize| -> Vec<_> {
        let new = members + 1..=members + MESSAGES;
        new.map(|it| (addr(it), alive(it, 1, "eu"))).collect()
    };
    vec![
        curve("a stale alive message", |size| {
            time(size, false, &about(size, |it| alive(it, 1, "eu")))
        }),
        curve("a ping", |size| time(size, false, &about(size, ping))),
        curve("a new member", |size| time(size, true, &newcomers(size))),
        curve("a changed tag", |size| {
            time(size, true, &about(size, |it| alive(it, 3, "us")))
        }),
        curve("a death", |size| {
            time(
                size,
                true,
                &about(size, |it| accusation(it, &name(it % 7 + 1), true)),
            )
        }),
        curve("a leave intent", |size| {
            time(size, true, &about(size, leave))
        }),
        curve("an exchange, per known member", exchange),
        curve("a ping, foca", foca_ping),
    ]
}

/// Draws the curves on logarithmic axes.
fn draw(path: &str, curves: &[Curve]) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::new(path, (900, 560)).into_drawing_area();
    root.fill(&WHITE)?;
    let (least, most) = (SIZES[0] as f64, SIZES[SIZES.len() - 1] as f64);
    let mut chart = ChartBuilder::on(&root)
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d((least..most).log_scale(), (10.0..100_000.0).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("known members")
        .y_desc("nanoseconds")
        .x_label_formatter(&|it| format!("{it:.0}"))
        .y_label_formatter(&|it| format!("{it:.0}"))
        .light_line_style(WHITE)
        .draw()?;
    for (index, curve) in curves.iter().enumerate() {
        let style = Palette99::pick(index).stroke_width(2);
        let points = SIZES.iter().map(|it| *it as f64).zip(curve.times.clone());
        chart
            .draw_series(LineSeries::new(points, style))?
            .label(curve.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE)
        .border_style(WHITE)
        .draw()?;
    root.present()?;
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let curves = curves();
    eprintln!();
    println!("\nNanoseconds for one message, by the number of known members:\n");
    println!("| | {} |", SIZES.map(|it| it.to_string()).join(" | "));
    println!("|{}", " --- |".repeat(SIZES.len() + 1));
    for Curve { name, times } in &curves {
        let cells: Vec<String> = times.iter().map(|it| format!("{it:.0}")).collect();
        println!("| {name} | {} |", cells.join(" | "));
    }
    match std::env::args().nth(1) {
        Some(path) => draw(&path, &curves),
        None => Ok(()),
    }
}
