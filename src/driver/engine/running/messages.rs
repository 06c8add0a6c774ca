//! Running the commands about messages: user events and queries, and those of memberlist mode.

use crate::driver::engine::Engine;
use crate::driver::engine::command::MessageCommand;
use crate::driver::events::completion::Waiter;
use crate::driver::events::failure::command_error;
use crate::driver::os::oneshot::Reply;
use crate::error::Result;
use crate::serf::QueryOptions;
use std::sync::Arc;

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
            } => self.query(number, (&name, &payload), &options, waiter, reply),
            MessageCommand::SendDatagram {
                to,
                payload,
                waiter,
            } => {
                let result = self.core.send_datagram(self.now, &to, &payload);
                self.finish(waiter, &format!("the message to {to}"), result);
            }
            MessageCommand::SendMessage {
                to,
                payload,
                waiter,
                reply,
            } => {
                let result = self.send_message(&to, payload, waiter);
                self.reply(reply, result);
            }
            MessageCommand::Broadcast {
                payload,
                name,
                waiter,
            } => {
                let result = self.core.broadcast(self.now, payload, name.as_deref());
                self.finish(waiter, "the broadcast", result);
            }
            MessageCommand::SetLocalState { state, waiter } => {
                let result = self.core.set_local_state(state);
                self.finish(waiter, "the local state", result);
            }
            MessageCommand::SetAckPayload { payload, waiter } => {
                let result = self.core.set_ack_payload(payload);
                self.finish(waiter, "the payload of acks", result);
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

    fn send_message(&mut self, to: &str, payload: Arc<[u8]>, waiter: Waiter) -> Result<()> {
        let op = self.core.send_message(self.now, to, payload);
        let op = op.map_err(|why| command_error(&format!("the message to {to}"), &why))?;
        self.operations.begin(op, waiter);
        Ok(())
    }

    fn query(
        &mut self,
        number: u64,
        (name, payload): (&str, &[u8]),
        options: &QueryOptions,
        waiter: Waiter,
        reply: Option<Reply<Result<()>>>,
    ) {
        self.debug("query", || format!("asking \"{name}\""));
        // The waiter is stored first, because a query that nobody has to answer ends at once.
        self.operations.begin_query(number, waiter);
        let sent = self.core.query(self.now, number, name, payload, options);
        let unsent = (sent.as_ref().err()).and_then(|_| self.operations.finish_query(number));
        let what = format!("query \"{name}\"");
        match (reply, unsent) {
            (Some(reply), _) => self.reply(reply, sent.map_err(|why| command_error(&what, &why))),
            (None, Some(waiter)) => self.finish(waiter, &what, sent),
            (None, None) => {}
        }
    }
}
