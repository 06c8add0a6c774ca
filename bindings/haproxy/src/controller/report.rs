//! `show sprat`: members, slots and what holds them, as lines for people and for `awk`.

use super::thread::Crew;
use crate::balance::Complaint;
use crate::snapshot::mode_name;
use sprat::{Member, MemberState};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

/// How many members there are, as a person counts them.
#[derive(Clone, Copy, Default)]
pub(super) struct Census {
    /// This one, and those of whom the cluster says nothing bad.
    pub alive: usize,
    pub suspect: usize,
    pub failed: usize,
    pub left: usize,
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

    /// "members 4 (1 failed)": those who have left are no members, and told of all the same.
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

/// The report. `health`: of the node, in a sentence; `None` before it runs.
pub(super) fn text(crews: &[Crew], census: Census, health: Option<&str>) -> String {
    let health = health.unwrap_or("the node does not run yet");
    let mut text = format!("{}, {health}\n", census.text());
    for crew in crews {
        backend(crew, &mut text);
    }
    text
}

// Writing to a string cannot fail.
fn backend(crew: &Crew, text: &mut String) {
    let (name, balance) = (&crew.pool.name, &crew.balance);
    let slots = match crew.pool.slots {
        1 => "1 slot".to_owned(),
        slots => format!("{slots} slots"),
    };
    let frozen = balance.frozen().map(|why| format!(", frozen: {why}"));
    let _ = writeln!(
        text,
        "backend {name}, {slots}{}",
        frozen.unwrap_or_default()
    );
    let mut complaints: Vec<_> = balance.complaints().iter().collect();
    for (order, hold) in balance.picture() {
        let (Some(member), Some(addr)) = (&order.name, order.addr) else {
            continue;
        };
        let (slot, mode, weight) = (order.slot + 1, mode_name(order.mode), order.weight);
        let _ = write!(text, "  {slot} {member} {addr} {mode} weight {weight}");
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
        // A name that HAProxy would misread may hold anything.
        let _ = match complaint {
            Complaint::Ignored(what) => writeln!(text, "  - {member:?}: {}", what.text()),
            why => writeln!(text, "  - {member:?} has no slot: {}", why.text()),
        };
    }
}

/// What is wrong now, each in a sentence; what concerns all is first in their order.
pub(super) fn wrongs(crews: &[Crew]) -> BTreeSet<String> {
    let of_crew = |crew: &Crew| {
        let (pool, balance) = (crew.pool.name.clone(), &crew.balance);
        let frozen = balance.frozen();
        let frozen = frozen.map(|why| format!("backend {pool}: nobody is taken away now: {why}"));
        let complaints = balance.complaints().iter();
        let complaints = complaints
            .map(|(name, what)| format!("member {name:?} of backend {pool}: {}", what.text()));
        frozen.into_iter().chain(complaints).collect::<Vec<_>>()
    };
    crews.iter().flat_map(of_crew).collect()
}
