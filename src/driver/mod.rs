//! Threads, sockets, clock and name resolution around the core (skeleton of its public face; bodies follow).

use crate::error::Result;
use crate::serf::{Member, Tags};
use crate::swim::{Health, Reasons};
use crate::Config;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

/// What a node is doing. Numbers as in the C header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
#[allow(missing_docs)]
pub enum NodeState { Running = 1, Leaving = 2, Left = 3, Shutdown = 4, Broken = 5 }

/// Kinds of events. Numbers as in the C header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
#[allow(missing_docs)]
pub enum EventKind {
    MemberJoin = 1, MemberUpdate = 2, MemberLeave = 3, MemberFail = 4, MemberReap = 5, MemberSuspect = 6,
    /// A suspected member is alive after all.
    MemberAlive = 7,
    Done = 14, Overflow = 20, Log = 21, Fatal = 22,
}

/// An event as it is queued for the application.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Event {
    pub kind: EventKind,
    /// Done, Fatal: 0 or the number of a status.
    pub status: i32,
    /// +1 per event of this node.
    pub seq: u64,
    /// CLOCK_MONOTONIC in nanoseconds when the engine queued it.
    pub time_ns: u64,
    pub member: Option<Arc<Member>>,
    /// Log target, else empty.
    pub name: String,
    /// Text of Fatal, Log, Done; else empty.
    pub text: String,
    /// Operation that is done.
    pub id: u64,
    /// Log level 1..=5, else 0.
    pub level: i32,
}

/// Called on the event thread, one event at a time.
pub type EventCallback = Box<dyn FnMut(&Event) + Send>;

/// Creates the threads of a node. A host replaces it where threads must be created in its own way
/// or beforehand. The job must be run exactly once, on a thread of its own.
pub trait Spawn: Send + Sync {
    /// Starts `job` on a thread called `name`.
    fn spawn(&self, name: &str, job: Box<dyn FnOnce() + Send>) -> std::io::Result<()>;
}

/// A running member of a cluster. Clones refer to the same node; it ends with [`Node::shutdown`].
#[derive(Clone)]
pub struct Node {}

#[allow(unused_variables, missing_docs)]
impl Node {
    /// Binds the sockets and starts the threads.
    pub fn start(config: &Config) -> Result<Node> { todo!() }
    /// As `start`, with a callback on the event thread and threads from `spawn`.
    pub fn start_with(config: &Config, callback: Option<EventCallback>, spawn: Option<Arc<dyn Spawn>>) -> Result<Node> { todo!() }
    /// How many answered. `timeout` None: without limit.
    pub fn join(&self, addrs: &[&str], timeout: Option<Duration>) -> Result<usize> { todo!() }
    pub fn join_async(&self, addrs: &[&str]) -> Result<u64> { todo!() }
    pub fn leave(&self, timeout: Option<Duration>) -> Result<()> { todo!() }
    pub fn leave_async(&self) -> Result<u64> { todo!() }
    /// Stops at once, without a word; queued events can still be read.
    pub fn shutdown(&self) { todo!() }
    pub fn state(&self) -> NodeState { todo!() }
    pub fn addr(&self) -> SocketAddr { todo!() }
    pub fn name(&self) -> &str { todo!() }
    /// All members sorted by name. A consistent picture; it may outlive the node.
    pub fn members(&self) -> Vec<Arc<Member>> { todo!() }
    pub fn members_version(&self) -> u64 { todo!() }
    pub fn set_tag(&self, key: &str, value: Option<&str>) -> Result<()> { todo!() }
    pub fn set_tags(&self, tags: Tags) -> Result<()> { todo!() }
    pub fn set_meta(&self, meta: &[u8]) -> Result<()> { todo!() }
    pub fn remove_failed(&self, name: &str, prune: bool) -> Result<()> { todo!() }
    /// "I could not reach NAME just now." The verdict comes as `Done` with the returned number.
    pub fn hint(&self, name: &str) -> Result<u64> { todo!() }
    pub fn reasons(&self, name: &str) -> Result<Reasons> { todo!() }
    pub fn health(&self) -> Result<Health> { todo!() }
    /// Counters as (name, value, help).
    pub fn stats(&self) -> Vec<(&'static str, i64, &'static str)> { todo!() }
    /// Readable while events are queued, and for ever after shutdown.
    pub fn fd(&self) -> Result<RawFd> { todo!() }
    /// `Ok(None)` when the time is up. `timeout` None: without limit.
    pub fn next_event(&self, timeout: Option<Duration>) -> Result<Option<Event>> { todo!() }
}

/// Threads that wait for a node, made beforehand.
pub struct Parked;

#[allow(unused_variables)]
impl Parked {
    /// Parks threads until `n` wait, also in children of later forks. Nodes take them first.
    pub fn prepare(n: usize) -> std::io::Result<()> { todo!() }
    /// Threads that wait now.
    pub fn waiting() -> usize { todo!() }
}
