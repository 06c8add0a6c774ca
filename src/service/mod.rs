//! Services: protocols that a node speaks in addition to gossip, each on a listener of its own.
//!
//! A service is a deterministic state machine. It opens no socket, reads no clock and starts no
//! thread: its host (`driver::engine::threads::services`) does that for all services of a node, on one
//! thread. The host accepts connections, reads and writes, and enforces every bound:
//!
//! - [`CONNECTIONS`] connections at once. A further connection takes the place of the one that has
//!   been silent longest; connections that never had a question answered give way first. If the
//!   process has run out of descriptors, an idle connection gives way in the same order;
//! - [`INPUT_MAX`] bytes that a session has received and not consumed;
//! - [`OUTPUT_MAX`] bytes that a peer has not taken. Until the peer has taken them, its connection
//!   is not read, so the requests of a slow peer wait at that peer;
//! - [`REQUESTS_MAX`] requests of a session that the node has not finished.
//!
//! The thread of the services is not that of the engine: even while the engine stands still,
//! HAProxy gets answers from the last known members. All services share the thread, so no method of
//! a service may block or compute for a long time.
//!
//! # Adding a service
//!
//! 1. Write the protocol as a folder here, with one type that implements [`Service`], one for its
//!    sessions, and the names of its four counters. For example, an RPC server would send
//!    [`Request`]s to the node and answer its peers in [`Service::on_done`]; a page that lists the
//!    members would answer from what [`Service::on_members`] received.
//! 2. Add a row for its listener address to the table of settings, and the setting to
//!    `Config::service_addrs`.
//! 3. Add the service to `services` in `driver::node::start`, which pairs listener and service.
//!    Until then, the code does not compile.
//!
//! The engine needs no change. Neither does the host, unless the service needs more from a node
//! than members, events and [`Request`]s. `MemberList` in `driver/node/services_tests.rs` is
//! a complete example: it lists members, changes tags, and streams events.

pub(crate) mod sessions;
#[cfg(feature = "spoe")]
pub mod spoe;

use crate::error::Result;
use crate::event::{Event, EventKind};
use crate::serf::{Counter, Member};
use crate::swim::Seed;
use crate::time::Time;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The maximum number of connections that one service may have at once.
pub const CONNECTIONS: usize = 256;
/// The maximum number of bytes that a session may have received and not consumed: a little more
/// than the largest frame of SPOE.
pub const INPUT_MAX: usize = 264 * 1024;
/// The maximum number of bytes that a peer may leave unread before its connection is closed.
pub const OUTPUT_MAX: usize = 1024 * 1024;
/// The maximum number of requests of one session that the node has not finished.
pub const REQUESTS_MAX: usize = 8;

/// All members, sorted by name, as they were at one time.
pub type Members = Arc<Vec<Member>>;

/// A protocol that a node speaks. See the top of this file.
pub trait Service: Send {
    /// The state of one connection.
    type Session: Send;

    /// The kinds of events that [`Service::on_event`] receives.
    fn event_kinds(&self) -> &'static [EventKind] {
        &[]
    }

    /// Returns true if the service keeps the last members while this node may be cut off from the
    /// cluster. A service that does not keep them would then tell its peers that the other members
    /// have failed.
    fn keeps_members_while_isolated(&self) -> bool {
        false
    }

    /// Receives the members. The host calls this before the first bytes or the first event that it
    /// passes on. Later it calls this if the members have changed: before each event, and before
    /// bytes at most once every 20 ms. See also [`Service::keeps_members_while_isolated`].
    fn on_members(&mut self, members: Members);

    /// Begins a session with a peer that has connected.
    fn open(&mut self, peer: SocketAddr) -> Self::Session;

    /// Reads `input`, which holds all bytes that the session has not consumed yet, and returns how
    /// many of them the session consumes.
    fn on_bytes(
        &mut self,
        session: &mut Self::Session,
        input: &[u8],
        actions: &mut Actions,
    ) -> usize;

    /// Receives an event of the node, once for each session.
    fn on_event(&mut self, _: &mut Self::Session, _: &Event, _: &mut Actions) {}

    /// Receives the outcome of the request that the session sent with this number: how many
    /// addresses a join reached, 0 for other requests, or the reason for the failure.
    fn on_done(&mut self, _: &mut Self::Session, _: u64, _: &Result<usize>, _: &mut Actions) {}
}

/// The actions that a session asks its host for.
#[derive(Debug, Default)]
pub struct Actions {
    /// Bytes to send. The host passes them to the kernel in one write, and later again those that
    /// the kernel has not taken.
    pub bytes: Vec<u8>,
    /// The way in which the connection ends after these bytes; `None` if it stays open.
    pub end: Option<End>,
    /// Requests to the node, each with a number of the session's choice.
    pub requests: Vec<(u64, Request)>,
    /// The number of the peer's questions that were answered.
    pub served: u64,
    /// True if the session stopped early, so its input may still hold whole requests. The host lets
    /// it read on after other connections have had their turn.
    pub more: bool,
}

/// The ways in which a session ends its connection.
#[cfg_attr(not(feature = "spoe"), allow(dead_code))] // without SPOE, no service ends connections
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The conversation is complete.
    Close,
    /// The peer broke the rules of the protocol; this is counted.
    Refuse,
}

/// Something that a session asks the node to do.
#[allow(dead_code)] // SPOE makes no requests; the example in the tests does
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Join the clusters of these seeds.
    Join(Vec<Seed>),
    /// Leave the cluster.
    Leave,
    /// Set tags of this node, or remove those whose value is `None`.
    UpdateTags(Vec<(String, Option<String>)>),
    /// Mark a failed member as left; with `prune`, erase a member that has failed or left.
    RemoveFailed {
        /// The name of the member.
        name: String,
        /// True to erase the member.
        prune: bool,
    },
}

/// Names and meanings of the four counters of a service: open connections, answered questions,
/// refused connections, failures to accept a connection.
pub type CounterNames = [(&'static str, &'static str); 4];

/// The counters of a service, and the time of its last shortage.
#[derive(Debug)]
pub(crate) struct ServiceCounters {
    names: CounterNames,
    /// In nanoseconds; 0 if the system has never refused a descriptor for a connection.
    last_shortage: AtomicU64,
    pub open: AtomicU64,
    pub served: AtomicU64,
    pub refused: AtomicU64,
    pub accept_failures: AtomicU64,
}

impl ServiceCounters {
    /// Counters that are all zero.
    pub fn new(names: CounterNames) -> ServiceCounters {
        ServiceCounters {
            names,
            last_shortage: AtomicU64::new(0),
            open: AtomicU64::new(0),
            served: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            accept_failures: AtomicU64::new(0),
        }
    }

    /// Notes that the system has refused a descriptor for a connection.
    pub fn note_shortage(&self, now: Time) {
        self.last_shortage.store(now.as_nanos(), Ordering::Relaxed);
    }

    /// The time at which the system last refused a descriptor for a connection.
    pub fn last_shortage(&self) -> Option<Time> {
        let nanos = self.last_shortage.load(Ordering::Relaxed);
        (nanos != 0).then(|| Time::from_nanos(nanos))
    }

    /// The current values of the counters.
    pub fn read(&self) -> [Counter; 4] {
        let values = [
            &self.open,
            &self.served,
            &self.refused,
            &self.accept_failures,
        ];
        std::array::from_fn(|at| {
            let (name, help) = self.names[at];
            Counter::new(name, values[at].load(Ordering::Relaxed), help)
        })
    }
}
