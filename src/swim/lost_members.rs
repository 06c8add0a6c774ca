//! The lost members: failed members that the layer above still waits for, each with the time of the
//! next attempt to reach it.

use super::retry::Retry;
use std::net::SocketAddr;
use std::sync::Arc;

/// The maximum number of lost members that are remembered. If there are more, the one that was
/// added first is forgotten.
const LOST: usize = 1024;

/// A member that is lost.
pub(super) struct LostMember {
    pub name: Arc<str>,
    pub addr: SocketAddr,
    pub retry: Retry,
}

/// All lost members.
#[derive(Default)]
pub(super) struct LostMembers(Vec<LostMember>);

impl LostMembers {
    pub fn iter(&self) -> impl Iterator<Item = &LostMember> {
        self.0.iter()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut LostMember> {
        self.0.iter_mut()
    }

    /// Adds a member, or replaces the entry that it has already.
    pub fn push(&mut self, member: LostMember) {
        self.remove(&member.name);
        if self.0.len() >= LOST {
            self.0.remove(0);
        }
        self.0.push(member);
    }

    /// Removes a member that is back, or for which the layer above no longer waits.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|it| *it.name != *name);
    }
}
