//! Streams: who is connected for what, what arrived, and when the patience ends.
//!
//! One request and at most one answer per stream, then it is closed. The number of streams is
//! bounded; a share is kept for those this node dials itself.

use super::push_pull::{Cause, Exchange};
use super::timer::Deadlines;
use super::{JoinFailure, Notice, Output, StreamEnd, StreamId, Swim};
use crate::limits;
use crate::time::Time;
use crate::wire::message::{Ack, ErrorAnswer, Message, kind};
use crate::wire::stream::{self, Side, StreamReader};
use crate::wire::{Codec, Refusal};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Streams kept free for dialling.
const DIALLED: usize = limits::STREAMS / 4;

/// What a stream is for.
pub(super) enum Purpose {
    /// A stream ping of the probe with this number.
    Ping { seq: u32, to: SocketAddr },
    /// A push/pull that this node began.
    PushPull(Exchange),
    /// Accepted; the request tells.
    Serve,
    /// Accepted, a push/pull whose answer waits for the user state of the layer above.
    Answer { join: bool, request: Vec<u8> },
}

pub(super) struct Stream {
    pub purpose: Purpose,
    pub side: Side,
    reader: StreamReader,
    deadline: Time,
}

/// All streams.
pub(super) struct Streams {
    open: HashMap<StreamId, Stream>,
    deadlines: Deadlines<StreamId>,
    dialled: usize,
    last_id: u64,
    /// Bytes that all readers hold.
    held: usize,
}

impl Streams {
    pub fn new() -> Streams {
        Streams {
            open: HashMap::new(),
            deadlines: Deadlines::new(),
            dialled: 0,
            last_id: 0,
            held: 0,
        }
    }

    pub fn next_timeout(&self) -> Option<Time> {
        self.deadlines.next()
    }

    pub fn get_mut(&mut self, id: StreamId) -> Option<&mut Stream> {
        self.open.get_mut(&id)
    }

    fn insert(&mut self, id: StreamId, stream: Stream) {
        self.dialled += usize::from(stream.side == Side::Dialled);
        self.deadlines.insert(stream.deadline, id);
        self.open.insert(id, stream);
    }

    pub fn remove(&mut self, id: StreamId) -> Option<Stream> {
        let stream = self.open.remove(&id)?;
        self.held -= stream.reader.held();
        self.dialled -= usize::from(stream.side == Side::Dialled);
        self.deadlines.remove(stream.deadline, id);
        Some(stream)
    }

    /// Bytes that wait in all streams for the rest of their message.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.held
    }

    /// How many push/pulls with this node are under way, begun here.
    pub fn exchanges_with(&self, addr: SocketAddr) -> usize {
        let with = |it: &&Stream| matches!(&it.purpose, Purpose::PushPull(it) if it.peer == addr);
        self.open.values().filter(with).count()
    }

    /// This process did not run: every stream gets that much more time.
    pub fn postpone(&mut self, by: Duration) {
        self.deadlines.postpone(by);
        for stream in self.open.values_mut() {
            stream.deadline = stream.deadline + by;
        }
    }
}

impl Swim {
    /// True while a further accepted stream would be served. The driver leaves others in the
    /// backlog meanwhile.
    pub fn accepts_streams(&self) -> bool {
        self.streams.open.len() - self.streams.dialled < limits::STREAMS - DIALLED
    }

    /// May this node dial another stream?
    pub(super) fn may_dial(&self) -> bool {
        self.streams.dialled < DIALLED
    }

    pub(super) fn dial(&mut self, to: SocketAddr, purpose: Purpose, deadline: Time) -> StreamId {
        self.streams.last_id += 1;
        let id = StreamId(2 * self.streams.last_id - 1);
        let (side, reader) = (Side::Dialled, StreamReader::new(Side::Dialled));
        self.streams.insert(
            id,
            Stream {
                purpose,
                side,
                reader,
                deadline,
            },
        );
        self.transmits.push_back(Output::Connect { id, to });
        id
    }

    /// Somebody connected.
    pub fn handle_stream_accepted(&mut self, now: Time, id: StreamId, _from: SocketAddr) {
        if !self.accepts_streams() {
            self.refuse(Refusal::TooManyStreams);
            self.transmits.push_back(Output::Close { id });
            return;
        }
        let deadline = now + self.config.stream_timeout;
        let (side, reader) = (Side::Accepted, StreamReader::new(Side::Accepted));
        let purpose = Purpose::Serve;
        self.streams.insert(
            id,
            Stream {
                purpose,
                side,
                reader,
                deadline,
            },
        );
    }

    /// A stream that this node dialled is open.
    pub fn handle_stream_connected(&mut self, _now: Time, id: StreamId) {
        let Some(stream) = self.streams.get_mut(id) else {
            return;
        };
        match &stream.purpose {
            Purpose::Ping { seq, to } => {
                let (seq, to) = (*seq, *to);
                match self.stream_ping_bytes(seq, to) {
                    Some(request) => self.write(id, Side::Dialled, &request),
                    None => self.close(id), // the probe has ended meanwhile
                }
            }
            Purpose::PushPull(exchange) => {
                let join = exchange.join;
                self.notices.push_back(Notice::WantUserState { id, join });
            }
            Purpose::Serve | Purpose::Answer { .. } => {}
        }
    }

    /// Bytes arrived on a stream.
    pub fn handle_stream_data(&mut self, now: Time, id: StreamId, bytes: &[u8]) {
        self.stats.stream_bytes_in += bytes.len() as u64;
        let codec: Arc<Codec> = self.codec.clone();
        let Some(stream) = self.streams.get_mut(id) else {
            return;
        };
        let side = stream.side;
        let before = stream.reader.held();
        let read = stream.reader.push(&codec, bytes);
        let after = stream.reader.held();
        self.streams.held = self.streams.held + after - before;
        if self.streams.held > limits::ALL_STREAMS_LEN {
            return self.refuse_stream(now, id, Refusal::TooLarge);
        }
        match read {
            Ok(None) => {}
            Ok(Some(plain)) => match side {
                Side::Dialled => self.take_answer(now, id, &plain),
                Side::Accepted => self.serve(now, id, plain),
            },
            Err(refusal) => self.refuse_stream(now, id, refusal),
        }
    }

    /// A stream ended without our doing.
    pub fn handle_stream_end(&mut self, now: Time, id: StreamId, end: StreamEnd) {
        let Some(stream) = self.streams.remove(id) else {
            return;
        };
        self.transmits.push_back(Output::Close { id });
        let why = match end {
            StreamEnd::Refused => JoinFailure::ConnectionRefused,
            StreamEnd::Eof | StreamEnd::Failed => JoinFailure::Unreachable,
        };
        self.stream_failed(now, stream.purpose, why);
    }

    pub(super) fn stream_timeouts(&mut self, now: Time) {
        while let Some(id) = self.streams.deadlines.take_due(now) {
            let Some(stream) = self.streams.remove(id) else {
                continue;
            };
            self.transmits.push_back(Output::Close { id });
            if stream.side == Side::Accepted {
                self.refuse(Refusal::StreamTimeout);
            }
            self.stream_failed(now, stream.purpose, JoinFailure::TimedOut);
        }
    }

    /// Ends every stream: what it carried is too old.
    pub(super) fn end_streams(&mut self, now: Time) {
        let mut ids: Vec<StreamId> = self.streams.open.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            if let Some(stream) = self.streams.remove(id) {
                self.transmits.push_back(Output::Close { id });
                self.stream_failed(now, stream.purpose, JoinFailure::TimedOut);
            }
        }
    }

    fn stream_failed(&mut self, now: Time, purpose: Purpose, why: JoinFailure) {
        match purpose {
            Purpose::Ping { seq, .. } => self.stream_ping_ended(seq, false),
            Purpose::PushPull(exchange) => {
                let expected = matches!(exchange.cause, Cause::Periodic | Cause::JoinSync);
                if expected && self.is_alive_at(exchange.peer) {
                    self.stream_did_not_work();
                }
                self.exchange_failed(now, exchange, why);
            }
            Purpose::Serve | Purpose::Answer { .. } => {}
        }
    }

    pub(super) fn stream_did_not_work(&mut self) {
        self.probes.stream_failures = self.probes.stream_failures.saturating_add(1);
    }

    /// Bytes that make no sense: counted, told to the other side if it asked, closed.
    fn refuse_stream(&mut self, now: Time, id: StreamId, refusal: Refusal) {
        self.refuse(refusal);
        let Some(stream) = self.streams.get_mut(id) else {
            return;
        };
        if stream.side == Side::Accepted {
            return self.answer_error(id, refusal.help());
        }
        let Some(stream) = self.streams.remove(id) else {
            return;
        };
        self.transmits.push_back(Output::Close { id });
        let why = match refusal {
            Refusal::Undecryptable | Refusal::PlaintextRefused | Refusal::UnexpectedEncryption => {
                JoinFailure::Crypto(refusal)
            }
            other => JoinFailure::Protocol(other),
        };
        self.stream_failed(now, stream.purpose, why);
    }

    pub(super) fn answer_error(&mut self, id: StreamId, text: &str) {
        let mut bytes = Vec::new();
        Message::Error(ErrorAnswer { text }).encode(&mut bytes);
        self.write(id, Side::Accepted, &bytes);
        self.close(id);
    }

    /// A complete answer on a stream that this node dialled.
    fn take_answer(&mut self, now: Time, id: StreamId, plain: &[u8]) {
        let Some(stream) = self.streams.remove(id) else {
            return;
        };
        self.transmits.push_back(Output::Close { id });
        self.note_heard(now);
        if plain.first() == Some(&kind::PUSH_PULL) {
            if let Purpose::PushPull(exchange) = stream.purpose {
                return self.finish_exchange(now, exchange, plain);
            }
            return self.stream_failed(now, stream.purpose, unexpected());
        }
        let answer = Message::decode(plain);
        match (stream.purpose, answer) {
            (Purpose::Ping { seq, .. }, Ok(Message::Ack(ack))) if ack.seq == seq => {
                self.probes.stream_failures = 0;
                self.stream_ping_ended(seq, true);
            }
            (purpose, Ok(Message::Error(answer))) => {
                let refused = JoinFailure::Refused(answer.text.to_owned());
                self.stream_failed(now, purpose, refused);
            }
            (purpose, Ok(_)) => {
                self.refuse(Refusal::UnknownType);
                self.stream_failed(now, purpose, unexpected());
            }
            (purpose, Err(refusal)) => {
                self.refuse(refusal);
                self.stream_failed(now, purpose, JoinFailure::Protocol(refusal));
            }
        }
    }

    /// A complete request on a stream that somebody dialled.
    fn serve(&mut self, now: Time, id: StreamId, plain: Vec<u8>) {
        self.note_heard(now);
        match plain.first() {
            Some(&kind::PUSH_PULL) => self.serve_exchange(id, plain),
            Some(&kind::USER) => match stream::user_content(&plain) {
                Ok(content) => {
                    let bytes = content.to_vec();
                    self.notices.push_back(Notice::UserMessage { bytes });
                    self.close(id);
                }
                Err(refusal) => self.refuse_stream(now, id, refusal),
            },
            _ => match Message::decode(&plain) {
                Ok(Message::Ping(ping)) => {
                    if !ping.node.is_empty() && ping.node != &*self.own_name {
                        self.refuse(Refusal::OtherNode);
                        return self.close(id);
                    }
                    let mut ack = Vec::new();
                    Message::Ack(Ack {
                        seq: ping.seq,
                        payload: None,
                    })
                    .encode(&mut ack);
                    self.write(id, Side::Accepted, &ack);
                    self.close(id);
                }
                Ok(_) => self.refuse_stream(now, id, Refusal::UnknownType),
                Err(refusal) => self.refuse_stream(now, id, refusal),
            },
        }
    }

    pub(super) fn write(&mut self, id: StreamId, side: Side, plain: &[u8]) {
        let nonce = self.nonce();
        let bytes = stream::seal(&self.codec, side, plain, nonce);
        self.stats.stream_bytes_out += bytes.len() as u64;
        self.transmits.push_back(Output::Write { id, bytes });
    }

    /// Forgets a stream; the driver closes it when everything written has gone out.
    pub(super) fn close(&mut self, id: StreamId) {
        self.streams.remove(id);
        self.transmits.push_back(Output::Close { id });
    }
}

fn unexpected() -> JoinFailure {
    JoinFailure::Protocol(Refusal::UnknownType)
}
