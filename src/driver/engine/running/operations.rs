//! The operations that are under way, and their waiters.

use crate::driver::events::completion::Waiter;
use crate::driver::events::queue::EventQueue;
use crate::sorted_map::SortedMap;
use crate::swim::OpId;
use std::sync::Arc;

/// The operations that are under way.
#[derive(Default)]
pub(in crate::driver::engine) struct Operations {
    by_core: SortedMap<OpId, UnderWay>,
    /// The queries of this node, by the numbers that the application knows.
    queries: SortedMap<u64, Waiter>,
}

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
        self.by_core.insert(op, UnderWay { waiter, is_join });
    }

    /// Removes an operation that has finished, and returns its waiter. `None` if the operation was
    /// removed before: the core can report the end of a join more than once.
    pub fn finish(&mut self, op: OpId) -> Option<Waiter> {
        self.by_core.remove(op).map(|operation| operation.waiter)
    }

    /// Adds a query.
    pub fn begin_query(&mut self, number: u64, waiter: Waiter) {
        self.queries.insert(number, waiter);
    }

    /// Returns the queue for the answers to a query; `None` if they go to all readers of events.
    pub fn answers_to(&self, number: u64) -> Option<&Arc<EventQueue>> {
        match self.queries.get(number)? {
            Waiter::Queue(queue, _) => Some(queue),
            _ => None,
        }
    }

    /// Removes a query that has ended, and returns its waiter.
    pub fn finish_query(&mut self, number: u64) -> Option<Waiter> {
        self.queries.remove(number)
    }

    /// The pending operations that are joins.
    pub fn joins(&self) -> Vec<OpId> {
        let joins = self
            .by_core
            .iter()
            .filter(|(_, operation)| operation.is_join);
        joins.map(|(op, _)| op).collect()
    }

    /// Removes all operations.
    pub fn drain(&mut self) -> impl Iterator<Item = Waiter> {
        let by_core = self.by_core.drain().map(|operation| operation.waiter);
        by_core.chain(self.queries.drain())
    }
}
