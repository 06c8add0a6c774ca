//! Noticing that the engine did not run for a while.
//!
//! There are two kinds of stalls, with different effects on the core:
//!
//! - The process was stopped or starved of processor time, and the clock went on. Deadlines have
//!   passed meanwhile, and the core would blame other nodes for its own absence. So the engine
//!   reports the missed time to the core, which moves the deadlines that other nodes have to meet
//!   by that much.
//! - The machine was suspended, and the clock stood still. The core missed none of its time, so no
//!   deadline moves: a member that had two seconds left to refute still has two seconds. (If the
//!   deadline moved, the start of the suspicion would move with it, into the future.) The length of
//!   the suspension is only used for the log, and to decide whether messages that waited during the
//!   stall are too old.

use crate::time::Time;
use std::time::Duration;

/// The shortest stall. A shorter absence is ordinary scheduling.
const THRESHOLD_MIN: Duration = Duration::from_secs(2);

/// A time in which the engine did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::driver) struct Stall {
    /// The time by which the clock of the core advanced while the engine did not run.
    pub missed: Duration,
    /// The time for which the machine was suspended and the clock of the core stood still.
    pub suspended: Duration,
}

/// Detects stalls of the engine from the times it is given; it reads no clock.
pub(in crate::driver) struct StallDetector {
    /// The last time at which the engine was known to run.
    last_seen: Time,
    /// The total time for which the machine had been suspended since it started, as last measured.
    suspended: Duration,
    threshold: Duration,
}

impl StallDetector {
    /// A detector for an engine that runs now. With a longer probe interval, a longer absence is
    /// tolerated.
    pub fn new(now: Time, suspended: Duration, probe_interval: Duration) -> StallDetector {
        StallDetector {
            last_seen: now,
            suspended,
            threshold: THRESHOLD_MIN.max(2 * probe_interval),
        }
    }

    /// Returns the stall, if any, of an engine that has worked without sleeping since the last call
    /// of a method of this detector.
    pub fn on_work(&mut self, now: Time) -> Option<Stall> {
        let missed = self.missed(now, self.last_seen);
        (!missed.is_zero()).then_some(Stall {
            missed,
            suspended: Duration::ZERO,
        })
    }

    /// Returns the stall, if any, of an engine that woke up from a sleep that was to end at
    /// `wanted` or earlier. `suspended` is the total time for which the machine has been suspended
    /// since it started.
    pub fn on_wake(&mut self, now: Time, wanted: Time, suspended: Duration) -> Option<Stall> {
        let missed = self.missed(now, wanted);
        let slept = suspended.saturating_sub(self.suspended);
        self.suspended = suspended;
        let suspended = if slept < THRESHOLD_MIN {
            Duration::ZERO
        } else {
            slept
        };
        let stall = Stall { missed, suspended };
        (missed + suspended > Duration::ZERO).then_some(stall)
    }

    /// Returns how much later than `wanted` the engine ran, or zero if the delay is within the
    /// threshold. If the engine was last seen after `wanted`, the delay counts from then.
    fn missed(&mut self, now: Time, wanted: Time) -> Duration {
        let late = now.since(wanted.max(self.last_seen));
        self.last_seen = self.last_seen.max(now);
        if late > self.threshold {
            late
        } else {
            Duration::ZERO
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const START: Time = Time::from_nanos(1_000_000_000_000);

    fn detector(probe_interval: Duration) -> StallDetector {
        StallDetector::new(START, Duration::ZERO, probe_interval)
    }

    fn stopped(seconds: u32) -> Option<Stall> {
        Some(Stall {
            missed: seconds * SECOND,
            suspended: Duration::ZERO,
        })
    }

    #[test]
    fn waking_in_time_is_not_a_stall_however_long_the_sleep() {
        let mut detector = detector(SECOND);
        let mut woke = |at: u32, wanted: u32| {
            detector.on_wake(START + at * SECOND, START + wanted * SECOND, Duration::ZERO)
        };
        assert_eq!(woke(50, 50), None);
        assert_eq!(woke(51, 90), None);
        assert_eq!(woke(92, 91), None);
    }

    #[test]
    fn waking_late_is_a_stall_as_long_as_the_delay() {
        let mut detector = detector(SECOND);
        let woke = detector.on_wake(START + 13 * SECOND, START + 3 * SECOND, Duration::ZERO);
        assert_eq!(woke, stopped(10));
    }

    #[test]
    fn working_for_a_long_time_is_a_stall() {
        let mut detector = detector(SECOND);
        assert_eq!(detector.on_work(START + 2 * SECOND), None);
        assert_eq!(detector.on_work(START + 5 * SECOND), stopped(3));
        assert_eq!(detector.on_work(START + 6 * SECOND), None);
    }

    #[test]
    fn with_a_long_probe_interval_longer_absences_are_tolerated() {
        let mut detector = detector(5 * SECOND);
        assert_eq!(detector.on_work(START + 9 * SECOND), None);
        assert_eq!(detector.on_work(START + 20 * SECOND), stopped(11));
    }

    #[test]
    fn a_suspended_machine_is_reported_and_the_core_missed_none_of_its_time() {
        let mut detector = detector(SECOND);
        let hour = 3600 * SECOND;
        let suspended = Stall {
            missed: Duration::ZERO,
            suspended: hour,
        };
        assert_eq!(
            detector.on_wake(START + SECOND, START + SECOND, hour),
            Some(suspended),
            "by its own clock, the engine woke in time"
        );
        assert_eq!(
            detector.on_wake(START + 2 * SECOND, START + 2 * SECOND, hour),
            None
        );
        let both = Stall {
            missed: 7 * SECOND,
            suspended: hour,
        };
        let woke = detector.on_wake(START + 10 * SECOND, START + 3 * SECOND, 2 * hour);
        assert_eq!(woke, Some(both), "missed and suspended stay separate");
    }

    #[test]
    fn a_clock_that_goes_back_is_not_a_stall_and_causes_none_later() {
        let mut detector = detector(SECOND);
        assert_eq!(detector.on_work(START - 50 * SECOND), None);
        assert_eq!(
            detector.on_work(START + SECOND),
            None,
            "the time counts from the latest time seen"
        );
        let hour = Duration::from_secs(3600);
        let woke = |detector: &mut StallDetector, suspended| {
            detector.on_wake(START + SECOND, START + SECOND, suspended)
        };
        assert!(woke(&mut detector, hour).is_some());
        assert_eq!(woke(&mut detector, Duration::ZERO), None);
    }
}
