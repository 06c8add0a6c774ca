//! The Serf state in a push/pull, both ways: clocks, intents and left members, user events.
//!
//! A received state is handled like the messages that it stands for, but none of them is passed on:
//! other nodes get them by their own push/pulls.

use super::shared::members::{Members, SerfStatus};
use super::shared::ring::Ring;
use super::user_events::seen_event::SeenEvent;
use crate::wire::serf_message::{
    JoinIntent, LeaveIntent, PastEvent, PastEvents, SerfMessage, SerfPushPull, UserEvent,
};

/// The times of the three Lamport clocks.
pub(super) struct ClockTimes {
    pub member: u64,
    pub event: u64,
    pub query: u64,
}

/// Encodes the state of this node for the other side of a push/pull.
pub(super) fn encode(times: &ClockTimes, members: &Members, events: &Ring<SeenEvent>) -> Vec<u8> {
    // A member that returns is not listed as left: its Lamport time is already that of its join. A
    // peer that read this time as the time of a leave would reject later joins.
    let left = members.iter().filter(|row| match row.status {
        SerfStatus::Left => !row.returning,
        SerfStatus::Leaving => true,
        SerfStatus::Alive | SerfStatus::Failed => false,
    });
    let slots = events.slots().map(|slot| PastEvents {
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
        ltime: times.member,
        event_ltime: times.event,
        query_ltime: times.query,
        status_ltimes: members
            .iter()
            .map(|row| match row.status {
                // Unlike Serf, this node also lists members that are leaving as left. A reader
                // adds one to the time of a member that it did not know to have left, so the time
                // is listed one earlier: the reader then has the time of the leave intent.
                SerfStatus::Leaving => (&*row.member.name, row.ltime.saturating_sub(1)),
                // A member that has left is listed with the time of its leave, as Serf does. If the
                // time were earlier, the member could return through this node with too low a
                // time: members that read the leave from a Serf agent hold a later one, and would
                // ignore the return.
                SerfStatus::Alive | SerfStatus::Failed | SerfStatus::Left => {
                    (&*row.member.name, row.ltime)
                }
            })
            .collect(),
        left_members: left.map(|row| &*row.member.name).collect(),
        events: slots.collect(),
    };
    let mut bytes = Vec::new();
    state.encode(&mut bytes);
    bytes
}

/// Encodes a state without any content. Serf logs an error if the state is missing.
pub(super) fn encode_nothing() -> Vec<u8> {
    let mut bytes = Vec::new();
    SerfPushPull::default().encode(&mut bytes);
    bytes
}

/// Returns the messages that a received state stands for, in the order in which to handle them.
/// `own` is the name of this node.
///
/// For a member listed as left, there is a leave intent only if this node knows the member as
/// failed or left, or is the member itself. The SWIM machine has already merged the member entries
/// of the same exchange, so a member that is present now has not gone. If its leave were believed,
/// a member that has returned could stay `Leaving` forever. A peer that missed the return may list
/// the leave with a later time than that of the return, because an agent adds one to the time of a
/// leave whenever it reads the time in a push/pull.
pub(super) fn messages<'s, 'a>(
    state: &'s SerfPushPull<'a>,
    members: &Members,
    own: &str,
) -> impl Iterator<Item = SerfMessage<'a>> + use<'s, 'a> {
    let left = state.times_of_left_members();
    let is_gone = |node: &str| {
        members
            .get(node)
            .is_some_and(|row| !row.status.is_present())
    };
    let believed = left
        .iter()
        .filter(|(node, _)| **node == own || is_gone(node));
    let leaves: Vec<_> = believed
        .map(|(&node, ltime)| {
            // The leave gets a time one later than listed, so that it outweighs the intent by which
            // the member had joined. For a member that is known to have left, the time stays as
            // listed: otherwise each push/pull would move the leave to a later time.
            let known = members
                .get(node)
                .is_some_and(|row| row.status == SerfStatus::Left);
            SerfMessage::Leave(LeaveIntent {
                ltime: ltime.saturating_add(u64::from(!known)),
                node,
                prune: false,
            })
        })
        .collect();
    let joins = state.status_ltimes.iter();
    let joins = joins.filter(move |(node, _)| !left.contains_key(node));
    let joins = joins.map(|&(node, ltime)| SerfMessage::Join(JoinIntent { ltime, node }));
    let events = state.events.iter().flat_map(|slot| {
        let event = |event: &PastEvent<'a>| UserEvent {
            ltime: slot.ltime,
            name: event.name,
            payload: event.payload,
            coalesce: false,
        };
        slot.events.iter().map(event).map(SerfMessage::UserEvent)
    });
    leaves.into_iter().chain(joins).chain(events)
}
