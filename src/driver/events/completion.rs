//! Operations, and the waiters that get their outcomes.

use crate::driver::events::pending::{Outcome, Promise};
use crate::driver::events::queue::EventQueue;
use crate::driver::events::subscriptions::Subscriptions;
use crate::driver::os::clock;
use crate::driver::os::oneshot::Reply;
use crate::event::EventBody;
use std::sync::Arc;

/// An operation whose end a `Done` event will report. It has a number before it begins, so a
/// program can store the number where the reader of the event will look it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The number, which no other operation of the node has.
    pub id: u64,
    /// A value that the program chooses and the `Done` event hands back.
    pub token: usize,
}

/// The ways in which the outcome of an operation is delivered.
pub(in crate::driver) enum Waiter {
    /// A caller waits for the outcome.
    Caller(Reply<Outcome>),
    /// A `Done` event of this operation goes to the readers of the node's events.
    Event(Operation),
    /// A `Done` event with this id goes to one queue only.
    Queue(Arc<EventQueue>, u64),
    /// A program polls the descriptor of a `Pending`.
    Pending(Promise),
    /// No one is waiting; the outcome is only logged.
    Nobody,
}

impl Waiter {
    /// Delivers the outcome; a `Done` event for all readers goes to `events`.
    pub fn complete(self, events: &Subscriptions, outcome: Outcome) {
        match self {
            Waiter::Caller(reply) => reply.send(outcome),
            Waiter::Event(Operation { id, token }) => {
                events.push(EventBody::Done {
                    id,
                    token,
                    result: outcome.result,
                    missing: Vec::new(),
                    keys: outcome.keys,
                });
            }
            Waiter::Queue(queue, id) => {
                let done = EventBody::Done {
                    id,
                    token: 0,
                    result: outcome.result,
                    missing: outcome.missing,
                    keys: outcome.keys,
                };
                queue.push(clock::now(), done);
            }
            Waiter::Pending(promise) => promise.fulfil(outcome),
            Waiter::Nobody => {}
        }
    }
}
