//! The messages of the Serf layer: the content of memberlist user messages and user state.

use super::Refusal;
use std::collections::BTreeMap;

/// Tags of a member, sorted by key.
pub type Tags = BTreeMap<String, String>;

/// `ff` and the map; an empty set of tags is `ff 80`.
pub fn encode_tags(_tags: &Tags) -> Vec<u8> { todo!() }
/// Tags of a node's meta. Meta that is empty or does not begin with `ff` is the tag `role` of an old node.
pub fn decode_tags(_meta: &[u8]) -> Result<Tags, Refusal> { todo!() }

/// Type bytes.
#[allow(missing_docs)]
pub mod kind {
    pub const LEAVE: u8 = 0; pub const JOIN: u8 = 1; pub const PUSH_PULL: u8 = 2; pub const USER_EVENT: u8 = 3;
    pub const QUERY: u8 = 4; pub const QUERY_RESPONSE: u8 = 5; pub const CONFLICT_RESPONSE: u8 = 6;
    pub const KEY_REQUEST: u8 = 7; pub const KEY_RESPONSE: u8 = 8; pub const RELAY: u8 = 9;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct LeaveIntent<'a> { pub ltime: u64, pub node: &'a str, pub prune: bool }
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct JoinIntent<'a> { pub ltime: u64, pub node: &'a str }
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct UserEvent<'a> { pub ltime: u64, pub name: &'a str, pub payload: Option<&'a [u8]>, pub coalesce: bool }
/// Every field of a query; filters stay encoded (each: type byte, then msgpack).
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Query<'a> {
    pub ltime: u64, pub id: u32, pub addr: &'a [u8], pub port: u16, pub source_node: &'a str,
    pub filters: Option<Vec<&'a [u8]>>, pub flags: u32, pub relay_factor: u8, pub timeout_ns: i64,
    pub name: &'a str, pub payload: Option<&'a [u8]>,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct QueryResponse<'a> { pub ltime: u64, pub id: u32, pub from: &'a str, pub flags: u32, pub payload: Option<&'a [u8]> }
/// A relay: `inner` is a complete Serf message for `addr:port`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Relay<'a> { pub addr: &'a [u8], pub port: u16, pub node: &'a str, pub inner: &'a [u8] }

/// A Serf message that travels as a user message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SerfMessage<'a> {
    Leave(LeaveIntent<'a>), Join(JoinIntent<'a>), UserEvent(UserEvent<'a>), Query(Query<'a>),
    QueryResponse(QueryResponse<'a>), Relay(Relay<'a>),
}

impl<'a> SerfMessage<'a> {
    /// Decodes the content of a user message, Serf type byte first.
    pub fn decode(_bytes: &'a [u8]) -> Result<SerfMessage<'a>, Refusal> { todo!() }
    /// Appends it, Serf type byte first.
    pub fn encode(&self, _out: &mut Vec<u8>) { todo!() }
}

/// The push/pull user state of the Serf layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct SerfState<'a> {
    pub ltime: u64, pub event_ltime: u64, pub query_ltime: u64,
    pub status_ltimes: Vec<(&'a str, u64)>, pub left_members: Vec<&'a str>,
    /// Slots of the event ring that hold something.
    pub events: Vec<EventSlot<'a>>,
    /// How many nil slots the sender's list had beside them (kept only so that vectors re-encode).
    pub nil_slots: usize,
}
/// One slot of the event ring: a Lamport time, and the events (name, payload) at it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct EventSlot<'a> { pub ltime: u64, pub events: Vec<(&'a str, Option<&'a [u8]>)> }

impl<'a> SerfState<'a> {
    /// Decodes it, Serf type byte (2) first.
    pub fn decode(_bytes: &'a [u8]) -> Result<SerfState<'a>, Refusal> { todo!() }
    /// Appends it, Serf type byte first; `events` only, no nil slots.
    pub fn encode(&self, _out: &mut Vec<u8>) { todo!() }
}
