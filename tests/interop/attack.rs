//! A node without a key, under attack: it keeps its members, answers pings, lets a newcomer join,
//! and takes a bounded amount of memory.
//!
//! The victim is a process of its own, so that its memory can be measured. Two honest nodes are its
//! members. While the attack goes on, a prober pings the victim, and a newcomer joins through it.
//! This command prints what each attack does to a sprat node and to a stock agent:
//! `SPRAT_ATTACK_SECONDS=3 cargo test --test interop attack_table -- --ignored --nocapture`

use super::agent::{Agent, Block, PORT, Setup};
use super::ours::{self, Ours};
use super::wait::{PATIENCE, until};
use sprat::wire::message::{Accusation, Alive, Message, NodeState, Ping, PushPull, PushPullNode};
use sprat::wire::serf_message::{SerfMessage, UserEvent};
use sprat::wire::{lzw, packet};
use sprat::{EventKind, MemberState};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The resident memory in KiB that a victim must stay below. The library bounds nearly all of its
/// memory to the byte; the rest is fragmentation, which varies.
const MEMORY: u64 = 128 << 10;
/// The number of names that an attacker invents: more than a member table holds.
const NAMES: u32 = 70_000;
/// The protocol versions of all members.
const VERSIONS: [u8; 6] = [1, 5, 2, 2, 5, 5];
/// The number of tags in the meta of a forged member.
const TAGS: usize = 100;

/// One kind of attack.
struct Attack {
    name: &'static str,
    /// Attacks until [`Field::is_over`] returns true.
    run: fn(&Field),
}

/// An attack that is under way.
struct Field {
    victim: SocketAddr,
    /// The address of the attacker's sockets.
    from: IpAddr,
    is_over: AtomicBool,
    sent: AtomicU32,
    /// The acks that the prober has received.
    acks: AtomicU32,
}

const ATTACKS: [Attack; 10] = [
    Attack {
        name: "no attack",
        run: |field| field.repeat(|_| std::thread::sleep(Duration::from_millis(10))),
    },
    Attack {
        name: "random datagrams",
        run: |field| {
            let socket = field.socket();
            field.repeat(|n| {
                let bytes: Vec<u8> = (0..1200_u32)
                    .map(|i| (i * n) as u8 ^ (n >> 3) as u8)
                    .collect();
                field.send(&socket, &bytes);
            });
        },
    },
    Attack {
        name: "forged members with many tags",
        run: |field| {
            let socket = field.socket();
            // Each name returns with a higher incarnation.
            field.repeat(|n| field.send(&socket, &forged(n % NAMES, n / NAMES + 1, VERSIONS)));
        },
    },
    Attack {
        name: "forged members that die",
        run: |field| {
            let socket = field.socket();
            field.repeat(|n| {
                let (name, life) = (n % 500, n / 500 + 1);
                field.send(&socket, &forged(name, life, VERSIONS));
                field.send(&socket, &accusation(&forged_name(name), life, "somebody"));
            });
        },
    },
    Attack {
        name: "forged protocol versions",
        run: |field| {
            let socket = field.socket();
            field.repeat(|n| field.send(&socket, &forged(n % 9, n / 9 + 1, [5; 6])));
        },
    },
    Attack {
        name: "deaths with the highest incarnation",
        run: |field| {
            let socket = field.socket();
            field.repeat(|_| {
                field.send(&socket, &accusation("honest-1", u32::MAX, "somebody"));
                std::thread::sleep(Duration::from_millis(1));
            });
        },
    },
    Attack {
        name: "user events with the highest Lamport times",
        run: |field| {
            let socket = field.socket();
            field.repeat(|n| {
                let event = SerfMessage::UserEvent(UserEvent {
                    ltime: u64::MAX - u64::from(n % 7),
                    name: b"boom",
                    payload: None,
                    coalesce: false,
                });
                field.send(&socket, &Message::User(&event.encoded()).encoded());
            });
        },
    },
    Attack {
        name: "datagrams that expand 250 times",
        run: |field| {
            let socket = field.socket();
            let mut bomb = Vec::new();
            lzw::put_compressed(&mut bomb, &vec![0; 200_000]);
            field.repeat(|_| field.send(&socket, &bomb));
        },
    },
    Attack {
        name: "40 requests at once, 5,000 forged members",
        run: |field| {
            let socket = field.socket();
            for n in 0..5000 {
                field.send(&socket, &forged(n, 1, VERSIONS));
                if n % 50 == 0 {
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
            field.many_streams(40, &request(0), |stream| {
                let _ = std::io::copy(stream, &mut std::io::sink());
            });
        },
    },
    Attack {
        name: "200 streams that never end",
        run: |field| {
            field.many_streams(200, &request(60_000), |stream| {
                let entries = entries();
                while !field.is_over() && stream.write_all(&entries).is_ok() {}
            });
        },
    },
];

impl Field {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn repeat(&self, mut each: impl FnMut(u32)) {
        let mut n = 0;
        while !self.is_over() {
            each(n);
            n = n.wrapping_add(1);
        }
    }

    fn socket(&self) -> UdpSocket {
        let socket = UdpSocket::bind((self.from, 0)).expect("loopback addresses are free");
        socket
            .connect(self.victim)
            .expect("connecting sends nothing");
        socket
    }

    /// Sends a datagram. It may be lost, as the victim's queue may be full.
    fn send(&self, socket: &UdpSocket, bytes: &[u8]) {
        self.sent.fetch_add(1, Ordering::Relaxed);
        let _ = socket.send(bytes);
    }

    /// Opens streams from many threads until the attack is over. Each thread opens one stream after
    /// the other, writes `first` to it, and passes it to `then`.
    fn many_streams(&self, threads: usize, first: &[u8], then: impl Fn(&mut TcpStream) + Sync) {
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while !self.is_over() {
                        let patience = Duration::from_millis(500);
                        let Ok(mut stream) = TcpStream::connect_timeout(&self.victim, patience)
                        else {
                            continue;
                        };
                        let _ = stream.set_read_timeout(Some(patience));
                        let _ = stream.set_write_timeout(Some(patience));
                        self.sent.fetch_add(1, Ordering::Relaxed);
                        if stream.write_all(first).is_ok() {
                            then(&mut stream);
                        }
                    }
                });
            }
        });
    }
}

fn forged_name(n: u32) -> String {
    format!("forged-{n}")
}

/// An alive message about a member that does not exist, at a loopback address that no node has.
fn forged(n: u32, incarnation: u32, vsn: [u8; 6]) -> Vec<u8> {
    let [_, _, high, low] = n.to_be_bytes();
    let mut meta = vec![0xff, 0xde, 0, TAGS as u8];
    for tag in 0..TAGS {
        meta.extend([0xa2, b'a' + (tag / 26) as u8, b'a' + (tag % 26) as u8, 0xa0]);
    }
    Message::Alive(Alive {
        incarnation,
        node: &forged_name(n),
        addr: &[127, 99, high, low],
        port: 9,
        meta: Some(&meta),
        vsn: &vsn,
    })
    .encoded()
}

fn accusation(node: &str, incarnation: u32, from: &str) -> Vec<u8> {
    let accusation = Accusation {
        incarnation,
        node,
        from,
    };
    Message::Dead(accusation).encoded()
}

/// The beginning of a push/pull that announces this many nodes.
fn request(nodes: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    PushPull::put_header(&mut bytes, nodes, 0, false);
    bytes
}

/// Some entries of a push/pull.
fn entries() -> Vec<u8> {
    let node = PushPullNode {
        name: "never-ending",
        addr: &[127, 99, 0, 1],
        port: 9,
        meta: Some(&[7; 400]),
        incarnation: 1,
        state: NodeState::Alive,
        vsn: &VERSIONS,
    };
    let mut bytes = Vec::new();
    (0..100).for_each(|_| node.encode(&mut bytes));
    bytes
}

/// Ends an attack even if the test panics.
struct EndOnDrop<'f>(&'f Field);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

/// The process that is attacked.
enum Victim {
    Ours(Child, SocketAddr),
    Stock(Agent),
}

impl Victim {
    fn ours(ip: IpAddr) -> Victim {
        let program = std::env::current_exe().expect("a test knows its program");
        let mut child = Command::new(program)
            .args([
                "attack::the_victim_runs_until_its_input_ends",
                "--exact",
                "--ignored",
                "--nocapture",
            ])
            .env("SPRAT_VICTIM", ip.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the program of this test runs");
        let addr = SocketAddr::new(ip, PORT);
        until("the victim listens", || {
            let ended = child.try_wait().map_err(|why| why.to_string())?;
            assert!(ended.is_none(), "{ended:?}");
            TcpStream::connect(addr)
                .map(drop)
                .map_err(|why| why.to_string())
        });
        Victim::Ours(child, addr)
    }

    fn stock(ip: IpAddr) -> Victim {
        // The table shows what becomes of the agent; its complaints do not matter.
        let setup = Setup::new("victim", ip)
            .arg("-log-level=err")
            .provoked("[ERR]")
            .provoked("[WARN]");
        Victim::Stock(setup.start())
    }

    fn addr(&self) -> SocketAddr {
        match self {
            Victim::Ours(_, addr) => *addr,
            Victim::Stock(agent) => agent.addr(),
        }
    }

    fn pid(&self) -> u32 {
        match self {
            Victim::Ours(child, _) => child.id(),
            Victim::Stock(agent) => agent.pid(),
        }
    }

    /// Returns the largest memory that the process has had, in KiB; `None` if it has ended.
    fn peak_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        if let Victim::Ours(child, _) = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The process that [`Victim::ours`] starts: a node that runs until standard input ends.
#[test]
#[ignore = "the process that the other tests attack"]
fn the_victim_runs_until_its_input_ends() {
    let Ok(ip) = std::env::var("SPRAT_VICTIM") else {
        return;
    };
    let _node = Ours::with(&ours::config("victim", ip.parse().unwrap()));
    let _ = std::io::stdin().read(&mut [0]);
}

/// The effects of an attack.
#[derive(Debug, Default)]
struct Damage {
    sent: u32,
    /// Pings to the victim, those that were answered, and the longest time to an answer.
    pings: u32,
    answered: u32,
    slowest: Duration,
    /// The acks of the victim, including those that came after the prober had given up the ping.
    acks: u32,
    /// The time that a newcomer needed to join through the victim; `None` if it could not.
    joined: Option<Duration>,
    /// The largest memory of the victim in KiB; 0 if its process ended.
    memory: u64,
    /// The number of failures that the honest nodes reported: of the victim, of the newcomer, and
    /// of each other.
    failed: usize,
    /// True if the victim lists itself, the honest nodes and the newcomer as alive at the end.
    is_complete: bool,
}

/// Attacks a victim for this long, and longer if the join of the newcomer has not ended by then, or
/// if no ping was answered. `patience` is the longest wait for the join, for an answer to a ping,
/// and for the list of the victim to be complete.
fn attack(
    attack: &Attack,
    start: fn(IpAddr) -> Victim,
    time: Duration,
    patience: Duration,
) -> Damage {
    let block = Block::new();
    let victim = start(block.ip(1));
    let honest: Vec<Ours> = (1..=2)
        .map(|n| {
            let node = Ours::start(&format!("honest-{n}"), block.ip(1 + n));
            node.join(victim.addr());
            node
        })
        .collect();
    for node in &honest {
        node.sees_alive(&["victim", "honest-1", "honest-2"]);
    }
    let field = Field {
        victim: victim.addr(),
        from: block.ip(9),
        is_over: AtomicBool::new(false),
        sent: AtomicU32::new(0),
        acks: AtomicU32::new(0),
    };
    let mut damage = std::thread::scope(|scope| {
        let _end = EndOnDrop(&field);
        scope.spawn(|| (attack.run)(&field));
        let prober = scope.spawn(|| probe(&field, block.ip(8)));
        std::thread::sleep(time / 2);
        let newcomer = patient("newcomer", block.ip(4));
        let began = Instant::now();
        let joined = join_under_attack(&newcomer, victim.addr(), patience);
        std::thread::sleep((time / 2).saturating_sub(began.elapsed()));
        while field.acks.load(Ordering::Relaxed) == 0 && began.elapsed() < patience {
            std::thread::sleep(Duration::from_millis(50));
        }
        field.is_over.store(true, Ordering::Relaxed);
        let mut damage = prober.join().expect("the prober does not panic");
        damage.joined = joined;
        damage.is_complete = is_complete(&newcomer, victim.addr(), patience);
        damage
    });
    damage.sent = field.sent.load(Ordering::Relaxed);
    damage.memory = victim.peak_memory().unwrap_or(0);
    let of = ["victim", "honest-1", "honest-2", "newcomer"];
    let fails = honest
        .iter()
        .flat_map(|node| of.map(|of| node.count(EventKind::MemberFail, of)));
    damage.failed = fails.sum();
    damage
}

/// Starts a node whose streams may take a minute. On a busy machine, its request waits behind those
/// of the attacker, which the victim answers in the order in which they came.
fn patient(name: &str, ip: IpAddr) -> Ours {
    let mut config = ours::config(name, ip);
    config.set("stream_timeout_ms", "60000").unwrap();
    Ours::with(&config)
}

/// Joins the newcomer, and returns the time that this took; `None` if it is longer than `patience`.
/// A single attempt may reach the limit of its stream, so it is repeated.
fn join_under_attack(newcomer: &Ours, to: SocketAddr, patience: Duration) -> Option<Duration> {
    let (began, to) = (Instant::now(), to.to_string());
    while began.elapsed() < patience {
        let left = patience.saturating_sub(began.elapsed());
        match newcomer.node().join(&[&to], Some(left)) {
            Ok(_) => return Some(began.elapsed()),
            Err(why) => eprintln!("after {:?}: {why}", began.elapsed()),
        }
    }
    None
}

/// Pings the victim until the attack is over.
fn probe(field: &Field, from: IpAddr) -> Damage {
    let socket = UdpSocket::bind((from, 0)).expect("loopback addresses are free");
    socket
        .set_read_timeout(Some(Duration::from_millis(500)))
        .expect("the time is not zero");
    let mut damage = Damage::default();
    field.repeat(|seq| {
        let ping = Message::Ping(Ping {
            seq,
            node: "victim",
            source_addr: &[],
            source_port: 0,
            source_node: "",
        });
        let began = Instant::now();
        damage.pings += 1;
        let sent = socket.send_to(&ping.encoded(), field.victim).is_ok();
        if sent && acked(field, &socket, seq) {
            damage.answered += 1;
            damage.slowest = damage.slowest.max(began.elapsed());
        }
        std::thread::sleep(Duration::from_millis(20));
    });
    damage.acks = field.acks.load(Ordering::Relaxed);
    damage
}

/// Waits for the ack with this number, and counts all acks. Gives up if no datagram arrives for
/// half a second.
fn acked(field: &Field, socket: &UdpSocket, seq: u32) -> bool {
    let mut answer = [0; 1500];
    while let Ok(length) = socket.recv(&mut answer) {
        let mut found = false;
        packet::walk(&answer[..length], &mut |part| {
            if let Ok(Message::Ack(ack)) = part.and_then(Message::decode) {
                field.acks.fetch_add(1, Ordering::Relaxed);
                found |= ack.seq == seq;
            }
        });
        if found {
            return true;
        }
    }
    false
}

/// Returns true if, within `patience`, the victim lists itself, the honest nodes and the newcomer
/// as alive.
fn is_complete(from: &Ours, victim: SocketAddr, patience: Duration) -> bool {
    let began = Instant::now();
    while began.elapsed() < patience {
        // On a busy machine, the list of thousands of forged members takes its time.
        let found = from.node().look(&victim.to_string(), Some(patience));
        let alive = |name: &str| {
            let members = found.as_ref().map(|found| &***found).unwrap_or_default();
            let mut named = members.iter().filter(|it| &*it.name == name);
            named.any(|it| it.state == MemberState::Alive)
        };
        if ["victim", "honest-1", "honest-2", "newcomer"]
            .iter()
            .all(|name| alive(name))
        {
            return true;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    false
}

/// Returns the length of an attack: `SPRAT_ATTACK_SECONDS`, or else `default`.
fn seconds(default: u64) -> Duration {
    let wanted = std::env::var("SPRAT_ATTACK_SECONDS").ok();
    Duration::from_secs(wanted.and_then(|it| it.parse().ok()).unwrap_or(default))
}

#[test]
fn a_node_under_attack_keeps_its_members_and_lets_a_newcomer_join() {
    for each in &ATTACKS {
        let damage = attack(each, Victim::ours, seconds(1), PATIENCE);
        let what = format!("{}: {damage:?}", each.name);
        assert!(damage.joined.is_some() && damage.is_complete, "{what}");
        assert!(damage.acks > 0, "{what}");
        assert!((1..MEMORY).contains(&damage.memory), "{what}");
    }
}

#[test]
#[ignore = "prints a table"]
fn attack_table_is_printed() {
    println!(
        "attack, victim, messages, pings answered, slowest ms, join ms, MiB, failed, complete"
    );
    for each in &ATTACKS {
        for (kind, start) in [
            ("sprat", Victim::ours as fn(IpAddr) -> Victim),
            ("serf", Victim::stock),
        ] {
            let it = attack(each, start, seconds(3), PATIENCE / 4);
            println!(
                "| {} | {kind} | {} | {} of {} | {:.1} | {} | {:.1} | {} | {} |",
                each.name,
                it.sent,
                it.answered,
                it.pings,
                it.slowest.as_secs_f64() * 1e3,
                it.joined
                    .map_or("no".to_owned(), |t| format!("{:.1}", t.as_secs_f64() * 1e3)),
                it.memory as f64 / 1024.0,
                it.failed,
                if it.is_complete { "yes" } else { "no" },
            );
        }
    }
}
