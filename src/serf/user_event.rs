//! User events of other nodes: remembered, so that each is passed on once and carried in
//! push/pulls.
//!
//! This node sends no user events of its own yet, but it must pass on those of other nodes, so that
//! their gossip does not stop here.

use super::outbox::Outbox;
use super::ring::Item;
use super::seen::Seen;
use crate::wire::serf_message::UserEvent;

/// A user event that was seen.
#[derive(Clone, Debug)]
pub(super) struct SeenEvent {
    pub name: Box<[u8]>,
    pub payload: Option<Box<[u8]>>,
}

impl PartialEq for SeenEvent {
    /// An event without a payload equals one with an empty payload, as in Serf 0.9.4.
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

impl Seen<SeenEvent> {
    /// Handles a user event. Returns true if this node should pass it on.
    pub fn on_event(&mut self, out: &mut Outbox, event: &UserEvent<'_>) -> bool {
        let item = SeenEvent {
            name: event.name.into(),
            payload: event.payload.map(Box::from),
        };
        self.see(out, event.ltime, item)
    }
}
