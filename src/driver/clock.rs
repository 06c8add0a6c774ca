//! The clock of a node, and noticing that the process did not run.
//!
//! Time is CLOCK_MONOTONIC. A process that was stopped, starved or frozen finds its deadlines long
//! gone, and would blame others for its own absence; the engine tells the core first how long it
//! was away. A suspended machine is noticed by CLOCK_BOOTTIME, which goes on while
//! CLOCK_MONOTONIC stands still.

use crate::time::Time;
use std::time::Duration;

/// Shorter absences are ordinary scheduling.
const LEAST_STALL: Duration = Duration::from_secs(2);

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a writable timespec. Both clocks exist on every Linux since 2.6.39; a failure would
    // leave zero.
    unsafe { libc::clock_gettime(clock, &mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// CLOCK_MONOTONIC.
pub(super) fn now() -> Time {
    Time::from_nanos(read(libc::CLOCK_MONOTONIC))
}

/// How long the machine has been suspended since it started.
fn suspended() -> Duration {
    let monotonic = read(libc::CLOCK_MONOTONIC);
    Duration::from_nanos(read(libc::CLOCK_BOOTTIME).saturating_sub(monotonic))
}

/// Notices absences of the engine.
pub(super) struct Watch {
    /// When the engine was last seen at work.
    seen: Time,
    suspended: Duration,
    threshold: Duration,
    /// A suspended machine needs about this long until its network is back.
    recovery: Duration,
}

impl Watch {
    pub fn new(now: Time, probe_interval: Duration) -> Watch {
        Watch {
            seen: now,
            suspended: suspended(),
            threshold: LEAST_STALL.max(2 * probe_interval),
            recovery: 2 * probe_interval,
        }
    }

    /// The engine works, without having slept since the last call: how long it was away, if longer
    /// than is ordinary.
    pub fn worked(&mut self, now: Time) -> Option<Duration> {
        self.late(now, self.seen)
    }

    /// The engine woke up and had wanted to at `wanted`, or earlier. Asks for suspension too.
    pub fn woke(&mut self, now: Time, wanted: Time) -> Option<Duration> {
        let late = self.late(now, wanted);
        let suspended = suspended();
        let slept = suspended.saturating_sub(self.suspended);
        self.suspended = suspended;
        if slept < LEAST_STALL {
            return late;
        }
        // Deadlines stood still meanwhile; what was in flight is lost, and the network has to
        // come back before anybody can answer.
        Some(late.unwrap_or_default() + slept.min(self.recovery))
    }

    fn late(&mut self, now: Time, wanted: Time) -> Option<Duration> {
        let away = now.since(wanted.max(self.seen));
        self.seen = now;
        (away > self.threshold).then_some(away)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn waking_in_time_is_no_stall_however_long_the_sleep() {
        let start = now();
        let mut watch = Watch::new(start, SECOND);
        assert_eq!(watch.woke(start + 50 * SECOND, start + 50 * SECOND), None);
        assert_eq!(watch.woke(start + 51 * SECOND, start + 90 * SECOND), None);
        assert_eq!(watch.woke(start + 92 * SECOND, start + 91 * SECOND), None);
    }

    #[test]
    fn waking_late_is_a_stall_as_long_as_it_was_late() {
        let start = now();
        let mut watch = Watch::new(start, SECOND);
        assert_eq!(
            watch.woke(start + 13 * SECOND, start + 3 * SECOND),
            Some(10 * SECOND)
        );
    }

    #[test]
    fn working_for_long_is_a_stall() {
        let start = now();
        let mut watch = Watch::new(start, SECOND);
        assert_eq!(watch.worked(start + 2 * SECOND), None);
        assert_eq!(watch.worked(start + 5 * SECOND), Some(3 * SECOND));
        assert_eq!(watch.worked(start + 6 * SECOND), None);
    }

    #[test]
    fn a_slow_profile_tolerates_longer_absences() {
        let start = now();
        let mut watch = Watch::new(start, 5 * SECOND);
        assert_eq!(watch.worked(start + 9 * SECOND), None);
        assert_eq!(watch.worked(start + 20 * SECOND), Some(11 * SECOND));
    }

    #[test]
    fn a_suspended_machine_gets_time_for_its_network_and_not_more() {
        let start = now();
        let mut watch = Watch::new(start, SECOND);
        watch.suspended = watch.suspended.saturating_sub(3600 * SECOND);
        let before = suspended();
        let stall = watch.woke(start + SECOND, start + SECOND);
        let expected = before.min(3600 * SECOND).min(2 * SECOND);
        assert_eq!(stall, (expected >= LEAST_STALL).then_some(expected));
    }
}
