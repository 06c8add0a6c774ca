//! Running the commands about user events and queries.

use crate::driver::engine::Engine;
use crate::driver::engine::command::MessageCommand;
use crate::driver::events::completion::Waiter;
use crate::driver::events::failure::command_error;
use crate::error::Result;
use crate::serf::QueryOptions;

impl Engine {
    pub(super) fn run_message(&mut self, command: MessageCommand) {
        match command {
            MessageCommand::SendEvent {
                name,
                payload,
                coalescing,
                waiter,
            } => {
                let result = self.core.send_event(self.now, &name, &payload, coalescing);
                self.finish(waiter, &format!("user event \"{name}\""), result);
            }
            MessageCommand::Query {
                number,
                name,
                payload,
                options,
                waiter,
                reply,
            } => {
                let result = self.query(number, (&name, &payload), &options, waiter);
                self.reply(reply, result);
            }
            MessageCommand::CancelQuery { number } => self.core.cancel_query(self.now, number),
            MessageCommand::Respond {
                query,
                payload,
                waiter,
            } => {
                let result = self.core.respond(self.now, query, &payload);
                self.finish(waiter, "the answer to the query", result);
            }
        }
    }

    fn query(
        &mut self,
        number: u64,
        (name, payload): (&str, &[u8]),
        options: &QueryOptions,
        waiter: Waiter,
    ) -> Result<()> {
        self.debug("query", || format!("asking \"{name}\""));
        // The waiter is stored first, because a query that nobody has to answer ends at once.
        self.operations.begin_query(number, waiter);
        let sent = self.core.query(self.now, number, name, payload, options);
        sent.map_err(|why| {
            self.operations.finish_query(number);
            command_error(&format!("query \"{name}\""), &why)
        })
    }
}
