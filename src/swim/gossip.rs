//! Sending: gossip rounds, and packets that take rumours along.

use super::broadcast_queue::{self, PART_COST};
use super::members::Slot;
use super::own::LEAVE_TOKEN;
use super::timer::Timer;
use super::{NodeState, Notice, Output, Swim};
use crate::limits;
use crate::time::Time;
use crate::wire::{Refusal, message, packet};
use std::net::SocketAddr;
use std::sync::Arc;

/// Headers of UDP and IP, checksum, compression: what a datagram holds beside a message.
const FRAMING: usize = 128;
/// Longest queue of a lane of the layer above before the most sent are dropped, as in Serf. Its
/// messages fit a packet each, so its bytes are bounded, too.
const LANE_MAX: usize = 4096;

impl Swim {
    /// Queues a user message (its complete content) in one of the lanes of the layer above.
    /// `token`, if given, comes back in [`Notice::BroadcastDone`]; it is below `u64::MAX`. What is
    /// larger than a packet can never be sent: it is refused.
    pub fn broadcast(&mut self, now: Time, lane: usize, bytes: Vec<u8>, token: Option<u64>) {
        let mut message = Vec::with_capacity(bytes.len() + 1);
        message.push(message::kind::USER);
        message.extend_from_slice(&bytes);
        if !self.fits_a_packet(&message) {
            self.refuse(Refusal::TooLarge);
            return self.broadcasts_done(token);
        }
        let Some(queue) = self.lanes.get_mut(lane) else {
            return;
        };
        queue.push(message.into(), None, token);
        let dropped = queue.prune(LANE_MAX);
        self.broadcasts_done(dropped);
        self.arm_gossip(now);
    }

    /// Sends a user message to one address at once.
    pub fn send_user(&mut self, _now: Time, to: SocketAddr, bytes: &[u8]) {
        let mut message = Vec::with_capacity(bytes.len() + 1);
        message.push(message::kind::USER);
        message.extend_from_slice(bytes);
        if message.len() + self.codec.overhead() + FRAMING > limits::DATAGRAM_LEN {
            return self.refuse(Refusal::TooLarge);
        }
        self.send(to, &message, false, None);
    }

    pub(super) fn broadcasts_done(&mut self, tokens: impl IntoIterator<Item = u64>) {
        for token in tokens {
            self.notices.push_back(match token {
                LEAVE_TOKEN => Notice::LeaveSpread,
                token => Notice::BroadcastDone { token },
            });
        }
    }

    fn has_rumours(&self) -> bool {
        !self.queue.is_empty() || self.lanes.iter().any(|lane| !lane.is_empty())
    }

    /// Sets the gossip timer if there is something to send, somebody to send it to, and it is not
    /// set. Ticks keep their phase, which is random per node.
    pub(super) fn arm_gossip(&mut self, now: Time) {
        let needed = self.table.len() > 1 && self.has_rumours();
        if needed && self.timers.get(Timer::Gossip).is_none() {
            let interval = self.config.gossip_interval.as_nanos() as u64;
            let phase = self.gossip_phase.as_nanos() as u64;
            let past = now.as_nanos().saturating_sub(phase) / interval.max(1);
            let tick = phase + (past + 1) * interval;
            self.timers.set(Timer::Gossip, Time::from_nanos(tick));
        }
    }

    /// One round: a packet to each of a few random nodes, the recently dead included so that they
    /// can refute.
    pub(super) fn gossip_round(&mut self, now: Time) {
        let grace = self.config.gossip_to_the_dead;
        let own = self.own;
        let targets =
            self.table
                .choose(self.config.gossip_nodes, &mut self.random, |slot, entry| {
                    slot != own
                        && match entry.node.state {
                            NodeState::Alive | NodeState::Suspect => true,
                            NodeState::Dead => now.since(entry.node.since) < grace,
                            NodeState::Left => false,
                        }
                });
        if targets.is_empty() && self.left {
            // Nobody is left to hear the farewell, or anything.
            let mut unheard = self.queue.prune(0);
            unheard.extend(self.lanes.iter_mut().flat_map(|lane| lane.prune(0)));
            self.broadcasts_done(unheard);
        }
        for slot in targets {
            if !self.gossip_to(slot) {
                break;
            }
        }
        self.arm_gossip(now);
    }

    fn gossip_to(&mut self, slot: Slot) -> bool {
        let messages = self.take_rumours(self.packet_room(), limits::COMPOUND_PARTS);
        if messages.is_empty() {
            return false;
        }
        let Some(entry) = self.table.get(slot) else {
            return true;
        };
        let (to, checksum) = (entry.node.addr, entry.protocol_max() >= 5);
        let parts: Vec<&[u8]> = messages.iter().map(|m| &**m).collect();
        self.send_parts(to, &parts, checksum, None);
        true
    }

    /// Bytes for parts in a compound: what label, encryption and the compound's head leave.
    pub(super) fn packet_room(&self) -> usize {
        self.config
            .packet_len
            .saturating_sub(2 + self.codec.overhead())
    }

    /// Whether this message can travel by gossip at all.
    pub(super) fn fits_a_packet(&self, message: &[u8]) -> bool {
        message.len() + PART_COST <= self.packet_room()
    }

    fn take_rumours(&mut self, room: usize, parts: usize) -> Vec<Arc<[u8]>> {
        if !self.has_rumours() {
            return Vec::new();
        }
        let mut done = Vec::new();
        let limit = broadcast_queue::transmit_limit(self.config.retransmit_mult, self.table.len());
        let mut messages = self.queue.take(room, parts, limit, &mut done);
        let mut free =
            room.saturating_sub(messages.iter().map(|m| m.len() + PART_COST).sum::<usize>());
        let limit = broadcast_queue::transmit_limit(self.config.retransmit_mult, self.population);
        for lane in &mut self.lanes {
            let more = lane.take(free, parts - messages.len(), limit, &mut done);
            free = free.saturating_sub(more.iter().map(|m| m.len() + PART_COST).sum::<usize>());
            messages.extend(more);
        }
        self.broadcasts_done(done);
        messages
    }

    /// Sends one message and as many rumours as fit beside it.
    pub(super) fn send_with_rumours(&mut self, to: SocketAddr, message: &[u8]) {
        self.send_ping(to, message, None, None);
    }

    /// The same for a ping of a probe with this number, which may introduce this node.
    pub(super) fn send_ping(
        &mut self,
        to: SocketAddr,
        message: &[u8],
        introduction: Option<&[u8]>,
        probe: Option<u32>,
    ) {
        let mut parts = vec![message];
        parts.extend(introduction);
        let taken: usize = parts.iter().map(|part| part.len() + PART_COST).sum();
        let room = self.packet_room().saturating_sub(taken);
        let rumours = self.take_rumours(room, limits::COMPOUND_PARTS - parts.len());
        parts.extend(rumours.iter().map(|m| &**m));
        self.send_parts(to, &parts, false, probe);
    }

    pub(super) fn send_parts(
        &mut self,
        to: SocketAddr,
        parts: &[&[u8]],
        checksum: bool,
        probe: Option<u32>,
    ) {
        let mut plain = Vec::with_capacity(self.config.packet_len);
        packet::compound(parts, &mut plain);
        self.send(to, &plain, checksum, probe);
    }

    /// Sends a datagram; `probe` is the number of the probe that fails if it cannot be sent.
    fn send(&mut self, to: SocketAddr, plain: &[u8], checksum: bool, probe: Option<u32>) {
        let nonce = self.nonce();
        let bytes = packet::seal(&self.codec, plain, checksum, nonce);
        self.stats.datagrams_out += 1;
        self.stats.bytes_out += bytes.len() as u64;
        self.transmits
            .push_back(Output::Datagram { to, bytes, probe });
    }

    /// A fresh nonce when something will be encrypted.
    pub(super) fn nonce(&mut self) -> [u8; 12] {
        if self.codec.keyring.is_empty() {
            [0; 12]
        } else {
            self.random.nonce()
        }
    }
}
