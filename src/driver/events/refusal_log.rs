//! Chooses which sources of refused input the log names, so that neither one source nor many
//! sources can fill the log.
//!
//! A pair of reason and source is logged when it first occurs, and then at most once a minute with
//! the number of refusals since. For each reason, only a few members and a few strangers are named
//! in one minute: addresses can be forged, and strangers must not crowd out the members. The
//! refusals of all other sources only appear in the line about their counter.

use crate::service::Fault;
use crate::swim::{Source, SourceCount};
use crate::time::Time;
use crate::wire::Refusal;
use std::collections::BTreeMap;
use std::time::Duration;

/// The minimum time between two lines of the log about the same source, counter or condition.
pub(super) const REPEAT: Duration = Duration::from_secs(60);
/// The maximum number of members, and of strangers, that are named in one minute for one reason.
const NAMED_MAX: usize = 4;

/// The reason for a refusal by the core or by a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reason {
    /// The name of the counter that counts the refusal.
    pub counter: &'static str,
    /// The meaning, and the advice for an operator.
    pub fault: Fault,
}

impl From<Refusal> for Reason {
    fn from(why: Refusal) -> Reason {
        Reason {
            counter: why.counter(),
            fault: Fault {
                help: why.help(),
                advice: why.advice(),
            },
        }
    }
}

/// A source that the log has named.
struct Named {
    why: Reason,
    source: Source,
    /// True if members lived at its address when it was first named.
    is_member: bool,
    /// The time of its last line; zero before the first line.
    at: Time,
    /// The number of refusals since its last line.
    count: u64,
}

/// The sources that the log has named within the last minute.
pub(super) struct RefusalLog {
    named: Vec<Named>,
    /// For each counter, the number of refusals whose sources were named.
    attributed: BTreeMap<&'static str, u64>,
}

impl RefusalLog {
    pub fn new() -> RefusalLog {
        RefusalLog {
            named: Vec::new(),
            attributed: BTreeMap::new(),
        }
    }

    /// Adds refusals. `is_member` returns true if members live at the address of the source.
    pub fn add(&mut self, counts: &[SourceCount<Reason>], is_member: impl Fn(&Source) -> bool) {
        for SourceCount { why, source, count } in counts {
            let same = |it: &&mut Named| it.why == *why && it.source.is_same(source);
            if let Some(known) = self.named.iter_mut().find(same) {
                known.source = *source;
                known.count += count;
            } else {
                let is_member = is_member(source);
                let alike = |it: &&Named| it.why == *why && it.is_member == is_member;
                if self.named.iter().filter(alike).count() >= NAMED_MAX {
                    continue;
                }
                self.named.push(Named {
                    why: *why,
                    source: *source,
                    is_member,
                    at: Time::ZERO,
                    count: *count,
                });
            }
            *self.attributed.entry(why.counter).or_default() += count;
        }
    }

    /// Returns the refusals for which a line is due now, and frees the places of the sources that
    /// have been quiet for a minute.
    pub fn take_due(&mut self, now: Time) -> Vec<SourceCount<Reason>> {
        let mut due = Vec::new();
        self.named.retain_mut(|it| {
            let is_due = it.at == Time::ZERO || now.since(it.at) >= REPEAT;
            if !is_due {
                return true;
            }
            if it.count == 0 {
                return false;
            }
            due.push(SourceCount {
                why: it.why,
                source: it.source,
                count: std::mem::take(&mut it.count),
            });
            it.at = now;
            true
        });
        due
    }

    /// Returns the part of a counter whose sources were named.
    pub fn attributed(&self, counter: &str) -> u64 {
        self.attributed.get(counter).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swim::Transport;

    fn refused(host: u8, count: u64) -> SourceCount<Reason> {
        SourceCount {
            why: Refusal::Undecryptable.into(),
            source: Source {
                addr: ([10, 0, 0, host], 7946).into(),
                transport: Transport::Datagram,
            },
            count,
        }
    }

    fn at(seconds: u64) -> Time {
        Time::from_nanos(1) + Duration::from_secs(seconds)
    }

    #[test]
    fn a_source_is_named_at_once_and_then_once_a_minute_with_all_its_refusals() {
        let mut log = RefusalLog::new();
        let mut lines = |counts: &[SourceCount<Reason>], seconds| {
            log.add(counts, |_| true);
            log.take_due(at(seconds))
        };
        assert_eq!(lines(&[refused(1, 3)], 1), [refused(1, 3)]);
        assert_eq!(lines(&[refused(1, 5), refused(2, 1)], 2), [refused(2, 1)]);
        assert_eq!(lines(&[refused(1, 5)], 60), []);
        assert_eq!(lines(&[], 61), [refused(1, 10)]);
        assert_eq!(lines(&[], 200), []);
        assert_eq!(lines(&[refused(1, 1)], 201), [refused(1, 1)]);
    }

    #[test]
    fn strangers_do_not_crowd_out_members_and_the_rest_is_left_to_the_counter() {
        let mut log = RefusalLog::new();
        let is_member = |source: &Source| source.addr.ip().to_string() == "10.0.0.200";
        let strangers: Vec<_> = (1..=100).map(|host| refused(host, 1)).collect();
        log.add(&strangers, is_member);
        log.add(&[refused(200, 7)], is_member);
        let due = log.take_due(at(1));
        assert_eq!(due.len(), NAMED_MAX + 1);
        assert_eq!(due.last(), Some(&refused(200, 7)));
        assert_eq!(
            log.attributed("refused_undecryptable"),
            NAMED_MAX as u64 + 7
        );
        // After a quiet minute, other sources take the places.
        assert_eq!(log.take_due(at(62)), []);
        log.add(&strangers[50..], is_member);
        assert_eq!(log.take_due(at(63)).len(), NAMED_MAX);
    }
}
