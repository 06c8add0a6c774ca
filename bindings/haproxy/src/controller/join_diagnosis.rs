//! Finds out why this node is alone. The node asks its seeds again and again, but only reports that
//! no seed answers. From time to time the diagnosis therefore begins a join with the same seeds,
//! because a join reports why each seed failed.

use sprat::driver::Pending;
use sprat::{Node, Seed};
use std::time::{Duration, Instant};

/// The time for which a node may be alone before a diagnosis is due.
const PATIENCE: Duration = Duration::from_secs(3);
/// The time between two joins.
const PAUSE: Duration = Duration::from_secs(30);
/// The maximum number of seeds in a join.
const SEEDS: usize = 8;

/// The diagnosis: the time of the next join, the join under way, and the reason that was found.
pub(super) struct JoinDiagnosis {
    seeds: Vec<String>,
    next_join: Instant,
    join: Option<Pending>,
    reason: Option<String>,
}

impl JoinDiagnosis {
    /// Creates a diagnosis that joins the first seeds of this list, at most [`SEEDS`].
    pub fn new(seeds: &[Seed]) -> JoinDiagnosis {
        let seeds = seeds.iter().take(SEEDS);
        JoinDiagnosis {
            seeds: seeds.map(Seed::to_string).collect(),
            next_join: Instant::now() + PATIENCE,
            join: None,
            reason: None,
        }
    }

    /// Begins a join if one is due. Returns the reason why the node is alone, once it is known.
    pub fn update(&mut self, node: &Node, is_alone: bool) -> Option<&str> {
        let now = Instant::now();
        if !is_alone || self.seeds.is_empty() {
            (self.join, self.reason, self.next_join) = (None, None, now + PATIENCE);
            return None;
        }
        if let Some(Ok(Some(outcome))) = self.join.as_ref().map(Pending::outcome) {
            self.join = None;
            // A join that reaches only the address of this node itself succeeds.
            let failed = outcome.failures.into_iter().next().map(|it| it.error);
            self.reason = outcome.result.err().or(failed).map(|error| error.message);
        }
        if self.join.is_none() && now >= self.next_join {
            let seeds: Vec<&str> = self.seeds.iter().map(String::as_str).collect();
            self.join = node.begin_join(&seeds).ok();
            self.next_join = now + PAUSE;
        }
        self.reason.as_deref()
    }
}
