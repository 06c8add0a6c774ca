//! Relaying: this node pings on behalf of other nodes, and carries the answers back.
//!
//! A helper never changes its own view because of the outcome (SWIM section 4.1). If the target
//! stays silent, the asking node gets a nack if it wanted one. With nacks, the asking node can tell
//! a dead target from a dead path to its helpers (Lifeguard).

use crate::sorted_map::SortedMap;
use crate::swim::shared::context::Context;
use crate::time::Time;
use crate::wire::Refusal;
use crate::wire::message::{Ack, IndirectPing, Message, Nack};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

/// The maximum number of pings relayed within a probe timeout.
const RELAYS: usize = 1024;

/// The node that asked, and how to answer it.
struct Relay {
    asker_name: Box<str>,
    asker: SocketAddr,
    asker_seq: u32,
    nack: bool,
}

/// The relayed pings that wait for an ack, and their deadlines. The key is the sequence number of
/// this node's ping.
#[derive(Default)]
pub(in crate::swim) struct Relaying {
    waiting: SortedMap<u32, Relay>,
    /// The deadlines are in ascending order, because every relay waits equally long.
    deadlines: VecDeque<(Time, u32)>,
}

impl Relaying {
    /// Another node asks this one to ping a third node.
    pub fn on_indirect_ping(&mut self, ctx: &mut Context, from: SocketAddr, ask: &IndirectPing) {
        let Some((target, _)) = ctx.decode_addr(ask.target, ask.port) else {
            return ctx.outbox.refuse(Refusal::AddressLength);
        };
        if !ctx.is_allowed(target.ip()) {
            return ctx.outbox.refuse(Refusal::AddressNotAllowed);
        }
        if self.deadlines.len() >= RELAYS {
            return ctx.outbox.refuse(Refusal::TooManyRelays);
        }
        let seq = ctx.next_seq();
        let relay = Relay {
            asker_name: ask.source_node.into(),
            asker: ctx.answer_addr(ask.source_addr, ask.source_port, ask.source_node, from),
            asker_seq: ask.seq,
            nack: ask.nack,
        };
        self.waiting.insert(seq, relay);
        let deadline = ctx.now + ctx.config.probe_timeout;
        self.deadlines.push_back((deadline, seq));
        let ping = ctx.local.encode_ping(seq, ask.node);
        ctx.send_to_claimed(target, ask.node, &ping);
    }

    /// Carries an ack back. Returns false if no relay waits for it.
    pub fn on_ack(&mut self, ctx: &mut Context, seq: u32) -> bool {
        let Some(relay) = self.waiting.remove(seq) else {
            return false;
        };
        let ack = Message::Ack(Ack {
            seq: relay.asker_seq,
            payload: None,
        });
        answer(ctx, &relay, &ack);
        true
    }

    /// Sends nacks for the relays that have expired.
    pub fn on_timeout(&mut self, ctx: &mut Context) {
        while let Some(&(at, seq)) = self.deadlines.front() {
            if at > ctx.now {
                break;
            }
            self.deadlines.pop_front();
            let relay = self.waiting.remove(seq);
            if let Some(relay) = relay.filter(|relay| relay.nack) {
                let seq = relay.asker_seq;
                answer(ctx, &relay, &Message::Nack(Nack { seq }));
            }
        }
    }

    pub fn next_timeout(&self) -> Option<Time> {
        self.deadlines.front().map(|(at, _)| *at)
    }

    /// This process did not run for `by`: the targets get that much more time.
    pub fn postpone(&mut self, by: Duration) {
        for (at, _) in &mut self.deadlines {
            *at = *at + by;
        }
    }
}

fn answer(ctx: &mut Context, relay: &Relay, message: &Message) {
    ctx.send_to_claimed(relay.asker, &relay.asker_name, &message.encoded());
}
