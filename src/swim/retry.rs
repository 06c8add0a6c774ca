//! When a seed or a lost member is asked again: after pauses that grow.

use super::Config;
use super::rng::Random;
use crate::time::Time;
use std::time::Duration;

/// The next attempt at one node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retry {
    pub next: Time,
    pause: Duration,
}

impl Retry {
    /// The first attempt, after the shortest pause up to twice that pause.
    pub fn new(config: &Config, now: Time, random: &mut Random) -> Retry {
        let pause = config.reconnect_min;
        let next = now + pause + random.within(pause);
        Retry { next, pause }
    }

    /// Sets the time of the next attempt: after the pause and up to half as much again.
    pub fn put_off(&mut self, now: Time, random: &mut Random) {
        self.next = now + self.pause + random.within(self.pause / 2);
    }

    /// Doubles the pause.
    pub fn slow_down(&mut self, config: &Config) {
        self.pause = (self.pause * 2).min(config.reconnect_max);
    }

    /// Waits for the longest pause: the node answered, so it is a member now, or will not become
    /// one by being asked more often.
    pub fn rest(&mut self, config: &Config, now: Time) {
        self.pause = config.reconnect_max;
        self.next = now + self.pause;
    }
}
