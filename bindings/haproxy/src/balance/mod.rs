//! Assigns members to server slots, and decides which servers may be removed.
//!
//! A backend has a fixed number of server slots. A member keeps its slot until the cluster forgets
//! it, so a member that returns gets the same slot again. The preferred slot follows from the name
//! of the member, so several load balancers mostly assign the same slots. If there are more members
//! than slots, a waiting member that is going to serve takes the slot of a member whose server is
//! stopped, or else of a member whose server drains because the member is gone, or because neither
//! the cluster nor HAProxy reaches it, or else of a member whose server HAProxy's health checks
//! have found down for a while, although HAProxy reaches others (`reach.rs`).
//!
//! Members are added immediately. Removals are guarded, because when many members seem to fail, the
//! cause is usually this node's own network. The guard is one rule:
//!
//! > A ready server is taken away only if enough others are ready, or if a member that waits for a
//! > slot takes its place in the same step.
//!
//! How many are *enough* depends on the reason for the removal:
//!
//! ```text
//! the member asks for it (it drains or leaves)   one that HAProxy reaches; any one, if HAProxy
//!                                                reaches no ready server at all
//! the member is lost (failed, unreachable)       the same, and at least `min_ready` percent of the
//!                                                known members
//! ```
//!
//! While this node is isolated, or an operator has frozen removals, a lost member whose server is
//! ready keeps it, and no member that waits takes its place, except in a rescue (see below). Once
//! the node is broken, this is so for all members.
//!
//! A member that has announced its leave asks to drain. A server at an address of HAProxy itself is
//! stopped without the guard: it serves nobody.
//!
//! A server whose removal is due but not allowed is *held*: it stays ready, and only HAProxy's own
//! health checks can take it out of rotation. When they take the last ready server out of rotation,
//! a member that waits gets a slot (a *rescue*), or a draining server is made ready again (a
//! *recall*). `model.rs` checks the rule against random sequences of events.
//!
//! An operator may order a state for the server of a member. Orders are carried out immediately and
//! without the guard: the guard protects against faults of the cluster and the network, not against
//! the operator.
//!
//! Nothing here talks to HAProxy: members, orders, the results of health checks and the time go in,
//! and the assignment of each slot comes out.

mod assignment;
mod limits;
mod member;
#[cfg(test)]
mod model;
mod orders;
mod reach;
mod removal;
mod slots;
#[cfg(test)]
mod tests;

pub use assignment::{AdminState, Assignment};
pub use limits::Limits;
pub use member::Hold;
use member::SlotMember;
pub use reach::Reach;
use removal::{Freeze, Removals};
pub use slots::Complaint;
use slots::Slots;
use sprat::service::servers::candidate::Candidate;
use sprat::time::Time;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// The members that a backend knows, each with its slot if it has one.
pub type Roster = BTreeMap<Arc<str>, Option<usize>>;

/// A change of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The assignment before the change.
    pub before: Assignment,
    /// The assignment after the change.
    pub after: Assignment,
    /// The reason; `None` if the slot is free now.
    pub reason: Option<&'static str>,
}

/// The slots of one backend and the members in them. See the top of this file.
pub struct Balance {
    limits: Limits,
    slots: Slots,
    removals: Removals,
    /// The assignment that `take_assignments` last returned for each slot.
    taken: Vec<Option<Assignment>>,
    log: Vec<Change>,
    /// True while this node may be cut off from the cluster, in which case failures prove nothing.
    isolated: bool,
    /// True while an operator has frozen removals.
    frozen: bool,
    /// True once the node is broken, after which the list of members is no longer current.
    broken: bool,
    /// The list of members that was applied last.
    listed: Vec<Candidate>,
    /// The time at which a member of the backend was first heard from.
    heard: Option<Time>,
}

impl Balance {
    /// Creates this many slots, all free.
    pub fn new(limits: Limits, slots: usize) -> Balance {
        Balance {
            limits,
            slots: Slots::new(slots),
            removals: Removals::default(),
            taken: vec![None; slots],
            log: Vec::new(),
            isolated: false,
            frozen: false,
            broken: false,
            listed: Vec::new(),
            heard: None,
        }
    }

    /// Restores an assignment from before a restart. Its member is kept for [`Limits::grace`],
    /// counted from the restoration, or from the time at which a member of the backend was first
    /// heard from if that is later.
    pub fn remember(&mut self, now: Time, assignment: &Assignment) {
        if let Some(member) = SlotMember::remembered(assignment, now) {
            self.slots.remember(assignment.slot, member);
        }
    }

    /// Applies the current list of members. A member that is missing counts as forgotten,
    /// unless it was restored and has not been listed since.
    pub fn observe(&mut self, now: Time, candidates: &[Candidate]) {
        if !candidates.is_empty() {
            self.heard.get_or_insert(now);
        }
        self.slots.observe(now, candidates);
        candidates.clone_into(&mut self.listed);
        self.advance(now);
    }

    /// Takes the addresses at which HAProxy itself listens. A server at one of them is stopped,
    /// even if it is the last one: HAProxy would send its requests to itself.
    pub fn set_own_listeners(&mut self, now: Time, listeners: &[SocketAddr]) {
        self.slots.set_own_listeners(listeners);
        self.advance(now);
    }

    /// Sets whether this node may be cut off from the cluster.
    pub fn set_isolated(&mut self, now: Time, isolated: bool) {
        if self.isolated && !isolated {
            self.removals.thaw();
        }
        self.isolated = isolated;
        self.advance(now);
    }

    /// Freezes removals if `frozen` is true, and thaws them otherwise. Members that join get slots
    /// in both cases.
    pub fn set_frozen(&mut self, now: Time, frozen: bool) {
        if self.frozen && !frozen {
            self.removals.thaw();
        }
        self.frozen = frozen;
        self.advance(now);
    }

    /// Notes that the node is broken: nothing more is heard of the members. From now on, servers
    /// stay as they are, except that orders are carried out, that a server at an address of HAProxy
    /// itself is stopped, and that a server is made ready if none serves.
    pub fn set_broken(&mut self, now: Time) {
        self.broken = true;
        self.advance(now);
    }

    /// Sets whether HAProxy sends requests to the server in a slot. A report about a member that no
    /// longer has the slot is ignored. Returns the member if its server has just become
    /// unreachable, so that the caller can have the member probed early.
    pub fn set_reach(
        &mut self,
        now: Time,
        slot: usize,
        name: &str,
        reach: Reach,
    ) -> Option<Arc<str>> {
        let member = self.slots.get_mut(slot)?;
        if *member.name != *name || member.reach == reach {
            return None;
        }
        let was_unreachable = member.is_unreachable();
        member.reach = reach;
        let is_news = member.is_unreachable() && !was_unreachable;
        let name = is_news.then(|| member.name.clone());
        self.advance(now);
        name
    }

    /// Orders a state for the server of a member; `None` withdraws the order.
    pub fn set_order(&mut self, now: Time, name: &str, state: Option<AdminState>) {
        self.slots.set_order(name, state);
        // The order takes the place of the state that the member asks for, and a withdrawal brings
        // that state back.
        self.slots.observe(now, &self.listed);
        self.advance(now);
    }

    /// Returns the members that are known, each with its slot if it has one: members in a slot,
    /// members that a complaint is about, and members for which an operator has ordered a state.
    pub fn roster(&self) -> Roster {
        let complaints = self.slots.complaints().iter().map(|(name, _)| name);
        let known = complaints.chain(self.orders().map(|(name, _)| name));
        let mut roster: Roster = known.map(|name| (name.clone(), None)).collect();
        let members = self.slots.iter();
        roster.extend(members.map(|(slot, it)| (it.name.clone(), Some(slot))));
        roster
    }

    /// Returns the members for which an operator has ordered a state.
    pub fn orders(&self) -> impl Iterator<Item = (&Arc<str>, AdminState)> {
        self.slots.orders()
    }

    /// Makes every change that is due.
    pub fn advance(&mut self, now: Time) {
        self.forget_remembered(now);
        let freeze = match (self.broken, self.frozen || self.isolated) {
            (true, _) => Freeze::Everything,
            (false, true) => Freeze::Losses,
            (false, false) => Freeze::Nothing,
        };
        // While removals are frozen, nothing is counted: this node may be cut off, or it knows
        // nothing new.
        let counts = freeze == Freeze::Nothing;
        // Each round settles at least one slot or one waiting member. The bound ensures that a
        // mistake in the rules cannot keep the thread busy forever.
        for _ in 0..4 * (1 + self.slots.len() + self.slots.waiting()) {
            self.add();
            let placed = self.slots.place_waiting(now);
            let slots = &mut self.slots;
            let removed = self.removals.run(now, slots, &self.limits, freeze);
            let saved = slots.rescue(now, false) || slots.recall() || slots.rescue(now, true);
            let replaced = counts && slots.replace_down(now, self.limits.patience);
            if !(placed || removed || saved || replaced) {
                break;
            }
        }
        for member in self.slots.iter_mut() {
            member.note_standing(now, counts);
        }
        self.slots.update_complaints();
    }

    /// Counts remembered members as failed when their grace is over, and forgets them when failed
    /// members no longer count as known.
    fn forget_remembered(&mut self, now: Time) {
        let Some(heard) = self.heard.filter(|_| !self.broken) else {
            return;
        };
        let (grace, memory) = (self.limits.grace, self.limits.memory);
        for member in self.slots.iter_mut() {
            if now.since(heard.max(member.since())) >= grace {
                member.end_memory(now);
            }
            if member.is_unreported() && now.since(member.since()) >= memory {
                member.forget(now);
            }
        }
    }

    /// Makes every server ready that should be ready. A stopped server that should drain begins to
    /// drain if its member is present, because clients may be bound to the server. If the member is
    /// not present, the server stays stopped.
    fn add(&mut self) {
        for member in self.slots.iter_mut() {
            let target = member.target();
            let drains = target < member.state() && member.is_present();
            if target == AdminState::Ready || drains {
                member.set_state(target);
            }
        }
    }

    /// Returns the time at which to call [`Balance::advance`] next; `None` if no change will become
    /// due by time alone.
    pub fn next_timeout(&self, now: Time) -> Option<Time> {
        let members = || self.slots.iter().map(|(_, member)| member);
        let grace = |it: &SlotMember| Some(self.heard?.max(it.since()) + self.limits.grace);
        let forgotten = members()
            .filter(|it| it.is_remembered())
            .filter_map(grace)
            .filter(|at| *at > now);
        let stopped = members()
            .filter_map(|it| it.stops_at(self.limits.drain))
            .filter(|at| *at > now);
        let is_held = members().any(SlotMember::is_held);
        let uncounted = members()
            .filter(|it| is_held || it.is_unreported())
            .map(|it| it.since() + self.limits.memory)
            .filter(|at| *at > now);
        let replaced = self.slots.replacements_due(self.limits.patience);
        let replaced = replaced.filter(|at| *at > now);
        forgotten
            .chain(stopped)
            .chain(replaced)
            .chain(uncounted)
            .chain(self.removals.next_timeout(now))
            .min()
    }

    /// Returns the assignments that have changed since the last call. Changes that admit more
    /// requests come first, so that new servers are ready before others are taken away.
    pub fn take_assignments(&mut self) -> Vec<Assignment> {
        let mut changes = Vec::new();
        for slot in 0..self.slots.len() {
            let assignment = self.slots.assignment(slot);
            if self.taken[slot].as_ref() != Some(&assignment) {
                let before = self.taken[slot].replace(assignment.clone());
                let reason = self.slots.get(slot).map(SlotMember::reason);
                self.log.extend(before.map(|before| Change {
                    before,
                    after: assignment.clone(),
                    reason,
                }));
                changes.push(assignment);
            }
        }
        changes.sort_by_key(|it| it.state);
        changes
    }

    /// Takes the changes, with their reasons, that `take_assignments` has returned since the last
    /// call of this function. The first assignment of a slot is not among them.
    pub fn take_log(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.log)
    }

    /// Returns the order of an operator for a member.
    pub fn order(&self, name: &str) -> Option<AdminState> {
        self.slots.order(name)
    }

    /// Returns the assignment of every slot, and the reason if its server is held.
    pub fn assignments(&self) -> Vec<(Assignment, Option<Hold>)> {
        let hold = |slot| self.slots.get(slot).and_then(SlotMember::hold);
        let all = 0..self.slots.len();
        all.map(|slot| (self.slots.assignment(slot), hold(slot)))
            .collect()
    }

    /// Returns true if the last report says that the server in a slot gets no requests from
    /// HAProxy.
    pub fn is_unreachable(&self, slot: usize) -> bool {
        self.slots.get(slot).is_some_and(SlotMember::is_unreachable)
    }

    /// Returns the complaints about members that are present, for example that a member has no
    /// slot.
    pub fn complaints(&self) -> &[(Arc<str>, Complaint)] {
        self.slots.complaints()
    }

    /// Returns true if an operator has frozen removals.
    pub fn is_frozen_by_operator(&self) -> bool {
        self.frozen
    }

    /// Returns the reason why removals are frozen; `None` if they are not.
    pub fn frozen_reason(&self) -> Option<&'static str> {
        match (self.broken, self.frozen, self.isolated) {
            (true, _, _) => Some("the node is broken"),
            (false, true, _) => Some("an operator froze removals"),
            (false, false, true) => Some("this node may be isolated"),
            (false, false, false) => None,
        }
    }
}
