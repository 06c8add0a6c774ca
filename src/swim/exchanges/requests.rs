//! Requests and answers on streams: each message that arrives is checked, and then answered or
//! handed on.
//!
//! ```text
//!  dialled    ping      -> ack              -> StreamEvent::PingEnd
//!             push/pull -> push/pull        -> StreamEvent::ExchangeEnd
//!             user message -> the other side closes the stream -> StreamEvent::MessageDone
//!             each      -> any other answer, or no answer in time: the same event, as a failure
//!  accepted   ping         -> ack
//!             user message -> a notice for the layer above
//!             push/pull    -> StreamEvent::StateAsked; a notice asks for the user state, and then
//!                             `push_pull::send_state` answers
//! ```
//!
//! Nothing here changes a member: [`crate::swim::Swim`] acts on the events.

use crate::limits;
use crate::printable;
use crate::swim::output::{JoinFailure, Notice, Output, StreamEnd, StreamId};
use crate::swim::shared::context::Context;
use crate::swim::shared::refusals::{Source, Transport};
use crate::swim::shared::streams::{
    Exchange, ExchangeCause, Purpose, Shows, Stream, StreamMessage,
};
use crate::wire::message::{Ack, ErrorAnswer, Message, kind};
use crate::wire::stream::{self, Side};
use crate::wire::{Names, Refusal};
use std::net::SocketAddr;

/// The end of a ping, push/pull or user message that this node began on a stream, or the beginning
/// of a push/pull that another node began.
pub(in crate::swim) enum StreamEvent {
    /// The stream ping of the probe with this sequence number ended.
    PingEnd { seq: u32, acked: bool },
    /// A push/pull ended. `state` is the state of the other side, still encoded, or the failure.
    ExchangeEnd {
        exchange: Exchange,
        state: Result<Vec<u8>, JoinFailure>,
    },
    /// A user message ended: unless there is a failure, the other side has taken it and closed the
    /// stream.
    MessageDone {
        message: StreamMessage,
        failure: Option<JoinFailure>,
    },
    /// Another node asks for this node's state. `request` is its own state, still encoded.
    StateAsked { id: StreamId, request: Vec<u8> },
}

/// Another node connected. Closes the stream again if too many streams are open.
pub(in crate::swim) fn on_accepted(ctx: &mut Context, id: StreamId, from: SocketAddr) {
    if ctx.streams.may_accept() {
        let deadline = ctx.now + ctx.config.stream_timeout;
        ctx.streams.accept(id, from, deadline);
    } else {
        refuse_connection(ctx, from, Refusal::TooManyStreams);
        ctx.outbox.order(Output::Close { id });
    }
}

/// Counts the refusal of a connection from this address.
pub(in crate::swim) fn refuse_connection(ctx: &mut Context, from: SocketAddr, refusal: Refusal) {
    let transport = Transport::Accepted;
    let source = Source {
        addr: from,
        transport,
    };
    refuse_from(ctx, Some(source), refusal);
}

/// The stream of a ping is connected: sends the ping. If `ping` is `None`, its probe has already
/// ended, and the stream is closed.
pub(in crate::swim) fn send_ping(ctx: &mut Context, id: StreamId, ping: Option<Vec<u8>>) {
    match ping {
        Some(ping) => ctx.write(id, Side::Dialled, &ping),
        None => ctx.close(id),
    }
}

/// The stream of a user message is connected: sends the message.
pub(in crate::swim) fn send_message(ctx: &mut Context, id: StreamId, content: &[u8]) {
    let mut header = Vec::new();
    stream::put_user_header(&mut header, content.len());
    ctx.write_pieces(id, Side::Dialled, |_, take| {
        take(&header);
        take(content);
    });
}

/// Bytes arrived on a stream. Returns the event of the message that they complete, if any.
pub(in crate::swim) fn on_data(
    ctx: &mut Context,
    id: StreamId,
    bytes: &[u8],
) -> Option<StreamEvent> {
    ctx.outbox.stats.stream_bytes_in += bytes.len() as u64;
    let side = ctx.streams.get(id)?.side;
    let read = ctx.streams.read(&ctx.codec, id, bytes);
    while let Some(largest) = ctx.streams.to_give_way() {
        give_way(ctx, largest);
    }
    match read {
        Ok(None) => None,
        Ok(Some(plain)) => {
            ctx.awareness.heard(ctx.now);
            match side {
                Side::Dialled => on_answer(ctx, id, plain),
                Side::Accepted => on_request(ctx, id, plain),
            }
        }
        Err(refusal) => refuse(ctx, id, refusal),
    }
}

/// Refuses an accepted stream, because all accepted streams together hold too many bytes.
fn give_way(ctx: &mut Context, id: StreamId) {
    let source = ctx.streams.get(id).map(Stream::source);
    refuse_from(ctx, source, Refusal::TooLarge);
    answer_error(ctx, id, Refusal::TooLarge);
}

/// Counts a refusal of bytes from `source`, which need not be the source of the present input.
fn refuse_from(ctx: &mut Context, source: Option<Source>, refusal: Refusal) {
    let previous = ctx.outbox.sources.set_current(source);
    ctx.outbox.refuse(refusal);
    ctx.outbox.sources.set_current(previous);
}

/// The other side closed a stream, or the stream broke or could not be opened.
pub(in crate::swim) fn on_end(
    ctx: &mut Context,
    id: StreamId,
    end: StreamEnd,
) -> Option<StreamEvent> {
    if let Some(message) = arrived(ctx, id, end) {
        ctx.close(id);
        let failure = None;
        return Some(StreamEvent::MessageDone { message, failure });
    }
    let why = match end {
        StreamEnd::Refused => JoinFailure::ConnectionRefused,
        // A stock member that has another label ends a stream in this way, and so do most programs
        // that do not know the protocol.
        StreamEnd::Eof | StreamEnd::Reset
            if ctx
                .streams
                .get(id)
                .is_some_and(|it| it.connected && !it.heard) =>
        {
            JoinFailure::ClosedUnanswered
        }
        StreamEnd::Eof | StreamEnd::Reset | StreamEnd::Failed => JoinFailure::Unreachable,
    };
    fail(ctx, id, why)
}

/// Returns the user message of this stream if the other side has closed the stream after the whole
/// message was written.
fn arrived(ctx: &Context, id: StreamId, end: StreamEnd) -> Option<StreamMessage> {
    let stream = ctx.streams.get(id)?;
    match &stream.purpose {
        Purpose::Message(message) if stream.connected && end == StreamEnd::Eof => {
            Some(message.clone())
        }
        _ => None,
    }
}

/// Closes a stream. Returns the failure of the request that this node began on it, if any.
pub(in crate::swim) fn fail(
    ctx: &mut Context,
    id: StreamId,
    why: JoinFailure,
) -> Option<StreamEvent> {
    let stream = ctx.streams.remove(id)?;
    ctx.outbox.order(Output::Close { id });
    failed(ctx, stream, why)
}

/// Closes overdue streams, up to the first one with a request of this node that has failed. Returns
/// that failure, or `None` if no overdue stream is left.
pub(in crate::swim) fn next_timeout(ctx: &mut Context) -> Option<StreamEvent> {
    loop {
        let (id, stream) = ctx.streams.take_overdue(ctx.now)?;
        ctx.outbox.order(Output::Close { id });
        if stream.side == Side::Accepted {
            refuse_from(ctx, Some(stream.source()), Refusal::StreamTimeout);
        }
        let event = failed(ctx, stream, JoinFailure::TimedOut);
        if event.is_some() {
            return event;
        }
    }
}

/// Returns the failure of the request that this node began on a stream, if any. The failure of a
/// periodic push/pull or join sync with an alive member also counts as a sign that streams do not
/// work, unless the member answered with a refusal. If this process stalled while the stream was
/// open, the delay was the fault of this node: then the failure does not count, and the failure of
/// a ping is not returned.
fn failed(ctx: &mut Context, stream: Stream, why: JoinFailure) -> Option<StreamEvent> {
    match stream.purpose {
        Purpose::Ping { .. } if stream.stalled => None,
        Purpose::Ping { seq, .. } => Some(StreamEvent::PingEnd { seq, acked: false }),
        Purpose::PushPull(exchange) => {
            use ExchangeCause::{JoinSync, Periodic};
            let with_member = matches!(exchange.cause, Periodic | JoinSync);
            let is_sign = with_member && !stream.stalled && !why.brought_bytes();
            if is_sign && ctx.table.is_alive_at(exchange.peer) {
                ctx.awareness.stream_failed();
            }
            let state = Err(why);
            Some(StreamEvent::ExchangeEnd { exchange, state })
        }
        Purpose::Message(message) => {
            let failure = Some(why);
            Some(StreamEvent::MessageDone { message, failure })
        }
        Purpose::Serve | Purpose::Answer { .. } => None,
    }
}

/// Refuses the bytes that arrived on a stream and closes the stream. If the other side dialled, it
/// gets the reason as an answer.
fn refuse(ctx: &mut Context, id: StreamId, refusal: Refusal) -> Option<StreamEvent> {
    ctx.refuse_unreadable(refusal);
    if ctx.streams.get(id)?.side == Side::Accepted {
        answer_error(ctx, id, refusal);
        return None;
    }
    let why = match refusal {
        Refusal::Undecryptable | Refusal::PlaintextRefused | Refusal::UnexpectedEncryption => {
            JoinFailure::Crypto(refusal)
        }
        other => JoinFailure::Protocol(other),
    };
    fail(ctx, id, why)
}

/// A complete answer arrived on a stream that this node dialled.
fn on_answer(ctx: &mut Context, id: StreamId, plain: Vec<u8>) -> Option<StreamEvent> {
    let stream = ctx.streams.remove(id)?;
    ctx.outbox.order(Output::Close { id });
    let unexpected = JoinFailure::Protocol(Refusal::UnknownType);
    if plain.first() == Some(&kind::PUSH_PULL) {
        return match stream.purpose {
            Purpose::PushPull(exchange) => {
                ctx.awareness.stream_worked();
                let state = Ok(plain);
                Some(StreamEvent::ExchangeEnd { exchange, state })
            }
            Purpose::Ping { .. }
            | Purpose::Serve
            | Purpose::Answer { .. }
            | Purpose::Message(_) => {
                ctx.outbox.refuse(Refusal::UnknownType);
                failed(ctx, stream, unexpected)
            }
        };
    }
    let names = Names::default();
    match (&stream.purpose, Message::decode_in(&plain, &names)) {
        (Purpose::Ping { seq, .. }, Ok(Message::Ack(ack))) if ack.seq == *seq => {
            ctx.awareness.stream_worked();
            Some(StreamEvent::PingEnd {
                seq: *seq,
                acked: true,
            })
        }
        (_, Ok(Message::Error(answer))) => {
            let text = printable::text_up_to(answer.text, limits::ERROR_TEXT_LEN);
            failed(ctx, stream, JoinFailure::Refused(text))
        }
        (_, Ok(_)) => {
            ctx.outbox.refuse(Refusal::UnknownType);
            failed(ctx, stream, unexpected)
        }
        (_, Err(refusal)) => {
            ctx.outbox.refuse(refusal);
            failed(ctx, stream, JoinFailure::Protocol(refusal))
        }
    }
}

/// A complete request arrived on a stream that another node dialled. A push/pull whose sender has
/// hung up after a wait is not answered: a node that waits for the answer keeps its side open, and
/// the answer would take a busy node time for which others wait.
fn on_request(ctx: &mut Context, id: StreamId, plain: Vec<u8>) -> Option<StreamEvent> {
    let hung_up = ctx.streams.get(id).is_some_and(|stream| stream.hung_up);
    let answered = match plain.first() {
        Some(&kind::PUSH_PULL) if hung_up => {
            ctx.outbox.stats.push_pulls_abandoned += 1;
            ctx.close(id);
            return None;
        }
        Some(&kind::PUSH_PULL) => return Some(StreamEvent::StateAsked { id, request: plain }),
        Some(&kind::USER) => on_user_message(ctx, id, &plain),
        _ => on_ping(ctx, id, &plain),
    };
    if let Err(refusal) = answered {
        refuse_request(ctx, id, refusal);
    }
    None
}

/// Refuses a complete request. The other side gets the reason as an answer.
pub(in crate::swim) fn refuse_request(ctx: &mut Context, id: StreamId, refusal: Refusal) {
    ctx.outbox.refuse(refusal);
    answer_error(ctx, id, refusal);
}

/// Asks the layer above for its part of the answer to a push/pull. `shows` selects the entries of
/// the answer.
pub(in crate::swim) fn begin_answer(
    ctx: &mut Context,
    id: StreamId,
    join: bool,
    shows: Shows,
    request: Vec<u8>,
) {
    let Some(stream) = ctx.streams.get_mut(id) else {
        return;
    };
    stream.purpose = Purpose::Answer {
        join,
        shows,
        request,
    };
    ctx.outbox.tell(Notice::WantUserState {
        id,
        join,
        shows_nothing: shows == Shows::Others,
    });
}

fn on_user_message(ctx: &mut Context, id: StreamId, plain: &[u8]) -> Result<(), Refusal> {
    on_user_content(ctx, stream::user_content(plain)?)?;
    ctx.close(id);
    Ok(())
}

/// Hands the content of a user message to the layer above.
///
/// # Errors
/// [`Refusal::TooLarge`] if the settings do not accept so large a message.
pub(in crate::swim) fn on_user_content(ctx: &mut Context, content: &[u8]) -> Result<(), Refusal> {
    if content.len() > ctx.config.message_bytes {
        return Err(Refusal::TooLarge);
    }
    let bytes = content.into();
    ctx.outbox.tell(Notice::UserMessage { bytes });
    Ok(())
}

fn on_ping(ctx: &mut Context, id: StreamId, plain: &[u8]) -> Result<(), Refusal> {
    let names = Names::default();
    let Message::Ping(ping) = Message::decode_in(plain, &names)? else {
        return Err(Refusal::UnknownType);
    };
    if ctx.local.answers_to(ping.node) {
        let ack = Message::Ack(Ack {
            seq: ping.seq,
            payload: None,
        });
        ctx.write(id, Side::Accepted, &ack.encoded());
    } else {
        ctx.outbox.refuse(Refusal::OtherNode);
    }
    ctx.close(id);
    Ok(())
}

fn answer_error(ctx: &mut Context, id: StreamId, refusal: Refusal) {
    let text = refusal.help().as_bytes();
    let answer = Message::Error(ErrorAnswer { text });
    ctx.write(id, Side::Accepted, &answer.encoded());
    ctx.close(id);
}
