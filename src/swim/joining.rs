//! Joins: the targets of each join command, and how many of them have answered.

use super::context::Context;
use super::lookups::{Lookup, LookupCause};
use super::output::{JoinFailure, JoinReport, Notice, OpId};
use super::seeds::Seed;
use super::streams::{Exchange, ExchangeCause};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

/// The number of targets of one join that are asked at the same time.
const JOIN_WIDTH: usize = 8;

/// A join command under way.
struct Join {
    op: OpId,
    /// Targets that are still to be asked, each with the text that names it in the report.
    waiting: VecDeque<(Seed, String)>,
    /// Look-ups and push/pulls not yet ended.
    in_flight: usize,
    report: JoinReport,
}

/// The joins under way. The parameter `undecided` of the methods is true while this node is still
/// finding out whether another node has its name. The end of a join reports the answer, so a join
/// does not end before the answer is known, even if all its targets have ended.
#[derive(Default)]
pub(super) struct Joining {
    joins: Vec<Join>,
}

impl Joining {
    /// Asks every seed for the state of its cluster. [`Notice::JoinDone`] reports the end. A seed
    /// that is this node itself counts as contacted.
    pub fn begin(&mut self, ctx: &mut Context, seeds: &[Seed], undecided: bool) -> OpId {
        let op = ctx.next_op();
        let targets = seeds.iter().map(|seed| (seed.clone(), seed.to_string()));
        self.joins.push(Join {
            op,
            waiting: targets.collect(),
            in_flight: 0,
            report: JoinReport::default(),
        });
        self.drive(ctx, op, undecided);
        op
    }

    /// Counts a target of a join that has ended: as contacted, or with its `failure`.
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
            None => join.report.contacted += 1,
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

    /// Starts as many targets of a join as may run at the same time, and reports the end of the
    /// join when all targets have ended.
    fn drive(&mut self, ctx: &mut Context, op: OpId, undecided: bool) {
        let Some(i) = self.joins.iter().position(|join| join.op == op) else {
            return;
        };
        let join = &mut self.joins[i];
        loop {
            if join.waiting.is_empty() && join.in_flight == 0 {
                if !undecided {
                    let report = self.joins.swap_remove(i).report;
                    ctx.outbox.tell(Notice::JoinDone { op, report });
                }
                return;
            }
            // If no target were under way, nothing would call this function again. So the first
            // target is started even if too many streams are open.
            let may_start = join.in_flight == 0 || ctx.streams.may_dial();
            if join.in_flight >= JOIN_WIDTH || !may_start {
                return;
            }
            let Some((seed, target)) = join.waiting.pop_front() else {
                return;
            };
            match seed {
                Seed::Addr(addr) if addr == ctx.local.addr => join.report.contacted += 1,
                Seed::Addr(peer) => {
                    join.in_flight += 1;
                    let cause = ExchangeCause::Join { op, target };
                    ctx.begin_exchange(Exchange::join(cause, peer));
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
