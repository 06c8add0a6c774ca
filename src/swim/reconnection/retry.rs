//! The times at which a seed or a lost member is asked again, with pauses that grow.

use crate::swim::Config;
use crate::swim::rng::Random;
use crate::time::Time;
use std::time::Duration;

/// The next attempt at one node.
#[derive(Clone, Copy, Debug)]
pub(in crate::swim) struct Retry {
    pub next: Time,
    pause: Duration,
}

impl Retry {
    /// Sets the first attempt: after the shortest pause and a random time that is at most as long.
    pub fn new(config: &Config, now: Time, random: &mut Random) -> Retry {
        let pause = config.reconnect_min;
        let next = now + pause + random.within(pause);
        Retry { next, pause }
    }

    /// Sets the time of the next attempt: after the pause and a random time of at most half the
    /// pause.
    pub fn put_off(&mut self, now: Time, random: &mut Random) {
        self.next = now + self.pause + random.within(self.pause / 2);
    }

    /// Doubles the pause, up to `reconnect_max`.
    pub fn slow_down(&mut self, config: &Config) {
        self.pause = (self.pause * 2).min(config.reconnect_max);
    }

    /// Waits for the longest pause. The node answered, so either it is a member now, or asking it
    /// more often will not make it one.
    pub fn wait_longest(&mut self, config: &Config, now: Time) {
        self.pause = config.reconnect_max;
        self.next = now + self.pause;
    }
}
