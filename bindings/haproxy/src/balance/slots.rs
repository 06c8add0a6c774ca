//! Who sits where: a slot by the name, kept until the member is forgotten.

use super::{Entry, Mode, Order};
use sprat::service::spoe::candidate::{Candidate, Ignored, Unfit};
use sprat::time::Time;
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

/// What is wrong with a member.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Complaint {
    /// There are more members than slots.
    Full,
    /// Another member is alive at its address.
    SameAddress,
    /// It cannot be a server.
    Unfit(Unfit),
    /// It says something that makes no sense, and is a server nevertheless.
    Ignored(Ignored),
}

impl Complaint {
    /// In words.
    pub fn text(&self) -> String {
        match self {
            Complaint::Full => "there are more members than slots".to_owned(),
            Complaint::SameAddress => "another member is alive at its address".to_owned(),
            Complaint::Unfit(why) => why.text(),
            Complaint::Ignored(what) => what.text(),
        }
    }
}

/// The slots of a backend.
pub(super) struct Slots {
    slots: Vec<Option<Entry>>,
    complaints: Vec<(Arc<str>, Complaint)>,
    /// Those who only lack a slot.
    waiting: Vec<(Candidate, SocketAddr)>,
}

impl Slots {
    pub fn new(slots: usize) -> Slots {
        Slots {
            slots: (0..slots).map(|_| None).collect(),
            complaints: Vec::new(),
            waiting: Vec::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn complaints(&self) -> &[(Arc<str>, Complaint)] {
        &self.complaints
    }

    pub fn get(&self, slot: usize) -> Option<&Entry> {
        self.slots.get(slot)?.as_ref()
    }

    pub fn get_mut(&mut self, slot: usize) -> Option<&mut Entry> {
        self.slots.get_mut(slot)?.as_mut()
    }

    pub fn iter(&self) -> impl Iterator<Item = (usize, &Entry)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(slot, entry)| Some((slot, entry.as_ref()?)))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.slots.iter_mut().flatten()
    }

    /// What a slot is now.
    pub fn order(&self, slot: usize) -> Order {
        let nobody = Order {
            slot,
            name: None,
            addr: None,
            weight: 0,
            mode: Mode::Maintenance,
        };
        self.get(slot).map_or(nobody, |entry| entry.order(slot))
    }

    /// Puts somebody of an earlier life in this slot, or in the next free one, if the name and the
    /// address are not taken.
    pub fn remember(&mut self, slot: usize, entry: Entry) {
        if let Some(known) = self.iter_mut().find(|it| it.name == entry.name) {
            return known.remember_as(entry.mode());
        }
        let taken = self.iter().any(|(_, it)| it.addr == entry.addr);
        if slot < self.slots.len()
            && !taken
            && let Some(slot) = self.free_from(slot)
        {
            self.slots[slot] = Some(entry);
        }
    }

    /// Takes the members as they are now.
    pub fn observe(&mut self, now: Time, candidates: &[Candidate]) {
        self.complaints.clear();
        self.waiting.clear();
        let listed: BTreeSet<&str> = candidates.iter().map(|it| &*it.name).collect();
        for entry in self.iter_mut() {
            if !listed.contains(&*entry.name) {
                entry.is_not_listed(now);
            }
        }
        let owners = self.owners(candidates);
        for candidate in candidates {
            let ignored = candidate.ignored.iter().cloned().map(Complaint::Ignored);
            let refused = self.take(now, candidate, &owners).err();
            if candidate.is_there() {
                let all = refused.into_iter().chain(ignored);
                let all = all.map(|complaint| (candidate.name.clone(), complaint));
                self.complaints.extend(all);
            }
        }
        for entry in self.iter_mut() {
            let owner = owners.get(&entry.addr);
            if owner.is_some_and(|owner| *owner != entry.name) {
                entry.supersede();
            }
        }
    }

    /// An address serves under one name: of those who are there and claim it the one who had it,
    /// else the first. Who is gone or only remembered has to give it up.
    fn owners(&self, candidates: &[Candidate]) -> HashMap<SocketAddr, Arc<str>> {
        let mut owners = HashMap::new();
        for must_have_it in [true, false] {
            for it in candidates.iter().filter(|it| it.is_there()) {
                let has = |entry: &Entry| entry.owns_its_address() && it.addr == Ok(entry.addr);
                let held = self.find(&it.name).and_then(|slot| self.get(slot));
                if let Ok(addr) = it.addr
                    && (!must_have_it || held.is_some_and(has))
                {
                    owners.entry(addr).or_insert_with(|| it.name.clone());
                }
            }
        }
        owners
    }

    fn take(
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
        if let Some(entry) = slot.and_then(|slot| self.get_mut(slot)) {
            entry.update(candidate, addr.as_ref().ok().copied(), now);
            return addr.map(drop);
        }
        if !candidate.is_there() {
            return Ok(()); // who is gone needs no slot
        }
        self.place(now, candidate, addr?)
    }

    fn place(
        &mut self,
        now: Time,
        candidate: &Candidate,
        addr: SocketAddr,
    ) -> Result<(), Complaint> {
        let Some(slot) = self.slot_for(&candidate.name) else {
            self.waiting.push((candidate.clone(), addr));
            return Err(Complaint::Full);
        };
        self.slots[slot] = Some(Entry::new(candidate, addr, now));
        Ok(())
    }

    /// Frees slots whose members are over, for those who found none. True if somebody got one.
    pub fn place_waiting(&mut self, now: Time) -> bool {
        self.free();
        let waiting = std::mem::take(&mut self.waiting);
        let before = waiting.len();
        for (candidate, addr) in waiting {
            if self.place(now, &candidate, addr).is_ok() {
                let full = (candidate.name.clone(), Complaint::Full);
                self.complaints.retain(|it| *it != full);
            }
        }
        self.waiting.len() < before
    }

    fn find(&self, name: &str) -> Option<usize> {
        let mut all = self.iter();
        all.find_map(|(slot, entry)| (*entry.name == *name).then_some(slot))
    }

    /// The first free slot from the one that the name stands for; else that of a member which is
    /// gone, and whose place was only kept for its return.
    fn slot_for(&self, name: &str) -> Option<usize> {
        let first = crc32fast::hash(name.as_bytes()) as usize % self.slots.len().max(1);
        self.free_from(first).or_else(|| {
            let spare = self
                .iter()
                .filter_map(|(slot, it)| Some((it.spare()?, slot)));
            spare.min().map(|(_, slot)| slot)
        })
    }

    /// The first free slot from this one on.
    fn free_from(&self, first: usize) -> Option<usize> {
        let len = self.slots.len();
        let mut places = (0..len).map(|step| (first + step) % len);
        places.find(|slot| self.slots[*slot].is_none())
    }

    fn free(&mut self) {
        for place in &mut self.slots {
            if place.as_ref().is_some_and(Entry::is_over) {
                *place = None;
            }
        }
    }
}
