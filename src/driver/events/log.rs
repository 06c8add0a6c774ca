//! Lines for a log: what a person would want to know, as events, bounded in number.
//!
//! Nothing is ever printed. Refusals are read from the counters in passing, told when they first
//! occur and then at most once a minute each.

use crate::driver::events::subscriptions::Feed;
use crate::event::{EventBody, Level};
use crate::serf::Core;
use crate::time::Time;
use std::collections::HashMap;
use std::time::Duration;

/// Between two looks at the counters.
const LOOK: Duration = Duration::from_secs(1);
/// Between two lines about the same counter.
const REPEAT: Duration = Duration::from_secs(60);
/// Lines of one second beyond which the rest is dropped.
const RATE: u32 = 50;

/// What was told about one counter.
struct Told {
    value: u64,
    at: Time,
}

/// Writes lines while a log is wanted.
pub(in crate::driver) struct Log {
    /// Lines up to this level are wanted.
    level: Option<Level>,
    looked: Time,
    told: HashMap<&'static str, Told>,
    /// Since when nobody has been told that seeds are silent.
    waiting: Time,
    /// Lines since the last look.
    lines: u32,
}

impl Log {
    pub fn new(level: Option<Level>, now: Time) -> Log {
        Log {
            level,
            looked: now,
            told: HashMap::new(),
            waiting: now,
            lines: 0,
        }
    }

    /// A line, if this level is wanted.
    pub fn line(
        &mut self,
        feed: &Feed,
        level: Level,
        target: &'static str,
        text: impl FnOnce() -> String,
    ) {
        // What is less important leaves room for the rest.
        let rate = if level == Level::Debug {
            RATE / 2
        } else {
            RATE
        };
        if Some(level) > self.level || self.lines >= rate {
            return;
        }
        self.lines += 1;
        feed.push(EventBody::Log {
            level,
            target,
            text: text(),
        });
    }

    /// A warning.
    pub fn warn(&mut self, feed: &Feed, target: &'static str, text: String) {
        self.line(feed, Level::Warn, target, || text);
    }

    /// Looks at the counters, now and then.
    pub fn look(&mut self, feed: &Feed, core: &Core, now: Time) {
        if now.since(self.looked) < LOOK {
            return;
        }
        self.looked = now;
        self.lines = 0;
        if self.level < Some(Level::Warn) {
            return;
        }
        if !core.is_waiting_for_seeds() {
            self.waiting = now;
        } else if now.since(self.waiting) >= REPEAT {
            self.waiting = now;
            let text = "no seed has answered for a minute; they are asked again and again";
            self.warn(feed, "join", text.to_owned());
        }
        for (name, value, help) in core.stats() {
            if is_notable(name)
                && let Some(more) = self.grown(name, value, now)
            {
                self.warn(feed, "wire", format!("{name} +{more}: {help}"));
            }
        }
    }

    /// By how much a counter has grown since it was last told, if that is to be told now.
    fn grown(&mut self, name: &'static str, value: u64, now: Time) -> Option<u64> {
        if value == 0 {
            return None;
        }
        let Some(told) = self.told.get_mut(name) else {
            self.told.insert(name, Told { value, at: now });
            return Some(value);
        };
        if value <= told.value || now.since(told.at) < REPEAT {
            return None;
        }
        let more = value - told.value;
        *told = Told { value, at: now };
        Some(more)
    }
}

/// Counters whose growth a person should hear of.
fn is_notable(name: &str) -> bool {
    name.starts_with("refused_") || name.starts_with("conflicts") || name == "ltimes_refused"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::events::queue::Events;
    use crate::driver::events::subscriptions::Feed;

    #[test]
    fn a_line_of_a_level_that_is_off_is_not_even_made_and_debug_leaves_room_for_trouble() {
        let events = Feed::new(Events::new(16, Vec::new(), true).unwrap());
        let mut log = Log::new(Some(Level::Info), Time::ZERO);
        let made = || -> String { panic!("made although debug is off") };
        log.line(&events, Level::Debug, "x", made);
        let mut log = Log::new(Some(Level::Debug), Time::ZERO);
        for _ in 0..1000 {
            log.line(&events, Level::Debug, "x", || "often".to_owned());
        }
        log.line(&events, Level::Error, "x", || "trouble".to_owned());
        assert_eq!(events.waiting(), RATE as usize / 2 + 1);
    }

    #[test]
    fn seeds_that_stay_silent_are_told_once_a_minute() {
        let events = Feed::new(Events::new(16, Vec::new(), true).unwrap());
        let addr = "127.0.0.1:1".parse().unwrap();
        let start = Time::from_nanos(1);
        let (config, codec) = (
            crate::serf::Config::default(),
            crate::wire::Codec::default(),
        );
        let core = Core::new(config, codec, "x".into(), addr, [0; 32], start);
        let mut core = core.unwrap();
        let mut log = Log::new(Some(Level::Warn), start);
        let mut told_after = |core: &Core, seconds| {
            let before = events.waiting();
            log.look(&events, core, start + Duration::from_secs(seconds));
            events.waiting() - before
        };
        assert_eq!(told_after(&core, 61), 0, "nobody is missed");
        let seed = crate::swim::Seed::Host("seed".to_owned(), 7946);
        core.join(start, &[crate::swim::Seed::Addr(addr)]);
        assert_eq!(told_after(&core, 130), 0, "it is its own seed");
        core.join(start, &[seed]);
        let told = [131, 189, 190, 191, 250].map(|at| told_after(&core, at));
        assert_eq!(told, [0, 0, 1, 0, 1]);
        let summary = core.health(start).summary;
        assert_eq!(summary, "alone: no seed answers");
    }

    #[test]
    fn a_counter_is_told_at_first_and_then_once_a_minute() {
        let start = Time::from_nanos(1);
        let mut log = Log::new(Some(Level::Warn), start);
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        assert_eq!(log.grown("x", 0, at(0)), None);
        assert_eq!(log.grown("x", 3, at(1)), Some(3));
        assert_eq!(log.grown("x", 4, at(2)), None);
        assert_eq!(log.grown("x", 9, at(61)), Some(6));
        assert_eq!(log.grown("x", 9, at(200)), None);
        assert_eq!(log.grown("y", 1, at(200)), Some(1));
    }
}
