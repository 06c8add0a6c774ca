//! This node itself: its announcements, its refutations, its leave and its return.

use crate::swim::NodeState;
use crate::swim::output::{Change, Notice};
use crate::swim::shared::context::Context;
use crate::swim::shared::outbox::LEAVE_TOKEN;
use crate::wire::Refusal;
use crate::wire::message::{Accusation, Message};
use std::net::SocketAddr;
use std::sync::Arc;

/// Announces this node at its start, and reports it as the first member.
pub(in crate::swim) fn start(ctx: &mut Context) {
    announce(ctx);
    ctx.outbox
        .tell_member(Change::Joined, ctx.local.name.clone());
}

/// Queues this node's own alive message, unless this node must not be shown.
pub(in crate::swim) fn announce(ctx: &mut Context) {
    if !ctx.local.is_shown() {
        return;
    }
    let name = ctx.local.name.clone();
    let alive = ctx.table.local().encode_alive();
    ctx.queue_broadcast(&name, alive.into());
}

/// Refutes an accusation: announces this node with an incarnation above that of the accusation.
pub(in crate::swim) fn refute(ctx: &mut Context, accused: u32) {
    let highest = ctx.table.local().node().incarnation.max(accused);
    if raise_incarnation(ctx, highest) {
        ctx.outbox.stats.refutations += 1;
    }
}

/// Announces this node with the incarnation after `highest`. Returns false if `highest` is the last
/// incarnation. memberlist would wrap around to 0 there, and its announcement would be ignored.
fn raise_incarnation(ctx: &mut Context, highest: u32) -> bool {
    let Some(incarnation) = highest.checked_add(1) else {
        ctx.outbox.refuse(Refusal::IncarnationLimit);
        return false;
    };
    ctx.table.local_mut().set_incarnation(incarnation);
    announce(ctx);
    true
}

/// Replaces this node's meta and announces it.
pub(in crate::swim) fn set_meta(ctx: &mut Context, meta: &[u8]) {
    ctx.table.local_mut().set_meta(meta);
    announce_change(ctx);
}

/// Replaces this node's address and announces it. Members that know this node at its old address
/// accept the new one only some time after they have declared this node failed.
pub(in crate::swim) fn set_addr(ctx: &mut Context, addr: SocketAddr) {
    ctx.local.addr = addr;
    ctx.table.local_mut().set_addr(addr);
    announce_change(ctx);
}

/// Announces a change of this node, unless it has left, and reports it to the layer above.
fn announce_change(ctx: &mut Context) {
    if !ctx.local.left {
        let incarnation = ctx.table.local().node().incarnation;
        raise_incarnation(ctx, incarnation);
    }
    ctx.outbox
        .tell_member(Change::Updated, ctx.local.name.clone());
}

/// Gossips the leave of this node, and returns the encoded message. [`Notice::LeaveSpread`] follows
/// when the message has been sent often enough, or immediately if there is no other live node.
pub(in crate::swim) fn leave(ctx: &mut Context) -> Arc<[u8]> {
    ctx.local.left = true;
    let local = ctx.table.local_index();
    ctx.table.set_state(local, NodeState::Left, ctx.now);
    let name = ctx.local.name.clone();
    let leave = Accusation::leave(&name, ctx.table.local().node().incarnation);
    let bytes: Arc<[u8]> = Message::Dead(leave).encoded().into();
    let queue = &mut ctx.broadcasts.members;
    let replaced = queue.push(bytes.clone(), Some(name.clone()), Some(LEAVE_TOKEN));
    ctx.outbox.tell_done(replaced);
    if ctx.table.live() == 0 {
        ctx.outbox.tell(Notice::LeaveSpread);
    }
    bytes
}

/// Leaves without an announcement.
pub(in crate::swim) fn leave_silently(ctx: &mut Context) {
    ctx.local.left = true;
    ctx.local.left_silently = true;
    drop_announcements(ctx);
}

/// Sets whether this node's name belongs to another node.
pub(in crate::swim) fn set_name_is_taken(ctx: &mut Context, taken: bool) {
    ctx.local.name_is_taken = taken;
    if taken {
        drop_announcements(ctx);
    } else if !ctx.local.left {
        announce(ctx);
    }
}

fn drop_announcements(ctx: &mut Context) {
    let dropped = ctx.broadcasts.members.drop_about(&ctx.local.name);
    ctx.outbox.tell_done(dropped);
}

/// Takes part again after a leave, with a higher incarnation. Returns false if this node had not
/// left.
pub(in crate::swim) fn revive(ctx: &mut Context) -> bool {
    if !ctx.local.left {
        return false;
    }
    ctx.local.left = false;
    ctx.local.left_silently = false;
    let local = ctx.table.local_index();
    ctx.table.set_state(local, NodeState::Alive, ctx.now);
    let incarnation = ctx.table.local().node().incarnation;
    raise_incarnation(ctx, incarnation);
    ctx.outbox
        .tell_member(Change::Joined, ctx.local.name.clone());
    true
}
