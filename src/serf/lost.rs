//! Failed members, which the SWIM machine tries to reach again from time to time.
//!
//! A failed member may be on the far side of a broken network, so the search goes on until the
//! member is back, has left, is erased, or has been lost for longer than `reconnect_timeout`. In
//! memberlist mode the table of members forgets a dead member soon after it has been dead for
//! `gossip_to_the_dead`, but the search goes on for as long as Serf would keep the member;
//! otherwise a longer partition would never heal.

use super::members::ByName;
use super::outbox::{Order, Outbox};
use crate::limits;
use crate::time::Time;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The names of lost members, and the time at which each was lost.
#[derive(Debug, Default)]
pub(super) struct Lost {
    since: ByName<Time>,
}

impl Lost {
    /// Starts the search for a member, unless too many are lost.
    pub fn add(&mut self, now: Time, out: &mut Outbox, name: &Arc<str>, addr: SocketAddr) {
        if self.since.len() >= limits::MEMBERS {
            return;
        }
        self.since.insert(name.clone(), Box::new(now));
        let name = name.clone();
        out.order(Order::RememberLost { name, addr });
    }

    /// Ends the search for a member; does nothing if the member is not searched for.
    pub fn remove(&mut self, out: &mut Outbox, name: &str) {
        if let Some((name, _)) = self.since.remove_entry(name) {
            out.order(Order::ForgetLost { name });
        }
    }

    /// Ends the search for members that have been lost for longer than `timeout`.
    pub fn expire(&mut self, now: Time, out: &mut Outbox, timeout: Duration) {
        let given_up = self.since.iter();
        let given_up = given_up.filter(|(_, since)| now.since(***since) > timeout);
        let given_up: Vec<Arc<str>> = given_up.map(|(name, _)| name.clone()).collect();
        given_up.iter().for_each(|name| self.remove(out, name));
    }

    /// Moves forward the times at which members were lost, after a stall of this process.
    pub fn postpone(&mut self, by: Duration) {
        self.since
            .values_mut()
            .for_each(|since| **since = **since + by);
    }
}
