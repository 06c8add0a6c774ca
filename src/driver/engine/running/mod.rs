//! Running commands on the engine's thread.
//!
//! All commands of a turn see the same time, that at which the engine woke up: the core must learn
//! of a stall before it sees a later time.

mod keys;
mod messages;
pub(super) mod operations;

use crate::driver::engine::Engine;
use crate::driver::engine::command::{Command, Taken};
use crate::driver::events::completion::Waiter;
use crate::driver::events::failure::command_error;
use crate::driver::os::oneshot::Reply;
use crate::error::Result;
use crate::serf::{CommandError, Tags};
use crate::swim::{Explanation, Seed};
use crate::vocabulary::NodeState;

impl Engine {
    /// Runs the commands that wait, and returns whether the engine is to end.
    pub fn run_commands(&mut self) -> bool {
        let Taken { commands, stop } = self.handle.commands.take();
        self.commands = commands;
        while let Some(command) = self.commands.pop_front() {
            self.run_command(command);
            // An engine that has to stop need not send anything more: operations that begin now are
            // given up, and their waiters get an error.
            if !stop {
                self.settle();
            }
        }
        stop
    }

    fn run_command(&mut self, command: Command) {
        match command {
            Command::Join { seeds, waiter } => self.join(&seeds, waiter),
            Command::Look { target, waiter } => self.look(&target, waiter),
            Command::Leave { waiter } => self.leave(waiter),
            Command::Hint {
                name,
                waiter,
                reply,
            } => {
                let result = self.hint(&name, waiter);
                self.reply(reply, result);
            }
            Command::UpdateTags { changes, waiter } => {
                let mut tags = self.core.tags().clone();
                for (key, value) in changes {
                    match value {
                        Some(value) => tags.insert(key, value),
                        None => tags.remove(&key),
                    };
                }
                self.set_tags(tags, waiter);
            }
            Command::SetTags { tags, waiter } => self.set_tags(tags, waiter),
            Command::SetMeta { meta, waiter } => {
                let result = self.core.set_meta(self.now, meta);
                self.finish(waiter, "setting meta", result);
            }
            Command::Spread { waiter } => match self.core.spread(self.now) {
                Ok(op) => self.operations.begin(op, waiter),
                Err(why) => self.finish(waiter, "the wait for gossip", Err(why)),
            },
            Command::Message(command) => self.run_message(command),
            Command::Keys(command) => self.run_keys(command),
            Command::RemoveFailed {
                name,
                prune,
                waiter,
            } => {
                let result = self.core.remove_failed(self.now, &name, prune);
                self.finish(waiter, &format!("removing {name}"), result);
            }
            Command::Explain { name, reply } => {
                let result = self.explain(&name);
                self.reply(reply, result);
            }
            Command::Coordinate { name, reply } => {
                let found = self.core.coordinate(&name);
                let what = format!("the coordinate of {name}");
                self.reply(reply, found.map_err(|why| command_error(&what, &why)));
            }
            Command::Health { reply } => {
                let health = self.health();
                self.reply(reply, health);
            }
            Command::Counters { reply } => {
                let counters = self.counters();
                self.reply(reply, counters);
            }
            Command::Resolved { id, addrs } => {
                self.shortage.end_lookup();
                self.core.handle_resolved(self.now, id, &addrs);
            }
            #[cfg(test)]
            Command::Test(run) => run(),
        }
    }

    /// Sends an answer, after making the effects of the command visible, for example in the list of
    /// members.
    pub(super) fn reply<T>(&mut self, reply: Reply<T>, answer: T) {
        self.settle();
        reply.send(answer);
    }

    /// Makes the core remember seeds. If the setting `reconnect` is on, the core asks a seed again
    /// whenever no alive member has its address.
    pub fn remember_seeds(&mut self, seeds: &[Seed]) {
        self.core.remember_seeds(self.now, seeds);
    }

    /// Joins the clusters of these seeds. `waiter` gets the outcome.
    fn join(&mut self, seeds: &[Seed], waiter: Waiter) {
        self.handle.lifecycle.enter(NodeState::Running);
        self.debug("join", || {
            let seeds: Vec<String> = seeds.iter().map(ToString::to_string).collect();
            format!("asking {}", seeds.join(", "))
        });
        let op = self.core.join(self.now, seeds);
        self.operations.begin_join(op, waiter);
    }

    fn look(&mut self, target: &Seed, waiter: Waiter) {
        self.debug("look", || format!("asking {target}"));
        match self.core.look(self.now, target) {
            Ok(op) => self.operations.begin(op, waiter),
            Err(why) => self.finish(waiter, &format!("look at {target}"), Err(why)),
        }
    }

    fn leave(&mut self, waiter: Waiter) {
        if self.handle.lifecycle.state() == NodeState::Running {
            self.handle.lifecycle.enter(NodeState::Leaving);
        }
        self.debug("leave", || "announcing the leave".to_owned());
        let op = self.core.leave(self.now);
        self.operations.begin(op, waiter);
    }

    fn hint(&mut self, name: &str, waiter: Waiter) -> Result<()> {
        let op = self.core.hint(self.now, name);
        let op = op.map_err(|why| command_error(&format!("hint about {name}"), &why))?;
        self.operations.begin(op, waiter);
        Ok(())
    }

    fn set_tags(&mut self, tags: Tags, waiter: Waiter) {
        let result = self.core.set_tags(self.now, tags);
        self.finish(waiter, "setting tags", result);
    }

    /// Gives `waiter` the result of an operation that has already ended, after making its effects
    /// visible. `what` names the operation.
    pub(super) fn finish(
        &mut self,
        waiter: Waiter,
        what: &str,
        result: std::result::Result<(), CommandError>,
    ) {
        let result = result.map_err(|why| command_error(what, &why));
        self.settle();
        waiter.complete(&self.handle.events, result.map(|()| 0).into());
    }

    fn explain(&self, name: &str) -> Result<Explanation> {
        let found = self.core.explain(self.now, name);
        let what = format!("explanation of {name}");
        found.ok_or_else(|| command_error(&what, &CommandError::UnknownMember))
    }
}
