//! The settings of a core: the mode, what the node announces, and the times of leaving and reaping.

use super::{MemberFilter, Past, Tags};
#[cfg(doc)]
use crate::limits;
use crate::swim;
use std::time::Duration;

/// The kind of cluster that a node takes part in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A Serf cluster: tags, intents, and user events and queries that are passed on.
    Serf,
    /// A bare memberlist cluster: raw meta, and the messages and state of the application.
    Memberlist,
}

/// The times for which events are collected; see `coalesce.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoalesceTimes {
    /// The longest time for which events wait; zero delivers them at once.
    pub period: Duration,
    /// The time without a new event after which the collected events are delivered.
    pub quiet: Duration,
}

impl Default for CoalesceTimes {
    /// Events do not wait. The quiet time is that of Serf's agent.
    fn default() -> CoalesceTimes {
        CoalesceTimes {
            period: Duration::ZERO,
            quiet: Duration::from_secs(1),
        }
    }
}

/// The settings of a core.
#[derive(Clone, Debug)]
pub struct Config {
    /// The settings of the SWIM machine.
    pub swim: swim::Config,
    /// The kind of cluster.
    pub mode: Mode,
    /// The tags of this node; in serf mode only.
    pub tags: Tags,
    /// The meta of this node, at most [`limits::META_LEN`] bytes; in memberlist mode only.
    pub meta: Vec<u8>,
    /// The time for which a leave goes on after it has spread, so that probes are still answered.
    pub leave_propagate: Duration,
    /// The longest time for which a step of a leave waits for its announcement to spread and to be
    /// acknowledged.
    pub broadcast_timeout: Duration,
    /// The time for which the node tries to reach a failed member again. In serf mode, the member
    /// is kept for this time before it is erased.
    pub reconnect_timeout: Duration,
    /// The time for which a member that left is kept before it is erased. In memberlist mode, the
    /// member is usually erased earlier, when the SWIM machine forgets it.
    pub tombstone_timeout: Duration,
    /// The time between two checks for members to erase.
    pub reap_interval: Duration,
    /// The number of bytes that an encoded user event of this node may take.
    pub user_event_bytes: usize,
    /// The number of bytes that an encoded query of this node may take.
    pub query_bytes: usize,
    /// The number of bytes that an encoded answer of this node may take.
    pub query_response_bytes: usize,
    /// True if a join also brings the user events that were sent before it.
    pub replay_events: bool,
    /// The times for which events about members are collected.
    pub coalesce_members: CoalesceTimes,
    /// The times for which user events that may be coalesced are collected.
    pub coalesce_events: CoalesceTimes,
    /// True if acks carry network coordinates; in serf mode only.
    pub coordinates: bool,
    /// True if each answer of a member to a ping becomes an event.
    pub ping_acks: bool,
    /// True if the driver stores the keys after each change, and reports the outcome with
    /// `Core::keys_stored`. The answer to a query that changes keys waits for that.
    pub store_keys: bool,
    /// The content of the snapshot of an earlier run, empty if there was none; `None` if no
    /// snapshot is kept.
    pub past: Option<Past>,
    /// The filter of the members that the application sees.
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
            user_event_bytes: 512,
            query_bytes: 1024,
            query_response_bytes: 1024,
            replay_events: false,
            coalesce_members: CoalesceTimes::default(),
            coalesce_events: CoalesceTimes::default(),
            coordinates: true,
            ping_acks: false,
            store_keys: false,
            past: None,
            filter: MemberFilter::default(),
        }
    }
}
