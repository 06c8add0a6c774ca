//! Queries of others: passed on once each. And relays: an answer to a query that takes a detour
//! through this node.
//!
//! This node answers no query yet. A relay is forwarded only to the address of a member, so that
//! nobody outside can make this node send what he likes to whom he likes.

use super::SerfState;
use super::ring::{Freshness, Item};
use super::serf_state::Order;
use crate::wire::Refusal;
use crate::wire::serf_message::{Query, Relay};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Flag of a query that must not be passed on.
const NO_REBROADCAST: u32 = 2;

/// Queries of Serf's key management. Without a payload they end a stock agent that hears them, so
/// they go no further than here.
const KEY_QUERIES: [&str; 4] = [
    "_serf_install-key",
    "_serf_use-key",
    "_serf_remove-key",
    "_serf_list-keys",
];

/// A query that was seen: its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SeenQuery(pub u32);

impl Item for SeenQuery {
    fn weight(&self) -> usize {
        size_of::<u32>()
    }
}

impl SerfState {
    /// A query. True if others should hear of it from us: also when it is not meant for us.
    pub fn query(&mut self, query: &Query<'_>) -> bool {
        if query.payload.unwrap_or_default().is_empty() && KEY_QUERIES.contains(&query.name) {
            self.refuse(Refusal::EmptyPart);
            return false;
        }
        if !self.query_clock.witness(query.ltime) {
            self.counts.ltimes_refused += 1;
            return false;
        }
        match self
            .seen_queries
            .see(self.query_clock.time(), query.ltime, SeenQuery(query.id))
        {
            Freshness::New => query.flags & NO_REBROADCAST == 0,
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

    /// An answer on its way to somebody else.
    pub fn relay(&mut self, relay: &Relay<'_>) {
        let Some(to) = address(relay.addr, relay.port) else {
            self.refuse(Refusal::AddressLength);
            return;
        };
        if relay.inner.is_empty() {
            self.refuse(Refusal::EmptyPart);
            return;
        }
        if !self.is_address_of_member(to) {
            self.counts.relays_refused += 1;
            return;
        }
        self.counts.relays += 1;
        self.orders.push_back(Order::SendUser {
            to,
            bytes: relay.inner.to_vec(),
        });
    }
}

/// An address of 4 or 16 bytes, IPv4 in its own form; `None` for another length or port 0.
fn address(bytes: &[u8], port: u16) -> Option<SocketAddr> {
    let ip = match <[u8; 4]>::try_from(bytes) {
        Ok(four) => IpAddr::V4(Ipv4Addr::from(four)),
        Err(_) => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical(),
    };
    (port != 0).then(|| SocketAddr::new(ip, port))
}
