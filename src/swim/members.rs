//! The table of nodes: look-up by name, the order of probing, random choice.
//!
//! Nodes live in numbered slots, so that the probe order, timers and probes can refer to them
//! without owning them. A slot is only freed when the probe order wraps (`sweep`), as in
//! memberlist: until then a dead node is still known.

use super::explain::ProbeReport;
use super::rng::Random;
use super::suspicion::Suspicion;
use super::{Node, NodeState};
use crate::limits;
use crate::time::Time;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// A slot of the table.
pub(super) type Slot = u32;

/// What is held about one node.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub node: Node,
    /// The node's IPv4 address was learnt in its 16-byte form and is passed on in it.
    pub mapped: bool,
    pub suspicion: Option<Box<Suspicion>>,
    /// Who suspected or buried it.
    pub accuser: Option<Arc<str>>,
    /// The last probe of it, and when it began.
    pub probe: Option<Box<(Time, ProbeReport)>>,
    /// What it has last heard of this node from this node itself.
    pub met: Option<Introduction>,
}

/// An own incarnation, told to another node in an incarnation of its.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Introduction {
    pub own: u32,
    pub its: u32,
}

impl Entry {
    pub fn is_live(&self) -> bool {
        matches!(self.node.state, NodeState::Alive | NodeState::Suspect)
    }

    /// Highest memberlist protocol the node understands.
    pub fn protocol_max(&self) -> u8 {
        self.node.vsn[1]
    }
}

/// All known nodes, this one included.
#[derive(Default)]
pub(super) struct Table {
    slots: Vec<Option<Entry>>,
    free: Vec<Slot>,
    by_name: HashMap<Arc<str>, Slot>,
    order: Vec<Slot>,
    cursor: usize,
    live: usize,
}

impl Table {
    /// Number of known nodes in any state.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Number of alive or suspect nodes.
    pub fn live(&self) -> usize {
        self.live
    }

    pub fn is_full(&self) -> bool {
        self.order.len() >= limits::MEMBERS
    }

    pub fn find(&self, name: &str) -> Option<Slot> {
        self.by_name.get(name).copied()
    }

    pub fn get(&self, slot: Slot) -> Option<&Entry> {
        self.slots.get(slot as usize)?.as_ref()
    }

    /// For everything but state changes, which go through [`Table::set_state`].
    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut Entry> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// The suspicion of a suspect.
    pub fn suspicion_mut(&mut self, slot: Slot) -> Option<&mut Suspicion> {
        self.get_mut(slot)?.suspicion.as_deref_mut()
    }

    pub fn iter(&self) -> impl Iterator<Item = (Slot, &Entry)> {
        self.order
            .iter()
            .filter_map(|&slot| Some((slot, self.get(slot)?)))
    }

    /// Adds a node at a random place of the probe order.
    pub fn insert(&mut self, node: Node, mapped: bool, random: &mut Random) -> Slot {
        let name = node.name.clone();
        let entry = Entry {
            node,
            mapped,
            suspicion: None,
            accuser: None,
            probe: None,
            met: None,
        };
        self.live += usize::from(entry.is_live());
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(entry);
                slot
            }
            None => {
                self.slots.push(Some(entry));
                (self.slots.len() - 1) as Slot
            }
        };
        self.by_name.insert(name, slot);
        self.order.push(slot);
        let last = self.order.len() - 1;
        self.order.swap(last, random.below(last + 1));
        slot
    }

    /// The one door for state changes. Returns the state before.
    pub fn set_state(&mut self, slot: Slot, state: NodeState, now: Time) -> NodeState {
        let Some(entry) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) else {
            return state;
        };
        let (was_live, before) = (entry.is_live(), entry.node.state);
        if before != state {
            entry.node.state = state;
            entry.node.since = now;
        }
        let is_live = entry.is_live();
        self.live = self.live + usize::from(is_live) - usize::from(was_live);
        before
    }

    /// This process did not run: suspects get that much more time, and the dead have been dead
    /// for that much less.
    pub fn postpone(&mut self, now: Time, by: Duration) {
        for entry in self.slots.iter_mut().flatten() {
            if let Some(suspicion) = &mut entry.suspicion {
                suspicion.postpone(by);
            }
            if !entry.is_live() {
                entry.node.since = now.min(entry.node.since + by);
            }
        }
    }

    /// The next node to probe that `wanted` accepts. `None` after a whole round without one. At
    /// the end of the order the caller's `sweep` decides who is removed; the rest is shuffled.
    pub fn next_probe(&mut self, wanted: impl Fn(&Entry) -> bool) -> Next {
        while self.cursor < self.order.len() {
            let slot = self.order[self.cursor];
            self.cursor += 1;
            if self.get(slot).is_some_and(&wanted) {
                return Next::Probe(slot);
            }
        }
        Next::Wrapped
    }

    /// Starts a new round of probing: removes who `gone` says, shuffles, and returns the removed.
    pub fn sweep(&mut self, gone: impl Fn(&Entry) -> bool, random: &mut Random) -> Vec<Entry> {
        self.cursor = 0;
        let mut removed = Vec::new();
        let (slots, by_name, free) = (&mut self.slots, &mut self.by_name, &mut self.free);
        self.order.retain(|&slot| {
            let place = &mut slots[slot as usize];
            if !place.as_ref().is_none_or(&gone) {
                return true;
            }
            if let Some(entry) = place.take() {
                by_name.remove(&entry.node.name);
                removed.push(entry);
            }
            free.push(slot);
            false
        });
        random.shuffle(&mut self.order);
        removed
    }

    /// Up to `count` different random nodes that `wanted` accepts. Small tables are searched
    /// completely; large ones by drawing, at most three times their size.
    pub fn choose(
        &self,
        count: usize,
        random: &mut Random,
        wanted: impl Fn(Slot, &Entry) -> bool,
    ) -> Vec<Slot> {
        let mut chosen = Vec::with_capacity(count.min(self.order.len()));
        let try_one = |slot: Slot, chosen: &mut Vec<Slot>| {
            let fits = self.get(slot).is_some_and(|entry| wanted(slot, entry));
            if fits && !chosen.contains(&slot) {
                chosen.push(slot);
            }
        };
        if self.order.len() < 3 * count {
            let mut all = self.order.clone();
            random.shuffle(&mut all);
            for slot in all.into_iter() {
                if chosen.len() == count {
                    break;
                }
                try_one(slot, &mut chosen);
            }
        } else {
            for _ in 0..3 * self.order.len() {
                if chosen.len() == count {
                    break;
                }
                try_one(self.order[random.below(self.order.len())], &mut chosen);
            }
        }
        chosen
    }
}

/// Answer of [`Table::next_probe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Probe(Slot),
    /// The end of the order is reached: sweep, then ask again.
    Wrapped,
}

/// The address of a wire message, in the form that is compared: IPv4 as IPv4. The flag tells that
/// it came in the 16-byte form.
pub(super) fn address(bytes: &[u8], port: u16) -> Option<(SocketAddr, bool)> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some((SocketAddr::new(IpAddr::from(four), port), false));
    }
    let v6 = Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?);
    match v6.to_ipv4_mapped() {
        Some(v4) => Some((SocketAddr::new(v4.into(), port), true)),
        None => Some((SocketAddr::new(v6.into(), port), false)),
    }
}

/// The wire form of an address: 4 or 16 bytes.
pub(super) fn address_bytes(ip: IpAddr, mapped: bool) -> Vec<u8> {
    match ip {
        IpAddr::V4(v4) if mapped => v4.to_ipv6_mapped().octets().to_vec(),
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> Node {
        Node {
            name: name.into(),
            addr: "10.0.0.1:7946".parse().unwrap(),
            meta: Arc::from([]),
            vsn: [1, 5, 2, 2, 5, 5],
            incarnation: 1,
            state: NodeState::Alive,
            since: Time::ZERO,
        }
    }

    fn table(n: usize) -> (Table, Random) {
        let mut random = Random::new([9; 32]);
        let mut table = Table::default();
        for i in 0..n {
            table.insert(node(&format!("n{i}")), false, &mut random);
        }
        (table, random)
    }

    #[test]
    fn every_node_is_probed_once_a_round() {
        let (mut table, mut random) = table(20);
        for _ in 0..3 {
            let mut seen = Vec::new();
            while let Next::Probe(slot) = table.next_probe(|_| true) {
                seen.push(slot);
            }
            seen.sort_unstable();
            assert_eq!(seen, (0..20).collect::<Vec<_>>());
            table.sweep(|_| false, &mut random);
        }
    }

    #[test]
    fn swept_nodes_are_forgotten_and_their_slots_used_again() {
        let (mut table, mut random) = table(5);
        let slot = table.find("n3").unwrap();
        table.set_state(slot, NodeState::Dead, Time::ZERO);
        assert_eq!((table.len(), table.live()), (5, 4));
        let gone = table.sweep(|entry| entry.node.state == NodeState::Dead, &mut random);
        assert_eq!(gone.len(), 1);
        assert_eq!((table.len(), table.live(), table.find("n3")), (4, 4, None));
        assert_eq!(table.insert(node("new"), false, &mut random), slot);
        assert_eq!(table.live(), 5);
    }

    #[test]
    fn a_small_table_is_searched_completely() {
        let (table, mut random) = table(4);
        for _ in 0..100 {
            let chosen = table.choose(3, &mut random, |_, entry| &*entry.node.name != "n0");
            assert_eq!(chosen.len(), 3);
            assert!(!chosen.contains(&table.find("n0").unwrap()));
        }
    }

    #[test]
    fn random_choice_reaches_everybody_and_never_twice() {
        let (table, mut random) = table(30);
        let mut hits = vec![0; 30];
        for _ in 0..3000 {
            let mut chosen = table.choose(3, &mut random, |_, _| true);
            assert_eq!(chosen.len(), 3);
            chosen.iter().for_each(|&slot| hits[slot as usize] += 1);
            chosen.sort_unstable();
            chosen.dedup();
            assert_eq!(chosen.len(), 3);
        }
        assert!(hits.iter().all(|&n| n > 200), "{hits:?}");
    }

    #[test]
    fn both_forms_of_an_ipv4_address_are_the_same_address() {
        let mapped = "10.0.0.1"
            .parse::<std::net::Ipv4Addr>()
            .unwrap()
            .to_ipv6_mapped()
            .octets();
        let (short, long) = (address(&[10, 0, 0, 1], 1), address(&mapped, 1));
        assert_eq!(short.unwrap().0, long.unwrap().0);
        assert_eq!((short.unwrap().1, long.unwrap().1), (false, true));
        assert_eq!(address_bytes(long.unwrap().0.ip(), true), mapped);
        assert_eq!(address_bytes(short.unwrap().0.ip(), false), [10, 0, 0, 1]);
        assert_eq!(address(&[1, 2, 3, 4, 5], 1), None);
    }
}
