//! Intents: announcements that a member has joined or is leaving, whatever the SWIM machine has
//! noticed.
//!
//! Each intent carries a Lamport time, and counts only if that is later than the time of the last
//! intent about the same member. A leave intent turns an earlier or later failure of the member
//! into a leave; a join intent cancels an earlier leave intent. A node that learns that others
//! wrongly believe it to be leaving refutes this with a join intent. Intents about unknown names
//! wait in [`EarlyIntents`].

use super::early_intents::{EarlyIntents, IntentKind};
use crate::event::EventBody;
use crate::serf::shared::clock::Clock;
use crate::serf::shared::common::Common;
use crate::serf::shared::members::SerfStatus;
use crate::serf::shared::outbox::{Order, lane};
use crate::time::Time;
use crate::wire::serf_message::{JoinIntent, LeaveIntent, SerfMessage};
use std::sync::Arc;

/// The clock of intents, and the intents about members that are not known yet.
#[derive(Debug)]
pub(in crate::serf) struct Intents {
    pub clock: Clock,
    pub early: EarlyIntents,
}

impl Intents {
    pub fn new() -> Intents {
        Intents {
            clock: Clock::new(),
            early: EarlyIntents::default(),
        }
    }

    /// Handles a leave intent. `silent` is true if this node does not refute an intent about its
    /// name, because it is leaving or has left, or because the name belongs to another node.
    /// Returns true if this node should pass the intent on.
    pub fn on_leave(
        &mut self,
        now: Time,
        common: &mut Common,
        intent: &LeaveIntent<'_>,
        silent: bool,
    ) -> bool {
        if !self.clock.witness(&mut common.out, intent.ltime) {
            return false;
        }
        let (ltime, prune) = (intent.ltime, intent.prune);
        let Some(row) = common.members.get(intent.node) else {
            let (out, name) = (&mut common.out, intent.node);
            return (self.early).keep(now, out, IntentKind::Leave, name, ltime);
        };
        let (name, status, held) = (row.member.name.clone(), row.status, row.ltime);
        let own = common.is_self(&name);
        // If a leave has exactly the time of our last join, some member believed it, so it has to
        // be refuted. If it has the time of our own leave, it is that leave, passed back to us.
        let refutable = own && !silent;
        if ltime < held || (ltime == held && !refutable) {
            return false;
        }
        if refutable {
            common.out.counts.intents_refuted += 1;
            self.announce_join(common);
            return false;
        }
        if own {
            common.change(&name, |row| row.ltime = ltime);
            return true;
        }
        match status {
            SerfStatus::Alive | SerfStatus::Leaving => common.change(&name, |row| {
                (row.status, row.ltime) = (SerfStatus::Leaving, ltime);
                row.prune |= prune;
            }),
            SerfStatus::Failed => {
                common.change(&name, |row| {
                    (row.status, row.ltime) = (SerfStatus::Left, ltime)
                });
                common.give_up(&name);
                common.tell(&name, EventBody::MemberLeave);
            }
            SerfStatus::Left => common.change(&name, |row| {
                (row.ltime, row.returning) = (ltime, false);
            }),
        }
        if prune && !status.is_present() {
            common.erase(&name);
        }
        true
    }

    /// Handles a join intent. Returns true if this node should pass it on.
    pub fn on_join(&mut self, now: Time, common: &mut Common, intent: &JoinIntent<'_>) -> bool {
        if !self.clock.witness(&mut common.out, intent.ltime) {
            return false;
        }
        let ltime = intent.ltime;
        let Some(row) = common.members.get(intent.node) else {
            let (out, name) = (&mut common.out, intent.node);
            return (self.early).keep(now, out, IntentKind::Join, name, ltime);
        };
        if ltime <= row.ltime {
            return false;
        }
        let name = row.member.name.clone();
        // A join intent about this node comes from an earlier run, so it does not cancel a leave.
        let is_other = !common.is_self(&name);
        common.change(&name, |row| {
            row.ltime = ltime;
            row.returning = row.status == SerfStatus::Left;
            if is_other && row.status == SerfStatus::Leaving {
                (row.status, row.prune) = (SerfStatus::Alive, false);
            }
        });
        true
    }

    /// Announces that this node is a member.
    pub fn announce_join(&mut self, common: &mut Common) {
        let (ltime, name) = (self.clock.tick(), common.name.clone());
        common.change(&name, |row| row.ltime = ltime);
        common.out.counts.intents_sent += 1;
        let intent = SerfMessage::Join(JoinIntent { ltime, node: &name });
        common.out.broadcast(lane::INTENTS, &intent, None);
    }

    /// Announces that a member leaves: this node itself, or a failed member that is removed. The
    /// intent is gossiped only if another member is present. `token` is reported when the intent
    /// has been sent often enough. An intent about this node itself is also sent directly to the
    /// live members (in a large cluster, to some of them).
    pub fn announce_leave(
        &mut self,
        now: Time,
        common: &mut Common,
        node: &str,
        prune: bool,
        token: Option<u64>,
        leaving: bool,
    ) {
        // Determined before the intent is handled: afterwards the only other member may be leaving.
        let company = common.has_company();
        let intent = LeaveIntent {
            ltime: self.clock.tick(),
            node,
            prune,
        };
        self.on_leave(now, common, &intent, leaving);
        if company {
            common.out.counts.intents_sent += 1;
            let own = common.is_self(node);
            let intent = SerfMessage::Leave(intent);
            common.out.broadcast(lane::INTENTS, &intent, token);
            if own {
                let intent = intent.encoded();
                common.out.order(Order::AnnounceLeave { intent });
            }
        }
    }

    /// Announces this node's leave to the member `to`, which became known only after the first
    /// announcement. The intent gets a later time than the first: the member may have learned the
    /// time of the first intent by a push/pull without learning that it was a leave.
    pub fn tell_of_leave(&mut self, common: &mut Common, to: &Arc<str>) {
        let (ltime, node) = (self.clock.tick(), common.name.clone());
        common.change(&node, |row| row.ltime = ltime);
        common.out.counts.intents_sent += 1;
        let intent = SerfMessage::Leave(LeaveIntent {
            ltime,
            node: &node,
            prune: false,
        });
        common.out.order(Order::TellOfLeave {
            name: to.clone(),
            intent: Some(intent.encoded()),
        });
    }
}
