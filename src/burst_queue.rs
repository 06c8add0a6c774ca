//! A queue that gives its memory back after a burst.
//!
//! A push/pull with a large cluster causes a notice and an event for each member at once. A
//! `VecDeque` would keep the room for all of them as long as the node lives.

use std::collections::VecDeque;

/// The number of items for which an empty queue keeps room.
const KEPT: usize = 32;

/// Items in the order in which they were added.
#[derive(Debug)]
pub(crate) struct BurstQueue<T>(VecDeque<T>);

impl<T> Default for BurstQueue<T> {
    fn default() -> Self {
        BurstQueue(VecDeque::new())
    }
}

impl<T> BurstQueue<T> {
    pub fn push(&mut self, item: T) {
        self.0.push_back(item);
    }

    /// Takes the oldest item.
    pub fn pop(&mut self) -> Option<T> {
        let item = self.0.pop_front();
        if item.is_none() && self.0.capacity() > KEPT {
            self.0 = VecDeque::new();
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_in_order_and_the_room_of_a_burst_is_given_back() {
        let mut queue = BurstQueue::default();
        (0..1000).for_each(|n| queue.push(n));
        assert!((0..1000).all(|n| queue.pop() == Some(n)));
        assert!(queue.0.capacity() >= 1000);
        assert_eq!(queue.pop(), None);
        assert_eq!(queue.0.capacity(), 0);
        (0..10).for_each(|n| queue.push(n));
        assert!((0..10).all(|n| queue.pop() == Some(n)));
        assert_eq!(queue.pop(), None);
        assert!(queue.0.capacity() >= 10, "a small queue keeps its room");
    }
}
