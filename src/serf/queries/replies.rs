//! The replies of one kind, acks or answers, to a query: those that have come, and those that are
//! missing.
//!
//! A reply always counts, whatever happened to its member before: it may have joined after the
//! query was sent, or have failed or left and then returned. So no member is both among those that
//! have replied and among the missing ones.

use crate::limits;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The replies, by the names of the members. Each name is in one of the sets at most.
#[derive(Debug, Default)]
pub(in crate::serf) struct Replies {
    /// The members that are expected to reply.
    awaited: BTreeSet<Arc<str>>,
    /// The members that have replied.
    received: BTreeSet<Arc<str>>,
    /// The members that have failed before they replied, and the names in the options of the query
    /// that no present member has.
    given_up: BTreeSet<Arc<str>>,
}

impl Replies {
    pub fn new(awaited: BTreeSet<Arc<str>>, absent: BTreeSet<Arc<str>>) -> Replies {
        Replies {
            awaited,
            received: BTreeSet::new(),
            given_up: absent,
        }
    }

    /// Takes up the reply of a member. Returns false if the member has replied before, or if there
    /// are as many replies as a cluster can have members.
    pub fn receive(&mut self, from: &Arc<str>) -> bool {
        if self.received.len() >= limits::MEMBERS || !self.received.insert(from.clone()) {
            return false;
        }
        self.awaited.remove(from);
        self.given_up.remove(from);
        true
    }

    /// Stops waiting for a member that has failed or left. A member that has failed is missing at
    /// the end: it may still hold the keys from before a change, or have done only a part of what
    /// it was asked for.
    pub fn on_gone(&mut self, name: &str, has_failed: bool) {
        let awaited = self.awaited.take(name);
        self.given_up.extend(awaited.filter(|_| has_failed));
    }

    /// Returns true if no reply is awaited.
    pub fn is_complete(&self) -> bool {
        self.awaited.is_empty()
    }

    /// The members that are expected to reply.
    pub fn awaited(&self) -> &BTreeSet<Arc<str>> {
        &self.awaited
    }

    /// Returns true if the member has replied.
    pub fn has(&self, name: &str) -> bool {
        self.received.contains(name)
    }

    /// The number of replies.
    pub fn count(&self) -> usize {
        self.received.len()
    }

    /// The members whose reply is missing.
    pub fn missing(&self) -> impl Iterator<Item = &Arc<str>> {
        self.awaited.iter().chain(&self.given_up)
    }
}
