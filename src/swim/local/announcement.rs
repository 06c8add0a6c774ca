//! Announcing this node with its pings, and with messages that the receiver answers. memberlist
//! does not do this, but on the wire the announcement is an ordinary alive message.
//!
//! Gossip can miss a member. So after a change of this node, its pings to a member carry this
//! node's alive message until the member acknowledges such a ping. Members that run a stock agent
//! learn of the change as well. A member that has restarted has forgotten everything: its
//! incarnation differs, so it gets the message again.

use crate::swim::NodeState;
use crate::swim::shared::broadcast_queue::PART_COST;
use crate::swim::shared::context::Context;
use crate::swim::table::members::MemberIndex;
use crate::swim::table::record::Announced;
use std::net::SocketAddr;

/// Returns the announcement that the next ping to this member carries, with its encoded message.
/// Returns `None` if there is nothing to announce to this member, or if the message does not fit
/// into a datagram next to a ping of `ping_len` bytes.
pub(in crate::swim) fn due(
    ctx: &Context,
    member: MemberIndex,
    ping_len: usize,
) -> Option<(Announced, Vec<u8>)> {
    let record = ctx.table.get(member)?;
    let announced = Announced {
        own: ctx.table.local().node().incarnation,
        receiver: record.node().incarnation,
    };
    let is_alive = record.node().state == NodeState::Alive;
    let is_shown = ctx.local.is_shown() && !ctx.local.left;
    let wanted = ctx.config.join_sync && is_alive && is_shown;
    if !wanted || record.acked == Some(announced) {
        return None;
    }
    let message = ctx.table.local().encode_alive();
    fit_together(ctx, ping_len, message.len()).then_some((announced, message))
}

/// Sends a message together with this node's alive message, which comes first. If both do not fit
/// into one packet, they are sent in two. A node that is shown to no one sends the message alone.
pub(in crate::swim) fn introduce(ctx: &mut Context, to: SocketAddr, message: &[u8]) {
    if !ctx.local.is_shown() || ctx.local.left {
        return ctx.send(to, message, false, None);
    }
    let alive = ctx.table.local().encode_alive();
    if fit_together(ctx, alive.len(), message.len()) {
        ctx.send_parts(to, &[&alive, message], false, None);
    } else {
        ctx.send(to, &alive, false, None);
        ctx.send(to, message, false, None);
    }
}

/// Returns true if two messages of these lengths fit into one packet.
fn fit_together(ctx: &Context, one: usize, other: usize) -> bool {
    one + other + 2 * PART_COST <= ctx.packet_room()
}
