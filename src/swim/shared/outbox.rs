//! The outbox: outputs for the driver, notices for the layer above, and the counters.

use super::refusals::RefusalSources;
use super::stats::Stats;
use crate::burst_queue::BurstQueue;
use crate::swim::output::{Change, Notice, Output, StreamId};
use crate::wire::Refusal;
use std::net::SocketAddr;
use std::sync::Arc;

/// The token of the broadcast that announces this node's own leave. Tokens of the layer above are
/// smaller.
pub(in crate::swim) const LEAVE_TOKEN: u64 = u64::MAX;

/// Everything that leaves the SWIM layer: outputs and notices, each in order.
#[derive(Default)]
pub(in crate::swim) struct Outbox {
    outputs: BurstQueue<Output>,
    notices: BurstQueue<Notice>,
    pub stats: Stats,
    /// The sources of the refusals that `stats` counts.
    pub sources: RefusalSources,
}

impl Outbox {
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop()
    }

    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop()
    }

    /// Queues an output that needs no counting.
    pub fn order(&mut self, output: Output) {
        self.outputs.push(output);
    }

    /// Queues a datagram; `probe` is the sequence number of the probe that it belongs to, if any.
    pub fn datagram(&mut self, to: SocketAddr, bytes: Vec<u8>, probe: Option<u32>) {
        self.stats.datagrams_out += 1;
        self.stats.bytes_out += bytes.len() as u64;
        self.order(Output::Datagram { to, bytes, probe });
    }

    /// Queues bytes for a stream.
    pub fn write(&mut self, id: StreamId, bytes: Vec<u8>) {
        self.stats.stream_bytes_out += bytes.len() as u64;
        self.order(Output::Write { id, bytes });
    }

    /// Queues a notice for the layer above.
    pub fn tell(&mut self, notice: Notice) {
        self.notices.push(notice);
    }

    /// Queues the notice that a member changed.
    pub fn tell_member(&mut self, change: Change, name: Arc<str>) {
        self.tell(Notice::Member { change, name });
    }

    /// Queues a notice for each of these tokens: its broadcast is done.
    pub fn tell_done(&mut self, tokens: impl IntoIterator<Item = u64>) {
        for token in tokens {
            self.tell(match token {
                LEAVE_TOKEN => Notice::LeaveSpread,
                token => Notice::BroadcastDone { token },
            });
        }
    }

    /// Counts a refusal.
    pub fn refuse(&mut self, why: Refusal) {
        self.stats.refused.0[why as usize] += 1;
        self.sources.count(why);
    }
}
