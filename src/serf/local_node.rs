//! This node itself: its joins, its leave, and its name, which another node may claim. A member
//! that the application removes is announced like a leave of this node.
//!
//! While the name is disputed, this node is silent about itself: it refutes no leave intent and
//! announces no join, because members would apply its messages to the other node. It announces its
//! join when the dispute is over.

use super::memberlist::Claim;
use super::queries::asked_query::Purpose;
use super::queries::internal_query;
use super::queries::request::{Content, QuerySender};
use super::shared::outbox::Order;
use super::shared::vote::Tally;
use super::{CoreEvent, QueryOptions, SerfState};
use crate::swim::{ConflictVerdict, JoinReport, NameConflict, OpId};
use crate::time::Time;
use crate::wire::wire_name;
use std::net::SocketAddr;

impl SerfState {
    // Joins and the leave.

    /// A join command ended, or reached a node. If at least one node answered, this node announces
    /// itself to the whole cluster, unless it is leaving or has left, or its name belongs to
    /// another node or is disputed; only in serf mode.
    pub fn join_done(&mut self, now: Time, op: OpId, report: JoinReport) {
        self.replay.join_done(op);
        let config = &self.common.config.swim;
        let owner = self
            .conflicts
            .owner_at_join(now, config, self.name_conflict);
        if report.contacted > 0 && owner.is_none() {
            if report.reached_another {
                self.conflicts.name_accepted();
            }
            if !self.leave.is_under_way_or_done() {
                self.announce_join(now);
            }
        }
        let done = CoreEvent::JoinDone { op, report, owner };
        self.common.out.report(done);
    }

    /// Announces the join of this node, in serf mode, unless its name is disputed.
    pub fn announce_join(&mut self, now: Time) {
        if self.common.is_serf() && !self.is_name_disputed(now) {
            self.intents.announce_join(&mut self.common);
        }
    }

    /// Begins to leave. If a leave is under way already, the command ends together with it.
    pub fn begin_leave(&mut self, now: Time) -> OpId {
        let disputed = self.is_name_disputed(now);
        let begun = self.leave.begin(now, &mut self.common, disputed);
        if begun.announce.is_some() {
            let name = self.common.name.clone();
            self.announce_leave(now, &name, false, begun.announce);
        }
        self.conflicts.name_given_up();
        if let Some(snapshot) = &mut self.common.snapshot {
            snapshot.on_leave(now);
        }
        begun.op
    }

    /// Announces that a member leaves: this node itself, or a member that failed or left and that
    /// the application removes. If `prune` is true, every node erases the member. The broadcast
    /// carries the token, if there is one.
    pub fn announce_leave(&mut self, now: Time, name: &str, prune: bool, token: Option<u64>) {
        let leaving = self.leave.is_under_way_or_done();
        self.intents
            .announce_leave(now, &mut self.common, name, prune, token, leaving);
    }

    /// Cancels a leave, because the application joins. Returns false if no leave is under way or
    /// done.
    pub fn cancel_leave(&mut self, now: Time) -> bool {
        if !self.leave.is_under_way_or_done() {
            return false;
        }
        self.leave.cancel(&mut self.common);
        if let Some(snapshot) = &mut self.common.snapshot {
            snapshot.on_return();
        }
        // A peer that learns of the leave by push/pull applies it with a Lamport time one later
        // than the one announced. The join intent must be later still.
        self.intents.clock.tick();
        self.announce_join(now);
        true
    }

    // The name.

    /// A known name is claimed at another address. `asked` is true if the claim came from a peer
    /// that this node had asked, and `alive` if the claim says that the node is alive there.
    pub fn name_claimed(
        &mut self,
        now: Time,
        name: &str,
        claimed: SocketAddr,
        asked: bool,
        alive: bool,
    ) {
        self.common.out.counts.conflicts += 1;
        if !self.common.is_self(name) {
            return;
        }
        self.common.out.counts.conflicts_self += 1;
        let asked = asked && !self.leave.is_under_way_or_done();
        self.conflicts
            .on_claim(now, &mut self.common, claimed, asked, alive);
    }

    /// Reports a claim about another member to an application built on memberlist.
    pub fn report_conflict(&mut self, now: Time, claim: Claim) {
        if !self.common.is_self(&claim.name) {
            let out = &mut self.common.out;
            self.memberlist.on_conflict(now, out, claim);
        }
    }

    /// Returns true if this node's name belongs to another node, which answers to it.
    pub fn is_name_taken(&self) -> bool {
        self.conflicts.owner(self.name_conflict).is_some()
    }

    /// Returns true if this node's name belongs to another node, or may belong to it.
    pub fn is_name_disputed(&self, now: Time) -> bool {
        let (conflicts, common) = (&self.conflicts, &self.common);
        conflicts.is_name_disputed(now, common, self.name_conflict)
    }

    /// Notes whether the name of this node is disputed. Once it no longer is, this node announces
    /// itself.
    pub fn note_dispute(&mut self, now: Time) {
        let is_disputed = self.is_name_disputed(now);
        let is_over = std::mem::replace(&mut self.was_disputed, is_disputed) && !is_disputed;
        if is_over && !self.leave.is_under_way_or_done() {
            self.announce_join(now);
        }
    }

    /// A node at this address answers to this node's name.
    pub fn name_taken(&mut self, now: Time, addr: SocketAddr) {
        if !self.leave.is_under_way_or_done() {
            self.conflicts.on_taken(now, &mut self.common, addr);
        }
    }

    /// Asks the members whether this node's name belongs to it, or to the node at `other`. If the
    /// query cannot be sent, the vote ends without answers.
    pub fn call_vote(&mut self, now: Time, other: SocketAddr, sender: QuerySender) {
        let tally = Tally::new(sender.addr, other);
        let name = self.common.name.clone();
        let content = Content {
            name: internal_query::CONFLICT,
            payload: &wire_name::to_bytes(&name),
            is_internal: true,
        };
        let options = QueryOptions::default();
        let purpose = Purpose::Vote(tally);
        if self.ask(now, purpose, content, &options, sender).is_err() {
            self.common.out.order(Order::EndVote(tally));
        }
    }

    /// The members have voted about this node's name. The vote is void if this node leaves
    /// meanwhile, or if the other node no longer answers.
    pub fn vote_ended(&mut self, now: Time, tally: &Tally) {
        let is_other = |conflict: &NameConflict| {
            conflict.addr == tally.other && conflict.verdict == ConflictVerdict::Alive
        };
        let answers = self.name_conflict.as_ref().is_some_and(is_other);
        if answers && !self.leave.is_under_way_or_done() {
            self.conflicts.on_vote(now, &mut self.common, tally);
        }
    }
}
