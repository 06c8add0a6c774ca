//! The operations that are under way, and the parties that wait for them.

use crate::driver::events::completion::Waiter;
use crate::swim::OpId;
use std::collections::{HashMap, HashSet};

/// The waiters of the operations that are under way.
#[derive(Default)]
pub(super) struct Operations {
    waiters: HashMap<OpId, Waiter>,
    joins: HashSet<OpId>,
}

impl Operations {
    /// Adds an operation that has begun.
    pub fn begin(&mut self, op: OpId, waiter: Waiter) {
        self.waiters.insert(op, waiter);
    }

    /// Adds a join that has begun.
    pub fn begin_join(&mut self, op: OpId, waiter: Waiter) {
        self.joins.insert(op);
        self.begin(op, waiter);
    }

    /// Removes an operation that has finished, and returns its waiter. `None` if no party waits any
    /// more: a join that was ended early finishes a second time.
    pub fn finish(&mut self, op: OpId) -> Option<Waiter> {
        self.joins.remove(&op);
        self.waiters.remove(&op)
    }

    /// The pending operations that are joins.
    pub fn joins(&self) -> Vec<OpId> {
        self.joins.iter().copied().collect()
    }

    /// Removes all operations.
    pub fn drain(&mut self) -> impl Iterator<Item = Waiter> {
        self.joins.clear();
        self.waiters.drain().map(|(_, waiter)| waiter)
    }
}
