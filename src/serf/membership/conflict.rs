//! Two nodes with the name of this node, which may mean that this node cannot be a member.
//!
//! The name belongs to the node that the peers knew first. When a peer lists this node's name at
//! another address, this node first asks the node there (`swim::local::name_conflict`). Then it
//! matters whether this node was accepted: its join command has succeeded, or a peer has listed it
//! under its name.
//!
//! If this node was not accepted, either another node or an earlier run of this node had the name
//! first. This node gives way without a vote, because the owner might lose that vote and would have
//! to quit. It is certain that another node has the name when
//!
//! - a node at that address answers to the name, or
//! - peers still list the name as alive there after more than the time in which a cluster notices
//!   that a node is gone: they can reach that node, even if this node cannot.
//!
//! Until it is certain, the application is only warned. Certain or not, a leave is silent if peers
//! have listed the name at that address recently, or if a node there may still answer: peers would
//! apply the leave to the other node.
//!
//! If this node was accepted, two clusters with a node of this name have become one, or the other
//! node took the name later. If the other node answers, this node lets the members vote, as a Serf
//! agent does: each member answers with the address at which it lists the name. A node that has no
//! majority gives way from then on, as if the other node had been first. Three rules differ from
//! those of an agent:
//!
//! - Votes are called at intervals, and only while the other node answers, so that forged claims
//!   cause few queries.
//! - Without answers, the node stays: an agent quits.
//! - With half of the votes, an agent quits, so this node stays. If the other node still answers at
//!   the next vote, and half of the votes are this node's again, the node with the lower address
//!   stays.

use crate::serf::CoreEvent;
use crate::serf::shared::common::Common;
use crate::serf::shared::outbox::Order;
use crate::serf::shared::vote::{Tally, VoteResult};
use crate::swim::{self, ConflictVerdict, NameConflict};
use crate::time::Time;
use std::net::SocketAddr;
use std::time::Duration;

/// The longest time, in probe timeouts, between the answer to a join and its end.
const JUST: u32 = 2;

/// The shortest time between two votes, in probe intervals.
const VOTE_PAUSE: u32 = 30;

/// Claims of other nodes to the name of this node.
#[derive(Debug, Default)]
pub(in crate::serf) struct Conflicts {
    /// True once a join command has succeeded, or a peer has listed this node under its name. If
    /// another address is first claimed after that, the node there took the name later than this
    /// node.
    accepted: bool,
    /// The address that had the name before this node, and the time at which this node learned of
    /// it.
    before_us: Option<(SocketAddr, Time)>,
    /// The time at which the name was last listed as alive at that address.
    listed: Option<Time>,
    /// The address that the application was warned about.
    warned: Option<SocketAddr>,
    /// True if the conflict was reported as certain.
    reported: bool,
    /// The time at which this node last called a vote.
    voted: Option<Time>,
    /// The address of the other node if the last vote was a tie.
    tied: Option<SocketAddr>,
}

impl Conflicts {
    /// This node leaves: another node may have the name from now on, and have it first when this
    /// node returns.
    pub fn name_given_up(&mut self) {
        self.accepted = false;
    }

    /// A join command has reached another node, or a peer lists this node under its name.
    pub fn name_accepted(&mut self) {
        self.accepted = true;
    }

    /// No other node claims the name any more.
    pub fn on_name_free(&mut self, common: &mut Common) {
        let reported = std::mem::take(&mut self.reported);
        if reported || self.warned.is_some() {
            common.out.report(CoreEvent::NameFree { reported });
        }
        self.before_us = None;
        self.listed = None;
        self.warned = None;
        self.tied = None;
    }

    /// Moves the times of claims forward, after a stall of this process.
    pub fn postpone(&mut self, by: Duration) {
        if let Some((_, since)) = &mut self.before_us {
            *since = *since + by;
        }
        self.listed = self.listed.map(|listed| listed + by);
    }

    fn was_before_us(&self, addr: SocketAddr) -> bool {
        self.before_us.is_some_and(|(before, _)| before == addr)
    }

    /// This node's name is listed at the address `claimed`. `asked` is true if a peer that this
    /// node asked lists it there, and this node is not leaving and has not left. `alive` is true if
    /// the name is listed as alive or suspect: a dead node may be an earlier run of this one.
    pub fn on_claim(
        &mut self,
        now: Time,
        common: &mut Common,
        claimed: SocketAddr,
        asked: bool,
        alive: bool,
    ) {
        if self.was_before_us(claimed) && alive {
            self.listed = Some(now);
        }
        if !asked {
            return;
        }
        let patience = time_to_notice(&common.config.swim, common.members.len());
        match self.before_us {
            Some((before, since)) if before == claimed => {
                if alive && now.since(since) > patience {
                    self.report(common, claimed);
                }
            }
            // This is the first claim, or the node that had the name before this one has moved.
            before if !self.accepted && (alive || before.is_none()) => {
                self.before_us = Some((claimed, now));
                self.listed = alive.then_some(now);
                self.warn_of(common, claimed);
            }
            None | Some(_) => {}
        }
    }

    /// A node at this address answers to this node's name, again and again.
    pub fn on_taken(&mut self, now: Time, common: &mut Common, addr: SocketAddr) {
        if self.was_before_us(addr) {
            return self.report(common, addr);
        }
        self.warn_of(common, addr);
        let pause = common.config.swim.probe_interval * VOTE_PAUSE;
        let is_due = self.voted.is_none_or(|voted| now.since(voted) >= pause);
        if is_due && self.accepted && common.is_serf() {
            self.voted = Some(now);
            common.out.counts.votes_called += 1;
            common.out.order(Order::CallVote { other: addr });
        }
    }

    /// The members have voted, and the other node still answers.
    pub fn on_vote(&mut self, now: Time, common: &mut Common, tally: &Tally) {
        let other = tally.other;
        let is_second_tie = self.tied.take() == Some(other);
        let kept = match tally.result() {
            VoteResult::Unanswered | VoteResult::Majority => true,
            VoteResult::Minority => false,
            VoteResult::Tie if is_second_tie => tally.own < other,
            VoteResult::Tie => {
                self.tied = Some(other);
                true
            }
        };
        common.out.report(CoreEvent::NameVote {
            other,
            answers: tally.answers,
            votes: tally.for_own,
            kept,
        });
        if !kept {
            common.out.counts.votes_lost += 1;
            self.accepted = false;
            self.before_us = Some((other, now));
            self.listed = Some(now);
            self.report(common, other);
        }
    }

    fn warn_of(&mut self, common: &mut Common, other: SocketAddr) {
        if self.warned != Some(other) {
            self.warned = Some(other);
            common.out.report(CoreEvent::NameClaimed { other });
        }
    }

    fn report(&mut self, common: &mut Common, other: SocketAddr) {
        if !self.reported {
            self.reported = true;
            common.out.report(CoreEvent::NameConflict { other });
        }
    }

    /// Returns the address that had this node's name first, if a node there still answers to it.
    pub fn owner(&self, name_conflict: Option<NameConflict>) -> Option<SocketAddr> {
        let NameConflict { addr, verdict } = name_conflict?;
        let is_owner = verdict == ConflictVerdict::Alive && self.was_before_us(addr);
        is_owner.then_some(addr)
    }

    /// Returns the node to which this node's name belongs when a join ends. It is the owner, or a
    /// node that does not answer this node, if the conflict was reported as certain and a peer has
    /// just listed the name as alive there: the peer that the join asked does so.
    pub fn owner_at_join(
        &self,
        now: Time,
        config: &swim::Config,
        name_conflict: Option<NameConflict>,
    ) -> Option<SocketAddr> {
        let just = |listed: Time| now.since(listed) <= JUST * config.probe_timeout;
        let is_certain = self.reported && self.listed.is_some_and(just);
        let before_us = || self.before_us.filter(|_| is_certain);
        self.owner(name_conflict)
            .or_else(|| before_us().map(|(addr, _)| addr))
    }

    /// Returns true if another address had this node's name first, and if the name was recently
    /// listed as alive there, or a node there answers to the name, or is still being asked.
    pub fn is_name_disputed(
        &self,
        now: Time,
        common: &Common,
        name_conflict: Option<NameConflict>,
    ) -> bool {
        let patience = time_to_notice(&common.config.swim, common.members.len());
        let recent = |listed: Time| now.since(listed) <= 2 * patience;
        let is_listed = self.listed.is_some_and(recent);
        let may_answer =
            |it: NameConflict| it.verdict != ConflictVerdict::Silent && self.was_before_us(it.addr);
        is_listed || name_conflict.is_some_and(may_answer)
    }
}

/// Returns an upper bound for the time during which a cluster of `members` nodes still lists a lost
/// node as alive: the time until the next probe, the longest suspicion, and time for gossip to
/// spread.
fn time_to_notice(config: &swim::Config, members: usize) -> Duration {
    let scale = members.max(10).ilog10() + 1;
    let suspicion = config
        .suspicion_mult
        .saturating_mul(config.suspicion_max_mult);
    let intervals = suspicion.saturating_mul(scale).saturating_add(8);
    config.probe_interval.saturating_mul(intervals)
}
