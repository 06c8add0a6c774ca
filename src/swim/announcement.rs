//! Announcing this node with its pings: beyond memberlist, on the wire an ordinary alive message.
//!
//! Gossip misses members. So that members that run a stock agent miss nothing of this node, the
//! first ping to each member after a change of this node carries this node's alive message, and so
//! do the next ones, until the member acknowledges such a ping. A member that has restarted has
//! forgotten everything: its incarnation differs, and it gets the message again.

use super::NodeState;
use super::broadcast_queue::PART_COST;
use super::context::Context;
use super::members::{Announced, MemberIndex};

/// The announcement that the next ping of this member carries, with its encoded message. `None`
/// if the member has acknowledged it, or if it does not fit in a datagram with `ping_len` bytes.
pub(super) fn due(
    ctx: &Context,
    member: MemberIndex,
    ping_len: usize,
) -> Option<(Announced, Vec<u8>)> {
    let record = ctx.table.get(member)?;
    let announced = Announced {
        own: ctx.table.local().node().incarnation,
        its: record.node().incarnation,
    };
    let is_alive = record.node().state == NodeState::Alive;
    let wanted = ctx.config.join_sync && is_alive && !ctx.local.left;
    if !wanted || record.acked == Some(announced) {
        return None;
    }
    let message = ctx.table.local().encode_alive();
    let fits = ping_len + message.len() + 2 * PART_COST <= ctx.packet_room();
    fits.then_some((announced, message))
}
