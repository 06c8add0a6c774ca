//! Looks: asking a node which members its cluster has, without becoming known there.
//!
//! A look is a push/pull in which this node shows nothing, and whose answer it does not merge. So
//! no member learns of this node, and this node does not become a member. A look at a host name
//! asks the addresses of the host one after the other until one answers. The next address is asked
//! when the one before has failed, or when it has been silent for a probe timeout: an address that
//! never answers would otherwise use up the time of the caller.

use crate::member::NodeFacts;
use crate::swim::address;
use crate::swim::output::{JoinFailure, JoinReport, Node, Notice, OpId, RemoteState};
use crate::swim::seed::Seed;
use crate::swim::shared::context::Context;
use crate::swim::shared::lookups::{Lookup, LookupCause};
use crate::swim::shared::streams::{Exchange, ExchangeCause};
use crate::swim::shared::timer::Timer;
use crate::swim::table::record::versions;
use crate::time::Time;
use crate::wire::message::PushPull;
use crate::wire::{Names, Refusal};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The maximum number of looks under way.
const MOST: usize = 16;

/// A look under way.
struct Look {
    op: OpId,
    /// The target as the caller wrote it.
    target: String,
    /// Addresses of the target that are still to be asked.
    waiting: VecDeque<SocketAddr>,
    /// The number of addresses that were asked and have neither answered nor failed.
    asked: usize,
    /// The latest time at which the next address is asked.
    next: Time,
    report: JoinReport,
}

/// The looks under way.
#[derive(Default)]
pub(in crate::swim) struct Looking(Vec<Look>);

impl Looking {
    /// Begins a look; `None` if too many are under way. [`Notice::LookDone`] reports the end.
    pub fn begin(&mut self, ctx: &mut Context, target: &Seed) -> Option<OpId> {
        if self.0.len() >= MOST {
            return None;
        }
        let op = ctx.next_op();
        self.0.push(Look {
            op,
            target: target.to_string(),
            waiting: VecDeque::new(),
            asked: 0,
            next: ctx.now,
            report: JoinReport::default(),
        });
        match target {
            Seed::Addr(addr) => self.ask_first_of(ctx, op, [*addr].into()),
            Seed::Host(host, port) => {
                let cause = LookupCause::Look(op);
                ctx.lookups
                    .begin(&mut ctx.outbox, cause, host.clone(), *port);
            }
        }
        Some(op)
    }

    /// The host name of a target was resolved.
    pub fn on_resolved(&mut self, ctx: &mut Context, op: OpId, lookup: &Lookup, addrs: &[IpAddr]) {
        let addrs = addrs.iter().map(|ip| SocketAddr::new(*ip, lookup.port));
        self.ask_first_of(ctx, op, addrs.collect());
    }

    /// Asks the first of these addresses, if the look is still under way.
    fn ask_first_of(&mut self, ctx: &mut Context, op: OpId, addrs: VecDeque<SocketAddr>) {
        let Some(look) = self.0.iter_mut().find(|look| look.op == op) else {
            return;
        };
        look.waiting = addrs;
        if !look.ask_next(ctx) {
            let failure = (look.target.clone(), JoinFailure::Unresolved);
            look.report.failures.push(failure);
            self.end(ctx, op, RemoteState::default());
        }
    }

    /// Asks the next address of each look whose last address has been silent for too long.
    pub fn tick(&mut self, ctx: &mut Context) {
        for look in &mut self.0 {
            if look.next <= ctx.now {
                look.ask_next(ctx);
            }
        }
        let waiting = self.0.iter().filter(|look| !look.waiting.is_empty());
        if let Some(next) = waiting.map(|look| look.next).min() {
            ctx.timers.set(Timer::Looking, next);
        }
    }

    /// The exchange with the node at `peer` ended: `state` is the state of that node, or the
    /// failure.
    pub fn on_answer(
        &mut self,
        ctx: &mut Context,
        op: OpId,
        peer: SocketAddr,
        state: Result<RemoteState, JoinFailure>,
    ) {
        let Some(look) = self.0.iter_mut().find(|look| look.op == op) else {
            return;
        };
        match state {
            Ok(state) => {
                look.report.contacted = 1;
                look.report.reached_another = true;
                self.end(ctx, op, state);
            }
            Err(why) => {
                let named = peer.to_string() == look.target;
                let target = match named {
                    true => look.target.clone(),
                    false => format!("{} ({peer})", look.target),
                };
                look.report.failures.push((target, why));
                look.asked -= 1;
                if !look.ask_next(ctx) && look.asked == 0 {
                    self.end(ctx, op, RemoteState::default());
                }
            }
        }
    }

    fn end(&mut self, ctx: &mut Context, op: OpId, state: RemoteState) {
        let Some(i) = self.0.iter().position(|look| look.op == op) else {
            return;
        };
        let report = self.0.swap_remove(i).report;
        ctx.outbox.tell(Notice::LookDone { op, report, state });
    }
}

impl Look {
    /// Asks the next address. Returns false if there is none.
    fn ask_next(&mut self, ctx: &mut Context) -> bool {
        let Some(peer) = self.waiting.pop_front() else {
            return false;
        };
        self.asked += 1;
        self.next = ctx.now + ctx.config.probe_timeout;
        let due = ctx.timers.get(Timer::Looking);
        let sooner = due.is_none_or(|at| self.next < at);
        if sooner && !self.waiting.is_empty() {
            ctx.timers.set(Timer::Looking, self.next);
        }
        let cause = ExchangeCause::Look { op: self.op };
        ctx.begin_exchange(Exchange::showing_nothing(cause, peer));
        true
    }
}

/// Decodes the state that the node at `peer` gave. An entry without a port gets the port of `peer`:
/// the first protocol versions assume one port for all nodes.
///
/// # Errors
/// The bytes are not a push/pull, or exceed its bounds.
pub(in crate::swim) fn decode(
    ctx: &mut Context,
    peer: SocketAddr,
    bytes: &[u8],
) -> Result<RemoteState, Refusal> {
    let names = Names::default();
    let mut refused = |why| ctx.outbox.refuse(why);
    let state = PushPull::decode_counting(bytes, &names, &mut refused)?;
    let since = ctx.now;
    let nodes = state.nodes.iter().filter_map(|node| {
        let port = match node.port {
            0 => peer.port(),
            port => port,
        };
        let (addr, _) = address::decode(node.addr, port)?;
        let facts = NodeFacts {
            name: node.name.into(),
            addr,
            meta: node.meta.unwrap_or_default().into(),
            vsn: versions(node.vsn),
            incarnation: node.incarnation,
        };
        Some(Node {
            facts: Arc::new(facts),
            state: node.state,
            since,
        })
    });
    Ok(RemoteState {
        nodes: nodes.collect(),
        user_state: state.user_state.to_vec(),
    })
}
