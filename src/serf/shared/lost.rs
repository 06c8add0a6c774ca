//! Lost members, which the SWIM machine tries to reach again from time to time: those that failed,
//! and those of an earlier run of this node.
//!
//! A failed member may be on the far side of a broken network, so the search goes on until the
//! member is back, has left, is erased, or has been lost for longer than `reconnect_timeout`. In
//! memberlist mode the table of members forgets a dead member soon after it has been dead for
//! `gossip_to_the_dead`, but the search goes on for as long as Serf would keep the member;
//! otherwise a longer partition would never heal.

use super::members::ByName;
use super::outbox::{Order, Outbox};
use crate::limits;
use crate::swim::LostSince;
use crate::time::Time;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The names of lost members, and the time at which each was lost.
#[derive(Debug, Default)]
pub(in crate::serf) struct Lost {
    since: ByName<Time>,
}

impl Lost {
    /// Starts the search for a member, unless too many are lost.
    pub fn add(
        &mut self,
        now: Time,
        out: &mut Outbox,
        name: &Arc<str>,
        addr: SocketAddr,
        since: LostSince,
    ) {
        if self.since.len() >= limits::MEMBERS {
            return;
        }
        self.since.insert(name.clone(), Box::new(now));
        let name = name.clone();
        out.order(Order::RememberLost { name, addr, since });
    }

    /// Ends the search for a member; does nothing if the member is not searched for.
    pub fn remove(&mut self, out: &mut Outbox, name: &str) {
        if let Some((name, _)) = self.since.remove_entry(name) {
            out.order(Order::ForgetLost { name });
        }
    }

    /// A member was taken off the list of members. If it is searched for, the search goes on, and
    /// this function returns true.
    pub fn unlist(&self, out: &mut Outbox, name: &str) -> bool {
        let lost = self.since.get_key_value(name);
        if let Some((name, _)) = lost {
            let name = name.clone();
            out.order(Order::UnlistLost { name });
        }
        lost.is_some()
    }

    /// Returns the members that have been lost for longer than `timeout`.
    pub fn longer_than(&self, now: Time, timeout: Duration) -> Vec<Arc<str>> {
        let lost = self.since.iter();
        let lost = lost.filter(|(_, since)| now.since(***since) > timeout);
        lost.map(|(name, _)| name.clone()).collect()
    }

    /// Moves forward the times at which members were lost, after a stall of this process.
    pub fn postpone(&mut self, by: Duration) {
        self.since
            .values_mut()
            .for_each(|since| **since = **since + by);
    }
}
