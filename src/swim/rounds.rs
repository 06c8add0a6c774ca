//! One probe round: the member it asks, the reason, and what has come back so far.

use super::members::{Announced, MemberIndex};
use super::output::OpId;
use super::probe_report::{ProbeAnswer, ProbeReport};
use crate::time::Time;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// One probe of one member.
pub(super) struct Round {
    pub seq: u32,
    pub member: MemberIndex,
    pub name: Arc<str>,
    pub addr: SocketAddr,
    pub incarnation: u32,
    pub sent: Time,
    /// The time when the helpers are asked; `None` once they are.
    pub widen_at: Option<Time>,
    pub deadline: Time,
    pub nacks_expected: u32,
    pub nacks: u32,
    /// Datagrams of this round that could not be sent for a reason of this host's own.
    pub unsent: usize,
    /// Addresses of the helpers, in the order of the report.
    pub helper_addrs: Vec<SocketAddr>,
    pub report: ProbeReport,
    /// The announcement of this node that the ping carried.
    pub announced: Option<Announced>,
    pub cause: ProbeCause,
}

/// The reason for a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProbeCause {
    /// It is the member's turn.
    Turn,
    /// The application could not reach the member.
    Hint(OpId),
    /// The member is a suspect, soon to be declared dead. The first final probe tries a stream,
    /// too.
    FinalProbe { first: bool },
}

impl ProbeCause {
    pub fn is_hint(self) -> bool {
        matches!(self, ProbeCause::Hint(_))
    }

    pub fn is_final_probe(self) -> bool {
        matches!(self, ProbeCause::FinalProbe { .. })
    }
}

impl Round {
    /// Whether nothing of the round could be sent: the fault lies with this host.
    pub fn is_unsent(&self) -> bool {
        self.unsent > self.helper_addrs.len()
    }

    /// The answer of the helper at this address, if it is one.
    pub fn helper_mut(&mut self, addr: SocketAddr) -> Option<&mut ProbeAnswer> {
        let helper = self.helper_addrs.iter().position(|it| *it == addr)?;
        Some(&mut self.report.helpers[helper].1)
    }

    /// The time of the next thing to do.
    pub fn next_timeout(&self) -> Time {
        self.widen_at.unwrap_or(self.deadline)
    }

    /// This process did not run for `by`: the member gets that much more time.
    pub fn postpone(&mut self, by: Duration) {
        self.widen_at = self.widen_at.map(|at| at + by);
        self.deadline = self.deadline + by;
    }
}
