//! A ring of recent Lamport times, each with the items that carried it.
//!
//! User events and queries reach a node many times over, and each must be passed on exactly once.
//! The ring has the shape of Serf's: 512 slots, Lamport time `t` falls into slot `t mod 512`, and
//! an item more than 512 behind the clock is dropped, since it is too old to be judged. Only used
//! slots take memory. Unlike Serf's, this ring is bounded: at most [`limits::RING_SLOT_ITEMS`]
//! items with one Lamport time, and at most [`limits::RING_BYTES`] in all.

use crate::limits;

/// An item of a ring.
pub(in crate::serf) trait Item: PartialEq {
    /// The bytes that the item takes.
    fn weight(&self) -> usize;
}

/// The verdict of the ring about an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serf) enum Freshness {
    /// Not seen before: it is remembered now and has to be passed on.
    New,
    /// Seen before.
    Duplicate,
    /// Too far behind the clock to be judged.
    Old,
    /// There is no room for it: it is not remembered and must not be passed on.
    Full,
}

/// The items that carried one Lamport time.
#[derive(Clone, Debug)]
pub(in crate::serf) struct RingSlot<T> {
    pub ltime: u64,
    pub items: Vec<T>,
}

/// The items that were seen recently; see the top of this file.
#[derive(Clone, Debug)]
pub(in crate::serf) struct Ring<T> {
    /// The used slots, sorted by their indexes in Serf's ring.
    slots: Vec<RingSlot<T>>,
    /// Items with an earlier Lamport time are too old. This time rises when slots are dropped to
    /// make room (a dropped item that came again would otherwise count as new), and when this node
    /// joins.
    earliest: u64,
    weight: usize,
}

impl<T: Item> Ring<T> {
    pub fn new() -> Ring<T> {
        Ring {
            slots: Vec::new(),
            earliest: 0,
            weight: 0,
        }
    }

    /// Judges an item that carried `ltime`, and remembers it if it is new. `clock` is the time of
    /// the clock, which has witnessed `ltime` already.
    pub fn see(&mut self, clock: u64, ltime: u64, item: T) -> Freshness {
        if ltime < self.earliest || clock.saturating_sub(ltime) > limits::RING_SLOTS {
            return Freshness::Old;
        }
        let weight = item.weight();
        if weight > limits::RING_BYTES {
            return Freshness::Full;
        }
        match self.place(ltime) {
            Ok(at) if self.slots[at].ltime != ltime => self.drop_slot(at),
            Ok(_) | Err(_) => {}
        }
        if let Ok(at) = self.place(ltime) {
            let slot = &self.slots[at];
            if slot.items.contains(&item) {
                return Freshness::Duplicate;
            }
            if slot.items.len() >= limits::RING_SLOT_ITEMS {
                return Freshness::Full;
            }
        }
        if !self.make_room(ltime, weight) {
            return Freshness::Full;
        }
        let at = self.place(ltime).unwrap_or_else(|at| {
            let items = Vec::new();
            self.slots.insert(at, RingSlot { ltime, items });
            at
        });
        self.slots[at].items.push(item);
        self.weight += weight;
        Freshness::New
    }

    /// Makes items with a Lamport time before `ltime` count as too old.
    pub fn ignore_before(&mut self, ltime: u64) {
        self.earliest = self.earliest.max(ltime);
    }

    /// Returns the used slots, in no particular order of time.
    pub fn slots(&self) -> impl Iterator<Item = &RingSlot<T>> {
        self.slots.iter()
    }

    /// Returns the position of the slot for this time in the list, or the position at which it
    /// would be added. The slot may hold another time that falls into it.
    fn place(&self, ltime: u64) -> Result<usize, usize> {
        let index = |ltime: u64| ltime % limits::RING_SLOTS;
        self.slots
            .binary_search_by_key(&index(ltime), |slot| index(slot.ltime))
    }

    /// Drops the earliest slots until `weight` more bytes fit. Returns false if they do not fit and
    /// only slots at or after `ltime` are left to drop.
    fn make_room(&mut self, ltime: u64, weight: usize) -> bool {
        while self.weight + weight > limits::RING_BYTES {
            let slots = self.slots.iter().enumerate();
            let oldest = slots.min_by_key(|(_, slot)| slot.ltime);
            let Some((at, oldest)) = oldest.map(|(at, slot)| (at, slot.ltime)) else {
                return true;
            };
            if oldest >= ltime {
                return false;
            }
            self.drop_slot(at);
            self.earliest = oldest + 1;
        }
        true
    }

    fn drop_slot(&mut self, at: usize) {
        let slot = self.slots.remove(at);
        self.weight -= slot.items.iter().map(Item::weight).sum::<usize>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Item for (u32, usize) {
        fn weight(&self) -> usize {
            self.1
        }
    }

    #[test]
    fn an_item_is_new_once() {
        let mut ring = Ring::new();
        assert_eq!(ring.see(6, 5, (1, 0)), Freshness::New);
        assert_eq!(ring.see(6, 5, (1, 0)), Freshness::Duplicate);
        assert_eq!(ring.see(6, 5, (2, 0)), Freshness::New);
        assert_eq!(ring.see(6, 4, (1, 0)), Freshness::New);
        assert_eq!(ring.slots().count(), 2);
    }

    #[test]
    fn an_item_more_than_a_ring_behind_the_clock_is_too_old() {
        let mut ring = Ring::new();
        assert_eq!(ring.see(600, 88, (1, 0)), Freshness::New);
        assert_eq!(ring.see(600, 87, (1, 0)), Freshness::Old);
    }

    #[test]
    fn a_later_time_takes_over_the_slot_of_an_earlier_one() {
        let mut ring = Ring::new();
        assert_eq!(ring.see(6, 5, (1, 10)), Freshness::New);
        assert_eq!(ring.see(518, 517, (1, 20)), Freshness::New);
        let held: Vec<u64> = ring.slots().map(|slot| slot.ltime).collect();
        assert_eq!((held, ring.weight), (vec![517], 20));
        assert_eq!(ring.see(518, 5, (1, 10)), Freshness::Old);
    }

    #[test]
    fn one_time_holds_a_bounded_number_of_items() {
        let mut ring = Ring::new();
        for i in 0..limits::RING_SLOT_ITEMS as u32 {
            assert_eq!(ring.see(6, 5, (i, 1)), Freshness::New);
        }
        assert_eq!(ring.see(6, 5, (9999, 1)), Freshness::Full);
        assert_eq!(ring.see(6, 5, (3, 1)), Freshness::Duplicate);
        assert_eq!(ring.see(6, 4, (9999, 1)), Freshness::New);
    }

    #[test]
    fn an_item_dropped_for_lack_of_room_is_never_new_again() {
        let mut ring = Ring::new();
        let half = limits::RING_BYTES / 2;
        assert_eq!(ring.see(11, 8, (1, half)), Freshness::New);
        assert_eq!(ring.see(11, 9, (2, half)), Freshness::New);
        assert_eq!(ring.see(11, 7, (3, 1)), Freshness::Full);
        assert_eq!(ring.see(11, 10, (4, half)), Freshness::New);
        assert_eq!(ring.see(11, 8, (1, half)), Freshness::Old);
        assert_eq!(ring.see(11, 9, (2, half)), Freshness::Duplicate);
        assert_eq!(
            ring.see(11, 10, (5, limits::RING_BYTES + 1)),
            Freshness::Full
        );
        assert!(ring.weight <= limits::RING_BYTES);
    }
}
