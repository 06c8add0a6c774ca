//! The text of `show sprat`: members, slots, and the reason for each server that is held, as lines
//! for people and for `awk`. The conditions that are logged come from the same state.

use super::pools::{Pool, Pools};
use crate::balance::Complaint;
use sprat::{Member, MemberState};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

/// The number of members in each state.
#[derive(Clone, Copy, Default)]
pub(super) struct Census {
    /// Members that are neither suspect, failed nor left, the local node included.
    alive: usize,
    suspect: usize,
    failed: usize,
    left: usize,
}

impl Census {
    pub fn of(members: &[Arc<Member>]) -> Census {
        let mut census = Census::default();
        for member in members {
            *match member.state {
                MemberState::Alive | MemberState::Leaving => &mut census.alive,
                MemberState::Suspect => &mut census.suspect,
                MemberState::Failed => &mut census.failed,
                MemberState::Left => &mut census.left,
            } += 1;
        }
        census
    }

    /// Returns a text such as "members 4 (1 failed)". Members that have left are listed but not
    /// counted.
    fn text(self) -> String {
        let members = self.alive + self.suspect + self.failed;
        let others = [
            (self.suspect, "suspect"),
            (self.failed, "failed"),
            (self.left, "left"),
        ];
        let others = others.iter().filter(|(count, _)| *count > 0);
        let others: Vec<String> = others.map(|(n, word)| format!("{n} {word}")).collect();
        match others.is_empty() {
            true => format!("members {members}"),
            false => format!("members {members} ({})", others.join(", ")),
        }
    }
}

/// Returns the report. `health` is the node's summary; `None` before the node runs.
pub(super) fn text(pools: &Pools, census: Census, health: Option<&str>) -> String {
    let health = health.unwrap_or("the node does not run yet");
    let mut text = format!("{}, {health}\n", census.text());
    for pool in pools.iter() {
        add_backend(pool, &mut text);
    }
    text
}

/// Adds a line for the backend, a line for each slot that is taken, and a line for each member that
/// has no slot.
fn add_backend(pool: &Pool, text: &mut String) {
    let (name, balance) = (&pool.backend.name, &pool.balance);
    let slots = match pool.backend.slots() {
        1 => "1 slot".to_owned(),
        slots => format!("{slots} slots"),
    };
    let frozen = balance.frozen_reason();
    let frozen = frozen.map(|why| format!(", frozen: {why}"));
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "backend {name}, {slots}{}",
        frozen.unwrap_or_default()
    );
    let mut complaints: Vec<_> = balance.complaints().iter().collect();
    for (assignment, hold) in balance.assignments() {
        let (Some(member), Some(addr)) = (&assignment.name, assignment.addr) else {
            continue;
        };
        let (slot, state, weight) = (
            assignment.slot + 1,
            assignment.state.name(),
            assignment.weight,
        );
        let _ = write!(text, "  {slot} {member} {addr} {state} weight {weight}");
        if balance.is_unreachable(assignment.slot) {
            text.push_str(" unreachable");
        }
        if let Some(hold) = hold {
            let _ = write!(text, " held: {}", hold.text());
        }
        complaints.retain(|(name, complaint)| {
            let is_its_own = name == member;
            if is_its_own {
                let _ = write!(text, "; {}", complaint.text());
            }
            !is_its_own
        });
        text.push('\n');
    }
    for (member, complaint) in complaints {
        // The name is quoted and escaped, because a name without a slot may hold any character.
        let _ = match complaint {
            Complaint::Ignored(what) => writeln!(text, "  - {member:?}: {}", what.text()),
            why => writeln!(text, "  - {member:?} has no slot: {}", why.text()),
        };
    }
}

/// Returns the conditions that an operator should know, each as a line for the log.
pub(super) fn conditions(pools: &Pools) -> BTreeSet<String> {
    let of_pool = |pool: &Pool| {
        let (backend, balance) = (pool.backend.name.clone(), &pool.balance);
        let frozen = balance.frozen_reason();
        let frozen = frozen.map(|why| format!("backend {backend}: removals are frozen: {why}"));
        let complaints = balance.complaints().iter();
        let complaints = complaints
            .map(|(name, what)| format!("member {name:?} of backend {backend}: {}", what.text()));
        frozen.into_iter().chain(complaints).collect::<Vec<_>>()
    };
    pools.iter().flat_map(of_pool).collect()
}
