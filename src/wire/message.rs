//! The gossip messages of memberlist as plain values that borrow from the bytes they came from.

use super::Refusal;

/// Message types: the first byte.
#[allow(missing_docs)]
pub mod kind {
    pub const PING: u8 = 0; pub const INDIRECT_PING: u8 = 1; pub const ACK: u8 = 2; pub const SUSPECT: u8 = 3;
    pub const ALIVE: u8 = 4; pub const DEAD: u8 = 5; pub const PUSH_PULL: u8 = 6; pub const COMPOUND: u8 = 7;
    pub const USER: u8 = 8; pub const COMPRESS: u8 = 9; pub const ENCRYPTED: u8 = 10; pub const NACK: u8 = 11;
    pub const CHECKSUM: u8 = 12; pub const ERROR: u8 = 13; pub const LABEL: u8 = 244;
}

/// Who asks: where the ack goes. Empty or zero fields are left out on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Source<'a> { pub addr: &'a [u8], pub port: u16, pub node: &'a str }

/// A direct probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Ping<'a> { pub seq: u32, pub node: &'a str, pub source: Source<'a> }

/// A request to probe `target` on the asker's behalf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct IndirectPing<'a> {
    pub seq: u32, pub target: &'a [u8], pub port: u16, pub node: &'a str, pub nack: bool, pub source: Source<'a>,
}

/// Answer to a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Ack<'a> { pub seq: u32, pub payload: Option<&'a [u8]> }

/// A suspect or dead message: `from` accuses `node` at `incarnation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Accusation<'a> { pub incarnation: u32, pub node: &'a str, pub from: &'a str }

/// A node says (or is said) to be alive. `vsn` is empty or exactly six bytes after decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Alive<'a> {
    pub incarnation: u32, pub node: &'a str, pub addr: &'a [u8], pub port: u16,
    pub meta: Option<&'a [u8]>, pub vsn: &'a [u8],
}

/// One message of a datagram, or of a stream where noted in the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Message<'a> {
    Ping(Ping<'a>), IndirectPing(IndirectPing<'a>), Ack(Ack<'a>), Nack { seq: u32 },
    Suspect(Accusation<'a>), Alive(Alive<'a>), Dead(Accusation<'a>),
    /// Content of a user message, without its type byte (a datagram's form).
    User(&'a [u8]),
    /// An error answer on a stream.
    Error(&'a str),
}

impl<'a> Message<'a> {
    /// Decodes one complete message, its type byte first. Compound, compress and push/pull are not
    /// messages of this kind: they are [`Refusal::UnknownType`] here.
    pub fn decode(_bytes: &'a [u8]) -> Result<Message<'a>, Refusal> { todo!() }
    /// Appends the message, type byte first, exactly as the reference writes it.
    pub fn encode(&self, _out: &mut Vec<u8>) { todo!() }
}

/// State of a node in a push/pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum NodeState { Alive, Suspect, Dead, Left }

/// One node of a push/pull. An unknown state number refuses the whole push/pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct PushPullNode<'a> {
    pub name: &'a str, pub addr: &'a [u8], pub port: u16, pub incarnation: u32,
    pub meta: Option<&'a [u8]>, pub vsn: &'a [u8], pub state: NodeState,
}

/// A whole push/pull, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct PushPull<'a> { pub join: bool, pub nodes: Vec<PushPullNode<'a>>, pub user_state: &'a [u8] }

impl<'a> PushPull<'a> {
    /// Decodes a push/pull, its type byte (6) first, bounded by `limits`.
    pub fn decode(_bytes: &'a [u8]) -> Result<PushPull<'a>, Refusal> { todo!() }
    /// Appends it, type byte first.
    pub fn encode(&self, _out: &mut Vec<u8>) { todo!() }
}
