//! The keys of a cluster change while the network is partitioned, and a lossy network loses no
//! member.

use super::net::Link;
use super::scenario::{millis, secs, settings};
use super::world::World;
use sprat::serf::{CoreEvent, KeyQuery};
use sprat::wire::{Codec, Key, Keyring};
use sprat::{KeyHolders, KeyReport};
use std::time::Duration;

fn key(byte: u8) -> Key {
    Key::new(&[byte; 32]).expect("32 bytes are a key")
}

/// A cluster of ten nodes that have this key.
fn cluster(random_seed: u64, first: u8) -> World {
    let mut world = World::new(random_seed);
    world.codec = Codec {
        keyring: Keyring::new(vec![key(first)]),
        verify_incoming: true,
        verify_outgoing: true,
        ..Codec::default()
    };
    let mut world = world.nodes(10, &settings());
    // The checker of datagrams reads them whichever of the keys encrypts them.
    world.codec.keyring.add(key(1));
    world.codec.keyring.add(key(2));
    world.join_all_through(0);
    world.run_until(secs(60), World::is_complete);
    world
}

/// Lets the members that `host` sees do something with their keys, and returns their answers.
fn manage(world: &mut World, host: usize, query: &KeyQuery) -> KeyReport {
    let (number, timeout) = (world.hosts[host].events.len() as u64, Some(secs(10)));
    let sent = world.command(host, |core, now| {
        core.manage_keys(now, number, query, timeout)
    });
    sent.expect("the node encrypts and holds the key");
    let report = |world: &World| {
        let of_this = |(_, event): &(_, CoreEvent)| match event {
            CoreEvent::KeysDone { number: it, report } if *it == number => Some(report.clone()),
            _ => None,
        };
        world.hosts[host].events.iter().find_map(of_this)
    };
    world.run_until(secs(15), |world| report(world).is_some());
    report(world).expect("the query has ended")
}

/// Repeats [`manage`] until every member of the cluster has done it, as an operator does if
/// messages are lost.
fn manage_all(world: &mut World, host: usize, query: &KeyQuery) -> KeyReport {
    for _ in 0..20 {
        let report = manage(world, host, query);
        if report.answers.len() == 10 && report.failures().count() == 0 {
            return report;
        }
    }
    panic!("20 queries were not enough");
}

/// Returns for each key of the cluster its byte, the number of members that hold it, and the number
/// of members whose primary key it is.
fn keys(world: &mut World, host: usize) -> Vec<(u8, usize, usize)> {
    let report = manage_all(world, host, &KeyQuery::list());
    let row = |(key, it): (&Key, &KeyHolders)| (key.as_bytes()[0], it.members, it.primary);
    report.keys.iter().map(row).collect()
}

#[test]
fn a_rotation_in_a_lossy_network_loses_no_member_and_no_message() {
    let mut world = cluster(70, 1);
    world.every_link(Link {
        loss: 0.1,
        duplicate: 0.0,
        reorder: 0.1,
        delay: (millis(1), millis(80)),
    });
    manage_all(&mut world, 0, &KeyQuery::install(key(2)));
    manage_all(&mut world, 3, &KeyQuery::use_key(key(2)));
    assert_eq!(keys(&mut world, 5), [(1, 10, 0), (2, 10, 10)]);
    manage_all(&mut world, 7, &KeyQuery::remove(key(1)));
    assert_eq!(keys(&mut world, 9), [(2, 10, 10)]);
    assert!(world.is_complete());
    let undecryptable = |host| world.counter(host, "refused_undecryptable");
    assert!((0..10).all(|host| undecryptable(host) == 0));
}

#[test]
fn a_change_of_the_primary_key_during_a_partition_is_repeated_for_the_other_part_after_it() {
    let mut world = cluster(71, 1);
    manage_all(&mut world, 0, &KeyQuery::install(key(2)));
    world.partition(&[&[0, 1, 2, 3, 4], &[5, 6, 7, 8, 9]]);
    world.run(secs(60));
    let report = manage(&mut world, 0, &KeyQuery::use_key(key(2)));
    let asked = (report.asked, report.answers.len(), report.missing.len());
    assert_eq!(asked, (5, 5, 0), "the failed members are not asked");
    world.run(secs(600));
    world.heal();
    // Every node holds both keys, so the parts understand each other at once.
    world.run_until(world.convergence(), World::is_complete);
    assert_eq!(keys(&mut world, 5), [(1, 10, 5), (2, 10, 5)]);
    manage_all(&mut world, 5, &KeyQuery::use_key(key(2)));
    manage_all(&mut world, 5, &KeyQuery::remove(key(1)));
    assert_eq!(keys(&mut world, 0), [(2, 10, 10)]);
    assert!(world.is_complete());
}

#[test]
fn a_part_that_missed_a_new_key_is_cut_off_until_the_other_part_uses_the_old_key_again() {
    let mut world = cluster(72, 1);
    world.partition(&[&[0, 1, 2, 3, 4], &[5, 6, 7, 8, 9]]);
    world.run(secs(60));
    manage(&mut world, 0, &KeyQuery::install(key(2)));
    manage(&mut world, 0, &KeyQuery::use_key(key(2)));
    world.heal();
    let patience: Duration = world.convergence();
    world.run(patience);
    assert!(!world.is_complete(), "one part cannot read the other");
    assert!(world.counter(7, "refused_undecryptable") > 0);
    manage(&mut world, 0, &KeyQuery::use_key(key(1)));
    world.run_until(world.convergence(), World::is_complete);
    manage_all(&mut world, 0, &KeyQuery::install(key(2)));
    manage_all(&mut world, 0, &KeyQuery::use_key(key(2)));
    assert_eq!(keys(&mut world, 7), [(1, 10, 0), (2, 10, 10)]);
}
