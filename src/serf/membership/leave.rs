//! This node's own leave, in steps that each have a deadline:
//!
//! ```text
//! Member -> Intent      the leave intent is gossiped, and sent to members that acknowledge it
//!        -> Spreading   the same happens to the departure, which the SWIM machine announces
//!        -> Lingering   probes are still answered, so that no peer sees the leave as a failure
//!        -> Left
//! ```
//!
//! When no other member is present, Intent and Lingering are skipped; memberlist mode has no
//! Intent. A node whose name seems to belong to another node goes to Left immediately. A step that
//! takes too long ends at its deadline and the leave goes on, as in newer versions of Serf; Serf
//! 0.9.4 gives up. A member that becomes known during the leave is told of it, and each step waits
//! for its acknowledgement as well. The report at the end names the members that have not
//! acknowledged the leave. A join cancels the leave, whatever step it is in.

use crate::event::EventBody;
use crate::serf::CoreEvent;
use crate::serf::event::LeaveEnd;
use crate::serf::shared::common::Common;
use crate::serf::shared::members::SerfStatus;
use crate::serf::shared::outbox::Order;
use crate::swim::OpId;
use crate::time::Time;
use std::sync::Arc;
use std::time::Duration;

/// A bit that is set in the number of each leave. The SWIM machine numbers its operations from 1
/// up, so none of its numbers has this bit.
const OP_BIT: u64 = 1 << 62;

/// The step that the leave has reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    #[default]
    Member,
    Intent(Announcing),
    Spreading(Announcing),
    Lingering(Lingering),
    Left,
}

/// The progress of an announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Announcing {
    until: Time,
    /// True once the announcement has been gossiped often enough.
    gossiped: bool,
    /// True once every member that was told has acknowledged the announcement or was given up.
    acked: bool,
}

/// The end of the leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lingering {
    until: Time,
    /// The time at which the leave ends if a member that was told late does not acknowledge it.
    longest: Time,
    /// False while such a member is awaited.
    acked: bool,
}

/// The result of a leave command.
pub(in crate::serf) struct Begun {
    pub op: OpId,
    /// If present, the caller has to announce a leave intent, whose broadcast carries this token.
    pub announce: Option<u64>,
}

/// This node's own leave.
#[derive(Debug, Default)]
pub(in crate::serf) struct Leave {
    step: Step,
    /// Commands that wait for the end of the leave.
    ops: Vec<OpId>,
    /// The number of leave commands so far.
    numbered: u64,
    /// Marks the broadcast of the current leave intent.
    token: u64,
    /// The members that have not acknowledged the leave that ended last.
    unacked: Vec<Arc<str>>,
}

impl Leave {
    pub fn is_under_way_or_done(&self) -> bool {
        self.step != Step::Member
    }

    pub fn is_under_way(&self) -> bool {
        self.is_under_way_or_done() && !self.is_done()
    }

    pub fn is_done(&self) -> bool {
        self.step == Step::Left
    }

    /// Returns the deadline of the current step; `None` if no leave is under way.
    pub fn deadline(&self) -> Option<Time> {
        match self.step {
            Step::Member | Step::Left => None,
            Step::Intent(announcing) | Step::Spreading(announcing) => Some(announcing.until),
            Step::Lingering(it) => Some(if it.acked { it.until } else { it.longest }),
        }
    }

    /// Moves the deadline, after a stall of this process.
    pub fn postpone(&mut self, by: Duration) {
        match &mut self.step {
            Step::Member | Step::Left => {}
            Step::Intent(announcing) | Step::Spreading(announcing) => {
                announcing.until = announcing.until + by;
            }
            Step::Lingering(it) => (it.until, it.longest) = (it.until + by, it.longest + by),
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
                // Peers would apply anything said about the name to the other node.
                common.out.order(Order::LeaveSilently);
                self.finish(now, common);
            }
            Step::Member => announce = self.start(now, common),
            Step::Intent(_) | Step::Spreading(_) | Step::Lingering(_) => {}
            Step::Left => self.report(common, &self.left()),
        }
        Begun { op, announce }
    }

    fn start(&mut self, now: Time, common: &mut Common) -> Option<u64> {
        let name = common.name.clone();
        common.change(&name, |row| row.status = SerfStatus::Leaving);
        self.token += 1;
        if common.is_serf() && common.has_company() {
            self.step = Step::Intent(Announcing::begin(now, common));
        } else {
            self.announce_departure(now, common);
        }
        common.is_serf().then_some(self.token)
    }

    fn announce_departure(&mut self, now: Time, common: &mut Common) {
        self.step = Step::Spreading(Announcing::begin(now, common));
        common.out.order(Order::Leave);
    }

    /// A broadcast has been sent often enough.
    pub fn on_broadcast_done(&mut self, now: Time, common: &mut Common, token: u64) {
        match &mut self.step {
            Step::Intent(announcing) if token == self.token => announcing.gossiped = true,
            _ => return,
        }
        self.go_on(now, common);
    }

    /// The departure has been gossiped often enough.
    pub fn on_departure_gossiped(&mut self, now: Time, common: &mut Common) {
        match &mut self.step {
            Step::Spreading(announcing) => announcing.gossiped = true,
            _ => return,
        }
        self.go_on(now, common);
    }

    /// A member that became known only now is being told of the leave.
    pub fn on_told_late(&mut self) {
        self.set_acked(false);
    }

    /// Every member that was told has acknowledged the announcement of the current step, or was
    /// given up.
    pub fn on_acked(&mut self, now: Time, common: &mut Common) {
        self.set_acked(true);
        self.go_on(now, common);
    }

    fn set_acked(&mut self, acked: bool) {
        match &mut self.step {
            Step::Intent(announcing) | Step::Spreading(announcing) => announcing.acked = acked,
            Step::Lingering(lingering) => lingering.acked = acked,
            Step::Member | Step::Left => {}
        }
    }

    /// Goes on to the next step if the current announcement is complete.
    fn go_on(&mut self, now: Time, common: &mut Common) {
        match self.step {
            Step::Intent(announcing) if announcing.is_complete() => {
                self.announce_departure(now, common);
            }
            Step::Spreading(announcing) if announcing.is_complete() => self.linger(now, common),
            Step::Lingering(it) if it.acked && now >= it.until => self.finish(now, common),
            _ => {}
        }
    }

    fn linger(&mut self, now: Time, common: &mut Common) {
        if common.has_company() {
            let until = now + common.config.leave_propagate;
            self.step = Step::Lingering(Lingering {
                until,
                longest: until + common.config.broadcast_timeout,
                acked: true,
            });
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
        common.out.order(Order::EndLeave);
    }

    /// The announcements of the leave have ended. `unacked` are the live members that have not
    /// acknowledged them.
    pub fn on_ended(&mut self, common: &mut Common, unacked: Vec<Arc<str>>) {
        self.unacked = unacked;
        self.report(common, &self.left());
    }

    fn left(&self) -> LeaveEnd {
        let unacked = self.unacked.clone();
        LeaveEnd::Left { unacked }
    }

    fn report(&mut self, common: &mut Common, end: &LeaveEnd) {
        for op in self.ops.drain(..) {
            let end = end.clone();
            common.out.report(CoreEvent::LeaveDone { op, end });
        }
    }

    /// Goes on to the next step when the current one has taken long enough.
    pub fn handle_timeout(&mut self, now: Time, common: &mut Common) {
        if self.deadline().is_none_or(|until| now < until) {
            return;
        }
        match self.step {
            Step::Member | Step::Left => {}
            Step::Intent(_) => self.announce_departure(now, common),
            Step::Spreading(_) => self.linger(now, common),
            Step::Lingering(_) => self.finish(now, common),
        }
    }

    /// Cancels the leave, because the application joins.
    pub fn cancel(&mut self, common: &mut Common) {
        let was_left = self.is_done();
        let name = common.name.clone();
        self.step = Step::Member;
        self.report(common, &LeaveEnd::Cancelled);
        common.change(&name, |row| row.status = SerfStatus::Alive);
        if was_left {
            common.tell(&name, EventBody::MemberJoin);
        }
    }
}

impl Announcing {
    fn begin(now: Time, common: &Common) -> Announcing {
        Announcing {
            until: now + common.config.broadcast_timeout,
            gossiped: false,
            acked: false,
        }
    }

    fn is_complete(self) -> bool {
        self.gossiped && self.acked
    }
}
