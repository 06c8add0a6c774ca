//! Joins: the targets of each join command, and how many of them have answered.
//!
//! A join is reported when all its targets have ended, or a moment after the first one answered: a
//! target that is silent must not hold up a join that has succeeded. The other targets are asked as
//! well, and reported in a second notice. Silent targets do not hold up the targets behind them
//! either. The number of targets that are asked at the same time grows while some are waiting; if
//! no more streams may be dialled, silent targets are given up early.

use crate::swim::output::{JoinFailure, JoinReport, Notice, OpId};
use crate::swim::seed::Seed;
use crate::swim::shared::context::Context;
use crate::swim::shared::lookups::{Lookup, LookupCause};
use crate::swim::shared::streams::{Exchange, ExchangeCause, Purpose};
use crate::swim::shared::timer::Timer;
use crate::time::Time;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The number of targets of one join that are asked at the same time at the beginning.
const JOIN_WIDTH: usize = 8;
/// The number of further targets that each tick allows to be asked at the same time.
const JOIN_WIDER: usize = 4;
/// The time that a silent target gets, in probe timeouts, while other targets wait and no more
/// streams may be dialled.
const SILENCE: u32 = 3;
/// The number of ticks in a probe timeout.
const TICKS_PER_TIMEOUT: u32 = 4;

/// A join command under way.
struct Join {
    op: OpId,
    /// Targets that are still to be asked, each with the text that names it in the report.
    waiting: VecDeque<(Seed, String)>,
    /// The number of lookups and push/pulls that have not ended yet.
    in_flight: usize,
    /// The number of targets that may be asked at the same time.
    width: usize,
    /// The time at which the first target answered.
    reached: Option<Time>,
    /// True if [`Notice::JoinDone`] was sent already: the next one is about the other targets.
    is_reported: bool,
    /// The targets that have ended since the last report.
    report: JoinReport,
    /// The seeds to remember; empty once a target has answered.
    seeds: Vec<Seed>,
}

/// The joins under way. The parameter `undecided` of the methods is true while this node is still
/// finding out whether another node has its name. The caller learns the answer when its join ends.
/// So a join does not end before the answer is known, even if all its targets have ended.
#[derive(Default)]
pub(in crate::swim) struct Joining {
    joins: Vec<Join>,
    /// The seeds of joins that have reached a node since the last call of `take_seeds`.
    seeds: Vec<Seed>,
}

impl Joining {
    /// Asks every seed for the state of its cluster. [`Notice::JoinDone`] reports the outcome. A
    /// seed that is this node itself counts as contacted. `remembered` are the seeds that are
    /// remembered if one answers.
    pub fn begin(
        &mut self,
        ctx: &mut Context,
        seeds: &[Seed],
        remembered: &[Seed],
        undecided: bool,
    ) -> OpId {
        let op = ctx.next_op();
        let targets = seeds.iter().map(|seed| (seed.clone(), seed.to_string()));
        self.joins.push(Join {
            op,
            waiting: targets.collect(),
            in_flight: 0,
            width: JOIN_WIDTH,
            reached: None,
            is_reported: false,
            report: JoinReport::default(),
            seeds: remembered.to_vec(),
        });
        self.drive(ctx, op, undecided);
        op
    }

    /// Takes the seeds of the joins that have reached a node since the last call.
    pub fn take_seeds(&mut self) -> Vec<Seed> {
        std::mem::take(&mut self.seeds)
    }

    /// Reports the joins that reached a node a moment ago, and asks more of the waiting targets.
    pub fn tick(&mut self, ctx: &mut Context, undecided: bool) {
        if self.joins.iter().any(|join| !join.waiting.is_empty()) && !ctx.streams.may_dial() {
            let spent = ctx.config.probe_timeout * SILENCE;
            let deadline_until = ctx.now + ctx.config.stream_timeout - spent;
            (ctx.streams).end_silent(Purpose::is_join, deadline_until, ctx.now);
        }
        for join in &mut self.joins {
            join.width += JOIN_WIDER;
            let is_due = join.reached.is_some_and(|at| at + tick(ctx) <= ctx.now);
            if is_due && !join.is_reported && !undecided {
                join.report(ctx);
            }
        }
        self.drive_all(ctx, undecided);
    }

    /// Counts one target of a join: as contacted, or as failed if there is a `failure`.
    pub fn on_target_end(
        &mut self,
        ctx: &mut Context,
        op: OpId,
        failure: Option<(String, JoinFailure)>,
        undecided: bool,
    ) {
        let Some(join) = self.joins.iter_mut().find(|join| join.op == op) else {
            return;
        };
        join.in_flight -= 1;
        match failure {
            Some(failure) => join.report.failures.push(failure),
            None => {
                join.report.contacted += 1;
                join.report.reached_another = true;
                join.reached.get_or_insert(ctx.now);
                self.seeds.append(&mut join.seeds);
            }
        }
        self.drive(ctx, op, undecided);
    }

    /// The host name of a target was resolved: its addresses become targets.
    pub fn on_resolved(
        &mut self,
        ctx: &mut Context,
        op: OpId,
        lookup: Lookup,
        addrs: &[IpAddr],
        undecided: bool,
    ) {
        let Some(join) = self.joins.iter_mut().find(|join| join.op == op) else {
            return;
        };
        join.in_flight -= 1;
        let port = lookup.port;
        let target = Seed::Host(lookup.host, port).to_string();
        for ip in addrs {
            let addr = SocketAddr::new(*ip, port);
            let words = format!("{target} ({addr})");
            join.waiting.push_front((Seed::Addr(addr), words));
        }
        if addrs.is_empty() {
            let failure = (target, JoinFailure::Unresolved);
            join.report.failures.push(failure);
        }
        self.drive(ctx, op, undecided);
    }

    /// Continues every join.
    pub fn drive_all(&mut self, ctx: &mut Context, undecided: bool) {
        let ops: Vec<OpId> = self.joins.iter().map(|join| join.op).collect();
        for op in ops {
            self.drive(ctx, op, undecided);
        }
    }

    /// Asks as many targets of a join as may be asked at the same time, and reports the join when
    /// all targets have ended.
    fn drive(&mut self, ctx: &mut Context, op: OpId, undecided: bool) {
        let Some(i) = self.joins.iter().position(|join| join.op == op) else {
            return;
        };
        let join = &mut self.joins[i];
        loop {
            if join.waiting.is_empty() && join.in_flight == 0 {
                if !undecided {
                    self.joins.swap_remove(i).end(ctx);
                }
                return;
            }
            // If no target of this join is under way, one is asked even if too many streams are
            // open, so that the join always makes progress.
            let may_start = join.in_flight == 0 || ctx.streams.may_dial();
            if join.in_flight >= join.width || !may_start || join.waiting.is_empty() {
                return arm(ctx);
            }
            let Some((seed, target)) = join.waiting.pop_front() else {
                return;
            };
            match seed {
                Seed::Addr(addr) if addr == ctx.local.addr => {
                    join.report.contacted += 1;
                    self.seeds.append(&mut join.seeds);
                }
                Seed::Addr(peer) => {
                    join.in_flight += 1;
                    let cause = ExchangeCause::Join { op, target };
                    ctx.begin_exchange(Exchange::showing_nothing(cause, peer));
                }
                Seed::Host(host, port) => {
                    join.in_flight += 1;
                    let cause = LookupCause::Join(op);
                    ctx.lookups.begin(&mut ctx.outbox, cause, host, port);
                }
            }
        }
    }
}

impl Join {
    fn report(&mut self, ctx: &mut Context) {
        self.is_reported = true;
        let (op, report) = (self.op, std::mem::take(&mut self.report));
        ctx.outbox.tell(Notice::JoinDone { op, report });
    }

    /// Reports the targets that have not been reported yet.
    fn end(mut self, ctx: &mut Context) {
        if !self.is_reported || self.report != JoinReport::default() {
            self.report(ctx);
        }
    }
}

/// The time between two ticks, and between the first answer to a join and its report.
fn tick(ctx: &Context) -> Duration {
    ctx.config.probe_timeout / TICKS_PER_TIMEOUT
}

fn arm(ctx: &mut Context) {
    if ctx.timers.get(Timer::Joining).is_none() {
        let at = ctx.now + tick(ctx);
        ctx.timers.set(Timer::Joining, at);
    }
}
