//! The broadcast queue: the messages to gossip, how often each was sent, and which of them go into
//! the next packet.
//!
//! Broadcasts that were sent fewer times go first. A broadcast about a subject replaces the older
//! one about the same subject. After `mult x ceil(log10(n + 1))` transmissions, where n is the
//! number of nodes, a broadcast is dropped.
//!
//! [`Broadcasts`] holds one queue for the states of members, followed by one for each lane of the
//! layer above. Of the broadcasts that were sent equally often, the largest that fits goes first,
//! and among equal lengths the newest, as in memberlist. In [`ORDERED_LANE`], the oldest that fits
//! goes first, and a broadcast waits while more than [`ORDERED_WINDOW`] older ones are not done:
//! receivers forget what lies too far behind the newest message that they have seen, as agents of
//! Serf do.

use crate::swim::output::{ORDERED_LANE, ORDERED_WINDOW, USER_LANES};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The bytes that each message of a compound takes in addition to its own bytes.
pub(in crate::swim) const PART_COST: usize = 2;
/// The maximum number of broadcasts in the queue of a lane. When there are more, those that were
/// sent most often are dropped, as in Serf. Each message fits into a packet, so the bytes of a lane
/// are bounded, too.
const LANE_MAX: usize = 4096;

/// The place of a broadcast in the order: the number of its transmissions, its length (0 in the
/// ordered lane), and a number that is lower for newer broadcasts (in the ordered lane, for older
/// ones).
type Rank = (u32, Reverse<usize>, u64);

#[derive(Clone, Debug)]
struct Broadcast {
    bytes: Arc<[u8]>,
    subject: Option<Arc<str>>,
    token: Option<u64>,
}

/// A queue of broadcasts.
#[derive(Debug, Default)]
pub(in crate::swim) struct BroadcastQueue {
    ranked: BTreeMap<Rank, Broadcast>,
    by_subject: HashMap<Arc<str>, Rank>,
    arrivals: u64,
    /// True for the ordered lane.
    oldest_first: bool,
    /// The sum of the lengths of all broadcasts.
    bytes: usize,
}

impl BroadcastQueue {
    pub fn len(&self) -> usize {
        self.ranked.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ranked.is_empty()
    }

    /// Returns true if a broadcast about this subject is queued.
    pub fn is_about(&self, subject: &str) -> bool {
        self.by_subject.contains_key(subject)
    }

    /// Queues a broadcast. If it replaces a broadcast about the same subject, returns the token of
    /// the replaced broadcast.
    pub fn push(
        &mut self,
        bytes: Arc<[u8]>,
        subject: Option<Arc<str>>,
        token: Option<u64>,
    ) -> Option<u64> {
        let replaced = subject.as_ref().and_then(|it| self.drop_about(it));
        self.arrivals += 1;
        let rank = match self.oldest_first {
            true => (0, Reverse(0), self.arrivals),
            false => (0, Reverse(bytes.len()), u64::MAX - self.arrivals),
        };
        if let Some(subject) = &subject {
            self.by_subject.insert(subject.clone(), rank);
        }
        let broadcast = Broadcast {
            bytes,
            subject,
            token,
        };
        self.insert(rank, broadcast);
        replaced
    }

    /// Drops the broadcast about this subject, and returns its token.
    pub fn drop_about(&mut self, subject: &str) -> Option<u64> {
        let rank = self.unindex(subject)?;
        self.remove(&rank)?.token
    }

    fn insert(&mut self, rank: Rank, broadcast: Broadcast) {
        self.bytes += broadcast.bytes.len();
        self.ranked.insert(rank, broadcast);
    }

    fn remove(&mut self, rank: &Rank) -> Option<Broadcast> {
        let broadcast = self.ranked.remove(rank)?;
        self.bytes -= broadcast.bytes.len();
        Some(broadcast)
    }

    /// Removes this subject from the index, and returns the rank of its broadcast. Shrinks the
    /// index after a wave of broadcasts.
    fn unindex(&mut self, subject: &str) -> Option<Rank> {
        let rank = self.by_subject.remove(subject);
        let (len, capacity) = (self.by_subject.len(), self.by_subject.capacity());
        if capacity > 256 && len < capacity / 4 {
            self.by_subject.shrink_to(2 * len);
        }
        rank
    }

    /// Takes at most `parts` messages for one packet that has `free` bytes left. Each message taken
    /// counts as transmitted once more. Broadcasts that thereby reach `limit` transmissions are
    /// dropped, and their tokens are added to `done`.
    pub fn take(
        &mut self,
        mut free: usize,
        parts: usize,
        limit: u32,
        done: &mut Vec<u64>,
    ) -> Vec<Arc<[u8]>> {
        let mut picked: Vec<(Rank, Broadcast)> = Vec::new();
        let end = self.end_of_window();
        let mut from = self.first_of(0, free);
        while picked.len() < parts && free > PART_COST {
            let Some((&rank, broadcast)) = self.ranked.range(from..).next() else {
                break;
            };
            if rank.0 != from.0 {
                from = self.first_of(rank.0, free); // nothing else in the tier fits
            } else if rank.2 >= end {
                from = self.first_of(rank.0 + 1, free);
            } else if broadcast.bytes.len() + PART_COST > free {
                from = (rank.0, rank.1, rank.2 + 1);
            } else if let Some(broadcast) = self.remove(&rank) {
                free -= broadcast.bytes.len() + PART_COST;
                picked.push((rank, broadcast));
                from = from.max(self.first_of(rank.0, free));
            }
        }
        let mut messages = Vec::with_capacity(picked.len());
        for ((sent, length, age), broadcast) in picked {
            messages.push(broadcast.bytes.clone());
            self.put_back((sent + 1, length, age), broadcast, limit, done);
        }
        messages
    }

    /// The lowest rank of a broadcast with this number of transmissions that fits into `free`
    /// bytes. In the ordered lane, not every broadcast from there on fits.
    fn first_of(&self, sent: u32, free: usize) -> Rank {
        let length = match self.oldest_first {
            true => 0,
            false => free.saturating_sub(PART_COST),
        };
        (sent, Reverse(length), 0)
    }

    /// The first number of a broadcast that has to wait for older ones; `u64::MAX` outside of the
    /// ordered lane.
    fn end_of_window(&self) -> u64 {
        if !self.oldest_first {
            return u64::MAX;
        }
        let (mut oldest, mut sent) = (u64::MAX, 0);
        while let Some((rank, _)) = self.ranked.range(self.first_of(sent, 0)..).next() {
            oldest = oldest.min(rank.2);
            sent = rank.0 + 1;
        }
        oldest.saturating_add(ORDERED_WINDOW as u64)
    }

    fn put_back(&mut self, rank: Rank, broadcast: Broadcast, limit: u32, done: &mut Vec<u64>) {
        if rank.0 >= limit {
            done.extend(broadcast.token);
            if let Some(subject) = &broadcast.subject {
                self.unindex(subject);
            }
            return;
        }
        if let Some(subject) = &broadcast.subject {
            self.by_subject.insert(subject.clone(), rank);
        }
        self.insert(rank, broadcast);
    }

    /// Drops broadcasts from the end of the order until at most `max` remain: first those that were
    /// sent most often, and among these the smallest, or in the ordered lane the newest. Returns
    /// the tokens of the dropped broadcasts.
    pub fn prune(&mut self, max: usize) -> Vec<u64> {
        let mut done = Vec::new();
        while self.ranked.len() > max {
            let Some((_, broadcast)) = self.ranked.pop_last() else {
                break;
            };
            self.bytes -= broadcast.bytes.len();
            done.extend(broadcast.token);
            if let Some(subject) = broadcast.subject {
                self.unindex(&subject);
            }
        }
        done
    }
}

/// All queues of a node, in the order in which packets are filled from them.
#[derive(Debug)]
pub(in crate::swim) struct Broadcasts {
    /// The states of members. The subject of each broadcast is the name of the member.
    pub members: BroadcastQueue,
    lanes: [BroadcastQueue; USER_LANES],
    /// The number of broadcasts for which there was no room.
    dropped: u64,
}

impl Default for Broadcasts {
    fn default() -> Broadcasts {
        let lane = |lane| BroadcastQueue {
            oldest_first: lane == ORDERED_LANE,
            ..BroadcastQueue::default()
        };
        Broadcasts {
            members: BroadcastQueue::default(),
            lanes: std::array::from_fn(lane),
            dropped: 0,
        }
    }
}

impl Broadcasts {
    /// The number of broadcasts in a lane of the layer above.
    pub fn len_of_lane(&self, lane: usize) -> usize {
        self.lanes.get(lane).map_or(0, BroadcastQueue::len)
    }

    /// Returns true if another broadcast about the subject drops none about another subject.
    pub fn has_room(&self, lane: usize, subject: Option<&str>) -> bool {
        let replaces = |queue: &BroadcastQueue| subject.is_some_and(|it| queue.is_about(it));
        let queue = self.lanes.get(lane);
        queue.is_some_and(|queue| queue.len() < LANE_MAX || replaces(queue))
    }

    pub fn len(&self) -> usize {
        self.queues().map(BroadcastQueue::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.queues().all(BroadcastQueue::is_empty)
    }

    /// The number of broadcasts for which there was no room, or that made room for others.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn queues(&self) -> impl Iterator<Item = &BroadcastQueue> {
        std::iter::once(&self.members).chain(&self.lanes)
    }

    /// Queues the state of a member, in place of an older one. If the queue would take more than
    /// `room` bytes, only drops the older one: the new state reaches other nodes by push/pull, and
    /// the broadcasts in the queue get their turn. Returns the token of the older one.
    pub fn push_member(&mut self, subject: Arc<str>, bytes: Arc<[u8]>, room: usize) -> Option<u64> {
        if self.members.bytes + bytes.len() > room {
            self.dropped += 1;
            return self.members.drop_about(&subject);
        }
        self.members.push(bytes, Some(subject), None)
    }

    /// Queues a broadcast of the layer above. Returns the tokens of the broadcasts that were
    /// dropped because this one is about the same subject, or because the lane was full.
    pub fn push_to_lane(
        &mut self,
        lane: usize,
        bytes: Arc<[u8]>,
        subject: Option<Arc<str>>,
        token: Option<u64>,
    ) -> Vec<u64> {
        let Some(queue) = self.lanes.get_mut(lane) else {
            return Vec::new();
        };
        let replaced = queue.push(bytes, subject, token);
        self.dropped += queue.len().saturating_sub(LANE_MAX) as u64;
        let mut dropped = queue.prune(LANE_MAX);
        dropped.extend(replaced);
        dropped
    }

    /// Takes messages as [`BroadcastQueue::take`] does, from one queue after the other. `limits[0]`
    /// is the retransmit limit for states of members, `limits[1]` the one for the lanes.
    pub fn take(
        &mut self,
        room: usize,
        parts: usize,
        limits: [u32; 2],
        done: &mut Vec<u64>,
    ) -> Vec<Arc<[u8]>> {
        let used = |messages: &[Arc<[u8]>]| -> usize {
            messages
                .iter()
                .map(|message| message.len() + PART_COST)
                .sum()
        };
        let mut messages = self.members.take(room, parts, limits[0], done);
        let mut free = room.saturating_sub(used(&messages));
        for lane in &mut self.lanes {
            let more = lane.take(free, parts - messages.len(), limits[1], done);
            free = free.saturating_sub(used(&more));
            messages.extend(more);
        }
        messages
    }

    /// Drops all broadcasts, and returns their tokens.
    pub fn clear(&mut self) -> Vec<u64> {
        let queues = std::iter::once(&mut self.members).chain(&mut self.lanes);
        queues.flat_map(|queue| queue.prune(0)).collect()
    }
}

/// The way in which a change is passed on to other members.
#[derive(Clone, Copy, Debug)]
pub(in crate::swim) enum PassOn<'a> {
    /// The change came in a gossip message, whose bytes are passed on as they are.
    Received(&'a [u8]),
    /// The change came by push/pull or from this node itself: a new message is encoded.
    Encoded,
    /// The change is not passed on: the other nodes already know it, or this node has left the
    /// cluster.
    No,
}

/// Returns the retransmit limit: the number of times that a broadcast is sent in a cluster of
/// `nodes` nodes.
pub(in crate::swim) fn retransmit_limit(mult: u32, nodes: usize) -> u32 {
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
    fn retransmit_limits_are_those_of_the_lan_profile() {
        let limits: Vec<u32> = [1, 9, 10, 99, 100, 999]
            .map(|n| retransmit_limit(4, n))
            .to_vec();
        assert_eq!(limits, [4, 4, 8, 8, 12, 12]);
    }

    #[test]
    fn broadcasts_sent_fewer_times_go_first_then_the_largest_that_fits_then_the_newest() {
        let mut queue = BroadcastQueue::default();
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
    fn in_the_ordered_lane_the_oldest_that_fits_goes_first_and_never_far_ahead_of_others() {
        let mut all = Broadcasts::default();
        let mut done = Vec::new();
        for (length, mark) in [(10, 1), (30, 2), (10, 3)] {
            all.push_to_lane(ORDERED_LANE, bytes(length, mark), None, None);
        }
        let queue = &mut all.lanes[ORDERED_LANE];
        assert_eq!(marks(&queue.take(30, 9, 5, &mut done)), [1, 3]);
        assert_eq!(marks(&queue.take(100, 9, 5, &mut done)), [2, 1, 3]);
        for _ in 0..ORDERED_WINDOW {
            queue.push(bytes(1, 4), None, None);
        }
        let sent = queue.take(100_000, 9_999, 5, &mut done);
        assert_eq!(sent.len(), ORDERED_WINDOW, "the first three belong to them");
        assert_eq!(queue.take(30, 1, 1, &mut done).len(), 1);
        queue.take(100_000, 9_999, 1, &mut done);
        assert_eq!(queue.len(), 3, "the last three had to wait");
        assert_eq!(queue.take(100, 9, 5, &mut done).len(), 3);
    }

    #[test]
    fn a_broadcast_is_dropped_at_its_limit_and_its_token_reported() {
        let mut queue = BroadcastQueue::default();
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
    fn a_newer_broadcast_about_a_subject_replaces_the_older_one() {
        let mut queue = BroadcastQueue::default();
        let mut done = Vec::new();
        queue.push(bytes(10, 1), Some("a".into()), Some(1));
        queue.take(100, 9, 9, &mut done);
        assert_eq!(queue.push(bytes(12, 2), Some("a".into()), None), Some(1));
        assert_eq!(marks(&queue.take(100, 9, 9, &mut done)), [2]);
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn a_message_larger_than_the_packet_stays_and_does_not_block_others() {
        let mut queue = BroadcastQueue::default();
        let mut done = Vec::new();
        queue.push(bytes(2000, 1), None, None);
        queue.push(bytes(10, 2), None, None);
        assert_eq!(marks(&queue.take(1400, 9, 2, &mut done)), [2]);
        assert_eq!(marks(&queue.take(1400, 9, 2, &mut done)), [2]);
        assert!(queue.take(1400, 9, 2, &mut done).is_empty());
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn pruning_drops_the_broadcasts_sent_most_often_first() {
        let mut queue = BroadcastQueue::default();
        let mut done = Vec::new();
        queue.push(bytes(10, 1), None, Some(1));
        queue.take(100, 9, 9, &mut done);
        queue.push(bytes(10, 2), None, Some(2));
        assert_eq!(queue.prune(1), [1]);
        assert_eq!(marks(&queue.take(100, 9, 9, &mut done)), [2]);
    }

    #[test]
    fn a_full_queue_of_states_keeps_what_it_has_and_forgets_what_is_outdated() {
        let mut all = Broadcasts::default();
        let mut push = |name: &str, room| {
            all.push_member(name.into(), bytes(10, 1), room);
            (all.len(), all.members.is_about(name))
        };
        for (count, name) in (1..).zip(["a", "b", "c"]) {
            assert_eq!(push(name, 30), (count, true));
        }
        assert_eq!(push("late", 30), (3, false));
        assert_eq!(push("b", 30), (2, false), "the queued state was outdated");
        assert_eq!(push("b", 30), (3, true));
        assert_eq!(push("own", usize::MAX), (4, true));
        assert_eq!(all.dropped(), 2, "the new states of late and b");
    }

    #[test]
    fn a_full_lane_drops_what_was_sent_most_often_and_counts_it() {
        let mut all = Broadcasts::default();
        for _ in 0..LANE_MAX {
            assert!(all.push_to_lane(1, bytes(10, 1), None, None).is_empty());
        }
        assert_eq!(all.push_to_lane(1, bytes(9, 1), None, Some(7)), [7]);
        assert_eq!((all.len(), all.dropped()), (LANE_MAX, 1));
    }
}
