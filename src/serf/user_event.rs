//! User events of others: remembered so that each is passed on once, and carried in push/pulls.
//!
//! This node offers no user events of its own yet, but it must not be a hole in the gossip of
//! those who do.

use super::SerfState;
use super::ring::{Freshness, Item};
use crate::wire::serf_message::UserEvent;

/// A user event that was seen.
#[derive(Clone, Debug)]
pub(super) struct SeenEvent {
    pub name: Box<str>,
    pub payload: Option<Box<[u8]>>,
}

impl PartialEq for SeenEvent {
    /// No payload and an empty one are the same event, as in Serf 0.9.4.
    fn eq(&self, other: &SeenEvent) -> bool {
        let (mine, theirs) = (self.payload.as_deref(), other.payload.as_deref());
        self.name == other.name && mine.unwrap_or_default() == theirs.unwrap_or_default()
    }
}

impl Item for SeenEvent {
    fn weight(&self) -> usize {
        size_of::<SeenEvent>()
            + self.name.len()
            + self.payload.as_ref().map_or(0, |payload| payload.len())
    }
}

impl SerfState {
    /// A user event. True if others should hear of it from us.
    pub fn user_event(&mut self, event: &UserEvent<'_>) -> bool {
        if !self.event_clock.witness(event.ltime) {
            self.counts.ltimes_refused += 1;
            return false;
        }
        let happening = SeenEvent {
            name: event.name.into(),
            payload: event.payload.map(Box::from),
        };
        match self
            .seen_events
            .see(self.event_clock.time(), event.ltime, happening)
        {
            Freshness::New => true,
            Freshness::Duplicate => {
                self.counts.duplicates += 1;
                false
            }
            Freshness::Old | Freshness::Full => {
                self.counts.too_old_or_many += 1;
                false
            }
        }
    }
}
