//! The vote of the cluster about the name of this node: what the members have answered.

use crate::wire::serf_message::ConflictResponse;
use crate::wire::{Refusal, address};
use std::net::SocketAddr;

/// The answers to a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serf) struct Tally {
    /// The address of this node when it called the vote.
    pub own: SocketAddr,
    /// The address of the other node that has the name.
    pub other: SocketAddr,
    /// The number of members that have answered.
    pub answers: usize,
    /// The number of these that list the name at the address of this node.
    pub for_own: usize,
}

/// The result of a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serf) enum VoteResult {
    /// No member has answered.
    Unanswered,
    /// More than half of the members that answered list the name at the address of this node.
    Majority,
    /// Half of them do.
    Tie,
    /// Fewer than half of them do.
    Minority,
}

impl Tally {
    pub fn new(own: SocketAddr, other: SocketAddr) -> Tally {
        Tally {
            own,
            other,
            answers: 0,
            for_own: 0,
        }
    }

    /// Counts the answer of a member. A member that does not know the name has answered, too.
    ///
    /// # Errors
    /// The reason for which the answer is refused; it does not count.
    pub fn add(&mut self, payload: &[u8]) -> Result<(), Refusal> {
        let answer = ConflictResponse::decode(payload)?;
        let listed = answer.and_then(|answer| address::decode(answer.addr, answer.port));
        self.answers += 1;
        self.for_own += usize::from(listed.is_some_and(|(addr, _)| addr == self.own));
        Ok(())
    }

    pub fn result(&self) -> VoteResult {
        match (self.answers, self.for_own * 2) {
            (0, _) => VoteResult::Unanswered,
            (answers, twice) if twice > answers => VoteResult::Majority,
            (answers, twice) if twice == answers => VoteResult::Tie,
            (_, _) => VoteResult::Minority,
        }
    }
}
