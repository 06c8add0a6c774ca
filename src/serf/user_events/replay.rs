//! Whether the user events in a push/pull were sent before this node joined the cluster, and are
//! left out for this reason.
//!
//! Every push/pull carries the user events of the last 512 Lamport times. Among members, this
//! brings events whose gossip was lost. But a node that joins would get events from before its
//! time, so it leaves them out, unless the setting `replay_events` is on. Serf has the same choice
//! for each join; its agent leaves them out by default. A node that resumes from a snapshot has
//! been a member before, and its ring knows which events are from before the end of its earlier
//! run. So it gets the events that it has missed.

use crate::swim::OpId;

/// The joins of this node.
#[derive(Debug, Default)]
pub(in crate::serf) struct Replay {
    /// The joins of the application that are under way.
    joins: Vec<OpId>,
    /// True once this node has received the state of another node.
    has_met_others: bool,
    /// True if the snapshot of an earlier run holds the time of the last user event, and this node
    /// has not received the state of another node yet.
    resumes: bool,
}

impl Replay {
    /// The snapshot of an earlier run holds the time of the last user event.
    pub fn resume(&mut self) {
        self.resumes = true;
    }

    pub fn join_begun(&mut self, op: OpId) {
        if !self.resumes {
            self.joins.push(op);
        }
    }

    pub fn join_done(&mut self, op: OpId) {
        self.joins.retain(|it| *it != op);
    }

    /// Notes a state that was received. Returns true if it may hold events from before this node
    /// joined: it belongs to a join of the application, or it is the first state of all. The first
    /// state comes without a join of the application if a seed starts later, or if another node
    /// joins this one. `join` is true if one of the two nodes joins.
    pub fn is_joining(&mut self, join: bool) -> bool {
        let is_first = !std::mem::replace(&mut self.has_met_others, true);
        let resumes = std::mem::take(&mut self.resumes);
        (is_first && !resumes) || (join && !self.joins.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_resumes_leaves_no_event_out_until_it_joins_again() {
        let mut replay = Replay::default();
        replay.resume();
        replay.join_begun(OpId(1));
        assert!(!replay.is_joining(true));
        assert!(!replay.is_joining(true));
        replay.join_done(OpId(1));
        replay.join_begun(OpId(2));
        assert!(replay.is_joining(true));
    }

    #[test]
    fn only_the_first_state_and_those_of_joins_may_hold_events_from_before() {
        let mut replay = Replay::default();
        assert!(replay.is_joining(false));
        assert!(!replay.is_joining(true), "another node joins this one");
        replay.join_begun(OpId(1));
        assert!(replay.is_joining(true));
        assert!(!replay.is_joining(false), "a periodic push/pull");
        replay.join_done(OpId(1));
        replay.join_done(OpId(1));
        assert!(!replay.is_joining(true));
    }
}
