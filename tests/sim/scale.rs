//! Large clusters: what loss does to them, and how fast they are simulated.

use super::net::Link;
use super::scenario::{number_from_env, secs, settings};
use super::world::World;
use crate::counting::in_use;
use nix::time::{ClockId, clock_gettime};
use sprat::swim::Config as Swim;
use std::time::Duration;

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
    /// Simulated seconds of one node per second of processor time.
    speed: f64,
}

/// Returns a complete cluster in which the gossip about the joins has ended.
fn settled(nodes: usize, swim: Swim) -> World {
    let mut world = World::new(nodes as u64);
    world.check_closely = false;
    world.keep_events = false;
    let mut config = settings();
    config.swim = swim;
    let mut world = world.nodes(nodes, &config);
    world.join_all_through(0);
    world.run_until(secs(60), World::is_complete);
    world.run(secs(90));
    world
}

/// The processor time that this thread has used.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    time.expect("every Linux has this clock").into()
}

impl Run {
    fn run(self) -> Outcome {
        let mut world = settled(self.nodes, self.swim);
        world.every_link(Link::lossy(self.loss));
        let (before, verdicts, began) = (world.net.count.clone(), world.verdicts, processor_time());
        world.run(self.time);
        let took = processor_time() - began;
        let node_seconds = self.nodes as f64 * self.time.as_secs_f64();
        let datagrams = world.net.count.datagrams - before.datagrams;
        Outcome {
            failed: world.verdicts.failed - verdicts.failed,
            suspected: world.verdicts.suspected - verdicts.suspected,
            datagrams: datagrams as f64 / node_seconds,
            speed: node_seconds / took.as_secs_f64(),
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

/// The period of the regular push/pulls in a cluster of this size.
pub fn push_pull_period(nodes: usize) -> Duration {
    let doublings = (nodes.max(32) - 1).ilog2() + 1 - 5;
    secs(30) * (1 + doublings)
}

/// This command prints how fast crowds at rest are simulated, without and with the regular
/// push/pulls, and the memory that they take; `SPRAT_NODES` chooses one size. The time is one
/// period of the push/pulls, so each node begins one of them.
/// `cargo test --release --features internals,spoe --test sim rest_table -- --ignored --nocapture`
#[test]
#[ignore = "prints a table that shows how fast the simulator is"]
fn rest_table_is_printed() {
    let sizes = number_from_env("SPRAT_NODES").map_or(vec![100, 1000, 3000], |it| vec![it]);
    println!("nodes push/pulls  start s  node-s/s  bytes/node  bytes/(node x member)");
    for nodes in sizes.into_iter().map(|nodes| nodes as usize) {
        for push_pulls in [false, true] {
            let mut config = settings();
            if !push_pulls {
                config.swim.push_pull_interval = Duration::ZERO;
            }
            let (before, began) = (in_use(), processor_time());
            let mut world = World::crowd(nodes as u64, nodes, config);
            let start = processor_time() - began;
            // After this time, the gossip of node 0 about the others has ended.
            world.run(secs(90));
            let (time, began) = (push_pull_period(nodes), processor_time());
            world.run(time);
            let took = processor_time() - began;
            let (nodes, bytes) = (nodes as f64, (in_use() - before) as f64);
            println!(
                "{nodes:>5} {push_pulls:>10} {:>8.1} {:>9.0} {:>11.0} {:>22.0}",
                start.as_secs_f64(),
                nodes * time.as_secs_f64() / took.as_secs_f64(),
                bytes / nodes,
                bytes / (nodes * nodes),
            );
        }
    }
}
