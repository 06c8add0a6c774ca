//! One probe round: the member that is probed, the reason, and the answers so far.

use super::final_probe::FINAL_PROBES;
use crate::swim::output::OpId;
use crate::swim::shared::context::Context;
use crate::swim::table::members::{MemberIndex, MemberTable};
use crate::swim::table::probe_report::{OpenReport, ProbeAnswer};
use crate::swim::table::record::{Announced, MemberRecord};
use crate::time::Time;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// One probe of one member, with its helpers.
pub(in crate::swim) struct Round {
    /// The sequence number of the first direct ping, of the requests to helpers, and of the stream
    /// ping.
    pub seq: u32,
    pub member: MemberIndex,
    pub name: Arc<str>,
    pub addr: SocketAddr,
    pub incarnation: u32,
    pub began: Time,
    /// The direct pings so far.
    pub pings: Vec<DirectPing>,
    /// The time at which the helpers are asked; `None` if they have been asked already, or if this
    /// round asks none.
    pub widen_at: Option<Time>,
    /// The time at which the ping is repeated; `None` if it is not repeated any more.
    pub repeat_at: Option<Time>,
    pub deadline: Time,
    pub nacks_expected: u32,
    pub nacks: u32,
    /// The number of datagrams of this round, repeated pings aside, that could not be sent because
    /// of a fault of this host.
    pub unsent: usize,
    /// The addresses of the helpers, in the order in which `report` lists them.
    pub helper_addrs: Vec<SocketAddr>,
    pub report: OpenReport,
    pub cause: ProbeCause,
}

/// A direct ping. Each has its own sequence number, so that its ack gives the round-trip time.
pub(in crate::swim) struct DirectPing {
    pub seq: u32,
    pub sent: Time,
    /// The announcement of this node that the ping carried, if any.
    pub announced: Option<Announced>,
}

/// The reason for a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::swim) enum ProbeCause {
    /// It is the member's turn in the probe order.
    Turn,
    /// The member is claimed at another address.
    Doubt,
    /// The application could not reach the member.
    Hint(OpId),
    /// The member is a suspect that will soon be declared dead unless it refutes. The first final
    /// probe of a suspect also tries a stream.
    FinalProbe { first: bool },
}

impl ProbeCause {
    pub fn is_hint(self) -> bool {
        matches!(self, ProbeCause::Hint(_))
    }

    pub fn is_final_probe(self) -> bool {
        matches!(self, ProbeCause::FinalProbe { .. })
    }

    /// Returns the time at which helpers are asked (`None` if they are not), and the duration of
    /// the round.
    pub fn schedule(self, ctx: &Context) -> (Option<Time>, Duration) {
        let (timeout, interval) = (ctx.config.probe_timeout, ctx.config.probe_interval);
        let whole = interval.max(timeout);
        match self {
            ProbeCause::Turn => (Some(ctx.now + timeout), ctx.awareness.stretch(whole)),
            ProbeCause::Doubt => (Some(ctx.now + timeout), whole),
            ProbeCause::Hint(_) => (Some(ctx.now), timeout),
            ProbeCause::FinalProbe { .. } => (None, timeout * FINAL_PROBES),
        }
    }
}

impl Round {
    /// Returns the record of the member; `None` if it has been removed.
    pub fn record<'t>(&self, table: &'t MemberTable) -> Option<&'t MemberRecord> {
        let record = table.get(self.member);
        record.filter(|record| record.node().name == self.name)
    }

    /// Returns true while the member has the address that this round probes. A node that has taken
    /// over the name at another address was not probed.
    pub fn is_current(&self, table: &MemberTable) -> bool {
        let record = self.record(table);
        record.is_some_and(|record| record.node().addr == self.addr)
    }

    /// Returns true if an ack with this number answers the round.
    pub fn waits_for(&self, seq: u32) -> bool {
        self.pings.iter().any(|ping| ping.seq == seq)
    }

    /// Returns true if a fault of this host kept the first ping and all requests to helpers from
    /// being sent.
    pub fn is_unsent(&self) -> bool {
        self.unsent > self.helper_addrs.len()
    }

    /// Returns the answer of the helper at this address, which is `None` while it is awaited;
    /// `None` if no helper has that address.
    pub fn helper_mut(&mut self, addr: SocketAddr) -> Option<&mut Option<ProbeAnswer>> {
        let helper = self.helper_addrs.iter().position(|it| *it == addr)?;
        Some(&mut self.report.helpers[helper].1)
    }

    /// The time of the next step: asking the helpers, repeating the ping, or the deadline.
    pub fn next_timeout(&self) -> Time {
        let steps = self.widen_at.into_iter().chain(self.repeat_at);
        steps.fold(self.deadline, Time::min)
    }

    /// Gives the member more time to answer, because this process did not run for `by`.
    pub fn postpone(&mut self, by: Duration) {
        self.widen_at = self.widen_at.map(|at| at + by);
        self.repeat_at = self.repeat_at.map(|at| at + by);
        self.deadline = self.deadline + by;
        for ping in &mut self.pings {
            ping.sent = ping.sent + by;
        }
    }
}
