//! Joining, and healing: who is asked for the cluster, and who is asked again.
//!
//! Plain memberlist asks its seeds once and never contacts a dead node again, so that a partition
//! longer than the memory of the dead lasts for ever. Here every seed ever given, and every member
//! that the layer above calls lost, is asked again with growing pauses for as long as the node
//! lives: one push/pull across the former cut makes one cluster of two. Host names are resolved
//! anew each time. Seeds that are alive members are left in peace.

use super::push_pull::{Cause, Exchange};
use super::timer::Timer;
use super::{JoinFailure, JoinReport, LookupId, Notice, OpId, Seed, Swim, Transmit};
use crate::time::Time;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Targets of one join that are asked at the same time.
const JOIN_WIDTH: usize = 8;
/// Lost members that are remembered; the layer above reports the latest, older ones make room.
const LOST: usize = 1024;

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
}

#[derive(Clone, PartialEq, Eq)]
enum What {
    Seed { seed: Seed, addrs: Vec<SocketAddr> },
    Lost { name: Arc<str>, addr: SocketAddr },
}

/// What a resolution is for.
enum Lookup {
    Join { op: OpId, port: u16, target: String },
    Seed { host: String, port: u16 },
}

/// Joins under way, and everybody to be asked again.
#[derive(Default)]
pub(super) struct Rejoin {
    joins: Vec<Join>,
    targets: Vec<Target>,
    lookups: HashMap<LookupId, Lookup>,
    last_lookup: u64,
    /// Not before this time: attempts keep a distance from one another.
    not_before: Time,
}

impl Rejoin {
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
        self.rejoin.joins.push(Join {
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
        if self.rejoin.targets.iter().any(known) {
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
        self.add_target(now, what);
    }

    /// A member that the layer above lost: asked again until it is alive or forgotten.
    pub fn remember_lost(&mut self, now: Time, name: Arc<str>, addr: SocketAddr) {
        self.forget_lost(&name);
        let lost = |target: &Target| matches!(target.what, What::Lost { .. });
        let targets = &mut self.rejoin.targets;
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
        self.rejoin.targets.retain(|target| !gone(target));
    }

    fn add_target(&mut self, now: Time, what: What) {
        let pause = self.config.rejoin_min;
        let next = now + pause + self.random.within(pause);
        self.rejoin.targets.push(Target { what, pause, next });
        self.arm_rejoin(now);
    }

    /// Starts as many targets of a join as may run at the same time; reports when all have ended.
    fn drive_join(&mut self, now: Time, op: OpId) {
        loop {
            let may_dial = self.may_dial();
            let Some(i) = self.rejoin.joins.iter().position(|join| join.op == op) else {
                return;
            };
            let join = &mut self.rejoin.joins[i];
            if join.waiting.is_empty() && join.in_flight == 0 {
                let report = self.rejoin.joins.swap_remove(i).report;
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
                    self.resolve(host, |_| Lookup::Join { op, port, target });
                }
            }
        }
    }

    fn resolve(&mut self, host: String, lookup: impl FnOnce(&str) -> Lookup) {
        self.rejoin.last_lookup += 1;
        let id = LookupId(self.rejoin.last_lookup);
        self.rejoin.lookups.insert(id, lookup(&host));
        self.transmits.push_back(Transmit::Resolve { id, host });
    }

    /// A host name was resolved; no address means that it was not.
    pub fn handle_resolved(&mut self, now: Time, id: LookupId, addrs: &[IpAddr]) {
        match self.rejoin.lookups.remove(&id) {
            Some(Lookup::Join { op, port, target }) => {
                self.join_resolved(now, op, port, target, addrs);
            }
            Some(Lookup::Seed { host, port }) => {
                let found: Vec<_> = addrs.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
                for target in &mut self.rejoin.targets {
                    if let What::Seed { seed, addrs } = &mut target.what
                        && *seed == Seed::Host(host.clone(), port)
                    {
                        addrs.clone_from(&found);
                    }
                }
                for peer in found {
                    self.ask_again(now, peer);
                }
            }
            None => {}
        }
    }

    fn join_resolved(&mut self, now: Time, op: OpId, port: u16, target: String, addrs: &[IpAddr]) {
        let Some(join) = self.rejoin.joins.iter_mut().find(|join| join.op == op) else {
            return;
        };
        join.in_flight -= 1;
        if addrs.is_empty() {
            join.report
                .failures
                .push((target.clone(), JoinFailure::Unresolved));
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
        let Some(join) = self.rejoin.joins.iter_mut().find(|join| join.op == op) else {
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
    pub(super) fn arm_rejoin(&mut self, now: Time) {
        if !self.config.rejoin || self.left {
            return self.timers.clear(Timer::Rejoin);
        }
        let wanting = self
            .rejoin
            .targets
            .iter()
            .filter(|target| self.wants(&target.what));
        match wanting.map(|target| target.next).min() {
            Some(next) => {
                let at = next.max(self.rejoin.not_before).max(now);
                self.timers.set(Timer::Rejoin, at);
            }
            None => self.timers.clear(Timer::Rejoin),
        }
    }

    /// Seeds want to be asked while none of their addresses is a live member, lost ones always.
    fn wants(&self, what: &What) -> bool {
        match what {
            What::Lost { .. } => true,
            What::Seed { addrs, .. } => {
                let here = |addr: &SocketAddr| *addr == self.own_addr || self.is_alive_at(*addr);
                !addrs.iter().any(here)
            }
        }
    }

    /// Asks the one who has waited longest; its next turn comes after a longer pause.
    pub(super) fn rejoin_tick(&mut self, now: Time) {
        let due = |(_, target): &(usize, &Target)| target.next <= now && self.wants(&target.what);
        let targets = self.rejoin.targets.iter().enumerate();
        let chosen = targets.filter(due).min_by_key(|(_, target)| target.next);
        if let Some((i, _)) = chosen {
            let jitter = self.random.within(self.rejoin.targets[i].pause / 2);
            let target = &mut self.rejoin.targets[i];
            target.next = now + target.pause + jitter;
            target.pause = (target.pause * 2).min(self.config.rejoin_max);
            let what = target.what.clone();
            self.rejoin.not_before = now + self.config.rejoin_min;
            self.stats.rejoins += 1;
            match what {
                What::Lost { addr, .. }
                | What::Seed {
                    seed: Seed::Addr(addr),
                    ..
                } => {
                    self.ask_again(now, addr);
                }
                What::Seed {
                    seed: Seed::Host(host, port),
                    ..
                } => {
                    self.resolve(host, |host| Lookup::Seed {
                        host: host.to_owned(),
                        port,
                    });
                }
            }
        }
        self.arm_rejoin(now);
    }

    fn ask_again(&mut self, now: Time, peer: SocketAddr) {
        if peer != self.own_addr && self.may_dial() && !self.is_alive_at(peer) {
            let exchange = Exchange {
                join: true,
                cause: Cause::Rejoin,
                pull_only: false,
                peer,
            };
            self.begin_exchange(now, exchange);
        }
    }

    /// An attempt ended. Who answers is a member now, or will not become one by asking more often.
    pub(super) fn rejoin_ended(&mut self, now: Time, peer: SocketAddr, answered: bool) {
        if answered {
            let longest = self.config.rejoin_max;
            for target in &mut self.rejoin.targets {
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
        self.arm_rejoin(now);
    }
}
