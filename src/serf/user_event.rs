//! User events: messages that an application sends to all members, and that each member delivers
//! once.
//!
//! An event reaches a node by gossip, usually several times, and in push/pulls, which carry the
//! events of the last 512 Lamport times. A ring remembers them, so that each is delivered and
//! passed on exactly once. An event does not name its sender. Events of one sender have rising
//! Lamport times, but gossip may deliver a later one first.

use super::CommandError;
use super::outbox::{Outbox, lane};
use super::ring::Item;
use super::seen::Seen;
use crate::event::{Coalescing, EventBody};
use crate::printable;
use crate::wire::serf_message::{SerfMessage, UserEvent};

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
    /// Sends a user event to all members, this node included. `max` is the number of bytes that
    /// the encoded event may take.
    ///
    /// # Errors
    /// `EventTooLarge`.
    pub fn send(
        &mut self,
        out: &mut Outbox,
        name: &str,
        payload: &[u8],
        coalescing: Coalescing,
        max: usize,
    ) -> Result<(), CommandError> {
        let event = UserEvent {
            ltime: self.clock.time(),
            name: name.as_bytes(),
            payload: (!payload.is_empty()).then_some(payload),
            coalesce: coalescing == Coalescing::Allowed,
        };
        let message = SerfMessage::UserEvent(event);
        let len = message.encoded().len();
        if len > max {
            let content = name.len() + payload.len();
            return Err(CommandError::EventTooLarge { content, len, max });
        }
        self.on_event(out, &event);
        out.counts.user_events_sent += 1;
        out.broadcast(lane::EVENTS, &message, None);
        Ok(())
    }

    /// Handles a user event: delivers it if it is new. Returns true if this node should pass it on.
    pub fn on_event(&mut self, out: &mut Outbox, event: &UserEvent<'_>) -> bool {
        let item = SeenEvent {
            name: event.name.into(),
            payload: event.payload.map(Box::from),
        };
        let is_new = self.see(out, event.ltime, item);
        if is_new {
            out.tell(EventBody::User {
                name: printable::text(event.name).into_owned(),
                payload: event.payload.unwrap_or_default().into(),
                ltime: event.ltime,
                coalesce: event.coalesce,
            });
        }
        is_new
    }
}
