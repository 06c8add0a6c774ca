//! Large clusters: what loss does to them, and how fast they are simulated.

use super::net::Link;
use super::scenario::{number_from_env, secs, settings};
use super::world::World;
use sprat::swim::Config as Swim;
use std::time::{Duration, Instant};

/// A cluster that runs for some time under loss.
struct Run {
    nodes: usize,
    loss: f64,
    time: Duration,
    swim: Swim,
}

/// The cost of a run, and the mistakes of its nodes.
struct Outcome {
    /// The number of times that a node called a live member failed.
    failed: u64,
    /// The number of times that a node began to suspect a live member.
    suspected: u64,
    /// Datagrams that a node sent per second.
    datagrams: f64,
    /// Simulated seconds of one node per second of real time.
    speed: f64,
}

impl Run {
    fn run(self) -> Outcome {
        let mut world = World::new(self.nodes as u64);
        world.check_closely = false;
        world.keep_events = false;
        let mut config = settings();
        config.swim = self.swim;
        let mut world = world.nodes(self.nodes, &config);
        world.join_all_through(0);
        world.run_until(secs(60), World::is_complete);
        // After this time, the gossip about the joins has ended.
        world.run(secs(90));
        world.every_link(Link::lossy(self.loss));
        let (before, verdicts, began) = (world.net.count.clone(), world.verdicts, Instant::now());
        world.run(self.time);
        let node_seconds = self.nodes as f64 * self.time.as_secs_f64();
        let datagrams = world.net.count.datagrams - before.datagrams;
        Outcome {
            failed: world.verdicts.failed - verdicts.failed,
            suspected: world.verdicts.suspected - verdicts.suspected,
            datagrams: datagrams as f64 / node_seconds,
            speed: node_seconds / began.elapsed().as_secs_f64(),
        }
    }
}

/// This command prints the table for 1,000 nodes and two minutes, or for the numbers in
/// `SPRAT_NODES` and `SPRAT_SECONDS`:
/// `cargo test --release --test sim loss_table -- --ignored --nocapture`
#[test]
#[ignore = "prints a table that helps to tune the core"]
fn loss_table_is_printed() {
    let nodes = number_from_env("SPRAT_NODES").unwrap_or(1000) as usize;
    let time = secs(number_from_env("SPRAT_SECONDS").unwrap_or(120));
    println!("nodes  loss  mode   failed suspected  datagrams/s  node-s/s");
    for loss in [0.0, 0.1, 0.3] {
        let plain = (nodes <= 300).then(|| ("plain", Swim::lan().plain()));
        for (mode, swim) in [("sprat", Swim::lan())].into_iter().chain(plain) {
            let run = Run {
                nodes,
                loss,
                time,
                swim,
            };
            let it = run.run();
            println!(
                "{nodes:>5} {loss:>5} {mode:>6} {:>7} {:>9} {:>12.2} {:>9.0}",
                it.failed, it.suspected, it.datagrams, it.speed
            );
        }
    }
}
