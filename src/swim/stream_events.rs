//! Streams and lookups: handles their inputs, and reports their ends to the parts that began them.

use super::exchanges::requests::StreamEvent;
use super::output::{JoinFailure, LookupId, Notice, OpId, StreamEnd, StreamId};
use super::remote_state::OwnName;
use super::shared::lookups::LookupCause;
use super::shared::streams::{Exchange, ExchangeCause, Purpose, Stream};
use super::{Swim, exchanges::looking, exchanges::push_pull, exchanges::requests};
use crate::time::Time;
use crate::wire::Refusal;
use std::net::{IpAddr, SocketAddr};

impl Swim {
    /// Returns true if one more accepted stream would be served. If not, the driver leaves new
    /// connections in the backlog.
    pub fn accepts_streams(&self) -> bool {
        self.ctx.streams.may_accept()
    }

    /// Another node wants to connect from this address. Returns true if the connection may be
    /// accepted. Otherwise counts a refusal, and the driver closes the connection unread.
    pub fn admits_stream(&mut self, from: SocketAddr) -> bool {
        let is_admitted = self.ctx.is_source_allowed(from.ip());
        if !is_admitted {
            requests::refuse_connection(&mut self.ctx, from, Refusal::AddressNotAllowed);
        }
        is_admitted
    }

    /// Runs an input from a stream, whose other side becomes the source of the input.
    fn at_stream(&mut self, now: Time, id: StreamId, run: impl FnOnce(&mut Swim)) {
        let source = self.ctx.streams.get(id).map(Stream::source);
        self.set_source(source);
        self.at(now, run);
    }

    /// Another node connected.
    pub fn handle_stream_accepted(&mut self, now: Time, id: StreamId, from: SocketAddr) {
        self.at(now, |swim| requests::on_accepted(&mut swim.ctx, id, from));
    }

    /// A stream that this node dialled is open.
    pub fn handle_stream_connected(&mut self, now: Time, id: StreamId) {
        self.at(now, |swim| {
            if let Some(stream) = swim.ctx.streams.get_mut(id) {
                stream.connected = true;
            }
            let Some(stream) = swim.ctx.streams.get(id) else {
                return;
            };
            match &stream.purpose {
                Purpose::Ping { seq, to } => {
                    let request = swim.probing.stream_ping(&swim.ctx, *seq, *to);
                    requests::send_ping(&mut swim.ctx, id, request);
                }
                Purpose::PushPull(exchange) => {
                    let (join, shows_nothing) = (exchange.join, exchange.shows_nothing());
                    swim.ctx.outbox.tell(Notice::WantUserState {
                        id,
                        join,
                        shows_nothing,
                    });
                }
                Purpose::Message(message) => {
                    let content = message.content.clone();
                    requests::send_message(&mut swim.ctx, id, &content);
                }
                Purpose::Serve | Purpose::Answer { .. } => {}
            }
        });
    }

    /// The other side of a stream writes no more after the bytes that arrive next.
    pub fn note_hang_up(&mut self, id: StreamId) {
        if let Some(stream) = self.ctx.streams.get_mut(id) {
            stream.hung_up = true;
        }
    }

    /// Bytes arrived on a stream.
    pub fn handle_stream_data(&mut self, now: Time, id: StreamId, bytes: &[u8]) {
        self.at_stream(now, id, |swim| {
            if let Some(event) = requests::on_data(&mut swim.ctx, id, bytes) {
                swim.on_stream_event(event);
            }
        });
    }

    /// The other side closed a stream, or the stream broke or could not be opened.
    pub fn handle_stream_end(&mut self, now: Time, id: StreamId, end: StreamEnd) {
        self.at_stream(now, id, |swim| {
            if let Some(event) = requests::on_end(&mut swim.ctx, id, end) {
                swim.on_stream_event(event);
            }
        });
    }

    /// The layer above gives its user state for a push/pull, in answer to
    /// [`Notice::WantUserState`].
    pub fn provide_user_state(&mut self, now: Time, id: StreamId, bytes: &[u8]) {
        self.at_stream(now, id, |swim| {
            let Some(remote) = push_pull::send_state(&mut swim.ctx, id, bytes) else {
                return;
            };
            if let Err(refusal) = swim.merge_state(&remote) {
                swim.refuse(refusal);
            }
        });
    }

    /// A ping, push/pull or user message that this node began on a stream has ended, or another
    /// node has begun a push/pull.
    pub(super) fn on_stream_event(&mut self, event: StreamEvent) {
        match event {
            StreamEvent::PingEnd { seq, acked } => {
                if let Some(end) = self.probing.on_stream_ping(&mut self.ctx, seq, acked) {
                    self.on_probe_end(end);
                }
            }
            StreamEvent::MessageDone { message, failure } => {
                self.messages.on_end(&mut self.ctx, &message, failure);
            }
            StreamEvent::ExchangeEnd { exchange, state } => match exchange.cause {
                ExchangeCause::Look { op } => self.on_look_end(op, exchange.peer, state),
                _ => self.on_answer(exchange, state),
            },
            StreamEvent::StateAsked { id, request } => match self.answer_to(&request) {
                Ok((join, shows)) => {
                    requests::begin_answer(&mut self.ctx, id, join, shows, request);
                }
                Err(refusal) => requests::refuse_request(&mut self.ctx, id, refusal),
            },
        }
    }

    /// A push/pull of a look has ended. Its answer is not merged.
    fn on_look_end(&mut self, op: OpId, peer: SocketAddr, state: Result<Vec<u8>, JoinFailure>) {
        let state = state.and_then(|bytes| {
            looking::decode(&mut self.ctx, peer, &bytes).map_err(|refusal| {
                self.refuse(refusal);
                JoinFailure::Protocol(refusal)
            })
        });
        self.looking.on_answer(&mut self.ctx, op, peer, state);
    }

    /// Merges the answer to a push/pull. If this node showed nothing in it, and the answer does not
    /// list this node's name at another address, the push/pull in which this node shows itself
    /// follows.
    fn on_answer(&mut self, exchange: Exchange, state: Result<Vec<u8>, JoinFailure>) {
        let merged = state.and_then(|state| {
            self.merge_state(&state).map_err(|refusal| {
                self.refuse(refusal);
                JoinFailure::Protocol(refusal)
            })
        });
        match merged {
            Ok(merged)
                if exchange.shows_nothing() && !matches!(merged.own_name, OwnName::Taken(_)) =>
            {
                let introduction = exchange.introduction(merged.gained);
                self.ctx.begin_exchange(introduction);
            }
            Ok(merged) => {
                if merged.own_name == OwnName::Ours {
                    self.name_conflicts.on_name_listed(&mut self.ctx);
                }
                self.on_exchange_end(exchange, Ok(merged.gained));
            }
            Err(failure) => self.on_exchange_end(exchange, Err(failure)),
        }
    }

    /// A push/pull that this node began has ended. If the answer was merged, `gained` is the number
    /// of members that became known or alive again by it; otherwise it is the failure.
    fn on_exchange_end(&mut self, exchange: Exchange, gained: Result<u32, JoinFailure>) {
        let (ctx, peer) = (&mut self.ctx, exchange.peer);
        let gained = gained.map(|gained| exchange.gained + gained);
        match exchange.cause {
            ExchangeCause::Join { op, target } => {
                if gained.is_ok() {
                    self.join_sync.on_joined(ctx, peer);
                }
                let failure = gained.err().map(|why| (target, why));
                let undecided = self.name_conflicts.is_asking();
                self.joining.on_target_end(ctx, op, failure, undecided);
                self.remember_reached_seeds();
            }
            ExchangeCause::JoinSync => self.join_sync.on_pull_end(ctx, gained.ok()),
            ExchangeCause::Reconnect => {
                if matches!(gained, Ok(1..)) {
                    self.join_sync.on_joined(ctx, peer);
                }
                self.reconnect.on_end(ctx, peer, gained.err());
            }
            ExchangeCause::Look { .. }
            | ExchangeCause::Periodic
            | ExchangeCause::Suspect
            | ExchangeCause::Doubt
            | ExchangeCause::NameConflict => {}
        }
    }

    /// A host name was resolved; `addrs` is empty if the resolution failed.
    pub fn handle_resolved(&mut self, now: Time, id: LookupId, addrs: &[IpAddr]) {
        self.at(now, |swim| {
            let ctx = &mut swim.ctx;
            if let Some(lookup) = ctx.lookups.end(id) {
                swim.reconnect.on_resolved(ctx, &lookup, addrs);
                match lookup.cause {
                    LookupCause::Join(op) => {
                        let undecided = swim.name_conflicts.is_asking();
                        let joining = &mut swim.joining;
                        joining.on_resolved(ctx, op, lookup, addrs, undecided);
                    }
                    LookupCause::Look(op) => {
                        swim.looking.on_resolved(ctx, op, &lookup, addrs);
                    }
                    LookupCause::Seed => {}
                }
            }
            swim.remember_reached_seeds();
            swim.reconnect.arm(&mut swim.ctx);
        });
    }
}
