//! The Serf layer on top of [`crate::swim`] (skeleton of its public face; bodies follow).

use crate::swim::{self, Health, JoinReport, LookupId, OpId, Reasons, Seed, SendFailure, StreamEnd, StreamId, Transmit};
use crate::time::Time;
use crate::wire::Codec;
pub use crate::wire::serf_message::Tags;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Serf cluster, or bare memberlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode { /** tags and intents */ Serf, /** raw meta, no user messages */ Memberlist }

/// State of a member as an application sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i32)]
#[allow(missing_docs)]
pub enum MemberState { Alive = 1, Suspect = 2, Failed = 3, Leaving = 4, Left = 5 }

/// A member. Shared, never changed in place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Member {
    pub name: Arc<str>, pub addr: SocketAddr, pub tags: Arc<Tags>, pub meta: Arc<[u8]>, pub state: MemberState,
    pub incarnation: u32, pub protocol: [u8; 3], pub delegate: [u8; 3],
}

/// Which members an embedding program lets in; everything else is ignored and counted. All given
/// conditions must hold. The default lets everybody in.
#[derive(Clone, Debug, Default)]
pub struct MemberFilter {
    /// Tags that a member must have with exactly this value.
    pub require_tags: Tags,
    /// Patterns for names, `*` matches any run of characters, `?` one; empty list: all names.
    pub names: Vec<String>,
}

/// What this node is and how it behaves.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Config {
    pub swim: swim::Config, pub mode: Mode, pub tags: Tags, /** memberlist mode only */ pub meta: Vec<u8>,
    pub leave_propagate: Duration, pub broadcast_timeout: Duration,
    pub reconnect_timeout: Duration, pub tombstone_timeout: Duration, pub reap_interval: Duration,
    pub filter: MemberFilter,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            swim: swim::Config::lan(), mode: Mode::Serf, tags: Tags::new(), meta: Vec::new(),
            leave_propagate: Duration::from_secs(1), broadcast_timeout: Duration::from_secs(5),
            reconnect_timeout: Duration::from_secs(24 * 3600), tombstone_timeout: Duration::from_secs(24 * 3600),
            reap_interval: Duration::from_secs(15), filter: MemberFilter::default(),
        }
    }
}

/// What happened, for the application.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Event {
    MemberJoin(Arc<Member>), MemberUpdate(Arc<Member>), MemberLeave(Arc<Member>), MemberFail(Arc<Member>),
    MemberReap(Arc<Member>), MemberSuspect(Arc<Member>),
    /// A suspected member is alive after all.
    MemberAlive(Arc<Member>),
    JoinDone { op: OpId, report: JoinReport },
    LeaveDone { op: OpId },
    HintDone { op: OpId, name: Arc<str>, answered: bool },
    /// The own name is used by somebody else, who won: this node should stop.
    NameConflict { other: SocketAddr },
}

/// Why a command was refused. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum CommandError { TooLarge { len: usize, max: usize }, WrongMode, Left, UnknownMember, NotFailed, Limited }

/// A deterministic member of a Serf or memberlist cluster.
pub struct Core {}

#[allow(unused_variables, missing_docs)]
impl Core {
    pub fn new(config: Config, codec: Codec, name: Arc<str>, addr: SocketAddr, seed: [u8; 32], now: Time)
        -> Result<Core, CommandError> { todo!() }
    // The next ten mirror `Swim`.
    pub fn handle_datagram(&mut self, now: Time, from: SocketAddr, bytes: &[u8]) { todo!() }
    pub fn handle_send_failure(&mut self, now: Time, to: SocketAddr, why: SendFailure) { todo!() }
    pub fn accepts_streams(&self) -> bool { todo!() }
    pub fn handle_stream_accepted(&mut self, now: Time, id: StreamId, from: SocketAddr) { todo!() }
    pub fn handle_stream_connected(&mut self, now: Time, id: StreamId) { todo!() }
    pub fn handle_stream_data(&mut self, now: Time, id: StreamId, bytes: &[u8]) { todo!() }
    pub fn handle_stream_end(&mut self, now: Time, id: StreamId, end: StreamEnd) { todo!() }
    pub fn handle_resolved(&mut self, now: Time, id: LookupId, addrs: &[IpAddr]) { todo!() }
    pub fn handle_stall(&mut self, now: Time, stalled: Duration) { todo!() }
    pub fn handle_timeout(&mut self, now: Time) { todo!() }
    pub fn poll_timeout(&self) -> Option<Time> { todo!() }
    pub fn poll_transmit(&mut self) -> Option<Transmit> { todo!() }
    pub fn poll_event(&mut self) -> Option<Event> { todo!() }

    /// Joins; `Event::JoinDone` tells how it went. After a leave, takes part again first.
    pub fn join(&mut self, now: Time, seeds: &[Seed]) -> OpId { todo!() }
    /// Leaves gracefully; `Event::LeaveDone` when it has spread.
    pub fn leave(&mut self, now: Time) -> OpId { todo!() }
    pub fn set_tags(&mut self, now: Time, tags: Tags) -> Result<(), CommandError> { todo!() }
    pub fn tags(&self) -> &Tags { todo!() }
    pub fn set_meta(&mut self, now: Time, meta: Vec<u8>) -> Result<(), CommandError> { todo!() }
    /// Force-leave of a failed member: it becomes left, and with `prune` is erased.
    pub fn remove_failed(&mut self, now: Time, name: &str, prune: bool) -> Result<(), CommandError> { todo!() }
    pub fn hint(&mut self, now: Time, name: &str) -> Result<OpId, CommandError> { todo!() }
    pub fn member(&self, name: &str) -> Option<&Arc<Member>> { todo!() }
    /// All members in any state, this node included, in no particular order.
    pub fn members(&self) -> impl Iterator<Item = &Arc<Member>> { std::iter::empty() }
    /// Changes whenever a member changed.
    pub fn version(&self) -> u64 { todo!() }
    pub fn reasons(&self, now: Time, name: &str) -> Option<Reasons> { todo!() }
    pub fn health(&self, now: Time) -> Health { todo!() }
    /// Counters as (name, value, help), the refusals included.
    pub fn stats(&self) -> Vec<(&'static str, u64, &'static str)> { todo!() }
}
