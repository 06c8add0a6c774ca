//! One node that knows ten thousand members: what it costs to learn of them, to keep them, to read
//! about them again, and to exchange its state; and how long a new node takes to join through it.

use crate::cluster::{Cluster, Kind};
use crate::crowd::Crowd;
use crate::figures::{Figures, Row};
use crate::processes::{self, processor_time};
use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// The number of members in the crowd.
const MEMBERS: usize = 10_000;
/// The number of members that the node has to see: all, and itself.
const ALL: usize = MEMBERS + 1;
const PATIENCE: Duration = Duration::from_secs(60);

/// The rows that [`measure`] and [`join`] fill.
pub const ROWS: [Row; 8] = [
    Row {
        what: "a new member, processor time",
        unit: "us",
    },
    Row {
        what: "memory per known member",
        unit: "bytes",
    },
    Row {
        what: "a stale alive message, 600 packets/s",
        unit: "us",
    },
    Row {
        what: "a stale alive message, in bursts",
        unit: "us",
    },
    Row {
        what: "an exchange of 10,000, processor time",
        unit: "ms",
    },
    Row {
        what: "processor time with 10,000 members that answer",
        unit: "ms/s",
    },
    Row {
        what: "join through sprat, until 10,000 are seen",
        unit: "ms",
    },
    Row {
        what: "join through serf, until 10,000 are seen",
        unit: "ms",
    },
];

/// The number of datagrams in a burst. Go's memberlist drops messages beyond 1,024 that it has read
/// and not handled; a burst holds 480 messages.
const BURST: usize = 40;

/// The target of the crowd's datagrams: a node that runs alone in its cluster.
struct Target {
    cluster: Cluster,
    addr: SocketAddr,
    pid: u32,
    socket: UdpSocket,
}

impl Target {
    fn start(kind: Kind) -> Result<Target, String> {
        let mut cluster = Cluster::new(kind, 1);
        cluster.start_with(0, None);
        cluster.count(0, 1, PATIENCE)?;
        std::thread::sleep(Duration::from_millis(500));
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        Ok(Target {
            addr: kind.addr(0),
            pid: cluster.pids()[0],
            cluster,
            socket,
        })
    }

    fn time(&self) -> Duration {
        processor_time(self.pid)
    }

    /// Sends a datagram. It may be lost only if the queue of the node is full, and the callers wait
    /// until it is empty.
    fn send(&self, datagram: &[u8]) {
        self.socket.send_to(datagram, self.addr).expect("loopback");
    }

    /// Sends all datagrams this many times, each after the node has read the one before.
    fn announce(&self, datagrams: &[(Vec<u8>, usize)], times: usize) {
        for (datagram, _) in (0..times).flat_map(|_| datagrams) {
            self.send(datagram);
            self.drain();
        }
    }

    /// Waits until the node has read all datagrams; returns the number that it has lost.
    fn drain(&self) -> u64 {
        loop {
            match processes::udp_queue(self.addr).expect("the node has a socket") {
                (0, lost) => return lost,
                _ => std::thread::sleep(Duration::from_micros(200)),
            }
        }
    }

    /// Waits until the node has handled what it has read: its processor time no longer grows.
    fn rest_until_idle(&self) {
        let mut before = self.time();
        loop {
            std::thread::sleep(Duration::from_micros(500));
            let now = self.time();
            if now - before < Duration::from_micros(50) {
                return;
            }
            before = now;
        }
    }

    /// Returns the processor time that the node uses per second, measured for this long.
    fn rate(&self, lasting: Duration) -> f64 {
        let (before, began) = (self.time(), Instant::now());
        std::thread::sleep(lasting);
        (self.time() - before).as_secs_f64() / began.elapsed().as_secs_f64()
    }

    /// Returns the processor time of the node for each of `count` things that `work` makes it do.
    fn cost(&self, background: f64, count: usize, work: impl FnOnce()) -> f64 {
        let (before, began) = (self.time(), Instant::now());
        work();
        // A thread of the node may still work after the last datagram was read.
        std::thread::sleep(Duration::from_millis(100));
        let used = (self.time() - before).as_secs_f64();
        (used - background * began.elapsed().as_secs_f64()).max(0.0) / count as f64
    }
}

/// Measures a node of this kind, and fills the rows that concern it alone.
pub fn measure(
    kind: Kind,
    crowd: &Crowd,
    rest: Duration,
    figures: &mut Figures,
) -> Result<(), String> {
    let target = Target::start(kind)?;
    let datagrams = crowd.announcements();
    learn(&target, &datagrams, figures)?;
    // The node still gossips about the members, which is not to be measured.
    let background = target.rate(Duration::from_secs(3));
    stale_paced(&target, background, &datagrams, figures);
    stale_in_bursts(&target, background, &datagrams, figures);
    for _ in 0..5 {
        let cost = target.cost(background, 1, || {
            let nodes = crowd.exchange(target.addr);
            assert!(nodes >= MEMBERS, "the node knows {nodes} members");
        });
        figures.add("an exchange of 10,000, processor time", cost * 1e3);
    }
    if !rest.is_zero() {
        let used = target.rate(rest);
        figures.add("processor time with 10,000 members that answer", used * 1e3);
    }
    Ok(())
}

/// Announces all members.
fn learn(
    target: &Target,
    datagrams: &[(Vec<u8>, usize)],
    figures: &mut Figures,
) -> Result<(), String> {
    let resident = processes::resident(target.pid);
    let cost = target.cost(0.0, MEMBERS, || {
        for burst in datagrams.chunks(BURST) {
            for (datagram, _) in burst {
                target.send(datagram);
                std::thread::sleep(Duration::from_micros(500));
            }
            target.drain();
            target.rest_until_idle();
        }
    });
    // A few datagrams may be lost, so all of them are sent again, which is not measured.
    target.announce(datagrams, 3);
    target.cluster.count(0, ALL - 1, PATIENCE)?;
    figures.add("a new member, processor time", cost * 1e6);
    std::thread::sleep(Duration::from_secs(1));
    let grown = (processes::resident(target.pid) - resident) * 1024.0;
    figures.add("memory per known member", grown / MEMBERS as f64);
    Ok(())
}

/// Announces known members at a steady rate, for three seconds.
fn stale_paced(
    target: &Target,
    background: f64,
    datagrams: &[(Vec<u8>, usize)],
    figures: &mut Figures,
) {
    let paced: Vec<_> = datagrams.iter().cycle().take(1_800).collect();
    let messages = paced.iter().map(|it| it.1).sum();
    let cost = target.cost(background, messages, || {
        let began = Instant::now();
        for (index, (datagram, _)) in (0_u32..).zip(&paced) {
            let due = began + index * Duration::from_secs(1) / 600;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            target.send(datagram);
        }
        target.drain();
    });
    figures.add("a stale alive message, 600 packets/s", cost * 1e6);
}

/// Announces known members as fast as the node reads.
fn stale_in_bursts(
    target: &Target,
    background: f64,
    datagrams: &[(Vec<u8>, usize)],
    figures: &mut Figures,
) {
    let lost = target.drain();
    let cost = target.cost(background, 1, || {
        for _ in 0..20 {
            for burst in datagrams.chunks(BURST) {
                burst.iter().for_each(|(datagram, _)| target.send(datagram));
                target.drain();
                target.rest_until_idle();
            }
        }
    });
    let lost = (target.drain() - lost) as f64;
    let (sent, messages) = (20.0 * datagrams.len() as f64, 20.0 * MEMBERS as f64);
    let read = messages * (sent - lost) / sent;
    figures.add("a stale alive message, in bursts", cost / read * 1e6);
}

/// Measures how long it takes a new node of each kind to join the crowd through a node of kind
/// `seed`.
pub fn join(
    seed: Kind,
    crowd: &Crowd,
    figures: &mut BTreeMap<&'static str, Figures>,
) -> Result<(), String> {
    let target = Target::start(seed)?;
    target.announce(&crowd.announcements(), 4);
    target.cluster.count(0, ALL - 1, PATIENCE)?;
    for (kind, index) in [(Kind::Sprat, 1), (Kind::Serf, 2)] {
        let mut newcomer = Cluster::new(kind, index + 1);
        let began = Instant::now();
        newcomer.start_with(index, Some(target.addr));
        let seen = newcomer.count(index, ALL, PATIENCE)?;
        let time = seen.saturating_duration_since(began).as_secs_f64() * 1e3;
        let row = match seed {
            Kind::Serf => "join through serf, until 10,000 are seen",
            _ => "join through sprat, until 10,000 are seen",
        };
        let column = figures.entry(kind.title()).or_default();
        column.add(row, time);
    }
    Ok(())
}
