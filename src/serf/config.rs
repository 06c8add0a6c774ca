//! What a node of the Serf layer is, and how it behaves.

use super::{MemberFilter, Tags};
#[cfg(doc)]
use crate::limits;
use crate::swim;
use std::time::Duration;

/// Serf cluster, or bare memberlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Tags, intents, and passing on of user events and queries.
    Serf,
    /// Raw meta, no user messages, no user state.
    Memberlist,
}

/// What this node is and how it behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// The layer below.
    pub swim: swim::Config,
    /// What kind of cluster this is.
    pub mode: Mode,
    /// Own tags; Serf mode only.
    pub tags: Tags,
    /// Own meta, at most [`limits::META_LEN`] bytes; memberlist mode only.
    pub meta: Vec<u8>,
    /// How long a leaving node still answers after its leave has spread.
    pub leave_propagate: Duration,
    /// Longest wait for a step of a leave to spread.
    pub broadcast_timeout: Duration,
    /// A failed member is erased after this long, and no longer looked for.
    pub reconnect_timeout: Duration,
    /// A member that left is erased after this long.
    pub tombstone_timeout: Duration,
    /// Between two looks for whom to erase.
    pub reap_interval: Duration,
    /// Who is let in.
    pub filter: MemberFilter,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            swim: swim::Config::lan(),
            mode: Mode::Serf,
            tags: Tags::new(),
            meta: Vec::new(),
            leave_propagate: Duration::from_secs(1),
            broadcast_timeout: Duration::from_secs(5),
            reconnect_timeout: Duration::from_secs(24 * 3600),
            tombstone_timeout: Duration::from_secs(24 * 3600),
            reap_interval: Duration::from_secs(15),
            filter: MemberFilter::default(),
        }
    }
}
