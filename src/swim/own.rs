//! This node itself: what it says of itself, how it defends itself, how it leaves and returns.

use super::members;
use super::merge::{self, Address, Offer, OwnVerdict};
use super::news::{Spread, versions};
use super::{Change, Node, NodeState, Notice, Swim};
use crate::time::Time;
use crate::wire::Refusal;
use crate::wire::message::{Accusation, Alive, Message};
use std::net::SocketAddr;
use std::sync::Arc;

/// Token of the broadcast of the own departure. Tokens of the layer above are below it.
pub(super) const LEAVE_TOKEN: u64 = u64::MAX;

impl Swim {
    /// An alive message about this node, from somebody.
    pub(super) fn hear_alive_of_self(&mut self, now: Time, alive: &Alive, addr: SocketAddr) {
        let own = self.self_node();
        let relation = if addr == own.addr {
            Address::Same
        } else {
            Address::Other { reclaimable: false }
        };
        let identical =
            alive.meta.unwrap_or_default() == &*own.meta && versions(alive.vsn) == own.vsn;
        let (incarnation, known) = (own.incarnation, own.addr);
        let verdict = merge::merge_own(
            self.left,
            incarnation,
            Offer::Alive,
            alive.incarnation,
            relation,
            identical,
        );
        match verdict {
            OwnVerdict::Ignore | OwnVerdict::Repeat => {}
            OwnVerdict::Refute => self.refute(now, alive.incarnation),
            OwnVerdict::Conflict => {
                self.refuse(Refusal::Conflict);
                if !self.own_name_claimed(now, addr) {
                    return;
                }
                let name = self.own_name.clone();
                self.notices.push_back(Notice::Conflict {
                    name,
                    known,
                    claimed: addr,
                });
            }
        }
    }

    /// A suspect or dead message about this node.
    pub(super) fn hear_accusation_of_self(&mut self, now: Time, offer: Offer, incarnation: u32) {
        let own = self.self_node().incarnation;
        match merge::merge_own(self.left, own, offer, incarnation, Address::Same, false) {
            OwnVerdict::Refute => {
                // What is said of a former life tells nothing about how this one is doing.
                let former = incarnation > own || offer == Offer::Left;
                if !former && self.name_conflicts.claimed().is_none() {
                    self.awareness.worsen(1);
                }
                self.refute(now, incarnation);
            }
            OwnVerdict::Repeat if !self.queue.is_about(&self.own_name) => self.spread_self(now),
            OwnVerdict::Repeat | OwnVerdict::Ignore | OwnVerdict::Conflict => {}
        }
    }

    /// Says that it is not so, with a higher incarnation than the accusation's.
    fn refute(&mut self, now: Time, accused: u32) {
        let own = self.self_node().incarnation;
        let Some(incarnation) = own.max(accused).checked_add(1) else {
            // Nothing is higher than the highest: the reference would wrap to 0 and be ignored.
            self.refuse(Refusal::IncarnationLimit);
            return;
        };
        self.stats.refutations += 1;
        self.announce(now, incarnation);
    }

    /// Tells everybody what this node is, under a new incarnation.
    fn announce(&mut self, now: Time, incarnation: u32) {
        if let Some(entry) = self.table.get_mut(self.own) {
            entry.node.incarnation = incarnation;
        }
        self.spread_self(now);
    }

    /// Queues the own alive message.
    pub(super) fn spread_self(&mut self, now: Time) {
        let own = self.self_node().clone();
        let addr = members::address_bytes(own.addr.ip(), false);
        self.spread(now, own_alive(&own, &addr), &own.name, Spread::Encoded);
    }

    /// The own alive message.
    pub(super) fn introduce_self(&self) -> Vec<u8> {
        let own = self.self_node();
        let addr = members::address_bytes(own.addr.ip(), false);
        let mut bytes = Vec::with_capacity(128 + own.meta.len());
        own_alive(own, &addr).encode(&mut bytes);
        bytes
    }

    fn raise_incarnation(&mut self, now: Time) {
        match self.self_node().incarnation.checked_add(1) {
            Some(incarnation) => self.announce(now, incarnation),
            None => self.refuse(Refusal::IncarnationLimit),
        }
    }

    /// Replaces the own meta and tells everybody.
    pub fn set_meta(&mut self, now: Time, meta: Arc<[u8]>) {
        if let Some(entry) = self.table.get_mut(self.own) {
            entry.node.meta = meta;
        }
        if !self.left {
            self.raise_incarnation(now);
        }
        self.notice_member(Change::Updated, self.own_name.clone());
    }

    /// Announces the own departure. [`Notice::LeaveSpread`] tells when it was transmitted as often
    /// as its limit asks, or at once if nobody is there to be told. Until `revive` this node
    /// answers, but accuses nobody and defends itself no more.
    pub fn leave(&mut self, now: Time) {
        if self.left {
            self.notices.push_back(Notice::LeaveSpread);
            return;
        }
        self.left = true;
        self.table.set_state(self.own, NodeState::Left, now);
        let own = self.self_node().clone();
        let farewell = Accusation {
            incarnation: own.incarnation,
            node: &own.name,
            from: &own.name,
        };
        let mut bytes = Vec::new();
        Message::Dead(farewell).encode(&mut bytes);
        let replaced = self
            .queue
            .push(bytes.into(), Some(own.name.clone()), Some(LEAVE_TOKEN));
        self.broadcasts_done(replaced);
        if self.table.live() == 0 {
            self.notices.push_back(Notice::LeaveSpread);
        }
        self.arm_gossip(now);
    }

    /// Leaves without a word: what would be said of the name would be taken for news of somebody
    /// else who has it, too. To those who knew this node it will have failed.
    pub fn leave_silently(&mut self) {
        self.left = true;
        let unsaid = self.queue.drop_about(&self.own_name.clone());
        self.broadcasts_done(unsaid);
    }

    /// Takes part again after a leave, with a higher incarnation.
    pub fn revive(&mut self, now: Time) {
        if !self.left {
            return;
        }
        self.left = false;
        self.table.set_state(self.own, NodeState::Alive, now);
        self.raise_incarnation(now);
        self.notice_member(Change::Joined, self.own_name.clone());
        self.arm_reconnect(now);
    }
}

fn own_alive<'a>(own: &'a Node, addr: &'a [u8]) -> Message<'a> {
    Message::Alive(Alive {
        incarnation: own.incarnation,
        node: &own.name,
        addr,
        port: own.addr.port(),
        meta: Some(&own.meta),
        vsn: &own.vsn,
    })
}
