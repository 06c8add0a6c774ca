//! The limits that guard a backend against losing its servers.

use std::time::Duration;

/// How cautiously servers are removed.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The percentage of the known members that stay ready; at least one does.
    pub min_ready: u32,
    /// How long the server of a member that has left is drained before it is stopped.
    pub drain: Duration,
    /// The time between two removals once a freeze has ended.
    pub pace: Duration,
    /// How long a failed member counts as known. After that it no longer keeps other servers from
    /// being removed.
    pub memory: Duration,
    /// How long remembered members are kept once other members have been heard from.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            min_ready: 50,
            drain: Duration::from_secs(30),
            pace: Duration::from_millis(100),
            memory: Duration::from_secs(300),
            grace: Duration::from_secs(30),
        }
    }
}
