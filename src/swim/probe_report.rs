//! The report of a probe: the ways in which the member was probed, and the answer to each.

use crate::time::Time;
use std::sync::Arc;
use std::time::Duration;

pub use crate::vocabulary::ProbeAnswer;

/// The last probe of a member by this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeReport {
    /// The time since the probe began.
    pub ago: Duration,
    /// The direct ping.
    pub direct: ProbeAnswer,
    /// The stream ping.
    pub stream: ProbeAnswer,
    /// Each helper that was asked, and its answer.
    pub helpers: Vec<HelperReport>,
    /// The round-trip time of the last answer to a direct ping, possibly of an earlier probe;
    /// `None` if there was no such answer.
    pub rtt: Option<Duration>,
}

/// A helper that was asked to probe the member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelperReport {
    /// The name of the helper.
    pub name: Arc<str>,
    /// Its answer.
    pub answer: ProbeAnswer,
}

impl ProbeReport {
    /// Returns the report of a probe whose direct ping has just been sent.
    pub(super) fn begun() -> ProbeReport {
        ProbeReport {
            ago: Duration::ZERO,
            direct: ProbeAnswer::Waiting,
            stream: ProbeAnswer::NotAsked,
            helpers: Vec::new(),
            rtt: None,
        }
    }

    /// Ends the report: no answer is awaited any more. If `direct_had_time` is true, a direct ping
    /// without an answer counts as silent. If `answered` is true, the member has answered in some
    /// way, so helpers and stream do not count as silent: they had no time to reply.
    pub(super) fn end(&mut self, direct_had_time: bool, answered: bool) {
        let over = |silent| {
            if silent {
                ProbeAnswer::Silent
            } else {
                ProbeAnswer::NotAsked
            }
        };
        if self.direct == ProbeAnswer::Waiting {
            self.direct = over(direct_had_time);
        }
        let helpers = self.helpers.iter_mut().map(|helper| &mut helper.answer);
        for answer in helpers.chain([&mut self.stream]) {
            if *answer == ProbeAnswer::Waiting {
                *answer = over(!answered);
            }
        }
    }
}

/// A report as the member table keeps it: with the time of the probe instead of its age.
#[derive(Clone, Debug)]
pub(super) struct LastProbe {
    pub began: Time,
    pub report: ProbeReport,
}

impl LastProbe {
    /// Returns the report with the age of the probe.
    pub fn at(&self, now: Time) -> ProbeReport {
        ProbeReport {
            ago: now.since(self.began),
            ..self.report.clone()
        }
    }
}
