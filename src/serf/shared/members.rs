//! The table of members as Serf sees them: status, Lamport time of the last intent, visibility.
//!
//! A member that was handed to the application never changes. Every change goes through
//! [`Members::change`], which raises the version if anything visible differs.

use crate::named_slab::{Named, NamedSlab};
use crate::serf::shared::vivaldi::Measured;
use crate::serf::{Member, MemberState};
use crate::time::Time;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::sync::Arc;

/// A map by name. Its values are boxed, so that one compiled copy of the map's code serves all
/// types of values.
pub(in crate::serf) type ByName<T> = BTreeMap<Arc<str>, Box<T>>;

/// Serf's status of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serf) enum SerfStatus {
    Alive,
    /// An intent announces that the member leaves; the member still answers.
    Leaving,
    Left,
    Failed,
}

impl SerfStatus {
    /// Returns true if the member counts as present.
    pub fn is_present(self) -> bool {
        match self {
            SerfStatus::Alive | SerfStatus::Leaving => true,
            SerfStatus::Left | SerfStatus::Failed => false,
        }
    }
}

/// A row of the table: the facts held about one member.
#[derive(Clone, Debug)]
pub(in crate::serf) struct MemberRow {
    pub member: Member,
    pub status: SerfStatus,
    /// True if the SWIM machine suspects it.
    pub suspect: bool,
    /// True if an event reported a suspicion, and no event has reported its end yet.
    pub suspicion_told: bool,
    /// True if the filter rejects it: no event and no list shows it.
    pub hidden: bool,
    /// True if it is to be erased as soon as it has left.
    pub prune: bool,
    /// True if it has left and a join intent announces that it returns.
    pub returning: bool,
    /// Lamport time of the last intent about it.
    pub ltime: u64,
    /// The time at which it last failed or left; when it was added, if it never has. A leave intent
    /// about a failed member does not change this time.
    pub gone_at: Time,
    /// Its coordinate; `None` until it has sent one with an ack.
    pub measured: Option<Box<Measured>>,
}

impl Named for MemberRow {
    fn name(&self) -> &str {
        &self.member.name
    }
}

impl MemberRow {
    pub fn new(member: Member, status: SerfStatus, ltime: u64, hidden: bool) -> MemberRow {
        let mut row = MemberRow {
            member,
            status,
            suspect: false,
            suspicion_told: false,
            hidden,
            prune: false,
            returning: false,
            ltime,
            gone_at: Time::ZERO,
            measured: None,
        };
        row.show();
        row
    }

    /// Returns the state that the application sees.
    fn shown(&self) -> MemberState {
        match (self.status, self.suspect) {
            (SerfStatus::Alive, false) => MemberState::Alive,
            (SerfStatus::Alive, true) => MemberState::Suspect,
            (SerfStatus::Leaving, _) => MemberState::Leaving,
            (SerfStatus::Left, _) => MemberState::Left,
            (SerfStatus::Failed, _) => MemberState::Failed,
        }
    }

    /// Brings the state of the shown member up to date.
    fn show(&mut self) {
        let state = self.shown();
        if self.member.state != state {
            self.member.state = state;
        }
    }
}

/// The maximum number of names that one search for members that are gone collects.
const GONE_NAMES: usize = 1024;

/// All members in any status, this node included.
#[derive(Debug, Default)]
pub(in crate::serf) struct Members {
    rows: NamedSlab<MemberRow>,
    /// The number of rows in each status, by the number of the status.
    counts: [usize; 4],
    /// Members that are gone: the time at which each failed or left, and its name. The member that
    /// has been gone longest is last.
    longest_gone: Vec<(Time, Arc<str>)>,
    /// The names of the members that were added, removed or changed visibly since the driver last
    /// asked.
    changed: ByName<()>,
    version: u64,
}

impl Members {
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns a number that changes whenever something visible changes.
    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn get(&self, name: &str) -> Option<&MemberRow> {
        self.rows.get(self.rows.find(name)?)
    }

    /// The row of this node itself, which is added first and never removed.
    pub fn own(&self) -> Option<&MemberRow> {
        self.rows.get(0)
    }

    /// All rows, in the same order in all runs with the same random seed.
    pub fn iter(&self) -> impl Iterator<Item = &MemberRow> {
        self.rows.iter()
    }

    /// Returns the members that the application sees, sorted by name.
    pub fn visible(&self) -> impl Iterator<Item = &Member> {
        let visible = self.iter().filter(|row| !row.hidden);
        let mut members: Vec<&Member> = visible.map(|row| &row.member).collect();
        members.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        members.into_iter()
    }

    /// Returns the names of the visible members that were added, removed or changed since the last
    /// call, sorted.
    pub fn take_changed(&mut self) -> Vec<Arc<str>> {
        match self.changed.is_empty() {
            true => Vec::new(), // in nearly every turn of the engine
            false => std::mem::take(&mut self.changed).into_keys().collect(),
        }
    }

    pub fn insert(&mut self, row: MemberRow) {
        if !row.hidden {
            self.note_change(row.member.name.clone());
        }
        self.counts[row.status as usize] += 1;
        self.rows.insert(row);
    }

    pub fn remove(&mut self, name: &str) -> Option<MemberRow> {
        let row = self.rows.remove(self.rows.find(name)?)?;
        self.counts[row.status as usize] -= 1;
        if !row.hidden {
            self.note_change(row.member.name.clone());
        }
        Some(row)
    }

    fn note_change(&mut self, name: Arc<str>) {
        self.version += 1;
        self.changed.insert(name, Box::new(()));
    }

    /// Changes a member. No other function changes anything that the application can see in a row.
    /// Returns the row after the change; `None` if the member is unknown.
    pub fn change(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut MemberRow),
    ) -> Option<&mut MemberRow> {
        let at = self.rows.find(name)?;
        let row = self.rows.get_mut(at)?;
        let before = (!row.hidden).then(|| row.member.clone());
        self.counts[row.status as usize] -= 1;
        change(row);
        self.counts[row.status as usize] += 1;
        row.show();
        let after = (!row.hidden).then_some(&row.member);
        if before.as_ref() != after {
            let name = row.member.name.clone();
            self.note_change(name);
        }
        self.rows.get_mut(at)
    }

    /// Stores the coordinate of a member, which is not part of what [`Members::change`] watches.
    pub fn set_measured(&mut self, name: &str, measured: Measured) {
        let at = self.rows.find(name);
        let Some(row) = at.and_then(|at| self.rows.get_mut(at)) else {
            return;
        };
        match &mut row.measured {
            Some(known) => **known = measured,
            None => row.measured = Some(Box::new(measured)),
        }
    }

    /// Moves forward the times at which members failed or left, after a stall of this process.
    pub fn postpone(&mut self, by: std::time::Duration) {
        let rows = self.rows.iter_mut();
        rows.for_each(|row| row.gone_at = row.gone_at + by);
    }

    /// Returns the number of members in a status, hidden ones included.
    pub fn count(&self, status: SerfStatus) -> usize {
        self.counts[status as usize]
    }

    /// Returns the number of members that are present, this node and hidden ones included.
    pub fn count_present(&self) -> usize {
        self.count(SerfStatus::Alive) + self.count(SerfStatus::Leaving)
    }

    /// Returns true if a member in any status lives at this address. Searches the whole table.
    pub fn has_address(&self, addr: SocketAddr) -> bool {
        self.iter().any(|row| row.member.addr == addr)
    }

    /// Returns a member that is gone, usually one that has been gone long; `None` if all are
    /// present. One search of the whole table collects up to [`GONE_NAMES`] names, which later
    /// calls use up. So a flood of new names into a full table does not cause one search for each
    /// name.
    pub fn take_long_gone(&mut self) -> Option<Arc<str>> {
        loop {
            if self.longest_gone.is_empty() {
                self.longest_gone = self.find_longest_gone();
            }
            let (since, name) = self.longest_gone.pop()?;
            let is_gone = |row: &MemberRow| !row.status.is_present() && row.gone_at == since;
            if self.get(&name).is_some_and(is_gone) {
                return Some(name);
            }
        }
    }

    fn find_longest_gone(&self) -> Vec<(Time, Arc<str>)> {
        let mut longest = BinaryHeap::new();
        // The first row is that of this node, which stays.
        for row in self.iter().skip(1).filter(|row| !row.status.is_present()) {
            longest.push((row.gone_at, row.member.name.clone()));
            if longest.len() > GONE_NAMES {
                longest.pop(); // the one that has been gone for the shortest time
            }
        }
        std::iter::from_fn(|| longest.pop()).collect()
    }
}

#[cfg(test)]
pub(in crate::serf) mod tests {
    use super::*;
    use crate::serf::NodeFacts;

    pub fn member(name: &str) -> Member {
        let facts = NodeFacts::new(name, "127.0.0.1:7946".parse().unwrap());
        Member::without_tags(Arc::new(facts), MemberState::Alive)
    }

    #[test]
    fn the_version_changes_with_what_is_visible_and_only_then() {
        let mut members = Members::default();
        members.insert(MemberRow::new(member("a"), SerfStatus::Alive, 1, false));
        assert_eq!(members.version(), 1);
        members.change("a", |row| row.ltime = 7);
        assert_eq!(members.version(), 1);
        members.change("a", |row| row.suspect = true);
        assert_eq!(members.version(), 2);
        members.change("a", |row| row.hidden = true);
        assert_eq!(members.version(), 3);
        members.change("a", |row| row.status = SerfStatus::Failed);
        assert_eq!(members.version(), 3);
        members.remove("a");
        assert_eq!(members.version(), 3);
    }

    #[test]
    fn the_members_in_each_status_are_counted() {
        let mut members = Members::default();
        for name in ["a", "b", "c", "d"] {
            members.insert(MemberRow::new(
                member(name),
                SerfStatus::Alive,
                1,
                name == "d",
            ));
        }
        members.change("a", |row| row.status = SerfStatus::Leaving);
        members.change("b", |row| row.status = SerfStatus::Failed);
        members.change("b", |row| row.status = SerfStatus::Left);
        members.change("nobody", |row| row.status = SerfStatus::Left);
        assert_eq!(members.count_present(), 3);
        assert_eq!(members.count(SerfStatus::Failed), 0);
        members.remove("d");
        members.remove("b");
        members.remove("b");
        assert_eq!(members.count_present(), 2);
        assert_eq!(members.count(SerfStatus::Left), 0);
    }

    #[test]
    fn a_suspect_is_shown_as_one_only_while_its_status_is_alive() {
        let shown = |status, suspect| {
            let mut members = Members::default();
            members.insert(MemberRow::new(member("a"), status, 1, false));
            members
                .change("a", |row| row.suspect = suspect)
                .unwrap()
                .member
                .state
        };
        assert_eq!(shown(SerfStatus::Alive, false), MemberState::Alive);
        assert_eq!(shown(SerfStatus::Alive, true), MemberState::Suspect);
        assert_eq!(shown(SerfStatus::Leaving, true), MemberState::Leaving);
        assert_eq!(shown(SerfStatus::Left, true), MemberState::Left);
        assert_eq!(shown(SerfStatus::Failed, true), MemberState::Failed);
    }

    #[test]
    fn the_members_that_have_been_gone_longest_are_found_first() {
        let mut members = Members::default();
        for (n, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
            let mut row = MemberRow::new(member(name), SerfStatus::Failed, 1, false);
            row.gone_at = Time::from_nanos(10 - n as u64);
            members.insert(row);
        }
        assert_eq!(members.take_long_gone().as_deref(), Some("d"));
        members.remove("d");
        members.change("c", |row| row.status = SerfStatus::Alive);
        assert_eq!(members.take_long_gone().as_deref(), Some("b"));
        members.remove("b");
        members.remove("a");
        assert_eq!(members.take_long_gone(), None);
    }

    #[test]
    fn a_member_that_was_handed_out_never_changes() {
        let mut members = Members::default();
        members.insert(MemberRow::new(member("a"), SerfStatus::Alive, 1, false));
        let held = members.get("a").unwrap().member.clone();
        members.change("a", |row| row.status = SerfStatus::Left);
        assert_eq!(held.state, MemberState::Alive);
        assert_eq!(members.get("a").unwrap().member.state, MemberState::Left);
    }
}
