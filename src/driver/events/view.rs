//! The list of members that the application reads without asking the engine.
//!
//! Readers share the list. If a reader still holds it when the engine changes a member, the engine
//! changes a copy, so a list that was handed out never changes. A copy shares the facts about the
//! members with the original, so the engine holds the lock only for a short time. The list stays
//! readable after the node has ended.

use crate::driver::os::lock::lock;
use crate::serf::Member;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// The members, sorted by name.
#[derive(Default)]
pub(in crate::driver) struct View {
    members: Mutex<Arc<Vec<Member>>>,
    version: AtomicU64,
}

impl View {
    /// Returns all members.
    pub fn all(&self) -> Arc<Vec<Member>> {
        lock(&self.members).clone()
    }

    /// Returns the member of this name.
    pub fn find(&self, name: &str) -> Option<Member> {
        let members = lock(&self.members);
        let place = members.binary_search_by(|held| (*held.name).cmp(name));
        place.ok().map(|at| members[at].clone())
    }

    /// A number that changes whenever the members change.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Brings the members of these names, which are sorted, to the state that they have at this
    /// version. `find` returns a member; `None` if it is no longer listed.
    pub fn update<'a>(
        &self,
        changed: &[Arc<str>],
        find: impl Fn(&str) -> Option<&'a Member>,
        version: u64,
    ) {
        if changed.len() <= FEW {
            let mut shared = lock(&self.members);
            let members = Arc::make_mut(&mut *shared);
            for name in changed {
                change(members, name, find(name));
            }
        } else {
            // Nothing changes the list meanwhile: only this function does, and only the engine
            // calls it.
            let new = Arc::new(merged(&self.all(), changed, find));
            let previous = std::mem::replace(&mut *lock(&self.members), new);
            drop(previous); // without the lock, since freeing thousands of members takes time
        }
        self.version.store(version, Ordering::Release);
    }
}

/// The largest number of changes that are made one by one. A single change can shift the whole
/// list, so a larger number of changes is merged in one pass.
const FEW: usize = 16;

/// Adds or replaces one member; removes it if `member` is `None`.
fn change(members: &mut Vec<Member>, name: &str, member: Option<&Member>) {
    let place = members.binary_search_by(|held| (*held.name).cmp(name));
    match (place, member) {
        (Ok(at), Some(member)) => members[at] = member.clone(),
        (Ok(at), None) => drop(members.remove(at)),
        (Err(at), Some(member)) => members.insert(at, member.clone()),
        (Err(_), None) => {}
    }
}

/// Returns the list with the changed members as `find` returns them.
fn merged<'a>(
    members: &[Member],
    changed: &[Arc<str>],
    find: impl Fn(&str) -> Option<&'a Member>,
) -> Vec<Member> {
    let mut all = Vec::with_capacity(members.len() + changed.len());
    let mut rest = members;
    for name in changed {
        let before = rest.partition_point(|held| *held.name < **name);
        all.extend_from_slice(&rest[..before]);
        let is_held = rest.get(before).is_some_and(|held| held.name == *name);
        rest = &rest[before + usize::from(is_held)..];
        all.extend(find(name).cloned());
    }
    all.extend_from_slice(rest);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serf::{MemberState, NodeFacts};

    fn member(name: &str, incarnation: u32) -> Member {
        let facts = NodeFacts {
            incarnation,
            ..NodeFacts::new(name, "127.0.0.1:7946".parse().unwrap())
        };
        Member::without_tags(Arc::new(facts), MemberState::Alive)
    }

    /// Lists these members, each with an incarnation or, if it is to be removed, without one.
    fn update(view: &View, changes: &[(&str, Option<u32>)], version: u64) {
        let found: Vec<(&str, Option<Member>)> = changes
            .iter()
            .map(|(name, incarnation)| (*name, incarnation.map(|it| member(name, it))))
            .collect();
        let mut names: Vec<Arc<str>> = changes.iter().map(|(name, _)| Arc::from(*name)).collect();
        names.sort();
        let find = |name: &str| {
            let mut all = found.iter().filter(|(it, _)| *it == name);
            all.next_back().and_then(|(_, member)| member.as_ref())
        };
        view.update(&names, find, version);
    }

    fn seen(view: &View) -> Vec<(String, u32)> {
        let all = view.all();
        let pairs = all.iter().map(|it| (it.name.to_string(), it.incarnation));
        pairs.collect()
    }

    #[test]
    fn members_stay_sorted_after_every_change() {
        let view = View::default();
        update(&view, &[("c", Some(1)), ("a", Some(1)), ("b", Some(1))], 3);
        update(&view, &[("b", Some(2)), ("a", None), ("x", None)], 9);
        assert_eq!(seen(&view), [("b".into(), 2), ("c".into(), 1)]);
        assert_eq!(view.version(), 9);
        assert_eq!(view.find("b").unwrap().incarnation, 2);
        assert_eq!(view.find("a"), None);
    }

    #[test]
    fn many_changes_at_once_give_the_same_list_as_single_ones() {
        let names: Vec<String> = (0..60).map(|it| format!("{:02}", it * 7 % 60)).collect();
        let (one_by_one, at_once) = (View::default(), View::default());
        for round in 1..4 {
            let changes: Vec<(&str, Option<u32>)> = names
                .iter()
                .enumerate()
                .filter(|(at, _)| at % 3 != round)
                .map(|(at, name)| (name.as_str(), (at % 5 != round).then_some(round as u32)))
                .collect();
            assert!(changes.len() > FEW);
            update(&at_once, &changes, 1);
            for change in changes {
                update(&one_by_one, &[change], 1);
            }
            assert_eq!(seen(&at_once), seen(&one_by_one));
        }
        assert!(!seen(&at_once).is_empty());
    }

    #[test]
    fn a_list_that_was_handed_out_never_changes() {
        let view = View::default();
        update(&view, &[("a", Some(1))], 1);
        let taken = view.all();
        update(&view, &[("a", Some(2))], 2);
        assert_eq!(taken[0].incarnation, 1);
    }
}
