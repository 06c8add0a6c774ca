//! Single faults and what must follow from them: lost packets, cut links, stopped processes, wrong
//! clocks. Hints are tested here, too.

use super::net::Link;
use super::scenario::{by_test_level, millis, secs};
use super::world::World;
use sprat::EventBody;
use sprat::serf::{CoreEvent, MemberState};

#[test]
fn a_false_suspicion_under_loss_is_refuted() {
    let mut world = World::cluster(20, 10);
    world.every_link(Link::lossy(0.5));
    world.run(secs(600));
    assert!(world.suspicions() > 0, "no node was suspected");
    assert_eq!(world.failures(), 0);
    let refuted: u64 = (0..10).map(|host| world.counter(host, "refutations")).sum();
    assert!(refuted > 0);
    world.heal();
    world.run_until(world.longest_suspicion(), World::is_complete);
}

#[test]
fn a_cut_between_two_nodes_is_bridged_by_helpers_and_no_node_is_suspected() {
    let mut world = World::cluster(21, 6);
    world.cut(1, 4);
    world.expect_throughout(secs(300), World::is_complete);
    assert!(world.net.count.cut > 0);
    assert!(world.counter(1, "indirect_probes") + world.counter(4, "indirect_probes") > 0);
    assert_eq!((world.suspicions(), world.failures()), (0, 0));
}

#[test]
fn two_nodes_whose_datagrams_are_lost_see_each_other_alive_by_streams() {
    let mut world = World::cluster(22, 2);
    world.cut_datagrams(0, 1);
    world.expect_throughout(secs(300), World::is_complete);
    assert!(world.net.count.cut > 0);
    assert!(world.counter(0, "stream_fallbacks") > 0);
    let core = world.hosts[0].core.as_ref().unwrap();
    let health = core.health(world.hosts[0].local(world.now));
    assert!(!health.datagrams_work && health.streams_work, "{health:?}");
}

#[test]
fn a_link_that_works_in_only_one_direction_makes_no_node_fail() {
    let mut world = World::cluster(23, 6);
    world.cut_one_way(2, 3);
    world.run(secs(300));
    assert!(world.net.count.cut > 0);
    assert_eq!(world.failures(), 0);
    assert!(world.is_complete());
}

#[test]
fn a_process_stopped_for_seconds_is_suspected_and_refutes_when_it_goes_on() {
    let mut world = World::cluster(24, 10);
    world.pause(5);
    let suspected = |w: &World| {
        w.running()
            .any(|o| w.state(o, 5) == Some(MemberState::Suspect))
    };
    world.run_until(secs(30), suspected);
    world.run(millis(500));
    world.resume(5);
    world.expect_between(millis(1), secs(5), World::is_complete);
    assert_eq!(world.failures(), 0);
    assert!(world.counter(5, "refutations") > 0);
}

#[test]
fn a_process_stopped_for_minutes_fails_and_comes_back_without_help() {
    let mut world = World::cluster(25, 10);
    world.pause(5);
    world.run_until(secs(60), |w| w.all_see(5, MemberState::Failed));
    world.run(secs(600));
    let began = world.now;
    world.resume(5);
    world.expect_between(millis(1), secs(60), World::is_complete);
    let failed = |event: &CoreEvent| matches!(event, CoreEvent::App(EventBody::MemberFail(_)));
    assert_eq!(
        world.count_events(5, began, failed),
        0,
        "the stopped node blames no other for its own absence"
    );
    assert_eq!(world.net.count.stalled, 1);
}

#[test]
fn a_clock_that_jumps_an_hour_ahead_makes_no_node_fail() {
    let mut world = World::cluster(26, 8);
    world.step_clock(3, secs(3600));
    world.expect_throughout(secs(60), |w| w.failures() == 0);
    world.run_until(secs(30), World::is_complete);
}

#[test]
fn a_clock_that_jumps_while_a_node_is_suspected_does_not_shorten_the_suspicion() {
    let mut world = World::cluster(27, 8);
    world.pause(5);
    world.run_until(secs(30), |w| w.state(0, 5) == Some(MemberState::Suspect));
    world.step_clock(0, secs(3600));
    world.resume(5);
    world.run_until(secs(20), World::is_complete);
    assert_eq!(world.failures(), 0);
}

#[test]
fn a_machine_that_slept_for_hours_suspects_no_node_whether_its_clock_went_on_or_not() {
    for counted in [true, false] {
        let mut world = World::cluster(28, 8);
        world.suspend(2);
        world.run(secs(4 * 3600));
        assert!(world.all_see(2, MemberState::Failed));
        let began = world.now;
        world.awaken(2, counted);
        world.run_until(secs(60), World::is_complete);
        world.run(secs(120));
        let blamed = |event: &CoreEvent| matches!(event, CoreEvent::App(EventBody::MemberFail(_)));
        assert_eq!(
            world.count_events(2, began, blamed),
            0,
            "the clock ran during the sleep: {counted}"
        );
        assert!(world.is_complete());
    }
}

#[test]
fn clocks_that_run_a_tenth_too_fast_or_slow_do_no_harm() {
    let mut world = World::cluster(29, 8);
    let now = world.now;
    world.hosts[1].clock.set_skew(now, 100_000);
    world.hosts[2].clock.set_skew(now, -100_000);
    world.expect_throughout(secs(600), World::is_complete);
    world.kill(3);
    world.expect_between(secs(3), secs(25), |w| w.all_see(3, MemberState::Failed));
}

#[test]
fn seventeen_joiners_all_get_in_at_thirty_percent_loss() {
    let mut false_alarms = 0;
    for random_seed in 0..by_test_level(12, 100) {
        let mut world = World::new(3000 + random_seed).lan(17);
        world.every_link(Link::lossy(0.3));
        for host in 1..17 {
            world.run(millis(100));
            world.join(host, &[0]);
        }
        // Every node lists every other as alive or suspect.
        let known = |state| matches!(state, Some(MemberState::Alive | MemberState::Suspect));
        world.run_until(secs(60), |w| {
            (0..17).all(|observer| (0..17).all(|of| known(w.state(observer, of))))
        });
        assert!(world.net.count.lost > 50, "{:?}", world.net.count);
        world.run(secs(60));
        false_alarms += world.failures();
        world.heal();
        world.run_until(world.convergence(), World::is_complete);
    }
    // A refutation reaches 1 - e^(-8 x 0.7) of the members by gossip. Without final probes, one
    // observer would declare a node dead in every third run.
    assert!(false_alarms <= 1, "{false_alarms}");
}

#[test]
fn duplicated_and_reordered_datagrams_change_nothing() {
    let mut world = World::cluster(31, 10);
    world.every_link(Link {
        duplicate: 0.2,
        reorder: 0.2,
        ..Link::lan()
    });
    for round in 0..20 {
        world.set_tag(round % 10, &round.to_string());
        world.run(secs(10));
    }
    world.run(secs(60));
    assert!(world.net.count.duplicated > 100 && world.net.count.reordered > 10);
    assert!(world.is_complete() && (0..10).all(|host| world.all_know_the_truth_about(host)));
    assert_eq!(world.failures(), 0);
}

#[test]
fn a_hint_gives_its_verdict_within_a_second_where_probing_alone_needs_longer() {
    let first_suspect = |hinted: bool, random_seed| {
        let mut world = World::cluster(random_seed, 30);
        world.kill(7);
        let began = world.now;
        let hint = hinted.then(|| world.command(0, |core, now| core.hint(now, "n7")).unwrap());
        let at_zero = |w: &World| {
            let verdict = |event: &CoreEvent| match event {
                CoreEvent::App(EventBody::MemberSuspect(member)) => *member.name == *"n7",
                CoreEvent::HintDone { op, answered, .. } => Some(*op) == hint && !answered,
                _ => false,
            };
            w.count_events(0, began, verdict) > 0
        };
        world.run_until(secs(60), at_zero)
    };
    let plain: Vec<_> = (0..10)
        .map(|random_seed| first_suspect(false, 400 + random_seed))
        .collect();
    let hinted: Vec<_> = (0..10)
        .map(|random_seed| first_suspect(true, 400 + random_seed))
        .collect();
    assert!(hinted.iter().all(|took| *took < secs(1)), "{hinted:?}");
    let slow = plain.iter().filter(|took| **took > secs(1)).count();
    assert!(slow >= 5, "{plain:?}");
}

#[test]
fn a_hint_about_a_healthy_node_does_it_no_harm() {
    let mut world = World::cluster(33, 10);
    let began = world.now;
    let op = world.command(0, |core, now| core.hint(now, "n7")).unwrap();
    world.run(secs(1));
    let answered = |event: &CoreEvent| match event {
        CoreEvent::HintDone {
            op: done, answered, ..
        } => *done == op && *answered,
        _ => false,
    };
    assert_eq!(world.count_events(0, began, answered), 1);
    assert_eq!(world.suspicions(), 0);
}
