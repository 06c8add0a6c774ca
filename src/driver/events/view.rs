//! The list of members that the application reads without asking the engine.
//!
//! Readers share the list. If a reader still holds it when the engine changes a member, the engine
//! changes a copy, so a list that was handed out never changes. The lock is held no longer than it
//! takes to copy the pointers. The list stays readable after the node has ended.

use crate::driver::os::lock::lock;
use crate::serf::Member;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// The members, sorted by name.
#[derive(Default)]
pub(in crate::driver) struct View {
    members: Mutex<Arc<Vec<Arc<Member>>>>,
    version: AtomicU64,
}

impl View {
    /// Returns all members.
    pub fn all(&self) -> Arc<Vec<Arc<Member>>> {
        lock(&self.members).clone()
    }

    /// Returns the member of this name.
    pub fn find(&self, name: &str) -> Option<Arc<Member>> {
        let members = lock(&self.members);
        let place = members.binary_search_by(|held| (*held.name).cmp(name));
        place.ok().map(|at| members[at].clone())
    }

    /// A number that changes whenever the members change.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Replaces the list with the members that the core has at this version, sorted by name.
    pub fn replace<'a>(&self, members: impl Iterator<Item = &'a Arc<Member>>, version: u64) {
        let all = Arc::new(members.cloned().collect());
        let previous = std::mem::replace(&mut *lock(&self.members), all);
        self.version.store(version, Ordering::Release);
        drop(previous); // after the lock is released, since freeing thousands of members takes time
    }

    /// Adds or replaces one member; removes it if `listed` is false.
    pub fn change(&self, member: &Arc<Member>, listed: bool) {
        let mut shared = lock(&self.members);
        let members = Arc::make_mut(&mut *shared);
        let place = members.binary_search_by(|held| held.name.cmp(&member.name));
        match (place, listed) {
            (Ok(at), true) => members[at] = member.clone(),
            (Ok(at), false) => drop(members.remove(at)),
            (Err(at), true) => members.insert(at, member.clone()),
            (Err(_), false) => {}
        }
    }

    /// Sets the version that the list has reached.
    pub fn set_version(&self, version: u64) {
        self.version.store(version, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serf::{MemberState, MemberTags};

    fn member(name: &str, incarnation: u32) -> Arc<Member> {
        Arc::new(Member {
            name: name.into(),
            addr: "127.0.0.1:7946".parse().unwrap(),
            tags: MemberTags::default(),
            meta: Arc::from([]),
            state: MemberState::Alive,
            incarnation,
            protocol: [1, 5, 2],
            delegate: [2, 5, 5],
        })
    }

    #[test]
    fn members_stay_sorted_after_every_change() {
        let view = View::default();
        for name in ["c", "a", "b"] {
            view.change(&member(name, 1), true);
        }
        view.change(&member("b", 2), true);
        view.change(&member("a", 1), false);
        view.change(&member("x", 1), false);
        view.set_version(9);
        let seen: Vec<(String, u32)> = view
            .all()
            .iter()
            .map(|m| (m.name.to_string(), m.incarnation))
            .collect();
        assert_eq!(seen, [("b".into(), 2), ("c".into(), 1)]);
        assert_eq!(view.version(), 9);
        view.replace([member("y", 1), member("z", 1)].iter(), 10);
        let names: Vec<_> = view.all().iter().map(|m| m.name.to_string()).collect();
        assert_eq!(
            (names, view.version()),
            (vec!["y".to_owned(), "z".to_owned()], 10)
        );
    }

    #[test]
    fn a_list_that_was_handed_out_never_changes() {
        let view = View::default();
        view.change(&member("a", 1), true);
        let taken = view.all();
        view.change(&member("a", 2), true);
        assert_eq!(taken[0].incarnation, 1);
    }
}
