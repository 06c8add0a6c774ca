//! Reasons: why a member is in its state, and how this node itself is doing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How one direct, indirect or stream probe of a member went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Not asked.
    NotAsked,
    /// Asked, nothing yet.
    Waiting,
    /// It answered.
    Answered,
    /// The helper said that the member does not answer.
    Nack,
    /// Nothing came.
    Silent,
}

/// The last probe of a member by this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeReport {
    /// How long ago it began.
    pub ago: Duration,
    /// The direct ping.
    pub direct: Answer,
    /// The stream ping.
    pub stream: Answer,
    /// Every helper that was asked.
    pub helpers: Vec<(Arc<str>, Answer)>,
    /// Round-trip time of the last answer to a direct ping.
    pub rtt: Option<Duration>,
}

/// Why a member is in its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reasons {
    /// The member.
    pub name: Arc<str>,
    /// Where.
    pub addr: SocketAddr,
    /// Its state in the SWIM layer.
    pub state: crate::swim::NodeState,
    /// How long it has been in it.
    pub since: Duration,
    /// Its incarnation.
    pub incarnation: u32,
    /// Who suspected it or declared it dead; empty when alive.
    pub accuser: Option<Arc<str>>,
    /// Others who confirmed the suspicion.
    pub confirmations: Vec<Arc<str>>,
    /// Confirmations that shorten the wait fully.
    pub confirmations_wanted: u32,
    /// Time until a suspect is declared dead.
    pub time_left: Option<Duration>,
    /// The last probe, if this node has probed it.
    pub probe: Option<ProbeReport>,
}

/// The node's own health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Lifeguard's score: 0 is healthy.
    pub score: u32,
    /// Upper end of the score, inclusive.
    pub score_max: u32,
    /// Members alive or suspect, this node included.
    pub live: usize,
    /// Members known and not left, this node included.
    pub known: usize,
    /// No member has answered anything for two suspicion timeouts although some are known.
    pub isolated: bool,
    /// Datagrams get answers.
    pub datagrams_work: bool,
    /// Streams get answers.
    pub streams_work: bool,
    /// One sentence, as "streams work, datagrams do not".
    pub summary: &'static str,
}
