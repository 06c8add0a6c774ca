//! Partitions heal without help, and a node that is cut off from most members reports that it is
//! isolated.

use super::scenario::secs;
use super::world::World;
use sprat::serf::MemberState;
use sprat::swim::Health;
use std::time::Duration;

/// Splits a cluster of ten nodes into halves for this time. At the end of it, each half must see
/// the other as failed. After the split has healed, all nodes must soon see one another alive.
/// Returns the time that this took.
fn part_and_heal(random_seed: u64, time: Duration) -> Duration {
    let mut world = World::cluster(random_seed, 10);
    let (left, right): (Vec<usize>, Vec<usize>) = ((0..5).collect(), (5..10).collect());
    world.partition(&[&left, &right]);
    world.run(time);
    for (half, other) in [(&left, &right), (&right, &left)] {
        for &observer in half {
            assert!(
                half.iter()
                    .all(|&of| world.state(observer, of) == Some(MemberState::Alive))
            );
            let failed = |of: &usize| world.state(observer, *of) == Some(MemberState::Failed);
            assert!(other.iter().all(failed), "n{observer}\n{}", world.picture());
        }
    }
    assert!(world.net.count.cut > 0);
    world.heal();
    let healed = world.run_until(world.convergence(), World::is_complete);
    // Old suspicions may spread once more. After the grace period, none is left.
    world.run(world.grace());
    world.expect_throughout(secs(120), World::is_complete);
    healed
}

/// The health that host 0 reports.
fn health(world: &World) -> Health {
    let host = &world.hosts[0];
    host.core.as_ref().unwrap().health(host.local(world.now))
}

#[test]
fn a_partition_of_a_minute_heals_without_help() {
    part_and_heal(40, secs(60));
}

#[test]
fn a_partition_of_ten_minutes_heals_without_help() {
    part_and_heal(41, secs(600));
}

#[test]
fn a_partition_of_two_hours_heals_without_help() {
    part_and_heal(42, secs(2 * 3600));
}

#[test]
fn plain_memberlist_does_not_heal_a_partition_of_ten_minutes() {
    let mut config = super::scenario::settings();
    config.swim = config.swim.plain();
    let mut world = World::new(43).nodes(6, &config);
    world.join_all_through(0);
    world.run_until(secs(60), World::is_complete);
    world.partition(&[&[0, 1, 2], &[3, 4, 5]]);
    world.run(secs(600));
    world.heal();
    world.run(world.convergence() * 3);
    assert!(!world.is_complete(), "plain memberlist healed");
}

#[test]
fn one_node_that_was_cut_off_from_all_others_reconnects_to_them() {
    let mut world = World::cluster(44, 8);
    let others: Vec<usize> = (1..8).collect();
    world.partition(&[&[0], &others]);
    // The others see node 0 fail. Node 0 sees the others fail one after another: it has to probe
    // each of them first, and no member confirms its suspicions, which therefore run for their
    // longest time.
    let failed = |state| state == Some(MemberState::Failed);
    world.run_until(secs(60), |w| others.iter().all(|&o| failed(w.state(o, 0))));
    world.run_until(secs(60), |w| {
        others.iter().filter(|&&o| failed(w.state(0, o))).count() > 3
    });
    assert!(health(&world).isolated, "{:?}", health(&world));
    world.run(secs(300));
    assert!(others.iter().all(|&o| failed(world.state(0, o))));
    // The node reports its isolation until the cut ends, although no member is left to gossip to.
    let alone = health(&world);
    assert!(alone.isolated, "{alone:?}");
    assert_eq!((alone.live, alone.known), (1, 8));
    world.heal();
    world.run_until(world.convergence(), World::is_complete);
    assert!(!health(&world).isolated);
}

#[test]
fn a_node_that_is_cut_off_is_isolated_before_it_declares_any_member_failed() {
    for (random_seed, size) in [(50, 3), (51, 4), (52, 5), (53, 8), (54, 25), (55, 60)] {
        let mut world = World::cluster(random_seed, size);
        world.run(secs(30));
        assert!(!health(&world).isolated);
        let others: Vec<usize> = (1..size).collect();
        world.partition(&[&[0], &others]);
        let declared_failed = |world: &World| {
            let failed = |&of: &usize| world.state(0, of) == Some(MemberState::Failed);
            others.iter().filter(|of| failed(of)).count()
        };
        world.expect_throughout(secs(120), |w| declared_failed(w) == 0 || health(w).isolated);
        assert!(declared_failed(&world) > 0, "in a cluster of {size} nodes");
    }
}

#[test]
fn a_node_that_loses_its_only_peer_is_not_isolated() {
    let mut world = World::cluster(56, 2);
    world.kill(1);
    world.expect_throughout(secs(60), |w| !health(w).isolated);
    assert_eq!(world.state(0, 1), Some(MemberState::Failed));
}

#[test]
fn a_node_that_sees_fewer_than_half_of_the_members_die_is_not_isolated() {
    let mut world = World::cluster(57, 20);
    (11..20).for_each(|host| world.kill(host));
    world.expect_throughout(secs(120), |w| !health(w).isolated);
    assert!((11..20).all(|of| world.state(0, of) == Some(MemberState::Failed)));
}

#[test]
fn three_parts_become_one_again() {
    let mut world = World::cluster(45, 9);
    world.partition(&[&[0, 1, 2], &[3, 4, 5], &[6, 7, 8]]);
    world.run(secs(1200));
    world.heal();
    world.run_until(world.convergence(), World::is_complete);
}

#[test]
fn deaths_and_joins_during_a_partition_are_known_to_all_after_it() {
    let mut world = World::cluster(46, 8);
    world.partition(&[&[0, 1, 2, 3], &[4, 5, 6, 7, 8]]);
    world.run(secs(100));
    let newcomer = world.add_host(super::scenario::settings());
    world.boot(newcomer);
    world.join(newcomer, &[5]);
    world.kill(1);
    world.set_tag(6, "new");
    world.run(secs(200));
    world.heal();
    let right = |w: &World| {
        let members = [0, 2, 3, 4, 5, 6, 7, 8];
        let alive = members.iter().all(|&of| w.all_see(of, MemberState::Alive));
        let old = &members[..7]; // the newcomer need not know the dead node
        alive && w.these_see(old, 1, MemberState::Failed) && w.all_know_the_truth_about(6)
    };
    world.run_until(world.convergence(), right);
}
