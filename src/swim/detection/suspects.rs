//! The suspects: the time that each has left to refute, and the steps that are due before that time
//! ends.
//!
//! `apply` begins, confirms and clears suspicions, because it changes the states of members. This
//! file keeps the times: the deadline of `suspicion`, and before it the steps of `final_probe`.

use super::final_probe::{FinalProbes, SuspectStep};
use super::suspicion::Suspicion;
use crate::swim::shared::context::Context;
use crate::swim::shared::timer::Deadlines;
use crate::swim::table::members::MemberIndex;
use crate::time::Time;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// One suspect.
struct Suspect {
    suspicion: Suspicion,
    final_probes: FinalProbes,
}

impl Suspect {
    fn next(&self) -> Time {
        self.final_probes.next(self.suspicion.deadline())
    }

    fn step(&mut self, now: Time) -> SuspectStep {
        let before = self.suspicion.deadline();
        let mut deadline = before;
        let step = self.final_probes.step(now, &mut deadline);
        self.suspicion.postpone(deadline.since(before));
        step
    }
}

/// All suspects.
#[derive(Default)]
pub(in crate::swim) struct Suspects {
    suspects: HashMap<MemberIndex, Suspect>,
    deadlines: Deadlines<MemberIndex>,
}

impl Suspects {
    /// A member became suspect.
    pub fn begin(&mut self, ctx: &Context, member: MemberIndex, accuser: Arc<str>) {
        let suspect = Suspect {
            suspicion: Suspicion::new(&ctx.config, ctx.table.len(), accuser, ctx.now),
            final_probes: FinalProbes::new(&ctx.config),
        };
        self.deadlines.insert(suspect.next(), member);
        self.suspects.insert(member, suspect);
    }

    /// The suspect is accused again. Returns true if that counts as a confirmation.
    pub fn confirm(&mut self, member: MemberIndex, accuser: &str) -> bool {
        self.change(member, |suspect| suspect.suspicion.confirm(accuser))
    }

    /// A probe of the member was answered. If the member is a suspect, the answer may put off its
    /// verdict.
    pub fn on_answer(&mut self, member: MemberIndex) {
        self.change(member, |suspect| suspect.final_probes.answered());
    }

    /// The member is no longer suspect.
    pub fn clear(&mut self, member: MemberIndex) {
        if let Some(suspect) = self.suspects.remove(&member) {
            self.deadlines.remove(suspect.next(), member);
        }
    }

    /// Returns the suspicion of a member; `None` if it is not a suspect.
    pub fn get(&self, member: MemberIndex) -> Option<&Suspicion> {
        Some(&self.suspects.get(&member)?.suspicion)
    }

    /// Returns the next step that is due, and the suspect that it is about. If this node has left,
    /// the only steps are verdicts, each at the end of the suspicion itself.
    pub fn next_due(&mut self, ctx: &Context) -> Option<(MemberIndex, SuspectStep)> {
        loop {
            let member = self.deadlines.take_due(ctx.now)?;
            let Some(suspect) = self.suspects.get_mut(&member) else {
                continue;
            };
            if ctx.local.left {
                suspect.final_probes.stop();
                if ctx.now < suspect.next() {
                    self.deadlines.insert(suspect.next(), member);
                    continue;
                }
            }
            let step = suspect.step(ctx.now);
            if step != SuspectStep::Verdict {
                self.deadlines.insert(suspect.next(), member);
            }
            return Some((member, step));
        }
    }

    pub fn next_timeout(&self) -> Option<Time> {
        self.deadlines.next()
    }

    /// This process did not run for `by`: suspects get that much more time.
    pub fn postpone(&mut self, by: Duration) {
        self.deadlines.postpone(by);
        for suspect in self.suspects.values_mut() {
            suspect.suspicion.postpone(by);
        }
    }

    /// Changes a suspect. If `change` returns true, the time of the next step has moved and is
    /// updated here.
    fn change(&mut self, member: MemberIndex, change: impl FnOnce(&mut Suspect) -> bool) -> bool {
        let Some(suspect) = self.suspects.get_mut(&member) else {
            return false;
        };
        let before = suspect.next();
        let changed = change(suspect);
        if changed {
            self.deadlines.remove(before, member);
            self.deadlines.insert(suspect.next(), member);
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swim::Config;

    fn suspect(config: &Config, nodes: usize) -> Suspect {
        Suspect {
            suspicion: Suspicion::new(config, nodes, "a".into(), Time::ZERO),
            final_probes: FinalProbes::new(config),
        }
    }

    /// Returns the steps until the verdict, each with its time in milliseconds. The suspect answers
    /// the probes before `answer_until`.
    fn steps(suspect: &mut Suspect, answer_until: u128) -> Vec<(u128, SuspectStep)> {
        let mut steps = Vec::new();
        loop {
            let at = suspect.next();
            let (ms, step) = (at.since(Time::ZERO).as_millis(), suspect.step(at));
            steps.push((ms, step));
            if step == SuspectStep::Verdict {
                return steps;
            }
            if ms < answer_until && matches!(step, SuspectStep::Probe { .. }) {
                suspect.final_probes.answered();
            }
        }
    }

    #[test]
    fn a_suspect_that_answers_no_final_probe_gets_its_verdict_as_early_as_without_them() {
        let probe = |first| SuspectStep::Probe { first };
        assert_eq!(
            steps(&mut suspect(&Config::lan(), 3), 0),
            [
                (1000, probe(true)),
                (1500, probe(false)),
                (2000, probe(false)),
                (2500, probe(false)),
                (3000, probe(false)),
                (3500, probe(false)),
                (4000, SuspectStep::Verdict)
            ]
        );
        let plain = Config::lan().plain();
        let mut plain = suspect(&plain, 3);
        assert_eq!(steps(&mut plain, 0), [(4000, SuspectStep::Verdict)]);
    }

    #[test]
    fn a_suspect_that_answers_gets_three_reprieves_and_then_its_verdict() {
        let probe = |first| SuspectStep::Probe { first };
        assert_eq!(
            steps(&mut suspect(&Config::lan(), 3), u128::MAX),
            [
                (1000, probe(true)),
                (4000, SuspectStep::Pull),
                (4500, probe(false)),
                (7500, SuspectStep::Pull),
                (8000, probe(false)),
                (11_000, SuspectStep::Pull),
                (11_500, probe(false)),
                (14_500, SuspectStep::Verdict)
            ]
        );
        let heard = steps(&mut suspect(&Config::lan(), 3), 1001);
        assert_eq!(heard.last(), Some(&(7500, SuspectStep::Verdict)));
    }

    #[test]
    fn confirmations_that_come_late_leave_time_for_two_final_probes() {
        let mut s = suspect(&Config::lan(), 10);
        let late = Time::ZERO + Duration::from_secs(9);
        assert!(s.suspicion.confirm("b") && s.suspicion.confirm("c"));
        assert_eq!(s.step(late), SuspectStep::Probe { first: true });
        let rest: Vec<_> = steps(&mut s, 0);
        assert_eq!(
            rest,
            [
                (9500, SuspectStep::Probe { first: false }),
                (10_000, SuspectStep::Verdict)
            ]
        );
    }
}
