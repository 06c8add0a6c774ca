//! The clock of a node, and noticing that the process did not run.
//!
//! The core's time is CLOCK_MONOTONIC: nobody sets it, and it never goes back. Two absences look
//! different to it:
//!
//! - A process that was stopped or starved: the clock went on. Deadlines are long gone, and the
//!   core would blame others for its own absence; it is told how much time it missed, and moves
//!   every deadline that measures others by that.
//! - A machine that was suspended: the clock stood still, and so did every deadline. The core
//!   missed none of its time, so there is nothing to move: whoever had two seconds left to refute
//!   has two seconds left. Moving deadlines further than the clock went would put their beginnings
//!   into the future. CLOCK_BOOTTIME, which goes on meanwhile, only serves to tell what happened.

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
    let time = seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
    #[cfg(test)]
    let time = time + AHEAD.get();
    time
}

#[cfg(test)]
thread_local! {
    /// Tests of the clock of one engine let it jump ahead, on the engine's own thread.
    static AHEAD: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// CLOCK_MONOTONIC.
pub(in crate::driver) fn now() -> Time {
    Time::from_nanos(read(libc::CLOCK_MONOTONIC))
}

/// How long the machine has been suspended since it started.
pub(in crate::driver) fn suspended() -> Duration {
    let monotonic = read(libc::CLOCK_MONOTONIC);
    Duration::from_nanos(read(libc::CLOCK_BOOTTIME).saturating_sub(monotonic))
}

/// A time in which the engine did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::driver) struct Absence {
    /// What the clock of the core went on by, unseen.
    pub missed: Duration,
    /// What passed while that clock stood still.
    pub suspended: Duration,
}

/// Notices absences of the engine. It reads no clock itself.
pub(in crate::driver) struct Watch {
    /// When the engine was last seen at work.
    seen: Time,
    suspended: Duration,
    threshold: Duration,
}

impl Watch {
    pub fn new(now: Time, suspended: Duration, probe_interval: Duration) -> Watch {
        Watch {
            seen: now,
            suspended,
            threshold: LEAST_STALL.max(2 * probe_interval),
        }
    }

    /// The engine works, without having slept since the last call.
    pub fn worked(&mut self, now: Time) -> Option<Absence> {
        let missed = self.missed(now, self.seen);
        (!missed.is_zero()).then_some(Absence {
            missed,
            suspended: Duration::ZERO,
        })
    }

    /// The engine woke up and had wanted to at `wanted`, or earlier. `suspended` is what
    /// [`suspended`] says now.
    pub fn woke(&mut self, now: Time, wanted: Time, suspended: Duration) -> Option<Absence> {
        let missed = self.missed(now, wanted);
        let slept = suspended.saturating_sub(self.suspended);
        self.suspended = suspended;
        let suspended = if slept < LEAST_STALL {
            Duration::ZERO
        } else {
            slept
        };
        let absence = Absence { missed, suspended };
        (missed + suspended > Duration::ZERO).then_some(absence)
    }

    /// How late it is, if later than is ordinary; else zero.
    fn missed(&mut self, now: Time, wanted: Time) -> Duration {
        let away = now.since(wanted.max(self.seen));
        self.seen = self.seen.max(now);
        if away > self.threshold {
            away
        } else {
            Duration::ZERO
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventKind;
    use crate::{Config, Node};

    const SECOND: Duration = Duration::from_secs(1);
    const PATIENCE: Duration = Duration::from_secs(20);

    fn watch(start: Time, probe_interval: Duration) -> Watch {
        Watch::new(start, Duration::ZERO, probe_interval)
    }

    fn stopped(seconds: u32) -> Option<Absence> {
        Some(Absence {
            missed: seconds * SECOND,
            suspended: Duration::ZERO,
        })
    }

    #[test]
    fn waking_in_time_is_no_absence_however_long_the_sleep() {
        let start = now();
        let mut watch = watch(start, SECOND);
        let mut woke = |at: u32, wanted: u32| {
            watch.woke(start + at * SECOND, start + wanted * SECOND, Duration::ZERO)
        };
        assert_eq!(woke(50, 50), None);
        assert_eq!(woke(51, 90), None);
        assert_eq!(woke(92, 91), None);
    }

    #[test]
    fn waking_late_is_an_absence_as_long_as_it_was_late() {
        let start = now();
        let mut watch = watch(start, SECOND);
        let woke = watch.woke(start + 13 * SECOND, start + 3 * SECOND, Duration::ZERO);
        assert_eq!(woke, stopped(10));
    }

    #[test]
    fn working_for_long_is_an_absence() {
        let start = now();
        let mut watch = watch(start, SECOND);
        assert_eq!(watch.worked(start + 2 * SECOND), None);
        assert_eq!(watch.worked(start + 5 * SECOND), stopped(3));
        assert_eq!(watch.worked(start + 6 * SECOND), None);
    }

    #[test]
    fn a_slow_profile_tolerates_longer_absences() {
        let start = now();
        let mut watch = watch(start, 5 * SECOND);
        assert_eq!(watch.worked(start + 9 * SECOND), None);
        assert_eq!(watch.worked(start + 20 * SECOND), stopped(11));
    }

    #[test]
    fn a_suspended_machine_is_told_of_and_missed_nothing_of_the_time_of_the_core() {
        let start = now();
        let mut watch = watch(start, SECOND);
        let hour = 3600 * SECOND;
        let told = Absence {
            missed: Duration::ZERO,
            suspended: hour,
        };
        assert_eq!(
            watch.woke(start + SECOND, start + SECOND, hour),
            Some(told),
            "woken in time by its own clock"
        );
        assert_eq!(
            watch.woke(start + 2 * SECOND, start + 2 * SECOND, hour),
            None
        );
        let both = Absence {
            missed: 7 * SECOND,
            suspended: hour,
        };
        let woke = watch.woke(start + 10 * SECOND, start + 3 * SECOND, 2 * hour);
        assert_eq!(woke, Some(both), "stopped and suspended add nothing up");
    }

    #[test]
    fn a_clock_that_goes_back_is_no_absence_and_cannot_make_one() {
        let start = now() + 100 * SECOND;
        let mut watch = watch(start, SECOND);
        assert_eq!(watch.worked(start - 50 * SECOND), None);
        assert_eq!(
            watch.worked(start + SECOND),
            None,
            "measured from the furthest"
        );
        let hour = Duration::from_secs(3600);
        assert!(watch.woke(start + SECOND, start + SECOND, hour).is_some());
        let back = watch.woke(start + SECOND, start + SECOND, Duration::ZERO);
        assert_eq!(back, None);
    }

    fn node(name: &str, bind: &str) -> Node {
        let mut config = Config::new();
        let patient = ("suspicion_mult", "100"); // a suspicion lasts a hundred seconds
        let settings = [
            ("name", name),
            ("bind", bind),
            ("profile", "local"),
            patient,
        ];
        for (key, value) in settings {
            config.set(key, value).unwrap();
        }
        Node::start(&config).unwrap()
    }

    fn counter(node: &Node, name: &str) -> i64 {
        let found = node.stats().into_iter().find(|(it, _, _)| *it == name);
        found.unwrap().1
    }

    /// Waits for an event; nobody may be called failed meanwhile.
    fn hears(node: &Node, kind: EventKind) {
        let begun = std::time::Instant::now();
        while begun.elapsed() < PATIENCE {
            match node.next_event(Some(SECOND)).unwrap() {
                Some(event) if event.kind() == kind => return,
                Some(event) => assert_ne!(event.kind(), EventKind::MemberFail),
                None => {}
            }
        }
        panic!("no {kind:?} came");
    }

    /// The clock of one engine jumps by an hour in the middle of its work, three times. The end of
    /// a suspicion lies a hundred seconds ahead: whoever is suspected has all that time left.
    #[test]
    fn a_clock_that_jumps_by_an_hour_takes_no_time_from_those_who_are_suspected() {
        let (silent, watching) = (node("silent", "127.0.0.1:0"), node("b", "127.0.0.1:0"));
        let addr = silent.addr().to_string();
        assert_eq!(watching.join(&[&addr], Some(PATIENCE)), Ok(1));
        silent.shutdown();
        hears(&watching, EventKind::MemberSuspect);
        for jumps in 1..=3 {
            let jump = || AHEAD.set(AHEAD.get() + 3_600_000_000_000);
            watching.shared.order(move |_| jump()).unwrap();
            // Noticed in one turn, and the deadlines of the core were looked at in the same one:
            // this question is answered in a later turn.
            let begun = std::time::Instant::now();
            while counter(&watching, "stalls") < jumps {
                assert!(begun.elapsed() < PATIENCE, "the jump was not noticed");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        let back = node("silent", &addr);
        let to = watching.addr().to_string();
        assert_eq!(back.join(&[&to], Some(PATIENCE)), Ok(1));
        hears(&watching, EventKind::MemberAlive);
    }
}
