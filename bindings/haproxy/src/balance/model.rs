//! Checks the guard against random sequences of joins, failures, leaves, drains, freezes,
//! isolations and orders in simulated time. The simulated world knows which applications answer.
//!
//! After each event, the model checks that a ready server was taken away only if another one is
//! ready. While no server serves, no member that could serve may wait, and no server that HAProxy
//! reaches may drain. After every twentieth event, once HAProxy's health checks have had time, the
//! model checks that a ready server answers if the application of any member that is present and
//! may serve answers, and that no member that could serve waits while a server that is down has a
//! slot, unless removals are frozen. A member that an operator has ordered to drain or to stop may
//! not serve, and its server may be taken away at any time.

use super::*;
use sprat::service::servers::candidate::{Desired, Presence};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

/// The number of events in a sequence.
const EVENTS: usize = 120;

/// A small generator of random numbers; the same seed gives the same sequence.
struct Random(u64);

impl Random {
    fn below(&mut self, below: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }

    fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// A member of the simulated cluster.
#[derive(Clone, Copy, Debug)]
struct Simulated {
    /// `None` if the cluster does not list the member.
    presence: Option<Presence>,
    desired: Desired,
    /// True if the application of the member answers.
    answers: bool,
    /// The state that an operator has ordered.
    order: Option<AdminState>,
}

impl Simulated {
    fn is_present(&self) -> bool {
        self.presence.is_some_and(Presence::is_there)
    }

    /// Returns true if the server of the member may be made ready when no other serves.
    fn may_serve(&self) -> bool {
        match self.order {
            Some(state) => state == AdminState::Ready,
            None => self.desired != Desired::Maint,
        }
    }

    /// Returns true if the member is alive, answers, and is going to serve.
    fn wants_to_serve(&self) -> bool {
        let wants = match self.order {
            Some(state) => state == AdminState::Ready,
            None => self.desired == Desired::Ready,
        };
        self.presence == Some(Presence::Alive) && self.answers && wants
    }

    /// Returns true if the member is present and answers, and its server may be made ready.
    fn could_serve(&self) -> bool {
        self.is_present() && self.answers && self.may_serve()
    }
}

/// A backend, its members, and the time.
struct World {
    balance: Balance,
    members: Vec<Simulated>,
    frozen: bool,
    isolated: bool,
    /// True if an operator gives orders.
    has_orders: bool,
    now: Time,
    log: Vec<String>,
}

impl World {
    fn new(slots: usize, members: usize, min_ready: u32) -> World {
        let limits = Limits {
            min_ready,
            patience: Duration::from_secs(2),
            ..Limits::default()
        };
        let absent = Simulated {
            presence: None,
            desired: Desired::Ready,
            answers: true,
            order: None,
        };
        World {
            balance: Balance::new(limits, slots),
            members: vec![absent; members],
            frozen: false,
            isolated: false,
            has_orders: false,
            now: Time::from_nanos(1),
            log: Vec::new(),
        }
    }

    /// Makes a random change, and checks what it did to the ready servers.
    fn step(&mut self, random: &mut Random) {
        self.now = self.now + Duration::from_millis(random.below(20_000) as u64);
        let before = self.ready();
        let n = random.below(self.members.len());
        match random.below(12) {
            0..=3 => {
                let all = [Presence::Alive, Presence::Alive, Presence::Suspect];
                let gone = [Presence::Failed, Presence::Leaving, Presence::Left];
                self.members[n].presence = match random.below(3) {
                    0 => self.members[n].presence.map(|_| random.pick(&gone)),
                    1 if random.one_in(3) => None,
                    _ => Some(random.pick(&all)),
                };
            }
            4..=5 => {
                let all = [
                    Desired::Ready,
                    Desired::Ready,
                    Desired::Drain,
                    Desired::Maint,
                ];
                self.members[n].desired = random.pick(&all);
            }
            6..=7 => self.members[n].answers = !random.one_in(2),
            8 => self.frozen = random.one_in(3),
            9 => self.isolated = random.one_in(3),
            10 if self.has_orders => {
                let all = [AdminState::Drain, AdminState::Maint, AdminState::Ready];
                self.members[n].order = (!random.one_in(2)).then(|| random.pick(&all));
                let (name, order) = (format!("web-{n}"), self.members[n].order);
                self.balance.set_order(self.now, &name, order);
            }
            _ => {}
        }
        self.log.push(format!("member {n}: {:?}", self.members[n]));
        if random.one_in(2) {
            self.check_health();
        }
        self.observe();
        self.check_removals(&before);
    }

    fn observe(&mut self) {
        let members = self.members.iter().enumerate();
        let listed = members.filter_map(|(n, it)| {
            Some(Candidate {
                name: format!("web-{n}").into(),
                presence: it.presence?,
                addr: Ok(SocketAddr::from(([10, 0, 0, n as u8], 80))),
                weight: 100,
                desired: it.desired,
                ignored: Vec::new(),
            })
        });
        let listed: Vec<_> = listed.collect();
        self.balance.set_frozen(self.now, self.frozen);
        self.balance.set_isolated(self.now, self.isolated);
        self.balance.observe(self.now, &listed);
    }

    /// Reports what HAProxy's health checks find: servers in maintenance are not checked.
    fn check_health(&mut self) {
        for (assignment, _) in self.balance.assignments() {
            let Some(name) = &assignment.name else {
                continue;
            };
            let reach = match self.members[number(name)].answers {
                true => Reach::Reached,
                false => Reach::Down,
            };
            if assignment.state != AdminState::Maint {
                self.balance
                    .set_reach(self.now, assignment.slot, name, reach);
            }
        }
    }

    /// Returns the members whose servers are ready, each with its slot.
    fn ready(&self) -> BTreeMap<Arc<str>, usize> {
        let slots = self.balance.assignments().into_iter();
        let ready = slots.filter(|(it, _)| it.state == AdminState::Ready);
        ready
            .filter_map(|(it, _)| Some((it.name?, it.slot)))
            .collect()
    }

    /// Checks that the servers that are no longer ready were allowed to go, and that no member
    /// waits or drains while no server serves.
    fn check_removals(&self, before: &BTreeMap<Arc<str>, usize>) {
        let after = self.ready();
        let is_guarded = |name: &str| self.members[number(name)].order.is_none();
        let taken: BTreeSet<usize> = after.values().copied().collect();
        assert_eq!(taken.len(), after.len(), "{:#?}", self.log);
        for (name, slot) in before.iter().filter(|(name, _)| !after.contains_key(*name)) {
            assert!(
                !after.is_empty() || taken.contains(slot) || !is_guarded(name),
                "{name} was the last ready server: {:#?}",
                self.log
            );
        }
        let assignments = self.balance.assignments();
        let serves = |(it, _): &(Assignment, _)| {
            it.state == AdminState::Ready && !self.balance.is_unreachable(it.slot)
        };
        if !assignments.iter().any(serves) {
            let waits = self.balance.complaints().iter();
            let waits: Vec<_> = waits
                .filter(|(name, _)| self.members[number(name)].may_serve())
                .collect();
            let could = waits
                .iter()
                .filter(|(name, _)| self.members[number(name)].is_present());
            let drains = assignments.iter().any(|(it, _)| {
                let is_guarded = it.name.as_deref().is_some_and(is_guarded);
                let is_reached = !self.balance.is_unreachable(it.slot);
                it.state == AdminState::Drain && is_reached && is_guarded
            });
            assert!(
                could.count() == 0 && !drains,
                "no server serves while members wait: {assignments:?} {waits:?} {:#?}",
                self.log
            );
        }
    }

    /// Lets health checks and removals come to rest, and checks that requests are answered if any
    /// member could answer them.
    fn check_rest(&mut self) {
        for _ in 0..12 * self.members.len() + 8 {
            self.check_health();
            self.observe();
            self.now = self.now + Duration::from_secs(1);
        }
        let could: Vec<usize> = (0..self.members.len())
            .filter(|n| self.members[*n].could_serve())
            .collect();
        let ready = self.ready();
        let answers = ready.keys().any(|it| self.members[number(it)].answers);
        assert!(
            could.is_empty() || answers,
            "{could:?} could serve, but only {ready:?} is ready: {:?} {:#?}",
            self.balance.assignments(),
            self.log
        );
        if answers && !self.frozen && !self.isolated {
            self.check_waiting();
        }
    }

    /// Checks that no member waits that could serve in the slot of a server that is down.
    fn check_waiting(&self) {
        let waits = self.balance.complaints().iter().map(|(name, _)| name);
        let waits: Vec<_> = waits
            .filter(|it| self.members[number(it)].wants_to_serve())
            .collect();
        let slots = self.balance.assignments();
        let is_down = |(it, _): &&(Assignment, _)| {
            let member = it.name.as_deref().map(|name| &self.members[number(name)]);
            let is_down = |member: &Simulated| {
                let is_kept = member.order == Some(AdminState::Ready);
                it.state != AdminState::Maint && !member.answers && !is_kept
            };
            member.is_some_and(is_down)
        };
        let down = slots.iter().filter(is_down);
        assert!(
            waits.is_empty() || down.count() == 0,
            "{waits:?} could serve: {slots:?} {:#?}",
            self.log
        );
    }
}

/// Returns the number of the member `web-N`.
fn number(name: &str) -> usize {
    name["web-".len()..].parse().unwrap()
}

#[test]
fn no_backend_is_empty_while_a_member_could_serve() {
    run(false);
}

#[test]
fn no_backend_is_empty_while_a_member_could_serve_that_is_not_ordered_to_drain_or_stop() {
    run(true);
}

fn run(has_orders: bool) {
    for seed in 0..1_500 {
        let mut random = Random(seed);
        let (slots, members) = (1 + random.below(4), 1 + random.below(7));
        let min_ready = random.pick(&[0, 50, 100]);
        let mut world = World::new(slots, members, min_ready);
        world.has_orders = has_orders;
        world.log.push(format!("seed {seed}, {slots} slots"));
        for n in 0..EVENTS {
            world.step(&mut random);
            if n % 20 == 19 {
                world.check_rest();
                world.log.clear();
            }
        }
    }
}
