//! What is wrong is told once, as long as it is so, to who reads no reports. Names and tags come
//! from the network, and may change all the time: so not more than so much is told in a minute.

use sprat::time::Time;
use std::collections::BTreeSet;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
/// Sentences in a minute.
const PER_MINUTE: usize = 60;
/// The one after them.
const MORE: &str = "more is wrong than is told here: the list of members has all of it";

/// See the head of this file.
#[derive(Default)]
pub(super) struct Notices {
    /// What was wrong at the last look.
    before: BTreeSet<String>,
    began: Time,
    told: usize,
}

impl Notices {
    /// Of what is wrong now, what has to be told.
    pub fn news(&mut self, now: Time, wrong: BTreeSet<String>) -> Vec<String> {
        if now.since(self.began) >= MINUTE {
            (self.began, self.told) = (now, 0);
        }
        let mut news = Vec::new();
        for text in wrong.difference(&self.before) {
            self.told += 1;
            match self.told {
                1..=PER_MINUTE => news.push(text.clone()),
                told if told == PER_MINUTE + 1 => news.push(MORE.to_owned()),
                _ => {}
            }
        }
        self.before = wrong;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_nanos(seconds * 1_000_000_000)
    }

    fn wrong(texts: &[&str]) -> BTreeSet<String> {
        texts.iter().map(|it| (*it).to_owned()).collect()
    }

    #[test]
    fn each_is_told_once_and_again_when_it_has_been_well_in_between() {
        let mut notices = Notices::default();
        assert_eq!(notices.news(at(100), wrong(&["a"])), ["a"]);
        assert_eq!(notices.news(at(101), wrong(&["a", "b"])), ["b"]);
        assert!(notices.news(at(102), wrong(&["b"])).is_empty());
        assert_eq!(notices.news(at(103), wrong(&["a", "b"])), ["a"]);
    }

    #[test]
    fn a_member_that_changes_all_the_time_does_not_fill_a_log() {
        let mut notices = Notices::default();
        let mut flood = |second: u64| {
            let each = |n: u64| notices.news(at(second), wrong(&[&format!("{second} {n}")]));
            (0..1_000).flat_map(each).collect::<Vec<_>>()
        };
        let first = flood(100);
        assert_eq!(first.len(), PER_MINUTE + 1);
        assert_eq!(first.last().unwrap(), MORE);
        assert!(flood(130).is_empty());
        assert_eq!(flood(160).len(), PER_MINUTE + 1);
    }
}
