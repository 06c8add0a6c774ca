//! What the Serf layer tells the application.

use super::Member;
use crate::swim::{JoinReport, OpId};
use std::net::SocketAddr;
use std::sync::Arc;

/// What happened, for the application.
///
/// For one member the order is: join first; then suspect, alive and update in any number; then
/// leave or fail; then join again, or reap, after which the name is unknown. A failed member can
/// still leave (somebody removed it). A leave is told when the member is gone; while it is only
/// on its way its state is `Leaving` and no event says so.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A member is there: new, or back after it had failed or left.
    MemberJoin(Arc<Member>),
    /// Tags, address or protocol versions of a member changed.
    MemberUpdate(Arc<Member>),
    /// A member is gone, and had announced it; or this node itself has left.
    MemberLeave(Arc<Member>),
    /// A member is gone without a word.
    MemberFail(Arc<Member>),
    /// A member is no longer listed: gone for long enough, removed, or refused by the filter.
    MemberReap(Arc<Member>),
    /// A member does not answer; it fails soon unless it refutes that.
    MemberSuspect(Arc<Member>),
    /// A suspected member is alive after all.
    MemberAlive(Arc<Member>),
    /// A join ended.
    JoinDone {
        /// Number that `Core::join` returned.
        op: OpId,
        /// How many answered, and why the others did not.
        report: JoinReport,
        /// Who had the own name before this node and has it still: this node is no member.
        owner: Option<SocketAddr>,
    },
    /// A leave ended: everybody reachable has had the time to hear of it, or a join took it back.
    LeaveDone {
        /// Number that `Core::leave` returned.
        op: OpId,
    },
    /// The probe that a hint asked for ended.
    HintDone {
        /// Number that `Core::hint` returned.
        op: OpId,
        /// The member.
        name: Arc<str>,
        /// It answered.
        answered: bool,
    },
    /// The own name is listed at another address: by a former life of this node, or by another
    /// that came before it or after it.
    NameClaimed {
        /// Where the other one lives.
        other: SocketAddr,
    },
    /// The own name is used by somebody else, who was there first: this node should stop. Told at
    /// most once, and only when it is certain, see `conflict.rs`.
    NameConflict {
        /// Where the other one lives.
        other: SocketAddr,
    },
}
