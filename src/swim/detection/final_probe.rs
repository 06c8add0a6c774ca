//! The final probes of a suspect, before it is declared dead. memberlist has no such probes.
//!
//! ```text
//!  suspected . . . . . . . . . . . . probe - probe - probe - verdict
//!                                       any answer? pull its state, and probe again
//! ```
//!
//! In memberlist, a refutation travels by gossip alone, and gossip misses members: under loss, a
//! single observer sometimes never receives it. memberlist then declares dead a node that answers
//! every ping. A final probe carries the accusation in front of a ping: a live suspect refutes, and
//! its answer brings the refutation along. A suspect that answers and still has not refuted gets a
//! reprieve: its state is pulled over a stream before it is probed again, at most three times.
//!
//! The verdict on a dead node comes at the same time as without final probes, with one exception:
//! if late confirmations end the wait immediately, the verdict still waits for two final probes. On
//! the wire, final probes are ordinary pings, accusations and push/pulls.

use crate::swim::Config;
use crate::time::Time;
use std::time::Duration;

/// The number of probes before a verdict on a suspect that does not answer. At 30 % loss, a suspect
/// that is alive answers half of them.
pub(in crate::swim) const FINAL_PROBES: u32 = 6;
/// The number of probes that the verdict waits for even if late confirmations end the wait
/// immediately.
const LATE: u32 = 2;
/// The number of times that a verdict is put off because the suspect answered.
const REPRIEVES: u32 = 3;

/// The next step for a suspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::swim) enum SuspectStep {
    /// Probe it. The first probe also uses a stream.
    Probe { first: bool },
    /// Pull its state, because it answers.
    Pull,
    /// Declare it dead: its time is up.
    Verdict,
}

/// The final probes of one suspect: the number still to come, and whether one was answered.
#[derive(Clone, Debug)]
pub(in crate::swim) struct FinalProbes {
    /// The time between two probes.
    interval: Duration,
    /// The number of probes still to come.
    left: u32,
    begun: bool,
    answered: bool,
    reprieves: u32,
}

impl FinalProbes {
    pub fn new(config: &Config) -> FinalProbes {
        FinalProbes {
            interval: config.probe_timeout,
            left: if config.final_probe { FINAL_PROBES } else { 0 },
            begun: false,
            answered: false,
            reprieves: REPRIEVES,
        }
    }

    /// The time of the next step before a verdict at `deadline`.
    pub fn next(&self, deadline: Time) -> Time {
        deadline - self.interval * self.left
    }

    /// Takes the step that is due, and may move the deadline. If the times of several probes have
    /// passed, one probe stands for all of them.
    pub fn step(&mut self, now: Time, deadline: &mut Time) -> SuspectStep {
        if self.left > 0 {
            let first = !std::mem::replace(&mut self.begun, true);
            if first {
                self.answered = false;
                *deadline = (*deadline).max(now + self.interval * LATE);
            }
            while self.left > 0 && self.next(*deadline) <= now {
                self.left -= 1;
            }
            return SuspectStep::Probe { first };
        }
        if self.answered && self.reprieves > 0 {
            self.reprieves -= 1;
            self.answered = false;
            self.left = FINAL_PROBES;
            *deadline = (*deadline).max(now + self.interval * (FINAL_PROBES + 1));
            return SuspectStep::Pull;
        }
        SuspectStep::Verdict
    }

    /// The suspect answered a probe. Returns true if that cancels the final probes still to come.
    pub fn answered(&mut self) -> bool {
        self.answered = true;
        self.begun && std::mem::take(&mut self.left) > 0
    }

    /// Ends the final probes: only the verdict is left.
    pub fn stop(&mut self) {
        self.left = 0;
        self.reprieves = 0;
    }
}
