//! User events: messages that an application sends to all members, and that each member delivers
//! once.
//!
//! An event reaches a node by gossip, usually several times, and in push/pulls, which carry the
//! events of the last 512 Lamport times. A ring remembers them, so that each is delivered and
//! passed on exactly once. An event does not name its sender. Events of one sender have rising
//! Lamport times; `event_order` delivers them in that order.

use super::event_order::EventOrder;
use super::seen_event::SeenEvent;
use crate::event::{Coalescing, EventBody};
use crate::limits;
use crate::printable;
use crate::serf::CommandError;
use crate::serf::shared::common::Common;
use crate::serf::shared::outbox::{Outbox, lane};
use crate::serf::shared::seen::Seen;
use crate::time::Time;
use crate::wire::Refusal;
use crate::wire::serf_message::{SerfMessage, UserEvent};
use std::time::Duration;

/// The user events of the cluster.
#[derive(Debug)]
pub(in crate::serf) struct UserEvents {
    pub seen: Seen<SeenEvent>,
    pub order: EventOrder,
}

impl UserEvents {
    pub fn new() -> UserEvents {
        UserEvents {
            seen: Seen::new(),
            order: EventOrder::default(),
        }
    }

    /// Sends a user event to all members, this node included. `max` is the number of bytes that
    /// the encoded event may take.
    ///
    /// # Errors
    /// `EventTooLarge`.
    pub fn send(
        &mut self,
        now: Time,
        common: &mut Common,
        (name, payload): (&str, &[u8]),
        coalescing: Coalescing,
        max: usize,
    ) -> Result<(), CommandError> {
        let ltime = self.seen.clock.time();
        let event = UserEvent {
            ltime,
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
        if self.see(&mut common.out, &event) {
            let patience = patience(common);
            let out = &mut common.out;
            self.order.add_own(now, out, ltime, body(&event), patience);
        }
        common.out.counts.user_events_sent += 1;
        common.out.broadcast(lane::EVENTS, &message, None);
        Ok(())
    }

    /// Handles a user event: delivers it if it is new. Returns true if this node should pass it on.
    pub fn on_event(&mut self, now: Time, common: &mut Common, event: &UserEvent<'_>) -> bool {
        let content = event.name.len() + event.payload.map_or(0, <[u8]>::len);
        if content > limits::USER_EVENT_LEN {
            common.out.refuse(Refusal::TooLarge);
            return false;
        }
        let is_new = self.see(&mut common.out, event);
        if is_new {
            let patience = patience(common);
            let out = &mut common.out;
            self.order.add(now, out, event.ltime, body(event), patience);
        }
        is_new
    }

    /// A node whose clock of user events is at `ltime` has sent all the earlier events that it
    /// knows. The clock of this node has witnessed that time, unless it is too far ahead to be
    /// believed: then nothing follows from it.
    pub fn nothing_missing_before(&mut self, out: &mut Outbox, ltime: u64) {
        if ltime <= self.seen.clock.time() {
            self.order.skip_to(out, ltime);
        }
    }

    fn see(&mut self, out: &mut Outbox, event: &UserEvent<'_>) -> bool {
        let item = SeenEvent {
            name: event.name.into(),
            payload: event.payload.map(Box::from),
        };
        self.seen.see(out, event.ltime, item)
    }
}

/// The time for which a node gossips an event, and for which others wait for a missing one.
fn patience(common: &Common) -> Duration {
    common.gossip_time(common.config.swim.retransmit_mult)
}

fn body(event: &UserEvent<'_>) -> EventBody {
    EventBody::User {
        name: printable::text(event.name).into_owned(),
        payload: event.payload.unwrap_or_default().into(),
        ltime: event.ltime,
        coalesce: event.coalesce,
    }
}
