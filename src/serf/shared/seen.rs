//! A kind of message that each node passes on once: its Lamport clock and the messages seen
//! recently.

use super::clock::Clock;
use super::outbox::Outbox;
use super::ring::{Freshness, Item, Ring};
use crate::limits;

/// Messages of one kind that were seen.
#[derive(Debug)]
pub(in crate::serf) struct Seen<T> {
    pub clock: Clock,
    pub ring: Ring<T>,
}

impl<T: Item> Seen<T> {
    pub fn new() -> Seen<T> {
        Seen {
            clock: Clock::new(),
            ring: Ring::new(),
        }
    }

    /// Makes messages with a time before `ltime` count as too old, unless that time lies too far
    /// ahead to be believed.
    pub fn ignore_before(&mut self, ltime: u64) {
        if ltime.saturating_sub(self.clock.time()) <= limits::LTIME_LEAP {
            self.ring.ignore_before(ltime);
        }
    }

    /// Remembers a message if it is new, and returns true. Otherwise counts the reason why it is
    /// not passed on.
    pub fn see(&mut self, out: &mut Outbox, ltime: u64, item: T) -> bool {
        if !self.clock.witness(out, ltime) {
            return false;
        }
        match self.ring.see(self.clock.time(), ltime, item) {
            Freshness::New => true,
            Freshness::Duplicate => {
                out.counts.duplicates += 1;
                false
            }
            Freshness::Old | Freshness::Full => {
                out.counts.dropped_old_or_many += 1;
                false
            }
        }
    }
}
