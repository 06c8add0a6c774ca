//! The random campaign: after an hour of random faults, the network heals, stopped processes go on,
//! and the views of all nodes must agree again without help. Clocks stay wrong, and processes that
//! have ended are not restarted.
//!
//! With every second random seed, a hostile member lies during that hour, and once more at its end.
//!
//! Every choice follows from the random seed. The checkers watch the whole run. Within
//! [`World::convergence`] of the end of the faults, all running nodes must see every node that
//! takes part as alive, with its current tags. They must list every other node as left or failed,
//! or not at all.

use super::hostile::{Clocks, Hostile};
use super::net::{Counters, Link};
use super::rng::Rng;
use super::scenario::{by_test_level, each_random_seed, millis, number_from_env, secs};
use super::world::World;
use sprat::serf::MemberState;
use sprat::wire::{Codec, Key, Keyring};
use std::time::Duration;

const FAULTY: Duration = Duration::from_secs(60 * 60);
/// The memory in bytes that a node may use at the end of a campaign: five times as much as any node
/// has needed so far.
const MEMORY: isize = 512 << 10;

/// A campaign against one cluster.
struct Campaign {
    world: World,
    dice: Rng,
    /// The member that lies; only every second random seed has one.
    hostile: Option<Hostile>,
    clocks: Clocks,
    log: Vec<String>,
}

impl Campaign {
    fn new(random_seed: u64) -> Campaign {
        let mut dice = Rng::new(random_seed ^ 0x5eed);
        let nodes = 8 + dice.below(13);
        let mut world = World::new(random_seed);
        world.codec = codec(random_seed);
        let mut world = world.lan(nodes);
        world.repeat = format!(
            "repeat with: SPRAT_SIM_SEED={random_seed} cargo test --test sim campaign -- \
             --nocapture"
        );
        world.join_all_through(0);
        let is_hostile = random_seed % 2 == 1;
        Campaign {
            hostile: is_hostile.then(|| Hostile::new(&mut world, random_seed)),
            world,
            dice,
            clocks: Clocks::default(),
            log: Vec::new(),
        }
    }

    /// Returns a random host for which `holds` returns true, if there is one.
    fn pick(&mut self, holds: impl Fn(&World, usize) -> bool) -> Option<usize> {
        let fit: Vec<usize> = (0..self.world.hosts.len())
            .filter(|&host| holds(&self.world, host))
            .collect();
        fit.get(self.dice.below(fit.len())).copied()
    }

    fn note(&mut self, what: String) {
        self.log.push(format!(
            "{:>8.1?} {what}",
            self.world.now.since(Default::default())
        ));
    }

    /// Returns the seeds for a host that comes back: the first host and three random hosts, without
    /// the host itself. Some of these seeds may be down.
    fn seeds(&mut self, host: usize) -> Vec<usize> {
        let nodes = self.world.hosts.len();
        let mut seeds = vec![0];
        seeds.extend((0..3).map(|_| self.dice.below(nodes)));
        seeds.retain(|&seed| seed != host);
        seeds
    }

    /// Does one random thing: begins or ends a fault, brings a node back, lets a node leave, or
    /// changes a tag.
    fn act(&mut self) {
        match self.dice.below(14) {
            0 | 1 => self.change_links(),
            2 => self.partition(),
            3 => self.cut_some_links(),
            4 => {
                self.note("the network is well".to_owned());
                self.world.heal();
            }
            5 => self.kill(),
            6 | 7 => self.bring_back(),
            8 => self.pause(),
            9 => self.resume_all(),
            10 => self.leave(),
            11 | 12 => self.retag(),
            13 => self.change_clock(),
            _ => unreachable!("the die has 14 faces"),
        }
    }

    fn change_links(&mut self) {
        let dice = &mut self.dice;
        let low = dice.between(millis(0), millis(20));
        let link = Link {
            loss: [0.0, 0.01, 0.1, 0.3][dice.below(4)],
            duplicate: [0.0, 0.05][dice.below(2)],
            reorder: [0.0, 0.1][dice.below(2)],
            delay: (low, low + dice.between(millis(1), millis(80))),
        };
        self.note(format!("{link:?}"));
        if self.dice.chance(0.3) {
            let from = self.dice.below(self.world.hosts.len());
            let to = self.dice.below(self.world.hosts.len());
            self.world.bad_link(from, to, Link { loss: 0.8, ..link });
        } else {
            self.world.every_link(link);
        }
    }

    fn partition(&mut self) {
        let nodes = self.world.hosts.len();
        let mut groups: [Vec<usize>; 3] = Default::default();
        let parts = 2 + self.dice.below(2);
        (0..nodes).for_each(|host| groups[self.dice.below(parts)].push(host));
        self.note(format!("partitioned into {groups:?}"));
        let groups: Vec<&[usize]> = groups.iter().map(Vec::as_slice).collect();
        self.world.partition(&groups);
    }

    fn cut_some_links(&mut self) {
        for _ in 0..1 + self.dice.below(4) {
            let a = self.dice.below(self.world.hosts.len());
            let b = self.dice.below(self.world.hosts.len());
            self.note(format!("cut between n{a} and n{b}"));
            match self.dice.below(3) {
                0 => self.world.cut(a, b),
                1 => self.world.cut_one_way(a, b),
                _ => self.world.cut_datagrams(a, b),
            }
        }
    }

    fn kill(&mut self) {
        let enough = self.world.running().count() > self.world.hosts.len() / 2;
        if let Some(host) = self
            .pick(|w, h| w.hosts[h].core.is_some())
            .filter(|_| enough)
        {
            self.note(format!("n{host} is killed"));
            self.world.kill(host);
        }
    }

    fn bring_back(&mut self) {
        let Some(host) = self.pick(|w, h| !w.hosts[h].is_member()) else {
            return;
        };
        let seeds = self.seeds(host);
        self.note(format!("n{host} comes back through {seeds:?}"));
        if self.world.hosts[host].core.is_none() {
            self.world.restart(host, &seeds);
        } else {
            self.world.join(host, &seeds);
        }
    }

    fn pause(&mut self) {
        if let Some(host) = self.pick(|w, h| w.hosts[h].is_running()) {
            self.note(format!("n{host} is stopped"));
            self.world.pause(host);
        }
    }

    /// Lets the clock of a host drift by up to one percent, or jump ahead by up to an hour.
    fn change_clock(&mut self) {
        let Some(host) = self.pick(|w, h| w.hosts[h].is_running()) else {
            return;
        };
        if self.dice.chance(0.5) {
            let ppm = self.dice.below(20_001) as i64 - 10_000;
            self.note(format!("the clock of n{host} drifts by {ppm} ppm"));
            self.world.skew_clock(host, ppm);
        } else {
            let by = self.dice.between(secs(1), secs(3600));
            self.note(format!("the clock of n{host} leaps by {by:?}"));
            self.world.step_clock(host, by);
        }
    }

    fn resume_all(&mut self) {
        for host in 0..self.world.hosts.len() {
            if self.world.hosts[host].paused.is_some() {
                self.note(format!("n{host} goes on"));
                self.world.resume(host);
            }
        }
    }

    fn leave(&mut self) {
        let enough = self.world.running().count() > self.world.hosts.len() / 2;
        let fit = |w: &World, h: usize| w.hosts[h].is_running() && w.hosts[h].is_member();
        if let Some(host) = self.pick(fit).filter(|_| enough) {
            self.note(format!("n{host} leaves"));
            self.world.leave(host);
            if self.dice.chance(0.5) {
                // Many programs end after a leave, and some of them end before it is over.
                let (after, life) = (secs(1 + self.dice.below(20) as u64), self.life(host));
                self.world.later(after, move |world| {
                    let h = &world.hosts[host];
                    if h.life == life && h.leaving && h.core.is_some() {
                        world.kill(host);
                    }
                });
            }
        }
    }

    fn lie(&mut self) {
        if let Some(mut hostile) = self.hostile.take() {
            hostile.lie(&mut self.world);
            self.note(format!("{} lies so far", hostile.lies));
            self.hostile = Some(hostile);
        }
    }

    /// Ends the processes that have left, after the last lie. Such a process still answers pings,
    /// so the members believe a lie that it is alive for as long as it runs.
    fn end_those_that_have_left(&mut self) {
        for host in 0..self.world.hosts.len() {
            let h = &self.world.hosts[host];
            if self.hostile.is_some() && h.leaving && h.core.is_some() {
                self.world.kill(host);
            }
        }
    }

    fn life(&self, host: usize) -> u32 {
        self.world.hosts[host].life
    }

    fn retag(&mut self) {
        let fit = |w: &World, h: usize| w.hosts[h].is_running() && w.hosts[h].is_member();
        if let Some(host) = self.pick(fit) {
            let value = self.dice.below(100).to_string();
            self.note(format!("n{host} has tag {value}"));
            self.world.set_tag(host, &value);
        }
    }

    /// Returns true if the views of all nodes are right.
    fn is_right(world: &World) -> bool {
        let gone = |state| matches!(state, None | Some(MemberState::Left | MemberState::Failed));
        (0..world.hosts.len()).all(|of| {
            if world.hosts[of].is_member() {
                world.all_see(of, MemberState::Alive) && world.all_know_the_truth_about(of)
            } else {
                world
                    .running()
                    .all(|observer| gone(world.state(observer, of)))
            }
        })
    }

    /// Runs the campaign. Returns the time that the views took to agree, and the counters of
    /// faults.
    fn run(mut self) -> (Duration, Counters) {
        self.world.run(secs(10));
        let end = self.world.now + FAULTY;
        while self.world.now < end {
            self.act();
            if self.hostile.is_some() && self.dice.chance(0.1) {
                self.lie();
            }
            self.clocks.read(&self.world);
            let pause = self.dice.between(millis(10), secs(30));
            self.world.run(pause);
        }
        self.world.heal();
        self.resume_all();
        self.lie();
        self.end_those_that_have_left();
        self.note("all faults end".to_owned());
        let longest = self.world.convergence();
        let Some(took) = self.world.try_until(longest, Campaign::is_right) else {
            let log = self.log.join("\n");
            panic!(
                "{log}\nrandom seed {} not right after {longest:?}\n{}",
                self.world.random_seed,
                self.world.picture()
            );
        };
        // Old suspicions may spread once more; then the views must stay the same.
        self.world.run(self.world.grace());
        self.world.run_until(longest, Campaign::is_right);
        self.world.expect_throughout(secs(60), Campaign::is_right);
        self.clocks.read(&self.world);
        for host in 0..self.world.hosts.len() {
            let bytes = self.world.memory_of(host);
            assert!(bytes < MEMORY, "n{host} has {bytes} bytes in use");
        }
        (took, self.world.net.count.clone())
    }
}

/// Returns the codec of a cluster. Of every three random seeds, the first uses plain messages, the
/// second uses encryption, a label and compression, and the third uses compression alone.
fn codec(random_seed: u64) -> Codec {
    let encrypted = random_seed % 3 == 1;
    let key = Key::new(&[random_seed as u8; 32]).filter(|_| encrypted);
    Codec {
        keyring: Keyring::new(key.into_iter().collect()),
        label: if encrypted {
            b"east".to_vec()
        } else {
            Vec::new()
        },
        compress: random_seed % 3 != 0,
        verify_incoming: true,
        verify_outgoing: true,
        skip_label_check: false,
    }
}

impl World {
    /// Lets the clock of a host run `ppm` millionths too fast from now on, or too slow if `ppm` is
    /// negative.
    fn skew_clock(&mut self, host: usize, ppm: i64) {
        self.net.count.clocks_changed += 1;
        self.hosts[host].clock.set_skew(self.now, ppm);
        self.touch(host);
    }

    /// Makes one link worse than the others, in one direction.
    fn bad_link(&mut self, from: usize, to: usize, link: Link) {
        self.net.set_link(from, to, link);
        self.calm_since = None;
    }
}

#[test]
fn the_random_campaign_ends_with_views_that_agree() {
    if let Some(random_seed) = number_from_env("SPRAT_SIM_SEED") {
        let (took, count) = Campaign::new(random_seed).run();
        println!("random seed {random_seed}: views agree after {took:?}; {count:?}");
        return;
    }
    let count = number_from_env("SPRAT_SIM_SEEDS").unwrap_or_else(|| by_test_level(8, 24));
    let began = std::time::Instant::now();
    let mut slowest = Duration::ZERO;
    let mut sum = Counters::default();
    let runs = each_random_seed(count, |random_seed| Campaign::new(random_seed).run());
    for (took, count) in runs {
        slowest = slowest.max(took);
        sum.add(&count);
    }
    println!(
        "{count} hours in {:?}; slowest to agree: {slowest:?}\n{sum:?}",
        began.elapsed()
    );
    let faults = [
        sum.lost,
        sum.duplicated,
        sum.reordered,
        sum.cut,
        sum.undeliverable,
        sum.refused,
        sum.streams_broken,
        sum.crashed,
        sum.restarted,
        sum.paused,
        sum.stalled,
        sum.clocks_changed,
        sum.left,
    ];
    assert!(
        count < 8 || faults.iter().all(|&count| count > 0),
        "every kind of fault must strike: {sum:?}"
    );
}
