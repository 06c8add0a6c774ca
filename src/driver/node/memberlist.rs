//! Messages, states and ack payloads of programs built on memberlist, in memberlist mode.

use super::Node;
use crate::driver::engine::command::{Command, MessageCommand};
use crate::driver::events::completion::{Operation, Waiter};
use crate::driver::events::pending::Pending;
use crate::driver::os::oneshot::{Waited, oneshot};
use crate::error::{Error, Result, Status};
#[cfg(doc)]
use crate::event::EventKind;
use std::sync::Arc;
use std::time::Duration;

impl Node {
    /// Sends a message to a member in one datagram. The datagram may get lost; nothing is reported
    /// then. The other program gets the message as an event of kind [`EventKind::Message`], or from
    /// `NotifyMsg` of its memberlist delegate.
    ///
    /// # Errors
    /// `TooLarge` if the message is larger than the setting `message_bytes` (1 MiB) allows or does
    /// not fit into a datagram (about 65,000 bytes), with both numbers in the message; `NotFound`
    /// if there is no such member; `State` if it has failed or left, in serf mode, or once this
    /// node has begun to leave; `Closed`; `Forked`.
    pub fn send_datagram(&self, to: &str, payload: &[u8]) -> Result<()> {
        let (to, payload) = (to.to_owned(), payload.to_vec());
        self.change(|waiter| {
            Command::Message(MessageCommand::SendDatagram {
                to,
                payload,
                waiter,
            })
        })
    }

    /// Sends a message to a member on a stream of its own. A `Done` event of this operation reports
    /// the end: success once the other side has taken the whole message and closed the stream
    /// without an error, which does not mean that its program has acted on it; otherwise the
    /// reason, such as `Unreachable`. The protocol has no acknowledgement of messages: a stock
    /// member with another label, or a proxy, also takes and closes, and cannot be told apart.
    ///
    /// Eight messages are under way at a time; others wait for their turn. Messages to one member
    /// may arrive in a different order from the one in which they were sent.
    ///
    /// # Errors
    /// `TooLarge` if the message is larger than the setting `message_bytes` (1 MiB) allows, with
    /// both numbers in the message; `NotFound` if there is no such member; `State` if it has failed
    /// or left, in serf mode, once this node has begun to leave, or if too many messages wait;
    /// `Closed`; `Forked`. No event follows such an error.
    pub fn send(&self, operation: Operation, to: &str, payload: &[u8]) -> Result<()> {
        self.send_for(to, payload, Waiter::Event(operation))
    }

    /// Like [`Node::send`], but the returned value has a descriptor of its own to wait on.
    ///
    /// # Errors
    /// Same as [`Node::send`]; `Io` if the system refuses a descriptor.
    pub fn begin_send(&self, to: &str, payload: &[u8]) -> Result<Pending> {
        let (promise, pending) = Pending::new()?;
        self.send_for(to, payload, Waiter::Pending(promise))?;
        Ok(pending)
    }

    /// Like [`Node::send`], but waits for the end. A `timeout` of `None` waits without limit.
    ///
    /// # Errors
    /// Same as [`Node::send`], and the reason if the message has not arrived; `Timeout`, after
    /// which the message may still arrive; `Deadlock` on a thread that must not wait.
    pub fn send_and_wait(&self, to: &str, payload: &[u8], timeout: Option<Duration>) -> Result<()> {
        self.running.check_wait()?;
        let (reply, answer) = oneshot();
        self.send_for(to, payload, Waiter::Caller(reply))?;
        match answer.wait(timeout) {
            Waited::Answered(outcome) => outcome.result.map(drop),
            Waited::Dropped => Err(self.running.lifecycle.end_error()),
            Waited::TimedOut => {
                let message = "the timeout has passed; the message may still arrive";
                Err(Error::new(Status::Timeout, message))
            }
        }
    }

    fn send_for(&self, to: &str, payload: &[u8], waiter: Waiter) -> Result<()> {
        let (to, payload) = (to.to_owned(), payload.into());
        self.running.ask(|reply| {
            Command::Message(MessageCommand::SendMessage {
                to,
                payload,
                waiter,
                reply,
            })
        })?
    }

    /// Gossips a message to the other members. Each member that gets the message delivers it as an
    /// event of kind [`EventKind::Message`], perhaps several times, and does not pass it on: to
    /// reach all members of a large cluster, each program must broadcast the messages that are new
    /// to it.
    ///
    /// If there is a name, the message replaces the earlier one with the same name that still waits
    /// to be sent; without a name, nothing is replaced. The name stays on this node.
    ///
    /// # Errors
    /// `TooLarge` if the message does not fit into a datagram of the setting `packet_bytes` (1,400)
    /// or is larger than `message_bytes` allows, with both numbers in the message; `State` in serf
    /// mode, once this node has begun to leave, or if 4,096 broadcasts wait to be gossiped and this
    /// one replaces none of them; `Closed`; `Forked`.
    pub fn broadcast(&self, payload: &[u8], name: Option<&str>) -> Result<()> {
        let (payload, name) = (payload.to_vec(), name.map(str::to_owned));
        self.change(|waiter| {
            Command::Message(MessageCommand::Broadcast {
                payload,
                name,
                waiter,
            })
        })
    }

    /// Sets the state of the program: every push/pull hands it to another program, which gets it as
    /// an event of kind [`EventKind::RemoteState`], or from `MergeRemoteState` of its memberlist
    /// delegate. Before the first call, or after a call with no bytes, no state is handed out.
    ///
    /// The bytes are shared and not copied for each push/pull, so a program calls this whenever its
    /// state has changed, and a slow program never delays the node.
    ///
    /// # Errors
    /// `TooLarge` if the state is longer than 8 MiB, with both numbers in the message; `State` in
    /// serf mode; `Closed`; `Forked`.
    pub fn set_local_state(&self, state: impl Into<Arc<[u8]>>) -> Result<()> {
        let state = state.into();
        self.change(|waiter| Command::Message(MessageCommand::SetLocalState { state, waiter }))
    }

    /// Sets the bytes that the acks of this node carry to members from now on; none carries any
    /// before the first call. The other program gets them with each answer to a ping, as an event
    /// of kind [`EventKind::PingAck`], or from `NotifyPingComplete` of its memberlist delegate.
    ///
    /// # Errors
    /// `TooLarge` if there are more than 512 bytes, with both numbers in the message; `State` in
    /// serf mode, where acks carry the network coordinate of the node; `Closed`; `Forked`.
    pub fn set_ack_payload(&self, payload: &[u8]) -> Result<()> {
        let payload = payload.to_vec();
        self.change(|waiter| Command::Message(MessageCommand::SetAckPayload { payload, waiter }))
    }
}
