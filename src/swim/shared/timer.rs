//! Deadlines: a few named timers, and sets in which each deadline has a key.

use crate::time::Time;
use std::collections::BTreeSet;
use std::time::Duration;

/// A timer that exists once in each node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(in crate::swim) enum Timer {
    /// Probe the next member.
    Probe,
    /// Send broadcasts; not set again while none are queued.
    Gossip,
    /// Exchange everything with one member.
    PushPull,
    /// Pull the state of one more node if a join sync is due.
    JoinSync,
    /// Pull a state because a member that is dead here is claimed at another address.
    Reclaim,
    /// Report joins, and ask more of their targets; not set again while no join is under way.
    Joining,
    /// Ask the next address of a look; not set again while no look has another address to ask.
    Looking,
    /// Ask a seed or a lost member again.
    Reconnect,
    /// Begin another round about the claim to this node's name.
    NameConflict,
}

impl Timer {
    const ALL: [Timer; 9] = [
        Timer::Probe,
        Timer::Gossip,
        Timer::PushPull,
        Timer::JoinSync,
        Timer::Reclaim,
        Timer::Joining,
        Timer::Looking,
        Timer::Reconnect,
        Timer::NameConflict,
    ];
}

/// One deadline per [`Timer`].
#[derive(Clone, Debug, Default)]
pub(in crate::swim) struct Timers([Option<Time>; Timer::ALL.len()]);

impl Timers {
    pub fn set(&mut self, timer: Timer, at: Time) {
        self.0[timer as usize] = Some(at);
    }

    pub fn clear(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    pub fn get(&self, timer: Timer) -> Option<Time> {
        self.0[timer as usize]
    }

    pub fn next(&self) -> Option<Time> {
        self.0.iter().flatten().min().copied()
    }

    /// Clears a timer that is due, and returns it.
    pub fn take_due(&mut self, now: Time) -> Option<Timer> {
        let due = |timer: &Timer| self.get(*timer).is_some_and(|at| at <= now);
        let timer = Timer::ALL.into_iter().find(due)?;
        self.clear(timer);
        Some(timer)
    }
}

/// A set of deadlines, each with the key of the thing that it belongs to.
#[derive(Clone, Debug)]
pub(in crate::swim) struct Deadlines<K: Ord>(BTreeSet<(Time, K)>);

impl<K: Ord> Default for Deadlines<K> {
    fn default() -> Self {
        Deadlines(BTreeSet::new())
    }
}

impl<K: Ord + Copy> Deadlines<K> {
    pub fn insert(&mut self, at: Time, key: K) {
        self.0.insert((at, key));
    }

    pub fn remove(&mut self, at: Time, key: K) {
        self.0.remove(&(at, key));
    }

    pub fn next(&self) -> Option<Time> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes a deadline that is due, and returns its key.
    pub fn take_due(&mut self, now: Time) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        self.0.pop_first().map(|(_, key)| key)
    }

    /// Moves every deadline `by` into the future.
    pub fn postpone(&mut self, by: Duration) {
        let moved = std::mem::take(&mut self.0).into_iter();
        self.0.extend(moved.map(|(at, key)| (at + by, key)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn due_timers_are_taken_once() {
        let mut timers = Timers::default();
        timers.set(Timer::Gossip, at(2));
        timers.set(Timer::Probe, at(1));
        assert_eq!(timers.next(), Some(at(1)));
        assert_eq!(timers.take_due(at(0)), None);
        assert_eq!(timers.take_due(at(2)), Some(Timer::Probe));
        assert_eq!(timers.take_due(at(2)), Some(Timer::Gossip));
        assert_eq!((timers.take_due(at(9)), timers.next()), (None, None));
    }

    #[test]
    fn deadlines_come_in_order_and_can_be_postponed() {
        let mut deadlines = Deadlines::default();
        deadlines.insert(at(3), 'c');
        deadlines.insert(at(1), 'a');
        deadlines.insert(at(2), 'b');
        deadlines.remove(at(2), 'b');
        deadlines.postpone(Duration::from_secs(10));
        assert_eq!(deadlines.take_due(at(5)), None);
        assert_eq!(deadlines.take_due(at(13)), Some('a'));
        assert_eq!(deadlines.take_due(at(13)), Some('c'));
        assert_eq!(deadlines.next(), None);
    }
}
