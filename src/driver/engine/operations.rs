//! The operations that are under way, and their waiters.

use crate::driver::events::completion::Waiter;
use crate::sorted_map::SortedMap;
use crate::swim::OpId;

/// The operations that are under way.
#[derive(Default)]
pub(super) struct Operations(SortedMap<OpId, UnderWay>);

/// An operation that is under way.
struct UnderWay {
    waiter: Waiter,
    is_join: bool,
}

impl Operations {
    /// Adds an operation that has begun.
    pub fn begin(&mut self, op: OpId, waiter: Waiter) {
        self.add(op, waiter, false);
    }

    /// Adds a join that has begun.
    pub fn begin_join(&mut self, op: OpId, waiter: Waiter) {
        self.add(op, waiter, true);
    }

    fn add(&mut self, op: OpId, waiter: Waiter, is_join: bool) {
        self.0.insert(op, UnderWay { waiter, is_join });
    }

    /// Removes an operation that has finished, and returns its waiter. `None` if the operation was
    /// removed before: the core can report the end of a join more than once.
    pub fn finish(&mut self, op: OpId) -> Option<Waiter> {
        self.0.remove(op).map(|operation| operation.waiter)
    }

    /// The pending operations that are joins.
    pub fn joins(&self) -> Vec<OpId> {
        let joins = self.0.iter().filter(|(_, operation)| operation.is_join);
        joins.map(|(op, _)| op).collect()
    }

    /// Removes all operations.
    pub fn drain(&mut self) -> impl Iterator<Item = Waiter> {
        self.0.drain().map(|operation| operation.waiter)
    }
}
