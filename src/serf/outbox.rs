//! The way out of the Serf state: orders for the SWIM machine, events for the driver, counters.
//!
//! No part of the Serf state calls the SWIM machine. It leaves an [`Order`], which [`super::Core`]
//! carries out, so that all of Serf's rules can be tried without a network.

use super::CoreEvent;
use super::counts::Counts;
use crate::event::EventBody;
use crate::wire::Refusal;
use crate::wire::serf_message::SerfMessage;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

/// Queues for broadcasts, in the order in which packets are filled from them.
pub(super) mod lane {
    pub const INTENTS: usize = 0;
    pub const QUERIES: usize = 1;
    pub const EVENTS: usize = 2;
}

/// Something that the SWIM machine has to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Order {
    Broadcast {
        lane: usize,
        bytes: Vec<u8>,
        /// Reported back when the broadcast has been sent often enough.
        token: Option<u64>,
    },
    SendUser {
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    RememberLost {
        name: Arc<str>,
        addr: SocketAddr,
    },
    ForgetLost {
        name: Arc<str>,
    },
    Leave,
    /// Leaves without announcing it to anyone.
    LeaveSilently,
    Refuse(Refusal),
}

/// Orders, events and counters that the Serf state leaves behind.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub orders: VecDeque<Order>,
    pub events: VecDeque<CoreEvent>,
    pub counts: Counts,
}

impl Outbox {
    pub fn order(&mut self, order: Order) {
        self.orders.push_back(order);
    }

    pub fn refuse(&mut self, why: Refusal) {
        self.order(Order::Refuse(why));
    }

    /// Queues an event for the application.
    pub fn tell(&mut self, body: EventBody) {
        self.events.push_back(CoreEvent::App(body));
    }

    /// Queues an event for the driver.
    pub fn report(&mut self, event: CoreEvent) {
        self.events.push_back(event);
    }

    /// Gossips a message of this node. `token` comes back when it has been sent often enough.
    pub fn broadcast(&mut self, lane: usize, message: &SerfMessage<'_>, token: Option<u64>) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.order(Order::Broadcast { lane, bytes, token });
    }

    /// Gossips a message of another node as it came.
    pub fn pass_on(&mut self, lane: usize, bytes: &[u8]) {
        match lane {
            lane::INTENTS => self.counts.intents_relayed += 1,
            lane::QUERIES => self.counts.queries_relayed += 1,
            _ => self.counts.user_events_relayed += 1,
        }
        self.order(Order::Broadcast {
            lane,
            bytes: bytes.to_vec(),
            token: None,
        });
    }
}
