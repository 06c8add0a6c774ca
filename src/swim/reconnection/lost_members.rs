//! The lost members that the layer above still waits for, each with the time of the next attempt to
//! reach it: members that failed, and former members, which an earlier run of this node knew.

use super::retry::Retry;
use crate::limits;
use crate::time::Time;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::sync::Arc;

/// The run of this node in which a lost member was last present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostSince {
    /// The member has failed in this run.
    ThisRun,
    /// This node has not met the member since it started.
    EarlierRun {
        /// True if the member had failed in the earlier run.
        had_failed: bool,
    },
}

/// A member that is lost.
struct LostMember {
    addr: SocketAddr,
    since: LostSince,
    retry: Retry,
}

/// All lost members.
#[derive(Default)]
pub(in crate::swim) struct LostMembers {
    by_name: BTreeMap<Arc<str>, Box<LostMember>>,
    /// The times of the next attempts, the earliest on top. A time is out of date if it is no
    /// longer the time of its member; the time on top is never out of date.
    attempts: BinaryHeap<Reverse<(Time, Arc<str>)>>,
}

impl LostMembers {
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// The number of lost members that are on the list of the layer above.
    pub fn known(&self) -> usize {
        let since = self.by_name.values().map(|it| it.since);
        since.filter(|since| *since == LostSince::ThisRun).count()
    }

    pub fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// The addresses of the lost members.
    pub fn addrs(&self) -> impl Iterator<Item = SocketAddr> {
        self.by_name.values().map(|it| it.addr)
    }

    /// Adds a member, or replaces the entry that it has already. If too many members are lost, the
    /// new one is left out; the layer above does not remember more either.
    pub fn add(&mut self, name: Arc<str>, addr: SocketAddr, since: LostSince, retry: Retry) {
        if self.len() < limits::MEMBERS || self.contains(&name) {
            let member = Box::new(LostMember { addr, since, retry });
            self.by_name.insert(name.clone(), member);
            self.attempts.push(Reverse((retry.next, name)));
            self.tidy();
        }
    }

    /// Removes a member that is back, or for which the layer above no longer waits.
    pub fn remove(&mut self, name: &str) {
        if self.by_name.remove(name).is_some() {
            self.tidy();
        }
    }

    /// Counts a member as one of an earlier run: the layer above no longer lists it.
    pub fn unlist(&mut self, name: &str) {
        if let Some(member) = self.by_name.get_mut(name) {
            member.since = LostSince::EarlierRun { had_failed: true };
        }
    }

    /// Returns the time of the next attempt at any of the members.
    pub fn next_attempt(&self) -> Option<Time> {
        self.attempts.peek().map(|Reverse((at, _))| *at)
    }

    /// Returns the member whose next attempt comes first.
    pub fn first(&self) -> Option<(Arc<str>, SocketAddr)> {
        let Reverse((_, name)) = self.attempts.peek()?;
        let member = self.by_name.get(name)?;
        Some((name.clone(), member.addr))
    }

    /// Changes the attempts at the member of this name.
    pub fn change(&mut self, name: &Arc<str>, change: impl FnOnce(&mut Retry)) {
        if let Some(member) = self.by_name.get_mut(name) {
            change(&mut member.retry);
            self.attempts
                .push(Reverse((member.retry.next, name.clone())));
            self.tidy();
        }
    }

    /// Changes the attempts at all members whose address passes `wanted`.
    pub fn change_all(
        &mut self,
        wanted: impl Fn(SocketAddr) -> bool,
        mut change: impl FnMut(&mut Retry),
    ) {
        let chosen = self.by_name.iter_mut().filter(|(_, it)| wanted(it.addr));
        for (name, member) in chosen {
            change(&mut member.retry);
            self.attempts
                .push(Reverse((member.retry.next, name.clone())));
        }
        self.tidy();
    }

    /// Removes the times that are out of date from the top, and all of them if there are many.
    fn tidy(&mut self) {
        let (members, attempts) = (&self.by_name, &mut self.attempts);
        let is_valid = |Reverse((at, name)): &Reverse<(Time, Arc<str>)>| {
            members.get(name).is_some_and(|it| it.retry.next == *at)
        };
        while attempts.peek().is_some_and(|it| !is_valid(it)) {
            attempts.pop();
        }
        if attempts.len() > 2 * members.len() + 16 {
            attempts.retain(is_valid);
        }
    }
}
