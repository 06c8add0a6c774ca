//! The own leave, step by step, each with a deadline:
//!
//! ```text
//! Member -> Intent      the leave intent goes round, until it was sent often enough
//!        -> Spreading   the SWIM layer announces the departure, until that has spread
//!        -> Lingering   probes are still answered, so that nobody takes the leave for a failure
//!        -> Left
//! ```
//!
//! Steps that would tell nobody anything are skipped when nobody else is there. A step that takes
//! too long ends at its deadline; the leave goes on (newer Serfs do so too, 0.9.4 gives up). A
//! join takes a leave back, whatever step it is in.

use super::members::Status;
use super::serf_state::Order;
use super::{CoreEvent, SerfState};
use crate::event::EventBody;
use crate::swim::{JoinReport, OpId};
use crate::time::Time;
use std::net::SocketAddr;
use std::time::Duration;

/// Numbers of leaves are above this bit; those of the SWIM layer count from zero.
const OP_BIT: u64 = 1 << 62;

/// How far the leave is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    #[default]
    Member,
    Intent {
        until: Time,
    },
    Spreading {
        until: Time,
    },
    Lingering {
        until: Time,
    },
    Left,
}

/// The own leave.
#[derive(Debug, Default)]
pub(super) struct Leave {
    step: Step,
    /// Commands that wait for its end.
    ops: Vec<OpId>,
    /// Commands so far.
    numbered: u64,
    /// Marks the broadcast of the current leave intent.
    token: u64,
}

impl Leave {
    pub fn is_under_way_or_done(&self) -> bool {
        self.step != Step::Member
    }

    pub fn is_done(&self) -> bool {
        self.step == Step::Left
    }

    /// Whether the SWIM layer was told to leave.
    fn is_announced(&self) -> bool {
        match self.step {
            Step::Member | Step::Intent { .. } => false,
            Step::Spreading { .. } | Step::Lingering { .. } | Step::Left => true,
        }
    }

    pub fn deadline(&self) -> Option<Time> {
        match self.step {
            Step::Member | Step::Left => None,
            Step::Intent { until } | Step::Spreading { until } | Step::Lingering { until } => {
                Some(until)
            }
        }
    }

    pub fn postpone(&mut self, by: Duration) {
        match &mut self.step {
            Step::Member | Step::Left => {}
            Step::Intent { until } | Step::Spreading { until } | Step::Lingering { until } => {
                *until = *until + by;
            }
        }
    }

    fn number(&mut self) -> OpId {
        self.numbered += 1;
        OpId(OP_BIT | self.numbered)
    }
}

impl SerfState {
    /// Begins to leave, or waits for the end of the leave under way.
    pub fn begin_leave(&mut self, now: Time) -> OpId {
        let op = self.leave.number();
        self.leave.ops.push(op);
        match self.leave.step {
            Step::Member => self.send_leave_intent(now),
            Step::Intent { .. } | Step::Spreading { .. } | Step::Lingering { .. } => {}
            Step::Left => self.report_leave(),
        }
        op
    }

    fn send_leave_intent(&mut self, now: Time) {
        if self.is_name_disputed(now) {
            // Whatever is said of the name now, others take for news of its owner.
            self.orders.push_back(Order::LeaveSilently);
            return self.finish_leave(now);
        }
        let name = self.name.clone();
        self.leave.step = Step::Intent {
            until: now + self.config.broadcast_timeout,
        };
        self.change(&name, |entry| entry.status = Status::Leaving);
        self.leave.token += 1;
        if self.is_serf() {
            self.announce_leave(now, &name, false, Some(self.leave.token));
        }
        if !self.is_serf() || !self.has_company() {
            self.announce_departure(now);
        }
    }

    fn announce_departure(&mut self, now: Time) {
        self.leave.step = Step::Spreading {
            until: now + self.config.broadcast_timeout,
        };
        self.orders.push_back(Order::Leave);
    }

    /// A broadcast has been sent often enough.
    pub fn broadcast_done(&mut self, now: Time, token: u64) {
        if matches!(self.leave.step, Step::Intent { .. }) && token == self.leave.token {
            self.announce_departure(now);
        }
    }

    /// The departure has spread.
    pub fn departure_spread(&mut self, now: Time) {
        if matches!(self.leave.step, Step::Spreading { .. }) {
            self.linger(now);
        }
    }

    fn linger(&mut self, now: Time) {
        if self.has_company() {
            self.leave.step = Step::Lingering {
                until: now + self.config.leave_propagate,
            };
        } else {
            self.finish_leave(now);
        }
    }

    fn finish_leave(&mut self, now: Time) {
        let name = self.name.clone();
        self.leave.step = Step::Left;
        self.change(&name, |entry| {
            (entry.status, entry.gone_at) = (Status::Left, now)
        });
        self.tell(&name, EventBody::MemberLeave);
        self.report_leave();
    }

    fn report_leave(&mut self) {
        for op in std::mem::take(&mut self.leave.ops) {
            self.events.push_back(CoreEvent::LeaveDone { op });
        }
    }

    /// Goes on when a step has taken long enough.
    pub fn advance_leave(&mut self, now: Time) {
        if self.leave.deadline().is_none_or(|until| now < until) {
            return;
        }
        match self.leave.step {
            Step::Member | Step::Left => {}
            Step::Intent { .. } => self.announce_departure(now),
            Step::Spreading { .. } => self.linger(now),
            Step::Lingering { .. } => self.finish_leave(now),
        }
    }

    /// A join command ended. If anybody answered, everybody shall know that this node is here.
    /// `owner`: where the name of this node is in use.
    pub fn join_done(&mut self, op: OpId, report: JoinReport, owner: Option<SocketAddr>) {
        if report.contacted > 0 {
            self.conflicts.join_succeeded();
            if self.is_serf() && !self.leave.is_under_way_or_done() {
                self.announce_join();
            }
        }
        self.events
            .push_back(CoreEvent::JoinDone { op, report, owner });
    }

    /// Takes a leave back, because the application joins. True if the SWIM layer has to be
    /// revived.
    pub fn take_leave_back(&mut self) -> bool {
        if !self.leave.is_under_way_or_done() {
            return false;
        }
        let (announced, was_left) = (self.leave.is_announced(), self.leave.is_done());
        let name = self.name.clone();
        self.leave.step = Step::Member;
        self.report_leave();
        self.change(&name, |entry| entry.status = Status::Alive);
        if was_left {
            self.tell(&name, EventBody::MemberJoin);
        }
        // Others pass a leave on with a Lamport time one later than it had: be later than that.
        self.member_clock.tick();
        if self.is_serf() {
            self.announce_join();
        }
        announced
    }
}
