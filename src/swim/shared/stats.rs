//! Counters of the SWIM layer.

use crate::wire::Refusal;

/// Counters of the SWIM layer. `serf::stats` explains each in a sentence.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)] // documented in `serf::stats`
pub struct Stats {
    pub datagrams_in: u64,
    pub datagrams_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub stream_bytes_in: u64,
    pub stream_bytes_out: u64,
    pub probes: u64,
    pub probes_failed: u64,
    pub pings_repeated: u64,
    pub indirect_probes: u64,
    pub stream_fallbacks: u64,
    pub late_answers: u64,
    pub suspicions: u64,
    pub refutations: u64,
    pub members_evicted: u64,
    pub push_pulls: u64,
    pub push_pulls_abandoned: u64,
    pub join_syncs: u64,
    pub reconnects: u64,
    pub hints: u64,
    pub hints_limited: u64,
    pub queue_len: u64,
    pub broadcasts_dropped: u64,
    pub broadcasts_too_long: u64,
    pub health_score: u64,
    pub refused: RefusalCounts,
}

/// One counter for each kind of refusal.
#[derive(Clone, Debug)]
pub struct RefusalCounts(pub [u64; Refusal::COUNT]);

impl Default for RefusalCounts {
    fn default() -> Self {
        RefusalCounts([0; Refusal::COUNT])
    }
}
