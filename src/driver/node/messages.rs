//! Messages between the applications of a cluster: user events, which go to all members, and
//! queries, which members answer.

use super::Node;
use crate::driver::engine::command::{Command, MessageCommand};
use crate::driver::events::answers::{PendingQuery, QueryAnswer, QueryAnswers};
use crate::driver::events::completion::{Operation, Waiter};
use crate::driver::events::queue::EventQueue;
use crate::driver::events::subscriptions::Subscription;
use crate::error::{Error, Result};
#[cfg(doc)]
use crate::event::EventKind;
use crate::event::{Coalescing, Event, EventBody};
use crate::serf::QueryOptions;
use std::sync::Arc;

/// The number of acks and answers to one query that can wait for their reader.
const WAITING_ANSWERS: usize = 16_384;

impl Node {
    /// Sends a user event to all members. Every node, this one included, delivers it once, as an
    /// event of kind [`EventKind::User`]. Gossip brings it to the others within a second or so; a
    /// node that misses the gossip gets it with its next push/pull. A member that is unreachable
    /// for a long time may miss it, and a node that joins later does not get it, unless its setting
    /// `replay_events` is on.
    ///
    /// With the profile `lan`, gossip carries about a hundred small events a second from all of up
    /// to nine members together, and half as many from up to 99. Events that are sent faster wait
    /// at this node, which delivers them when they are sent.
    ///
    /// # Errors
    /// `TooLarge` if the encoded event takes more bytes than the setting `user_event_bytes` (512)
    /// allows; `State` in memberlist mode, once a leave has begun, or if 2,048 user events of
    /// this node wait until gossip has room; `Closed`; `Forked`.
    pub fn send_event(&self, name: &str, payload: &[u8], coalescing: Coalescing) -> Result<()> {
        let (name, payload) = (name.to_owned(), payload.to_vec());
        self.change(|waiter| {
            Command::Message(MessageCommand::SendEvent {
                name,
                payload,
                coalescing,
                waiter,
            })
        })
    }

    /// Sends a query to the members that `options` select, this node included. Each delivers it as
    /// an event of kind [`EventKind::Query`], and may answer it. The acks and answers come as
    /// events of the kinds [`EventKind::QueryAck`] and [`EventKind::QueryResponse`] with the number
    /// of `operation`. A `Done` event of this operation reports the end: success as soon as every
    /// member that was present when the query was sent has answered or left; `Timeout` if some have
    /// failed or have not answered in time, or if no present member has one of the names in the
    /// options. Members that are silent get the query again, up to three times, because gossip can
    /// miss a member.
    ///
    /// # Errors
    /// `Invalid` if the name begins with `_serf_` (only `_serf_ping` without a payload is allowed),
    /// or if a regular expression is wrong; `TooLarge` if the encoded query takes more bytes than
    /// the setting `query_bytes` (1,024) allows; `State` in memberlist mode, once a leave has
    /// begun, or if 256 queries are under way; `Closed`; `Forked`. No event follows such an error.
    pub fn query(
        &self,
        operation: Operation,
        name: &str,
        payload: &[u8],
        options: &QueryOptions,
    ) -> Result<()> {
        self.send_query(
            operation.id,
            name,
            payload,
            options,
            Waiter::Event(operation),
        )
    }

    /// Like [`Node::query`], but the acks and answers do not go to the readers of the node's
    /// events: the returned value has a queue of its own for them.
    ///
    /// # Errors
    /// Same as [`Node::query`]; `Io` if the system refuses a descriptor.
    pub fn begin_query(
        &self,
        name: &str,
        payload: &[u8],
        options: &QueryOptions,
    ) -> Result<PendingQuery> {
        let queue = EventQueue::new(WAITING_ANSWERS, Vec::new(), true);
        let queue =
            queue.map_err(|error| Error::io("cannot create the descriptor of a query", &error))?;
        let queue = Arc::new(queue);
        let id = self.running.next_id();
        let waiter = Waiter::Queue(queue.clone(), id);
        self.send_query(id, name, payload, options, waiter)?;
        let events = Subscription::of(queue, self.running.lifecycle.clone());
        Ok(PendingQuery { id, events })
    }

    /// Like [`Node::query`], but waits for the end and returns everything that came back.
    ///
    /// # Errors
    /// Same as [`Node::query`]; `Deadlock` on a thread that must not wait.
    pub fn query_and_wait(
        &self,
        name: &str,
        payload: &[u8],
        options: &QueryOptions,
    ) -> Result<QueryAnswers> {
        self.running.check_wait()?;
        let queue = EventQueue::new(WAITING_ANSWERS, Vec::new(), false);
        let queue = Arc::new(queue.map_err(|error| Error::io("cannot wait for a query", &error))?);
        let id = self.running.next_id();
        let waiter = Waiter::Queue(queue.clone(), id);
        self.send_query(id, name, payload, options, waiter)?;
        let mut back = QueryAnswers {
            answers: Vec::new(),
            acks: Vec::new(),
            missing: Vec::new(),
            problem: None,
        };
        while let Ok(Some(Event { body, .. })) = queue.take(None) {
            match body {
                EventBody::QueryAck { from, .. } => back.acks.push(from),
                EventBody::QueryResponse { from, payload, .. } => {
                    back.answers.push(QueryAnswer { from, payload });
                }
                EventBody::Done {
                    result, missing, ..
                } => {
                    back.missing = missing.iter().map(|name| name.to_string()).collect();
                    back.problem = result.err();
                    return Ok(back);
                }
                _ => {}
            }
        }
        Err(self.running.lifecycle.end_error())
    }

    fn send_query(
        &self,
        number: u64,
        name: &str,
        payload: &[u8],
        options: &QueryOptions,
        waiter: Waiter,
    ) -> Result<()> {
        let (name, payload, options) = (name.to_owned(), payload.to_vec(), options.clone());
        self.running.ask(|reply| {
            Command::Message(MessageCommand::Query {
                number,
                name,
                payload,
                options,
                waiter,
                reply: Some(reply),
            })
        })?
    }

    /// Ends a query of this node now, as if its time were up. Does nothing if no query with this
    /// number is under way.
    ///
    /// # Errors
    /// `Closed`, `Forked`.
    pub fn cancel_query(&self, number: u64) -> Result<()> {
        let command = MessageCommand::CancelQuery { number };
        self.running.send(Command::Message(command))
    }

    /// Answers a query that came as an event of kind [`EventKind::Query`] with this number. Any
    /// thread may do that, at any time before the deadline of the query.
    ///
    /// # Errors
    /// `State` if the query was answered already; `Timeout` after its deadline; `NotFound` if there
    /// never was such a query; `TooLarge` if the encoded answer takes more bytes than the setting
    /// `query_response_bytes` (1,024) allows; `Closed`; `Forked`.
    pub fn respond(&self, query: u64, payload: &[u8]) -> Result<()> {
        let payload = payload.to_vec();
        self.change(|waiter| {
            Command::Message(MessageCommand::Respond {
                query,
                payload,
                waiter,
            })
        })
    }
}
