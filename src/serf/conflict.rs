//! Two nodes with one name. Conflicts are counted; one about the own name may mean that this node
//! should stop, and then the application is told once.
//!
//! Serf asks the cluster for a vote, by a query that this node does not send yet. Without a vote
//! one case is certain: those asked by our first join listed our name as alive at another
//! address, so somebody had it before us, and others still list it there after more than the time
//! in which a cluster notices that somebody is gone. Without that wait, a node restarted with a
//! new address would take its own former life for somebody else. Until it is certain the
//! application is warned, and a leave tells nobody: a word about that name would be taken for one
//! about its owner.

use super::{Event, Layer};
use crate::swim;
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
    told: bool,
}

impl Conflicts {
    pub fn join_succeeded(&mut self) {
        self.joined = true;
    }

    pub fn shift(&mut self, by: Duration) {
        if let Some((_, since)) = &mut self.before_us {
            *since = *since + by;
        }
        self.claimed = self.claimed + by;
    }
}

impl Layer {
    /// A known name is claimed by another address. `asked`: by somebody whom this node asked.
    pub fn name_claimed(&mut self, now: Time, name: &str, claimed: SocketAddr, asked: bool) {
        self.counts.conflicts += 1;
        if !self.is_self(name) {
            return;
        }
        self.counts.conflicts_self += 1;
        if self
            .conflicts
            .before_us
            .is_some_and(|(before, _)| before == claimed)
        {
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
                self.events.push_back(Event::NameClaimed { other: claimed });
            }
            Some((before, since)) if before == claimed && !self.conflicts.told => {
                if now.since(since) > patience {
                    self.conflicts.told = true;
                    self.events
                        .push_back(Event::NameConflict { other: claimed });
                }
            }
            None | Some(_) => {}
        }
    }
}

impl Layer {
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
