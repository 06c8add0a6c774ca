//! The local health score (Lifeguard, "Local Health Aware Probe").
//!
//! A node that gets no answers may itself be the one that is slow. The score rises when probes
//! fail or when the node has to refute, falls when answers come, and stretches the node's own
//! probe deadlines by `score + 1`, so that a struggling node accuses later.

use std::time::Duration;

/// The score: 0 is healthy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Awareness {
    score: u32,
    max: u32,
}

impl Awareness {
    /// A healthy score; `limit` is its upper end, exclusive (AwarenessMaxMultiplier).
    pub fn new(limit: u32) -> Awareness {
        Awareness {
            score: 0,
            max: limit.max(1) - 1,
        }
    }

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

    /// `duration` stretched by the score.
    pub fn stretch(self, duration: Duration) -> Duration {
        duration * (self.score + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_stays_between_zero_and_its_limit() {
        let mut awareness = Awareness::new(8);
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
}
