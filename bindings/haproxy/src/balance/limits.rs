//! The limits that guard a backend against losing its servers.

use std::time::Duration;

/// The limits on the removal of servers.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The minimum percentage of the known members whose servers stay ready, however many members
    /// fail. At least one server stays ready even if this is 0.
    pub min_ready: u32,
    /// The time for which the server of a member that has left is drained before it is stopped.
    pub drain: Duration,
    /// The time between two removals of lost members once a freeze has ended.
    pub pace: Duration,
    /// The time for which a failed member counts as known. After that it no longer keeps other
    /// servers from being removed.
    pub memory: Duration,
    /// The time for which members of the snapshot keep their servers without being heard from. It
    /// begins when any member of the backend is first heard from, or when the server is restored if
    /// that is later.
    pub grace: Duration,
    /// The time for which the health checks must have found a server down, and another server up,
    /// before a member that waits takes the slot of the one that is down. It is longer than health
    /// checks usually take to find a server down, and than most programs take to restart.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            min_ready: 50,
            drain: Duration::from_secs(30),
            pace: Duration::from_millis(100),
            memory: Duration::from_secs(300),
            grace: Duration::from_secs(30),
            patience: Duration::from_secs(30),
        }
    }
}
