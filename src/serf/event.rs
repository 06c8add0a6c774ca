//! The reports of the core to its driver.

#[cfg(doc)]
use super::Config;
use crate::event::EventBody;
use crate::key_report::KeyReport;
use crate::member::Member;
use crate::swim::{JoinFailure, JoinReport, OpId, SpreadEnd};
use crate::vocabulary::KeyAction;
use crate::wire::Key;
use std::net::SocketAddr;
use std::sync::Arc;

/// The end of a leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaveEnd {
    /// This node has left.
    Left {
        /// The live members that have not acknowledged the leave, and may mistake it for a failure.
        /// Empty if every live member that was told directly has acknowledged it. Also empty if
        /// this node left silently because its name seemed to belong to another node.
        unacked: Vec<Arc<str>>,
    },
    /// A join cancelled the leave.
    Cancelled,
}

/// A change of the keys of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// The change.
    pub action: KeyAction,
    /// The name of the member that sent the query, which may be this node; empty if that is a very
    /// old agent.
    pub by: Arc<str>,
    /// The keys that the driver has to store; `None` unless [`Config::store_keys`] is true.
    pub store: Option<KeyStore>,
}

/// Keys to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStore {
    /// The number with which the driver calls `Core::keys_stored`.
    pub number: u64,
    /// The keys, the primary one first.
    pub keys: Vec<Key>,
}

/// Something that the core reports to its driver.
#[derive(Clone, Debug, PartialEq)]
pub enum CoreEvent {
    /// An event for the application, to be passed on unchanged.
    App(EventBody),
    /// A join ended, or reached a node while other seeds had neither answered nor failed. In the
    /// latter case, a second report with the same number follows about those seeds.
    JoinDone {
        /// The number that `Core::join` returned.
        op: OpId,
        /// The number of addresses that answered, and the reason for each target that failed, since
        /// the previous report.
        report: JoinReport,
        /// The address of another node that had this node's name first and still uses it, if that
        /// is known. In that case this node is not a member of the cluster that it tried to join.
        owner: Option<SocketAddr>,
    },
    /// A look ended.
    LookDone {
        /// The number that `Core::look` returned.
        op: OpId,
        /// `contacted` is 1 if a node answered, or else 0; `failures` has the reason for each
        /// address that did not.
        report: JoinReport,
        /// The members that the node lists, sorted by name; empty if no node answered.
        members: Vec<Member>,
    },
    /// A leave ended.
    LeaveDone {
        /// The number that `Core::leave` returned.
        op: OpId,
        /// How the leave ended.
        end: LeaveEnd,
    },
    /// A query has ended: every member that it was addressed to has answered, failed or left, its
    /// time is up, or it was cancelled.
    QueryDone {
        /// The number that was given to `Core::query`.
        number: u64,
        /// The number of members that answered.
        answers: usize,
        /// The names of the members whose ack or answer is missing, sorted: members that have
        /// failed, or have not replied in time, and names in the options that no present member
        /// has.
        missing: Vec<Arc<str>>,
    },
    /// A query has changed the keys of this node, or has confirmed them.
    KeysChanged(KeyChange),
    /// A query about the keys of the cluster has ended: every member that was asked has answered,
    /// failed or left, or its time is up.
    KeysDone {
        /// The number that was given to `Core::manage_keys`.
        number: u64,
        /// The answers.
        report: KeyReport,
    },
    /// A message that this node sent by stream has been taken, or has failed.
    MessageDone {
        /// The number that `Core::send_message` returned.
        op: OpId,
        /// The reason for which it failed; `None` if the receiver has taken it and closed the
        /// stream.
        failure: Option<JoinFailure>,
    },
    /// The gossip about the last change of this node has ended.
    SpreadDone {
        /// The number that `Core::spread` returned.
        op: OpId,
        /// How the gossip ended.
        end: SpreadEnd,
    },
    /// The probe requested by a hint has ended.
    HintDone {
        /// The number that `Core::hint` returned.
        op: OpId,
        /// The member.
        name: Arc<str>,
        /// True if the member answered.
        answered: bool,
    },
    /// A peer lists this node's name at another address, or a node answers to it there. That
    /// address belongs to an earlier run of this node, or to another node with the same name, which
    /// may have joined earlier or later.
    NameClaimed {
        /// The other address.
        other: SocketAddr,
    },
    /// Another node had this node's name first and still uses it, or has won the vote about it, so
    /// this node cannot be a member. Reported only when the conflict is certain, and only once
    /// until the name is free again; see `conflict.rs`.
    NameConflict {
        /// The address of the other node.
        other: SocketAddr,
    },
    /// The members have voted about this node's name, which a node at another address has, too.
    NameVote {
        /// The address of the other node.
        other: SocketAddr,
        /// The number of members that have answered.
        answers: usize,
        /// The number of these that list the name at the address of this node.
        votes: usize,
        /// True if this node keeps the name. If not, a [`CoreEvent::NameConflict`] follows unless
        /// one was reported already.
        kept: bool,
    },
    /// No other node claims this node's name any more.
    NameFree {
        /// True if a [`CoreEvent::NameConflict`] was reported since the name was last free.
        reported: bool,
    },
}
