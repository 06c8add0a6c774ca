//! Starts of large clusters: many nodes join through one seed.
//!
//! Plain memberlist spreads a join by gossip alone, and gossip misses members: with L transmissions
//! per broadcast, the missed fraction f solves f = exp(-L (1 - f)). A missed member may wait a
//! minute or more for a push/pull. With sprat, every member must know every other within 3 s, in at
//! least 99.9 % of the runs.
//!
//! All nodes start at random times within 200 ms, and times are measured from the end of these
//! 200 ms. Bytes are counted over the first 10 s: the earliest regular push/pull comes after a full
//! period of at least 30 s, so in both modes this window holds none.

use super::scenario::{self, each_random_seed, millis, number_from_env, secs, settings};
use super::world::World;
use sprat::serf::Config;
use std::time::Duration;

/// The maximum number of runs of plain memberlist with which the bytes of sprat are compared. The
/// bytes of these runs vary little, so few runs are enough for a mean.
const SEEDS_FOR_BYTES: u64 = 20;
/// All nodes start within this time.
const STARTS: Duration = Duration::from_millis(200);
const WINDOW: Duration = Duration::from_secs(10);
/// The longest time that a run may take where stragglers are expected, and in the table.
const PATIENCE: Duration = Duration::from_secs(300);
const SIZES: [usize; 5] = [9, 50, 99, 100, 200];

#[derive(Clone, Copy, Debug)]
enum Mode {
    Sprat,
    Plain,
}

impl Mode {
    fn config(self) -> Config {
        let mut config = settings();
        match self {
            Mode::Sprat => {}
            Mode::Plain => config.swim = config.swim.plain(),
        }
        config
    }
}

/// One start: the time until every node sees every other, and the bytes of the window. The time is
/// `None` if the run ends before that.
#[derive(Clone, Copy, Debug)]
struct Start {
    took: Option<Duration>,
    bytes: u64,
}

fn start(nodes: usize, mode: Mode, random_seed: u64, patience: Duration) -> Start {
    let mut world = World::new(random_seed * 1000 + nodes as u64);
    world.check_closely = false;
    world.keep_events = false;
    for _ in 0..nodes {
        let host = world.add_host(mode.config());
        // The seed starts first. Another test has a seed that starts late.
        let after = if host == 0 {
            Duration::ZERO
        } else {
            world.rng.between(millis(1), STARTS)
        };
        world.later(after, move |world| {
            world.boot(host);
            if host != 0 {
                world.join(host, &[0]);
            }
        });
    }
    world.run(STARTS);
    let early = world.try_until(WINDOW - STARTS, World::is_complete);
    world.run_to(sprat::time::Time::ZERO + WINDOW);
    let bytes = world.net.count.bytes;
    let took = early.or_else(|| {
        let later = world.try_until(patience.saturating_sub(WINDOW), World::is_complete);
        later.map(|time| time + WINDOW - STARTS)
    });
    Start { took, bytes }
}

/// A summary of many starts.
struct Summary {
    /// The times of the starts, sorted. Starts that were never complete come last.
    times: Vec<Duration>,
    bytes: f64,
}

impl Summary {
    fn new(starts: &[Start]) -> Summary {
        let mut times: Vec<_> = starts
            .iter()
            .map(|s| s.took.unwrap_or(Duration::MAX))
            .collect();
        times.sort_unstable();
        let bytes = starts.iter().map(|s| s.bytes as f64).sum::<f64>() / starts.len() as f64;
        Summary { times, bytes }
    }

    /// The time that this share of the runs does not exceed.
    fn quantile(&self, share: f64) -> Duration {
        let rank = (share * self.times.len() as f64).ceil() as usize;
        self.times[rank.clamp(1, self.times.len()) - 1]
    }

    fn stragglers(&self) -> usize {
        self.times.iter().filter(|time| **time > secs(3)).count()
    }
}

fn random_seeds() -> u64 {
    number_from_env("SPRAT_BOOT_SEEDS").unwrap_or_else(|| scenario::by_test_level(20, 200))
}

fn measure(nodes: usize, mode: Mode, random_seeds: u64, patience: Duration) -> Summary {
    Summary::new(&each_random_seed(random_seeds, |random_seed| {
        start(nodes, mode, random_seed, patience)
    }))
}

fn assert_complete_within_three_seconds_and_frugal(nodes: usize) {
    let random_seeds = random_seeds();
    let sprat = measure(nodes, Mode::Sprat, random_seeds, WINDOW);
    let worst = sprat.quantile(0.999);
    assert!(
        worst <= secs(3),
        "{nodes} nodes: {worst:?}, {} stragglers",
        sprat.stragglers()
    );
    let plain = measure(
        nodes,
        Mode::Plain,
        random_seeds.min(SEEDS_FOR_BYTES),
        WINDOW,
    );
    let ratio = sprat.bytes / plain.bytes;
    assert!(
        ratio <= 1.2,
        "{nodes} nodes: {ratio:.3} times the bytes of plain memberlist"
    );
}

#[test]
fn nine_nodes_start_together_within_three_seconds() {
    assert_complete_within_three_seconds_and_frugal(9);
}

#[test]
fn fifty_nodes_start_together_within_three_seconds() {
    assert_complete_within_three_seconds_and_frugal(50);
}

#[test]
fn ninety_nine_nodes_start_together_within_three_seconds() {
    assert_complete_within_three_seconds_and_frugal(99);
}

#[test]
fn a_hundred_nodes_start_together_within_three_seconds() {
    assert_complete_within_three_seconds_and_frugal(100);
}

#[test]
fn two_hundred_nodes_start_together_within_three_seconds() {
    assert_complete_within_three_seconds_and_frugal(200);
}

#[test]
fn plain_memberlist_has_stragglers_that_wait_for_a_push_pull() {
    let plain = measure(99, Mode::Plain, 40, PATIENCE);
    assert!(plain.stragglers() >= 4, "{} of 40", plain.stragglers());
    let worst = plain.quantile(1.0);
    assert!(worst > secs(20) && worst < PATIENCE, "{worst:?}");
}

#[test]
fn a_thousand_nodes_join_through_one_seed() {
    let began = std::time::Instant::now();
    let mut world = World::new(1000);
    world.check_closely = false;
    world.keep_events = false;
    let mut world = world.nodes(1000, &settings());
    world.join_all_through(0);
    let took = world.run_until(secs(60), World::is_complete);
    println!(
        "1,000 nodes: {took:?} of virtual time, {:?} of real time",
        began.elapsed()
    );
    println!("{:?}", world.net.count);
    assert!(took <= secs(20), "{took:?}");
}

/// This command prints the table:
/// `SPRAT_BOOT_SEEDS=1000 cargo test --release --test sim bootstrap_table -- --ignored --nocapture`
#[test]
#[ignore = "prints a table that helps to tune the core"]
fn bootstrap_table_of_all_sizes_is_printed() {
    println!("nodes mode  median     p99.9      max        > 3 s       MB  bytes/plain");
    for nodes in SIZES {
        let mut plain_bytes = None;
        for mode in [Mode::Plain, Mode::Sprat] {
            let summary = measure(nodes, mode, random_seeds(), PATIENCE);
            let ratio = summary.bytes / *plain_bytes.get_or_insert(summary.bytes);
            println!(
                "{nodes:>5} {mode:<5?} {:<10.2?} {:<10.2?} {:<10.2?} {:>4} of {:<4} \
                 {:>5.2} {ratio:>6.3}",
                summary.quantile(0.5),
                summary.quantile(0.999),
                summary.quantile(1.0),
                summary.stragglers(),
                summary.times.len(),
                summary.bytes / 1e6,
            );
        }
    }
}
