//! Running out of descriptors.
//!
//! A node keeps one descriptor in reserve. If the system refuses another descriptor and no stream
//! gives way, the node gives up the reserve, so that it can still open a stream, or accept one if
//! no accepted stream is open. The system's resolver needs a descriptor as well, and does not
//! report a shortage. So if no other descriptor is free when a name is looked up, the node gives up
//! the reserve until all lookups have ended. When no lookup is under way, the next free
//! descriptor becomes the reserve.

use crate::driver::os::descriptors::Wakeup;
use crate::time::Time;
use std::io;
use std::time::Duration;

/// The time for which a refusal counts as a shortage.
const REFUSAL_COUNTS_FOR: Duration = Duration::from_secs(10);
/// The minimum time between two warnings about the same consequence.
const REPEAT: Duration = Duration::from_secs(60);

/// The sentence about the health of a node that is short of descriptors.
const SUMMARY: &str = "this process has run out of descriptors (RLIMIT_NOFILE, \
                                 ulimit -n): only a few streams work at a time";

/// The sentence about the health of a node whose service is short of descriptors.
const SERVICE_SUMMARY: &str = "this process has run out of descriptors (RLIMIT_NOFILE, ulimit -n): \
                               a service accepts a connection only if an idle one gives way";

/// The work that a node cannot do without a descriptor.
#[derive(Clone, Copy)]
pub(super) enum Consequence {
    Accept,
    Connect,
}

/// The reserve, and the memory of refusals.
pub(super) struct Shortage {
    reserve: Option<Wakeup>,
    /// The number of names that are being looked up.
    lookups: usize,
    last_refusal: Option<Time>,
    /// The time of the last warning about each consequence.
    warned: [Option<Time>; 2],
}

impl Shortage {
    /// Opens the reserve.
    ///
    /// # Errors
    /// The system has no descriptor left.
    pub fn new() -> io::Result<Shortage> {
        Ok(Shortage {
            reserve: Some(Wakeup::new()?),
            lookups: 0,
            last_refusal: None,
            warned: [None; 2],
        })
    }

    /// Notes that the system has refused a descriptor, and returns whether a warning about this
    /// consequence is due.
    pub fn on_refusal(&mut self, now: Time, consequence: Consequence) -> bool {
        self.last_refusal = Some(now);
        let last = &mut self.warned[consequence as usize];
        let due = last.is_none_or(|at| now.since(at) >= REPEAT);
        if due {
            *last = Some(now);
        }
        due
    }

    /// Gives up the reserve, and returns whether there was one.
    pub fn spend_reserve(&mut self) -> bool {
        self.reserve.take().is_some()
    }

    /// Notes that the lookup of a name begins. If no other descriptor is free, the resolver gets
    /// the reserve.
    pub fn begin_lookup(&mut self, now: Time) {
        self.lookups += 1;
        if Wakeup::new().is_err() {
            self.last_refusal = Some(now);
            self.spend_reserve();
        }
    }

    /// Notes that the lookup of a name has ended.
    pub fn end_lookup(&mut self) {
        self.lookups = self.lookups.saturating_sub(1);
    }

    /// Renews the reserve if a descriptor is free and no lookup is under way.
    pub fn renew_reserve(&mut self) {
        if self.reserve.is_none() && self.lookups == 0 {
            self.reserve = Wakeup::new().ok();
        }
    }

    /// The sentence about the health of the node while descriptors are short: the system has
    /// refused a descriptor a short time ago, or the reserve is spent. `service` is the time of the
    /// last refusal for a connection of a service.
    pub fn summary(&self, now: Time, service: Option<Time>) -> Option<&'static str> {
        let is_recent = |at: Time| now.since(at) < REFUSAL_COUNTS_FOR;
        if service.is_some_and(is_recent) {
            return Some(SERVICE_SUMMARY);
        }
        let lasts = self.reserve.is_none() || self.last_refusal.is_some_and(is_recent);
        lasts.then_some(SUMMARY)
    }

    /// Returns true unless the host program has closed or replaced the reserve.
    pub fn is_intact(&self) -> bool {
        self.reserve.as_ref().is_none_or(Wakeup::is_intact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time::from_nanos(1);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_warning_about_each_consequence_is_due_once_a_minute() {
        let mut shortage = Shortage::new().unwrap();
        let mut warned = |seconds, consequence| {
            let now = START + seconds * SECOND;
            shortage.on_refusal(now, consequence)
        };
        assert!(warned(0, Consequence::Accept));
        assert!(!warned(1, Consequence::Accept));
        assert!(warned(1, Consequence::Connect));
        assert!(!warned(59, Consequence::Accept));
        assert!(warned(60, Consequence::Accept));
        assert!(!warned(60, Consequence::Connect));
    }

    #[test]
    fn a_refusal_for_a_service_counts_for_ten_seconds_and_comes_first() {
        let mut shortage = Shortage::new().unwrap();
        shortage.on_refusal(START, Consequence::Connect);
        let summary = |seconds: u32| shortage.summary(START + seconds * SECOND, Some(START));
        assert_eq!(summary(9), Some(SERVICE_SUMMARY));
        assert_eq!(summary(10), None);
    }

    #[test]
    fn the_reserve_is_spent_once_and_renewed_later() {
        let mut shortage = Shortage::new().unwrap();
        assert_eq!(shortage.summary(START, None), None);
        assert!(shortage.spend_reserve());
        assert!(!shortage.spend_reserve());
        assert_eq!(shortage.summary(START + 60 * SECOND, None), Some(SUMMARY));
        shortage.renew_reserve();
        assert_eq!(shortage.summary(START + SECOND, None), None);
        shortage.on_refusal(START + SECOND, Consequence::Accept);
        assert_eq!(shortage.summary(START + 10 * SECOND, None), Some(SUMMARY));
        assert_eq!(shortage.summary(START + 11 * SECOND, None), None);
        assert!(shortage.spend_reserve());
        shortage.begin_lookup(START);
        shortage.renew_reserve();
        assert!(!shortage.spend_reserve(), "not renewed during a lookup");
        shortage.end_lookup();
        shortage.renew_reserve();
        assert!(shortage.spend_reserve());
    }
}
