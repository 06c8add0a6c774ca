//! Members to slots, and who may be taken away.
//!
//! HAProxy has a fixed number of server slots. A member keeps its slot until it is forgotten, so
//! one that returns finds its place, and several load balancers mostly agree. Adding is quick;
//! taking away is guarded, because what looks like the end of many is more often the end of one's
//! own view of them:
//!
//! ```text
//! wanted by the member itself (drains, leaves)   never the last one that is ready
//! not wanted (failed, doubted)                   never below the floor, and not at all while
//!                                                this node is isolated, or an operator froze it
//! ```
//!
//! Who cannot be taken away is held: it stays ready, and HAProxy's own checks decide about it.
//! Nothing here knows HAProxy: members and time go in, what each slot shall be comes out.

mod member;
mod removal;
mod slots;
#[cfg(test)]
mod tests;

use member::Entry;
pub use member::{Hold, Mode};
pub use slots::Complaint;
use slots::Slots;
use sprat::service::spoe::candidate::Candidate;
use sprat::time::Time;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How careful it is.
#[derive(Clone, Debug)]
pub struct Limits {
    /// So many percent of the known members stay ready, and one at least.
    pub min_ready: u32,
    /// So long a member that has left gets no new requests, before its connections end.
    pub drain: Duration,
    /// Between two removals after an isolation.
    pub pace: Duration,
    /// So long a failed member counts as known; later it is no reason to hold others.
    pub memory: Duration,
    /// So long those of an earlier life are believed in once others are heard.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            min_ready: 50,
            drain: Duration::from_secs(30),
            pace: Duration::from_millis(100),
            memory: Duration::from_secs(300),
            grace: Duration::from_secs(30),
        }
    }
}

/// What a slot shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Which, from 0.
    pub slot: usize,
    /// Whose it is; `None` for nobody's.
    pub name: Option<Arc<str>>,
    /// Where its server is; `None` for nobody's.
    pub addr: Option<SocketAddr>,
    /// The weight of its server.
    pub weight: u16,
    /// What it gets.
    pub mode: Mode,
}

/// Members and slots. See the head of this file.
pub struct Balance {
    limits: Limits,
    slots: Slots,
    /// What was last ordered of each slot.
    ordered: Vec<Option<Order>>,
    /// This node may be cut off: failures say nothing.
    isolated: bool,
    /// Somebody wants nothing to be taken away.
    frozen: bool,
    /// After an isolation, while removals keep a distance.
    thawing: bool,
    next_removal: Time,
    /// When the first member was heard that is not from an earlier life.
    heard: Option<Time>,
}

impl Balance {
    /// So many slots, and nobody in them.
    pub fn new(limits: Limits, slots: usize) -> Balance {
        Balance {
            limits,
            slots: Slots::new(slots),
            ordered: vec![None; slots],
            isolated: false,
            frozen: false,
            thawing: false,
            next_removal: Time::ZERO,
            heard: None,
        }
    }

    /// Takes up what an earlier life knew, before anybody is heard. It is believed for a while.
    pub fn remember(&mut self, now: Time, slot: usize, order: &Order) {
        if let (Some(name), Some(addr)) = (&order.name, order.addr) {
            let entry = Entry::remembered(name.clone(), addr, order.weight, order.mode, now);
            self.slots.remember(slot, entry);
        }
    }

    /// The members as they are now; who is not among them is forgotten.
    pub fn observe(&mut self, now: Time, candidates: &[Candidate]) {
        if !candidates.is_empty() {
            self.heard.get_or_insert(now);
        }
        self.slots.observe(now, candidates);
        self.advance(now);
    }

    /// Whether this node may be cut off from the others.
    pub fn set_isolated(&mut self, now: Time, isolated: bool) {
        if self.isolated && !isolated {
            self.thawing = true;
        }
        self.isolated = isolated;
        self.advance(now);
    }

    /// Takes nobody away until it is thawed. Who joins is served.
    pub fn freeze(&mut self, now: Time, frozen: bool) {
        if self.frozen && !frozen {
            self.thawing = true;
        }
        self.frozen = frozen;
        self.advance(now);
    }

    /// What HAProxy itself thinks of the server in a slot: does it refuse connections? Gives the
    /// member that this is news about, and bad ones: the cluster may want to look at it.
    pub fn doubt(&mut self, now: Time, slot: usize, doubted: bool) -> Option<Arc<str>> {
        let entry = self.slots.get_mut(slot)?;
        if entry.doubted == doubted {
            return None;
        }
        entry.doubted = doubted;
        let accused = doubted.then(|| entry.name.clone());
        self.advance(now);
        accused
    }

    /// Does what is due.
    pub fn advance(&mut self, now: Time) {
        self.forget_an_earlier_life(now);
        loop {
            self.add();
            self.remove(now);
            if !self.slots.place_waiting(now) {
                break;
            }
        }
    }

    /// Those of an earlier life of whom nobody has spoken are gone.
    fn forget_an_earlier_life(&mut self, now: Time) {
        let Some(heard) = self.heard else {
            return;
        };
        let grace = self.limits.grace;
        for entry in self.slots.iter_mut() {
            if now.since(heard.max(entry.since())) >= grace {
                entry.end_of_memory(now);
            }
        }
    }

    /// Who is to get requests gets them at once.
    fn add(&mut self) {
        for entry in self.slots.iter_mut() {
            if entry.goal() == Mode::Ready {
                entry.become_mode(Mode::Ready);
            }
        }
    }

    /// When [`Balance::advance`] wants to be called next.
    pub fn next_timeout(&self, now: Time) -> Option<Time> {
        let remembered = self.slots.iter().filter(|(_, entry)| entry.is_remembered());
        let ends =
            |(_, entry): (_, &Entry)| Some(self.heard?.max(entry.since()) + self.limits.grace);
        let grace = remembered.filter_map(ends).filter(|at| *at > now).min();
        let drain = self.limits.drain;
        let stops = self.slots.iter().filter_map(|(_, it)| it.stops_at(drain));
        let drained = stops.filter(|at| *at > now).min();
        let held = self.slots.iter().any(|(_, entry)| entry.hold().is_some());
        let forgotten = self
            .slots
            .iter()
            .map(|(_, entry)| entry.since() + self.limits.memory);
        let forgotten = forgotten.filter(|at| held && *at > now).min();
        let paced = (self.thawing && self.next_removal > now).then_some(self.next_removal);
        [grace, drained, forgotten, paced]
            .into_iter()
            .flatten()
            .min()
    }

    /// What has changed since it was last asked for.
    pub fn take_orders(&mut self) -> Vec<Order> {
        let mut orders = Vec::new();
        for slot in 0..self.slots.len() {
            let order = self.slots.order(slot);
            if self.ordered[slot].as_ref() != Some(&order) {
                self.ordered[slot] = Some(order.clone());
                orders.push(order);
            }
        }
        orders
    }

    /// Every slot as it shall be now.
    pub fn picture(&self) -> Vec<(Order, Option<Hold>)> {
        let of = |entry: &Entry| {
            let remembered = entry.is_remembered().then_some(Hold::Remembered);
            entry.hold().or(remembered)
        };
        let hold = |slot| self.slots.get(slot).and_then(of);
        let all = 0..self.slots.len();
        all.map(|slot| (self.slots.order(slot), hold(slot)))
            .collect()
    }

    /// Members that are there with something wrong: most of them have no slot, or are stopped.
    pub fn complaints(&self) -> &[(Arc<str>, Complaint)] {
        self.slots.complaints()
    }

    /// Whether an operator wants nothing to be taken away.
    pub fn is_frozen_by_hand(&self) -> bool {
        self.frozen
    }

    /// Why nothing is taken away at the moment, if that is so.
    pub fn frozen(&self) -> Option<&'static str> {
        match (self.frozen, self.isolated) {
            (true, _) => Some("an operator froze it"),
            (false, true) => Some("this node may be cut off"),
            (false, false) => None,
        }
    }
}
