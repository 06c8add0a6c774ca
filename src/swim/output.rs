//! Everything that comes out of the SWIM layer: outputs for the driver, and notices for the layer
//! above.

use super::NodeState;
use crate::member::NodeFacts;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;

/// The number of a stream. The core gives odd numbers to the streams that it dials; the driver
/// gives even numbers to the streams that it accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// The number of a name resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LookupId(pub u64);

/// The number of an operation whose end is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OpId(pub u64);

/// A request to the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this datagram. If it cannot be sent and belongs to a probe, answer with
    /// `handle_send_failure`.
    Datagram {
        /// The address to send it to.
        to: SocketAddr,
        /// The sealed datagram.
        bytes: Vec<u8>,
        /// The sequence number of the probe that it belongs to, if any.
        probe: Option<u32>,
    },
    /// Open a stream. Answer with `handle_stream_connected` or `handle_stream_end`.
    Connect {
        /// Its number.
        id: StreamId,
        /// The address to connect to.
        to: SocketAddr,
    },
    /// Write to a stream, after everything that was written before.
    Write {
        /// Its number.
        id: StreamId,
        /// The sealed bytes.
        bytes: Vec<u8>,
    },
    /// Close a stream once everything written has gone out. The core has forgotten it already; a
    /// `handle_*` call about it is ignored. The driver limits the time that flushing may take.
    Close {
        /// Its number.
        id: StreamId,
    },
    /// Resolve a host name. Answer with `handle_resolved`.
    Resolve {
        /// Its number.
        id: LookupId,
        /// The name to resolve.
        host: String,
    },
}

/// The way a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// The other side closed it.
    Eof,
    /// The other side reset it.
    Reset,
    /// It could not be opened, or broke.
    Failed,
    /// The other host refused the connection: no process listens there.
    Refused,
}

/// The reason why a datagram could not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendFailure {
    /// The fault lies with this host: no buffer, no permission, or no route.
    Local,
    /// The network or the other host reported that the other host cannot be reached.
    Remote,
}

/// A change of a member, as the SWIM layer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It became known, or is alive again after it was dead or had left.
    Joined,
    /// It announced a newer incarnation. Its meta and versions may have changed. For this node: its
    /// meta or its address was set.
    Updated,
    /// It is suspected from now on.
    Suspected,
    /// It refuted a suspicion. Its meta and versions may have changed, too.
    Cleared,
    /// It was declared dead, by this node or another.
    Died,
    /// It announced its own leave.
    Left,
    /// It was removed from the table: some time after it died or left, or because the table was
    /// full.
    Forgotten,
}

/// The end of the gossip about the last change of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpreadEnd {
    /// The change has been gossiped often enough, or no other node is live.
    Spread,
    /// This node has left, so the change is not gossiped any more.
    Left,
    /// The name of this node belongs to another node, so nothing about this node is gossiped.
    NameTaken,
}

/// The result of a join or look: the number of addresses that answered, and the targets that
/// failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JoinReport {
    /// The number of addresses whose push/pull succeeded, or that are this node's own.
    pub contacted: usize,
    /// True if a push/pull with another node succeeded.
    pub reached_another: bool,
    /// The target and the reason of each failure.
    pub failures: Vec<(String, JoinFailure)>,
}

/// The state of another node, which this node has not merged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteState {
    /// The nodes that it lists, itself included.
    pub nodes: Vec<Node>,
    /// The user state of its layer above.
    pub user_state: Vec<u8>,
}

/// The reason why a target of a join or look failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinFailure {
    /// The host name gave no address.
    Unresolved,
    /// The connection could not be opened, or broke before the answer was complete.
    Unreachable,
    /// The host refused the connection: no process listens there.
    ConnectionRefused,
    /// The other side closed or reset the connection before it sent any byte.
    ClosedUnanswered,
    /// The answer did not come in time.
    TimedOut,
    /// The answer could not be decrypted, or only one side encrypts.
    Crypto(crate::wire::Refusal),
    /// The answer was refused for another reason: it cannot be decoded, is not an answer to the
    /// request, or has incompatible protocol versions, for example.
    Protocol(crate::wire::Refusal),
    /// The other side answered with an error.
    Refused(String),
}

impl JoinFailure {
    /// Returns true if a program accepted the connection, and then it or this node refused the
    /// exchange. Asking the program again soon would not change its answer.
    pub(super) fn is_answer(&self) -> bool {
        self.brought_bytes() || matches!(self, JoinFailure::ClosedUnanswered)
    }

    /// Returns true if the other side sent something, which either was an error or was refused.
    pub(super) fn brought_bytes(&self) -> bool {
        match self {
            JoinFailure::Crypto(_) | JoinFailure::Protocol(_) | JoinFailure::Refused(_) => true,
            JoinFailure::Unresolved
            | JoinFailure::Unreachable
            | JoinFailure::ConnectionRefused
            | JoinFailure::ClosedUnanswered
            | JoinFailure::TimedOut => false,
        }
    }
}

/// A fact that the layer above has to learn, or a request that it has to answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// A member changed. About this node itself, only `Joined` (when it starts, and when it returns
    /// after a leave) and `Updated` are sent.
    Member {
        /// The change.
        change: Change,
        /// The member.
        name: Arc<str>,
    },
    /// A user message arrived.
    UserMessage {
        /// Its content, which begins with Serf's type byte in a Serf cluster.
        bytes: Arc<[u8]>,
    },
    /// The layer above must give its user state for this push/pull immediately, by a call of
    /// `Swim::provide_user_state`.
    WantUserState {
        /// The stream of the push/pull.
        id: StreamId,
        /// True if the node that dialled is joining.
        join: bool,
        /// True if this node shows nothing of itself, so the user state must have no content.
        shows_nothing: bool,
    },
    /// A push/pull brought the other side's user state.
    UserState {
        /// True if the node that dialled is joining.
        join: bool,
        /// The user state.
        bytes: Arc<[u8]>,
    },
    /// A user message that this node sent by stream has been taken, or has failed.
    MessageDone {
        /// The command.
        op: OpId,
        /// The reason for which it failed; `None` if the receiver has taken it and closed the
        /// stream.
        failure: Option<JoinFailure>,
    },
    /// A join command ended; or it reached a node a moment ago, and still waits for other targets.
    /// In the latter case, a second notice reports the other targets.
    JoinDone {
        /// The command.
        op: OpId,
        /// Its result.
        report: JoinReport,
    },
    /// A look ended.
    LookDone {
        /// The command.
        op: OpId,
        /// `contacted` is 1 if a node answered, or else 0; `failures` has the reason for each
        /// address that was asked in vain, or for the host name if it has no address.
        report: JoinReport,
        /// The state of the node that answered; empty if no node did.
        state: RemoteState,
    },
    /// The gossip about the last change of this node has ended.
    SpreadDone {
        /// The command.
        op: OpId,
        /// How the gossip ended.
        end: SpreadEnd,
    },
    /// The broadcast with this token has reached its retransmit limit, or was replaced, dropped or
    /// refused.
    BroadcastDone {
        /// The token that came with the broadcast.
        token: u64,
    },
    /// The leave of this node has been gossiped often enough, or its broadcast was replaced or
    /// dropped, or there is no other live node to tell.
    LeaveSpread,
    /// Every member that was told directly has acknowledged the last announced step of the leave,
    /// or has been given up.
    LeaveAcked,
    /// The probe of a hint ended.
    HintDone {
        /// The command.
        op: OpId,
        /// The member.
        name: Arc<str>,
        /// True if the member answered.
        answered: bool,
    },
    /// A member has answered a direct ping of a probe, at the address where this node knows it.
    PingAnswered {
        /// The member.
        name: Arc<str>,
        /// The time between the ping and its ack.
        rtt: std::time::Duration,
        /// The data that its layer above added to the ack.
        payload: Vec<u8>,
    },
    /// A message claims that a known member, or this node, lives at another address.
    Conflict {
        /// The name.
        name: Arc<str>,
        /// The address at which the member is known.
        known: SocketAddr,
        /// The address that the message claims.
        claimed: SocketAddr,
        /// True if the message says that the node there is alive or suspected.
        alive: bool,
    },
    /// The member at the address `by` has missed the leave of the member `name`.
    LeaveMissed {
        /// The name of the member that has left.
        name: Arc<str>,
        /// The address of the member to tell; see [`super::Swim::tell_of_past_leave`].
        by: SocketAddr,
    },
    /// A peer lists this node under its name, at an address of this node.
    NameAccepted,
    /// Another node answers to this node's name.
    NameTaken {
        /// The address of the other node.
        addr: SocketAddr,
    },
    /// The claim that another node has this node's name has been dropped: no member repeats it, or
    /// it has turned out to be wrong.
    NameFree,
}

/// Another address at which members list this node's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameConflict {
    /// The other address.
    pub addr: SocketAddr,
    /// The facts that are known about the node there.
    pub verdict: ConflictVerdict,
}

/// The facts that are known about another node that may have this node's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConflictVerdict {
    /// Its address is being asked.
    Asked,
    /// A node answers to the name there.
    Alive,
    /// No node answers there. After some time, members will accept this node as the owner of the
    /// name.
    Silent,
}

/// The number of queues for broadcasts of the layer above.
pub const USER_LANES: usize = 3;
/// The lane whose broadcasts are sent in the order in which they came.
pub const ORDERED_LANE: usize = 2;
/// The number of broadcasts of the ordered lane that are sent at the same time. A Serf node
/// remembers the messages of 512 Lamport times. While a message passes through the windows of three
/// nodes one after the other, those that follow it stay within that number.
pub const ORDERED_WINDOW: usize = 128;

/// A known node: what it announced about itself, and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The facts that it announced about itself.
    pub facts: Arc<NodeFacts>,
    /// Its state.
    pub state: NodeState,
    /// The time when it entered that state.
    pub since: crate::time::Time,
}

impl Deref for Node {
    type Target = NodeFacts;

    fn deref(&self) -> &NodeFacts {
        &self.facts
    }
}
