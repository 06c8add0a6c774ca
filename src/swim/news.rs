//! News about members: what arrived is merged, and what it changed is passed on and told above.
//!
//! The decision is [`merge::merge`]'s; this file carries verdicts out. Each change of a member's
//! state happens here and nowhere else.

use super::members::{self, Slot};
use super::merge::{self, Address, Held, Offer, Verdict};
use super::suspicion::Suspicion;
use super::{Change, Node, NodeState, Notice, Swim};
use crate::time::Time;
use crate::wire::Refusal;
use crate::wire::message::{Accusation, Alive, Message};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// What becomes of news that changed something.
#[derive(Clone, Copy, Debug)]
pub(super) enum Spread<'a> {
    /// It came as gossip: pass the bytes on as they are.
    AsReceived(&'a [u8]),
    /// It came by push/pull, or is our own: encode it.
    Encoded,
    /// Everybody we could tell knows it already.
    Quiet,
}

/// Versions of a node; zeros when it told none.
pub(super) fn versions(bytes: &[u8]) -> [u8; 6] {
    bytes.try_into().unwrap_or([0; 6])
}

impl Swim {
    /// An alive message. Returns true if it made a member known or alive again.
    pub(super) fn hear_alive(&mut self, now: Time, alive: &Alive, spread: Spread) -> bool {
        let vsn = versions(alive.vsn);
        let range_is_wrong = vsn[0] == 0 || vsn[1] == 0 || vsn[0] > vsn[1];
        if !alive.vsn.is_empty() && range_is_wrong {
            self.refuse(Refusal::VersionRange);
            return false;
        }
        let port = if alive.port == 0 {
            self.own_addr.port()
        } else {
            alive.port
        };
        let Some((addr, mapped)) = members::address(alive.addr, port) else {
            self.refuse(Refusal::AddressLength);
            return false;
        };
        if alive.node == &*self.own_name {
            self.hear_alive_of_self(now, alive, addr);
            return false;
        }
        let slot = self.table.find(alive.node);
        let held_addr = slot
            .and_then(|slot| self.table.get(slot))
            .map(|entry| entry.node.addr);
        if held_addr != Some(addr) && !self.address_allowed(addr.ip()) {
            self.refuse(Refusal::AddressNotAllowed);
            return false;
        }
        let (held, relation) = self.relation(now, slot, addr);
        match merge::merge(held, Offer::Alive, alive.incarnation, relation) {
            Verdict::Create => self.create(now, alive, addr, mapped, spread),
            Verdict::Refresh => {
                slot.is_some_and(|slot| self.refresh(now, slot, alive, addr, mapped, spread))
            }
            Verdict::Conflict => {
                self.refuse(Refusal::Conflict);
                if let (Some(known), Some(slot)) = (held_addr, slot) {
                    self.tell_conflict(slot, known, addr);
                }
                false
            }
            Verdict::Ignore | Verdict::Suspect | Verdict::Confirm | Verdict::Bury => false,
        }
    }

    /// A suspect message.
    pub(super) fn hear_suspect(&mut self, now: Time, news: &Accusation, spread: Spread) {
        if news.node == &*self.own_name {
            return self.hear_accusation_of_self(now, Offer::Suspect, news.incarnation);
        }
        let Some(slot) = self.table.find(news.node) else {
            return;
        };
        let (held, relation) = self.relation_of(slot);
        match merge::merge(Some(held), Offer::Suspect, news.incarnation, relation) {
            Verdict::Suspect => self.suspect(now, slot, news, spread),
            Verdict::Confirm => self.confirm(now, slot, news, spread),
            Verdict::Ignore
            | Verdict::Create
            | Verdict::Refresh
            | Verdict::Conflict
            | Verdict::Bury => {}
        }
    }

    /// A dead message; it means left when its sender is its subject.
    pub(super) fn hear_dead(&mut self, now: Time, news: &Accusation, spread: Spread) {
        let offer = if news.from == news.node {
            Offer::Left
        } else {
            Offer::Dead
        };
        if news.node == &*self.own_name {
            return self.hear_accusation_of_self(now, offer, news.incarnation);
        }
        let Some(slot) = self.table.find(news.node) else {
            return;
        };
        let (held, relation) = self.relation_of(slot);
        match merge::merge(Some(held), offer, news.incarnation, relation) {
            Verdict::Bury => self.bury(now, slot, offer, news, spread),
            Verdict::Ignore
            | Verdict::Create
            | Verdict::Refresh
            | Verdict::Conflict
            | Verdict::Suspect
            | Verdict::Confirm => {}
        }
    }

    /// A suspect did not refute in time.
    pub(super) fn suspicion_expired(&mut self, now: Time, slot: Slot, spread: Spread) {
        let Some(entry) = self.table.get(slot) else {
            return;
        };
        if entry.node.state != NodeState::Suspect {
            return;
        }
        let (name, own) = (entry.node.name.clone(), self.own_name.clone());
        let news = Accusation {
            incarnation: entry.node.incarnation,
            node: &name,
            from: &own,
        };
        self.hear_dead(now, &news, spread);
    }

    fn relation(&self, now: Time, slot: Option<Slot>, addr: SocketAddr) -> (Option<Held>, Address) {
        let Some(entry) = slot.and_then(|slot| self.table.get(slot)) else {
            return (None, Address::Same);
        };
        let node = &entry.node;
        let held = Some(Held {
            state: node.state,
            incarnation: node.incarnation,
        });
        if node.addr == addr {
            return (held, Address::Same);
        }
        let after = self.config.dead_reclaim;
        let reclaimable = !after.is_zero() && now.since(node.since) > after;
        (held, Address::Other { reclaimable })
    }

    /// As `relation`, for news that carries no address.
    fn relation_of(&self, slot: Slot) -> (Held, Address) {
        let (state, incarnation) = match self.table.get(slot) {
            Some(entry) => (entry.node.state, entry.node.incarnation),
            None => (NodeState::Left, u32::MAX),
        };
        (Held { state, incarnation }, Address::Same)
    }

    /// May a member have this address? Never one that nobody can be reached at.
    pub(super) fn address_allowed(&self, ip: IpAddr) -> bool {
        let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
        if ip.is_unspecified() || ip.is_multicast() || broadcast {
            return false;
        }
        let allowed = &self.config.cidrs_allowed;
        allowed.is_empty() || allowed.iter().any(|net| net.contains(&ip))
    }

    fn create(
        &mut self,
        now: Time,
        alive: &Alive,
        addr: SocketAddr,
        mapped: bool,
        spread: Spread,
    ) -> bool {
        if self.table.is_full() {
            self.refuse(Refusal::TooManyMembers);
            return false;
        }
        let name: Arc<str> = alive.node.into();
        let node = Node {
            name: name.clone(),
            addr,
            meta: alive.meta.unwrap_or_default().into(),
            vsn: versions(alive.vsn),
            incarnation: alive.incarnation,
            state: NodeState::Alive,
            since: now,
        };
        self.table.insert(node, mapped, &mut self.random);
        self.spread_alive(now, alive, &name, spread);
        self.notice_member(Change::Joined, name);
        self.note_learned(now, spread);
        true
    }

    fn refresh(
        &mut self,
        now: Time,
        slot: Slot,
        alive: &Alive,
        addr: SocketAddr,
        mapped: bool,
        spread: Spread,
    ) -> bool {
        self.clear_suspicion(slot);
        let meta = alive.meta.unwrap_or_default();
        let Some(entry) = self.table.get_mut(slot) else {
            return false;
        };
        let name = entry.node.name.clone();
        if *entry.node.meta != *meta {
            entry.node.meta = meta.into();
        }
        if alive.vsn.len() == 6 {
            entry.node.vsn = versions(alive.vsn);
        }
        entry.node.incarnation = alive.incarnation;
        entry.node.addr = addr;
        entry.mapped = mapped;
        entry.accuser = None;
        let before = self.table.set_state(slot, NodeState::Alive, now);
        self.spread_alive(now, alive, &name, spread);
        match before {
            NodeState::Dead | NodeState::Left => {
                self.notice_member(Change::Joined, name);
                self.note_learned(now, spread);
                return true;
            }
            NodeState::Suspect => self.notice_member(Change::Cleared, name),
            NodeState::Alive => self.notice_member(Change::Updated, name),
        }
        false
    }

    fn suspect(&mut self, now: Time, slot: Slot, news: &Accusation, spread: Spread) {
        let accuser: Arc<str> = news.from.into();
        let suspicion = Suspicion::new(&self.config, self.table.len(), accuser.clone(), now);
        self.suspicions.insert(suspicion.next(), slot);
        self.table.set_state(slot, NodeState::Suspect, now);
        let Some(entry) = self.table.get_mut(slot) else {
            return;
        };
        entry.node.incarnation = news.incarnation;
        entry.accuser = Some(accuser);
        entry.suspicion = Some(Box::new(suspicion));
        let name = entry.node.name.clone();
        self.stats.suspicions += 1;
        self.spread(now, Message::Suspect(*news), &name, spread);
        self.notice_member(Change::Suspected, name);
    }

    fn confirm(&mut self, now: Time, slot: Slot, news: &Accusation, spread: Spread) {
        let Some(entry) = self.table.get_mut(slot) else {
            return;
        };
        let Some(suspicion) = entry.suspicion.as_mut() else {
            return;
        };
        let before = suspicion.next();
        if !suspicion.confirm(&news.from.into()) {
            return;
        }
        let after = suspicion.next();
        let name = entry.node.name.clone();
        self.suspicions.remove(before, slot);
        self.suspicions.insert(after, slot);
        self.spread(now, Message::Suspect(*news), &name, spread);
    }

    fn bury(&mut self, now: Time, slot: Slot, offer: Offer, news: &Accusation, spread: Spread) {
        self.clear_suspicion(slot);
        let left = offer == Offer::Left;
        let state = if left {
            NodeState::Left
        } else {
            NodeState::Dead
        };
        self.table.set_state(slot, state, now);
        let Some(entry) = self.table.get_mut(slot) else {
            return;
        };
        entry.node.incarnation = news.incarnation;
        entry.accuser = Some(news.from.into());
        let name = entry.node.name.clone();
        self.spread(now, Message::Dead(*news), &name, spread);
        self.notice_member(if left { Change::Left } else { Change::Died }, name);
        self.arm_reconnect(now);
    }

    pub(super) fn clear_suspicion(&mut self, slot: Slot) {
        let Some(entry) = self.table.get_mut(slot) else {
            return;
        };
        if let Some(suspicion) = entry.suspicion.take() {
            self.suspicions.remove(suspicion.next(), slot);
        }
    }

    fn spread_alive(&mut self, now: Time, alive: &Alive, name: &Arc<str>, spread: Spread) {
        self.spread(now, Message::Alive(*alive), name, spread);
    }

    /// Queues news for gossip under its subject's name.
    pub(super) fn spread(&mut self, now: Time, news: Message, name: &Arc<str>, spread: Spread) {
        let bytes: Arc<[u8]> = match spread {
            Spread::AsReceived(bytes) => bytes.into(),
            Spread::Encoded => {
                let mut bytes = Vec::with_capacity(128);
                news.encode(&mut bytes);
                bytes.into()
            }
            Spread::Quiet => return self.arm_gossip(now),
        };
        if !self.fits_a_packet(&bytes) {
            // A push/pull brings it to who asks; older news about the subject is wrong by now.
            self.refuse(Refusal::TooLarge);
            let outdated = self.queue.drop_about(name);
            return self.broadcasts_done(outdated);
        }
        let replaced = self.queue.push(bytes, Some(name.clone()), None);
        self.broadcasts_done(replaced);
        self.arm_gossip(now);
    }

    pub(super) fn notice_member(&mut self, change: Change, name: Arc<str>) {
        self.notices.push_back(Notice::Member { change, name });
    }

    fn tell_conflict(&mut self, slot: Slot, known: SocketAddr, claimed: SocketAddr) {
        if let Some(entry) = self.table.get(slot) {
            let name = entry.node.name.clone();
            self.notices.push_back(Notice::Conflict {
                name,
                known,
                claimed,
            });
        }
    }
}
