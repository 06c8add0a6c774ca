//! The table of members as Serf sees them: status, Lamport time of the last intent, visibility.
//!
//! A member shown to the application is an `Arc<Member>` that never changes; every change goes
//! through [`Members::change`], which builds a new one if anything visible differs and then raises
//! the version. Sorted by name, so that two runs from one seed do everything in the same order.

use super::{Member, MemberState};
use crate::time::Time;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Serf's status of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Alive,
    /// An intent says that it leaves; it still answers.
    Leaving,
    Left,
    Failed,
}

impl Status {
    /// Still there, as far as anybody knows.
    pub fn is_present(self) -> bool {
        match self {
            Status::Alive | Status::Leaving => true,
            Status::Left | Status::Failed => false,
        }
    }
}

/// What is held about a member.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub member: Arc<Member>,
    pub status: Status,
    /// The SWIM layer suspects it.
    pub suspect: bool,
    /// The application was told of a suspicion, and not yet how it ended.
    pub suspicion_told: bool,
    /// The filter refuses it.
    pub hidden: bool,
    /// To be erased as soon as it has left.
    pub prune: bool,
    /// It has left, and a join intent says that it returns.
    pub returning: bool,
    /// Lamport time of the last intent about it.
    pub ltime: u64,
    /// When it failed or left.
    pub gone_at: Time,
}

impl Entry {
    pub fn new(member: Member, status: Status, ltime: u64, hidden: bool) -> Entry {
        let mut entry = Entry {
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
        entry.show();
        entry
    }

    /// The state that the application sees.
    fn shown(&self) -> MemberState {
        match (self.status, self.suspect) {
            (Status::Alive, false) => MemberState::Alive,
            (Status::Alive, true) => MemberState::Suspect,
            (Status::Leaving, _) => MemberState::Leaving,
            (Status::Left, _) => MemberState::Left,
            (Status::Failed, _) => MemberState::Failed,
        }
    }

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
    by_name: BTreeMap<Arc<str>, Entry>,
    version: u64,
}

impl Members {
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Changes whenever something visible does.
    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.by_name.get(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.by_name.values()
    }

    /// Those that the application sees.
    pub fn visible(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.iter()
            .filter(|entry| !entry.hidden)
            .map(|entry| &entry.member)
    }

    pub fn insert(&mut self, entry: Entry) {
        self.version += u64::from(!entry.hidden);
        self.by_name.insert(entry.member.name.clone(), entry);
    }

    pub fn remove(&mut self, name: &str) -> Option<Entry> {
        let entry = self.by_name.remove(name)?;
        self.version += u64::from(!entry.hidden);
        Some(entry)
    }

    /// The one door for changes. Returns the entry as it is afterwards.
    pub fn change(&mut self, name: &str, change: impl FnOnce(&mut Entry)) -> Option<&mut Entry> {
        let entry = self.by_name.get_mut(name)?;
        let before = (!entry.hidden).then(|| entry.member.clone());
        change(entry);
        entry.show();
        let after = (!entry.hidden).then_some(&entry.member);
        if before.as_ref() != after {
            self.version += 1;
        }
        Some(entry)
    }

    /// Moves the moments at which members failed or left.
    pub fn postpone(&mut self, by: std::time::Duration) {
        self.by_name
            .values_mut()
            .for_each(|entry| entry.gone_at = entry.gone_at + by);
    }

    /// How many are in a status, hidden ones included.
    pub fn count(&self, status: Status) -> usize {
        self.iter().filter(|entry| entry.status == status).count()
    }

    /// The member that has been gone longest.
    pub fn longest_gone(&self) -> Option<Arc<str>> {
        let gone = self.iter().filter(|entry| !entry.status.is_present());
        gone.min_by_key(|entry| entry.gone_at)
            .map(|entry| entry.member.name.clone())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn member(name: &str) -> Member {
        Member {
            name: name.into(),
            addr: "127.0.0.1:7946".parse().unwrap(),
            tags: Arc::default(),
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
        members.insert(Entry::new(member("a"), Status::Alive, 1, false));
        assert_eq!(members.version(), 1);
        members.change("a", |entry| entry.ltime = 7);
        assert_eq!(members.version(), 1);
        members.change("a", |entry| entry.suspect = true);
        assert_eq!(members.version(), 2);
        members.change("a", |entry| entry.hidden = true);
        assert_eq!(members.version(), 3);
        members.change("a", |entry| entry.status = Status::Failed);
        assert_eq!(members.version(), 3);
        members.remove("a");
        assert_eq!(members.version(), 3);
    }

    #[test]
    fn a_suspect_is_shown_as_one_only_while_its_status_is_alive() {
        let shown = |status, suspect| {
            let mut members = Members::default();
            members.insert(Entry::new(member("a"), status, 1, false));
            members
                .change("a", |entry| entry.suspect = suspect)
                .unwrap()
                .member
                .state
        };
        assert_eq!(shown(Status::Alive, false), MemberState::Alive);
        assert_eq!(shown(Status::Alive, true), MemberState::Suspect);
        assert_eq!(shown(Status::Leaving, true), MemberState::Leaving);
        assert_eq!(shown(Status::Left, true), MemberState::Left);
        assert_eq!(shown(Status::Failed, true), MemberState::Failed);
    }

    #[test]
    fn a_member_that_was_handed_out_never_changes() {
        let mut members = Members::default();
        members.insert(Entry::new(member("a"), Status::Alive, 1, false));
        let held = members.get("a").unwrap().member.clone();
        members.change("a", |entry| entry.status = Status::Left);
        assert_eq!(held.state, MemberState::Alive);
        assert_eq!(members.get("a").unwrap().member.state, MemberState::Left);
    }
}
