//! What comes out of the core: orders to the driver, and notices to the layer above.

use crate::limits;
use crate::swim::NodeState;
use std::net::SocketAddr;
use std::sync::Arc;

/// A stream, numbered by whoever opened it: the core numbers those it dials (odd), the driver
/// those it accepts (even).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// A name resolution under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LookupId(pub u64);

/// A command whose end is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OpId(pub u64);

/// An order to the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this datagram. If it cannot be sent and belongs to a probe, answer with
    /// `handle_send_failure`.
    Datagram {
        /** where to */
        to: SocketAddr,
        /** the bytes */
        bytes: Vec<u8>,
        /** the probe that it belongs to */
        probe: Option<u32>,
    },
    /// Open a stream. Answer with `handle_stream_connected` or `handle_stream_end`.
    Connect {
        /** its number */
        id: StreamId,
        /** where to */
        to: SocketAddr,
    },
    /// Write to a stream, after what was written before.
    Write {
        /** which */
        id: StreamId,
        /** the bytes */
        bytes: Vec<u8>,
    },
    /// Close a stream once everything written has gone out. The core has forgotten it already; a
    /// `handle_*` call about it is ignored. The driver bounds how long flushing may take.
    Close {
        /** which */
        id: StreamId,
    },
    /// Resolve a host name. Answer with `handle_resolved`.
    Resolve {
        /** its number */
        id: LookupId,
        /** the name */
        host: String,
    },
}

/// Why a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// The other side closed it.
    Eof,
    /// It could not be opened, or broke.
    Failed,
    /// The other host said that nobody listens there.
    Refused,
}

/// Why a datagram could not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendFailure {
    /// Something about this host: no buffer, no permission, no route of our own.
    Local,
    /// The other host said it cannot be reached.
    Remote,
}

/// What happened to a member, as the SWIM layer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Known for the first time, or alive again after dead or left.
    Joined,
    /// It speaks with a newer incarnation; its meta and versions may have changed.
    Updated,
    /// Suspected from now on.
    Suspected,
    /// Was suspected, and is alive after all; its meta and versions may have changed.
    Cleared,
    /// Declared dead by somebody else.
    Died,
    /// Said itself that it leaves.
    Left,
    /// Removed from the table.
    Forgotten,
}

/// How a join ended: how many targets answered, and what went wrong with the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JoinReport {
    /// Addresses whose push/pull succeeded.
    pub contacted: usize,
    /// Target and reason of every failure.
    pub failures: Vec<(String, JoinFailure)>,
}

/// Why one target of a join failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinFailure {
    /// The host name gave no address.
    Unresolved,
    /// No connection, or it broke before the answer.
    Unreachable,
    /// Nobody listens there.
    ConnectionRefused,
    /// The answer did not come in time.
    TimedOut,
    /// The answer could not be decrypted, or is encrypted on one side only.
    Crypto(crate::wire::Refusal),
    /// The answer made no sense, or protocol versions do not fit.
    Protocol(crate::wire::Refusal),
    /// The other side answered with an error.
    Refused(String),
}

/// Something the layer above has to know or to give.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// A member changed. Not sent for this node itself except `Joined` at start and `Updated`.
    Member {
        /** what */
        change: Change,
        /** who */
        name: Arc<str>,
    },
    /// A user message arrived, Serf type byte first.
    UserMessage {
        /** the content */
        bytes: Vec<u8>,
    },
    /// Give the user state for this push/pull at once: `Swim::provide_user_state`.
    WantUserState {
        /** which push/pull */
        id: StreamId,
        /** is it a join */
        join: bool,
    },
    /// The other side's user state of a finished push/pull.
    UserState {
        /** is it a join */
        join: bool,
        /** the bytes */
        bytes: Vec<u8>,
    },
    /// A join command ended.
    JoinDone {
        /** which */
        op: OpId,
        /** how */
        report: JoinReport,
    },
    /// A broadcast with this token was transmitted as often as its limit asks, or replaced.
    BroadcastDone {
        /** which */
        token: u64,
    },
    /// The own departure has spread (or nobody is there to be told).
    LeaveSpread,
    /// A hint's probe ended: did the member answer?
    HintDone {
        /** which */
        op: OpId,
        /** who */
        name: Arc<str>,
        /** verdict */
        answered: bool,
    },
    /// Somebody claims a known name at another address.
    Conflict {
        /** the name */
        name: Arc<str>,
        /** known at */
        known: SocketAddr,
        /** claimed at */
        claimed: SocketAddr,
    },
    /// Another node answers to this node's name.
    NameTaken {
        /** where */
        addr: SocketAddr,
    },
    /// Nobody claims this node's name any more.
    NameFree,
}

/// Number of queues for broadcasts of the layer above.
pub const USER_LANES: usize = 3;
const _: () = assert!(limits::COMPOUND_PARTS < 128);

/// A node of the table, as others may read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: Arc<str>,
    /// Where it is reached; IPv4 in IPv4 form.
    pub addr: SocketAddr,
    /// Its meta as on the wire.
    pub meta: Arc<[u8]>,
    /// Version vector: memberlist min, max, spoken; delegate min, max, spoken.
    pub vsn: [u8; 6],
    /// Its incarnation.
    pub incarnation: u32,
    /// Its state.
    pub state: NodeState,
    /// When it entered that state.
    pub since: crate::time::Time,
}
