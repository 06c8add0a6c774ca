//! User messages by stream: each travels on a stream of its own, and its sender learns of failures
//! that can be seen.
//!
//! This node dials the receiver, writes the message, and waits for the receiver to close the
//! stream, as it does once it has read the message. If the receiver answers with an error or the
//! stream breaks, the message has failed. The protocol has no acknowledgement: a stock member with
//! another label, or a proxy, closes the stream in the same way. Only a few messages are under way
//! at a time, so that they do not take the streams that the protocol needs. The others wait for
//! their turn.

use crate::limits;
use crate::swim::output::{JoinFailure, Notice, OpId};
use crate::swim::shared::context::Context;
use crate::swim::shared::streams::{Purpose, StreamMessage};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

/// The maximum number of messages under way at a time.
const UNDER_WAY: usize = 8;
/// The maximum number of messages that wait for their turn.
const WAITING: usize = 1024;

/// The messages of this node that wait or are under way.
#[derive(Default)]
pub(in crate::swim) struct Messages {
    waiting: VecDeque<StreamMessage>,
    under_way: usize,
    /// The sum of the lengths of all messages, waiting or under way.
    bytes: usize,
}

impl Messages {
    /// Sends a message. [`Notice::MessageDone`] reports its end. Returns `None` if too many
    /// messages wait, or if those that wait or are under way have too many bytes.
    pub fn begin(&mut self, ctx: &mut Context, to: SocketAddr, content: Arc<[u8]>) -> Option<OpId> {
        let bytes = self.bytes + content.len();
        if self.waiting.len() >= WAITING || bytes > limits::SENT_MESSAGE_BYTES {
            return None;
        }
        self.bytes = bytes;
        let op = ctx.next_op();
        self.waiting.push_back(StreamMessage { op, to, content });
        self.dial(ctx);
        Some(op)
    }

    /// The stream of a message has ended.
    pub fn on_end(
        &mut self,
        ctx: &mut Context,
        message: &StreamMessage,
        failure: Option<JoinFailure>,
    ) {
        self.under_way -= 1;
        self.bytes -= message.content.len();
        let op = message.op;
        ctx.outbox.tell(Notice::MessageDone { op, failure });
        self.dial(ctx);
    }

    /// Dials streams for waiting messages until the maximum number is under way.
    fn dial(&mut self, ctx: &mut Context) {
        while self.under_way < UNDER_WAY {
            let Some(message) = self.waiting.pop_front() else {
                return;
            };
            self.under_way += 1;
            let deadline = ctx.now + ctx.config.stream_timeout;
            ctx.dial(message.to, Purpose::Message(message), deadline);
        }
    }
}
