//! Most members of a large cluster restart at once, as after a power cut.
//!
//! With memberlist, a member that has restarted may stay dead in the views of others for a long
//! time (hashicorp/memberlist#311): they hold the incarnation of its earlier run, the new run
//! begins at 1, and those that could tell it have restarted as well. Here each member has reached
//! another incarnation before the restart, and every view must be right within a time that follows
//! from the settings.

use super::scale::push_pull_period;
use super::scenario::{by_test_level, millis, secs, settings};
use super::world::World;
use sprat::serf::{Config, MemberState, Numbers, Past, SnapshotReader};
use sprat::swim;
use std::time::Duration;

/// The incarnations before the restart are lower than this number.
const INCARNATIONS: usize = 100;
/// The largest number of bytes that an alive message takes in a packet of gossip.
const ALIVE_LEN: usize = 150;
/// A probability that is neglected.
const NEVER: f64 = 1e-9;

/// The way in which three quarters of the nodes restart.
#[derive(Clone, Copy)]
struct Restart {
    nodes: usize,
    /// The time for which the nodes do not run.
    down: Duration,
    /// True if they resume from their snapshots and have no seeds; false if they begin anew and
    /// join through node 0.
    resume: bool,
    /// True if they have new addresses.
    move_away: bool,
}

/// A restart that no other member notices.
const SOON: Duration = millis(300);
/// A restart after all other members have noticed the failures.
const LATE: Duration = secs(90);

/// Returns a complete cluster, whose members have different incarnations.
fn cluster(nodes: usize) -> World {
    let mut world = World::new(311);
    world.check_closely = false;
    world.keep_events = false;
    for _ in 0..nodes {
        let numbers = Numbers {
            incarnation: world.rng.below(INCARNATIONS) as u32,
            ..Numbers::default()
        };
        let past = Past {
            numbers,
            ..Past::default()
        };
        let config = Config {
            past: Some(past),
            ..settings()
        };
        let host = world.add_host(config);
        world.boot(host);
    }
    world.join_all_through(0);
    world.run_until(secs(60), World::is_complete);
    world.run(gossip_time(nodes));
    world
}

/// The state that the snapshot of a running node holds.
fn snapshot(world: &World, host: usize) -> Past {
    let host = &world.hosts[host];
    let core = host.core.as_ref().expect("the node runs");
    let mut reader = SnapshotReader::new(false);
    if let Some(write) = core.snapshot_write(host.local(world.now)) {
        reader.read(&write.bytes);
    }
    reader.finish()
}

impl Restart {
    /// The nodes that restart.
    fn hosts(self) -> std::ops::Range<usize> {
        self.nodes / 4..self.nodes
    }

    /// Restarts the nodes, each with a new tag, and waits until every view is right. Gossip must
    /// make nearly all of them right, and push/pulls the others.
    fn run(self) {
        let mut world = cluster(self.nodes);
        for host in self.hosts() {
            let past = self.resume.then(|| snapshot(&world, host));
            let config = &mut world.hosts[host].config;
            config.past = past;
            config.tags.insert("run".to_owned(), "2".to_owned());
            world.kill(host);
            if self.move_away {
                world.readdress(host, 1);
            }
        }
        world.run(self.down);
        let seeds: &[usize] = if self.resume { &[] } else { &[0] };
        for host in self.hosts() {
            world.restart(host, seeds);
        }
        let began = world.now;
        let spread = world.now + self.spread_time(&world);
        // A push/pull may choose a member that does not know the missing one either.
        let end = spread + push_pull_period(self.nodes) * 2;
        let few = self.nodes * self.nodes / 10_000;
        loop {
            let wrong: Vec<_> = wrong_views(&world).collect();
            let Some(one) = wrong.first() else { break };
            let (count, took) = (wrong.len(), world.now.since(began));
            assert!(count <= few || world.now < spread, "{count} after {took:?}");
            assert!(world.now < end, "{one:?} after {took:?}");
            world.run(secs(1));
        }
        let (took, longest) = (world.now.since(began), end.since(began));
        println!("{} nodes: {took:?} of at most {longest:?}", self.nodes);
    }

    /// The time within which gossip makes nearly every view right.
    fn spread_time(self, world: &World) -> Duration {
        let joins = swim::Config::lan().stream_timeout;
        let search = if self.resume {
            search_time()
        } else {
            Duration::ZERO
        };
        let moves = if self.move_away && self.down == SOON {
            move_time(world)
        } else {
            Duration::ZERO
        };
        joins + search + moves + gossip_time(self.nodes)
    }
}

/// The time within which each node has gossiped a message about every member: it sends each message
/// a certain number of times, as many messages in a packet as fit, and a few packets in each round.
fn gossip_time(nodes: usize) -> Duration {
    let it = swim::Config::lan();
    let digits = nodes.ilog10() + 1;
    let messages = nodes * (it.retransmit_mult * digits) as usize;
    let packets = messages.div_ceil(it.packet_bytes / ALIVE_LEN);
    it.gossip_interval * packets.div_ceil(it.gossip_nodes) as u32
}

/// The time within which each node that resumes has asked a member that did not restart. It asks
/// its former members in random order, and every fourth of them has not restarted. A random time of
/// up to half a pause is added to each pause.
fn search_time() -> Duration {
    let asked = NEVER.ln() / 0.75_f64.ln();
    swim::Config::lan().reconnect_min.mul_f64(1.5 * asked)
}

/// The time within which members at new addresses are accepted. First, the members that have not
/// restarted must find out that the old addresses are silent; then the others, which have learned
/// the old addresses from them, do the same with each address that is claimed anew. Each time, the
/// suspicion may take its longest time, and the name is free only after `dead_reclaim`.
fn move_time(world: &World) -> Duration {
    let it = swim::Config::lan();
    // Every second, each node probes one member in n, or one in 8 n while its health is worst.
    let probe = it.probe_interval * it.awareness_max;
    let first = probe.mul_f64((world.hosts.len() as f64 / NEVER).ln());
    let accepted = world.longest_suspicion() + it.dead_reclaim;
    // A claim asks a member every two probe intervals, and waits for a silent one until its stream
    // ends.
    let claims = it.stream_timeout + gossip_time(world.hosts.len());
    first + (accepted + claims) * 2
}

/// The pairs of nodes of which the first does not list the second as it is: alive, with its present
/// address and tags. The state that it lists instead is added.
fn wrong_views(world: &World) -> impl Iterator<Item = (usize, usize, Option<MemberState>)> {
    let nodes = 0..world.hosts.len();
    let pairs = nodes.flat_map(|a| (0..world.hosts.len()).map(move |b| (a, b)));
    pairs.filter_map(|(observer, of)| {
        let host = &world.hosts[of];
        let listed = |by: usize| world.hosts[by].core.as_ref()?.member(&host.name);
        let (seen, own) = (listed(observer), listed(of)?);
        let is_right = seen.is_some_and(|seen| {
            seen.state == MemberState::Alive && seen.addr == host.addr && seen.meta == own.meta
        });
        (!is_right).then_some((observer, of, seen.map(|seen| seen.state)))
    })
}

#[test]
fn three_hundred_of_four_hundred_nodes_that_restart_at_once_are_all_known_again() {
    let restart = Restart {
        nodes: 400,
        down: SOON,
        resume: false,
        move_away: false,
    };
    restart.run();
}

#[test]
fn nodes_that_restart_after_all_have_noticed_it_are_all_known_again() {
    let restart = Restart {
        nodes: by_test_level(100, 400) as usize,
        down: LATE,
        resume: false,
        move_away: false,
    };
    restart.run();
}

#[test]
fn nodes_that_resume_from_their_snapshots_at_once_find_one_another() {
    for down in [SOON, LATE] {
        let restart = Restart {
            nodes: by_test_level(100, 400) as usize,
            down,
            resume: true,
            move_away: false,
        };
        restart.run();
    }
}

#[test]
fn nodes_that_restart_at_new_addresses_at_once_are_all_known_again() {
    for (down, resume) in [(SOON, false), (SOON, true), (LATE, false), (LATE, true)] {
        let restart = Restart {
            nodes: by_test_level(100, 400) as usize,
            down,
            resume,
            move_away: true,
        };
        restart.run();
    }
}
