//! Explanations: the reason why a member is in its state, and the health of this node itself.

use super::explanation::Explanation;
use crate::swim::NodeState;
use crate::swim::detection::suspicion::{self, Suspicion};
use crate::swim::output::{ConflictVerdict, JoinFailure, NameConflict, Node};
use crate::swim::reconnection::lost_members::LostMembers;
use crate::swim::shared::context::Context;
use crate::swim::shared::refusals::RefusalSources;
use crate::swim::table::record::MemberRecord;
use crate::time::Time;
use crate::vocabulary::MemberState;
use crate::wire::Refusal;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The node's own health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Lifeguard's score: 0 is healthy.
    pub score: u32,
    /// The highest score that can be reached.
    pub score_max: u32,
    /// The number of members that are alive or suspect, this node included.
    pub live: usize,
    /// The number of known members that have not left, this node and the lost members included.
    pub known: usize,
    /// True if this node seems to be cut off: no message from another node has arrived for the
    /// shortest suspicion timeout, or more than half of the other members are suspect or have died
    /// within twice that time. It is always false if fewer than two other members are known.
    pub isolated: bool,
    /// True if datagrams get answers.
    pub datagrams_work: bool,
    /// True if streams get answers.
    pub streams_work: bool,
    /// Another address at which members list this node's name, and what is known of the node
    /// there.
    pub name_conflict: Option<NameConflict>,
    /// The reason why bytes from failed or suspected members, or from addresses that this node has
    /// dialled, cannot be read at all: keys or labels differ. `None` if no such bytes arrived
    /// within the last 90 seconds.
    pub mismatch: Option<Refusal>,
    /// One sentence, such as "streams work, datagrams do not".
    pub summary: &'static str,
}

fn member_state(state: NodeState) -> MemberState {
    match state {
        NodeState::Alive => MemberState::Alive,
        NodeState::Suspect => MemberState::Suspect,
        NodeState::Dead => MemberState::Failed,
        NodeState::Left => MemberState::Left,
    }
}

/// Explains the state of a member; `suspicion` is `None` if the member is not a suspect.
pub(super) fn explanation(
    record: &MemberRecord,
    suspicion: Option<&Suspicion>,
    sources: &RefusalSources,
    now: Time,
) -> Explanation {
    let node = record.node();
    Explanation {
        name: node.name.clone(),
        addr: node.addr,
        state: member_state(node.state),
        since: now.since(node.since),
        incarnation: node.incarnation,
        accuser: suspicion
            .map(|it| it.accuser().clone())
            .or_else(|| record.accuser.clone()),
        confirmations: suspicion.map_or_else(Vec::new, |it| it.confirmed_by().to_vec()),
        confirmations_wanted: suspicion.map_or(0, Suspicion::wanted),
        time_left: suspicion.map(|it| it.deadline().since(now)),
        probe: record.last_probe.as_deref().map(|probe| probe.at(now)),
        unreadable: sources.unreadable_from(now, node.addr),
    }
}

/// The facts that the health of a node depends on, in addition to its context.
pub(super) struct HealthFacts<'a> {
    pub name_conflict: Option<NameConflict>,
    /// True if there are seeds other than this node itself, or former members.
    pub has_other_seeds: bool,
    /// The reason why a seed or lost member refuses this node, if one does.
    pub refusal: Option<&'a JoinFailure>,
    pub lost: &'a LostMembers,
}

/// Sums up the health of this node.
pub(super) fn health(ctx: &Context, facts: &HealthFacts<'_>, now: Time) -> Health {
    let datagrams_work = ctx.awareness.datagrams_work();
    let streams_work = ctx.awareness.streams_work();
    let others = others_known(ctx, facts.lost);
    let isolated = is_isolated(ctx, facts.lost, now);
    let mismatch = mismatch(ctx, facts, now);
    let summary = match (facts.name_conflict, datagrams_work, streams_work) {
        _ if mismatch.is_some() => of_mismatch(mismatch),
        _ if isolated => "isolated: most members are silent, so the fault may be at this node",
        (Some(conflict), _, _) => of_name_conflict(conflict.verdict),
        (None, true, true) if is_waiting_for_seeds(ctx, facts) => of_seeds(facts.refusal),
        (None, true, true) if ctx.awareness.score() == 0 => "healthy",
        (None, true, true) => "slow: recent answers came late or not at all",
        (None, false, true) => "streams work, datagrams do not",
        (None, true, false) => "datagrams work, streams do not",
        (None, false, false) => "neither datagrams nor streams get answers",
    };
    Health {
        score: ctx.awareness.score(),
        score_max: ctx.awareness.max(),
        live: ctx.table.live(),
        known: 1 + others,
        isolated,
        datagrams_work,
        streams_work,
        name_conflict: facts.name_conflict,
        mismatch,
        summary,
    }
}

/// Returns true if this node has seeds other than itself, or former members, but knows no other
/// member, or only members that have left. A node that has left itself waits for none.
pub(super) fn is_waiting_for_seeds(ctx: &Context, facts: &HealthFacts<'_>) -> bool {
    !ctx.local.left && facts.has_other_seeds && others_known(ctx, facts.lost) == 0
}

/// Returns the number of other members that have not left: the live ones, and the lost ones that
/// are not former members. A dead member of the table that is not lost was removed by the layer
/// above, or has left.
pub(super) fn others_known(ctx: &Context, lost: &LostMembers) -> usize {
    ctx.table.live_others() + lost.known()
}

/// Returns true if the fault may be on this side: see [`Health::isolated`]. The answer has to be
/// true before the first member is declared dead, because a program that acts on failures asks for
/// this answer when it learns of a failure. With a single other member, it is unknown which side is
/// at fault.
fn is_isolated(ctx: &Context, lost: &LostMembers, now: Time) -> bool {
    let others = others_known(ctx, lost);
    if others < 2 {
        return false;
    }
    let wait = suspicion::shortest(&ctx.config, ctx.table.len());
    let is_missing = |node: &&Node| match node.state {
        NodeState::Suspect => true,
        NodeState::Dead => now.since(node.since) <= wait * 2 && lost.contains(&node.name),
        NodeState::Alive | NodeState::Left => false,
    };
    let nodes = ctx.table.iter().map(|(_, record)| record.node());
    let missing = nodes.filter(is_missing).count();
    ctx.awareness.silence(now) >= wait || 2 * missing > others
}

/// Returns the reason why bytes from a node that this node looks for cannot be read: see
/// [`Health::mismatch`]. The address of a datagram may be forged, so bytes from the address of a
/// member that answers, or of a stranger, do not count.
fn mismatch(ctx: &Context, facts: &HealthFacts<'_>, now: Time) -> Option<Refusal> {
    let unreadable = ctx.outbox.sources.unreadable(now);
    let mut wanted: BTreeMap<SocketAddr, (Refusal, bool)> = unreadable
        .map(|it| (it.addr, (it.why, it.dialled)))
        .collect();
    if wanted.is_empty() {
        return None;
    }
    for addr in facts.lost.addrs() {
        wanted.entry(addr).and_modify(|it| it.1 = true);
    }
    for node in ctx.table.others().map(MemberRecord::node) {
        match node.state {
            NodeState::Alive => drop(wanted.remove(&node.addr)),
            NodeState::Suspect | NodeState::Dead => {
                wanted.entry(node.addr).and_modify(|it| it.1 = true);
            }
            NodeState::Left => {}
        }
    }
    let mut wanted = wanted.into_values().filter(|(_, is_wanted)| *is_wanted);
    wanted.next().map(|(why, _)| why)
}

fn of_mismatch(why: Option<Refusal>) -> &'static str {
    match why {
        Some(Refusal::UnexpectedEncryption) => {
            "other members encrypt their messages, and this node has no key"
        }
        Some(Refusal::PlaintextRefused) => {
            "other members send unencrypted messages, which this node refuses because it has a key"
        }
        Some(Refusal::Label) => "other members use a label that differs from this node's",
        _ => {
            "none of this node's keys decrypts the messages of other members: \
             their keys were changed, or keys or labels differ"
        }
    }
}

/// Returns the summary of a node that waits for its seeds.
fn of_seeds(refusal: Option<&JoinFailure>) -> &'static str {
    match refusal {
        Some(JoinFailure::ClosedUnanswered) => {
            "alone: a seed closes the connection without an answer; \
             its label may differ, or it may not be a member"
        }
        Some(JoinFailure::Refused(_)) => "alone: a seed answers with an error, which the log shows",
        Some(JoinFailure::Crypto(_) | JoinFailure::Protocol(_)) => {
            "alone: this node refuses the answer of a seed; the log shows the reason"
        }
        None
        | Some(
            JoinFailure::Unresolved
            | JoinFailure::Unreachable
            | JoinFailure::ConnectionRefused
            | JoinFailure::TimedOut,
        ) => "alone: no seed answers",
    }
}

fn of_name_conflict(verdict: ConflictVerdict) -> &'static str {
    match verdict {
        ConflictVerdict::Asked => "members list this node's name at another address",
        ConflictVerdict::Alive => {
            "another node answers to this node's name, and a member can know only one of the two"
        }
        ConflictVerdict::Silent => {
            "members list this node's name at another address, where no node answers; \
             they accept this node's address some time after they have declared the other failed"
        }
    }
}
