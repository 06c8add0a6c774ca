//! The time that a suspect has to refute (Lifeguard, "Local Health Aware Suspicion").
//!
//! The wait is long at first and shrinks with every independent confirmation: a single accuser may
//! itself be faulty, but several are probably right. With n known nodes:
//!
//! ```text
//! min = mult x L x probe interval, where L is log10(n), or 1 if log10(n) is less
//! max = max_mult x min
//! k = mult - 2, or 0 if n < mult
//! wait after c of k confirmations = max - ln(c + 1) / ln(k + 1) x (max - min), or min if k is 0
//! ```

use crate::swim::Config;
use crate::time::Time;
use std::sync::Arc;
use std::time::Duration;

/// The suspicion of one member: its accuser, its confirmations, and its deadline.
#[derive(Clone, Debug)]
pub(in crate::swim) struct Suspicion {
    started: Time,
    min: Duration,
    max: Duration,
    wanted: u32,
    accuser: Arc<str>,
    confirmed_by: Vec<Arc<str>>,
}

/// Returns the shortest time that a suspect has to refute if `nodes` nodes are known.
pub(in crate::swim) fn shortest(config: &Config, nodes: usize) -> Duration {
    let scale = libm::log10(nodes.max(1) as f64).max(1.0);
    // The scale is truncated to thousandths, as in memberlist, so that both give the same time.
    config.probe_interval * config.suspicion_mult * ((scale * 1000.0) as u32) / 1000
}

impl Suspicion {
    pub fn new(config: &Config, nodes: usize, accuser: Arc<str>, now: Time) -> Suspicion {
        let min = shortest(config, nodes);
        let mut wanted = config.suspicion_mult.saturating_sub(2);
        if nodes < 2 + wanted as usize {
            wanted = 0; // there are too few other members that could confirm
        }
        Suspicion {
            started: now,
            min,
            max: min * config.suspicion_max_mult,
            wanted,
            accuser,
            confirmed_by: Vec::new(),
        }
    }

    /// Registers another accuser. Returns true if the accuser counts: it is new, and more
    /// confirmations were wanted.
    pub fn confirm(&mut self, from: &str) -> bool {
        let enough = self.confirmed_by.len() >= self.wanted as usize;
        let known = |name: &Arc<str>| **name == *from;
        if enough || known(&self.accuser) || self.confirmed_by.iter().any(known) {
            return false;
        }
        self.confirmed_by.push(from.into());
        true
    }

    /// Returns the time at which the suspect is declared dead unless it refutes.
    pub fn deadline(&self) -> Time {
        self.started + self.wait()
    }

    fn wait(&self) -> Duration {
        if self.wanted < 1 {
            return self.min;
        }
        let confirmed = libm::log(self.confirmed_by.len() as f64 + 1.0);
        let share = confirmed / libm::log(f64::from(self.wanted) + 1.0);
        let seconds =
            self.max.as_secs_f64() - share * (self.max.as_secs_f64() - self.min.as_secs_f64());
        let whole_ms = Duration::from_millis((seconds * 1000.0).max(0.0) as u64);
        whole_ms.max(self.min)
    }

    /// Moves the deadline by `time`, so that the suspect has longer to refute.
    pub fn postpone(&mut self, time: Duration) {
        self.started = self.started + time;
    }

    /// The first accuser.
    pub fn accuser(&self) -> &Arc<str> {
        &self.accuser
    }

    /// The other accusers that counted as confirmations.
    pub fn confirmed_by(&self) -> &[Arc<str>] {
        &self.confirmed_by
    }

    /// The number of confirmations that shorten the wait to its minimum.
    pub fn wanted(&self) -> u32 {
        self.wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suspicion(nodes: usize) -> Suspicion {
        Suspicion::new(&Config::lan(), nodes, "a".into(), Time::ZERO)
    }

    fn millis(suspicion: &Suspicion) -> u128 {
        suspicion.deadline().since(Time::ZERO).as_millis()
    }

    #[test]
    fn two_confirmations_shrink_24_seconds_to_4_in_a_small_lan() {
        let mut s = suspicion(10);
        assert_eq!(millis(&s), 24_000);
        assert!(s.confirm("b"));
        assert_eq!(millis(&s), 11_381);
        assert!(s.confirm("c"));
        assert_eq!(millis(&s), 4_000);
    }

    #[test]
    fn below_four_nodes_no_member_can_confirm_and_the_wait_is_short() {
        assert_eq!(millis(&suspicion(3)), 4_000);
        assert_eq!(millis(&suspicion(4)), 24_000);
    }

    #[test]
    fn the_accuser_and_repeated_confirmations_do_not_count() {
        let mut s = suspicion(10);
        assert!(!s.confirm("a"));
        assert!(s.confirm("b"));
        assert!(!s.confirm("b"));
        assert!(s.confirm("c"));
        assert!(!s.confirm("d"), "enough have confirmed");
        assert_eq!(s.confirmed_by().len(), 2);
    }

    #[test]
    fn the_shortest_wait_grows_with_the_logarithm_of_the_cluster() {
        let wait = |n| shortest(&Config::lan(), n).as_millis();
        assert_eq!(
            [wait(1), wait(10), wait(50), wait(100), wait(1000)],
            [4000, 4000, 6792, 8000, 12_000]
        );
    }

    #[test]
    fn a_postponed_suspicion_ends_later_by_the_same_time() {
        let mut s = suspicion(3);
        s.postpone(Duration::from_secs(60));
        assert_eq!(millis(&s), 64_000);
    }
}
