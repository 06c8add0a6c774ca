//! This node's own leave, step by step, each with a deadline:
//!
//! ```text
//! Member -> Intent      the leave intent is gossiped, until it has been sent often enough
//!        -> Spreading   the SWIM machine announces the departure, until that has spread
//!        -> Lingering   probes are still answered, so that no peer takes the leave for a failure
//!        -> Left
//! ```
//!
//! When no other member is present, Intent and Lingering are skipped; memberlist mode has no
//! Intent. A step that takes too long ends at its deadline and the leave goes on, as in newer
//! versions of Serf; 0.9.4 gives up. A join cancels the leave, whatever step it is in.

use super::CoreEvent;
use super::common::Common;
use super::members::SerfStatus;
use super::outbox::Order;
use crate::event::EventBody;
use crate::swim::OpId;
use crate::time::Time;
use std::time::Duration;

/// This bit is set in the numbers of leaves; those of the SWIM machine count from zero.
const OP_BIT: u64 = 1 << 62;

/// The step that the leave has reached.
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

/// The result of a leave command.
pub(super) struct Begun {
    pub op: OpId,
    /// If present: the caller has to announce a leave intent, whose broadcast carries this token.
    pub announce: Option<u64>,
}

/// This node's own leave.
#[derive(Debug, Default)]
pub(super) struct Leave {
    step: Step,
    /// Commands that wait for the end of the leave.
    ops: Vec<OpId>,
    /// The number of leave commands so far.
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

    /// Returns true if the SWIM machine was ordered to leave.
    fn is_announced(&self) -> bool {
        match self.step {
            Step::Member | Step::Intent { .. } => false,
            Step::Spreading { .. } | Step::Lingering { .. } | Step::Left => true,
        }
    }

    /// Returns the time at which the current step ends at the latest; `None` if no leave is under
    /// way.
    pub fn deadline(&self) -> Option<Time> {
        match self.step {
            Step::Member | Step::Left => None,
            Step::Intent { until } | Step::Spreading { until } | Step::Lingering { until } => {
                Some(until)
            }
        }
    }

    /// Moves the deadline, after a stall of this process.
    pub fn postpone(&mut self, by: Duration) {
        match &mut self.step {
            Step::Member | Step::Left => {}
            Step::Intent { until } | Step::Spreading { until } | Step::Lingering { until } => {
                *until = *until + by;
            }
        }
    }

    fn next_op(&mut self) -> OpId {
        self.numbered += 1;
        OpId(OP_BIT | self.numbered)
    }

    /// Begins to leave. If a leave is under way already, the command ends together with it.
    /// `disputed` is true if this node's name seems to belong to another node.
    pub fn begin(&mut self, now: Time, common: &mut Common, disputed: bool) -> Begun {
        let op = self.next_op();
        self.ops.push(op);
        let mut announce = None;
        match self.step {
            Step::Member if disputed => {
                // Peers would apply anything said about the name now to the other node.
                common.out.order(Order::LeaveSilently);
                self.finish(now, common);
            }
            Step::Member => announce = self.start(now, common),
            Step::Intent { .. } | Step::Spreading { .. } | Step::Lingering { .. } => {}
            Step::Left => self.report(common),
        }
        Begun { op, announce }
    }

    fn start(&mut self, now: Time, common: &mut Common) -> Option<u64> {
        let name = common.name.clone();
        common.change(&name, |row| row.status = SerfStatus::Leaving);
        self.token += 1;
        if common.is_serf() && common.has_company() {
            let until = now + common.config.broadcast_timeout;
            self.step = Step::Intent { until };
        } else {
            self.announce_departure(now, common);
        }
        common.is_serf().then_some(self.token)
    }

    fn announce_departure(&mut self, now: Time, common: &mut Common) {
        let until = now + common.config.broadcast_timeout;
        self.step = Step::Spreading { until };
        common.out.order(Order::Leave);
    }

    /// A broadcast has been sent often enough.
    pub fn on_broadcast_done(&mut self, now: Time, common: &mut Common, token: u64) {
        if matches!(self.step, Step::Intent { .. }) && token == self.token {
            self.announce_departure(now, common);
        }
    }

    /// The departure has spread.
    pub fn on_departure_spread(&mut self, now: Time, common: &mut Common) {
        if matches!(self.step, Step::Spreading { .. }) {
            self.linger(now, common);
        }
    }

    fn linger(&mut self, now: Time, common: &mut Common) {
        if common.has_company() {
            let until = now + common.config.leave_propagate;
            self.step = Step::Lingering { until };
        } else {
            self.finish(now, common);
        }
    }

    fn finish(&mut self, now: Time, common: &mut Common) {
        let name = common.name.clone();
        self.step = Step::Left;
        common.change(&name, |row| {
            (row.status, row.gone_at) = (SerfStatus::Left, now)
        });
        common.tell(&name, EventBody::MemberLeave);
        self.report(common);
    }

    fn report(&mut self, common: &mut Common) {
        for op in self.ops.drain(..) {
            common.out.report(CoreEvent::LeaveDone { op });
        }
    }

    /// Goes on to the next step when the current one has taken long enough.
    pub fn handle_timeout(&mut self, now: Time, common: &mut Common) {
        if self.deadline().is_none_or(|until| now < until) {
            return;
        }
        match self.step {
            Step::Member | Step::Left => {}
            Step::Intent { .. } => self.announce_departure(now, common),
            Step::Spreading { .. } => self.linger(now, common),
            Step::Lingering { .. } => self.finish(now, common),
        }
    }

    /// Cancels the leave, because the application joins. Returns true if the SWIM machine was
    /// ordered to leave and so has to be revived.
    pub fn cancel(&mut self, common: &mut Common) -> bool {
        let (announced, was_left) = (self.is_announced(), self.is_done());
        let name = common.name.clone();
        self.step = Step::Member;
        self.report(common);
        common.change(&name, |row| row.status = SerfStatus::Alive);
        if was_left {
            common.tell(&name, EventBody::MemberJoin);
        }
        announced
    }
}
