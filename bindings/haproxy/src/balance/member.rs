//! A member in its slot: what the cluster says about the member, the state that its server should
//! have, and the state that the server has.

use super::assignment::{AdminState, Assignment};
use super::orders::Order;
use super::reach::{Reach, Record, Standing};
use sprat::service::servers::candidate::{Candidate, Desired, Presence};
use sprat::time::Time;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The reason why a server is held: its removal is due but not allowed, or its member has not been
/// heard from yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// No other server would be ready. If HAProxy reaches any ready server, those that it does not
    /// reach do not count.
    Last,
    /// Too few other servers would be ready.
    Floor,
    /// Removals are frozen.
    Frozen,
    /// Removals are paced, and the time for the next one has not come yet.
    Paced,
    /// The server comes from the snapshot, and its member has not been heard from yet.
    Remembered,
}

impl Hold {
    /// Returns the reason as `show sprat` prints it.
    pub fn text(self) -> &'static str {
        match self {
            Hold::Last => "HAProxy would reach no other ready server",
            Hold::Floor => "too few other servers would be ready",
            Hold::Frozen => "removals are frozen",
            Hold::Paced => "removals are paced",
            Hold::Remembered => "not listed by the cluster since the start",
        }
    }
}

/// How easily a member can do without its slot. The slots of the first variant are given away
/// first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Spare {
    /// The member has left or is no longer listed; its server is stopped.
    Left,
    /// The member has failed, and is more likely to return than one that left. Its server is
    /// stopped.
    Failed,
    /// The member is present or remembered, and its server is stopped.
    Stopped,
    /// The member has left, has failed, or is no longer listed; its server is draining.
    Leaving,
    /// Neither the cluster nor HAProxy reaches the member; its server is draining.
    Lost,
    /// HAProxy does not reach the server, which is ready or draining.
    Unreachable,
    /// The member is present or remembered. Its server is draining, and clients may be bound to it.
    Draining,
}

/// The cluster's knowledge of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listing {
    /// The member comes from the snapshot; the cluster has not mentioned it yet.
    Remembered,
    /// The cluster lists the member.
    Listed(Presence),
    /// The cluster no longer lists the member, or the member no longer has the backend's tag.
    Unlisted,
}

/// A member in a slot.
#[derive(Clone, Debug)]
pub(super) struct SlotMember {
    pub name: Arc<str>,
    pub addr: SocketAddr,
    pub weight: u16,
    /// Whether HAProxy sends requests to its server, by the last report.
    pub reach: Reach,
    /// The order of an operator.
    pub order: Order,
    desired: Desired,
    /// True while the member cannot be a server, or another member owns the address that it claims.
    unfit: bool,
    listing: Listing,
    /// True while the member counts as failed only because the cluster did not mention it in time
    /// after a restart.
    unreported: bool,
    /// The time at which `listing` last changed.
    since: Time,
    /// True once another member owns its address, until the member is present and owns an address.
    superseded: bool,
    /// True if the cluster listed the member as failed before it stopped listing the member.
    lost: bool,
    /// True while HAProxy itself listens at its address: its requests would come back to HAProxy.
    at_haproxy: bool,
    state: AdminState,
    hold: Option<Hold>,
    record: Record,
}

impl SlotMember {
    /// Creates a member that the cluster lists.
    pub fn new(candidate: &Candidate, addr: SocketAddr, now: Time) -> SlotMember {
        SlotMember {
            name: candidate.name.clone(),
            addr,
            weight: candidate.weight,
            reach: Reach::Reached,
            order: Order::default(),
            desired: candidate.desired,
            unfit: false,
            listing: Listing::Listed(candidate.presence),
            unreported: false,
            since: now,
            superseded: false,
            lost: false,
            at_haproxy: false,
            state: AdminState::Maint,
            hold: None,
            record: Record::default(),
        }
    }

    /// Creates a member from a snapshot; `None` if the slot of the assignment is free.
    pub fn remembered(assignment: &Assignment, now: Time) -> Option<SlotMember> {
        Some(SlotMember {
            name: assignment.name.clone()?,
            addr: assignment.addr?,
            weight: assignment.weight,
            reach: Reach::Reached,
            order: Order::default(),
            desired: Desired::Ready,
            unfit: false,
            listing: Listing::Remembered,
            unreported: false,
            since: now,
            superseded: false,
            lost: false,
            at_haproxy: false,
            state: assignment.state,
            hold: None,
            record: Record::default(),
        })
    }

    /// Applies what the cluster says now. `addr` is `None` if the member cannot be a server, or if
    /// another member owns its address.
    pub fn update(&mut self, candidate: &Candidate, addr: Option<SocketAddr>, now: Time) {
        let listing = Listing::Listed(candidate.presence);
        if self.listing != listing {
            (self.listing, self.since) = (listing, now);
        }
        self.unreported = false;
        (self.weight, self.desired) = (candidate.weight, candidate.desired);
        self.unfit = addr.is_none();
        // Only a member that is present can claim an address.
        if let (Some(addr), true) = (addr, self.is_present()) {
            (self.addr, self.superseded) = (addr, false);
        }
    }

    /// Takes the addresses at which HAProxy itself listens.
    pub fn compare_with_listeners(&mut self, listeners: &[SocketAddr]) {
        self.at_haproxy = listeners.contains(&self.addr);
    }

    /// Notes that the cluster does not list the member. A remembered member stays remembered, and
    /// a member that is unreported still counts as failed.
    pub fn set_unlisted(&mut self, now: Time) {
        match self.listing {
            Listing::Listed(presence) if !self.unreported => {
                self.lost = presence == Presence::Failed;
                (self.listing, self.since) = (Listing::Unlisted, now);
            }
            Listing::Listed(_) | Listing::Remembered | Listing::Unlisted => {}
        }
    }

    /// Takes the order of an operator. When an order for a remembered member is withdrawn, its
    /// server is ready again if the order was the reason for its state: no other state is known.
    pub fn set_order(&mut self, order: Order) {
        let before = std::mem::replace(&mut self.order, order);
        let is_withdrawn = order.state.is_none() && before.state == Some(self.state);
        if is_withdrawn && self.is_remembered() {
            self.set_state(AdminState::Ready);
        }
    }

    /// Counts a remembered member as failed, because the cluster did not mention it in time.
    pub fn end_memory(&mut self, now: Time) {
        if self.is_remembered() {
            (self.listing, self.since) = (Listing::Listed(Presence::Failed), now);
            self.unreported = true;
        }
    }

    /// Returns true if the member counts as failed only because the cluster did not mention it in
    /// time after a restart.
    pub fn is_unreported(&self) -> bool {
        self.unreported
    }

    /// Forgets a member that is unreported, as if the cluster had stopped listing it.
    pub fn forget(&mut self, now: Time) {
        self.unreported = false;
        self.set_unlisted(now);
    }

    /// Notes that another member owns the address now.
    pub fn supersede(&mut self) {
        self.superseded = true;
    }

    /// Merges a second snapshot entry for the same member; the state that admits more requests
    /// wins. This has no effect once the member has been heard from.
    pub fn merge_remembered(&mut self, state: AdminState) {
        if self.is_remembered() && state < self.state {
            self.set_state(state);
        }
    }

    /// Returns how easily the member can do without its slot; `None` if its server is ready and
    /// HAProxy reaches it. The lowest rank gives its slot up first; within a rank, the member whose
    /// listing has been the same for longest.
    pub fn spare_rank(&self) -> Option<(Spare, Time)> {
        let is_gone = !self.is_present() && !self.is_remembered();
        let has_failed = self.listing == Listing::Listed(Presence::Failed);
        let is_lost = self.listing == Listing::Listed(Presence::Suspect) && self.is_unreachable();
        let spare = match self.state {
            AdminState::Maint if has_failed => Spare::Failed,
            AdminState::Maint if is_gone => Spare::Left,
            AdminState::Maint => Spare::Stopped,
            AdminState::Drain if is_gone => Spare::Leaving,
            AdminState::Drain if is_lost => Spare::Lost,
            AdminState::Drain | AdminState::Ready if self.is_unreachable() => Spare::Unreachable,
            AdminState::Drain => Spare::Draining,
            AdminState::Ready => return None,
        };
        Some((spare, self.since))
    }

    /// Returns the member as a candidate for another slot; `None` if it is not present, does not
    /// own its address, or may not serve.
    pub fn candidate(&self) -> Option<Candidate> {
        let may_serve = self.desired != Desired::Maint && !self.unfit && !self.at_haproxy;
        let wants_a_slot = self.owns_its_address() && may_serve;
        let presence = match self.listing {
            Listing::Listed(presence) if wants_a_slot => presence,
            Listing::Listed(_) | Listing::Remembered | Listing::Unlisted => return None,
        };
        Some(Candidate {
            name: self.name.clone(),
            presence,
            addr: Ok(self.addr),
            weight: self.weight,
            desired: self.desired,
            ignored: Vec::new(),
        })
    }

    pub fn is_superseded(&self) -> bool {
        self.superseded
    }

    /// Returns true if the guard does not apply to the server: an operator has ordered that it
    /// drains or stops, or the member is HAProxy itself and serves nobody.
    pub fn is_unguarded(&self) -> bool {
        self.order.is_removal() || self.at_haproxy
    }

    pub fn is_remembered(&self) -> bool {
        self.listing == Listing::Remembered
    }

    /// Returns true if the cluster believes that the member runs.
    pub fn is_present(&self) -> bool {
        matches!(self.listing, Listing::Listed(presence) if presence.is_there())
    }

    /// Returns true if the member is present and no other member has its address.
    pub fn owns_its_address(&self) -> bool {
        self.is_present() && !self.superseded
    }

    /// Returns the time at which to stop a server that is draining because its member left.
    pub fn stops_at(&self, drain: Duration) -> Option<Time> {
        let leaves =
            self.listing == Listing::Listed(Presence::Left) && self.state == AdminState::Drain;
        leaves.then_some(self.since + drain)
    }

    pub fn since(&self) -> Time {
        self.since
    }

    pub fn state(&self) -> AdminState {
        self.state
    }

    /// Returns the reason why the server is still ready although it should not be. If there is no
    /// such reason and the member is remembered, returns [`Hold::Remembered`], whatever the
    /// server's state.
    pub fn hold(&self) -> Option<Hold> {
        self.hold
            .or(self.is_remembered().then_some(Hold::Remembered))
    }

    /// Returns true if a due removal is held back. [`Hold::Remembered`] does not count, because it
    /// holds back no due removal.
    pub fn is_held(&self) -> bool {
        self.hold.is_some()
    }

    pub fn set_hold(&mut self, hold: Hold) {
        self.hold = Some(hold);
    }

    pub fn set_state(&mut self, state: AdminState) {
        self.state = state;
        self.hold = None;
    }

    /// Returns true if the member no longer needs its slot.
    pub fn needs_no_slot(&self) -> bool {
        self.listing == Listing::Unlisted && self.state == AdminState::Maint
    }

    /// Returns the reason for the state of the server.
    pub fn reason(&self) -> &'static str {
        if let Some(hold) = self.hold {
            return hold.text();
        }
        if self.superseded {
            return "another member has its address";
        }
        if self.at_haproxy {
            return "HAProxy itself listens at its address";
        }
        if self.unfit {
            return "the member cannot be a server";
        }
        if self.order.state.is_some() {
            return "an operator ordered this state";
        }
        match self.listing {
            Listing::Remembered => Hold::Remembered.text(),
            Listing::Unlisted => "the cluster no longer lists the member with this tag",
            Listing::Listed(_) if self.unreported => Hold::Remembered.text(),
            Listing::Listed(Presence::Failed) => "the member has failed",
            Listing::Listed(Presence::Left) => "the member has left",
            Listing::Listed(Presence::Leaving) => "the member is leaving",
            Listing::Listed(_) if self.desired != Desired::Ready => "the member asks for it",
            Listing::Listed(_) if self.state != AdminState::Ready => {
                "neither the cluster nor HAProxy reaches the member"
            }
            Listing::Listed(_) => "the member is present",
        }
    }

    /// Returns the state that the server should have if no guard held it.
    pub fn target(&self) -> AdminState {
        if self.superseded || self.unfit || self.at_haproxy {
            return AdminState::Maint;
        }
        if let Some(ordered) = self.order.state {
            return ordered;
        }
        match (self.listing, self.desired) {
            (Listing::Remembered, _) => self.state,
            (Listing::Unlisted | Listing::Listed(Presence::Failed), _) => AdminState::Maint,
            (Listing::Listed(Presence::Left), _) => AdminState::Drain,
            (Listing::Listed(_), Desired::Maint) => AdminState::Maint,
            (Listing::Listed(_), Desired::Drain) => AdminState::Drain,
            // Neither the cluster nor HAProxy reaches the member. The server is drained rather than
            // stopped, so that HAProxy goes on checking it. The server is ready again once the
            // cluster or HAProxy reaches the member.
            (Listing::Listed(Presence::Suspect), Desired::Ready) if self.is_unreachable() => {
                AdminState::Drain
            }
            (
                Listing::Listed(Presence::Alive | Presence::Suspect | Presence::Leaving),
                Desired::Ready,
            ) => AdminState::Ready,
        }
    }

    /// Like `target`, but `Maint` for a member that left at least `drain` ago, unless an operator
    /// ordered the drain.
    pub fn target_at(&self, now: Time, drain: Duration) -> AdminState {
        match (self.listing, self.target()) {
            (Listing::Listed(Presence::Left), AdminState::Drain)
                if now.since(self.since) >= drain && self.order.state.is_none() =>
            {
                AdminState::Maint
            }
            (_, target) => target,
        }
    }

    /// Returns true if HAProxy sends no requests to the server: the health checks do not reach it,
    /// or someone else has drained or stopped it.
    pub fn is_unreachable(&self) -> bool {
        self.reach != Reach::Reached
    }

    /// Returns the use of the server for requests.
    fn standing(&self) -> Standing {
        match (self.state, self.reach) {
            (AdminState::Ready, Reach::Reached) => Standing::Serves,
            // An operator has ordered that the server stays, even while it is down.
            (AdminState::Ready, Reach::Down) if self.order.state.is_some() => Standing::Unknown,
            (AdminState::Ready | AdminState::Drain, Reach::Down) => Standing::Down,
            (_, Reach::Reached | Reach::TakenAway) | (AdminState::Maint, Reach::Down) => {
                Standing::Unknown
            }
        }
    }

    /// Notes the use of the server for requests. `counts` is false while this cannot be told.
    pub fn note_standing(&mut self, now: Time, counts: bool) {
        let standing = if counts {
            self.standing()
        } else {
            Standing::Unknown
        };
        self.record.note(standing, now);
    }

    /// Returns the time at which this standing will have lasted for `patience`; `None` if the
    /// server does not have it.
    pub fn lasts_at(&self, standing: Standing, patience: Duration) -> Option<Time> {
        let lasts_at = self.record.lasts_at(standing, patience);
        lasts_at.filter(|_| self.standing() == standing)
    }

    /// Returns true if the server is ready and HAProxy reaches it.
    pub fn serves(&self) -> bool {
        self.state == AdminState::Ready && !self.is_unreachable()
    }

    /// Returns true if the server is draining, HAProxy reaches it, and it is guarded.
    pub fn may_be_recalled(&self) -> bool {
        self.state == AdminState::Drain && !self.is_unreachable() && !self.is_unguarded()
    }

    /// Returns true if the removal is not caused by a failure: the member left, no longer has the
    /// tag, asks for it, cannot be a server, or has lost its address to another member.
    pub fn is_voluntary(&self) -> bool {
        if self.superseded {
            return true; // another member serves at its address now
        }
        match self.listing {
            Listing::Unlisted => !self.lost,
            Listing::Listed(Presence::Leaving | Presence::Left) => true,
            Listing::Remembered | Listing::Listed(Presence::Failed) => false,
            Listing::Listed(Presence::Alive | Presence::Suspect) => {
                self.desired != Desired::Ready || self.unfit
            }
        }
    }

    /// Returns true if the member counts among the known members, of which a share stays ready.
    pub fn counts_as_known(&self, now: Time, memory: Duration) -> bool {
        match self.listing {
            Listing::Remembered | Listing::Listed(Presence::Alive | Presence::Suspect) => true,
            Listing::Listed(Presence::Failed) => now.since(self.since) < memory,
            Listing::Unlisted | Listing::Listed(Presence::Leaving | Presence::Left) => false,
        }
    }

    pub fn assignment(&self, slot: usize) -> Assignment {
        Assignment {
            slot,
            name: Some(self.name.clone()),
            addr: Some(self.addr),
            weight: self.weight,
            state: self.state,
            order: self.order.number,
            is_unguarded: self.is_unguarded(),
        }
    }
}
