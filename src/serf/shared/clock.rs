//! A Lamport clock, which orders intents, user events and queries without any agreement on time.
//!
//! Serf's clocks follow any Lamport time that they see, so one message with the largest number
//! wraps them to zero and disturbs the whole cluster. The clocks here saturate, and refuse to leap
//! further than [`limits::LTIME_LEAP`] in one step.

use super::outbox::Outbox;
use crate::limits;
use crate::wire::Refusal;

/// A Lamport clock. Starts at 1, like those of Serf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serf) struct Clock(u64);

impl Clock {
    pub fn new() -> Clock {
        Clock(1)
    }

    /// Returns the time that the next message will carry.
    pub fn time(self) -> u64 {
        self.0
    }

    /// Returns the time for a message that is sent now, and advances the clock by one.
    pub fn tick(&mut self) -> u64 {
        let time = self.0;
        self.0 = time.saturating_add(1);
        time
    }

    /// Advances the clock past a time that was seen. Returns false, and counts a refusal, if the
    /// time lies too far ahead to be believed: the message that carried it has to be dropped.
    pub fn witness(&mut self, out: &mut Outbox, seen: u64) -> bool {
        if seen.saturating_sub(self.0) > limits::LTIME_LEAP {
            out.refuse(Refusal::LtimeLeap);
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
        let out = &mut Outbox::default();
        let mut clock = Clock::new();
        assert!(clock.witness(out, 41));
        assert_eq!(clock.time(), 42);
        assert!(clock.witness(out, 3));
        assert_eq!(clock.time(), 42);
        assert!(clock.witness(out, 42));
        assert_eq!(clock.time(), 43);
    }

    #[test]
    fn one_bad_message_moves_no_clock() {
        let out = &mut Outbox::default();
        let mut clock = Clock::new();
        for seen in [u64::MAX, 1 << 62, limits::LTIME_LEAP + 2] {
            assert!(!clock.witness(out, seen));
            assert_eq!(clock.time(), 1);
        }
        assert!(clock.witness(out, limits::LTIME_LEAP + 1));
        assert_eq!(clock.time(), limits::LTIME_LEAP + 2);
    }

    #[test]
    fn a_clock_stops_at_the_largest_number_instead_of_wrapping() {
        let out = &mut Outbox::default();
        let mut clock = Clock(u64::MAX - 1);
        assert!(clock.witness(out, u64::MAX));
        assert_eq!(clock.time(), u64::MAX);
        assert_eq!((clock.tick(), clock.tick()), (u64::MAX, u64::MAX));
    }
}
