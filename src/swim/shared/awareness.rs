//! The health of this node itself: the local health score, and the transports that get answers.
//!
//! A node that gets no answers may itself be the one that is slow (Lifeguard, "Local Health Aware
//! Probe"). The score rises when regular probes fail or when the node has to refute, and falls when
//! probes are answered. The deadlines of the node's regular probes are multiplied by `score + 1`,
//! so that a struggling node accuses later.

use crate::time::Time;
use std::time::Duration;

/// The number of consecutive unanswered attempts after which a transport counts as broken.
const BROKEN_AFTER: u32 = 3;

/// The health of this node, as the node itself measures it.
#[derive(Clone, Copy, Debug)]
pub(in crate::swim) struct Awareness {
    /// 0 is healthy.
    score: u32,
    max: u32,
    /// The number of regular probes that have ended without an ack since a direct ping was last
    /// answered.
    unanswered_pings: u32,
    /// The number of consecutive streams that failed although the member at the other end is alive.
    failed_streams: u32,
    /// The time at which a message from any other node last arrived.
    last_heard: Time,
}

impl Awareness {
    /// Creates the `Awareness` of a healthy node. The score stays below `limit` (memberlist's
    /// AwarenessMaxMultiplier).
    pub fn new(limit: u32, now: Time) -> Awareness {
        Awareness {
            score: 0,
            max: limit.max(1) - 1,
            unanswered_pings: 0,
            failed_streams: 0,
            last_heard: now,
        }
    }

    /// The score; 0 is healthy.
    pub fn score(self) -> u32 {
        self.score
    }

    /// The highest score that can be reached.
    pub fn max(self) -> u32 {
        self.max
    }

    pub fn improve(&mut self) {
        self.score = self.score.saturating_sub(1);
    }

    pub fn worsen(&mut self, by: u32) {
        self.score = self.score.saturating_add(by).min(self.max);
    }

    /// Returns `duration` multiplied by `score + 1`.
    pub fn stretch(self, duration: Duration) -> Duration {
        duration * (self.score + 1)
    }

    pub fn ping_answered(&mut self) {
        self.unanswered_pings = 0;
    }

    pub fn ping_unanswered(&mut self) {
        self.unanswered_pings = self.unanswered_pings.saturating_add(1);
    }

    pub fn stream_worked(&mut self) {
        self.failed_streams = 0;
    }

    pub fn stream_failed(&mut self) {
        self.failed_streams = self.failed_streams.saturating_add(1);
    }

    /// A message of another node arrived.
    pub fn heard(&mut self, now: Time) {
        self.last_heard = now;
    }

    /// Returns true if datagrams get answers.
    pub fn datagrams_work(self) -> bool {
        self.unanswered_pings < BROKEN_AFTER
    }

    /// Returns true if streams get answers.
    pub fn streams_work(self) -> bool {
        self.failed_streams < BROKEN_AFTER
    }

    /// Returns the time since a message from any other node last arrived.
    pub fn silence(self, now: Time) -> Duration {
        now.since(self.last_heard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_stays_between_zero_and_its_limit() {
        let mut awareness = Awareness::new(8, Time::ZERO);
        awareness.improve();
        assert_eq!(awareness.score(), 0);
        awareness.worsen(3);
        assert_eq!(
            awareness.stretch(Duration::from_secs(1)),
            Duration::from_secs(4)
        );
        awareness.worsen(100);
        assert_eq!((awareness.score(), awareness.max()), (7, 7));
    }

    #[test]
    fn three_failures_in_a_row_break_a_transport_and_one_answer_mends_it() {
        let mut awareness = Awareness::new(8, Time::ZERO);
        for _ in 0..2 {
            awareness.ping_unanswered();
            awareness.stream_failed();
        }
        assert!(awareness.datagrams_work() && awareness.streams_work());
        awareness.ping_unanswered();
        awareness.stream_failed();
        assert!(!awareness.datagrams_work() && !awareness.streams_work());
        awareness.ping_answered();
        awareness.stream_worked();
        assert!(awareness.datagrams_work() && awareness.streams_work());
    }
}
