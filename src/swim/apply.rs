//! Applying: a message about a member is merged, and the change is carried out, passed on, and
//! reported as a notice.
//!
//! `merge` decides, and this file carries out the verdict. To do so, it calls the parts that have
//! to learn of a change. The state of another member changes in one function, [`Swim::enter`],
//! whatever the reason: gossip, push/pull, a failed probe, or the end of a suspicion.

use super::detection::probe::ProbeEnd;
use super::output::{Change, Node, Notice};
use super::shared::broadcast_queue::PassOn;
use super::table::members::MemberIndex;
use super::table::merge::{self, AddressMatch, Held, Offer, OwnVerdict, Verdict};
use super::table::record::{MemberRecord, versions};
use super::{NodeState, Swim, local::local_node};
use crate::limits;
use crate::member::NodeFacts;
use crate::wire::Refusal;
use crate::wire::message::{Accusation, Alive, Message};
use std::net::SocketAddr;
use std::sync::Arc;

impl Swim {
    /// Changes the state of a member other than this node, and reports the change. Returns the
    /// previous state.
    fn enter(&mut self, member: MemberIndex, state: NodeState) -> NodeState {
        let ctx = &mut self.ctx;
        let before = ctx.table.set_state(member, state, ctx.now);
        if before == NodeState::Suspect {
            self.suspects.clear(member);
        }
        let change = match (before, state) {
            (NodeState::Dead | NodeState::Left, NodeState::Alive) => Change::Joined,
            (NodeState::Suspect, NodeState::Alive) => Change::Cleared,
            (NodeState::Alive, NodeState::Alive) => Change::Updated,
            (_, NodeState::Suspect) => Change::Suspected,
            (_, NodeState::Dead) => Change::Died,
            (_, NodeState::Left) => Change::Left,
        };
        if let Some(record) = ctx.table.get(member) {
            let name = record.node().name.clone();
            ctx.outbox.tell_member(change, name);
        }
        before
    }

    /// Handles an alive message. Returns true if it made a member known or alive again.
    pub(super) fn on_alive(&mut self, alive: &Alive, pass_on: PassOn) -> bool {
        let vsn = versions(alive.vsn);
        let range_is_wrong = vsn[0] == 0 || vsn[1] == 0 || vsn[0] > vsn[1];
        if !alive.vsn.is_empty() && range_is_wrong {
            self.refuse(Refusal::VersionRange);
            return false;
        }
        let Some((addr, mapped)) = self.ctx.decode_addr(alive.addr, alive.port) else {
            self.refuse(Refusal::AddressLength);
            return false;
        };
        if alive.node == &*self.ctx.local.name {
            self.on_alive_of_self(alive, addr);
            return false;
        }
        let member = self.ctx.table.find(alive.node);
        let record = member.and_then(|member| self.ctx.table.get(member));
        let (held, relation) = match record {
            Some(record) => (Some(held(record)), self.relation(record.node(), addr)),
            None => (None, AddressMatch::Same),
        };
        let is_new_address = record.is_none() || relation != AddressMatch::Same;
        if is_new_address && !self.ctx.is_allowed(addr.ip()) {
            self.refuse(Refusal::AddressNotAllowed);
            return false;
        }
        let held_there = held.filter(|_| relation == AddressMatch::Same);
        if self.refuse_leap(held_there, alive.incarnation, addr) {
            return false;
        }
        match merge::merge(held, Offer::Alive, alive.incarnation, relation) {
            Verdict::Create => self.create(alive, addr, mapped, pass_on),
            Verdict::Refresh => {
                member.is_some_and(|member| self.refresh(member, alive, addr, mapped, pass_on))
            }
            Verdict::Conflict => {
                self.refuse(Refusal::Conflict);
                let record = member.and_then(|member| self.ctx.table.get(member));
                if let Some(node) = record.map(MemberRecord::node) {
                    let (name, known) = (node.name.clone(), node.addr);
                    self.tell_conflict(name, known, addr, true);
                }
                if let Some(member) = member {
                    self.on_claim_of_other(member);
                }
                false
            }
            Verdict::Ignore | Verdict::Suspect | Verdict::Confirm | Verdict::MarkDead => false,
        }
    }

    /// Handles a suspect message.
    pub(super) fn on_suspect(&mut self, accusation: &Accusation, pass_on: PassOn) {
        self.on_accusation(Offer::Suspect, accusation, pass_on);
    }

    /// Refuses a message whose incarnation is far ahead of the one held about the member at `addr`,
    /// asks the member itself, and returns true. Without this rule, one forged message would
    /// outrank everything that the member says. `held` is `None` if the name is unknown at this
    /// address. Returns false for any other message, and for the member's own answer on a stream.
    /// Also returns false if the setting `join_sync` is off, because then no member would be asked.
    /// memberlist has no such rule.
    fn refuse_leap(&mut self, held: Option<Held>, incarnation: u32, addr: SocketAddr) -> bool {
        let highest = match held {
            Some(held) => held.incarnation.saturating_add(limits::INCARNATION_LEAP),
            None => limits::FIRST_INCARNATION,
        };
        let is_own_answer = self.ctx.outbox.sources.answering() == Some(addr);
        if incarnation <= highest || is_own_answer || !self.ctx.config.join_sync {
            return false;
        }
        self.refuse(Refusal::IncarnationLeap);
        self.join_sync.on_leap(&mut self.ctx, addr);
        true
    }

    /// Returns true for a message about this node whose incarnation is so far ahead that the answer
    /// to it could use up all incarnations. An answer on a stream that this node dialled is
    /// believed.
    fn refuse_own_leap(&mut self, incarnation: u32) -> bool {
        let own = self.ctx.table.local().node().incarnation;
        let highest = own
            .saturating_add(limits::INCARNATION_LEAP)
            .max(limits::FIRST_INCARNATION);
        let is_answer = self.ctx.outbox.sources.answering().is_some();
        let is_leap = incarnation > highest && !is_answer && self.ctx.config.join_sync;
        if is_leap {
            self.refuse(Refusal::IncarnationLeap);
        }
        is_leap
    }

    /// Handles an accusation of a member that has left: the accuser has missed the leave, and would
    /// report a failure, so the layer above tells it of the leave. Only the accuser itself is told,
    /// at the address that the member table has for it, and not the members that pass the
    /// accusation on. memberlist does not do this.
    pub(super) fn correct_accuser(&mut self, from: SocketAddr, accusation: &Accusation) {
        let table = &self.ctx.table;
        let left = table.named(accusation.node).map(MemberRecord::node);
        let left = left.filter(|it| it.state == NodeState::Left);
        let left = left.filter(|it| it.incarnation == accusation.incarnation);
        let accuser = table.named(accusation.from);
        let is_accuser = accuser.is_some_and(|it| it.is_live() && it.node().addr == from);
        if let Some(node) = left.filter(|_| is_accuser && !self.ctx.local.left) {
            let name = node.name.clone();
            self.ctx.outbox.tell(Notice::LeaveMissed { name, by: from });
        }
    }

    /// Handles a dead message. If the accuser is the member itself, the member has left.
    pub(super) fn on_dead(&mut self, accusation: &Accusation, pass_on: PassOn) {
        let offer = if accusation.is_by_itself() {
            Offer::Left
        } else {
            Offer::Dead
        };
        self.on_accusation(offer, accusation, pass_on);
    }

    fn on_accusation(&mut self, offer: Offer, accusation: &Accusation, pass_on: PassOn) {
        if accusation.node == &*self.ctx.local.name {
            return self.on_accusation_of_self(offer, accusation.incarnation);
        }
        let Some(member) = self.ctx.table.find(accusation.node) else {
            return self.on_leave_of_unknown(offer, accusation.node);
        };
        let Some(record) = self.ctx.table.get(member) else {
            return;
        };
        let (held, addr) = (Some(held(record)), record.node().addr);
        if self.refuse_leap(held, accusation.incarnation, addr) {
            return;
        }
        match merge::merge(held, offer, accusation.incarnation, AddressMatch::Same) {
            Verdict::Suspect => self.suspect(member, accusation, pass_on),
            Verdict::Confirm => {
                if self.suspects.confirm(member, accusation.from) {
                    self.pass_on(member, &Message::Suspect(*accusation), pass_on);
                }
            }
            Verdict::MarkDead => self.mark_dead(member, offer, accusation, pass_on),
            Verdict::Ignore | Verdict::Create | Verdict::Refresh | Verdict::Conflict => {}
        }
    }

    /// A message says that a member has left which the table has forgotten, or has never had. If
    /// this node looks for the member, the layer above ends the search.
    fn on_leave_of_unknown(&mut self, offer: Offer, name: &str) {
        if offer == Offer::Left && self.reconnect.lost().contains(name) {
            self.ctx.outbox.tell_member(Change::Left, name.into());
        }
    }

    /// A probe ended.
    pub(super) fn on_probe_end(&mut self, end: ProbeEnd) {
        match end {
            ProbeEnd::Answered { member, name, addr } => {
                // A node that has taken over the name at another address has not answered.
                let record = self.ctx.table.get_named(member, &name);
                if let Some(record) = record.filter(|it| it.node().addr == addr) {
                    record.heard = true;
                    self.suspects.on_answer(member);
                }
            }
            ProbeEnd::Failed { name, incarnation } => {
                let pass_on = self.pass_on_own_accusation();
                self.accuse(Offer::Suspect, &name, incarnation, pass_on);
            }
        }
    }

    /// A suspect did not refute in time: declares it dead.
    pub(super) fn on_suspicion_end(&mut self, member: MemberIndex) {
        let pass_on = self.pass_on_own_accusation();
        if let Some(node) = self.ctx.table.get(member).map(MemberRecord::node) {
            let (name, incarnation) = (node.name.clone(), node.incarnation);
            self.accuse(Offer::Dead, &name, incarnation, pass_on);
        }
    }

    /// Returns how an accusation by this node itself is passed on. A node that has left passes none
    /// on, and only updates its own view.
    pub(super) fn pass_on_own_accusation(&self) -> PassOn<'static> {
        match self.ctx.local.left {
            true => PassOn::No,
            false => PassOn::Encoded,
        }
    }

    /// This node itself accuses a member.
    fn accuse(&mut self, offer: Offer, name: &str, incarnation: u32, pass_on: PassOn) {
        let from = self.ctx.local.name.clone();
        let accusation = Accusation {
            incarnation,
            node: name,
            from: &from,
        };
        self.on_accusation(offer, &accusation, pass_on);
    }

    /// A member lists this node's name at another address: as alive or suspect if `alive` is true,
    /// otherwise as dead. Or the node there claims the name itself, by a vote.
    pub(super) fn on_claim(&mut self, addr: SocketAddr, alive: bool) {
        self.refuse(Refusal::Conflict);
        if self.name_conflicts.on_claim(&mut self.ctx, addr) {
            let own = self.ctx.table.local().node();
            let (name, known) = (own.name.clone(), own.addr);
            self.tell_conflict(name, known, addr, alive);
        }
    }

    /// Another member is claimed at another address. The known address may be that of an earlier
    /// run. If it is, this node should soon find out and accept the claim. memberlist does not do
    /// this.
    fn on_claim_of_other(&mut self, member: MemberIndex) {
        let Some(node) = self.ctx.table.get(member).map(MemberRecord::node) else {
            return;
        };
        let reclaim = self.ctx.config.dead_reclaim;
        if node.state == NodeState::Dead && !reclaim.is_zero() {
            let due = node.since + reclaim;
            self.join_sync.on_early_claim(&mut self.ctx, due);
        } else {
            self.probing.doubt(&mut self.ctx, member);
        }
    }

    /// Handles an alive message about this node.
    fn on_alive_of_self(&mut self, alive: &Alive, addr: SocketAddr) {
        if self.refuse_own_leap(alive.incarnation) {
            return;
        }
        let own = self.ctx.table.local().node();
        let relation = if addr == own.addr {
            AddressMatch::Same
        } else {
            AddressMatch::Other { reclaimable: false }
        };
        let identical =
            alive.meta.unwrap_or_default() == &*own.meta && versions(alive.vsn) == own.vsn;
        let left = self.ctx.local.left;
        let (held, offered) = (own.incarnation, alive.incarnation);
        match merge::merge_own(left, held, Offer::Alive, offered, relation, identical) {
            OwnVerdict::Ignore | OwnVerdict::Repeat => {}
            OwnVerdict::Refute => local_node::refute(&mut self.ctx, offered),
            OwnVerdict::Conflict => self.on_claim(addr, true),
        }
    }

    /// Handles a suspect or dead message about this node.
    pub(super) fn on_accusation_of_self(&mut self, offer: Offer, incarnation: u32) {
        if self.refuse_own_leap(incarnation) {
            return;
        }
        let own = self.ctx.table.local().node().incarnation;
        let left = self.ctx.local.left;
        match merge::merge_own(left, own, offer, incarnation, AddressMatch::Same, false) {
            OwnVerdict::Refute => {
                // An accusation of an earlier run of this node says nothing about this run's
                // health.
                let former = incarnation > own || offer == Offer::Left;
                if !former && self.name_conflicts.claimed().is_none() {
                    self.ctx.awareness.worsen(1);
                }
                local_node::refute(&mut self.ctx, incarnation);
            }
            OwnVerdict::Repeat => {
                let queue = &self.ctx.broadcasts.members;
                if !queue.is_about(&self.ctx.local.name) {
                    local_node::announce(&mut self.ctx);
                }
            }
            OwnVerdict::Ignore | OwnVerdict::Conflict => {}
        }
    }

    /// Compares the address in an alive message with that of the member.
    fn relation(&self, node: &Node, addr: SocketAddr) -> AddressMatch {
        if node.addr == addr {
            return AddressMatch::Same;
        }
        let after = self.ctx.config.dead_reclaim;
        let reclaimable = !after.is_zero() && self.ctx.now.since(node.since) > after;
        AddressMatch::Other { reclaimable }
    }

    /// Adds a new member. Returns false if the table is full and no member makes room.
    fn create(&mut self, alive: &Alive, addr: SocketAddr, mapped: bool, pass_on: PassOn) -> bool {
        if !self.make_room() {
            self.refuse(Refusal::TooManyMembers);
            return false;
        }
        let ctx = &mut self.ctx;
        let name: Arc<str> = alive.node.into();
        let facts = NodeFacts {
            name: name.clone(),
            addr,
            meta: alive.meta.unwrap_or_default().into(),
            vsn: versions(alive.vsn),
            incarnation: alive.incarnation,
        };
        let node = Node {
            facts: (ctx.share)(facts),
            state: NodeState::Alive,
            since: ctx.now,
        };
        let member = ctx.table.insert(node, mapped, &mut ctx.random);
        ctx.outbox.tell_member(Change::Joined, name);
        self.pass_on(member, &Message::Alive(*alive), pass_on);
        self.note_gained(pass_on);
        true
    }

    /// While the table is full, removes members that are not needed. Returns false if the table
    /// stays full.
    fn make_room(&mut self) -> bool {
        let ctx = &mut self.ctx;
        while ctx.table.is_full(ctx.config.member_bytes) {
            let Some(evicted) = ctx.table.evict(&mut ctx.random) else {
                return false;
            };
            ctx.outbox.stats.members_evicted += 1;
            ctx.outbox.tell_member(Change::Forgotten, evicted);
        }
        true
    }

    /// Takes over the content of an alive message. Returns true if the member was dead or had left.
    fn refresh(
        &mut self,
        member: MemberIndex,
        alive: &Alive,
        addr: SocketAddr,
        mapped: bool,
        pass_on: PassOn,
    ) -> bool {
        self.ctx.table.refresh(member, alive, addr, mapped);
        let before = self.enter(member, NodeState::Alive);
        self.pass_on(member, &Message::Alive(*alive), pass_on);
        let gained = matches!(before, NodeState::Dead | NodeState::Left);
        if gained {
            self.note_gained(pass_on);
        }
        if self.ctx.table.exceeds(self.ctx.config.member_bytes) {
            self.make_room(); // the member has more meta than before
        }
        gained
    }

    fn suspect(&mut self, member: MemberIndex, accusation: &Accusation, pass_on: PassOn) {
        let accuser: Arc<str> = accusation.from.into();
        if let Some(record) = self.ctx.table.get_mut(member) {
            record.accuse(accusation.incarnation, &accuser);
        }
        self.enter(member, NodeState::Suspect);
        self.suspects.begin(&self.ctx, member, accuser);
        self.ctx.outbox.stats.suspicions += 1;
        self.pass_on(member, &Message::Suspect(*accusation), pass_on);
    }

    fn mark_dead(
        &mut self,
        member: MemberIndex,
        offer: Offer,
        accusation: &Accusation,
        pass_on: PassOn,
    ) {
        let has_left = offer == Offer::Left;
        if let Some(record) = self.ctx.table.get_mut(member) {
            if has_left {
                record.leave(accusation.incarnation);
            } else {
                record.accuse(accusation.incarnation, &accusation.from.into());
            }
        }
        let state = if has_left {
            NodeState::Left
        } else {
            NodeState::Dead
        };
        self.enter(member, state);
        self.pass_on(member, &Message::Dead(*accusation), pass_on);
        self.reconnect.arm(&mut self.ctx);
    }

    /// Queues a message about a member for gossip.
    fn pass_on(&mut self, member: MemberIndex, message: &Message, pass_on: PassOn) {
        let bytes: Arc<[u8]> = match pass_on {
            PassOn::Received(bytes) => bytes.into(),
            PassOn::Encoded => message.encoded().into(),
            PassOn::No => return,
        };
        if let Some(record) = self.ctx.table.get(member) {
            let name = record.node().name.clone();
            self.ctx.queue_broadcast(&name, bytes);
        }
    }

    /// A member became known or alive again. Counts the member for the join sync if this node
    /// learned of it by gossip.
    fn note_gained(&mut self, pass_on: PassOn) {
        if matches!(pass_on, PassOn::Received(_)) {
            self.join_sync.on_learned(&mut self.ctx);
        }
    }

    fn tell_conflict(
        &mut self,
        name: Arc<str>,
        known: SocketAddr,
        claimed: SocketAddr,
        alive: bool,
    ) {
        self.ctx.outbox.tell(Notice::Conflict {
            name,
            known,
            claimed,
            alive,
        });
    }
}

/// The facts about a member that the merge rule compares.
fn held(record: &MemberRecord) -> Held {
    Held {
        state: record.node().state,
        incarnation: record.node().incarnation,
    }
}
