//! Spreading: commands that wait until the last change of this node has been gossiped.
//!
//! A change of this node's meta or address queues an alive message, which replaces an older one.
//! The change has spread once that message has reached its retransmit limit, or if no other node is
//! live that could receive it. A member may still have missed all of the gossip: it learns of the
//! change later, by push/pull.

use crate::swim::output::{Notice, OpId, SpreadEnd};
use crate::swim::shared::context::Context;

/// The commands that wait for the end of the gossip.
#[derive(Default)]
pub(in crate::swim) struct Spreading {
    waiting: Vec<OpId>,
}

impl Spreading {
    /// Begins to wait. [`Notice::SpreadDone`] reports the end.
    pub fn begin(&mut self, ctx: &mut Context) -> OpId {
        let op = ctx.next_op();
        self.waiting.push(op);
        op
    }

    /// Ends the commands if the change has spread, or will not spread any more.
    pub fn check(&mut self, ctx: &mut Context) {
        if self.waiting.is_empty() {
            return;
        }
        let Some(end) = end_of(ctx) else {
            return;
        };
        for op in self.waiting.drain(..) {
            ctx.outbox.tell(Notice::SpreadDone { op, end });
        }
    }
}

/// Returns the way in which the gossip about this node has ended; `None` while it goes on.
fn end_of(ctx: &Context) -> Option<SpreadEnd> {
    let is_queued = ctx.broadcasts.members.is_about(&ctx.local.name);
    if ctx.local.left {
        Some(SpreadEnd::Left)
    } else if ctx.local.name_is_taken {
        Some(SpreadEnd::NameTaken)
    } else if is_queued && ctx.table.live_others() > 0 {
        None
    } else {
        Some(SpreadEnd::Spread)
    }
}
