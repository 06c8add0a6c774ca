//! User events: messages that an application sends to all members, and that each member delivers
//! once.
//!
//! An event reaches a node by gossip, usually several times, and in push/pulls, which carry the
//! events of the last 512 Lamport times. A ring remembers them, so that each is delivered and
//! passed on exactly once. An event does not name its sender. Events of one sender have rising
//! Lamport times; `event_order` delivers them in that order.

use super::event_order::{ClusterFacts, EventOrder};
use super::seen_event::SeenEvent;
use crate::event::{Coalescing, EventBody};
use crate::limits;
use crate::serf::CommandError;
use crate::serf::shared::common::Common;
use crate::serf::shared::outbox::{Outbox, lane};
use crate::serf::shared::seen::Seen;
use crate::time::Time;
use crate::wire::serf_message::{SerfMessage, UserEvent};
use crate::wire::{Refusal, wire_name};
use std::collections::VecDeque;

/// The user events of the cluster.
#[derive(Debug)]
pub(in crate::serf) struct UserEvents {
    pub seen: Seen<SeenEvent>,
    pub order: EventOrder,
    /// The events of this node that wait until gossip has room. They get their Lamport times when
    /// they are sent: a push/pull shows the clock of this node, and a receiver refuses events that
    /// are more than 512 behind it.
    pub unsent: VecDeque<OwnEvent>,
}

/// A user event of this node.
#[derive(Debug)]
pub(in crate::serf) struct OwnEvent {
    name: Vec<u8>,
    payload: Vec<u8>,
    coalescing: Coalescing,
}

impl OwnEvent {
    /// Makes a user event whose name is given as text.
    pub fn new(name: &str, payload: &[u8], coalescing: Coalescing) -> OwnEvent {
        OwnEvent {
            name: wire_name::to_bytes(name).into_owned(),
            payload: payload.to_vec(),
            coalescing,
        }
    }

    fn message(&self, ltime: u64) -> UserEvent<'_> {
        UserEvent {
            ltime,
            name: &self.name,
            payload: (!self.payload.is_empty()).then_some(&self.payload),
            coalesce: self.coalescing == Coalescing::Allowed,
        }
    }
}

impl UserEvents {
    pub fn new() -> UserEvents {
        UserEvents {
            seen: Seen::new(),
            order: EventOrder::default(),
            unsent: VecDeque::new(),
        }
    }

    /// Takes a user event of this node, to be sent when gossip has room. `max` is the number of
    /// bytes that the encoded event may take.
    ///
    /// # Errors
    /// `EventTooLarge`; `TooManyEvents`.
    pub fn take(&mut self, event: OwnEvent, max: usize) -> Result<(), CommandError> {
        if self.unsent.len() >= limits::UNSENT_EVENTS {
            return Err(CommandError::TooManyEvents);
        }
        let ltime = self.seen.clock.time();
        let ltime = ltime.saturating_add(self.unsent.len() as u64);
        let len = SerfMessage::UserEvent(event.message(ltime)).encoded().len();
        if len > max {
            let content = event.name.len() + event.payload.len();
            return Err(CommandError::EventTooLarge { content, len, max });
        }
        self.unsent.push_back(event);
        Ok(())
    }

    /// Sends the first user event that waits to all members, this node included. Returns false if
    /// none waits.
    pub fn send_next(&mut self, now: Time, common: &mut Common) -> bool {
        let Some(own) = self.unsent.pop_front() else {
            return false;
        };
        let ltime = self.seen.clock.time();
        let event = own.message(ltime);
        if self.see(&mut common.out, &event) {
            self.order.cluster = cluster_facts(common);
            let out = &mut common.out;
            self.order.add_own(now, out, ltime, body(&event));
        }
        common.out.counts.user_events_sent += 1;
        let message = SerfMessage::UserEvent(event);
        common.out.broadcast(lane::EVENTS, &message, None);
        true
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
            self.order.cluster = cluster_facts(common);
            let out = &mut common.out;
            self.order.add(now, out, event.ltime, body(event));
        }
        is_new
    }

    /// A push/pull with a node whose clock of user events is at `ltime` has brought the events that
    /// it knows. If one side joins, nothing before that time is missing. Otherwise, some of the
    /// events before that time may still be on their way to both. The clock of this node has
    /// witnessed that time, unless it is too far ahead to be believed: then nothing follows from
    /// it.
    pub fn on_clock_of_other(&mut self, now: Time, common: &mut Common, ltime: u64, join: bool) {
        if ltime > self.seen.clock.time() {
            return;
        }
        if join {
            self.order.skip_to(&mut common.out, ltime);
        } else {
            self.order.cluster = cluster_facts(common);
            self.order.expect_before(now, ltime);
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

/// The largest cluster in which a node begins a push/pull because events are missing.
const SMALL_CLUSTER: usize = 64;

fn cluster_facts(common: &Common) -> ClusterFacts {
    ClusterFacts {
        gossip_time: common.gossip_time(common.config.swim.retransmit_mult),
        is_small: common.members.len() <= SMALL_CLUSTER,
    }
}

fn body(event: &UserEvent<'_>) -> EventBody {
    EventBody::User {
        name: wire_name::to_text(event.name).into_owned(),
        payload: event.payload.unwrap_or_default().into(),
        ltime: event.ltime,
        coalesce: event.coalesce,
    }
}
