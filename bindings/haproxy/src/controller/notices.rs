//! The log lines about conditions that an operator should know. Each line is logged once while its
//! condition lasts, and at most [`PER_MINUTE`] lines are logged in a minute: names and tags come
//! from the network and may change all the time.

use sprat::time::Time;
use std::collections::BTreeSet;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
/// The maximum number of lines in a minute.
const PER_MINUTE: usize = 60;
/// The line that stands for all further ones.
const MORE: &str = "no more notices are logged in this minute; `show sprat` lists all of them";

/// See the top of this file.
#[derive(Default)]
pub(super) struct Notices {
    /// The conditions of the last round.
    before: BTreeSet<String>,
    minute_began: Time,
    logged: usize,
}

impl Notices {
    /// Returns the lines to log for the conditions of this round.
    pub fn update(&mut self, now: Time, conditions: BTreeSet<String>) -> Vec<String> {
        if now.since(self.minute_began) >= MINUTE {
            (self.minute_began, self.logged) = (now, 0);
        }
        let mut lines = Vec::new();
        for text in conditions.difference(&self.before) {
            self.logged += 1;
            match self.logged {
                1..=PER_MINUTE => lines.push(text.clone()),
                logged if logged == PER_MINUTE + 1 => lines.push(MORE.to_owned()),
                _ => {}
            }
        }
        self.before = conditions;
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_nanos(seconds * 1_000_000_000)
    }

    fn conditions(texts: &[&str]) -> BTreeSet<String> {
        texts.iter().map(|it| (*it).to_owned()).collect()
    }

    #[test]
    fn a_condition_is_logged_once_and_again_when_it_returns() {
        let mut notices = Notices::default();
        assert_eq!(notices.update(at(100), conditions(&["a"])), ["a"]);
        assert_eq!(notices.update(at(101), conditions(&["a", "b"])), ["b"]);
        assert!(notices.update(at(102), conditions(&["b"])).is_empty());
        assert_eq!(notices.update(at(103), conditions(&["a", "b"])), ["a"]);
    }

    #[test]
    fn a_member_that_changes_all_the_time_does_not_fill_a_log() {
        let mut notices = Notices::default();
        let mut flood = |second: u64| {
            let each = |n: u64| notices.update(at(second), conditions(&[&format!("{second} {n}")]));
            (0..1_000).flat_map(each).collect::<Vec<_>>()
        };
        let first = flood(100);
        assert_eq!(first.len(), PER_MINUTE + 1);
        assert_eq!(first.last().unwrap(), MORE);
        assert!(flood(130).is_empty());
        assert_eq!(flood(160).len(), PER_MINUTE + 1);
    }
}
