//! How long a suspect may defend itself (Lifeguard, "Local Health Aware Suspicion").
//!
//! The wait starts long and shrinks with every independent confirmation: one accuser alone may be
//! the faulty part, several are probably right. n is the number of known nodes:
//!
//! ```text
//! min = mult x log10(n) (at least 1) x probe interval        max = max_mult x min
//! wait after c of k confirmations = max - ln(c + 1) / ln(k + 1) x (max - min)
//! ```

use super::Config;
use crate::time::Time;
use std::sync::Arc;
use std::time::Duration;

/// One running suspicion.
#[derive(Clone, Debug)]
pub(super) struct Suspicion {
    started: Time,
    min: Duration,
    max: Duration,
    wanted: u32,
    accuser: Arc<str>,
    confirmed_by: Vec<Arc<str>>,
    looks: Looks,
}

/// The last looks at a suspect (`final_probe` tells why).
#[derive(Clone, Debug)]
struct Looks {
    /// Time that one look has for an answer.
    apart: Duration,
    /// How many are still to come; none if they are switched off.
    left: u32,
    begun: bool,
    answered: bool,
    /// How often an answer may still delay the verdict.
    graces: u32,
}

/// Looks before a verdict; at 30 % loss one look is answered every second time.
pub(super) const LOOKS: u32 = 6;
/// Looks that there is time for even if late confirmations end the wait at once.
const LATE: u32 = 2;
/// Verdicts put off because the suspect answered.
const GRACES: u32 = 3;

/// What is due about a suspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Look at it once more; the first time by a stream, too.
    Look { first: bool },
    /// It answers, so hear what it says of itself.
    Hear,
    /// Its time is over.
    Verdict,
}

/// The shortest time a suspect has among `nodes` known nodes.
pub(super) fn shortest(config: &Config, nodes: usize) -> Duration {
    let scale = libm::log10(nodes.max(1) as f64).max(1.0);
    // Thousandths, cut off: the reference computes it so, and both sides should agree.
    config.probe_interval * config.suspicion_mult * ((scale * 1000.0) as u32) / 1000
}

impl Suspicion {
    pub fn new(config: &Config, nodes: usize, accuser: Arc<str>, now: Time) -> Suspicion {
        let min = shortest(config, nodes);
        let mut wanted = config.suspicion_mult.saturating_sub(2);
        if nodes < 2 + wanted as usize {
            wanted = 0; // too few others to expect confirmations from
        }
        let max = min * config.suspicion_max_mult;
        Suspicion {
            started: now,
            min,
            max,
            wanted,
            accuser,
            confirmed_by: Vec::new(),
            looks: Looks {
                apart: config.probe_timeout,
                left: if config.final_probe { LOOKS } else { 0 },
                begun: false,
                answered: false,
                graces: GRACES,
            },
        }
    }

    /// Registers another accuser. True if it counts: it is new, and more were wanted.
    pub fn confirm(&mut self, from: &Arc<str>) -> bool {
        let enough = self.confirmed_by.len() >= self.wanted as usize;
        if enough || *from == self.accuser || self.confirmed_by.contains(from) {
            return false;
        }
        self.confirmed_by.push(from.clone());
        true
    }

    /// When the suspect is declared dead unless it refutes.
    pub fn deadline(&self) -> Time {
        self.started + self.wait()
    }

    /// When [`Suspicion::step`] wants to be called.
    pub fn next(&self) -> Time {
        self.deadline() - self.looks.apart * self.looks.left
    }

    /// What is due now. Looks whose time has passed are taken together as one.
    pub fn step(&mut self, now: Time) -> Step {
        if self.looks.left > 0 {
            let first = !std::mem::replace(&mut self.looks.begun, true);
            if first {
                self.looks.answered = false;
                let least = now + self.looks.apart * LATE;
                self.postpone(least.since(self.deadline()));
            }
            while self.looks.left > 0 && self.next() <= now {
                self.looks.left -= 1;
            }
            return Step::Look { first };
        }
        if self.looks.answered && self.looks.graces > 0 {
            self.looks.graces -= 1;
            self.looks.answered = false;
            self.looks.left = LOOKS;
            self.postpone((now + self.looks.apart * (LOOKS + 1)).since(self.deadline()));
            return Step::Hear;
        }
        Step::Verdict
    }

    /// From now on only the verdict is to come.
    pub fn look_no_more(&mut self) {
        self.looks.left = 0;
        self.looks.graces = 0;
    }

    /// The suspect answered a probe. True if that ends the looks: [`Suspicion::next`] has changed.
    pub fn answered(&mut self) -> bool {
        self.looks.answered = true;
        self.looks.begun && std::mem::take(&mut self.looks.left) > 0
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

    /// Gives the suspect `time` more: the accusing process itself did not run.
    pub fn postpone(&mut self, time: Duration) {
        self.started = self.started + time;
    }

    pub fn accuser(&self) -> &Arc<str> {
        &self.accuser
    }

    pub fn confirmed_by(&self) -> &[Arc<str>] {
        &self.confirmed_by
    }

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
        assert!(s.confirm(&"b".into()));
        assert_eq!(millis(&s), 11_381);
        assert!(s.confirm(&"c".into()));
        assert_eq!(millis(&s), 4_000);
    }

    #[test]
    fn below_four_nodes_nobody_can_confirm_and_the_wait_is_short() {
        assert_eq!(millis(&suspicion(3)), 4_000);
        assert_eq!(millis(&suspicion(4)), 24_000);
    }

    #[test]
    fn the_accuser_and_repeated_voices_do_not_count() {
        let mut s = suspicion(10);
        assert!(!s.confirm(&"a".into()));
        assert!(s.confirm(&"b".into()));
        assert!(!s.confirm(&"b".into()));
        assert!(s.confirm(&"c".into()));
        assert!(!s.confirm(&"d".into()), "enough have confirmed");
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

    /// Steps until the verdict, each with its time in milliseconds.
    fn steps(suspicion: &mut Suspicion, answer_until: u128) -> Vec<(u128, Step)> {
        let mut steps = Vec::new();
        loop {
            let at = suspicion.next();
            let (ms, step) = (at.since(Time::ZERO).as_millis(), suspicion.step(at));
            steps.push((ms, step));
            if step == Step::Verdict {
                return steps;
            }
            if ms < answer_until && matches!(step, Step::Look { .. }) {
                suspicion.answered();
            }
        }
    }

    #[test]
    fn who_does_not_answer_six_looks_gets_its_verdict_as_early_as_without_them() {
        let look = |first| Step::Look { first };
        assert_eq!(
            steps(&mut suspicion(3), 0),
            [
                (1000, look(true)),
                (1500, look(false)),
                (2000, look(false)),
                (2500, look(false)),
                (3000, look(false)),
                (3500, look(false)),
                (4000, Step::Verdict)
            ]
        );
        let plain = Config::lan().plain();
        let mut plain = Suspicion::new(&plain, 3, "a".into(), Time::ZERO);
        assert_eq!(steps(&mut plain, 0), [(4000, Step::Verdict)]);
    }

    #[test]
    fn who_answers_is_heard_before_the_verdict_but_not_for_ever() {
        let look = |first| Step::Look { first };
        assert_eq!(
            steps(&mut suspicion(3), u128::MAX),
            [
                (1000, look(true)),
                (4000, Step::Hear),
                (4500, look(false)),
                (7500, Step::Hear),
                (8000, look(false)),
                (11_000, Step::Hear),
                (11_500, look(false)),
                (14_500, Step::Verdict)
            ]
        );
        let heard = steps(&mut suspicion(3), 1001);
        assert_eq!(heard.last(), Some(&(7500, Step::Verdict)));
    }

    #[test]
    fn confirmations_that_come_late_leave_time_for_two_looks() {
        let mut s = suspicion(10);
        let late = Time::ZERO + Duration::from_secs(9);
        assert!(s.confirm(&"b".into()) && s.confirm(&"c".into()));
        assert_eq!(s.step(late), Step::Look { first: true });
        let rest: Vec<_> = steps(&mut s, 0);
        assert_eq!(
            rest,
            [(9500, Step::Look { first: false }), (10_000, Step::Verdict)]
        );
    }

    #[test]
    fn a_postponed_suspicion_ends_later_by_just_that() {
        let mut s = suspicion(3);
        s.postpone(Duration::from_secs(60));
        assert_eq!(millis(&s), 64_000);
    }
}
