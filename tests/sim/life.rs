//! The life of a member in the simulation: join, tags, leave, failure, return, restart.

use super::net::Link;
use super::scenario::{addr_of_generation, millis, secs};
use super::world::World;
use sprat::EventBody;
use sprat::serf::{CoreEvent, LeaveEnd, MemberState};
use sprat::swim::Seed;
use sprat::time::Time;

#[test]
fn five_nodes_that_join_through_one_seed_see_one_another() {
    let mut world = World::new(1).lan(5);
    assert!(!world.is_complete());
    world.join_all_through(0);
    let took = world.expect_between(millis(1), secs(3), World::is_complete);
    assert!(took < secs(3), "{took:?}");
    world.expect_throughout(secs(120), World::is_complete);
    assert_eq!((world.failures(), world.suspicions()), (0, 0));
    for host in 0..5 {
        let joins = |event: &CoreEvent| matches!(event, CoreEvent::App(EventBody::MemberJoin(_)));
        let since = sprat::time::Time::ZERO;
        assert_eq!(
            world.count_events(host, since, joins),
            5,
            "n{host} must see each join once"
        );
    }
}

#[test]
fn the_same_random_seed_gives_the_same_history_and_another_seed_gives_another_history() {
    let run = |random_seed| {
        let mut world = World::cluster(random_seed, 8);
        world.every_link(Link::lossy(0.1));
        world.run(secs(60));
        world.kill(3);
        world.run(secs(60));
        (world.digest, world.net.count.clone())
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7).0, run(8).0);
}

#[test]
fn a_killed_node_is_seen_as_failed_by_all_and_not_too_early() {
    let mut world = World::cluster(2, 10);
    world.kill(3);
    // All see the failure after 4 s, the shortest suspicion, at the earliest. At the latest, they
    // see it after nine probe intervals (all other members may be probed first), the probe itself,
    // these 4 s, and some gossip.
    world.expect_between(secs(4), secs(20), |w| w.all_see(3, MemberState::Failed));
    assert_eq!(world.failures(), 9);
    world.expect_throughout(secs(60), |w| w.all_see(3, MemberState::Failed));
}

#[test]
fn a_node_that_leaves_is_seen_as_left_by_all_and_as_failed_by_none() {
    let mut world = World::cluster(3, 10);
    let began = world.now;
    world.leave(4);
    world.expect_between(millis(200), secs(10), |w| w.all_see(4, MemberState::Left));
    world.run_until(secs(15), |w| {
        w.count_events(4, began, |event| {
            matches!(event, CoreEvent::LeaveDone { .. })
        }) == 1
    });
    world.kill(4);
    world.expect_throughout(secs(60), |w| w.all_see(4, MemberState::Left));
    assert_eq!(world.failures(), 0);
}

#[test]
fn a_node_that_left_or_failed_comes_back_by_joining_again() {
    let mut world = World::cluster(4, 6);
    world.leave(1);
    world.kill(2);
    world.run_until(secs(30), |w| {
        w.all_see(1, MemberState::Left) && w.all_see(2, MemberState::Failed)
    });
    world.run(secs(60));
    world.join(1, &[0]);
    world.restart(2, &[0]);
    world.expect_between(millis(1), secs(5), World::is_complete);
}

#[test]
fn new_tags_reach_every_member_and_cause_one_event_each() {
    let mut world = World::cluster(5, 10);
    let began = world.now;
    world.set_tag(6, "2");
    world.expect_between(millis(1), secs(3), |w| w.all_know_the_truth_about(6));
    world.run(secs(60));
    for host in 0..10 {
        let updates =
            |event: &CoreEvent| matches!(event, CoreEvent::App(EventBody::MemberUpdate(_)));
        assert_eq!(world.count_events(host, began, updates), 1, "at n{host}");
    }
}

#[test]
fn ten_of_twenty_nodes_killed_at_once_are_all_seen_as_failed() {
    let mut world = World::cluster(6, 20);
    (10..20).for_each(|host| world.kill(host));
    let all_gone = |w: &World| (10..20).all(|host| w.all_see(host, MemberState::Failed));
    world.expect_between(secs(4), secs(60), all_gone);
    assert_eq!(
        world.failures(),
        100,
        "each of the ten killed nodes fails once at each of the ten others"
    );
}

#[test]
fn a_node_whose_leave_reaches_no_member_ends_as_left_or_failed() {
    let mut world = World::cluster(7, 6);
    let others: Vec<usize> = (1..6).collect();
    world.partition(&[&[0], &others]);
    world.leave(0);
    world.run_until(secs(20), |w| w.state(0, 0) == Some(MemberState::Left));
    let end = LeaveEnd::Left {
        unacked: (1..6).map(|i| format!("n{i}").into()).collect(),
    };
    let names_all = |event: &CoreEvent| match event {
        CoreEvent::LeaveDone { end: it, .. } => *it == end,
        _ => false,
    };
    assert_eq!(world.count_events(0, Time::ZERO, names_all), 1);
    world.kill(0);
    world.heal();
    let gone = |w: &World| {
        let over = |state| matches!(state, Some(MemberState::Left | MemberState::Failed));
        w.running().all(|observer| over(w.state(observer, 0)))
    };
    world.run_until(secs(60), gone);
}

#[test]
fn a_leave_under_heavy_loss_ends_as_left_or_failed_at_every_member() {
    for random_seed in 0..10 {
        let mut world = World::cluster(800 + random_seed, 6);
        world.every_link(Link::lossy(0.6));
        world.leave(2);
        world.run(secs(12));
        world.kill(2);
        world.heal();
        let over =
            |w: &World, o| matches!(w.state(o, 2), Some(MemberState::Left | MemberState::Failed));
        world.run_until(secs(120), |w| w.running().all(|observer| over(w, observer)));
        assert!(world.net.count.lost > 0);
    }
}

#[test]
fn a_node_restarted_at_once_keeps_its_place_and_its_new_tags_win() {
    let mut world = World::cluster(9, 6);
    world.set_tag(2, "old");
    world.run(secs(10));
    world.kill(2);
    world.run(millis(300));
    world.hosts[2]
        .config
        .tags
        .insert("v".to_owned(), "new".to_owned());
    world.restart(2, &[0]);
    world.expect_between(millis(1), secs(10), |w| {
        w.is_complete() && w.all_know_the_truth_about(2)
    });
    assert_eq!(world.failures(), 0);
}

#[test]
fn a_name_returns_from_another_address_once_it_has_been_dead_for_30_seconds() {
    let mut world = World::cluster(10, 6);
    world.kill(2);
    world.readdress(2, 1);
    world.restart(2, &[0]);
    // The old address must be declared failed, which takes at least 4 s, and stay failed for
    // `dead_reclaim`, which is 30 s.
    let took = world.expect_between(secs(34), secs(200), |w| {
        w.is_complete() && w.all_know_the_truth_about(2)
    });
    assert_eq!(world.addr(2), addr_of_generation(2, 1));
    assert!(took > secs(34));
}

#[test]
fn a_name_that_left_returns_from_another_address_at_once() {
    let mut world = World::cluster(11, 6);
    world.leave(2);
    world.run_until(secs(20), |w| w.all_see(2, MemberState::Left));
    world.run(secs(5));
    world.kill(2);
    world.readdress(2, 1);
    world.restart(2, &[0]);
    world.expect_between(millis(1), secs(5), |w| {
        w.is_complete() && w.all_know_the_truth_about(2)
    });
}

#[test]
fn a_failed_node_that_is_removed_becomes_left_at_every_member() {
    let mut world = World::cluster(12, 6);
    world.kill(5);
    world.run_until(secs(60), |w| w.all_see(5, MemberState::Failed));
    world
        .command(1, |core, now| core.remove_failed(now, "n5", false))
        .unwrap();
    world.expect_between(millis(1), secs(5), |w| w.all_see(5, MemberState::Left));
    world.expect_throughout(secs(120), |w| w.all_see(5, MemberState::Left));
}

#[test]
fn a_seed_that_appears_after_the_others_brings_them_together() {
    let mut world = World::new(13).lan(5);
    world.crash(0);
    world.join_all_through(0);
    world.run(secs(300));
    assert!(world.net.count.refused > 0, "no node asked the absent seed");
    assert!((1..5).all(|host| world.hosts[host].view.alive == 1));
    world.boot(0);
    // Each node goes on asking the seed, with pauses of at most 45 s.
    world.expect_between(millis(1), secs(60), World::is_complete);
}

#[test]
fn a_seed_whose_name_resolves_only_later_is_found() {
    let mut world = World::new(14).lan(4);
    let seeds = [Seed::Host("seed.example".to_owned(), 7946)];
    (1..4).for_each(|host| world.join_seeds(host, &seeds));
    world.run(secs(120));
    assert!((1..4).all(|host| world.hosts[host].view.alive == 1));
    let addr = world.addr(0).ip();
    world.dns.insert("seed.example".to_owned(), vec![addr]);
    world.expect_between(millis(1), secs(60), World::is_complete);
}

#[test]
fn a_seed_name_that_changes_its_address_is_followed() {
    let mut world = World::new(15).lan(4);
    let name = "seed.example".to_owned();
    world.dns.insert(name.clone(), vec![world.addr(0).ip()]);
    world.crash(0);
    let seeds = [Seed::Host(name.clone(), 7946)];
    (1..4).for_each(|host| world.join_seeds(host, &seeds));
    world.run(secs(30));
    world.readdress(0, 1);
    world.boot(0);
    world.run(secs(100));
    assert!(
        (1..4).all(|host| world.hosts[host].view.alive == 1),
        "no node may find the seed at its old address"
    );
    world.dns.insert(name, vec![world.addr(0).ip()]);
    world.expect_between(millis(1), secs(60), World::is_complete);
}

#[test]
fn more_joiners_than_a_node_serves_at_a_time_wait_their_turn() {
    let mut world = World::new(16).lan(200);
    world.check_closely = false;
    world.join_all_through(0);
    world.run_until(secs(10), World::is_complete);
    assert!(world.net.count.backlogged > 0, "no joiner waited");
}
