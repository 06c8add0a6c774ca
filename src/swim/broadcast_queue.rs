//! The broadcast queue: rumours, how often each was sent, and which go into the next packet.
//!
//! Order: the least sent first, then the largest that fits, then the newest. News about a subject
//! replaces older news about it. After `mult x ceil(log10(n + 1))` transmissions a rumour has done
//! its work and is dropped.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What each message costs in a compound beside its own bytes.
pub(super) const PART_COST: usize = 2;

/// Where a rumour stands in the order: transmissions, length, age.
type Rank = (u32, Reverse<usize>, Reverse<u64>);

#[derive(Clone, Debug)]
struct Rumour {
    bytes: Arc<[u8]>,
    subject: Option<Arc<str>>,
    token: Option<u64>,
}

/// A queue of rumours.
#[derive(Debug, Default)]
pub(super) struct Queue {
    ranked: BTreeMap<Rank, Rumour>,
    by_subject: HashMap<Arc<str>, Rank>,
    arrivals: u64,
}

impl Queue {
    pub fn len(&self) -> usize {
        self.ranked.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ranked.is_empty()
    }

    /// Is there a rumour about this subject?
    pub fn is_about(&self, subject: &str) -> bool {
        self.by_subject.contains_key(subject)
    }

    /// Queues a rumour. Returns the token of the one about the same subject that it replaced.
    pub fn push(
        &mut self,
        bytes: Arc<[u8]>,
        subject: Option<Arc<str>>,
        token: Option<u64>,
    ) -> Option<u64> {
        let replaced = subject.as_ref().and_then(|it| self.drop_about(it));
        self.arrivals += 1;
        let rank = (0, Reverse(bytes.len()), Reverse(self.arrivals));
        if let Some(subject) = &subject {
            self.by_subject.insert(subject.clone(), rank);
        }
        self.ranked.insert(
            rank,
            Rumour {
                bytes,
                subject,
                token,
            },
        );
        replaced
    }

    /// Drops the rumour about this subject; returns its token.
    pub fn drop_about(&mut self, subject: &str) -> Option<u64> {
        let rank = self.by_subject.remove(subject)?;
        self.ranked.remove(&rank)?.token
    }

    /// Takes messages for one packet with `free` bytes and at most `parts` parts, each counted as
    /// one transmission. Tokens of those that reached `limit` are added to `done`.
    pub fn take(
        &mut self,
        mut free: usize,
        parts: usize,
        limit: u32,
        done: &mut Vec<u64>,
    ) -> Vec<Arc<[u8]>> {
        let mut picked: Vec<(Rank, Rumour)> = Vec::new();
        let mut tier = 0;
        while picked.len() < parts && free > PART_COST {
            let from = (tier, Reverse(free - PART_COST), Reverse(u64::MAX));
            let Some((&rank, _)) = self.ranked.range(from..).next() else {
                break;
            };
            if rank.0 != tier {
                tier = rank.0; // nothing left here that fits: look at the next tier from its top
                continue;
            }
            let Some(rumour) = self.ranked.remove(&rank) else {
                break;
            };
            free -= rumour.bytes.len() + PART_COST;
            picked.push((rank, rumour));
        }
        let mut messages = Vec::with_capacity(picked.len());
        for ((sent, length, age), rumour) in picked {
            messages.push(rumour.bytes.clone());
            self.put_back((sent + 1, length, age), rumour, limit, done);
        }
        messages
    }

    fn put_back(&mut self, rank: Rank, rumour: Rumour, limit: u32, done: &mut Vec<u64>) {
        if rank.0 >= limit {
            done.extend(rumour.token);
            if let Some(subject) = &rumour.subject {
                self.by_subject.remove(subject);
            }
            return;
        }
        if let Some(subject) = &rumour.subject {
            self.by_subject.insert(subject.clone(), rank);
        }
        self.ranked.insert(rank, rumour);
    }

    /// Drops the most sent, smallest rumours until at most `max` remain; returns their tokens.
    pub fn prune(&mut self, max: usize) -> Vec<u64> {
        let mut done = Vec::new();
        while self.ranked.len() > max {
            let Some((_, rumour)) = self.ranked.pop_last() else {
                break;
            };
            done.extend(rumour.token);
            if let Some(subject) = rumour.subject {
                self.by_subject.remove(&subject);
            }
        }
        done
    }
}

/// How often a rumour is sent in a cluster of `nodes`.
pub(super) fn transmit_limit(mult: u32, nodes: usize) -> u32 {
    let digits = nodes.max(1).ilog10() + 1; // the same as ceil(log10(n + 1))
    mult.saturating_mul(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(length: usize, mark: u8) -> Arc<[u8]> {
        vec![mark; length].into()
    }

    fn marks(messages: &[Arc<[u8]>]) -> Vec<u8> {
        messages.iter().map(|m| m[0]).collect()
    }

    #[test]
    fn transmit_limits_are_those_of_the_lan_profile() {
        let limits: Vec<u32> = [1, 9, 10, 99, 100, 999]
            .map(|n| transmit_limit(4, n))
            .to_vec();
        assert_eq!(limits, [4, 4, 8, 8, 12, 12]);
    }

    #[test]
    fn the_least_sent_go_first_then_the_largest_that_fits_then_the_newest() {
        let mut queue = Queue::default();
        let mut done = Vec::new();
        queue.push(bytes(10, 1), None, None);
        assert_eq!(marks(&queue.take(100, 9, 5, &mut done)), [1]);
        queue.push(bytes(10, 2), None, None);
        queue.push(bytes(30, 3), None, None);
        queue.push(bytes(10, 4), None, None);
        assert_eq!(marks(&queue.take(100, 9, 5, &mut done)), [3, 4, 2, 1]);
        assert_eq!(
            marks(&queue.take(25, 9, 5, &mut done)),
            [4, 2],
            "30 does not fit"
        );
        assert_eq!(
            marks(&queue.take(100, 1, 5, &mut done)),
            [3],
            "one part only"
        );
    }

    #[test]
    fn a_rumour_is_dropped_at_its_limit_and_its_token_reported() {
        let mut queue = Queue::default();
        let mut done = Vec::new();
        queue.push(bytes(10, 1), Some("a".into()), Some(77));
        for _ in 0..3 {
            assert!(done.is_empty());
            assert_eq!(queue.take(100, 9, 3, &mut done).len(), 1);
        }
        assert_eq!(done, [77]);
        assert!(queue.is_empty());
        assert_eq!(queue.push(bytes(10, 2), Some("a".into()), None), None);
    }

    #[test]
    fn newer_news_about_a_subject_replaces_older() {
        let mut queue = Queue::default();
        let mut done = Vec::new();
        queue.push(bytes(10, 1), Some("a".into()), Some(1));
        queue.take(100, 9, 9, &mut done);
        assert_eq!(queue.push(bytes(12, 2), Some("a".into()), None), Some(1));
        assert_eq!(marks(&queue.take(100, 9, 9, &mut done)), [2]);
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn a_message_larger_than_the_packet_stays_and_does_not_block_others() {
        let mut queue = Queue::default();
        let mut done = Vec::new();
        queue.push(bytes(2000, 1), None, None);
        queue.push(bytes(10, 2), None, None);
        assert_eq!(marks(&queue.take(1400, 9, 2, &mut done)), [2]);
        assert_eq!(marks(&queue.take(1400, 9, 2, &mut done)), [2]);
        assert!(queue.take(1400, 9, 2, &mut done).is_empty());
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn pruning_drops_the_most_sent_first() {
        let mut queue = Queue::default();
        let mut done = Vec::new();
        queue.push(bytes(10, 1), None, Some(1));
        queue.take(100, 9, 9, &mut done);
        queue.push(bytes(10, 2), None, Some(2));
        assert_eq!(queue.prune(1), [1]);
        assert_eq!(marks(&queue.take(100, 9, 9, &mut done)), [2]);
    }
}
