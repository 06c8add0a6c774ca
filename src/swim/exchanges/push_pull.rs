//! Push/pull: two nodes tell each other everything that they know.
//!
//! The dialling node sends its state and reads the state of the other node. The answering node
//! reads the request, sends its own state from before the merge, and then merges the request.
//! `remote_state` merges the entries: an entry that lists a member as dead counts only as a
//! suspicion, so that no member is declared dead by hearsay. A node that perhaps does not know this
//! one yet is first asked in an exchange in which this node shows nothing: see
//! [`Exchange::showing_nothing`].
//!
//! This part has no state of its own: the timer is in the context, and the exchanges under way are
//! streams.

use crate::limits;
use crate::swim::output::StreamId;
use crate::swim::shared::context::Context;
use crate::swim::shared::streams::{Exchange, ExchangeCause, Purpose, Shows};
use crate::swim::shared::timer::Timer;
use crate::swim::table::members::MemberIndex;
use crate::swim::table::record::MemberRecord;
use crate::swim::{NodeState, address};
use crate::wire::Refusal;
use crate::wire::message::{PushPull, PushPullNode};
use crate::wire::stream::Side;
use std::time::Duration;

/// Encoded entries are passed on as soon as they have this length.
const PIECE_LEN: usize = 16 << 10;

/// Sets the timer of the first regular exchange. A random delay is added to the usual period.
pub(in crate::swim) fn start(ctx: &mut Context) {
    let delay = ctx.random.within(ctx.config.push_pull_interval);
    arm(ctx, delay);
}

/// Begins the regular exchange with a random member.
pub(in crate::swim) fn tick(ctx: &mut Context) {
    arm(ctx, Duration::ZERO);
    begin(ctx);
}

/// Begins an exchange with a random member, unless this node has left.
pub(in crate::swim) fn begin(ctx: &mut Context) {
    if ctx.local.left {
        return;
    }
    let peer = ctx.table.choose_alive(&mut ctx.random);
    if let Some(peer) = peer.filter(|_| ctx.streams.may_dial()) {
        ctx.begin_exchange(Exchange::new(ExchangeCause::Periodic, peer));
    }
}

/// Pulls everything that one member knows. This node sends only its own entry.
pub(in crate::swim) fn pull_from(ctx: &mut Context, member: MemberIndex, cause: ExchangeCause) {
    let peer = ctx.table.get(member).map(|record| record.node().addr);
    if let Some(peer) = peer.filter(|_| ctx.streams.may_dial()) {
        ctx.begin_exchange(Exchange::pull(cause, peer));
    }
}

/// Sets the timer of the next regular exchange, unless `push_pull_interval` is 0. The period grows
/// with the cluster.
fn arm(ctx: &mut Context, delay: Duration) {
    let interval = ctx.config.push_pull_interval;
    if !interval.is_zero() {
        let period = interval * period_scale(ctx.table.len());
        ctx.timers.set(Timer::PushPull, ctx.now + period + delay);
    }
}

/// Returns the factor for the period of push/pulls: 1 up to 32 nodes, 2 up to 64, 3 up to 128, and
/// so on.
fn period_scale(nodes: usize) -> u32 {
    if nodes <= 32 {
        return 1;
    }
    let rounded_up = (nodes - 1).ilog2() + 1;
    rounded_up - 4 // for 32 nodes, log2 is 5 and the factor is 1
}

/// Sends this node's state on a stream that waited for the user state of the layer above. If this
/// is an answer, returns the state that the other side had sent, which the caller merges now. The
/// merge comes last because the protocol wants the answer to hold the state from before the merge.
pub(in crate::swim) fn send_state(
    ctx: &mut Context,
    id: StreamId,
    user_state: &[u8],
) -> Option<Vec<u8>> {
    match &mut ctx.streams.get_mut(id)?.purpose {
        Purpose::PushPull(exchange) => {
            let (join, shows) = (exchange.join, exchange.shows);
            ctx.write_pieces(id, Side::Dialled, |ctx, take| {
                put_state(ctx, join, shows, user_state, take);
            });
            None
        }
        Purpose::Answer {
            join,
            shows,
            request,
        } => {
            let (join, shows, request) = (*join, *shows, std::mem::take(request));
            ctx.write_pieces(id, Side::Accepted, |ctx, take| {
                put_state(ctx, join, shows, user_state, take);
            });
            ctx.close(id);
            Some(request)
        }
        Purpose::Ping { .. } | Purpose::Serve | Purpose::Message(_) => None,
    }
}

/// Encodes the state of this node, piece by piece: the entries that `shows` selects, and the user
/// state.
fn put_state(
    ctx: &Context,
    join: bool,
    shows: Shows,
    user_state: &[u8],
    take: &mut dyn FnMut(&[u8]),
) {
    let table = &ctx.table;
    let is_shown = |member| match shows {
        _ if member == table.local_index() && !ctx.local.is_shown() => false,
        Shows::Everything => true,
        Shows::Own => member == table.local_index(),
        Shows::Others => member != table.local_index(),
        Shows::Nothing => false,
    };
    let shown = || table.iter().filter(|(member, _)| is_shown(*member));
    let mut piece = Vec::with_capacity(PIECE_LEN + 2 * limits::REMOTE_META_LEN);
    PushPull::put_header(&mut piece, shown().count(), user_state.len(), join);
    for (_, record) in shown() {
        put_entry(ctx, record, &mut piece);
        if piece.len() >= PIECE_LEN {
            take(&piece);
            piece.clear();
        }
    }
    take(&piece);
    take(user_state);
}

/// Appends the entry of a member.
fn put_entry(ctx: &Context, record: &MemberRecord, out: &mut Vec<u8>) {
    let node = record.node();
    let is_hidden_leave = ctx.local.intends_to_leave && node.name == ctx.local.name;
    let entry = PushPullNode {
        name: &node.name,
        addr: &address::encode(node.addr.ip(), record.mapped),
        port: node.addr.port(),
        incarnation: node.incarnation,
        meta: Some(&node.meta),
        vsn: &node.vsn,
        state: match is_hidden_leave {
            true => NodeState::Alive,
            false => node.state,
        },
    };
    entry.encode(out);
}

/// Returns true if this node and another one understand each other: each speaks a version in the
/// range of the other, of memberlist as well as of the layer above. Nodes without versions are
/// compatible with all others.
pub(in crate::swim) fn is_compatible(own: [u8; 6], other: &[u8]) -> bool {
    let Ok(other) = <[u8; 6]>::try_from(other) else {
        return true;
    };
    let has =
        |range: [u8; 6], at: usize, spoken: u8| range[at] <= spoken && spoken <= range[at + 1];
    let understand = |at: usize| has(own, at, other[at + 2]) && has(other, at, own[at + 2]);
    other == [0; 6] || (understand(0) && understand(3))
}

/// Checks protocol versions before a merge. memberlist refuses a push/pull if any two nodes of the
/// two sides are incompatible, so one forged entry ends all push/pulls. Here the push/pull is
/// refused only if it has alive entries and this node is compatible with none of them. The caller
/// leaves out single incompatible entries.
///
/// # Errors
/// [`Refusal::Incompatible`].
pub(in crate::swim) fn check_versions(
    own: [u8; 6],
    remote: &[PushPullNode],
) -> Result<(), Refusal> {
    let mut alive = remote
        .iter()
        .filter(|node| node.state == NodeState::Alive)
        .peekable();
    match alive.peek().is_none() || alive.any(|node| is_compatible(own, node.vsn)) {
        true => Ok(()),
        false => Err(Refusal::Incompatible),
    }
}

#[cfg(test)]
mod tests {
    use super::period_scale;

    #[test]
    fn the_period_of_push_pulls_grows_with_the_cluster() {
        let scale = [1, 32, 33, 64, 65, 128, 1025, 2048].map(period_scale);
        assert_eq!(scale, [1, 1, 2, 2, 3, 3, 7, 7]);
    }
}
