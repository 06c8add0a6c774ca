//! Compares sprat with its peers: stock Serf agents, Go's memberlist, and the crates memberlist and
//! chitchat. All are measured the same way in one run, and the results are printed as tables.
//! `make bench` builds what this program starts, and names it in environment variables. README.md
//! beside this file says what each row means.

mod cluster;
mod crowd;
mod crowded;
mod figures;
mod processes;

use cluster::Kind;
use crowd::Crowd;
use figures::{Figures, Row};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

/// Returns an environment variable that names a program.
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|why| panic!("{name}: {why}; `make bench` sets it"))
}

/// Returns a number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Err(_) => default,
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text}: a whole number is expected")),
    }
}

/// The figures of each program, by the heading of its column.
type Columns = BTreeMap<&'static str, Figures>;

fn clusters() -> Result<(), String> {
    const KINDS: [Kind; 6] = [
        Kind::Sprat,
        Kind::Serf,
        Kind::Go,
        Kind::Crate,
        Kind::Chitchat,
        Kind::Floor,
    ];
    let size = setting("SPRAT_BENCH_NODES", 100).clamp(3, 200) as usize;
    let rest = Duration::from_secs(setting("SPRAT_BENCH_REST", 30));
    let kills = setting("SPRAT_BENCH_KILLS", 3) as usize;
    let mut columns = Columns::new();
    for kind in KINDS {
        let figures = columns.entry(kind.title()).or_default();
        cluster::measure(kind, size, rest, kills, figures)
            .map_err(|why| format!("{}: {why}", kind.title()))?;
    }
    println!(
        "\n{size} nodes of each kind, {} s at rest:\n",
        rest.as_secs()
    );
    figures::print(&cluster::ROWS, &KINDS.map(Kind::title), &columns);
    Ok(())
}

fn crowded() -> Result<(), String> {
    const KINDS: [Kind; 4] = [Kind::Sprat, Kind::SpratMemberlist, Kind::Serf, Kind::Go];
    let rounds = setting("SPRAT_BENCH_ROUNDS", 3);
    let rest = Duration::from_secs(setting("SPRAT_BENCH_CROWD_REST", 20));
    let crowd = Crowd::start(10_000);
    let mut columns = Columns::new();
    for _ in 0..rounds {
        for kind in KINDS {
            let figures = columns.entry(kind.title()).or_default();
            crowded::measure(kind, &crowd, rest, figures)
                .map_err(|why| format!("{}: {why}", kind.title()))?;
        }
        for seed in [Kind::Sprat, Kind::Serf] {
            crowded::join(seed, &crowd, &mut columns)
                .map_err(|why| format!("a join through {}: {why}", seed.title()))?;
        }
    }
    println!("\nOne node that knows 10,000 members, {rounds} rounds:\n");
    figures::print(&crowded::ROWS, &KINDS.map(Kind::title), &columns);
    Ok(())
}

/// Compares how long it takes to seal a packet.
fn sealing() -> Result<(), String> {
    const COUNT: u32 = 200_000;
    const ROWS: [Row; 1] = [Row {
        what: "sealing a packet of 1,138 bytes with AES-128",
        unit: "us",
    }];
    let mut columns = Columns::new();
    for _ in 0..3 {
        let sprat = columns.entry("sprat").or_default();
        sprat.add(ROWS[0].what, seal(COUNT).as_secs_f64() * 1e6);
        let output = Command::new(variable("SPRAT_GO_PEER"))
            .args(["seal", &COUNT.to_string()])
            .output()
            .map_err(|why| why.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout);
        let time: f64 = text.trim().parse().map_err(|_| format!("Go: {text:?}"))?;
        let go = columns.entry("Go memberlist").or_default();
        go.add(ROWS[0].what, time / 1e3);
    }
    println!("\nEncryption:\n");
    figures::print(&ROWS, &["sprat", "Go memberlist"], &columns);
    Ok(())
}

/// Returns the time that sprat takes to seal one packet.
fn seal(count: u32) -> Duration {
    use sprat::wire::codec::{Codec, Key, Keyring};
    let key = Key::new(&[7; 16]).expect("a key may have 16 bytes");
    let codec = Codec {
        keyring: Keyring::new(vec![key]),
        compress: false,
        verify_incoming: true,
        verify_outgoing: true,
        ..Codec::default()
    };
    let packet = [7; 1138];
    let began = Instant::now();
    let mut random = StdRng::seed_from_u64(7);
    for _ in 0..count {
        // A node makes its nonces with a generator of its own, too.
        let mut nonce = [0; 12];
        random.fill_bytes(&mut nonce);
        let sealed = sprat::wire::packet::seal(&codec, &packet, false, nonce);
        std::hint::black_box(sealed);
    }
    began.elapsed() / count
}

fn main() -> Result<(), String> {
    let parts: [(&str, fn() -> Result<(), String>); 3] = [
        ("sealing", sealing),
        ("crowded", crowded),
        ("clusters", clusters),
    ];
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("{cores} processors, load before: {}", load.trim());
    for (name, run) in parts {
        if wanted.is_empty() || wanted.iter().any(|it| it == name) {
            run()?;
        }
    }
    Ok(())
}
