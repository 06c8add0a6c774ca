//! The lines for the log: conditions that an operator should know of, changes of servers, and what
//! the node logs.
//!
//! The line of a condition is logged once while the condition lasts. In a minute at most
//! [`PER_MINUTE`] lines about conditions are logged, as many about changes, and as many of the
//! node: names and tags come from the network and may change all the time.
//!
//! | level | lines |
//! | --- | --- |
//! | info | each change of a server |
//! | warning | mistakes of members, more members than slots, servers that someone else changed |
//! | warning | the warnings and errors of the node |
//! | alert | frozen removals, a node that is alone, another node with the same name |

use sprat::EventBody;
use sprat::driver::Subscription;
use sprat::time::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
/// The maximum number of lines about conditions, and of lines about changes, in a minute.
const PER_MINUTE: usize = 120;
/// The text of the line that replaces all further lines of the minute.
const MORE: &str = "no more lines like this are logged in this minute; `show sprat` shows the rest";

/// The level of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A change of a server.
    Info,
    /// A mistake that someone should correct.
    Warning,
    /// A condition in which servers may be wrong.
    Alert,
}

impl Level {
    /// Returns the name of HAProxy's function for Lua that logs at this level.
    pub fn name(self) -> &'static str {
        match self {
            Level::Info => "Info",
            Level::Warning => "Warning",
            Level::Alert => "Alert",
        }
    }
}

/// A line for the log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Notice {
    /// Its level.
    pub level: Level,
    /// Its text.
    pub text: String,
}

impl Notice {
    pub(super) fn new(level: Level, text: String) -> Notice {
        Notice { level, text }
    }
}

/// Takes the lines that the node has logged since the last call.
pub(super) fn of_node(log: &Subscription) -> Vec<Notice> {
    let events = log.drain(usize::MAX).unwrap_or_default().into_iter();
    let lines = events.filter_map(|event| match event.body {
        EventBody::Log {
            level,
            target,
            text,
        } => {
            let is_problem = matches!(level, sprat::Level::Error | sprat::Level::Warn);
            let level = if is_problem {
                Level::Warning
            } else {
                Level::Info
            };
            Some(Notice::new(level, format!("node: {target}: {text}")))
        }
        _ => None,
    });
    lines.collect()
}

/// The conditions of a round, by a key that stays the same while the condition lasts. The value is
/// the line that is logged when the condition begins.
pub(super) type Conditions = BTreeMap<String, Notice>;

/// The conditions that were logged, and the numbers of lines that may still be logged.
#[derive(Default)]
pub(super) struct Notices {
    /// The keys of the conditions of the last round.
    before: BTreeSet<String>,
    conditions: Quota,
    changes: Quota,
    of_node: Quota,
}

impl Notices {
    /// Returns the lines to log: for conditions that have begun since the last round, for changes,
    /// and those of the node.
    pub fn update(
        &mut self,
        now: Time,
        conditions: Conditions,
        changes: Vec<Notice>,
        of_node: Vec<Notice>,
    ) -> Vec<Notice> {
        let is_new = |(key, _): &(&String, &Notice)| !self.before.contains(*key);
        let begun: Vec<Notice> = conditions
            .iter()
            .filter(is_new)
            .map(|it| it.1.clone())
            .collect();
        self.before = conditions.into_keys().collect();
        let mut lines = self.conditions.take(now, begun);
        lines.extend(self.changes.take(now, changes));
        lines.extend(self.of_node.take(now, of_node));
        lines
    }
}

/// Limits the lines of one kind: those about conditions, or those about changes.
#[derive(Default)]
struct Quota {
    minute_began: Time,
    logged: usize,
}

impl Quota {
    fn take(&mut self, now: Time, lines: Vec<Notice>) -> Vec<Notice> {
        if now.since(self.minute_began) >= MINUTE {
            (self.minute_began, self.logged) = (now, 0);
        }
        let mut taken = Vec::new();
        for line in lines {
            self.logged += 1;
            match self.logged {
                1..=PER_MINUTE => taken.push(line),
                logged if logged == PER_MINUTE + 1 => {
                    taken.push(Notice::new(line.level, MORE.to_owned()));
                }
                _ => {}
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_nanos(seconds * 1_000_000_000)
    }

    fn conditions(texts: &[&str]) -> Conditions {
        let of = |it: &&str| {
            (
                (*it).to_owned(),
                Notice::new(Level::Warning, (*it).to_owned()),
            )
        };
        texts.iter().map(of).collect()
    }

    fn texts(notices: Vec<Notice>) -> Vec<String> {
        notices.into_iter().map(|it| it.text).collect()
    }

    #[test]
    fn a_condition_is_logged_once_and_again_when_it_returns() {
        let mut notices = Notices::default();
        let mut update = |second, it: &[&str]| {
            texts(notices.update(at(second), conditions(it), Vec::new(), Vec::new()))
        };
        assert_eq!(update(100, &["a"]), ["a"]);
        assert_eq!(update(101, &["a", "b"]), ["b"]);
        assert!(update(102, &["b"]).is_empty());
        assert_eq!(update(103, &["a", "b"]), ["a"]);
    }

    #[test]
    fn a_condition_whose_text_changes_is_not_logged_again() {
        let mut notices = Notices::default();
        for (members, lines) in [(3, 1), (4, 0)] {
            let text = format!("{members} members wait");
            let one = Conditions::from([("full".to_owned(), Notice::new(Level::Warning, text))]);
            assert_eq!(
                notices.update(at(100), one, Vec::new(), Vec::new()).len(),
                lines
            );
        }
    }

    #[test]
    fn a_member_that_changes_all_the_time_does_not_fill_a_log() {
        let mut notices = Notices::default();
        let mut flood = |second: u64| {
            let each = |n: u64| {
                let one = conditions(&[&format!("{second} {n}")]);
                notices.update(at(second), one, Vec::new(), Vec::new())
            };
            texts((0..1_000).flat_map(each).collect())
        };
        let first = flood(100);
        assert_eq!(first.len(), PER_MINUTE + 1);
        assert_eq!(first.last().unwrap(), MORE);
        assert!(flood(130).is_empty());
        assert_eq!(flood(160).len(), PER_MINUTE + 1);
    }

    #[test]
    fn changes_of_servers_do_not_use_up_the_lines_of_conditions() {
        let mut notices = Notices::default();
        let change = Notice::new(Level::Info, "a server is ready".to_owned());
        let changes = vec![change; 1_000];
        let lines = notices.update(at(100), conditions(&["a"]), changes, Vec::new());
        assert_eq!(lines.len(), 1 + PER_MINUTE + 1);
    }
}
