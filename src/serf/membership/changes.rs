//! Changes that the SWIM machine reports about members, and their effect on the table of members.
//! The rows below leave out suspicions, forgotten members, and members that the filter hides.
//!
//! | change | status before | status after | event |
//! | --- | --- | --- | --- |
//! | joined | unknown | alive, or leaving if a leave intent came before | join |
//! | joined | failed or left | alive | join |
//! | left | alive, leaving or failed | left | leave |
//! | died | leaving | left | leave |
//! | died | alive | failed | fail |
//! | updated | any | unchanged | update, if it differs and the member is present |
//!
//! A member has left if it said so in either way: by a leave intent, or by a dead message about
//! itself. Serf counts a member as failed if it has received no leave intent, although the datagram
//! with the intent may have been lost. In memberlist mode there are no intents.

use super::early_intents::EarlyIntents;
use crate::event::EventBody;
use crate::limits;
use crate::serf::Member;
use crate::serf::shared::common::Common;
use crate::serf::shared::members::{MemberRow, SerfStatus};
use crate::swim::{Change, Node};
use crate::time::Time;
use crate::wire::Refusal;
use std::sync::Arc;

/// The parts of the Serf layer that a report of the SWIM machine can change.
pub(in crate::serf) struct Changes<'a> {
    pub now: Time,
    pub common: &'a mut Common,
    pub early: &'a mut EarlyIntents,
}

impl Changes<'_> {
    /// Applies a change. `node` is the member as the SWIM machine knows it now; `None` if it has
    /// forgotten the member.
    pub fn apply(&mut self, change: Change, name: &Arc<str>, node: Option<&Node>) {
        match change {
            Change::Joined => {
                if let Some(node) = node {
                    self.joined(node);
                }
            }
            Change::Updated | Change::Cleared => {
                if change == Change::Cleared {
                    self.common.change(name, |row| row.suspect = false);
                }
                if let Some(node) = node {
                    self.updated(node);
                }
            }
            Change::Suspected => self.common.change(name, |row| row.suspect = true),
            Change::Died => self.gone(name, false),
            Change::Left => self.gone(name, true),
            Change::Forgotten => self.forgotten(name),
        }
    }

    /// Returns true, and counts a refusal, if the filter hides this member. This node is never
    /// hidden.
    fn hides(&mut self, member: &Member) -> bool {
        let admitted = self
            .common
            .config
            .filter
            .admits(&member.name, member.tags());
        if admitted || self.common.is_self(&member.name) {
            return false;
        }
        self.common.out.refuse(Refusal::Filtered);
        true
    }

    fn joined(&mut self, node: &Node) {
        let member = self.common.describe(node);
        let hidden = self.hides(&member);
        let name = member.name.clone();
        let Some(row) = self.common.members.get(&name) else {
            if self.adopt(member, hidden) {
                self.common.end_search(&name);
                self.common.record_present(&name);
                self.common.tell(&name, EventBody::MemberJoin);
            }
            return;
        };
        let was_gone = !row.status.is_present();
        self.common.change(&name, |row| {
            (row.status, row.suspect, row.prune) = (SerfStatus::Alive, false, false);
            row.returning = false;
        });
        self.common.end_search(&name);
        self.replace(member, hidden, was_gone);
    }

    /// Adds a member that was unknown. If the table is full, the new member replaces one that
    /// failed or left long ago. Returns false if the table is full of members that are present.
    fn adopt(&mut self, member: Member, hidden: bool) -> bool {
        if self.common.members.len() >= limits::MEMBERS {
            let Some(longest_gone) = self.common.members.take_long_gone() else {
                self.common.out.refuse(Refusal::TooManyMembers);
                return false;
            };
            self.common.erase(&longest_gone);
        }
        let (status, ltime) = match self.early.take(&member.name) {
            Some(intent) if !self.common.is_self(&member.name) => (intent.status(), intent.ltime),
            Some(_) | None => (SerfStatus::Alive, 0),
        };
        let mut row = MemberRow::new(member, status, ltime, hidden);
        // Until the member is gone, this is the time at which it was added.
        row.gone_at = self.now;
        self.common.members.insert(row);
        true
    }

    /// Takes over the new tags, address or versions of a known member.
    fn updated(&mut self, node: &Node) {
        if self.common.members.get(&node.name).is_none() {
            return;
        }
        let member = self.common.describe(node);
        let hidden = self.hides(&member);
        self.replace(member, hidden, false);
    }

    /// Replaces the description of a member, and emits the event that follows from it. `back` is
    /// true if the member had failed or left, and has returned. Serf 0.9.4 compares the encoded
    /// tags, and so reports an update even if only their order changed; here only the changes that
    /// [`Member::differs_from`] lists cause an event.
    fn replace(&mut self, member: Member, hidden: bool, back: bool) {
        let name = member.name.clone();
        let Some(row) = self.common.members.get(&name) else {
            return;
        };
        let (before, was_hidden, status) = (row.member.clone(), row.hidden, row.status);
        let differs = before.differs_from(&member);
        if hidden && !was_hidden {
            self.common.out.tell(EventBody::MemberReap(before));
        }
        self.common.change(&name, |row| {
            row.member = member.in_state(row.member.state);
            row.suspicion_told &= !hidden;
            row.hidden = hidden;
        });
        self.common.record_present(&name);
        if !status.is_present() {
            return;
        }
        if back || was_hidden {
            self.common.tell(&name, EventBody::MemberJoin);
        } else if differs {
            self.common.tell(&name, EventBody::MemberUpdate);
        }
    }

    /// A member died or left. `announced` is true if the member itself said that it left.
    fn gone(&mut self, name: &Arc<str>, announced: bool) {
        if self.common.is_self(name) {
            return;
        }
        let Some(row) = self.common.members.get(name) else {
            if announced {
                self.common.give_up(name);
            }
            return;
        };
        let status = match row.status {
            SerfStatus::Alive | SerfStatus::Failed if announced => SerfStatus::Left,
            SerfStatus::Left | SerfStatus::Failed => return,
            SerfStatus::Leaving => SerfStatus::Left,
            SerfStatus::Alive => SerfStatus::Failed,
        };
        let (prune, addr, now) = (row.prune, row.member.addr, self.now);
        // If the departure was announced but the status is not leaving, this node has missed the
        // intent. The row still holds the time of the join; the time of the intent was above it.
        let missed = row.status != SerfStatus::Leaving && announced;
        self.common.change(name, |row| {
            (row.status, row.suspect, row.gone_at) = (status, false, now);
            row.ltime = row.ltime.saturating_add(missed.into());
        });
        if status == SerfStatus::Failed {
            self.common.tell(name, EventBody::MemberFail);
            // Hidden members are searched for as well: any member is a way back into the cluster.
            self.common.start_search(now, name, addr);
            return;
        }
        self.common.give_up(name);
        self.common.tell(name, EventBody::MemberLeave);
        if prune {
            self.common.erase(name);
        }
    }

    /// The SWIM machine has forgotten a member. In serf mode, members that failed or left stay on
    /// the list until they are reaped; in memberlist mode they are taken off it now. A member that
    /// is still present had to make room in a full table; it is taken off in both modes.
    fn forgotten(&mut self, name: &Arc<str>) {
        let row = self.common.members.get(name);
        let is_present = row.is_some_and(|row| row.status.is_present());
        if self.common.is_self(name) || (self.common.is_serf() && !is_present) {
            return;
        }
        self.common.drop_member(name);
    }

    /// Brings this node's own row up to date after a change that the SWIM machine does not report.
    pub fn refresh_self(&mut self, node: &Node) {
        let stale = self.common.members.own().is_some_and(|row| {
            row.member.incarnation != node.incarnation || row.member.addr != node.addr
        });
        if stale {
            self.updated(node);
        }
    }
}
