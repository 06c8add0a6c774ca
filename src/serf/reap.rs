//! The end of members: erased when they have been gone for long enough, or by command.
//!
//! Also who is lost: a member that failed is asked again by the SWIM layer from time to time,
//! since it may be on the far side of a broken network. That goes on until it is back, has left,
//! or is erased. In memberlist mode the table below forgets the dead within a minute; the search
//! for them goes on for as long as Serf would keep them, or nothing would ever heal.

use super::members::Status;
use super::serf_state::Order;
use super::{CoreEvent, SerfState};
use crate::event::EventBody;
use crate::limits;
use crate::time::Time;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// When to look, and who is lost since when.
#[derive(Debug)]
pub(super) struct Reaper {
    pub next: Time,
    lost: BTreeMap<Arc<str>, Time>,
}

impl Reaper {
    pub fn new(next: Time) -> Reaper {
        Reaper {
            next,
            lost: BTreeMap::new(),
        }
    }

    pub fn postpone(&mut self, by: Duration) {
        self.lost
            .values_mut()
            .for_each(|since| *since = *since + by);
    }
}

impl SerfState {
    /// Looks for members and intents whose time is up.
    pub fn reap(&mut self, now: Time) {
        if now < self.reaper.next {
            return;
        }
        self.reaper.next = now + self.config.reap_interval;
        self.intents.expire(now);
        let due = self.members.iter().filter(|entry| {
            let kept = match entry.status {
                Status::Alive | Status::Leaving => return false,
                Status::Failed => self.config.reconnect_timeout,
                Status::Left => self.config.tombstone_timeout,
            };
            now.since(entry.gone_at) > kept && !self.is_self(&entry.member.name)
        });
        let due: Vec<Arc<str>> = due.map(|entry| entry.member.name.clone()).collect();
        due.iter().for_each(|name| self.erase(name));
        let lost = self.reaper.lost.iter();
        let given_up = lost.filter(|&(_, &since)| now.since(since) > self.config.reconnect_timeout);
        let given_up: Vec<Arc<str>> = given_up.map(|(name, _)| name.clone()).collect();
        given_up.iter().for_each(|name| self.found(name));
    }

    /// Erases a member, and no longer looks for it.
    pub fn erase(&mut self, name: &Arc<str>) {
        self.drop_member(name);
        self.found(name);
    }

    /// Takes a member off the list.
    pub fn drop_member(&mut self, name: &Arc<str>) {
        if let Some(entry) = self.members.remove(name).filter(|entry| !entry.hidden) {
            self.counts.reaped += 1;
            self.events
                .push_back(CoreEvent::App(EventBody::MemberReap(entry.member)));
        }
    }

    /// From now on the SWIM layer looks for this member.
    pub fn lost(&mut self, now: Time, name: &Arc<str>, addr: SocketAddr) {
        if self.reaper.lost.len() >= limits::MEMBERS {
            return;
        }
        self.reaper.lost.insert(name.clone(), now);
        self.orders.push_back(Order::RememberLost {
            name: name.clone(),
            addr,
        });
    }

    /// Nobody has to look for this member any more.
    pub fn found(&mut self, name: &str) {
        if let Some((name, _)) = self.reaper.lost.remove_entry(name) {
            self.orders.push_back(Order::ForgetLost { name });
        }
    }
}
