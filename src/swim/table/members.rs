//! The member table: lookup by name and address, member states, the probe order, random choice.
//!
//! Every known node has a record with an index, so that timers and probes can refer to a member
//! without owning it. This node has a record, too. A member that died or left stays known for
//! `gossip_to_the_dead`, and then until the probe order starts again, as in memberlist. A record is
//! removed earlier only after a long stall, or if a full table has to make room.
//!
//! The state of a member changes in one function, [`MemberTable::set_state`]; the field is private
//! to this folder. `apply` calls it for other members, `local_node` for this node.

use super::hosts::Hosts;
use super::record::MemberRecord;
use super::watched::Watched;
use crate::limits;
use crate::named_slab::{NamedSlab, grow_a_little};
use crate::swim::NodeState;
use crate::swim::output::Node;
use crate::swim::rng::Random;
use crate::time::Time;
use crate::wire::message::Alive;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// The number of random choices with which a full table looks for a member that is not needed. If
/// one member in ten is not needed, about one call in a thousand finds none.
const EVICTION_DRAWS: usize = 64;

/// The index of a record in the table. After the record has been removed, the index may be reused.
pub(in crate::swim) type MemberIndex = u32;

/// All known nodes, this one included.
pub(in crate::swim) struct MemberTable {
    records: NamedSlab<MemberRecord>,
    /// The members but this node by their IP addresses.
    hosts: Hosts,
    watched: Watched,
    probe_order: Vec<MemberIndex>,
    /// The position in the probe order of the next member to probe.
    cursor: usize,
    live: usize,
    /// The sum of the bytes of all records but that of this node.
    bytes: usize,
    local: MemberIndex,
}

impl MemberTable {
    /// A table that holds this node only.
    pub fn new(local: Node, random: &mut Random) -> MemberTable {
        let mut table = MemberTable {
            records: NamedSlab::default(),
            hosts: Hosts::default(),
            watched: Watched::default(),
            probe_order: Vec::new(),
            cursor: 0,
            live: 0,
            bytes: 0,
            local: 0,
        };
        table.local = table.insert(local, false, random);
        table.bytes = 0;
        table.hosts = Hosts::default();
        table
    }

    /// The number of known nodes in any state.
    pub fn len(&self) -> usize {
        self.probe_order.len()
    }

    /// The number of alive or suspect nodes.
    pub fn live(&self) -> usize {
        self.live
    }

    /// Returns true if the table takes more than this number of bytes, or has no place left.
    pub fn is_full(&self, bytes: usize) -> bool {
        self.len() >= limits::MEMBERS || self.exceeds(bytes)
    }

    /// Returns true if the table takes more than this number of bytes.
    pub fn exceeds(&self, bytes: usize) -> bool {
        self.bytes > bytes
    }

    pub fn find(&self, name: &str) -> Option<MemberIndex> {
        self.records.find(name)
    }

    /// Returns the record of the member with this name, in any state.
    pub fn named(&self, name: &str) -> Option<&MemberRecord> {
        self.get(self.find(name)?)
    }

    pub fn get(&self, member: MemberIndex) -> Option<&MemberRecord> {
        self.records.get(member)
    }

    /// Returns a record for changes of anything but the state and the address. These are changed by
    /// [`MemberTable::set_state`] and [`MemberTable::refresh`], which keep the counts right. Only
    /// the address of this node, which is not indexed, is changed by [`MemberRecord::set_addr`].
    pub fn get_mut(&mut self, member: MemberIndex) -> Option<&mut MemberRecord> {
        self.records.get_mut(member)
    }

    /// Returns the record at this index if it still belongs to the member `name`. The member may
    /// have been removed, and the index may now belong to another member.
    pub fn get_named(&mut self, member: MemberIndex, name: &str) -> Option<&mut MemberRecord> {
        self.get_mut(member).filter(|it| *it.node.name == *name)
    }

    /// The index of this node.
    pub fn local_index(&self) -> MemberIndex {
        self.local
    }

    /// The record of this node.
    pub fn local(&self) -> &MemberRecord {
        match self.get(self.local) {
            Some(record) => record,
            None => unreachable!("this node is never removed"),
        }
    }

    /// Returns the record of this node for changes of anything but the state.
    pub fn local_mut(&mut self) -> &mut MemberRecord {
        match self.get_mut(self.local) {
            Some(record) => record,
            None => unreachable!("this node is never removed"),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (MemberIndex, &MemberRecord)> {
        self.probe_order
            .iter()
            .filter_map(|&member| Some((member, self.get(member)?)))
    }

    /// Returns the records of all members but this node.
    pub fn others(&self) -> impl Iterator<Item = &MemberRecord> {
        self.iter()
            .filter(|(member, _)| *member != self.local)
            .map(|(_, record)| record)
    }

    /// The number of alive or suspect nodes other than this one.
    pub fn live_others(&self) -> usize {
        self.live - usize::from(self.local().is_live())
    }

    /// Returns the records of the members but this node that have this IP address, in any order.
    pub fn on_host(&self, ip: IpAddr) -> impl Iterator<Item = &MemberRecord> {
        let records = self.hosts.at(ip).filter_map(|member| self.get(member));
        records.filter(move |record| record.node.addr.ip() == ip)
    }

    /// Returns true if another node that is alive has this address. If the address is not watched,
    /// all members on its host are searched.
    pub fn is_alive_at(&self, addr: SocketAddr) -> bool {
        let is_alive = |it: &MemberRecord| it.node.state == NodeState::Alive;
        let mut there = self.on_host(addr.ip()).filter(|it| it.node.addr == addr);
        let watched = self.watched.is_alive_at(addr);
        watched.unwrap_or_else(|| there.any(is_alive))
    }

    /// Makes [`MemberTable::is_alive_at`] fast for these addresses, and for no others.
    pub fn watch(&mut self, addrs: impl Iterator<Item = SocketAddr>) {
        self.watched = Watched::new(addrs, self.others().map(MemberRecord::node));
    }

    /// Adds a node at a random place in the probe order.
    pub fn insert(&mut self, node: Node, mapped: bool, random: &mut Random) -> MemberIndex {
        // This node is added first, when no address is watched, so it is never counted here.
        self.watched.add(&node);
        let record = MemberRecord::new(node, mapped);
        self.live += usize::from(record.is_live());
        self.bytes += record.bytes();
        let member = self.records.insert(record);
        self.note_host(member);
        grow_a_little(&mut self.probe_order);
        self.probe_order.push(member);
        let last = self.probe_order.len() - 1;
        self.probe_order.swap(last, random.below(last + 1));
        member
    }

    fn note_host(&mut self, member: MemberIndex) {
        let (records, hosts) = (&self.records, &mut self.hosts);
        hosts.add(member, |it| Some(records.get(it)?.node.addr.ip()));
    }

    /// Removes a member that is not needed, and returns its name. Members that are dead, have left,
    /// or are alive but never answered this node are not needed; a suspect is. Returns `None` if a
    /// few random choices find no such member.
    pub fn evict(&mut self, random: &mut Random) -> Option<Arc<str>> {
        let is_needed = |record: &MemberRecord| match record.node.state {
            NodeState::Alive => record.heard,
            NodeState::Suspect => true,
            NodeState::Dead | NodeState::Left => false,
        };
        for _ in 0..EVICTION_DRAWS {
            let mut place = random.below(self.len());
            let member = self.probe_order[place];
            if member == self.local || self.get(member).is_none_or(is_needed) {
                continue;
            }
            // The members before the cursor have been probed in this round, and the others have
            // not.
            if place < self.cursor {
                self.cursor -= 1;
                self.probe_order.swap(place, self.cursor);
                place = self.cursor;
            }
            self.probe_order.swap_remove(place);
            return self.remove(member);
        }
        None
    }

    /// Removes a record that is no longer in the probe order, and returns the name.
    fn remove(&mut self, member: MemberIndex) -> Option<Arc<str>> {
        let record = self.records.remove(member)?;
        self.live -= usize::from(record.is_live());
        self.bytes -= record.bytes();
        self.watched.subtract(&record.node);
        self.hosts.remove(member, record.node.addr.ip());
        Some(record.node.name.clone())
    }

    /// Changes the state of a member, and returns the previous state. No other function changes the
    /// state of a member.
    pub fn set_state(&mut self, member: MemberIndex, state: NodeState, now: Time) -> NodeState {
        let mut before = state;
        self.change(member, |record| {
            before = record.node.state;
            if before != state {
                record.node.state = state;
                record.node.since = now;
            }
        });
        before
    }

    /// Takes over the content of an alive message, but does not change the state. If the message
    /// has no versions, the known versions stay.
    pub fn refresh(&mut self, member: MemberIndex, alive: &Alive, addr: SocketAddr, mapped: bool) {
        self.change(member, |record| record.refresh(alive, addr, mapped));
    }

    /// Changes the state or the address of a member, and brings the counts up to date.
    fn change(&mut self, member: MemberIndex, change: impl FnOnce(&mut MemberRecord)) {
        let is_local = member == self.local;
        let Some(record) = self.records.get_mut(member) else {
            return;
        };
        self.live -= usize::from(record.is_live());
        if !is_local {
            self.watched.subtract(&record.node);
            self.bytes -= record.bytes();
            self.hosts.remove(member, record.node.addr.ip());
        }
        change(record);
        self.live += usize::from(record.is_live());
        if !is_local {
            self.watched.add(&record.node);
            self.bytes += record.bytes();
            self.note_host(member);
        }
    }

    /// This process did not run for `by`: that time does not count towards the time since members
    /// died or left.
    pub fn postpone(&mut self, now: Time, by: Duration) {
        for record in self.records.iter_mut() {
            if !record.is_live() {
                record.node.since = now.min(record.node.since + by);
            }
        }
    }

    /// Returns the next live member in the probe order. At the end of the order, returns `None`
    /// until [`MemberTable::sweep`] starts a new round.
    pub fn next_to_probe(&mut self) -> Option<MemberIndex> {
        while let Some(&member) = self.probe_order.get(self.cursor) {
            self.cursor += 1;
            let is_live = self.get(member).is_some_and(MemberRecord::is_live);
            if is_live && member != self.local {
                return Some(member);
            }
        }
        None
    }

    /// Starts a new round of probing: removes the members for which `gone` returns true, but never
    /// this node, and shuffles the rest. Returns the names of the removed members.
    pub fn sweep(
        &mut self,
        gone: impl Fn(&MemberRecord) -> bool,
        random: &mut Random,
    ) -> Vec<Arc<str>> {
        self.cursor = 0;
        let mut removed = Vec::new();
        let mut order = std::mem::take(&mut self.probe_order);
        order.retain(|&member| {
            let stays = member == self.local || self.get(member).is_some_and(|it| !gone(it));
            if !stays {
                removed.extend(self.remove(member));
            }
            stays
        });
        random.shuffle(&mut order);
        self.probe_order = order;
        removed
    }

    /// Chooses at random up to `count` different nodes for which `wanted` returns true, never this
    /// node. A small table is searched completely. From a large one, nodes are drawn at random; the
    /// number of draws is at most three times the number of nodes.
    pub fn choose(
        &self,
        count: usize,
        random: &mut Random,
        wanted: impl Fn(MemberIndex, &Node) -> bool,
    ) -> Vec<MemberIndex> {
        let mut chosen = Vec::with_capacity(count.min(self.len()));
        let try_one = |member: MemberIndex, chosen: &mut Vec<MemberIndex>| {
            let fits = |it: &MemberRecord| member != self.local && wanted(member, &it.node);
            if self.get(member).is_some_and(fits) && !chosen.contains(&member) {
                chosen.push(member);
            }
        };
        if self.len() < 3 * count {
            let mut all = self.probe_order.clone();
            random.shuffle(&mut all);
            for member in all {
                if chosen.len() == count {
                    break;
                }
                try_one(member, &mut chosen);
            }
        } else {
            for _ in 0..3 * self.len() {
                if chosen.len() == count {
                    break;
                }
                let drawn = self.probe_order[random.below(self.len())];
                try_one(drawn, &mut chosen);
            }
        }
        chosen
    }

    /// Returns the address of a random other member that is alive; `None` if no other member is
    /// alive.
    pub fn choose_alive(&self, random: &mut Random) -> Option<SocketAddr> {
        let chosen = self.choose(1, random, |_, node| node.state == NodeState::Alive);
        self.get(*chosen.first()?).map(|record| record.node.addr)
    }

    /// Does the same as [`MemberTable::choose_alive`], but prefers members that have answered this
    /// node.
    pub fn choose_heard(&self, random: &mut Random) -> Option<SocketAddr> {
        let has_answered = |member, node: &Node| {
            node.state == NodeState::Alive && self.get(member).is_some_and(|it| it.heard)
        };
        let chosen = self.choose(1, random, has_answered);
        let heard = chosen.first().and_then(|member| self.get(*member));
        let addr = heard.map(|record| record.node.addr);
        addr.or_else(|| self.choose_alive(random))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::NodeFacts;
    use std::net::Ipv4Addr;

    fn node(name: &str) -> Node {
        let facts = NodeFacts::new(name, "10.0.0.1:7946".parse().unwrap());
        Node {
            facts: Arc::new(facts),
            state: NodeState::Alive,
            since: Time::ZERO,
        }
    }

    /// A table of `n` nodes, of which `n0` is this node.
    fn table(n: usize) -> (MemberTable, Random) {
        let mut random = Random::new([9; 32]);
        let mut table = MemberTable::new(node("n0"), &mut random);
        for i in 1..n {
            table.insert(node(&format!("n{i}")), false, &mut random);
        }
        (table, random)
    }

    #[test]
    fn every_other_node_is_probed_once_a_round() {
        let (mut table, mut random) = table(20);
        for _ in 0..3 {
            let mut seen: Vec<_> = std::iter::from_fn(|| table.next_to_probe()).collect();
            seen.sort_unstable();
            assert_eq!(seen, (1..20).collect::<Vec<_>>());
            table.sweep(|_| false, &mut random);
        }
    }

    #[test]
    fn swept_nodes_are_forgotten_and_their_indexes_are_reused() {
        let (mut table, mut random) = table(5);
        let member = table.find("n3").unwrap();
        table.set_state(member, NodeState::Dead, Time::ZERO);
        assert_eq!((table.len(), table.live()), (5, 4));
        let gone = table.sweep(|entry| entry.node.state == NodeState::Dead, &mut random);
        assert_eq!(gone, ["n3".into()]);
        assert_eq!((table.len(), table.live(), table.find("n3")), (4, 4, None));
        assert_eq!(table.insert(node("new"), false, &mut random), member);
        assert_eq!(table.live(), 5);
    }

    #[test]
    fn this_node_is_never_swept() {
        let (mut table, mut random) = table(3);
        assert_eq!(table.sweep(|_| true, &mut random).len(), 2);
        assert_eq!(table.live(), 1);
        assert_eq!(
            (table.len(), table.find("n0")),
            (1, Some(table.local_index()))
        );
    }

    #[test]
    fn a_member_at_a_new_address_has_not_been_heard_there_yet() {
        let (mut table, _) = table(2);
        let member = table.find("n1").unwrap();
        table.get_mut(member).unwrap().heard = true;
        for (addr, heard) in [([10, 0, 0, 1], true), ([10, 0, 0, 9], false)] {
            let alive = Alive {
                incarnation: 2,
                node: "n1",
                addr: &addr,
                port: 7946,
                meta: None,
                vsn: &[],
            };
            table.refresh(member, &alive, SocketAddr::from((addr, 7946)), false);
            assert_eq!(table.get(member).unwrap().heard, heard, "{addr:?}");
        }
    }

    #[test]
    fn the_members_on_a_host_are_found_among_the_members_of_a_large_table() {
        let (mut table, mut random) = table(1);
        for i in 0..10_000_u32 {
            // Two members on each host.
            let ip = Ipv4Addr::from_bits(0x0a01_0000 + i / 2);
            let facts = NodeFacts::new(&format!("m{i}"), (ip, 7946 + (i % 2) as u16).into());
            let node = Node {
                facts: Arc::new(facts),
                ..node("m")
            };
            table.insert(node, false, &mut random);
        }
        let host = |n: u32| IpAddr::from(Ipv4Addr::from_bits(0x0a01_0000 + n));
        let names = |table: &MemberTable, n| {
            let mut names: Vec<_> = table.on_host(host(n)).map(|it| &*it.node.name).collect();
            names.sort_unstable();
            names.join(" ")
        };
        assert_eq!(names(&table, 7), "m14 m15");
        assert!(table.hosts.at(host(7)).count() < 100, "the search is short");
        // A member moves to another host, and then all members but one are removed.
        let moved = table.find("m15").unwrap();
        let alive = Alive {
            incarnation: 2,
            node: "m15",
            addr: &[10, 1, 0, 8],
            port: 1,
            meta: None,
            vsn: &[],
        };
        table.refresh(moved, &alive, (host(8), 1).into(), false);
        assert_eq!(
            (names(&table, 7), names(&table, 8)),
            ("m14".into(), "m15 m16 m17".into())
        );
        table.sweep(|it| &*it.node.name != "m15", &mut random);
        assert_eq!(
            (names(&table, 7), names(&table, 8)),
            ("".into(), "m15".into())
        );
        assert_eq!(table.evict(&mut random).as_deref(), Some("m15"));
        assert_eq!(names(&table, 8), "");
    }

    #[test]
    fn only_members_that_are_not_needed_are_evicted_and_the_round_of_probes_goes_on() {
        let (mut table, mut random) = table(12);
        let probed: Vec<_> = (0..5).filter_map(|_| table.next_to_probe()).collect();
        for member in 1..12 {
            table.get_mut(member).unwrap().heard = member % 2 == 0;
        }
        table.set_state(2, NodeState::Dead, Time::ZERO);
        table.set_state(3, NodeState::Suspect, Time::ZERO);
        let mut evicted: Vec<_> = std::iter::from_fn(|| table.evict(&mut random)).collect();
        evicted.sort();
        let expected = ["n1", "n11", "n2", "n5", "n7", "n9"].map(Arc::from);
        assert_eq!(evicted, expected);
        assert_eq!((table.len(), table.live()), (6, 6));
        let mut rest: Vec<_> = std::iter::from_fn(|| table.next_to_probe()).collect();
        rest.extend(probed.into_iter().filter(|it| table.get(*it).is_some()));
        rest.sort_unstable();
        assert_eq!(rest, [3, 4, 6, 8, 10]);
    }

    #[test]
    fn a_small_table_is_searched_completely() {
        let (table, mut random) = table(5);
        for _ in 0..100 {
            let mut chosen = table.choose(3, &mut random, |_, node| &*node.name != "n4");
            chosen.sort_unstable();
            assert_eq!(chosen, [1, 2, 3]);
        }
    }

    #[test]
    fn random_choice_reaches_every_other_node_and_never_returns_one_twice() {
        let (table, mut random) = table(31);
        let mut hits = vec![0; 31];
        for _ in 0..3000 {
            let mut chosen = table.choose(3, &mut random, |_, _| true);
            assert_eq!(chosen.len(), 3);
            chosen.iter().for_each(|&it| hits[it as usize] += 1);
            chosen.sort_unstable();
            chosen.dedup();
            assert_eq!(chosen.len(), 3);
        }
        assert_eq!(hits[0], 0, "this node is never chosen");
        assert!(hits[1..].iter().all(|&n| n > 200), "{hits:?}");
    }
}
