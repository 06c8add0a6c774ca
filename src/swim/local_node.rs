//! This node itself: its announcements, its defence, its leave and its return.

use super::context::Context;
use super::outbox::LEAVE_TOKEN;
use super::output::{Change, Node, Notice};
use super::{NodeState, address};
use crate::time::Time;
use crate::wire::Refusal;
use crate::wire::message::{Accusation, Message, Ping};
use std::net::SocketAddr;
use std::sync::Arc;

/// The identity with which a node starts.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The name, unique in the cluster.
    pub name: Arc<str>,
    /// The address at which others reach the node.
    pub addr: SocketAddr,
    /// The meta (encoded tags).
    pub meta: Arc<[u8]>,
    /// Versions of the layer above: minimum, maximum, spoken.
    pub delegate: [u8; 3],
    /// The first incarnation, at least 1.
    pub incarnation: u32,
}

/// memberlist protocol versions that this node announces: minimum, maximum, spoken.
const PROTOCOL: [u8; 3] = [1, 5, 2];

impl Identity {
    /// The node of this identity, alive from now on.
    pub(super) fn into_node(self, now: Time) -> Node {
        let [pmin, pmax, pcur] = PROTOCOL;
        let [dmin, dmax, dcur] = self.delegate;
        Node {
            name: self.name,
            addr: self.addr,
            meta: self.meta,
            vsn: [pmin, pmax, pcur, dmin, dmax, dcur],
            incarnation: self.incarnation.max(1),
            state: NodeState::Alive,
            since: now,
        }
    }
}

/// The facts about this node that the parts need; its record in the member table has the rest.
pub(super) struct LocalNode {
    pub name: Arc<str>,
    pub addr: SocketAddr,
    /// This node has announced its leave. It still answers, but accuses no member, and does not
    /// defend itself.
    pub left: bool,
}

impl LocalNode {
    /// Encodes a ping of `node` by this one.
    pub fn encode_ping(&self, seq: u32, node: &str) -> Vec<u8> {
        let addr = address::encode(self.addr.ip(), false);
        let ping = Ping {
            seq,
            node,
            source_addr: &addr,
            source_port: self.addr.port(),
            source_node: &self.name,
        };
        let mut bytes = Vec::with_capacity(80);
        Message::Ping(ping).encode(&mut bytes);
        bytes
    }
}

/// Starts this node: it announces itself, and is its own first member.
pub(super) fn start(ctx: &mut Context) {
    announce(ctx);
    let name = ctx.local.name.clone();
    ctx.outbox.tell_member(Change::Joined, name);
}

/// Queues this node's own alive message.
pub(super) fn announce(ctx: &mut Context) {
    let name = ctx.local.name.clone();
    let alive = ctx.table.local().encode_alive();
    ctx.queue_broadcast(&name, alive.into());
}

/// Refutes an accusation: announces this node with an incarnation above the one that was accused.
pub(super) fn refute(ctx: &mut Context, accused: u32) {
    let highest = ctx.table.local().node().incarnation.max(accused);
    if raise_incarnation(ctx, highest) {
        ctx.outbox.stats.refutations += 1;
    }
}

/// Announces this node with the incarnation after `highest`. False if there is none: memberlist
/// would wrap to 0, and be ignored.
fn raise_incarnation(ctx: &mut Context, highest: u32) -> bool {
    let Some(incarnation) = highest.checked_add(1) else {
        ctx.outbox.refuse(Refusal::IncarnationLimit);
        return false;
    };
    let local = ctx.table.local_index();
    if let Some(record) = ctx.table.get_mut(local) {
        record.set_incarnation(incarnation);
    }
    announce(ctx);
    true
}

/// Replaces this node's meta and announces it.
pub(super) fn set_meta(ctx: &mut Context, meta: &[u8]) {
    let local = ctx.table.local_index();
    if let Some(record) = ctx.table.get_mut(local) {
        record.set_meta(meta);
    }
    if !ctx.local.left {
        let incarnation = ctx.table.local().node().incarnation;
        raise_incarnation(ctx, incarnation);
    }
    let name = ctx.local.name.clone();
    ctx.outbox.tell_member(Change::Updated, name);
}

/// Announces the leave of this node. [`Notice::LeaveSpread`] tells when that has spread.
pub(super) fn leave(ctx: &mut Context) {
    if ctx.local.left {
        return ctx.outbox.tell(Notice::LeaveSpread);
    }
    ctx.local.left = true;
    let local = ctx.table.local_index();
    ctx.table.set_state(local, NodeState::Left, ctx.now);
    let name = ctx.local.name.clone();
    let farewell = Accusation {
        incarnation: ctx.table.local().node().incarnation,
        node: &name,
        from: &name,
    };
    let mut bytes = Vec::new();
    Message::Dead(farewell).encode(&mut bytes);
    let queue = &mut ctx.broadcasts.members;
    let replaced = queue.push(bytes.into(), Some(name.clone()), Some(LEAVE_TOKEN));
    ctx.outbox.tell_done(replaced);
    if ctx.table.live() == 0 {
        ctx.outbox.tell(Notice::LeaveSpread);
    }
}

/// Leaves without an announcement.
pub(super) fn leave_silently(ctx: &mut Context) {
    ctx.local.left = true;
    let unsaid = ctx.broadcasts.members.drop_about(&ctx.local.name);
    ctx.outbox.tell_done(unsaid);
}

/// Takes part again after a leave, with a higher incarnation. False if there was no leave.
pub(super) fn revive(ctx: &mut Context) -> bool {
    if !ctx.local.left {
        return false;
    }
    ctx.local.left = false;
    let local = ctx.table.local_index();
    ctx.table.set_state(local, NodeState::Alive, ctx.now);
    let incarnation = ctx.table.local().node().incarnation;
    raise_incarnation(ctx, incarnation);
    let name = ctx.local.name.clone();
    ctx.outbox.tell_member(Change::Joined, name);
    true
}
