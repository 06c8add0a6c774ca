//! Why nobody else is there: the node asks its seeds for ever and tells only that none answers.
//! Here they are asked once in a while in a way that tells the reason of each.

use sprat::Node;
use sprat::driver::Pending;
use std::time::{Duration, Instant};

/// So long being alone is nothing to explain.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two questions.
const PAUSE: Duration = Duration::from_secs(30);
/// Seeds that are asked.
const SEEDS: usize = 8;

/// See the head of this file.
pub(super) struct Alone {
    seeds: Vec<String>,
    ask_at: Instant,
    asked: Option<Pending>,
    why: Option<String>,
}

impl Alone {
    /// `seeds`: those of the settings, separated by commas.
    pub fn new(seeds: &str) -> Alone {
        let seeds = seeds.split(',').map(str::trim).filter(|it| !it.is_empty());
        Alone {
            seeds: seeds.take(SEEDS).map(str::to_owned).collect(),
            ask_at: Instant::now() + PATIENCE,
            asked: None,
            why: None,
        }
    }

    /// Why nobody else is there, if that is so and a reason is known.
    pub fn look(&mut self, node: &Node, is_alone: bool) -> Option<&str> {
        let now = Instant::now();
        if !is_alone || self.seeds.is_empty() {
            (self.asked, self.why, self.ask_at) = (None, None, now + PATIENCE);
            return None;
        }
        if let Some(Ok(Some(outcome))) = self.asked.as_ref().map(Pending::outcome) {
            self.asked = None;
            self.why = outcome.result.err().map(|error| error.message);
        }
        if self.asked.is_none() && now >= self.ask_at {
            let seeds: Vec<&str> = self.seeds.iter().map(String::as_str).collect();
            self.asked = node.begin_join(&seeds).ok();
            self.ask_at = now + PAUSE;
        }
        self.why.as_deref()
    }
}
