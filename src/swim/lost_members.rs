//! The lost members: failed members that the layer above still waits for, each with the time of the
//! next attempt to reach it.

use super::retry::Retry;
use crate::limits;
use crate::time::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

/// A member that is lost.
struct LostMember {
    addr: SocketAddr,
    retry: Retry,
}

/// All lost members.
#[derive(Default)]
pub(super) struct LostMembers {
    by_name: BTreeMap<Arc<str>, LostMember>,
    /// The times of the next attempts.
    attempts: BTreeSet<(Time, Arc<str>)>,
}

impl LostMembers {
    pub fn len(&self) -> usize {
        self.by_name.len()
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
    pub fn add(&mut self, name: Arc<str>, addr: SocketAddr, retry: Retry) {
        self.remove(&name);
        if self.len() < limits::MEMBERS {
            self.attempts.insert((retry.next, name.clone()));
            self.by_name.insert(name, LostMember { addr, retry });
        }
    }

    /// Removes a member that is back, or for which the layer above no longer waits.
    pub fn remove(&mut self, name: &str) {
        if let Some((name, member)) = self.by_name.remove_entry(name) {
            self.attempts.remove(&(member.retry.next, name));
        }
    }

    /// Returns the time of the next attempt at any of the members.
    pub fn next_attempt(&self) -> Option<Time> {
        self.attempts.first().map(|(at, _)| *at)
    }

    /// Returns the member whose next attempt comes first.
    pub fn first(&self) -> Option<(Arc<str>, SocketAddr)> {
        let (_, name) = self.attempts.first()?;
        let member = self.by_name.get(name)?;
        Some((name.clone(), member.addr))
    }

    /// Changes the attempts at the member of this name.
    pub fn change(&mut self, name: &str, change: impl FnOnce(&mut Retry)) {
        let Some((name, mut member)) = self.by_name.remove_entry(name) else {
            return;
        };
        self.attempts.remove(&(member.retry.next, name.clone()));
        change(&mut member.retry);
        self.attempts.insert((member.retry.next, name.clone()));
        self.by_name.insert(name, member);
    }

    /// Changes the attempts at all members for whose addresses `wanted` returns true.
    pub fn change_all(
        &mut self,
        wanted: impl Fn(SocketAddr) -> bool,
        mut change: impl FnMut(&mut Retry),
    ) {
        let chosen = self.by_name.iter().filter(|(_, it)| wanted(it.addr));
        let chosen: Vec<Arc<str>> = chosen.map(|(name, _)| name.clone()).collect();
        for name in chosen {
            self.change(&name, &mut change);
        }
    }
}
