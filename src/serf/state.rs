//! The Serf state in a push/pull, both ways: clocks, intents and left members, user events.
//!
//! What comes in is handled like the messages it stands for, but not passed on: whoever needs it
//! gets it by a push/pull of its own.

use super::SerfState;
use super::members::Status;
use crate::time::Time;
use crate::wire::serf_message::{
    JoinIntent, LeaveIntent, PastEvent, PastEvents, SerfPushPull, UserEvent,
};
use std::collections::{BTreeMap, BTreeSet};

impl SerfState {
    /// The own state, for the other side of a push/pull. Empty in memberlist mode.
    pub fn encode_state(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if !self.is_serf() {
            return bytes;
        }
        // Who returns is not told of as left: the time held is that of its join by now, and whoever
        // reads it as that of a leave believes no later join.
        let left = self.members.iter().filter(|entry| match entry.status {
            Status::Left => !entry.returning,
            Status::Leaving => true,
            Status::Alive | Status::Failed => false,
        });
        let slots = self.seen_events.slots().map(|slot| PastEvents {
            ltime: slot.ltime,
            events: slot
                .items
                .iter()
                .map(|item| PastEvent {
                    name: &item.name,
                    payload: item.payload.as_deref(),
                })
                .collect(),
        });
        let state = SerfPushPull {
            ltime: self.member_clock.time(),
            event_ltime: self.event_clock.time(),
            query_ltime: self.query_clock.time(),
            status_ltimes: self
                .members
                .iter()
                .map(|e| match e.status {
                    // The reader adds one. The original tells only of those that have left, and at
                    // their own time: if we told another, a member that returns through us would
                    // refute too low for those who joined through an original.
                    Status::Leaving => (&*e.member.name, e.ltime.saturating_sub(1)),
                    Status::Alive | Status::Failed | Status::Left => (&*e.member.name, e.ltime),
                })
                .collect(),
            left_members: left.map(|entry| &*entry.member.name).collect(),
            events: slots.collect(),
        };
        state.encode(&mut bytes);
        bytes
    }

    /// The other side's state.
    pub fn state_received(&mut self, now: Time, bytes: &[u8]) {
        if !self.is_serf() || bytes.is_empty() {
            return;
        }
        match SerfPushPull::decode(bytes) {
            Ok(state) => self.merge_state(now, &state),
            Err(why) => self.refuse(why),
        }
    }

    fn merge_state(&mut self, now: Time, state: &SerfPushPull<'_>) {
        // The sender's clocks say the next time it will use, so the one before it was seen.
        let seen = [
            self.member_clock.witness(state.ltime.saturating_sub(1)),
            self.event_clock
                .witness(state.event_ltime.saturating_sub(1)),
            self.query_clock
                .witness(state.query_ltime.saturating_sub(1)),
        ];
        self.counts.ltimes_refused += seen.into_iter().filter(|believed| !believed).count() as u64;
        let ltimes: BTreeMap<&str, u64> = state.status_ltimes.iter().copied().collect();
        let left: BTreeSet<&str> = state.left_members.iter().copied().collect();
        for &node in &left {
            // One later, so that it outweighs the intent by which the member had joined; but who
            // is known to have left does not leave later every time that somebody says so.
            let known = self
                .members
                .get(node)
                .is_some_and(|e| e.status == Status::Left);
            let told = ltimes.get(node).copied().unwrap_or(0);
            let ltime = told.saturating_add(u64::from(!known));
            self.leave_intent(
                now,
                &LeaveIntent {
                    ltime,
                    node,
                    prune: false,
                },
            );
        }
        for (&node, &ltime) in ltimes.iter().filter(|(node, _)| !left.contains(*node)) {
            self.join_intent(now, &JoinIntent { ltime, node });
        }
        for slot in &state.events {
            for event in &slot.events {
                self.user_event(&UserEvent {
                    ltime: slot.ltime,
                    name: event.name,
                    payload: event.payload,
                    coalesce: false,
                });
            }
        }
    }
}
