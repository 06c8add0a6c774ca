//! Complete dissemination: after a burst of joins, ask somebody once more.
//!
//! Gossip alone misses a fraction f = exp(-L (1 - f)) of the members per rumour, L being the
//! number of transmissions. With 50 nodes starting at once that is one missed entry in every
//! second start, and plain memberlist repairs it only at the next periodic push/pull, a minute
//! later. Here a node that learnt many members by gossip pulls the state of one other node when
//! the burst has calmed down: from f a single pull leaves f x f. If the pull brought news, it was
//! needed, and another follows. A single join makes only the newcomer ask once more, so that the
//! cost stays a small part of what the burst cost itself. A pull is an ordinary push/pull in which
//! only the own entry is pushed: on the wire it looks like the first exchange of a fresh node.
//!
//! Members that run a stock agent do not pull. So that they, too, miss nothing of this node, the
//! first ping of each member after a change of this node carries the own alive message along.

use super::broadcast_queue::PART_COST;
use super::members::{Introduction, Slot};
use super::news::Spread;
use super::push_pull::{Cause, Exchange};
use super::rounds::Round;
use super::timer::Timer;
use super::{NodeState, Swim};
use crate::time::Time;
use std::net::SocketAddr;
use std::time::Duration;

/// From the first member learnt by gossip to the pull, in gossip intervals, and the random part.
const DELAY_ROUNDS: u32 = 2;
const SPREAD_ROUNDS: u32 = 2;
/// After a pull that brought news, or failed.
const AGAIN_ROUNDS: u32 = 2;
/// A pull is worth it when at least one in so many members was learnt by gossip.
const WORTH: usize = 16;
/// Pulls follow one another this much slower each time, while a burst goes on.
const MAX_SLOWDOWN: u32 = 32;

/// What this node learnt lately, and from whom it can learn the rest.
#[derive(Default)]
pub(super) struct JoinSync {
    learned: usize,
    /// A pull is due whatever was learnt: this node has just joined, or the last pull was needed.
    owed: bool,
    /// The node that let us in: it knows everybody who came the same way.
    partner: Option<SocketAddr>,
    slowdown: u32,
    last: Option<Time>,
    last_stranger: Option<Time>,
}

impl Swim {
    /// This node was let in by `partner`. It may be one of many who come at the same time, and the
    /// state it was given is from before them: it asks once more when they have arrived.
    pub(super) fn note_joined(&mut self, now: Time, partner: SocketAddr) {
        if self.config.join_sync {
            self.join_sync.partner = Some(partner);
            self.owe_join_sync(now, DELAY_ROUNDS);
        }
    }

    fn owe_join_sync(&mut self, now: Time, rounds: u32) {
        self.join_sync.owed = true;
        if self.timers.get(Timer::JoinSync).is_none() {
            self.arm_join_sync(now, rounds);
        }
    }

    /// A member became known.
    pub(super) fn note_learned(&mut self, now: Time, spread: Spread) {
        if !self.config.join_sync || !matches!(spread, Spread::AsReceived(_)) {
            return;
        }
        self.join_sync.learned += 1;
        if self.timers.get(Timer::JoinSync).is_none() {
            self.arm_join_sync(now, DELAY_ROUNDS);
        }
    }

    fn arm_join_sync(&mut self, now: Time, rounds: u32) {
        let interval = self.config.gossip_interval;
        let slowdown = self.join_sync.slowdown.max(1);
        let jitter = self.random.within(interval * SPREAD_ROUNDS);
        self.timers
            .set(Timer::JoinSync, now + interval * rounds * slowdown + jitter);
    }

    /// The burst has had its time: pull, if it was one.
    pub(super) fn join_sync_tick(&mut self, now: Time) {
        let learned = std::mem::take(&mut self.join_sync.learned);
        let burst = learned >= 2 && learned * WORTH >= self.table.live();
        let owed = std::mem::take(&mut self.join_sync.owed);
        if self.left || !(burst || owed) {
            return;
        }
        let quiet = self.config.push_pull_interval;
        let calm = self
            .join_sync
            .last
            .is_none_or(|last| now.since(last) > quiet);
        let slowdown = self
            .join_sync
            .slowdown
            .saturating_mul(2)
            .clamp(1, MAX_SLOWDOWN);
        self.join_sync.slowdown = if calm { 1 } else { slowdown };
        self.pull(now);
    }

    fn pull(&mut self, now: Time) {
        // The partner first: it has seen every other who came through it. Only once, so that a
        // seed is not asked by everybody again and again.
        let partner = self.join_sync.partner.take();
        let partner = partner
            .filter(|addr| self.is_alive_at(*addr))
            .or_else(|| self.any_alive());
        let Some(peer) = partner else { return };
        if !self.may_dial() {
            return self.owe_join_sync(now, AGAIN_ROUNDS);
        }
        self.join_sync.last = Some(now);
        self.stats.join_syncs += 1;
        let cause = Cause::JoinSync;
        self.begin_exchange(
            now,
            Exchange {
                join: false,
                cause,
                pull_only: true,
                peer,
            },
        );
    }

    /// What the next ping (of that length) of this member says of this node: nothing if the
    /// member has answered to it before. A member that has started anew has forgotten it.
    pub(super) fn introduction(&self, slot: Slot, ping: usize) -> Option<(Introduction, Vec<u8>)> {
        let entry = self.table.get(slot)?;
        let tells = Introduction {
            own: self.self_node().incarnation,
            its: entry.node.incarnation,
        };
        let wanted = self.config.join_sync && entry.node.state == NodeState::Alive && !self.left;
        let due = wanted && entry.met != Some(tells);
        let message = due.then(|| self.introduce_self())?;
        let fits = ping + message.len() + 2 * PART_COST <= self.packet_room();
        fits.then_some((tells, message))
    }

    /// A ping was answered: what it told has been heard.
    pub(super) fn note_met(&mut self, round: &Round) {
        if let Some(tells) = round.tells
            && let Some(entry) = self.table.get_mut(round.slot)
            && entry.node.name == round.name
        {
            entry.met = Some(tells);
        }
    }

    pub(super) fn any_alive(&mut self) -> Option<SocketAddr> {
        let own = self.own;
        let chosen = self.table.choose(1, &mut self.random, |slot, entry| {
            slot != own && entry.node.state == NodeState::Alive
        });
        self.table
            .get(*chosen.first()?)
            .map(|entry| entry.node.addr)
    }

    pub(super) fn is_alive_at(&self, addr: SocketAddr) -> bool {
        let here = |slot, entry: &super::members::Entry| {
            slot != self.own && entry.node.state == NodeState::Alive && entry.node.addr == addr
        };
        self.table.iter().any(|(slot, entry)| here(slot, entry))
    }

    /// A pull ended. If it brought members, gossip had missed them: ask another one, too.
    pub(super) fn caught_up(&mut self, now: Time, gained: u32) {
        if gained > 0 {
            self.owe_join_sync(now, AGAIN_ROUNDS);
        }
    }

    pub(super) fn join_sync_failed(&mut self, now: Time) {
        self.owe_join_sync(now, AGAIN_ROUNDS);
    }

    /// Somebody who pings us believes that we are in its cluster. Do we know it as a member?
    pub(super) fn is_stranger(&self, name: &str) -> bool {
        if name.is_empty() || *name == *self.own_name {
            return false;
        }
        self.node(name)
            .is_none_or(|node| node.state == NodeState::Dead)
    }

    /// A node that is unknown or dead to us pings us by our name, so one of us has missed
    /// something. Asks it, at most once a second.
    pub(super) fn meet_stranger(&mut self, now: Time, peer: SocketAddr) {
        let pause = Duration::from_secs(1);
        let recent = self
            .join_sync
            .last_stranger
            .is_some_and(|last| now.since(last) < pause);
        let wanted = self.config.join_sync && !self.left && !recent && self.may_dial();
        if !wanted || !self.address_allowed(peer.ip()) {
            return;
        }
        self.join_sync.last_stranger = Some(now);
        self.stats.join_syncs += 1;
        let cause = Cause::Stranger;
        self.begin_exchange(
            now,
            Exchange {
                join: false,
                cause,
                pull_only: false,
                peer,
            },
        );
    }
}
