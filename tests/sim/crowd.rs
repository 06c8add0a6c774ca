//! Crowds: clusters so large that their nodes cannot learn of one another by gossip in a test.
//!
//! If N nodes join through one seed, gossip brings each of N announcements to each of N nodes a
//! dozen times. In a crowd, node 0 gets one announcement of each other node, in a datagram, and the
//! others ask node 0 for its state because it is a seed that they remember. All of this is done by
//! the shipped core, with encoded messages. Only the gossip about the joins does not happen: a node
//! that knows no other node does not pass on the state that it gets.

use super::net::Link;
use super::scenario::{by_test_level, millis, secs, settings};
use super::world::World;
use crate::counting::in_use;
use sprat::serf::{Config, MemberState, encode_tags};
use sprat::swim::Seed;
use sprat::wire::message::{Alive, Message};
use sprat::wire::packet;
use std::time::Duration;

impl World {
    /// Returns a crowd of this size, in which every node knows every other.
    pub fn crowd(random_seed: u64, nodes: usize, mut config: Config) -> World {
        // The seed is asked immediately. If a node heard gossip before it asks, it would pass on
        // the whole state that it gets.
        config.swim.reconnect_min = millis(1);
        let mut world = World::new(random_seed);
        world.check_closely = false;
        world.keep_events = false;
        let mut world = world.nodes(nodes, &config);
        let no_delay = (Duration::ZERO, Duration::from_nanos(1));
        world.every_link(Link {
            delay: no_delay,
            ..Link::lan()
        });
        (1..nodes).for_each(|host| world.announce_to_first(host));
        let seed = Seed::Addr(world.addr(0));
        for host in 1..nodes {
            world.command(host, |core, now| {
                core.remember_seeds(now, std::slice::from_ref(&seed));
            });
        }
        world.run(millis(10));
        world.heal();
        world.run_until(secs(10), World::is_complete);
        world
    }

    /// Gives node 0 the announcement of this host.
    fn announce_to_first(&mut self, host: usize) {
        let (from, meta) = (self.addr(host), encode_tags(&self.hosts[host].config.tags));
        let std::net::IpAddr::V4(ip) = from.ip() else {
            unreachable!("every host has an IPv4 address")
        };
        let octets = ip.octets();
        let alive = Message::Alive(Alive {
            incarnation: 1,
            node: &self.hosts[host].name,
            addr: &octets,
            port: from.port(),
            meta: Some(&meta),
            vsn: &[1, 5, 2, 2, 5, 5],
        });
        let bytes = packet::seal(&self.codec, &alive.encoded(), true, [0; 12]);
        self.command(0, |core, now| core.handle_datagram(now, from, &bytes));
    }
}

/// The maximum number of bytes that a crowd may take: 40 KiB for each node, and 145 bytes for each
/// member that a node knows. Of these 145 bytes, the record of the SWIM layer and the row of the
/// Serf layer take 120.
fn most_bytes(nodes: usize) -> isize {
    (nodes * (40 * 1024 + nodes * 145)) as isize
}

/// The time within which every survivor notices each death. Each second, about as many members are
/// probed as there are survivors, in an order that is random for each node. So the chance that no
/// survivor has probed a certain dead member after t seconds is e^-t, and below 10^-12 after the
/// 30 s that are allowed for the probes. After 1 s, the probe has failed, and the suspicion runs
/// for its full time at most. Then 5 s are left for gossip.
fn noticed_within(world: &World) -> Duration {
    secs(30 + 1) + world.longest_suspicion() + secs(5)
}

#[test]
fn every_survivor_in_a_crowd_notices_the_deaths_and_calls_nobody_else_failed() {
    let nodes = by_test_level(300, 4000) as usize;
    let before = in_use();
    let mut world = World::crowd(1, nodes, settings());
    world.run(secs(10));
    let killed: Vec<usize> = (0..5).map(|n| (2 * n + 1) * nodes / 10).collect();
    killed.iter().for_each(|&host| world.kill(host));
    let expected = (killed.len() * (nodes - killed.len())) as u64;
    let longest = noticed_within(&world);
    let took = world.run_until(longest, |world| world.verdicts.failed >= expected);
    world.run(secs(5));
    assert_eq!(world.verdicts.failed, expected);
    for host in killed {
        assert!(world.all_see(host, MemberState::Failed), "n{host}");
    }
    let (bytes, most) = (in_use() - before, most_bytes(nodes));
    println!("{nodes} nodes: {took:?} of at most {longest:?}, {bytes} of at most {most} bytes");
    assert!(bytes <= most, "{bytes} bytes, at most {most}");
}

/// In a crowd of more than 1,024 members, some learn of a leave by gossip alone. Gossip to members
/// that have just died must not use up the transmissions that they depend on.
#[test]
fn every_survivor_in_a_crowd_sees_a_leave_soon_after_many_have_died() {
    let nodes = by_test_level(300, 1500) as usize;
    let mut world = World::crowd(2, nodes, settings());
    world.run(secs(10));
    let (leaver, dead) = (1, nodes - nodes / 5..nodes);
    dead.clone().for_each(|host| world.kill(host));
    let expected = (dead.len() * dead.start) as u64;
    let longest = noticed_within(&world);
    world.run_until(longest, |world| world.verdicts.failed >= expected);
    world.leave(leaver);
    world.run(secs(10));
    assert!(world.all_see(leaver, MemberState::Left));
    assert_eq!(world.verdicts.failed, expected, "the leave is no failure");
}
