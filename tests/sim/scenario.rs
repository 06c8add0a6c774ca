//! The functions with which the tests build, break and watch clusters.

use super::host::Host;
use super::net::Link;
use super::world::{World, address};
use sprat::EventBody;
use sprat::serf::{Config, CoreEvent, MemberState};
use sprat::swim::Seed;
use sprat::time::Time;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The interval at which conditions are checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// The settings of the tests: the defaults, and a tag.
pub fn settings() -> Config {
    let mut config = Config::default();
    config.tags.insert("dc".to_owned(), "east".to_owned());
    config
}

/// Functions that build clusters and command their nodes.
impl World {
    /// Adds running nodes with the [`settings`] of the tests.
    pub fn lan(self, nodes: usize) -> World {
        self.nodes(nodes, &settings())
    }

    pub fn nodes(mut self, nodes: usize, config: &Config) -> World {
        for _ in 0..nodes {
            let host = self.add_host(config.clone());
            self.boot(host);
        }
        self
    }

    /// Returns a cluster whose nodes have joined, and have had 5 s to settle.
    pub fn cluster(random_seed: u64, nodes: usize) -> World {
        let mut world = World::new(random_seed).lan(nodes);
        world.join_all_through(0);
        world.run_until(secs(10), World::is_complete);
        world.run(secs(5));
        world
    }

    pub fn addr(&self, host: usize) -> SocketAddr {
        self.hosts[host].addr
    }

    pub fn join(&mut self, host: usize, seeds: &[usize]) {
        let seeds: Vec<Seed> = seeds
            .iter()
            .map(|&seed| Seed::Addr(self.addr(seed)))
            .collect();
        self.join_seeds(host, &seeds);
    }

    pub fn join_seeds(&mut self, host: usize, seeds: &[Seed]) {
        self.hosts[host].leaving = false;
        self.hosts[host].well_since = self.now;
        self.command(host, |core, now| {
            core.remember_seeds(now, seeds);
            core.join(now, seeds)
        });
    }

    pub fn join_all_through(&mut self, seed: usize) {
        for host in (0..self.hosts.len()).filter(|&host| host != seed) {
            self.join(host, &[seed]);
        }
    }

    /// Ends the process without a leave.
    pub fn kill(&mut self, host: usize) {
        self.net.count.crashed += 1;
        self.crash(host);
    }

    /// Starts a new process with the same name, and makes it join.
    pub fn restart(&mut self, host: usize, seeds: &[usize]) {
        self.net.count.restarted += 1;
        self.boot(host);
        self.join(host, seeds);
    }

    pub fn leave(&mut self, host: usize) {
        self.net.count.left += 1;
        self.hosts[host].leaving = true;
        self.command(host, |core, now| core.leave(now));
    }

    pub fn set_tag(&mut self, host: usize, value: &str) {
        let mut tags = settings().tags;
        tags.insert("v".to_owned(), value.to_owned());
        let set = self.command(host, |core, now| core.set_tags(now, tags));
        set.expect("the tag is short and the node has not left");
    }

    /// Gives these faults, from now on, to every link that has no faults of its own.
    pub fn every_link(&mut self, link: Link) {
        self.net.link = link;
        self.note_network_state();
    }

    /// Cuts the link from `a` to `b`.
    pub fn cut_one_way(&mut self, a: usize, b: usize) {
        self.net.cut(a, b);
        self.note_network_state();
    }

    pub fn cut(&mut self, a: usize, b: usize) {
        self.net.cut(a, b);
        self.net.cut(b, a);
        self.note_network_state();
    }

    pub fn cut_datagrams(&mut self, a: usize, b: usize) {
        self.net.cut_datagrams(a, b);
        self.net.cut_datagrams(b, a);
        self.note_network_state();
    }

    pub fn partition(&mut self, groups: &[&[usize]]) {
        self.net.partition(groups);
        self.note_network_state();
    }

    pub fn heal(&mut self) {
        self.net.heal();
        self.note_network_state();
    }

    pub(super) fn note_network_state(&mut self) {
        self.calm_since = self.net.is_clean().then_some(self.now);
    }
}

/// Functions that let time pass.
impl World {
    pub fn run(&mut self, time: Duration) {
        self.run_to(self.now + time);
    }

    /// Runs until `holds` returns true, and returns the time that this took. Fails after `longest`.
    pub fn run_until(&mut self, longest: Duration, holds: impl Fn(&World) -> bool) -> Duration {
        let began = self.now;
        let took = self.try_until(longest, holds);
        took.unwrap_or_else(|| {
            panic!(
                "random seed {}: the condition did not hold within {longest:?} after {began:?}\n{}",
                self.random_seed,
                self.picture()
            )
        })
    }

    /// Does the same as `run_until`, but returns `None` instead of failing.
    pub fn try_until(
        &mut self,
        longest: Duration,
        holds: impl Fn(&World) -> bool,
    ) -> Option<Duration> {
        let began = self.now;
        while !holds(self) {
            if self.now.since(began) >= longest {
                return None;
            }
            self.run_to(self.now + CHECK_INTERVAL);
        }
        Some(self.now.since(began))
    }

    /// Runs until `holds` returns true; fails if that takes less than `earliest` or more than
    /// `latest`.
    pub fn expect_between(
        &mut self,
        earliest: Duration,
        latest: Duration,
        holds: impl Fn(&World) -> bool,
    ) -> Duration {
        let took = self.run_until(latest, holds);
        assert!(
            took >= earliest,
            "random seed {}: the condition held after {took:?}, expected {earliest:?} or later",
            self.random_seed
        );
        took
    }

    /// Runs for this time. The condition must hold throughout.
    pub fn expect_throughout(&mut self, time: Duration, holds: impl Fn(&World) -> bool) {
        let end = self.now + time;
        while self.now < end {
            assert!(
                holds(self),
                "random seed {}: the condition does not hold at {:?}\n{}",
                self.random_seed,
                self.now,
                self.picture()
            );
            self.run_to((self.now + CHECK_INTERVAL).min(end));
        }
    }
}

/// Functions that watch the nodes.
impl World {
    pub fn state(&self, observer: usize, of: usize) -> Option<MemberState> {
        let core = self.hosts[observer].core.as_ref()?;
        Some(core.member(&self.hosts[of].name)?.state)
    }

    /// Returns the nodes that run and are not leaving.
    pub fn running(&self) -> impl Iterator<Item = usize> {
        let takes_part = |host: &Host| host.is_running() && !host.leaving;
        (0..self.hosts.len()).filter(move |&host| takes_part(&self.hosts[host]))
    }

    /// Returns true if every running node sees `of` in this state.
    pub fn all_see(&self, of: usize, state: MemberState) -> bool {
        self.running()
            .all(|observer| self.state(observer, of) == Some(state))
    }

    /// Returns true if these nodes see `of` in this state.
    pub fn these_see(&self, observers: &[usize], of: usize, state: MemberState) -> bool {
        observers
            .iter()
            .all(|&observer| self.state(observer, of) == Some(state))
    }

    /// Returns true if every running node sees exactly the running nodes as alive.
    pub fn is_complete(&self) -> bool {
        let running = self.running().count();
        self.running()
            .all(|host| self.hosts[host].view.alive == running)
            && self.running().all(|observer| {
                self.running()
                    .all(|of| self.state(observer, of) == Some(MemberState::Alive))
            })
    }

    /// Returns true if all running nodes list `of` with its present address and tags.
    pub fn all_know_the_truth_about(&self, of: usize) -> bool {
        let Some(truth) = &self.hosts[of].core else {
            return false;
        };
        self.running().all(|observer| {
            let core = self.hosts[observer].core.as_ref();
            core.and_then(|core| core.member(&self.hosts[of].name))
                .is_some_and(|m| {
                    m.addr == self.hosts[of].addr && m.tags().to_map() == *truth.tags()
                })
        })
    }

    /// Returns the number of events of a host, from the time `since` on, for which `wanted` returns
    /// true.
    pub fn count_events(
        &self,
        host: usize,
        since: Time,
        wanted: impl Fn(&CoreEvent) -> bool,
    ) -> usize {
        let events = self.hosts[host].events.iter();
        events
            .filter(|(at, event)| *at >= since && wanted(event))
            .count()
    }

    /// Returns the number of times that any node declared any other node failed.
    pub fn failures(&self) -> usize {
        let failed = |event: &CoreEvent| matches!(event, CoreEvent::App(EventBody::MemberFail(_)));
        (0..self.hosts.len())
            .map(|h| self.count_events(h, Time::ZERO, failed))
            .sum()
    }

    /// Returns the number of times that any node suspected any other node.
    pub fn suspicions(&self) -> usize {
        let suspected =
            |event: &CoreEvent| matches!(event, CoreEvent::App(EventBody::MemberSuspect(_)));
        (0..self.hosts.len())
            .map(|h| self.count_events(h, Time::ZERO, suspected))
            .sum()
    }

    pub fn counter(&self, host: usize, name: &str) -> u64 {
        let stats = self.hosts[host].core.as_ref().map(sprat::serf::Core::stats);
        let found = stats.iter().flatten().find(|counter| counter.name == name);
        let found = found.unwrap_or_else(|| panic!("n{host} has no counter {name}"));
        found.value.unsigned_abs()
    }

    /// Returns the views of the first 64 hosts, for failure messages: a row per observer, a column
    /// per member. Adds the counters of the network, and the command that repeats the run.
    pub fn picture(&self) -> String {
        let letter = |observer, of| match self.state(observer, of) {
            None => '.',
            Some(MemberState::Alive) => 'a',
            Some(MemberState::Suspect) => 's',
            Some(MemberState::Failed) => 'F',
            Some(MemberState::Leaving) => 'l',
            Some(MemberState::Left) => 'L',
        };
        let hosts = 0..self.hosts.len().min(64);
        let row = |observer: usize| {
            let seen: String = hosts.clone().map(|of| letter(observer, of)).collect();
            let host = &self.hosts[observer];
            let (paused, leaving) = (host.paused.is_some(), host.leaving);
            format!("n{observer:<3} {seen} paused {paused} leaving {leaving}\n")
        };
        let rows: String = hosts.clone().map(row).collect();
        format!("{rows}{:?}\n{}", self.net.count, self.repeat)
    }
}

/// Bounds that follow from the settings (all tests here use the LAN profile's timers).
impl World {
    /// The number of names that nodes may know: those of the hosts, and those that a hostile member
    /// may invent.
    pub fn names(&self) -> usize {
        self.hosts.len() + self.invented
    }

    /// The longest suspicion among `n` nodes: 4 x max(1, log10 n) probe intervals, times 6 while
    /// no member confirms.
    pub fn longest_suspicion(&self) -> Duration {
        let scale = (self.names().max(1) as f64).log10().max(1.0);
        secs(24).mul_f64(scale)
    }

    /// The longest time until a lost member is asked again: the longest pause and its jitter (half
    /// that pause), a second for each other lost member, and 10 s for a stream that was dialled
    /// before the cut ended and hangs until its deadline. A second is four times the shortest
    /// pause.
    fn longest_reconnect(&self) -> Duration {
        secs(45) + secs(self.names() as u64) + secs(10)
    }

    /// The time after a fault in which its consequences may show. The separated parts meet again,
    /// and each learns which members the other one had declared failed. It suspects those members,
    /// and each suspicion may run for its full time.
    pub fn grace(&self) -> Duration {
        self.longest_reconnect() + secs(8) + self.longest_suspicion()
    }

    /// The time after the last fault within which all views agree and are right. First, the
    /// separated parts meet again. Then the probes reach the dead nodes, after at most 2 n - 1
    /// probes of 1 s. The first probes take 8 s, 7 s and so on while the health score recovers,
    /// which adds 7 + 6 + ... + 1 = 28 s. Then the suspicions run for their full time. Changes that
    /// gossip missed arrive by push/pull, for which two periods of 30 s are allowed.
    pub fn convergence(&self) -> Duration {
        let n = self.names() as u64;
        self.longest_reconnect() + secs(2 * n + 28) + self.longest_suspicion() + secs(2 * 30)
    }
}

/// Returns the address of a host in this generation; a host that moves gets the next generation.
pub fn addr_of_generation(host: usize, generation: u8) -> SocketAddr {
    address(host, generation)
}

/// Returns the number in an environment variable; `None` if it is not set.
pub fn number_from_env(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    let number = value.parse();
    Some(number.unwrap_or_else(|_| panic!("{name}={value} is not a number")))
}

/// Returns the size of a test by the level of the run, for example the number of its random seeds:
/// `all` in `make test-all`, which sets `SPRAT_TEST_LEVEL=all`, and `few` otherwise.
pub fn by_test_level(few: u64, all: u64) -> u64 {
    match std::env::var("SPRAT_TEST_LEVEL").as_deref() {
        Ok("all") => all,
        _ => few,
    }
}

/// Runs every random seed below `count`, two at a time, and returns the results in the order of the
/// seeds.
pub fn each_random_seed<R: Send>(count: u64, run: impl Fn(u64) -> R + Sync) -> Vec<R> {
    let next = AtomicU64::new(0);
    let results = Mutex::new(BTreeMap::new());
    let work = || {
        loop {
            let random_seed = next.fetch_add(1, Ordering::Relaxed);
            if random_seed >= count {
                return;
            }
            let result = run(random_seed);
            results
                .lock()
                .expect("a failed run ends the test")
                .insert(random_seed, result);
        }
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(work);
        work();
        other
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    let results = results.into_inner().expect("both threads have ended well");
    results.into_values().collect()
}
