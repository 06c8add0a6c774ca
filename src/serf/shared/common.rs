//! Everything that the parts of the Serf state share: the settings, the members, the lost members,
//! the snapshot, and the outbox.
//!
//! Each part owns its own state and is handed a [`Common`], together with the time. Every change of
//! a row that the application can see goes through [`Common::change`], which also emits an event
//! when the member becomes suspect, or is alive again after a suspicion. Several parts learn that a
//! member is present, lost or gone: the functions by which they note this also update the snapshot.

use super::lost::Lost;
use super::members::{MemberRow, Members};
use super::outbox::Outbox;
use crate::event::EventBody;
use crate::per_second::PerSecond;
use crate::serf::snapshot::Snapshot;
use crate::serf::{Config, Member, MemberState, Mode, Past};
use crate::swim::{LostSince, Node};
use crate::time::Time;
use crate::wire::serf_message::TagReader;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The maximum number of searches of the whole table in a second. Only messages that name no member
/// need one: those of very old nodes.
const SEARCHES_PER_SECOND: u32 = 64;

/// The state that the parts share.
#[derive(Debug)]
pub(in crate::serf) struct Common {
    pub config: Config,
    /// The name of this node.
    pub name: Arc<str>,
    pub members: Members,
    pub lost: Lost,
    /// `None` if no snapshot is kept.
    pub snapshot: Option<Box<Snapshot>>,
    pub out: Outbox,
    searches: PerSecond,
}

impl Common {
    pub fn new(config: Config, name: Arc<str>) -> Common {
        Common {
            config,
            name,
            members: Members::default(),
            lost: Lost::default(),
            snapshot: None,
            out: Outbox::default(),
            searches: PerSecond::new(SEARCHES_PER_SECOND),
        }
    }

    pub fn is_serf(&self) -> bool {
        match self.config.mode {
            Mode::Serf => true,
            Mode::Memberlist => false,
        }
    }

    /// Returns true if acks carry coordinates.
    pub fn has_coordinates(&self) -> bool {
        self.is_serf() && self.config.coordinates
    }

    /// Returns true if `name` is the name of this node.
    pub fn is_self(&self, name: &str) -> bool {
        *self.name == *name
    }

    /// Returns true if the member of this name has this address. If the name is empty, any member
    /// may have it; after too many such searches in one second, the answer is false.
    pub fn is_member_at(&mut self, now: Time, name: &str, addr: SocketAddr) -> bool {
        match name {
            "" => self.searches.has_room(now) && self.members.has_address(addr),
            _ => self
                .members
                .get(name)
                .is_some_and(|row| row.member.addr == addr),
        }
    }

    /// Returns the time of `mult` rounds of gossip for each digit of the number of members that are
    /// present: the time that a message needs grows with the logarithm of that number.
    pub fn gossip_time(&self, mult: u32) -> Duration {
        let present = self.members.count_present() as f64;
        let digits = libm::log10(present + 1.0).ceil() as u32;
        self.config.swim.gossip_interval * mult * digits.max(1)
    }

    /// Returns true if another member of this name is present.
    pub fn is_other_present(&self, name: &str) -> bool {
        let row = self.members.get(name).filter(|_| !self.is_self(name));
        row.is_some_and(|row| row.status.is_present())
    }

    /// Returns true if another member is present to receive gossip.
    pub fn has_company(&self) -> bool {
        let own = self.members.own();
        let own = own.is_some_and(|own| own.status.is_present());
        self.members.count_present() > usize::from(own)
    }

    /// Returns a member as the application will see it, except for the state, which is always
    /// `Alive`. Counts tags that cannot be read as refusals.
    pub fn describe(&mut self, node: &Node) -> Member {
        let facts = node.facts.clone();
        if !self.is_serf() {
            return Member::without_tags(facts, MemberState::Alive);
        }
        TagReader::new(&node.meta, |why| self.out.refuse(why)).for_each(drop);
        Member::with_tags(facts, MemberState::Alive)
    }

    /// Changes a member. Emits an event if the application now sees the member as suspect, or as
    /// alive again after a suspicion.
    pub fn change(&mut self, name: &str, change: impl FnOnce(&mut MemberRow)) {
        let Some(row) = self.members.change(name, change) else {
            return;
        };
        if row.hidden {
            return;
        }
        match (row.member.state, row.suspicion_told) {
            (MemberState::Suspect, false) => {
                row.suspicion_told = true;
                self.out.tell(EventBody::MemberSuspect(row.member.clone()));
            }
            (MemberState::Alive, true) => {
                row.suspicion_told = false;
                self.out.tell(EventBody::MemberAlive(row.member.clone()));
            }
            (MemberState::Failed | MemberState::Left, _) => row.suspicion_told = false,
            (MemberState::Suspect, true)
            | (MemberState::Alive, false)
            | (MemberState::Leaving, _) => {}
        }
    }

    /// Emits an event about a member, unless the member is hidden.
    pub fn tell(&mut self, name: &str, event: impl FnOnce(Member) -> EventBody) {
        if let Some(row) = self.members.get(name).filter(|row| !row.hidden) {
            self.out.tell(event(row.member.clone()));
        }
    }

    /// Begins to keep a snapshot, and to search for the members of the earlier run.
    pub fn resume(&mut self, now: Time, mut past: Past) {
        past.members.remove(&self.name);
        self.snapshot = Some(Box::new(Snapshot::new(&past, now)));
        for (name, member) in past.members {
            let had_failed = member.had_failed;
            let since = LostSince::EarlierRun { had_failed };
            let (lost, out) = (&mut self.lost, &mut self.out);
            lost.add(now, out, &name, member.addr, since);
        }
    }

    /// Puts a member into the snapshot if it is present and is another node.
    pub fn record_present(&mut self, name: &Arc<str>) {
        let (Some(snapshot), Some(row)) = (&mut self.snapshot, self.members.get(name)) else {
            return;
        };
        if row.status.is_present() && *self.name != **name {
            snapshot.on_present(name, row.member.addr);
        }
    }

    /// Takes a member off the list. The search for it goes on.
    pub fn drop_member(&mut self, name: &str) {
        if let Some(row) = self.members.remove(name).filter(|row| !row.hidden) {
            self.out.counts.reaped += 1;
            self.out.tell(EventBody::MemberReap(row.member));
        }
        if !self.lost.unlist(&mut self.out, name) {
            self.give_up(name);
        }
    }

    /// Ends the search for a member and takes it off the list.
    pub fn erase(&mut self, name: &str) {
        self.give_up(name);
        self.drop_member(name);
    }

    /// Starts the search of the SWIM machine for a member that has failed.
    pub fn start_search(&mut self, now: Time, name: &Arc<str>, addr: SocketAddr) {
        (self.lost).add(now, &mut self.out, name, addr, LostSince::ThisRun);
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.on_failed(name, addr);
        }
    }

    /// Ends the search for a member that has left, is erased, or has been lost for too long.
    pub fn give_up(&mut self, name: &str) {
        self.end_search(name);
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.on_gone(name);
        }
    }

    /// Ends the search for a member, because it is back.
    pub fn end_search(&mut self, name: &str) {
        self.lost.remove(&mut self.out, name);
    }

    /// Moves all stored times about members forward, after a stall of this process.
    pub fn postpone(&mut self, by: Duration) {
        self.members.postpone(by);
        self.lost.postpone(by);
    }
}
