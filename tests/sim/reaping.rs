//! Members that failed or left are erased when their time is up, and stay erased although others
//! still list them.

use super::scenario::{millis, secs, settings};
use super::world::World;
use sprat::EventBody;
use sprat::serf::{Config, CoreEvent, MemberState};
use sprat::time::Time;
use std::time::Duration;

/// The nodes that erase others soon, those that keep others for a day, the node that fails, and the
/// node that leaves.
const HASTY: [usize; 3] = [0, 1, 2];
const PATIENT: [usize; 3] = [3, 4, 5];
const FAILS: usize = 6;
const LEAVES: usize = 7;

const RECONNECT: Duration = secs(100);
const TOMBSTONE: Duration = secs(200);

/// The only time at which a host told its application of such a change of another host.
fn time_of(world: &World, host: usize, of: usize, kind: fn(&EventBody) -> bool) -> Time {
    let events = world.hosts[host].events.iter();
    let times = events.filter_map(|(at, event)| match event {
        CoreEvent::App(body) if kind(body) => {
            let member = body.member().expect("the event is about a member");
            (member.name == world.hosts[of].name).then_some(*at)
        }
        _ => None,
    });
    let times: Vec<Time> = times.collect();
    assert_eq!(times.len(), 1, "n{host} about n{of}: {times:?}");
    times[0]
}

/// Checks that a host erased another no sooner than `kept` after a change, and at the next check of
/// its reaper at the latest.
fn assert_erased(
    world: &World,
    host: usize,
    of: usize,
    gone: fn(&EventBody) -> bool,
    kept: Duration,
) {
    let gone = time_of(world, host, of, gone);
    let erased = time_of(world, host, of, |it| matches!(it, EventBody::MemberReap(_)));
    let after = erased.since(gone);
    let latest = kept + settings().reap_interval + millis(10);
    assert!(
        after > kept && after <= latest,
        "n{host} erases n{of} after {after:?}"
    );
}

#[test]
fn members_that_failed_or_left_are_erased_in_time_and_return_only_by_joining() {
    let hasty = Config {
        reconnect_timeout: RECONNECT,
        tombstone_timeout: TOMBSTONE,
        ..settings()
    };
    let mut world = World::new(60).nodes(HASTY.len(), &hasty).lan(5);
    world.join_all_through(0);
    world.run_until(secs(10), World::is_complete);
    world.run(secs(5));
    world.kill(FAILS);
    world.leave(LEAVES);
    world.run_until(secs(60), |w| {
        w.all_see(FAILS, MemberState::Failed) && w.all_see(LEAVES, MemberState::Left)
    });
    world.kill(LEAVES);
    world.run(TOMBSTONE + settings().reap_interval);
    for host in HASTY {
        let failed = |it: &EventBody| matches!(it, EventBody::MemberFail(_));
        let left = |it: &EventBody| matches!(it, EventBody::MemberLeave(_));
        assert_erased(&world, host, FAILS, failed, RECONNECT);
        assert_erased(&world, host, LEAVES, left, TOMBSTONE);
    }
    // Each node does several push/pulls in this time.
    world.expect_throughout(secs(180), |w| {
        HASTY
            .iter()
            .all(|&host| w.state(host, FAILS).is_none() && w.state(host, LEAVES).is_none())
            && w.these_see(&PATIENT, FAILS, MemberState::Failed)
            && w.these_see(&PATIENT, LEAVES, MemberState::Left)
    });
    world.restart(FAILS, &[0]);
    world.restart(LEAVES, &[0]);
    world.expect_between(millis(1), secs(5), World::is_complete);
}
