//! Two nodes with one name. Conflicts are counted; one about the own name may mean that this node
//! should stop, and then the application is told once.
//!
//! Who has a name is decided as by peers: whom they knew first. Serf asks the cluster for a vote,
//! by a query that this node does not send yet; it asks the other one itself (`swim::name_conflict`).
//! If those asked by our first join listed our name as alive at another address, somebody had it
//! before us, or we did, in a former life. It is certain that it is somebody else when
//!
//! - a node at that address answers to the name, or
//! - others still list it there after more than the time in which a cluster notices that somebody
//!   is gone: somebody who can be reached by them, though not by us.
//!
//! Until it is certain the application is warned, and a leave tells nobody: a word about that name
//! would be taken for one about its owner.

use super::{CoreEvent, SerfState};
use crate::swim::{self, NameConflict};
use crate::time::Time;
use std::net::SocketAddr;
use std::time::Duration;

/// What is known about claims to the own name.
#[derive(Debug, Default)]
pub(super) struct Conflicts {
    /// A join has succeeded: who claims the name from now on came after us.
    joined: bool,
    /// Who had the name before us, and since when we know.
    before_us: Option<(SocketAddr, Time)>,
    /// When they last claimed it.
    claimed: Time,
    /// Whom the application was warned of.
    warned: Option<SocketAddr>,
    told: bool,
}

impl Conflicts {
    pub fn join_succeeded(&mut self) {
        self.joined = true;
    }

    /// Nobody claims the name any more.
    pub fn over(&mut self) {
        self.before_us = None;
        self.warned = None;
        self.told = false;
    }

    pub fn postpone(&mut self, by: Duration) {
        if let Some((_, since)) = &mut self.before_us {
            *since = *since + by;
        }
        self.claimed = self.claimed + by;
    }

    fn was_before_us(&self, addr: SocketAddr) -> bool {
        self.before_us.is_some_and(|(before, _)| before == addr)
    }
}

impl SerfState {
    /// A known name is claimed by another address. `asked`: by somebody whom this node asked.
    pub fn name_claimed(&mut self, now: Time, name: &str, claimed: SocketAddr, asked: bool) {
        self.counts.conflicts += 1;
        if !self.is_self(name) {
            return;
        }
        self.counts.conflicts_self += 1;
        if self.conflicts.was_before_us(claimed) {
            self.conflicts.claimed = now;
        }
        if !asked || self.leave.is_under_way_or_done() {
            return;
        }
        let patience = time_to_notice(&self.config.swim, self.members.len());
        match self.conflicts.before_us {
            None if !self.conflicts.joined => {
                self.conflicts.before_us = Some((claimed, now));
                self.conflicts.claimed = now;
                self.warn_of(claimed);
            }
            Some((before, since)) if before == claimed && now.since(since) > patience => {
                self.tell_conflict(claimed);
            }
            None | Some(_) => {}
        }
    }

    /// A node at this address answers to the own name.
    pub fn name_taken(&mut self, addr: SocketAddr) {
        if self.leave.is_under_way_or_done() {
            return;
        }
        if self.conflicts.was_before_us(addr) {
            self.tell_conflict(addr);
        } else {
            self.warn_of(addr);
        }
    }

    fn warn_of(&mut self, other: SocketAddr) {
        if self.conflicts.warned != Some(other) {
            self.conflicts.warned = Some(other);
            self.events.push_back(CoreEvent::NameClaimed { other });
        }
    }

    fn tell_conflict(&mut self, other: SocketAddr) {
        if !self.conflicts.told {
            self.conflicts.told = true;
            self.events.push_back(CoreEvent::NameConflict { other });
        }
    }

    /// Who had the own name before this node and has it still, if that is certain.
    pub fn owner_of_name(
        &self,
        name_conflict: Option<(SocketAddr, NameConflict)>,
    ) -> Option<SocketAddr> {
        let (addr, verdict) = name_conflict?;
        let is_owner = verdict == NameConflict::Alive && self.conflicts.was_before_us(addr);
        is_owner.then_some(addr)
    }

    /// Whether the own name seems to belong to somebody else, who was heard of lately.
    pub fn is_name_disputed(&self, now: Time) -> bool {
        let patience = time_to_notice(&self.config.swim, self.members.len());
        self.conflicts.before_us.is_some() && now.since(self.conflicts.claimed) <= 2 * patience
    }
}

/// An upper bound for how long a cluster of `members` lists somebody as alive who is gone: until
/// the next probe, the longest suspicion, and as much again for the news to get round.
fn time_to_notice(config: &swim::Config, members: usize) -> Duration {
    let scale = members.max(10).ilog10() + 1;
    let suspicion = config
        .suspicion_mult
        .saturating_mul(config.suspicion_max_mult);
    let intervals = suspicion.saturating_mul(scale).saturating_add(8);
    config.probe_interval.saturating_mul(intervals)
}
