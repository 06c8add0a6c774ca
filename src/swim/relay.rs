//! Helping others: a ping on somebody else's behalf, and the answer carried back.
//!
//! A helper never changes its own view because of what it sees here (SWIM section 4.1). If the
//! target stays silent the asker gets a nack when it wanted one, so that it can tell a dead target
//! from a dead path to its helpers (Lifeguard).

use super::Swim;
use super::members;
use crate::time::Time;
use crate::wire::Refusal;
use crate::wire::message::{Ack, IndirectPing, Message, Nack};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

/// Pings relayed for others within a probe timeout.
const RELAYS: usize = 1024;

struct Relay {
    asker: SocketAddr,
    asker_seq: u32,
    nack: bool,
}

/// Pings on others' behalf that wait for an ack, by our own sequence number.
#[derive(Default)]
pub(super) struct Relays {
    waiting: HashMap<u32, Relay>,
    /// In order of their end: every relay waits equally long.
    deadlines: VecDeque<(Time, u32)>,
}

impl Relays {
    pub fn next_timeout(&self) -> Option<Time> {
        self.deadlines.front().map(|(at, _)| *at)
    }

    pub fn postpone(&mut self, by: Duration) {
        for (at, _) in &mut self.deadlines {
            *at = *at + by;
        }
    }
}

impl Swim {
    /// Somebody asks us to probe a third node.
    pub(super) fn hear_indirect(&mut self, now: Time, from: SocketAddr, ask: &IndirectPing) {
        let port = if ask.port == 0 {
            self.own_addr.port()
        } else {
            ask.port
        };
        let Some((target, _)) = members::address(ask.target, port) else {
            return self.refuse(Refusal::AddressLength);
        };
        if !self.address_allowed(target.ip()) {
            return self.refuse(Refusal::AddressNotAllowed);
        }
        if self.probes.relays.deadlines.len() >= RELAYS {
            return self.refuse(Refusal::TooManyRelays);
        }
        let seq = self.probes.next_seq();
        let asker = answer_address(ask.source_addr, ask.source_port, from);
        let relay = Relay {
            asker,
            asker_seq: ask.seq,
            nack: ask.nack,
        };
        self.probes.relays.waiting.insert(seq, relay);
        self.probes
            .relays
            .deadlines
            .push_back((now + self.config.probe_timeout, seq));
        let ping = self.ping_bytes(seq, ask.node);
        self.send_with_rumours(target, &ping);
    }

    /// An ack that answers none of our own probes: is it for somebody else?
    pub(super) fn relay_ack(&mut self, ack: &Ack) {
        let Some(relay) = self.probes.relays.waiting.remove(&ack.seq) else {
            return self.late_answer(ack.seq);
        };
        let mut bytes = Vec::new();
        Message::Ack(Ack {
            seq: relay.asker_seq,
            payload: None,
        })
        .encode(&mut bytes);
        self.send_with_rumours(relay.asker, &bytes);
    }

    /// Tells askers that nothing came.
    pub(super) fn relay_timeouts(&mut self, now: Time) {
        while let Some(&(at, seq)) = self.probes.relays.deadlines.front() {
            if at > now {
                break;
            }
            self.probes.relays.deadlines.pop_front();
            let relay = self.probes.relays.waiting.remove(&seq);
            if let Some(relay) = relay.filter(|relay| relay.nack) {
                let mut nack = Vec::new();
                Message::Nack(Nack {
                    seq: relay.asker_seq,
                })
                .encode(&mut nack);
                self.send_with_rumours(relay.asker, &nack);
            }
        }
    }
}

/// Where an answer goes: to the source a message names, else to where it came from.
pub(super) fn answer_address(addr: &[u8], port: u16, from: SocketAddr) -> SocketAddr {
    if port == 0 {
        return from;
    }
    members::address(addr, port).map_or(from, |(addr, _)| addr)
}
