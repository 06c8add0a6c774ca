//! What the SWIM layer says about a member, and what that makes of it here.
//!
//! | news | status before | after | event |
//! | --- | --- | --- | --- |
//! | joined | unknown, failed, left | alive, or leaving if such an intent waits | join |
//! | died or left | leaving | left | leave |
//! | died or left | alive | failed | fail |
//! | updated | any | same | update, if something visible changed |
//!
//! So the intent decides between left and failed, not the kind of the death notice (Serf 0.9.4
//! does the same). In memberlist mode there are no intents, and the notice decides.

use super::members::{Entry, Status};
use super::{CoreEvent, Member, MemberState, SerfState};
use crate::event::EventBody;
use crate::limits;
use crate::swim::{Change, Node};
use crate::time::Time;
use crate::wire::Refusal;
use crate::wire::serf_message;
use std::net::SocketAddr;
use std::sync::Arc;

impl SerfState {
    /// A change that the SWIM layer told. `node` is what it holds now, if it still does.
    pub fn swim_changed(
        &mut self,
        now: Time,
        change: Change,
        name: &Arc<str>,
        node: Option<&Node>,
    ) {
        match change {
            Change::Joined => {
                if let Some(node) = node {
                    self.joined(now, node);
                }
            }
            Change::Updated | Change::Cleared => {
                if change == Change::Cleared {
                    self.change(name, |entry| entry.suspect = false);
                }
                if let Some(node) = node {
                    self.updated(node);
                }
            }
            Change::Suspected => self.change(name, |entry| entry.suspect = true),
            Change::Died => self.gone(now, name, false),
            Change::Left => self.gone(now, name, true),
            Change::Forgotten => self.forgotten(name),
        }
    }

    /// A member as the application will see it. Its state is set by the table.
    fn describe(&mut self, node: &Node) -> Member {
        let tags = if self.is_serf() {
            serf_message::decode_tags(&node.meta).unwrap_or_else(|why| {
                self.refuse(why);
                Default::default()
            })
        } else {
            Default::default()
        };
        let [p0, p1, p2, d0, d1, d2] = node.vsn;
        Member {
            name: node.name.clone(),
            addr: node.addr,
            tags: Arc::new(tags),
            meta: node.meta.clone(),
            state: MemberState::Alive,
            incarnation: node.incarnation,
            protocol: [p0, p1, p2],
            delegate: [d0, d1, d2],
        }
    }

    /// Whether the filter hides this member. Counts it then.
    fn hides(&mut self, member: &Member) -> bool {
        let admitted = self.config.filter.admits(&member.name, &member.tags);
        if admitted || self.is_self(&member.name) {
            return false;
        }
        self.refuse(Refusal::Filtered);
        true
    }

    fn joined(&mut self, now: Time, node: &Node) {
        let member = self.describe(node);
        let hidden = self.hides(&member);
        let name = member.name.clone();
        let Some(entry) = self.members.get(&name) else {
            if self.adopt(now, member, hidden) {
                self.found(&name);
                self.tell(&name, EventBody::MemberJoin);
            }
            return;
        };
        let was_gone = !entry.status.is_present();
        self.change(&name, |entry| {
            (entry.status, entry.suspect, entry.prune) = (Status::Alive, false, false);
            entry.returning = false;
        });
        self.found(&name);
        self.replace(member, hidden, was_gone);
    }

    /// Takes up a member that was unknown. False if there is no room.
    fn adopt(&mut self, now: Time, member: Member, hidden: bool) -> bool {
        if self.members.len() >= limits::MEMBERS {
            let Some(longest_gone) = self.members.longest_gone() else {
                self.refuse(Refusal::TooManyMembers);
                return false;
            };
            self.erase(&longest_gone);
        }
        let (status, ltime) = match self.intents.take(&member.name) {
            Some(intent) if !self.is_self(&member.name) => (intent.status(), intent.ltime),
            Some(_) | None => (Status::Alive, 0),
        };
        let mut entry = Entry::new(member, status, ltime, hidden);
        entry.gone_at = now;
        self.members.insert(entry);
        true
    }

    /// New tags, address or versions.
    fn updated(&mut self, node: &Node) {
        if self.members.get(&node.name).is_none() {
            return;
        }
        let member = self.describe(node);
        let hidden = self.hides(&member);
        self.replace(member, hidden, false);
    }

    /// Puts a new description in the place of a member's old one, and tells what that means to
    /// the application. `back`: it had failed or left. Serf 0.9.4 compares tags as bytes, and
    /// reports an update when only their order changed; what nobody can see is not told here.
    fn replace(&mut self, member: Member, hidden: bool, back: bool) {
        let name = member.name.clone();
        let Some(entry) = self.members.get(&name) else {
            return;
        };
        let (before, was_hidden, status) = (entry.member.clone(), entry.hidden, entry.status);
        let differs = self.differs(&before, &member);
        if hidden && !was_hidden {
            self.events
                .push_back(CoreEvent::App(EventBody::MemberReap(before)));
        }
        self.change(&name, |entry| {
            entry.member = Arc::new(Member {
                state: entry.member.state,
                ..member
            });
            entry.suspicion_told &= !hidden;
            entry.hidden = hidden;
        });
        if !status.is_present() {
            return;
        }
        if back || was_hidden {
            self.tell(&name, EventBody::MemberJoin);
        } else if differs {
            self.tell(&name, EventBody::MemberUpdate);
        }
    }

    /// Whether an application can see a difference that is worth an event.
    fn differs(&self, before: &Member, after: &Member) -> bool {
        before.tags != after.tags
            || before.addr != after.addr
            || before.protocol != after.protocol
            || before.delegate != after.delegate
            || (!self.is_serf() && before.meta != after.meta)
    }

    /// A member died, or said itself that it is gone.
    fn gone(&mut self, now: Time, name: &Arc<str>, said_so: bool) {
        if self.is_self(name) {
            return;
        }
        let Some(entry) = self.members.get(name) else {
            return;
        };
        let status = match (entry.status, self.is_serf()) {
            (Status::Left | Status::Failed, _) => return,
            (Status::Leaving, _) => Status::Left,
            (Status::Alive, true) => Status::Failed,
            (Status::Alive, false) if said_so => Status::Left,
            (Status::Alive, false) => Status::Failed,
        };
        let (prune, addr) = (entry.prune, entry.member.addr);
        self.change(name, |entry| {
            (entry.status, entry.suspect, entry.gone_at) = (status, false, now);
        });
        if status == Status::Failed {
            self.tell(name, EventBody::MemberFail);
            self.lost(now, name, addr); // hidden or not: it is a way back into the cluster
            return;
        }
        self.tell(name, EventBody::MemberLeave);
        if prune {
            self.erase(name);
        }
    }

    /// The SWIM layer no longer knows a member. Serf keeps those that failed or left until the
    /// reaper comes; memberlist has nothing else to keep them by.
    fn forgotten(&mut self, name: &Arc<str>) {
        if self.is_serf() || self.is_self(name) {
            return;
        }
        self.drop_member(name);
    }

    /// The own member, after something about it changed that no notice tells.
    pub fn refresh_self(&mut self, node: &Node) {
        let stale = self.members.get(&node.name).is_some_and(|entry| {
            entry.member.incarnation != node.incarnation || entry.member.addr != node.addr
        });
        if stale {
            self.updated(node);
        }
    }

    /// Whether a known member lives at this address.
    pub fn is_address_of_member(&self, addr: SocketAddr) -> bool {
        self.members.iter().any(|entry| entry.member.addr == addr)
    }
}
