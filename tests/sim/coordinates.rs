//! Network coordinates of a cluster on two sites.

use super::net::Link;
use super::scenario::{millis, secs, settings};
use super::world::World;
use std::time::Duration;

/// The number of nodes on each site.
const SITE: usize = 6;

fn is_far(a: usize, b: usize) -> bool {
    (a < SITE) != (b < SITE)
}

/// A cluster on two sites. A packet takes 1 ms within a site, and 30 ms between the sites.
fn two_sites(random_seed: u64) -> World {
    let mut world = World::new(random_seed).nodes(2 * SITE, &settings());
    for from in 0..2 * SITE {
        for to in 0..2 * SITE {
            let low = millis(if is_far(from, to) { 30 } else { 1 });
            let delay = (low, low + Duration::from_micros(200));
            let link = Link {
                delay,
                ..Link::lan()
            };
            world.net.set_link(from, to, link);
        }
    }
    world.join_all_through(0);
    world.run_until(secs(10), World::is_complete);
    world
}

/// Returns the round-trip time between two nodes in seconds, as this observer estimates it.
fn estimate(world: &World, observer: usize, a: usize, b: usize) -> f64 {
    let core = world.hosts[observer].core.as_ref().unwrap();
    let of = |host: usize| core.coordinate(&world.hosts[host].name).unwrap();
    of(a).rtt_to(&of(b)).as_secs_f64()
}

#[test]
fn every_node_estimates_the_round_trip_time_of_any_two_nodes() {
    let mut world = two_sites(60);
    world.run(secs(600));
    for observer in 0..2 * SITE {
        for a in 0..2 * SITE {
            for b in (0..2 * SITE).filter(|b| *b != a) {
                let rtt = estimate(&world, observer, a, b);
                let (low, high) = if is_far(a, b) {
                    (0.045, 0.075)
                } else {
                    (0.0, 0.015)
                };
                assert!(
                    (low..high).contains(&rtt),
                    "n{observer}: n{a} to n{b}: {rtt}"
                );
            }
        }
    }
}

#[test]
fn a_node_without_coordinates_is_a_member_like_any_other() {
    let mut silent = settings();
    silent.coordinates = false;
    let mut world = World::new(61).lan(3).nodes(1, &silent);
    world.join_all_through(0);
    world.run_until(secs(10), World::is_complete);
    world.run(secs(60));
    let core = |host: usize| world.hosts[host].core.as_ref().unwrap();
    let of = |observer, host: usize| core(observer).coordinate(&world.hosts[host].name);
    use sprat::serf::CommandError::{NoCoordinates, NotMeasured, UnknownMember};
    assert_eq!(of(0, 3), Err(NotMeasured));
    assert_eq!(of(3, 0), Err(NoCoordinates));
    assert_eq!(of(3, 3), Err(NoCoordinates));
    assert_eq!(core(0).coordinate("nobody"), Err(UnknownMember));
    assert!(of(0, 1).is_ok() && of(0, 0).is_ok());
}
