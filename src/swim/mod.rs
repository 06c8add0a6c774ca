//! The SWIM state machine (skeleton of its public face; bodies follow).

pub mod config;
pub mod output;
pub mod why;

use crate::limits;
use crate::time::Time;
use crate::wire::{Codec, Refusal};
pub use config::Config;
pub use output::*;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
pub use why::{Answer, Health, ProbeReport, Reasons};

pub use crate::wire::message::NodeState;

/// Who this node is.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Identity { pub name: Arc<str>, pub addr: SocketAddr, pub meta: Arc<[u8]>, pub delegate: [u8; 3], pub incarnation: u32 }

/// A place to ask for the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Seed { /** literal */ Addr(SocketAddr), /** name, resolved each time */ Host(String, u16) }

/// Counters of this layer.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Stats {
    pub datagrams_in: u64, pub datagrams_out: u64, pub bytes_in: u64, pub bytes_out: u64,
    pub stream_bytes_in: u64, pub stream_bytes_out: u64,
    pub probes: u64, pub probes_failed: u64, pub indirect_probes: u64, pub stream_fallbacks: u64,
    pub suspicions: u64, pub refutations: u64, pub push_pulls: u64, pub catch_ups: u64, pub rejoins: u64,
    pub hints: u64, pub hints_limited: u64, pub queue_len: u64, pub health_score: u64,
    pub refused: RefusalCounts,
}
/// One counter per kind of refusal.
#[derive(Clone, Debug)]
pub struct RefusalCounts(pub [u64; Refusal::COUNT]);
impl Default for RefusalCounts { fn default() -> Self { RefusalCounts([0; Refusal::COUNT]) } }

/// The state machine.
pub struct Swim {}

#[allow(unused_variables, missing_docs)]
impl Swim {
    pub fn new(config: Config, codec: Codec, identity: Identity, seed: [u8; 32], now: Time) -> Swim { todo!() }
    pub fn handle_datagram(&mut self, now: Time, from: SocketAddr, bytes: &[u8]) { todo!() }
    pub fn handle_send_failure(&mut self, now: Time, to: SocketAddr, why: SendFailure) { todo!() }
    /// True while a further accepted stream would be served; the driver leaves others in the backlog.
    pub fn accepts_streams(&self) -> bool { todo!() }
    pub fn handle_stream_accepted(&mut self, now: Time, id: StreamId, from: SocketAddr) { todo!() }
    pub fn handle_stream_connected(&mut self, now: Time, id: StreamId) { todo!() }
    pub fn handle_stream_data(&mut self, now: Time, id: StreamId, bytes: &[u8]) { todo!() }
    pub fn handle_stream_end(&mut self, now: Time, id: StreamId, end: StreamEnd) { todo!() }
    pub fn handle_resolved(&mut self, now: Time, id: LookupId, addrs: &[IpAddr]) { todo!() }
    pub fn handle_timeout(&mut self, now: Time) { todo!() }
    /// When `handle_timeout` wants to be called next.
    pub fn poll_timeout(&self) -> Option<Time> { todo!() }
    pub fn poll_transmit(&mut self) -> Option<Transmit> { todo!() }
    pub fn poll_notice(&mut self) -> Option<Notice> { todo!() }

    /// Asks every seed for the cluster, and remembers the seeds for healing.
    pub fn join(&mut self, now: Time, seeds: &[Seed]) -> OpId { todo!() }
    pub fn set_meta(&mut self, now: Time, meta: Arc<[u8]>) { todo!() }
    /// Payload of acks to direct pings.
    pub fn set_ack_payload(&mut self, payload: Option<Vec<u8>>) { todo!() }
    /// Announces the own departure; `Notice::LeaveSpread` when it has spread.
    pub fn leave(&mut self, now: Time) { todo!() }
    /// Takes part again after a leave, with a higher incarnation (a join after a leave).
    pub fn revive(&mut self, now: Time) { todo!() }
    /// Queues a user message (complete content, Serf type byte first) in one of the lanes.
    pub fn broadcast(&mut self, now: Time, lane: usize, bytes: Vec<u8>, token: Option<u64>) { todo!() }
    /// Sends a user message to one address at once.
    pub fn send_user(&mut self, now: Time, to: SocketAddr, bytes: &[u8]) { todo!() }
    /// How many members the layer above knows, in any status: scales retransmits of its lanes.
    pub fn set_population(&mut self, members: usize) { todo!() }
    pub fn provide_user_state(&mut self, now: Time, id: StreamId, bytes: Vec<u8>) { todo!() }
    /// "I could not reach NAME just now": probes it at once. `None`: unknown, self, not alive or
    /// suspect, or asked too often (counted in `hints_limited`).
    pub fn hint(&mut self, now: Time, name: &str) -> Option<OpId> { todo!() }
    pub fn node(&self, name: &str) -> Option<&Node> { todo!() }
    pub fn nodes(&self) -> impl Iterator<Item = &Node> { std::iter::empty() }
    pub fn self_node(&self) -> &Node { todo!() }
    /// A member the layer above lost: asked again with back-off until it is alive or `forget_lost`.
    pub fn remember_lost(&mut self, now: Time, name: Arc<str>, addr: SocketAddr) { todo!() }
    pub fn forget_lost(&mut self, name: &str) { todo!() }
    pub fn set_keyring(&mut self, keyring: crate::wire::Keyring) { todo!() }
    pub fn reasons(&self, now: Time, name: &str) -> Option<Reasons> { todo!() }
    pub fn health(&self, now: Time) -> Health { todo!() }
    pub fn stats(&self) -> Stats { todo!() }
    /// Counts a refusal that the layer above found.
    pub fn refuse(&mut self, why: Refusal) { todo!() }
    /// Time passed while this process did not run (suspended machine, stopped process): every
    /// deadline moves by it, so that nobody is declared dead for our own absence.
    pub fn handle_stall(&mut self, now: Time, stalled: Duration) { let _ = limits::MEMBERS; todo!() }
}
