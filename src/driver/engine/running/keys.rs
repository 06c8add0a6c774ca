//! The keys: running the commands about them, and passing on what the core reports about them.

use crate::driver::engine::Engine;
use crate::driver::engine::command::KeyCommand;
use crate::driver::engine::threads::key_writer::KeyWriter;
use crate::driver::events::completion::Waiter;
use crate::driver::events::failure::keys_outcome;
use crate::event::Level;
use crate::key_report::KeyReport;
use crate::serf::KeyChange;

impl Engine {
    /// Makes the engine store the keys after each change.
    pub fn store_keys_with(&mut self, writer: Option<KeyWriter>) {
        self.key_writer = writer;
    }

    pub(super) fn run_keys(&mut self, command: KeyCommand) {
        match command {
            KeyCommand::Manage {
                number,
                query,
                timeout,
                waiter,
            } => {
                let action = query.action().name();
                self.debug("keys", || format!("{action} keys"));
                // The waiter is stored first, because a query can end at once.
                self.operations.begin_query(number, waiter);
                let sent = (self.core).manage_keys(self.now, number, &query, timeout);
                if let Err(why) = sent {
                    let waiter = self.operations.finish_query(number);
                    self.finish(waiter.unwrap_or(Waiter::Nobody), "managing keys", Err(why));
                }
            }
            KeyCommand::Stored { number, result } => {
                let result = result.as_ref().map(|_| ()).map_err(String::as_str);
                if let Err(why) = result {
                    self.warn("keys", why.to_owned());
                }
                self.core.keys_stored(self.now, number, result);
            }
        }
    }

    /// The keys of this node have changed, because a member asked for it.
    pub(in crate::driver::engine) fn on_keys_changed(
        &mut self,
        KeyChange { action, by, store }: KeyChange,
    ) {
        let what = action.name();
        let text = || format!("{by} has asked this node to {what} a key, and the node has done so");
        (self.log).line(&self.handle.events, Level::Info, "keys", text);
        if let (Some(store), Some(writer)) = (store, &self.key_writer) {
            writer.write(store);
        }
    }

    /// A query of this node about the keys of the cluster has ended.
    pub(in crate::driver::engine) fn on_keys_done(&mut self, number: u64, report: KeyReport) {
        let (answered, asked) = (report.answers.len(), report.asked);
        self.debug("keys", || {
            format!("{answered} of {asked} members have answered")
        });
        if let Some(waiter) = self.operations.finish_query(number) {
            waiter.complete(&self.handle.events, keys_outcome(report));
        }
    }
}
