//! The slots of a backend, and which member is in which.
//!
//! The preferred slot of a member follows from its name. A member keeps its slot until the cluster
//! forgets it or another member needs the slot more. An address serves under one name only.

use super::assignment::{AdminState, Assignment};
use super::member::{SlotMember, Spare};
use super::orders::Orders;
use super::reach::Standing;
use sprat::service::servers::candidate::{Candidate, Desired, Ignored, Presence, Unfit};
use sprat::time::Time;
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A problem with a member that is present: it has no slot, is stopped, or has a tag with an
/// invalid value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Complaint {
    /// There are more members than slots.
    Full,
    /// Another member that is present has the same address.
    SameAddress,
    /// The member cannot be a server.
    Unfit(Unfit),
    /// One of its tags has an invalid value, for which a valid one is used.
    Ignored(Ignored),
}

impl Complaint {
    /// Returns the complaint as `show sprat` prints it.
    pub fn text(&self) -> String {
        match self {
            Complaint::Full => "there are more members than slots".to_owned(),
            Complaint::SameAddress => "another live member has the same address".to_owned(),
            Complaint::Unfit(why) => why.text(),
            Complaint::Ignored(what) => what.text(),
        }
    }
}

/// The slots of a backend. See the top of this file.
pub(super) struct Slots {
    slots: Vec<Option<SlotMember>>,
    complaints: Vec<(Arc<str>, Complaint)>,
    /// Members that wait for a slot, with their addresses.
    waiting: Vec<(Candidate, SocketAddr)>,
    /// Waiting members whose servers HAProxy did not reach, and the time at which each gave its
    /// slot to another member. They get slots after the other waiting members and in the order of
    /// these times, so that each gets its turn if HAProxy reaches none of them.
    tried: HashMap<Arc<str>, Time>,
    orders: Orders,
    /// The addresses at which HAProxy itself listens.
    listeners: Vec<SocketAddr>,
}

impl Slots {
    pub fn new(slots: usize) -> Slots {
        Slots {
            slots: (0..slots).map(|_| None).collect(),
            complaints: Vec::new(),
            waiting: Vec::new(),
            tried: HashMap::new(),
            orders: Orders::default(),
            listeners: Vec::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Returns the number of members that wait for a slot.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub fn complaints(&self) -> &[(Arc<str>, Complaint)] {
        &self.complaints
    }

    pub fn get(&self, slot: usize) -> Option<&SlotMember> {
        self.slots.get(slot)?.as_ref()
    }

    pub fn get_mut(&mut self, slot: usize) -> Option<&mut SlotMember> {
        self.slots.get_mut(slot)?.as_mut()
    }

    pub fn iter(&self) -> impl Iterator<Item = (usize, &SlotMember)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(slot, member)| Some((slot, member.as_ref()?)))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut SlotMember> {
        self.slots.iter_mut().flatten()
    }

    pub fn set_order(&mut self, name: &str, state: Option<AdminState>) {
        self.orders.set(name, state);
        let order = self.orders.get(name);
        for member in self.iter_mut().filter(|it| *it.name == *name) {
            member.set_order(order);
        }
    }

    pub fn order(&self, name: &str) -> Option<AdminState> {
        self.orders.get(name).state
    }

    pub fn orders(&self) -> impl Iterator<Item = (&Arc<str>, AdminState)> {
        self.orders.iter()
    }

    /// Returns the assignment of a slot as it is now.
    pub fn assignment(&self, slot: usize) -> Assignment {
        self.get(slot)
            .map_or_else(|| Assignment::free(slot), |it| it.assignment(slot))
    }

    /// Puts a remembered member into this slot, or into the next free one. If the member already
    /// has a slot, only the states are merged. The member is left out if the slot does not exist,
    /// if its address is already in a slot, or if no slot is free.
    pub fn remember(&mut self, slot: usize, mut member: SlotMember) {
        if let Some(known) = self.iter_mut().find(|it| it.name == member.name) {
            return known.merge_remembered(member.state());
        }
        let taken = self.iter().any(|(_, it)| it.addr == member.addr);
        if slot >= self.slots.len() || taken {
            return;
        }
        if let Some(slot) = self.free_from(slot) {
            self.prepare(&mut member);
            self.slots[slot] = Some(member);
        }
    }

    /// Gives a member that gets a slot its order, and notes whether HAProxy itself listens at its
    /// address.
    fn prepare(&self, member: &mut SlotMember) {
        member.order = self.orders.get(&member.name);
        member.compare_with_listeners(&self.listeners);
    }

    /// Takes the addresses at which HAProxy itself listens.
    pub fn set_own_listeners(&mut self, listeners: &[SocketAddr]) {
        listeners.clone_into(&mut self.listeners);
        self.compare_with_listeners();
    }

    fn compare_with_listeners(&mut self) {
        for member in self.slots.iter_mut().flatten() {
            member.compare_with_listeners(&self.listeners);
        }
    }

    /// Applies the current list of members.
    pub fn observe(&mut self, now: Time, candidates: &[Candidate]) {
        let candidates = candidates.iter().cloned();
        let candidates = candidates.map(|it| self.orders.apply(without_new_work_if_leaving(it)));
        let candidates: Vec<_> = candidates.collect();
        self.complaints.clear();
        self.waiting.clear();
        let listed: BTreeSet<&str> = candidates.iter().map(|it| &*it.name).collect();
        self.tried.retain(|name, _| listed.contains(&**name));
        for member in self.iter_mut() {
            if !listed.contains(&*member.name) {
                member.set_unlisted(now);
            }
        }
        let owners = self.owners(&candidates);
        for candidate in &candidates {
            let ignored = candidate.ignored.iter().cloned().map(Complaint::Ignored);
            let refused = self.apply(now, candidate, &owners).err();
            if candidate.is_there() {
                let all = refused.into_iter().chain(ignored);
                let all = all.map(|complaint| (candidate.name.clone(), complaint));
                self.complaints.extend(all);
            }
        }
        for member in self.iter_mut() {
            let owner = owners.get(&member.addr);
            if owner.is_some_and(|owner| *owner != member.name) {
                member.supersede();
            }
        }
        self.compare_with_listeners();
    }

    /// Returns the member that owns each address. If several present members claim an address, the
    /// one that already serves there keeps it; if none does, the first in the list gets it. A
    /// member that is gone or only remembered owns no address.
    fn owners(&self, candidates: &[Candidate]) -> HashMap<SocketAddr, Arc<str>> {
        let mut owners = HashMap::new();
        for must_serve_there in [true, false] {
            for it in candidates.iter().filter(|it| it.is_there()) {
                let serves_there =
                    |member: &SlotMember| member.owns_its_address() && it.addr == Ok(member.addr);
                let member = self.find(&it.name).and_then(|slot| self.get(slot));
                if must_serve_there && !member.is_some_and(serves_there) {
                    continue;
                }
                if let Ok(addr) = it.addr {
                    owners.entry(addr).or_insert_with(|| it.name.clone());
                }
            }
        }
        owners
    }

    fn apply(
        &mut self,
        now: Time,
        candidate: &Candidate,
        owners: &HashMap<SocketAddr, Arc<str>>,
    ) -> Result<(), Complaint> {
        let addr = match candidate.addr {
            Err(ref why) => Err(Complaint::Unfit(why.clone())),
            Ok(addr) if candidate.is_there() && owners.get(&addr) != Some(&candidate.name) => {
                Err(Complaint::SameAddress)
            }
            Ok(addr) => Ok(addr),
        };
        let slot = self.find(&candidate.name);
        if let Some(member) = slot.and_then(|slot| self.get_mut(slot)) {
            member.update(candidate, addr.as_ref().ok().copied(), now);
            return addr.map(drop);
        }
        if candidate.is_there() {
            self.waiting.push((candidate.clone(), addr?));
        }
        Ok(()) // a member that is gone needs no slot
    }

    /// Gives slots that are free, or that their members can do without, to waiting members. Returns
    /// true if a member got a slot.
    pub fn place_waiting(&mut self, now: Time) -> bool {
        self.free_unneeded();
        let mut any = false;
        for (candidate, addr) in self.take_waiting() {
            // Only a member that is going to serve may take the slot of a member that is present or
            // remembered and whose server is stopped, or of a member that is gone and whose server
            // still drains. A member that HAProxy did not reach takes no slot from one that it does
            // not reach either: the two would take turns without end.
            let most = match candidate.desired {
                Desired::Ready if !self.tried.contains_key(&candidate.name) => Spare::Lost,
                Desired::Ready => Spare::Leaving,
                Desired::Drain | Desired::Maint => Spare::Failed,
            };
            match self.slot_for(&candidate.name, most) {
                Some(slot) => self.give(now, slot, &candidate, addr),
                None => {
                    self.waiting.push((candidate, addr));
                    continue;
                }
            }
            any = true;
        }
        any
    }

    /// Gives this slot to a waiting member that is alive, wants to serve and was not tried yet.
    /// Returns false if there is no such member.
    pub fn replace(&mut self, now: Time, slot: usize) -> bool {
        self.give_to_first(now, Some(slot), |it, tried| serves(it) && tried.is_none())
    }

    /// Gives the slot of a server that has been down for `patience` to a waiting member that is
    /// alive and wants to serve, if another server has served for as long. A waiting member that
    /// HAProxy did not reach in its last slot is tried again after the same time: it may run again,
    /// and HAProxy does not check it while it has no slot. Returns true if a member got a slot.
    pub fn replace_down(&mut self, now: Time, patience: Duration) -> bool {
        let is_over = |at: Time| at <= now;
        let lasted =
            |it: &SlotMember, standing| it.lasts_at(standing, patience).filter(|at| is_over(*at));
        if !self
            .iter()
            .any(|(_, it)| lasted(it, Standing::Serves).is_some())
        {
            return false;
        }
        let down = self
            .iter()
            .filter_map(|(slot, it)| Some((lasted(it, Standing::Down)?, slot)));
        let Some((_, slot)) = down.min() else {
            return false;
        };
        let may_try = |tried: Option<Time>| tried.is_none_or(|at| is_over(at + patience));
        self.give_to_first(now, Some(slot), |it, tried| serves(it) && may_try(tried))
    }

    /// Returns the times at which [`Slots::replace_down`] may next give a slot away.
    pub fn replacements_due(&self, patience: Duration) -> impl Iterator<Item = Time> {
        let members = self.iter().filter(|_| !self.waiting.is_empty());
        let lasts_at = move |it: &SlotMember| {
            [Standing::Serves, Standing::Down].map(|standing| it.lasts_at(standing, patience))
        };
        let of_servers = members.flat_map(move |(_, it)| lasts_at(it)).flatten();
        let is_down = self
            .iter()
            .any(|(_, it)| it.lasts_at(Standing::Down, patience).is_some());
        let tried = self.tried.values().filter(move |_| is_down);
        of_servers.chain(tried.map(move |at| *at + patience))
    }

    /// If no server serves, gives a slot to a waiting member that could serve. If `tried` is true,
    /// only members that HAProxy did not reach before are considered; if it is false, only members
    /// that were not tried yet. Returns true if a member got a slot.
    pub fn rescue(&mut self, now: Time, tried: bool) -> bool {
        let could_serve = |it: &Candidate| it.desired != Desired::Maint;
        let nobody_serves = !self.iter().any(|(_, it)| it.serves());
        nobody_serves
            && self.give_to_first(now, None, |it, was| {
                could_serve(it) && was.is_some() == tried
            })
    }

    /// If no server serves, makes one draining server ready again, among those that HAProxy reaches
    /// and that no operator ordered to drain: one whose member is present, or else the one whose
    /// member left last, because its program is the most likely to run on. Returns true if a server
    /// is ready again.
    pub fn recall(&mut self) -> bool {
        if self.iter().any(|(_, it)| it.serves()) {
            return false;
        }
        let draining = self.iter_mut().filter(|it| it.may_be_recalled());
        let Some(member) = draining.max_by_key(|it| (it.is_present(), it.since())) else {
            return false;
        };
        member.set_state(AdminState::Ready);
        true
    }

    /// Gives a slot to the first waiting member for which `wanted` is true; the second argument of
    /// `wanted` is the time at which the member was tried. Members whose servers the guard would
    /// not keep ready are passed over. The slot is the given one, or else a free one, or else the
    /// one whose member can most easily do without it.
    fn give_to_first(
        &mut self,
        now: Time,
        slot: Option<usize>,
        wanted: impl Fn(&Candidate, Option<Time>) -> bool,
    ) -> bool {
        let mut waiting = self.take_waiting();
        let tried = |it: &Candidate| self.tried.get(&it.name).copied();
        // The server of such a member would be stopped or drained at once, without the guard.
        let is_unguarded = |it: &Candidate, addr: &SocketAddr| {
            self.orders.get(&it.name).is_removal() || self.listeners.contains(addr)
        };
        let first = waiting
            .iter()
            .position(|(it, addr)| !is_unguarded(it, addr) && wanted(it, tried(it)));
        let chosen = first.map(|at| waiting.remove(at));
        self.waiting = waiting;
        let Some((candidate, addr)) = chosen else {
            return false;
        };
        // A member that asks to drain takes no slot from a member whose server drains and is
        // reached by HAProxy, unless that member is gone. One of these servers can be recalled
        // instead, but not if an operator has ordered all of them to drain.
        let may_recall = self.iter().any(|(_, it)| it.may_be_recalled());
        let most = match candidate.desired {
            Desired::Drain | Desired::Maint if may_recall => Spare::Unreachable,
            Desired::Ready | Desired::Drain | Desired::Maint => Spare::Draining,
        };
        let Some(slot) = slot.or_else(|| self.slot_for(&candidate.name, most)) else {
            self.waiting.push((candidate, addr));
            return false;
        };
        self.give(now, slot, &candidate, addr);
        true
    }

    /// Takes the waiting members, in the order in which they get slots: first those that were not
    /// tried and are going to serve.
    fn take_waiting(&mut self) -> Vec<(Candidate, SocketAddr)> {
        let mut waiting = std::mem::take(&mut self.waiting);
        let tried = |it: &Candidate| self.tried.get(&it.name).copied();
        waiting.sort_by_key(|(it, _)| (tried(it), it.desired != Desired::Ready));
        waiting
    }

    /// Gives a slot to a member, whose server immediately gets the state that it should have. The
    /// member that had the slot waits from now on if it is present and wants a server.
    fn give(&mut self, now: Time, slot: usize, candidate: &Candidate, addr: SocketAddr) {
        let mut member = SlotMember::new(candidate, addr, now);
        self.prepare(&mut member);
        member.set_state(member.target());
        self.tried.remove(&candidate.name);
        let Some(before) = self.slots[slot].replace(member) else {
            return;
        };
        if let Some(candidate) = before.candidate() {
            if before.is_unreachable() {
                self.tried.insert(candidate.name.clone(), now);
            }
            self.waiting.push((candidate, before.addr));
        }
    }

    /// Updates the complaints about members that wait for a slot.
    pub fn update_complaints(&mut self) {
        self.complaints.retain(|(_, it)| *it != Complaint::Full);
        let waiting = self.waiting.iter();
        let full = waiting.map(|(it, _)| (it.name.clone(), Complaint::Full));
        self.complaints.extend(full);
    }

    fn find(&self, name: &str) -> Option<usize> {
        let mut all = self.iter();
        all.find_map(|(slot, member)| (*member.name == *name).then_some(slot))
    }

    /// Returns the first free slot from the preferred one on. If none is free, returns the slot
    /// whose member can most easily do without it, provided that the member's rank is at most
    /// `most`.
    fn slot_for(&self, name: &str, most: Spare) -> Option<usize> {
        let preferred = crc32fast::hash(name.as_bytes()) as usize % self.slots.len().max(1);
        self.free_from(preferred).or_else(|| {
            let ranks = self
                .iter()
                .filter_map(|(slot, it)| Some((it.spare_rank()?, slot)));
            let spare = ranks.filter(|((spare, _), _)| *spare <= most);
            spare.min().map(|(_, slot)| slot)
        })
    }

    /// Returns the first free slot, beginning at this one and continuing at 0 after the last one.
    fn free_from(&self, first: usize) -> Option<usize> {
        let len = self.slots.len();
        let mut slots = (0..len).map(|step| (first + step) % len);
        slots.find(|slot| self.slots[*slot].is_none())
    }

    fn free_unneeded(&mut self) {
        for slot in &mut self.slots {
            if slot.as_ref().is_some_and(SlotMember::needs_no_slot) {
                *slot = None;
            }
        }
    }
}

/// Returns true if a candidate is alive and wants to serve.
fn serves(candidate: &Candidate) -> bool {
    candidate.desired == Desired::Ready && candidate.presence == Presence::Alive
}

/// Returns a candidate that asks for no new work if its member has announced its leave.
fn without_new_work_if_leaving(mut candidate: Candidate) -> Candidate {
    if candidate.presence == Presence::Leaving && candidate.desired == Desired::Ready {
        candidate.desired = Desired::Drain;
    }
    candidate
}
