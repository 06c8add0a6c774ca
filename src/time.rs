//! Time inside the core, in nanoseconds since the start of the driver's clock.
//!
//! The core never reads a clock: every call that depends on time is passed a [`Time`], which is
//! never earlier than that of the previous call. The driver reads the time from the monotonic
//! clock, the simulator from its own clock.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment, in nanoseconds since the start of the driver's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The start of the clock.
    pub const ZERO: Time = Time(0);

    /// The moment `nanos` nanoseconds after the start of the clock.
    pub const fn from_nanos(nanos: u64) -> Time {
        Time(nanos)
    }

    /// The nanoseconds from the start of the clock to this moment.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`; zero if `earlier` is in fact the later one.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    fn add(self, duration: Duration) -> Time {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Time(self.0.saturating_add(nanos))
    }
}

impl Sub<Duration> for Time {
    type Output = Time;

    fn sub(self, duration: Duration) -> Time {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Time(self.0.saturating_sub(nanos))
    }
}
