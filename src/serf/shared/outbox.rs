//! The outputs of the Serf state: orders for the core, events for the driver, and counters.
//!
//! No part of the Serf state calls the SWIM machine. A part leaves an [`Order`] here instead, and
//! [`crate::serf::Core`] carries it out. For this reason all of Serf's rules can be tested without
//! a network.

use super::asker::Asker;
use super::counts::Counts;
use super::vote::Tally;
use crate::burst_queue::BurstQueue;
use crate::event::EventBody;
use crate::serf::CoreEvent;
use crate::serf::keys::query::KeyQuery;
use crate::swim::LostSince;
use crate::wire::Refusal;
use crate::wire::serf_message::SerfMessage;
use std::net::SocketAddr;
use std::sync::Arc;

/// The lanes: one broadcast queue of the SWIM machine for each kind of message, in the order in
/// which packets are filled from them.
pub(in crate::serf) mod lane {
    pub const INTENTS: usize = 0;
    pub const QUERIES: usize = 1;
    pub const EVENTS: usize = crate::swim::ORDERED_LANE;
}

/// Something that the core has to do: it calls the SWIM machine, or a part of the Serf state with
/// something that only the SWIM machine has.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::serf) enum Order {
    Broadcast {
        lane: usize,
        bytes: Vec<u8>,
        /// Reported back when the broadcast has been sent often enough, or was dropped.
        token: Option<u64>,
    },
    /// Gossips a message of another node.
    PassOn {
        lane: usize,
        bytes: Vec<u8>,
    },
    SendUser {
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    /// Sends a user message together with the state of this node, so that a receiver that does not
    /// know this node yet can answer.
    SendIntroduced {
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    /// Sends a user message through a few random members, but not through the node at the address
    /// `not`.
    SendThrough {
        helpers: usize,
        not: SocketAddr,
        bytes: Vec<u8>,
    },
    /// Begins a push/pull with a random member.
    PushPull,
    RememberLost {
        name: Arc<str>,
        addr: SocketAddr,
        since: LostSince,
    },
    ForgetLost {
        name: Arc<str>,
    },
    /// Goes on with the search for a member that is no longer on the list.
    UnlistLost {
        name: Arc<str>,
    },
    /// Sends the leave intent to the live members (in a large cluster, to some of them), and
    /// repeats it to each until that member acknowledges the intent or is given up.
    AnnounceLeave {
        intent: Vec<u8>,
    },
    Leave,
    /// Announces the leave to the member `name`, which became known only during the leave. `intent`
    /// is `None` in memberlist mode.
    TellOfLeave {
        name: Arc<str>,
        intent: Option<Vec<u8>>,
    },
    /// Ends the announcements of the leave. The members that have not acknowledged them are handed
    /// to the leave.
    EndLeave,
    /// Leaves without announcing it to anyone.
    LeaveSilently,
    /// Makes acks carry these bytes.
    SetAckPayload(Vec<u8>),
    /// Lets the keys of this node be listed or changed, as the query of `asker` says.
    ManageKeys {
        asker: Asker,
        query: KeyQuery,
    },
    /// Another node, at the address `addr`, claims the name of this node.
    HeedClaim {
        addr: SocketAddr,
    },
    /// Asks the members whether the name of this node belongs to it, or to the node at the address
    /// `other`.
    CallVote {
        other: SocketAddr,
    },
    /// The vote has ended with these answers.
    EndVote(Tally),
    Refuse(Refusal),
}

/// The orders and events that wait to be taken, and the counters.
#[derive(Debug, Default)]
pub(in crate::serf) struct Outbox {
    pub orders: BurstQueue<Order>,
    pub events: BurstQueue<CoreEvent>,
    pub counts: Counts,
}

impl Outbox {
    pub fn order(&mut self, order: Order) {
        self.orders.push(order);
    }

    pub fn refuse(&mut self, why: Refusal) {
        self.order(Order::Refuse(why));
    }

    /// Queues an event for the application.
    pub fn tell(&mut self, body: EventBody) {
        self.events.push(CoreEvent::App(body));
    }

    /// Queues an event for the driver.
    pub fn report(&mut self, event: CoreEvent) {
        self.events.push(event);
    }

    /// Gossips a message of this node. `token` is reported back when the message has been sent
    /// often enough, or was dropped.
    pub fn broadcast(&mut self, lane: usize, message: &SerfMessage<'_>, token: Option<u64>) {
        let bytes = message.encoded();
        self.order(Order::Broadcast { lane, bytes, token });
    }

    /// Gossips a message of another node, byte for byte as it came, if it fits into a packet.
    pub fn pass_on(&mut self, lane: usize, bytes: &[u8]) {
        let bytes = bytes.to_vec();
        self.order(Order::PassOn { lane, bytes });
    }

    /// A message of another node was passed on.
    pub fn count_relayed(&mut self, lane: usize) {
        match lane {
            lane::INTENTS => self.counts.intents_relayed += 1,
            lane::QUERIES => self.counts.queries_relayed += 1,
            _ => self.counts.user_events_relayed += 1,
        }
    }
}
