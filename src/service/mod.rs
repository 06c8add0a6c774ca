//! Services: protocols that a node speaks in addition to gossip, each on a listener of its own.
//!
//! A service is a deterministic state machine. It opens no socket, reads no clock and starts no
//! thread: its host (`driver::engine::threads::services`) does that for all services of a node, on
//! one thread. The host accepts connections, reads and writes, and enforces every bound:
//!
//! - [`CONNECTIONS`] connections at once. A further connection takes the place of the one that has
//!   been silent longest; connections that never had a question answered give way first. If the
//!   process has run out of descriptors, an idle connection gives way in the same order;
//! - [`INPUT_MAX`] bytes that a session has received and not consumed;
//! - [`OUTPUT_MAX`] bytes that a peer has not taken. Until the peer has taken them, its connection
//!   is not read, so the requests of a slow peer wait at that peer;
//! - [`REQUESTS_MAX`] requests of a session that the node has not finished. Queries end with the
//!   connection whose session sent them.
//!
//! The thread of the services is not that of the engine: even while the engine stands still,
//! HAProxy gets answers from the last known members. All services share the thread, so no method of
//! a service may block or compute for a long time.
//!
//! # Adding a service
//!
//! 1. Write the protocol as a folder here, with one type that implements [`Service`], one for its
//!    sessions, and the names of its four counters. A session that ends a connection because of a
//!    fault of its peer says which ([`End::Refuse`]): the log names the peer and the fault, a few
//!    times a minute at most. For example, an RPC server would send
//!    [`Request`]s to the node and answer its peers in [`Service::on_done`]; a metrics page would
//!    answer from what [`Service::on_members`] received and what [`NodeReader`] reads.
//! 2. Add a row for its listener address to the table of settings, and the setting to
//!    `Config::service_addrs`.
//! 3. Add the service to `services` in `driver::node::start`, which pairs listener and service.
//!    Until then, the code does not compile.
//!
//! The engine needs no change. Neither does the host, unless the service needs more from a node
//! than members, events, [`Request`]s and [`NodeReader`]. `Console` in
//! `driver/node/services_tests.rs` is a complete example: it lists members, changes tags, streams
//! events, sends and answers queries, and reads counters.

#[cfg(feature = "spoe")]
pub mod servers;
pub(crate) mod sessions;
#[cfg(feature = "spoe")]
pub mod spoe;

use crate::error::Result;
use crate::event::{Coalescing, Event, EventKind};
use crate::key_report::KeyReport;
use crate::serf::{Coordinate, Counter, KeyQuery, Member, QueryOptions};
use crate::swim::{Health, Seed, Source, SourceCount, SourceCounts, Transport};
use crate::time::Time;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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
        node: &mut dyn NodeReader,
        actions: &mut Actions,
    ) -> usize;

    /// Receives an event of the node, once for each session.
    fn on_event(&mut self, _: &mut Self::Session, _: &Event, _: &mut Actions) {}

    /// Receives an ack of the query that the session sent with this number, or an answer to it: an
    /// event of kind [`EventKind::QueryAck`] or [`EventKind::QueryResponse`].
    fn on_answer(&mut self, _: &mut Self::Session, _: u64, _: &Event, _: &mut Actions) {}

    /// Receives the outcome of the request that the session sent with this number.
    fn on_done(&mut self, _: &mut Self::Session, _: u64, _: RequestEnd, _: &mut Actions) {}
}

/// The values that a service can read from the node while it handles the bytes of a peer. Each
/// method asks the engine and waits for it, for a short time only: `None` means that the engine has
/// not answered.
#[allow(dead_code)] // SPOE reads nothing; the example in the tests does
pub trait NodeReader {
    /// All counters of the node.
    fn counters(&mut self) -> Option<Vec<Counter>>;

    /// The health of the node.
    fn health(&mut self) -> Option<Health>;

    /// The network coordinate of a member, or the reason why it is not known.
    fn coordinate(&mut self, name: &str) -> Option<Result<Coordinate>>;
}

/// The outcome of a request.
#[allow(dead_code)] // as for `NodeReader`
#[derive(Clone, Copy, Debug)]
pub struct RequestEnd<'a> {
    /// The number of addresses that a join reached, or of answers to a query, or 0 for any other
    /// request; an error if the request failed.
    pub result: &'a Result<usize>,
    /// The names of the live members that have not acknowledged a leave, or of the members whose
    /// ack or answer to a query is missing; empty for other requests.
    pub missing: &'a [Arc<str>],
    /// The answers to a key query that was sent; `None` for other requests.
    pub keys: Option<&'a KeyReport>,
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
    /// The peer broke the rules of the protocol. This is counted, and the log names the peer and
    /// the fault.
    Refuse(Fault),
}

/// The reason why something was refused, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The meaning in one sentence.
    pub help: &'static str,
    /// The advice for an operator, in one sentence; `None` if there is nothing to do.
    pub advice: Option<&'static str>,
}

/// Something that a session asks the node to do.
#[allow(dead_code)] // as for `NodeReader`
#[derive(Clone, Debug)]
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
    /// Send a user event to all members.
    SendEvent {
        /// The name of the event.
        name: String,
        /// The content of the event.
        payload: Vec<u8>,
        /// Whether members may leave out the event in favour of a later one with its name.
        coalescing: Coalescing,
    },
    /// Send a query. Acks and answers come to [`Service::on_answer`]. A member that answers after
    /// thousands of others that the service has not handled yet may be missing there.
    Query {
        /// The name of the query.
        name: String,
        /// The content of the query.
        payload: Vec<u8>,
        /// The members that are asked, and the time that they have.
        options: QueryOptions,
    },
    /// Answer a query that came to [`Service::on_event`].
    Respond {
        /// The number of the query, from its event.
        query: u64,
        /// The answer.
        payload: Vec<u8>,
    },
    /// Let all members change or list their keys.
    ManageKeys {
        /// The change.
        query: KeyQuery,
        /// The time after which members that have not answered are missing; `None` stands for that
        /// of any query.
        timeout: Option<Duration>,
    },
}

/// Names and meanings of the four counters of a service: open connections, answered questions,
/// refused connections, failures to accept a connection.
pub type CounterNames = [(&'static str, &'static str); 4];

/// The counters of a service, the sources of its refusals that the log has not named yet, and the
/// time of its last shortage.
#[derive(Debug)]
pub(crate) struct ServiceCounters {
    names: CounterNames,
    /// In nanoseconds; 0 if the system has never refused a descriptor for a connection.
    last_shortage: AtomicU64,
    pub open: AtomicU64,
    pub served: AtomicU64,
    pub refused: AtomicU64,
    sources: Mutex<SourceCounts<Fault>>,
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
            sources: Mutex::default(),
            accept_failures: AtomicU64::new(0),
        }
    }

    /// Counts a connection that was refused.
    pub fn refuse(&self, peer: SocketAddr, fault: Fault) {
        let source = Source {
            addr: peer,
            transport: Transport::Accepted,
        };
        self.sources().count(fault, source);
        self.refused.fetch_add(1, Ordering::Relaxed); // after its source: see `Log::check`
    }

    /// Takes the sources of the refusals since the last call.
    pub fn take_refusals(&self) -> Vec<SourceCount<Fault>> {
        self.sources().take()
    }

    fn sources(&self) -> MutexGuard<'_, SourceCounts<Fault>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name of the counter of refused connections.
    pub fn refused_name(&self) -> &'static str {
        self.names[2].0
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

    /// The counters whose growth is worth a log line: refusals, and failures to accept.
    pub fn failures(&self) -> [Counter; 2] {
        let [_, _, refused, accept_failures] = self.read();
        [refused, accept_failures]
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
