//! Relays: responses that reach the sender of a query by way of this node.
//!
//! A relayed response is forwarded only to the address of a member, so that no outsider can make
//! this node send arbitrary bytes to arbitrary hosts.

use crate::per_second::PerSecond;
use crate::serf::shared::common::Common;
use crate::serf::shared::outbox::Order;
use crate::time::Time;
use crate::wire::serf_message::Relay;
use crate::wire::{Refusal, address};

/// The maximum number of responses that this node forwards in a second.
const RELAYS_PER_SECOND: u32 = 512;

/// Forwards responses, and bounds their number.
#[derive(Debug)]
pub(in crate::serf) struct Relays {
    forwarded: PerSecond,
}

impl Relays {
    pub fn new() -> Relays {
        let forwarded = PerSecond::new(RELAYS_PER_SECOND);
        Relays { forwarded }
    }

    /// Forwards a response to the address that the relay gives, if the member that it names has
    /// that address.
    pub fn forward(&mut self, now: Time, common: &mut Common, relay: &Relay<'_>) {
        let Some(to) = address::decode_target(relay.addr, relay.port) else {
            return common.out.refuse(Refusal::AddressLength);
        };
        if relay.inner.is_empty() {
            return common.out.refuse(Refusal::EmptyPart);
        }
        if !self.forwarded.has_room(now) || !common.is_member_at(now, relay.node, to) {
            common.out.counts.relays_refused += 1;
            return;
        }
        common.out.counts.relays += 1;
        let bytes = relay.inner.to_vec();
        common.out.order(Order::SendUser { to, bytes });
    }
}
