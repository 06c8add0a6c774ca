//! User events that wait until the script in HAProxy takes them.
//!
//! The script hands them to functions of the operator, which may be slow. The queue is bounded: if
//! it is full, the oldest event is dropped and counted.

use sprat::{Event, EventBody};
use std::collections::VecDeque;

/// The maximum number of events that wait.
const MAX: usize = 256;

/// A user event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserEvent {
    /// The name of the event.
    pub name: String,
    /// Its content; empty if it has none.
    pub payload: Box<[u8]>,
    /// The Lamport time at which it was sent.
    pub ltime: u64,
    /// True if the sender allows receivers to handle only the last of several events of this name.
    pub coalesce: bool,
}

/// The counts of user events since the script first asked for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UserEventCounts {
    pub taken: u64,
    pub dropped: u64,
}

/// The events that wait; see the top of this file.
#[derive(Default)]
pub(super) struct UserEvents {
    waiting: VecDeque<UserEvent>,
    /// `None` until the script asks for an event: until then, nothing would take events.
    counts: Option<UserEventCounts>,
    /// True if an event was dropped since the queue was last empty.
    is_overflowing: bool,
}

impl UserEvents {
    /// Adds an event that the node has delivered, or counts events that the node has lost.
    pub fn push(&mut self, event: Event) {
        let Some(counts) = &mut self.counts else {
            return;
        };
        let dropped = match event.body {
            EventBody::User {
                name,
                payload,
                ltime,
                coalesce,
            } => {
                self.waiting.push_back(UserEvent {
                    name,
                    payload,
                    ltime,
                    coalesce,
                });
                u64::from(self.waiting.len() > MAX && self.waiting.pop_front().is_some())
            }
            EventBody::Overflow { lost } => lost,
            _ => 0,
        };
        counts.dropped += dropped;
        self.is_overflowing |= dropped > 0;
    }

    /// Takes the oldest event.
    pub fn pop(&mut self) -> Option<UserEvent> {
        let none = UserEventCounts {
            taken: 0,
            dropped: 0,
        };
        let counts = self.counts.get_or_insert(none);
        let event = self.waiting.pop_front();
        counts.taken += u64::from(event.is_some());
        self.is_overflowing &= event.is_some();
        event
    }

    pub fn counts(&self) -> Option<UserEventCounts> {
        self.counts
    }

    pub fn is_overflowing(&self) -> bool {
        self.is_overflowing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(ltime: u64) -> Event {
        let body = EventBody::User {
            name: "deploy".to_owned(),
            payload: b"v2".as_slice().into(),
            ltime,
            coalesce: false,
        };
        event_of(body)
    }

    fn event_of(body: EventBody) -> Event {
        Event {
            seq: 1,
            time: Default::default(),
            body,
        }
    }

    #[test]
    fn before_the_first_question_events_are_neither_kept_nor_counted() {
        let mut events = UserEvents::default();
        events.push(event(1));
        assert_eq!(events.counts(), None);
        assert_eq!(events.pop(), None);
        events.push(event(2));
        assert_eq!(events.pop().map(|it| it.ltime), Some(2));
    }

    #[test]
    fn a_full_queue_drops_and_counts_the_oldest_event_and_overflows_until_it_is_empty() {
        let mut events = UserEvents::default();
        assert_eq!(events.pop(), None);
        for ltime in 1..=258 {
            events.push(event(ltime));
        }
        events.push(event_of(EventBody::Overflow { lost: 5 }));
        assert!(events.is_overflowing());
        let taken: Vec<u64> = std::iter::from_fn(|| events.pop().map(|it| it.ltime)).collect();
        assert_eq!(taken, (3..=258).collect::<Vec<_>>());
        let wanted = UserEventCounts {
            taken: 256,
            dropped: 7,
        };
        assert_eq!(events.counts(), Some(wanted));
        assert!(!events.is_overflowing());
    }
}
