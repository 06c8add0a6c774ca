//! Joining, and healing: who is asked for the cluster, and who is asked again.
//!
//! Plain memberlist asks its seeds once and never contacts a dead node again, so that a partition
//! longer than the memory of the dead lasts for ever. Here every seed ever given, and every member
//! that the layer above calls lost, is asked again with growing pauses for as long as the node
//! lives: one push/pull across the former cut makes one cluster of two. Host names are resolved
//! anew each time. Seeds that are alive members are left in peace.

use super::push_pull::{Cause, Exchange};
use super::timer::Timer;
use super::{JoinFailure, JoinReport, LookupId, Notice, OpId, Output, Seed, Swim};
use crate::time::Time;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Targets of one join that are asked at the same time.
const JOIN_WIDTH: usize = 8;
/// Lost members that are remembered; the layer above reports the latest, older ones make room.
const LOST: usize = 1024;
/// Seeds that are remembered. Those given first stay; of the others, older ones make room.
const SEEDS: usize = 256;
const FIRST_SEEDS: usize = SEEDS / 2;

/// A join command under way.
struct Join {
    op: OpId,
    waiting: VecDeque<(Seed, String)>,
    /// Resolutions and push/pulls not yet ended.
    in_flight: usize,
    report: JoinReport,
}

/// Somebody to ask again.
struct Target {
    what: What,
    pause: Duration,
    next: Time,
    /// Its name is being looked up: a second lookup would only wait behind the first.
    looked_up: bool,
}

#[derive(Clone, PartialEq, Eq)]
enum What {
    Seed { seed: Seed, addrs: Vec<SocketAddr> },
    Lost { name: Arc<str>, addr: SocketAddr },
}

impl What {
    /// The address that is asked, where none has to be looked up.
    fn addr(&self) -> Option<SocketAddr> {
        match self {
            What::Lost { addr, .. } => Some(*addr),
            What::Seed {
                seed: Seed::Addr(addr),
                ..
            } => Some(*addr),
            What::Seed { .. } => None,
        }
    }
}

/// What a resolution is for.
enum Lookup {
    Join { op: OpId, host: String, port: u16 },
    Seed { host: String, port: u16 },
}

/// Joins under way, and everybody to be asked again.
#[derive(Default)]
pub(super) struct Reconnect {
    joins: Vec<Join>,
    targets: Vec<Target>,
    lookups: HashMap<LookupId, Lookup>,
    last_lookup: u64,
    /// Not before this time: attempts keep a distance from one another.
    not_before: Time,
}

impl Reconnect {
    #[cfg(test)]
    pub fn seeds(&self) -> Vec<SocketAddr> {
        let addrs = self.targets.iter().map(|target| match &target.what {
            What::Seed { addrs, .. } => addrs.clone(),
            What::Lost { .. } => Vec::new(),
        });
        addrs.flatten().collect()
    }

    /// Names of the members that are lost.
    pub fn lost(&self) -> impl Iterator<Item = &Arc<str>> {
        self.targets.iter().filter_map(|target| match &target.what {
            What::Lost { name, .. } => Some(name),
            What::Seed { .. } => None,
        })
    }
}

impl Swim {
    /// Asks every seed for the cluster, and remembers the seeds for healing. The end comes as
    /// [`Notice::JoinDone`]. A seed that is this node itself counts as contacted.
    pub fn join(&mut self, now: Time, seeds: &[Seed]) -> OpId {
        let op = self.next_op();
        let waiting = seeds
            .iter()
            .map(|seed| (seed.clone(), seed.to_string()))
            .collect();
        let report = JoinReport::default();
        self.reconnect.joins.push(Join {
            op,
            waiting,
            in_flight: 0,
            report,
        });
        for seed in seeds {
            self.remember_seed(now, seed);
        }
        self.drive_join(now, op);
        op
    }

    fn remember_seed(&mut self, now: Time, seed: &Seed) {
        let known =
            |target: &Target| matches!(&target.what, What::Seed { seed: s, .. } if s == seed);
        if self.reconnect.targets.iter().any(known) {
            return;
        }
        let addrs = match seed {
            Seed::Addr(addr) => vec![*addr],
            Seed::Host(..) => Vec::new(),
        };
        let what = What::Seed {
            seed: seed.clone(),
            addrs,
        };
        let is_seed = |target: &Target| matches!(target.what, What::Seed { .. });
        let targets = &mut self.reconnect.targets;
        let mut seeds = targets.iter().enumerate().filter(|(_, it)| is_seed(it));
        if seeds.clone().count() >= SEEDS
            && let Some((oldest, _)) = seeds.nth(FIRST_SEEDS)
        {
            targets.remove(oldest);
        }
        self.add_target(now, what);
    }

    /// A member that the layer above lost: asked again until it is alive or forgotten.
    pub fn remember_lost(&mut self, now: Time, name: Arc<str>, addr: SocketAddr) {
        self.forget_lost(&name);
        let lost = |target: &Target| matches!(target.what, What::Lost { .. });
        let targets = &mut self.reconnect.targets;
        let full = targets.iter().filter(|target| lost(target)).count() >= LOST;
        if let Some(oldest) = targets.iter().position(lost).filter(|_| full) {
            targets.remove(oldest);
        }
        self.add_target(now, What::Lost { name, addr });
    }

    /// The member is back, or nobody waits for it any more.
    pub fn forget_lost(&mut self, name: &str) {
        let gone =
            |target: &Target| matches!(&target.what, What::Lost { name: n, .. } if **n == *name);
        self.reconnect.targets.retain(|target| !gone(target));
    }

    fn add_target(&mut self, now: Time, what: What) {
        let pause = self.config.reconnect_min;
        let next = now + pause + self.random.within(pause);
        self.reconnect.targets.push(Target {
            what,
            pause,
            next,
            looked_up: false,
        });
        self.arm_reconnect(now);
    }

    /// Starts as many targets of a join as may run at the same time; reports when all have ended.
    fn drive_join(&mut self, now: Time, op: OpId) {
        loop {
            let may_dial = self.may_dial();
            let Some(i) = self.reconnect.joins.iter().position(|join| join.op == op) else {
                return;
            };
            let join = &mut self.reconnect.joins[i];
            if join.waiting.is_empty() && join.in_flight == 0 {
                if self.name_conflicts.is_asking() {
                    return; // how it went depends on the answer
                }
                let report = self.reconnect.joins.swap_remove(i).report;
                self.notices.push_back(Notice::JoinDone { op, report });
                return;
            }
            // With nothing under way a full house would never call again: dial regardless then.
            if join.in_flight >= JOIN_WIDTH || (join.in_flight > 0 && !may_dial) {
                return;
            }
            let Some((seed, target)) = join.waiting.pop_front() else {
                return;
            };
            match seed {
                Seed::Addr(addr) if addr == self.own_addr => join.report.contacted += 1,
                Seed::Addr(peer) => {
                    join.in_flight += 1;
                    let cause = Cause::Join { op, target };
                    let exchange = Exchange {
                        join: true,
                        cause,
                        pull_only: false,
                        peer,
                    };
                    self.begin_exchange(now, exchange);
                }
                Seed::Host(host, port) => {
                    join.in_flight += 1;
                    let lookup = |host: &str| Lookup::Join {
                        op,
                        host: host.to_owned(),
                        port,
                    };
                    self.resolve(host, lookup);
                }
            }
        }
    }

    /// Goes on with every join.
    pub(super) fn drive_joins(&mut self, now: Time) {
        let ops: Vec<OpId> = self.reconnect.joins.iter().map(|join| join.op).collect();
        for op in ops {
            self.drive_join(now, op);
        }
    }

    fn resolve(&mut self, host: String, lookup: impl FnOnce(&str) -> Lookup) {
        self.reconnect.last_lookup += 1;
        let id = LookupId(self.reconnect.last_lookup);
        self.reconnect.lookups.insert(id, lookup(&host));
        self.transmits.push_back(Output::Resolve { id, host });
    }

    /// A host name was resolved; no address means that it was not.
    pub fn handle_resolved(&mut self, now: Time, id: LookupId, addrs: &[IpAddr]) {
        match self.reconnect.lookups.remove(&id) {
            Some(Lookup::Join { op, host, port }) => {
                self.stands_for(&host, port, addrs);
                self.join_resolved(now, op, &host, port, addrs);
            }
            Some(Lookup::Seed { host, port }) => {
                self.stands_for(&host, port, addrs);
                for ip in addrs {
                    self.ask_again(now, SocketAddr::new(*ip, port));
                }
            }
            None => {}
        }
        self.arm_reconnect(now);
    }

    /// Notes whom a host name stands for now.
    fn stands_for(&mut self, host: &str, port: u16, found: &[IpAddr]) {
        for target in &mut self.reconnect.targets {
            if let What::Seed { seed, addrs } = &mut target.what
                && matches!(seed, Seed::Host(h, p) if h == host && *p == port)
            {
                *addrs = found.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
                target.looked_up = false;
            }
        }
    }

    fn join_resolved(&mut self, now: Time, op: OpId, host: &str, port: u16, addrs: &[IpAddr]) {
        let target = Seed::Host(host.to_owned(), port);
        let Some(join) = self.reconnect.joins.iter_mut().find(|join| join.op == op) else {
            return;
        };
        join.in_flight -= 1;
        if addrs.is_empty() {
            join.report
                .failures
                .push((target.to_string(), JoinFailure::Unresolved));
        }
        for ip in addrs {
            let addr = SocketAddr::new(*ip, port);
            join.waiting
                .push_front((Seed::Addr(addr), format!("{target} ({addr})")));
        }
        self.drive_join(now, op);
    }

    /// One target of a join ended; `failure` tells why if it failed.
    pub(super) fn join_target_ended(
        &mut self,
        now: Time,
        op: OpId,
        failure: Option<(String, JoinFailure)>,
    ) {
        let Some(join) = self.reconnect.joins.iter_mut().find(|join| join.op == op) else {
            return;
        };
        join.in_flight -= 1;
        match failure {
            Some(failure) => join.report.failures.push(failure),
            None => join.report.contacted += 1,
        }
        self.drive_join(now, op);
    }

    /// Sets the timer for the next one who wants to be asked.
    pub(super) fn arm_reconnect(&mut self, now: Time) {
        if !self.config.reconnect || self.left {
            return self.timers.clear(Timer::Reconnect);
        }
        let wanting = self
            .reconnect
            .targets
            .iter()
            .filter(|target| self.wants(target));
        match wanting.map(|target| target.next).min() {
            Some(next) => {
                let at = next.max(self.reconnect.not_before).max(now);
                self.timers.set(Timer::Reconnect, at);
            }
            None => self.timers.clear(Timer::Reconnect),
        }
    }

    /// Lost members always want to be asked. A literal seed wants it until it is a live member. A
    /// host name stands for whoever has it at the time: it wants it while anybody it stood for is
    /// not a live member, or nobody but this node itself.
    fn wants(&self, target: &Target) -> bool {
        let is_own = |addr: &SocketAddr| *addr == self.own_addr;
        match &target.what {
            What::Lost { .. } => true,
            What::Seed {
                seed: Seed::Addr(addr),
                ..
            } => !is_own(addr) && !self.is_alive_at(*addr),
            What::Seed { addrs, .. } => {
                let mut others = addrs.iter().filter(|addr| !is_own(addr)).peekable();
                let nobody = others.peek().is_none();
                !target.looked_up && (nobody || others.any(|addr| !self.is_alive_at(*addr)))
            }
        }
    }

    /// Are there seeds beside this node itself?
    pub(super) fn has_other_seeds(&self) -> bool {
        let others = |addrs: &[SocketAddr]| addrs.iter().any(|addr| *addr != self.own_addr);
        self.reconnect
            .targets
            .iter()
            .any(|target| match &target.what {
                What::Seed { addrs, .. } => addrs.is_empty() || others(addrs),
                What::Lost { .. } => false,
            })
    }

    /// Asks the one who has waited longest; its next turn comes after a longer pause.
    pub(super) fn reconnect_tick(&mut self, now: Time) {
        let due = |(_, target): &(usize, &Target)| target.next <= now && self.wants(target);
        let targets = self.reconnect.targets.iter().enumerate();
        let chosen = targets.filter(due).min_by_key(|(_, target)| target.next);
        if let Some((i, _)) = chosen {
            let jitter = self.random.within(self.reconnect.targets[i].pause / 2);
            let what = self.reconnect.targets[i].what.clone();
            let addr = what.addr();
            let hangs = addr.is_some_and(|addr| self.asks_enough(addr));
            let target = &mut self.reconnect.targets[i];
            target.next = now + target.pause + jitter;
            if hangs {
                return self.arm_reconnect(now);
            }
            target.pause = (target.pause * 2).min(self.config.reconnect_max);
            self.reconnect.not_before = now + self.config.reconnect_min;
            self.stats.reconnects += 1;
            if let Some(addr) = addr {
                self.ask_again(now, addr);
            } else if let What::Seed {
                seed: Seed::Host(host, port),
                ..
            } = what
            {
                self.reconnect.targets[i].looked_up = true;
                self.resolve(host, |host| Lookup::Seed {
                    host: host.to_owned(),
                    port,
                });
            }
        }
        self.arm_reconnect(now);
    }

    /// Are so many exchanges with this node open that another would not help? A second may get
    /// through where the first has lost a packet and waits.
    fn asks_enough(&self, peer: SocketAddr) -> bool {
        self.streams.exchanges_with(peer) >= 2
    }

    fn ask_again(&mut self, now: Time, peer: SocketAddr) {
        let idle = self.may_dial() && !self.asks_enough(peer);
        if peer != self.own_addr && idle && !self.is_alive_at(peer) {
            let exchange = Exchange {
                join: true,
                cause: Cause::Reconnect,
                pull_only: false,
                peer,
            };
            self.begin_exchange(now, exchange);
        }
    }

    /// An attempt ended. Who answers is a member now, or will not become one by asking more often.
    pub(super) fn reconnect_ended(&mut self, now: Time, peer: SocketAddr, answered: bool) {
        if answered {
            let longest = self.config.reconnect_max;
            for target in &mut self.reconnect.targets {
                let same = match &target.what {
                    What::Lost { addr, .. } => *addr == peer,
                    What::Seed { addrs, .. } => addrs.contains(&peer),
                };
                if same {
                    target.pause = longest;
                    target.next = now + longest;
                }
            }
        }
        self.arm_reconnect(now);
    }
}
