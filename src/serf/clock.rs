//! A Lamport clock: it orders intents, events and queries without any agreement on time.
//!
//! Serf's clocks follow whatever they see, so one message with the largest number wraps them to
//! zero and spoils a whole cluster. Ours saturate, and refuse to leap further than
//! [`limits::LTIME_LEAP`] at once.

use crate::limits;

/// A Lamport clock. Starts at 1, like those of Serf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clock(u64);

impl Clock {
    pub fn new() -> Clock {
        Clock(1)
    }

    /// The time that the next message carries.
    pub fn time(self) -> u64 {
        self.0
    }

    /// The time for a message sent now; the clock goes on by one.
    pub fn tick(&mut self) -> u64 {
        let time = self.0;
        self.0 = time.saturating_add(1);
        time
    }

    /// Goes on past a time that was seen. False if it lies too far ahead to be believed: the
    /// message that carried it is to be dropped.
    #[must_use]
    pub fn witness(&mut self, seen: u64) -> bool {
        if seen.saturating_sub(self.0) > limits::LTIME_LEAP {
            return false;
        }
        if seen >= self.0 {
            self.0 = seen.saturating_add(1);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_starts_at_one_and_counts_what_it_sends() {
        let mut clock = Clock::new();
        assert_eq!((clock.tick(), clock.tick(), clock.time()), (1, 2, 3));
    }

    #[test]
    fn a_clock_goes_past_what_it_sees_and_never_back() {
        let mut clock = Clock::new();
        assert!(clock.witness(41));
        assert_eq!(clock.time(), 42);
        assert!(clock.witness(3));
        assert_eq!(clock.time(), 42);
        assert!(clock.witness(42));
        assert_eq!(clock.time(), 43);
    }

    #[test]
    fn one_bad_message_moves_no_clock() {
        let mut clock = Clock::new();
        for seen in [u64::MAX, 1 << 62, limits::LTIME_LEAP + 2] {
            assert!(!clock.witness(seen));
            assert_eq!(clock.time(), 1);
        }
        assert!(clock.witness(limits::LTIME_LEAP + 1));
        assert_eq!(clock.time(), limits::LTIME_LEAP + 2);
    }

    #[test]
    fn the_end_of_the_numbers_is_a_wall_and_no_wrap() {
        let mut clock = Clock(u64::MAX - 1);
        assert!(clock.witness(u64::MAX));
        assert_eq!(clock.time(), u64::MAX);
        assert_eq!((clock.tick(), clock.tick()), (u64::MAX, u64::MAX));
    }
}
