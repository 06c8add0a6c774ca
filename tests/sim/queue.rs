//! The event queue: a heap ordered by time, and by age among events at the same time.

use sprat::time::Time;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

struct Entry<T> {
    key: (Time, u64),
    what: T,
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

/// Future events. Events at the same time happen in the order in which they were pushed.
pub struct Queue<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    pushed: u64,
}

impl<T> Queue<T> {
    pub fn new() -> Queue<T> {
        let heap = BinaryHeap::new();
        Queue { heap, pushed: 0 }
    }

    pub fn push(&mut self, at: Time, what: T) {
        self.pushed += 1;
        let key = (at, self.pushed);
        self.heap.push(Reverse(Entry { key, what }));
    }

    /// Takes the next event if it happens no later than `end`.
    pub fn pop_by(&mut self, end: Time) -> Option<(Time, T)> {
        if self.heap.peek()?.0.key.0 > end {
            return None;
        }
        let Reverse(entry) = self.heap.pop()?;
        Some((entry.key.0, entry.what))
    }
}

#[test]
fn events_happen_in_the_order_of_time_and_then_of_age() {
    let at = Time::from_nanos;
    let mut queue = Queue::new();
    for (time, what) in [(5, 'c'), (1, 'a'), (5, 'd'), (3, 'b'), (9, 'e')] {
        queue.push(at(time), what);
    }
    let order: String = std::iter::from_fn(|| queue.pop_by(at(5)))
        .map(|(_, c)| c)
        .collect();
    assert_eq!(order, "abcd");
    assert_eq!(queue.pop_by(at(9)), Some((at(9), 'e')));
    assert_eq!(queue.pop_by(at(100)), None);
}
