//! The probes under way: whom they ask, why, and what has come back so far.

use super::OpId;
use super::explain::ProbeReport;
use super::members::{Introduction, Slot};
use super::relay::Relays;
use crate::time::Time;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// One probe of one member.
pub(super) struct Round {
    pub seq: u32,
    pub slot: Slot,
    pub name: Arc<str>,
    pub addr: SocketAddr,
    pub incarnation: u32,
    pub sent: Time,
    /// When the helpers are asked; `None` once they are.
    pub widen_at: Option<Time>,
    pub deadline: Time,
    pub nacks_expected: u32,
    pub nacks: u32,
    /// Datagrams of this round that could not be sent for a reason of this host's own.
    pub unsent: usize,
    pub helper_addrs: Vec<SocketAddr>,
    pub report: ProbeReport,
    /// What the ping told of this node beside asking.
    pub tells: Option<Introduction>,
    pub cause: Cause,
}

/// Why a member is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// It is its turn.
    Turn,
    /// The application could not reach it.
    Hint(OpId),
    /// It is a suspect, soon to be declared dead. The first look tries a stream, too.
    FinalProbe { first: bool },
}

impl Round {
    /// Nothing of it could be sent: whatever the reason is, it lies here.
    pub fn is_unsent(&self) -> bool {
        self.unsent > self.helper_addrs.len()
    }
}

impl Cause {
    pub fn is_hint(self) -> bool {
        matches!(self, Cause::Hint(_))
    }

    pub fn is_final_probe(self) -> bool {
        matches!(self, Cause::FinalProbe { .. })
    }
}

/// Everything under way.
#[derive(Default)]
pub(super) struct Probes {
    pub rounds: Vec<Round>,
    /// Pings sent on somebody else's behalf.
    pub relays: Relays,
    pub last_seq: u32,
    /// Regular rounds in a row whose direct ping stayed unanswered, and streams to members that
    /// are there.
    pub datagram_failures: u32,
    pub stream_failures: u32,
}

impl Probes {
    pub fn next_timeout(&self) -> Option<Time> {
        let rounds = self
            .rounds
            .iter()
            .map(|round| round.widen_at.unwrap_or(round.deadline));
        rounds.chain(self.relays.next_timeout()).min()
    }

    pub fn next_seq(&mut self) -> u32 {
        self.last_seq = self.last_seq.wrapping_add(1);
        self.last_seq
    }

    /// Rounds under way for such a cause.
    pub fn running(&self, wanted: impl Fn(Cause) -> bool) -> usize {
        let causes = self.rounds.iter().map(|round| round.cause);
        causes.filter(|cause| wanted(*cause)).count()
    }

    /// This process did not run: what is under way says nothing about others.
    pub fn postpone(&mut self, by: Duration) {
        for round in &mut self.rounds {
            round.widen_at = round.widen_at.map(|at| at + by);
            round.deadline = round.deadline + by;
        }
        self.relays.postpone(by);
    }
}
