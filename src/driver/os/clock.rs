//! The clocks of the system.
//!
//! The time of the core is CLOCK_MONOTONIC: nobody can set it, and it never goes back. It stands
//! still while the machine is suspended. CLOCK_BOOTTIME goes on, so the difference between the two
//! clocks is the time for which the machine has been suspended.

use crate::time::Time;
use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

fn read(clock: ClockId) -> Duration {
    // Linux has had both clocks since 2.6.39, so reading them cannot fail.
    let time = clock_gettime(clock).map_or(Duration::ZERO, Duration::from);
    #[cfg(test)]
    let time = time + AHEAD.get();
    time
}

#[cfg(test)]
thread_local! {
    static AHEAD: std::cell::Cell<Duration> = const { std::cell::Cell::new(Duration::ZERO) };
}

/// Moves both clocks ahead, for this thread only.
#[cfg(test)]
pub(in crate::driver) fn jump_ahead(by: Duration) {
    AHEAD.set(AHEAD.get() + by);
}

/// The time by CLOCK_MONOTONIC.
pub(crate) fn now() -> Time {
    let nanos = read(ClockId::CLOCK_MONOTONIC).as_nanos();
    Time::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// The total time for which the machine has been suspended since it started.
pub(in crate::driver) fn suspended() -> Duration {
    let monotonic = read(ClockId::CLOCK_MONOTONIC);
    read(ClockId::CLOCK_BOOTTIME).saturating_sub(monotonic)
}
