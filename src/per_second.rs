//! A bound on how often something is done in one second.

use crate::time::Time;
use std::time::Duration;

/// Counts what is done in the present second. A second begins with the first use after the end of
/// the one before.
#[derive(Clone, Debug)]
pub(crate) struct PerSecond {
    max: u32,
    since: Time,
    count: u32,
}

impl PerSecond {
    /// Makes a bound of `max` times in a second.
    pub fn new(max: u32) -> PerSecond {
        PerSecond {
            max,
            since: Time::ZERO,
            count: 0,
        }
    }

    /// Returns true, and counts, if the bound is not reached yet.
    pub fn has_room(&mut self, now: Time) -> bool {
        self.has_room_for(now, 1)
    }

    /// Returns true, and counts, if something may be done that counts as often as `times`.
    pub fn has_room_for(&mut self, now: Time, times: u32) -> bool {
        if now.since(self.since) >= Duration::from_secs(1) {
            (self.since, self.count) = (now, 0);
        }
        let has_room = times <= self.max - self.count;
        if has_room {
            self.count += times;
        }
        has_room
    }
}
