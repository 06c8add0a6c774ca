//! The table of members as Serf sees them: status, Lamport time of the last intent, visibility.
//!
//! A member shown to the application is an `Arc<Member>` that never changes. Every change goes
//! through [`Members::change`], which builds a new one if anything visible differs and then raises
//! the version. The table is sorted by name, so that two runs from one seed do everything in the
//! same order.

use super::{Member, MemberState};
use crate::time::Time;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// A map by name. Its values are boxed, so that one compiled copy of the map's code serves all
/// types of values.
pub(super) type ByName<T> = BTreeMap<Arc<str>, Box<T>>;

/// Serf's status of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SerfStatus {
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

/// A row of the table: what is held about one member.
#[derive(Clone, Debug)]
pub(super) struct MemberRow {
    pub member: Arc<Member>,
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
    /// about a failed member does not change it.
    pub gone_at: Time,
}

impl MemberRow {
    pub fn new(member: Member, status: SerfStatus, ltime: u64, hidden: bool) -> MemberRow {
        let mut row = MemberRow {
            member: Arc::new(member),
            status,
            suspect: false,
            suspicion_told: false,
            hidden,
            prune: false,
            returning: false,
            ltime,
            gone_at: Time::ZERO,
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
            Arc::make_mut(&mut self.member).state = state;
        }
    }
}

/// All members in any status, this node included.
#[derive(Debug, Default)]
pub(super) struct Members {
    by_name: ByName<MemberRow>,
    version: u64,
}

impl Members {
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Returns a number that changes whenever something visible changes.
    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn get(&self, name: &str) -> Option<&MemberRow> {
        self.by_name.get(name).map(|row| &**row)
    }

    pub fn iter(&self) -> impl Iterator<Item = &MemberRow> {
        self.by_name.values().map(|row| &**row)
    }

    /// Returns the members that the application sees.
    pub fn visible(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.iter().filter(|row| !row.hidden).map(|row| &row.member)
    }

    pub fn insert(&mut self, row: MemberRow) {
        self.version += u64::from(!row.hidden);
        self.by_name.insert(row.member.name.clone(), Box::new(row));
    }

    pub fn remove(&mut self, name: &str) -> Option<MemberRow> {
        let row = *self.by_name.remove(name)?;
        self.version += u64::from(!row.hidden);
        Some(row)
    }

    /// Changes a member. No other function changes anything that the application can see in a row.
    /// Returns the row after the change; `None` if the member is unknown.
    pub fn change(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut MemberRow),
    ) -> Option<&mut MemberRow> {
        let row = self.by_name.get_mut(name)?;
        let before = (!row.hidden).then(|| row.member.clone());
        change(row);
        row.show();
        let after = (!row.hidden).then_some(&row.member);
        if before.as_ref() != after {
            self.version += 1;
        }
        Some(row)
    }

    /// Moves forward the times at which members failed or left, after a stall of this process.
    pub fn postpone(&mut self, by: std::time::Duration) {
        self.by_name
            .values_mut()
            .for_each(|row| row.gone_at = row.gone_at + by);
    }

    /// Returns the number of members in a status, hidden ones included.
    pub fn count(&self, status: SerfStatus) -> usize {
        self.iter().filter(|row| row.status == status).count()
    }

    /// Returns true if a member in any status lives at this address.
    pub fn has_address(&self, addr: SocketAddr) -> bool {
        self.iter().any(|row| row.member.addr == addr)
    }

    /// Returns the member that has been gone longest; `None` if all are present.
    pub fn longest_gone(&self) -> Option<Arc<str>> {
        let gone = self.iter().filter(|row| !row.status.is_present());
        gone.min_by_key(|row| row.gone_at)
            .map(|row| row.member.name.clone())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::MemberTags;
    use super::*;

    pub fn member(name: &str) -> Member {
        Member {
            name: name.into(),
            addr: "127.0.0.1:7946".parse().unwrap(),
            tags: MemberTags::default(),
            meta: Arc::from([]),
            state: MemberState::Alive,
            incarnation: 1,
            protocol: [1, 5, 2],
            delegate: [2, 5, 5],
        }
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
    fn a_member_that_was_handed_out_never_changes() {
        let mut members = Members::default();
        members.insert(MemberRow::new(member("a"), SerfStatus::Alive, 1, false));
        let held = members.get("a").unwrap().member.clone();
        members.change("a", |row| row.status = SerfStatus::Left);
        assert_eq!(held.state, MemberState::Alive);
        assert_eq!(members.get("a").unwrap().member.state, MemberState::Left);
    }
}
