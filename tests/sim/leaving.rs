//! Leaving: no member mistakes a leave for a failure if every live member acknowledged the leave.
//!
//! In each run, some nodes of a cluster leave at the same time: at least one, and at most half of
//! them. Each process ends as soon as its leave is over, as a real program would.

use super::net::Link;
use super::rng::Rng;
use super::scenario::{by_test_level, each_random_seed, millis, secs};
use super::world::World;
use sprat::EventBody;
use sprat::serf::{CoreEvent, LeaveEnd};
use std::collections::BTreeSet;
use std::sync::Arc;

const SIZES: [usize; 8] = [2, 3, 4, 6, 10, 20, 50, 200];

/// The leaves of a run.
#[derive(Default)]
struct Leaves {
    /// The number of nodes that left.
    all: usize,
    /// The number of leaves that every live member acknowledged.
    acked: usize,
}

/// Returns the end of the leave of a host, if it is over.
fn end_of(world: &World, host: usize) -> Option<LeaveEnd> {
    let mut events = world.hosts[host].events.iter();
    events.find_map(|(_, event)| match event {
        CoreEvent::LeaveDone { end, .. } => Some(end.clone()),
        _ => None,
    })
}

/// Lets some nodes leave, at most half of them, and ends their processes. Returns the number of
/// these nodes, and the names of those whose leave every live member acknowledged.
fn leave_at_once(world: &mut World, dice: &mut Rng) -> (usize, BTreeSet<Arc<str>>) {
    let nodes = world.hosts.len();
    let mut order: Vec<usize> = (0..nodes).collect();
    (0..nodes).for_each(|i| order.swap(i, dice.below(nodes)));
    let leavers = &order[..1 + dice.below(nodes / 2)];
    leavers.iter().for_each(|&host| world.leave(host));
    let mut under_way: Vec<usize> = leavers.to_vec();
    let mut acked = BTreeSet::new();
    let until = world.now + secs(20);
    while !under_way.is_empty() {
        assert!(
            world.now < until,
            "random seed {}\n{}",
            world.random_seed,
            world.picture()
        );
        world.run(millis(10));
        under_way.retain(|&host| {
            let Some(end) = end_of(world, host) else {
                return true;
            };
            if end == (LeaveEnd::Left { unacked: vec![] }) {
                acked.insert(world.hosts[host].name.clone());
            }
            world.kill(host);
            false
        });
    }
    (leavers.len(), acked)
}

fn run(random_seed: u64, loss: f64) -> Leaves {
    let mut dice = Rng::new(random_seed ^ 0x1eaf);
    let size = SIZES[random_seed as usize % SIZES.len()];
    let mut world = World::new(random_seed);
    world.check_closely = size < 50;
    let mut world = world.lan(size);
    world.join_all_through(0);
    world.run_until(secs(60), World::is_complete);
    world.run(secs(5));
    if loss > 0.0 {
        world.every_link(Link::lossy(loss));
    }
    let (all, acked) = leave_at_once(&mut world, &mut dice);
    world.run(secs(40));
    for host in &world.hosts {
        for (at, event) in &host.events {
            let CoreEvent::App(EventBody::MemberFail(member)) = event else {
                continue;
            };
            assert!(
                !acked.contains(&member.name),
                "random seed {random_seed}: {} reports at {at:?} that {} failed",
                host.name,
                member.name
            );
        }
    }
    let acked = acked.len();
    Leaves { all, acked }
}

fn run_all(loss: f64) -> Leaves {
    let mut sum = Leaves::default();
    let count = by_test_level(24, 1000);
    for leaves in each_random_seed(count, |random_seed| run(random_seed, loss)) {
        sum.all += leaves.all;
        sum.acked += leaves.acked;
    }
    sum
}

#[test]
fn no_member_takes_a_leave_for_a_failure() {
    let sum = run_all(0.0);
    assert_eq!(sum.acked, sum.all, "every leave is acknowledged");
}

#[test]
fn no_member_takes_an_acknowledged_leave_for_a_failure_under_loss() {
    let sum = run_all(0.1);
    let missed = sum.all - sum.acked;
    assert!(missed * 100 <= sum.all, "{missed} of {} leaves", sum.all);
}
