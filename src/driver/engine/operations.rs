//! What the application asks of the engine, on the engine's thread, at the time of the turn: the
//! core is not shown a clock that went on unnoticed.

use crate::driver::engine::Engine;
use crate::driver::events::completion::Waiter;
use crate::driver::events::failure::command_error;
use crate::error::{Error, Result, Status};
use crate::serf::Tags;
use crate::swim::{Explanation, Health, Seed};
use crate::vocabulary::NodeState;

impl Engine {
    /// Joins, and tells `waiter` how it went.
    pub fn join(&mut self, seeds: &[Seed], waiter: Waiter) {
        self.shared.set_state(NodeState::Running);
        self.debug("join", || {
            let seeds: Vec<String> = seeds.iter().map(ToString::to_string).collect();
            format!("asks {}", seeds.join(", "))
        });
        let op = self.core.join(self.now, seeds);
        self.joins.insert(op);
        self.waiters.insert(op, waiter);
    }

    /// Leaves, and tells `waiter` when it has spread.
    pub fn leave(&mut self, waiter: Waiter) {
        if self.shared.state() == NodeState::Running {
            self.shared.set_state(NodeState::Leaving);
        }
        self.debug("leave", || "announces its departure".to_owned());
        let op = self.core.leave(self.now);
        self.waiters.insert(op, waiter);
    }

    /// Probes a member at once, and tells `waiter` the verdict.
    pub fn hint(&mut self, name: &str, waiter: Waiter) -> Result<()> {
        let op = self.core.hint(self.now, name);
        let op = op.map_err(|why| command_error(&format!("hint about {name}"), &why))?;
        self.waiters.insert(op, waiter);
        Ok(())
    }

    /// Sets or removes some of the own tags.
    pub fn update_tags(&mut self, changes: Vec<(String, Option<String>)>) -> Result<()> {
        let mut tags = self.core.tags().clone();
        for (key, value) in changes {
            match value {
                Some(value) => tags.insert(key, value),
                None => tags.remove(&key),
            };
        }
        self.set_tags(tags)
    }

    /// Replaces all own tags.
    pub fn set_tags(&mut self, tags: Tags) -> Result<()> {
        let result = self.core.set_tags(self.now, tags);
        result.map_err(|why| command_error("setting tags", &why))
    }

    /// Replaces the own meta.
    pub fn set_meta(&mut self, meta: Vec<u8>) -> Result<()> {
        let result = self.core.set_meta(self.now, meta);
        result.map_err(|why| command_error("setting meta", &why))
    }

    /// Makes a failed member one that left.
    pub fn remove_failed(&mut self, name: &str, prune: bool) -> Result<()> {
        let result = self.core.remove_failed(self.now, name, prune);
        result.map_err(|why| command_error(&format!("removing {name}"), &why))
    }

    /// Why a member is in its state.
    pub fn explain(&self, name: &str) -> Result<Explanation> {
        let reasons = self.core.explain(self.now, name);
        let message = || format!("there is no member \"{name}\"");
        reasons.ok_or_else(|| Error::new(Status::NotFound, message()))
    }

    /// How this node is doing.
    pub fn health(&self) -> Health {
        self.core.health(self.now)
    }
}
