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

/// The answers to a probe that is under way. An answer is `None` while there is still time for it.
pub(in crate::swim) struct OpenReport {
    pub direct: Option<ProbeAnswer>,
    pub stream: Option<ProbeAnswer>,
    /// The name and the answer of each helper that was asked.
    pub helpers: Vec<(Arc<str>, Option<ProbeAnswer>)>,
    pub rtt: Option<Duration>,
}

impl OpenReport {
    /// Returns the report of a probe whose direct ping has just been sent.
    pub fn begun() -> OpenReport {
        OpenReport {
            direct: None,
            stream: Some(ProbeAnswer::NotAsked),
            helpers: Vec::new(),
            rtt: None,
        }
    }

    /// Ends the report: no answer is awaited any more. If `direct_had_time` is true, a direct ping
    /// without an answer counts as silent. If `answered` is true, the member has answered in some
    /// way, so helpers and stream do not count as silent: they had no time to reply.
    pub fn end(self, direct_had_time: bool, answered: bool) -> ProbeReport {
        let missing = |had_time| match had_time {
            true => ProbeAnswer::Silent,
            false => ProbeAnswer::NotAsked,
        };
        let other = |answer: Option<ProbeAnswer>| answer.unwrap_or(missing(!answered));
        let helper = |(name, answer)| HelperReport {
            name,
            answer: other(answer),
        };
        ProbeReport {
            ago: Duration::ZERO,
            direct: self.direct.unwrap_or(missing(direct_had_time)),
            stream: other(self.stream),
            helpers: self.helpers.into_iter().map(helper).collect(),
            rtt: self.rtt,
        }
    }
}

/// A report as the member table keeps it: with the time of the probe instead of its age.
#[derive(Clone, Debug)]
pub(in crate::swim) struct LastProbe {
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
