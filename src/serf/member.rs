//! A member as the application sees it.

use super::Tags;
use std::net::SocketAddr;
use std::sync::Arc;

/// State of a member as an application sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i32)]
pub enum MemberState {
    /// It is there.
    Alive = 1,
    /// It did not answer, and has not refuted that yet.
    Suspect = 2,
    /// It is gone, without a word.
    Failed = 3,
    /// It has announced that it leaves, or somebody has for it.
    Leaving = 4,
    /// It is gone, as announced.
    Left = 5,
}

impl MemberState {
    /// All states, in the order of their numbers.
    pub const ALL: [MemberState; 5] = [
        MemberState::Alive,
        MemberState::Suspect,
        MemberState::Failed,
        MemberState::Leaving,
        MemberState::Left,
    ];

    /// Its name, as Serf writes it where Serf has it.
    pub fn name(self) -> &'static str {
        match self {
            MemberState::Alive => "alive",
            MemberState::Suspect => "suspect",
            MemberState::Failed => "failed",
            MemberState::Leaving => "leaving",
            MemberState::Left => "left",
        }
    }
}

/// A member. Shared, never changed in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, unique in the cluster.
    pub name: Arc<str>,
    /// Where it is reached.
    pub addr: SocketAddr,
    /// Its tags; empty in memberlist mode, and if they could not be read.
    pub tags: Arc<Tags>,
    /// Its meta as on the wire: in Serf mode the encoded tags.
    pub meta: Arc<[u8]>,
    /// Its state.
    pub state: MemberState,
    /// Its incarnation, as it last said itself.
    pub incarnation: u32,
    /// memberlist protocol: minimum, maximum, spoken.
    pub protocol: [u8; 3],
    /// Serf protocol: minimum, maximum, spoken; zeros for a bare memberlist node.
    pub delegate: [u8; 3],
}
