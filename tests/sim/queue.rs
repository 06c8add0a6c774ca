//! The event queue: a heap ordered by time, and by age among events at the same time. The heap
//! holds only the places of the events, because it moves its entries often.

use sprat::time::Time;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Future events. Events at the same time happen in the order in which they were pushed.
pub struct Queue<T> {
    /// The time of each event, its age, and its place.
    heap: BinaryHeap<Reverse<(Time, u64, u32)>>,
    places: Vec<Option<T>>,
    free: Vec<u32>,
    pushed: u64,
}

impl<T> Queue<T> {
    pub fn new() -> Queue<T> {
        Queue {
            heap: BinaryHeap::new(),
            places: Vec::new(),
            free: Vec::new(),
            pushed: 0,
        }
    }

    pub fn push(&mut self, at: Time, what: T) {
        self.pushed += 1;
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            (self.places.len() - 1) as u32
        });
        self.places[place as usize] = Some(what);
        self.heap.push(Reverse((at, self.pushed, place)));
    }

    /// Takes the next event if it happens no later than `end`.
    pub fn pop_by(&mut self, end: Time) -> Option<(Time, T)> {
        let Reverse((at, ..)) = *self.heap.peek()?;
        if at > end {
            return None;
        }
        let Reverse((at, _, place)) = self.heap.pop()?;
        self.free.push(place);
        Some((at, self.places[place as usize].take()?))
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
