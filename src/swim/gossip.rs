//! Gossip: rounds in which a few random members get packets of broadcasts.

use super::NodeState;
use super::table::members::MemberIndex;
use super::table::record::MemberRecord;
use crate::limits;
use crate::swim::shared::context::Context;
use crate::swim::shared::timer::Timer;
use crate::time::Time;
use crate::wire::{Refusal, message};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The bytes that are kept free in a datagram for everything but the message, the label and the
/// encryption: the headers of IP and UDP, the checksum, and the header of compression.
const FRAMING: usize = 128;

/// The gossip rounds of a node, at a phase that is random for each node.
pub(super) struct Gossip {
    phase: Duration,
}

impl Gossip {
    pub fn new(ctx: &mut Context) -> Gossip {
        let phase = ctx.random.within(ctx.config.gossip_interval);
        Gossip { phase }
    }

    /// Sets the timer of the next round if there are broadcasts and other nodes, unless the timer
    /// is set already.
    pub fn arm(&self, ctx: &mut Context) {
        let needed = ctx.table.len() > 1 && !ctx.broadcasts.is_empty();
        if needed && ctx.timers.get(Timer::Gossip).is_none() {
            let interval = ctx.config.gossip_interval.as_nanos() as u64;
            let phase = self.phase.as_nanos() as u64;
            let past = ctx.now.as_nanos().saturating_sub(phase) / interval.max(1);
            let tick = phase + (past + 1) * interval;
            ctx.timers.set(Timer::Gossip, Time::from_nanos(tick));
        }
    }

    /// Sends a packet to each of a few random members. Members that died recently may be chosen,
    /// too, so that they can refute. They get copies of a packet to a live member, and live members
    /// are chosen in addition: packets to dead members must not use up the transmissions on which
    /// the live members depend.
    pub fn tick(&self, ctx: &mut Context) {
        let (now, remembered) = (ctx.now, ctx.config.gossip_to_the_dead);
        let wanted = ctx.config.gossip_nodes;
        let chosen = ctx
            .table
            .choose(wanted, &mut ctx.random, |_, node| match node.state {
                NodeState::Alive | NodeState::Suspect => true,
                NodeState::Dead => now.since(node.since) < remembered,
                NodeState::Left => false,
            });
        if chosen.is_empty() && ctx.local.left {
            // No other member remains that could learn of the leave, or of anything else.
            let dropped = ctx.broadcasts.clear();
            ctx.outbox.tell_done(dropped);
        }
        let is_live = |it: &MemberIndex| ctx.table.get(*it).is_some_and(MemberRecord::is_live);
        let (mut live, dead): (Vec<_>, Vec<_>) = chosen.into_iter().partition(is_live);
        let others = (ctx.table).choose(dead.len(), &mut ctx.random, |member, node| {
            matches!(node.state, NodeState::Alive | NodeState::Suspect) && !live.contains(&member)
        });
        live.extend(others);
        let mut last = Vec::new();
        for member in live {
            let messages = take_packet(ctx);
            if messages.is_empty() {
                return;
            }
            send_packet(ctx, member, &messages);
            last = messages;
        }
        for member in dead {
            if last.is_empty() {
                last = take_packet(ctx); // no member is live
            }
            send_packet(ctx, member, &last);
        }
    }

    /// Queues a user message in one of the lanes of the layer above; `content` is its complete
    /// content. It replaces the message in that lane about the same subject, if there is one.
    /// Returns false for a message larger than a packet: it could never be sent, so it is only
    /// counted.
    pub fn broadcast(
        &self,
        ctx: &mut Context,
        lane: usize,
        content: &[u8],
        subject: Option<Arc<str>>,
        token: Option<u64>,
    ) -> bool {
        let message = user_message(content);
        let fits = ctx.fits_a_packet(&message);
        if fits {
            let queues = &mut ctx.broadcasts;
            let dropped = queues.push_to_lane(lane, message.into(), subject, token);
            ctx.outbox.tell_done(dropped);
        } else {
            ctx.outbox.stats.broadcasts_too_long += 1;
            ctx.outbox.tell_done(token);
        }
        fits
    }

    /// Sends a user message to `count` random alive members, except to a node at the address `not`.
    /// Only members with protocol version 5 of memberlist or later are chosen, as in Serf: older
    /// agents do not know the relay message that the user message holds.
    pub fn send_user_through(
        &self,
        ctx: &mut Context,
        count: usize,
        not: SocketAddr,
        content: &[u8],
    ) {
        let chosen = ctx.table.choose(count, &mut ctx.random, |_, node| {
            node.state == NodeState::Alive && node.addr != not && node.vsn[1] >= 5
        });
        let addr = |member| ctx.table.get(member).map(|record| record.node().addr);
        let addrs: Vec<SocketAddr> = chosen.into_iter().filter_map(addr).collect();
        for to in addrs {
            self.send_user(ctx, to, content);
        }
    }

    /// Sends a user message to one address immediately.
    pub fn send_user(&self, ctx: &mut Context, to: SocketAddr, content: &[u8]) {
        let message = user_message(content);
        if message.len() > datagram_room(ctx) {
            return ctx.outbox.refuse(Refusal::TooLarge);
        }
        ctx.send(to, &message, false, None);
    }
}

/// Takes broadcasts for one packet; empty if there are none.
fn take_packet(ctx: &mut Context) -> Vec<Arc<[u8]>> {
    ctx.take_broadcasts(ctx.packet_room(), limits::COMPOUND_PARTS)
}

/// Sends one packet of broadcasts, unless there are none.
fn send_packet(ctx: &mut Context, member: MemberIndex, messages: &[Arc<[u8]>]) {
    let Some(record) = ctx.table.get(member).filter(|_| !messages.is_empty()) else {
        return;
    };
    let (to, checksum) = (record.node().addr, record.protocol_max() >= 5);
    let parts: Vec<&[u8]> = messages.iter().map(|message| &**message).collect();
    ctx.send_parts(to, &parts, checksum, None);
}

/// The maximum length of a message that is sent in a datagram of its own.
pub(super) fn datagram_room(ctx: &Context) -> usize {
    limits::DATAGRAM_LEN - FRAMING - ctx.codec.overhead()
}

fn user_message(content: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(content.len() + 1);
    message.push(message::kind::USER);
    message.extend_from_slice(content);
    message
}
