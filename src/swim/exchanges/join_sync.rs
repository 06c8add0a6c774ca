//! The join sync: after a burst of joins, pull the state of one more node. memberlist does not do
//! this.
//!
//! Gossip alone misses a fraction f = exp(-L (1 - f)) of the members per broadcast, where L is the
//! number of transmissions. If 50 nodes start at the same time, one node misses one member in half
//! of the cases. Plain memberlist repairs that only at the next periodic push/pull, up to a minute
//! later. Here a node that learned several members by gossip pulls the state of one other node a
//! few gossip intervals later: a single pull reduces the fraction from f to f x f. If the pull
//! brought new members, it was needed, and another follows. After a single join, only the newcomer
//! pulls once more. So the pulls cost little in comparison with the joins themselves. A pull is an
//! ordinary push/pull in which this node pushes only its own entry: on the wire, it looks like the
//! push/pull of a node that knows no other node.
//!
//! A ping from a node that is unknown or dead here also shows a missed join. So does an outdated
//! announcement of a node that is listed as dead or left here. This node exchanges states with such
//! a node, but with at most one a second.
//!
//! A member that is dead here may be claimed at another address, where this node accepts it only
//! after `dead_reclaim`. By then, the gossip about the claim is over. So this node pulls a state at
//! that time.

use crate::swim::NodeState;
use crate::swim::shared::context::Context;
use crate::swim::shared::streams::{Exchange, ExchangeCause};
use crate::swim::shared::timer::Timer;
use crate::time::Time;
use crate::wire::message::Alive;
use std::net::SocketAddr;
use std::time::Duration;

/// The time from the first member learned by gossip to the pull, in gossip intervals: the fixed
/// part, and the longest random part.
const DELAY_ROUNDS: u32 = 2;
const JITTER_ROUNDS: u32 = 2;
/// The time from a pull that brought new members, failed, or could not be started to the next pull,
/// in gossip intervals, without the random part.
const AGAIN_ROUNDS: u32 = 2;
/// A pull is worthwhile when at least one in this many members was learned by gossip.
const WORTH: usize = 16;
/// While a burst goes on, the pauses between pulls grow, up to this factor.
const MAX_SLOWDOWN: u32 = 32;
/// The shortest time between two pulls because of dead members that are claimed at another address,
/// in probe intervals.
const RECLAIM_PAUSE: u32 = 5;
/// The shortest time between two exchanges with nodes that are in doubt for the same reason.
const DOUBT_PAUSE: Duration = Duration::from_secs(1);

/// The joins that this node learned of recently, and the node through which it joined.
#[derive(Default)]
pub(in crate::swim) struct JoinSync {
    /// The number of members learned by gossip since the last pull.
    learned: usize,
    /// True if a pull is due even without a burst, because this node has just joined, or because
    /// the last pull brought new members, failed, or could not be started.
    owed: bool,
    /// The node that this node joined through: it knows every member that joined through it.
    partner: Option<SocketAddr>,
    slowdown: u32,
    last: Option<Time>,
    last_reclaim: Option<Time>,
    last_stranger: Option<Time>,
    last_leap: Option<Time>,
}

impl JoinSync {
    /// This node joined through `partner`. This node may be one of many that join at the same time,
    /// and then the state that it received does not list them all. So it pulls once more after a
    /// short time.
    pub fn on_joined(&mut self, ctx: &mut Context, partner: SocketAddr) {
        if ctx.config.join_sync {
            self.partner = Some(partner);
            self.owe(ctx, DELAY_ROUNDS);
        }
    }

    /// A member became known or alive again by gossip.
    pub fn on_learned(&mut self, ctx: &mut Context) {
        if ctx.config.join_sync {
            self.learned += 1;
            self.arm(ctx, DELAY_ROUNDS);
        }
    }

    /// A pull ended; `gained` is the number of members that it brought, or `None` if it failed. If
    /// it brought members, gossip had missed them, and another pull follows. After a failure
    /// another pull follows as well.
    pub fn on_pull_end(&mut self, ctx: &mut Context, gained: Option<u32>) {
        if gained != Some(0) {
            self.owe(ctx, AGAIN_ROUNDS);
        }
    }

    fn owe(&mut self, ctx: &mut Context, rounds: u32) {
        self.owed = true;
        self.arm(ctx, rounds);
    }

    /// Sets the timer unless it is set already.
    fn arm(&self, ctx: &mut Context, rounds: u32) {
        if ctx.timers.get(Timer::JoinSync).is_none() {
            let interval = ctx.config.gossip_interval;
            let jitter = ctx.random.within(interval * JITTER_ROUNDS);
            let delay = interval * rounds * self.slowdown.max(1);
            ctx.timers.set(Timer::JoinSync, ctx.now + delay + jitter);
        }
    }

    /// The delay has passed: pulls if there was a burst of joins or if a pull is owed.
    pub fn tick(&mut self, ctx: &mut Context) {
        let learned = std::mem::take(&mut self.learned);
        let burst = learned >= 2 && learned * WORTH >= ctx.table.live();
        let owed = std::mem::take(&mut self.owed);
        if ctx.local.left || !(burst || owed) {
            return;
        }
        let quiet = ctx.config.push_pull_interval;
        let calm = self.last.is_none_or(|last| ctx.now.since(last) > quiet);
        let slower = self.slowdown.saturating_mul(2).clamp(1, MAX_SLOWDOWN);
        self.slowdown = if calm { 1 } else { slower };
        self.pull(ctx);
    }

    fn pull(&mut self, ctx: &mut Context) {
        // The partner is asked first, because it has seen every other node that joined through it.
        // It is asked only once, so that a seed does not get many requests from every node.
        let partner = self.partner.take();
        let peer = partner
            .filter(|addr| ctx.table.is_alive_at(*addr))
            .or_else(|| ctx.table.choose_alive(&mut ctx.random));
        let Some(peer) = peer else { return };
        if !ctx.streams.may_dial() {
            return self.owe(ctx, AGAIN_ROUNDS);
        }
        self.last = Some(ctx.now);
        ctx.outbox.stats.join_syncs += 1;
        ctx.begin_exchange(Exchange::pull(ExchangeCause::JoinSync, peer));
    }

    /// A member that is dead here is claimed at another address. This node accepts such a claim
    /// after the time `due`: then it pulls a state, which repeats the claims about all members.
    pub fn on_early_claim(&mut self, ctx: &mut Context, due: Time) {
        let pause = ctx.config.probe_interval * RECLAIM_PAUSE;
        let due = self.last_reclaim.map_or(due, |last| due.max(last + pause));
        let is_sooner = ctx.timers.get(Timer::Reclaim).is_none_or(|at| due < at);
        if ctx.config.join_sync && is_sooner {
            let jitter = ctx
                .random
                .within(ctx.config.gossip_interval * JITTER_ROUNDS);
            ctx.timers.set(Timer::Reclaim, due + jitter);
        }
    }

    /// The claim about a dead member can be accepted now.
    pub fn on_reclaim(&mut self, ctx: &mut Context) {
        self.last_reclaim = Some(ctx.now);
        if !ctx.local.left {
            self.pull(ctx);
        }
    }

    /// A node with this name pinged this node. If it is unknown or dead here, one of the two nodes
    /// has missed something, so this node exchanges states with it.
    pub fn on_pinged_by(&mut self, ctx: &mut Context, name: &str, peer: SocketAddr) {
        if is_stranger(ctx, name) {
            self.ask_stranger(ctx, peer);
        }
    }

    /// The node at `from` announced a member. If the node announced itself, but is dead or left
    /// here with an incarnation at least as high, members ignore the announcement, and the node
    /// does not learn why. So this node exchanges states with it. This case occurs when a node that
    /// left returns through a new member.
    pub fn on_announced(&mut self, ctx: &mut Context, from: SocketAddr, alive: &Alive) {
        let is_outdated = ctx.table.named(alive.node).is_some_and(|record| {
            let node = record.node();
            let is_gone = matches!(node.state, NodeState::Dead | NodeState::Left);
            is_gone && node.addr == from && node.incarnation >= alive.incarnation
        });
        if is_outdated && *alive.node != *ctx.local.name {
            self.ask_stranger(ctx, from);
        }
    }

    fn ask_stranger(&mut self, ctx: &mut Context, peer: SocketAddr) {
        if ask_in_doubt(ctx, peer, self.last_stranger) {
            self.last_stranger = Some(ctx.now);
        }
    }

    /// Asks the member at `addr` itself, because a message gave it an incarnation far ahead of the
    /// known one. Does nothing if a member was asked for this reason within the last second.
    pub fn on_leap(&mut self, ctx: &mut Context, addr: SocketAddr) {
        if ask_in_doubt(ctx, addr, self.last_leap) {
            self.last_leap = Some(ctx.now);
        }
    }
}

/// Begins an exchange with the node at `peer`, unless the last one for the same reason, at `last`,
/// was a moment ago. Returns true if the exchange has begun.
fn ask_in_doubt(ctx: &mut Context, peer: SocketAddr, last: Option<Time>) -> bool {
    let recent = |last| ctx.now.since(last) < DOUBT_PAUSE;
    let wanted = ctx.config.join_sync && !ctx.local.left && ctx.streams.may_dial();
    if !wanted || last.is_some_and(recent) || !ctx.is_allowed(peer.ip()) {
        return false;
    }
    ctx.outbox.stats.join_syncs += 1;
    ctx.begin_exchange(Exchange::showing_nothing(ExchangeCause::Doubt, peer));
    true
}

fn is_stranger(ctx: &Context, name: &str) -> bool {
    if name.is_empty() || *name == *ctx.local.name {
        return false;
    }
    let record = ctx.table.named(name);
    record.is_none_or(|record| record.node().state == NodeState::Dead)
}
