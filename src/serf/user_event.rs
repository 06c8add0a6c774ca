//! User events of others: remembered so that each is passed on once, and carried in push/pulls.
//!
//! This node offers no user events of its own yet, but it must not be a hole in the gossip of
//! those who do.

use super::Layer;
use super::ring::{Item, Sight};
use crate::wire::serf_message::UserEvent;

/// A user event that was seen.
#[derive(Clone, Debug)]
pub(super) struct Happening {
    pub name: Box<str>,
    pub payload: Option<Box<[u8]>>,
}

impl PartialEq for Happening {
    /// No payload and an empty one are the same event, as in Serf 0.9.4.
    fn eq(&self, other: &Happening) -> bool {
        let (mine, theirs) = (self.payload.as_deref(), other.payload.as_deref());
        self.name == other.name && mine.unwrap_or_default() == theirs.unwrap_or_default()
    }
}

impl Item for Happening {
    fn weight(&self) -> usize {
        size_of::<Happening>()
            + self.name.len()
            + self.payload.as_ref().map_or(0, |payload| payload.len())
    }
}

impl Layer {
    /// A user event. True if others should hear of it from us.
    pub fn user_event(&mut self, event: &UserEvent<'_>) -> bool {
        if !self.event_clock.witness(event.ltime) {
            self.counts.ltimes_refused += 1;
            return false;
        }
        let happening = Happening {
            name: event.name.into(),
            payload: event.payload.map(Box::from),
        };
        match self
            .happenings
            .see(self.event_clock.time(), event.ltime, happening)
        {
            Sight::New => true,
            Sight::Duplicate => {
                self.counts.duplicates += 1;
                false
            }
            Sight::Old | Sight::Full => {
                self.counts.too_old_or_many += 1;
                false
            }
        }
    }
}
