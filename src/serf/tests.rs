//! Serf's rules, tested on the Serf state alone: reports and messages go in, orders and events come
//! out.

use super::event::{KeyChange, KeyStore, LeaveEnd};
use super::membership::conflict::Conflicts;
use super::queries::request::QuerySender;
use super::shared::members::SerfStatus;
use super::shared::outbox::{Order, lane};
use super::shared::vote::Tally;
use super::{Config, CoreEvent, MemberFilter, MemberState, Mode, NodeFacts, SerfState, Tags};
use crate::event::EventBody;
use crate::limits;
use crate::swim::{
    Change, ConflictVerdict, JoinReport, LostSince, NameConflict, Node, NodeState, OpId,
};
use crate::time::Time;
use crate::wire::Refusal;
use crate::wire::serf_message::{
    ConflictResponse, JoinIntent, LeaveIntent, PastEvent, PastEvents, Query, QueryResponse, Relay,
    SerfMessage, SerfPushPull, UserEvent, encode_tags,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// A node called `self`; the test plays the SWIM machine below it.
pub(super) struct Rig {
    pub(super) serf: SerfState,
    pub(super) now: Time,
}

pub(super) fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}

pub(super) fn node(name: &str, port: u16, tags: &Tags) -> Node {
    let facts = NodeFacts {
        meta: encode_tags(tags).into(),
        ..NodeFacts::new(name, SocketAddr::from(([10, 0, 0, 1], port)))
    };
    Node {
        facts: Arc::new(facts),
        state: NodeState::Alive,
        since: Time::ZERO,
    }
}

/// A query from the member `b`, whose address is 10.0.0.1:3.
pub(super) fn query<'a>(ltime: u64, name: &'a [u8], payload: Option<&'a [u8]>) -> Query<'a> {
    Query {
        ltime,
        id: 7,
        addr: &[10, 0, 0, 1],
        port: 3,
        source_node: "b",
        filters: None,
        flags: 0,
        relay_factor: 0,
        timeout_ns: 3_000_000_000,
        name,
        payload,
    }
}

fn set_meta(node: &mut Node, meta: &[u8]) {
    Arc::make_mut(&mut node.facts).meta = meta.into();
}

impl Rig {
    pub(super) fn new() -> Rig {
        Rig::with(Config::default())
    }

    pub(super) fn with(config: Config) -> Rig {
        let serf = SerfState::new(config, "self".into(), Time::ZERO);
        let mut rig = Rig {
            serf,
            now: Time::ZERO,
        };
        rig.joins("self", 1);
        rig.events();
        rig.orders();
        rig
    }

    pub(super) fn wait(&mut self, seconds: u64) {
        self.now = self.now + SECOND * seconds as u32;
        self.serf.handle_timeout(self.now);
    }

    pub(super) fn reports(&mut self, change: Change, name: &str, node: Option<&Node>) {
        self.serf
            .member_changed(self.now, change, &Arc::from(name), node);
    }

    pub(super) fn joins(&mut self, name: &str, port: u16) {
        self.reports(Change::Joined, name, Some(&node(name, port, &Tags::new())));
    }

    pub(super) fn receives(&mut self, message: &SerfMessage<'_>) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.serf.message_received(self.now, &bytes);
    }

    fn leave_intent(&mut self, node: &str, ltime: u64, prune: bool) {
        self.receives(&SerfMessage::Leave(LeaveIntent { ltime, node, prune }));
    }

    fn join_intent(&mut self, node: &str, ltime: u64) {
        self.receives(&SerfMessage::Join(JoinIntent { ltime, node }));
    }

    /// Returns the events since the last call, as "join a", "leave b".
    pub(super) fn events(&mut self) -> Vec<String> {
        let word = |event| match event {
            CoreEvent::App(EventBody::MemberJoin(member)) => format!("join {}", member.name),
            CoreEvent::App(EventBody::MemberUpdate(member)) => format!("update {}", member.name),
            CoreEvent::App(EventBody::MemberLeave(member)) => format!("leave {}", member.name),
            CoreEvent::App(EventBody::MemberFail(member)) => format!("fail {}", member.name),
            CoreEvent::App(EventBody::MemberReap(member)) => format!("reap {}", member.name),
            CoreEvent::App(EventBody::MemberSuspect(member)) => format!("suspect {}", member.name),
            CoreEvent::App(EventBody::MemberAlive(member)) => format!("alive {}", member.name),
            CoreEvent::App(EventBody::User { name, payload, .. }) => {
                format!("user {name} {}", String::from_utf8_lossy(&payload))
            }
            CoreEvent::App(EventBody::Query { id, name, .. }) => format!("query {id} {name}"),
            CoreEvent::App(EventBody::QueryAck { id, from }) => format!("ack {id} {from}"),
            CoreEvent::App(EventBody::QueryResponse { id, from, payload }) => {
                format!("answer {id} {from} {}", String::from_utf8_lossy(&payload))
            }
            CoreEvent::App(other) => panic!("{other:?} comes from the driver"),
            CoreEvent::JoinDone { .. } => "joined".into(),
            CoreEvent::SpreadDone { end, .. } => format!("{end:?}"),
            CoreEvent::LeaveDone { end, .. } => match end {
                LeaveEnd::Left { unacked } if unacked.is_empty() => "left".into(),
                LeaveEnd::Left { unacked } => format!("left without {}", unacked.join(" ")),
                LeaveEnd::Cancelled => "cancelled".into(),
            },
            CoreEvent::QueryDone {
                number,
                answers,
                missing,
            } => format!("done {number}: {answers}, missing {}", missing.join(" ")),
            CoreEvent::KeysChanged(KeyChange { action, by, store }) => {
                let keys = |store: KeyStore| {
                    let keys = store.keys.iter().map(|key| key.as_bytes()[0].to_string());
                    let keys: Vec<String> = keys.collect();
                    format!(", {} stores {}", store.number, keys.join(" "))
                };
                format!("{action:?} by {by}{}", store.map(keys).unwrap_or_default())
            }
            CoreEvent::KeysDone { number, .. } => format!("keys {number}"),
            CoreEvent::HintDone { .. } => "hinted".into(),
            CoreEvent::MessageDone { .. } => "sent".into(),
            CoreEvent::LookDone { members, .. } => format!("found {}", members.len()),
            CoreEvent::NameFree { reported } => format!("free, reported: {reported}"),
            CoreEvent::NameClaimed { other } => format!("claimed {other}"),
            CoreEvent::NameConflict { other } => format!("conflict {other}"),
            CoreEvent::NameVote {
                votes,
                answers,
                kept,
                ..
            } => format!("vote {votes} of {answers}, kept: {kept}"),
        };
        let events = &mut self.serf.common.out.events;
        std::iter::from_fn(|| events.pop()).map(word).collect()
    }

    /// A peer that this node has asked lists its name at [`OTHER`], and the SWIM machine has come
    /// to this verdict about the node there.
    fn is_claimed(&mut self, verdict: ConflictVerdict) {
        self.serf.name_claimed(self.now, "self", OTHER, true, true);
        let addr = OTHER;
        self.serf.name_conflict = Some(NameConflict { addr, verdict });
        if verdict == ConflictVerdict::Alive {
            self.serf.name_taken(self.now, OTHER);
        }
        self.serf.note_dispute(self.now);
    }

    /// No other node claims the name any more.
    fn is_free(&mut self) {
        self.serf.name_conflict = None;
        let common = &mut self.serf.common;
        self.serf.conflicts.on_name_free(common);
        self.serf.note_dispute(self.now);
    }

    /// Carries out the orders to call a vote, and returns their number.
    fn calls_votes(&mut self) -> usize {
        let calls = |order| match order {
            Order::CallVote { other } => Some(other),
            _ => None,
        };
        let others: Vec<_> = self.orders().into_iter().filter_map(calls).collect();
        let sender = QuerySender {
            id: 77,
            addr: OWN,
            room: 1300,
        };
        for other in &others {
            self.serf.call_vote(self.now, *other, sender);
        }
        others.len()
    }

    /// A member answers the vote that this node called last.
    fn answers_vote(&mut self, from: &str, payload: &[u8]) {
        self.receives(&SerfMessage::QueryResponse(QueryResponse {
            ltime: self.serf.queries.seen.clock.time() - 1,
            id: 77,
            from,
            flags: 0,
            payload: Some(payload),
        }));
    }

    /// Carries out the order to end a vote, and returns the events that follow.
    fn ends_vote(&mut self) -> Vec<String> {
        self.events();
        let end = |order| match order {
            Order::EndVote(tally) => Some(tally),
            _ => None,
        };
        let tally = self.orders().into_iter().find_map(end);
        let tally = tally.expect("the vote has ended");
        self.serf.vote_ended(self.now, &tally);
        self.events()
    }

    /// Plays the SWIM machine, which must have been ordered to end the announcements of a leave,
    /// and reports the members that have not acknowledged it.
    fn ends_leave(&mut self, unacked: &[&str]) {
        assert_eq!(self.orders().last(), Some(&Order::EndLeave));
        let unacked = unacked.iter().map(|&name| name.into()).collect();
        self.serf.leave_ended(unacked);
    }

    pub(super) fn orders(&mut self) -> Vec<Order> {
        let orders = &mut self.serf.common.out.orders;
        std::iter::from_fn(|| orders.pop()).collect()
    }

    /// Returns the lane and the first byte of each broadcast queued since the last call.
    pub(super) fn broadcasts(&mut self) -> Vec<(usize, u8)> {
        let of = |order| match order {
            Order::Broadcast { lane, bytes, .. } | Order::PassOn { lane, bytes } => {
                Some((lane, bytes[0]))
            }
            Order::SendUser { .. }
            | Order::SendThrough { .. }
            | Order::PushPull
            | Order::RememberLost { .. }
            | Order::ForgetLost { .. }
            | Order::UnlistLost { .. }
            | Order::AnnounceLeave { .. }
            | Order::Leave
            | Order::TellOfLeave { .. }
            | Order::EndLeave
            | Order::LeaveSilently
            | Order::SetAckPayload(_)
            | Order::ManageKeys { .. }
            | Order::SendIntroduced { .. }
            | Order::HeedClaim { .. }
            | Order::CallVote { .. }
            | Order::EndVote(_)
            | Order::Refuse(_) => None,
        };
        self.orders().into_iter().filter_map(of).collect()
    }

    fn status(&self, name: &str) -> Option<SerfStatus> {
        self.serf.common.members.get(name).map(|row| row.status)
    }

    fn shown(&self, name: &str) -> MemberState {
        self.serf.common.members.get(name).unwrap().member.state
    }
}

const LEAVE: (usize, u8) = (lane::INTENTS, 0);
const JOIN: (usize, u8) = (lane::INTENTS, 1);

#[test]
fn a_member_without_a_leave_intent_has_left_only_if_it_says_so_itself() {
    for (change, event, status) in [
        (Change::Died, "fail a", SerfStatus::Failed),
        (Change::Left, "leave a", SerfStatus::Left),
    ] {
        let mut rig = Rig::new();
        rig.joins("a", 2);
        rig.reports(change, "a", None);
        assert_eq!(rig.events(), ["join a", event]);
        assert_eq!(rig.status("a"), Some(status));
    }
}

#[test]
fn a_member_that_dies_after_its_leave_intent_has_left() {
    for change in [Change::Died, Change::Left] {
        let mut rig = Rig::new();
        rig.joins("a", 2);
        rig.leave_intent("a", 5, false);
        assert_eq!(rig.shown("a"), MemberState::Leaving);
        rig.reports(change, "a", None);
        assert_eq!(rig.events(), ["join a", "leave a"]);
        assert_eq!(rig.broadcasts(), [LEAVE]);
    }
}

#[test]
fn in_memberlist_mode_the_report_decides_and_forgotten_members_are_reaped() {
    let mut rig = Rig::with(Config {
        mode: Mode::Memberlist,
        ..Config::default()
    });
    for (name, port) in [("a", 2), ("b", 3)] {
        rig.joins(name, port);
    }
    rig.reports(Change::Left, "a", None);
    rig.reports(Change::Died, "b", None);
    assert_eq!(rig.events(), ["join a", "join b", "leave a", "fail b"]);
    rig.reports(Change::Forgotten, "a", None);
    rig.reports(Change::Forgotten, "b", None);
    assert_eq!(rig.events(), ["reap a", "reap b"]);
    assert!(rig.serf.encode_state(false).is_empty());
}

#[test]
fn lost_members_are_searched_for_longer_than_memberlist_remembers_them() {
    let config = Config {
        mode: Mode::Memberlist,
        ..Config::default()
    };
    let mut rig = Rig::with(config);
    rig.joins("a", 2);
    rig.reports(Change::Died, "a", None);
    rig.reports(Change::Forgotten, "a", None);
    let addr = SocketAddr::from(([10, 0, 0, 1], 2));
    assert_eq!(
        rig.orders(),
        [
            Order::RememberLost {
                name: "a".into(),
                addr,
                since: LostSince::ThisRun,
            },
            Order::UnlistLost { name: "a".into() },
        ]
    );
    rig.wait(24 * 3600);
    assert_eq!(rig.orders(), []);
    rig.wait(60);
    assert_eq!(rig.orders(), [Order::ForgetLost { name: "a".into() }]);
}

#[test]
fn a_member_that_comes_back_is_no_longer_searched_for() {
    let mut rig = Rig::new();
    rig.joins("a", 2);
    rig.reports(Change::Died, "a", None);
    rig.orders();
    rig.joins("a", 2);
    assert_eq!(rig.orders(), [Order::ForgetLost { name: "a".into() }]);
    assert_eq!(rig.events(), ["join a", "fail a", "join a"]);
    assert_eq!(rig.shown("a"), MemberState::Alive);
}

#[test]
fn a_suspicion_makes_one_event_and_so_does_its_end() {
    let mut rig = Rig::new();
    let a = node("a", 2, &Tags::new());
    rig.joins("a", 2);
    rig.reports(Change::Suspected, "a", Some(&a));
    assert_eq!(rig.shown("a"), MemberState::Suspect);
    rig.reports(Change::Suspected, "a", Some(&a));
    rig.reports(Change::Cleared, "a", Some(&a));
    assert_eq!(rig.events(), ["join a", "suspect a", "alive a"]);
    assert_eq!(rig.shown("a"), MemberState::Alive);
}

#[test]
fn a_suspect_that_is_leaving_is_shown_as_leaving() {
    let mut rig = Rig::new();
    let a = node("a", 2, &Tags::new());
    rig.joins("a", 2);
    rig.leave_intent("a", 5, false);
    rig.reports(Change::Suspected, "a", Some(&a));
    assert_eq!(rig.shown("a"), MemberState::Leaving);
    rig.join_intent("a", 6);
    assert_eq!(rig.shown("a"), MemberState::Suspect);
    assert_eq!(rig.events(), ["join a", "suspect a"]);
}

#[test]
fn only_a_later_intent_counts() {
    let mut rig = Rig::new();
    rig.joins("a", 2);
    rig.join_intent("a", 5);
    assert_eq!(rig.broadcasts(), [JOIN]);
    for ltime in [4, 5] {
        rig.leave_intent("a", ltime, false);
        rig.join_intent("a", ltime);
    }
    assert_eq!(
        (rig.broadcasts(), rig.status("a")),
        (vec![], Some(SerfStatus::Alive))
    );
    rig.leave_intent("a", 6, false);
    assert_eq!(
        (rig.broadcasts(), rig.status("a")),
        (vec![LEAVE], Some(SerfStatus::Leaving))
    );
    rig.join_intent("a", 7);
    assert_eq!(
        (rig.broadcasts(), rig.status("a")),
        (vec![JOIN], Some(SerfStatus::Alive))
    );
}

#[test]
fn a_leave_intent_about_a_failed_member_makes_it_left_and_ends_the_search() {
    let mut rig = Rig::new();
    rig.joins("a", 2);
    rig.reports(Change::Died, "a", None);
    rig.leave_intent("a", 5, false);
    assert_eq!(rig.events(), ["join a", "fail a", "leave a"]);
    assert!(
        rig.orders()
            .contains(&Order::ForgetLost { name: "a".into() })
    );
    rig.join_intent("a", 6);
    assert_eq!(rig.status("a"), Some(SerfStatus::Left));
}

#[test]
fn a_pruned_member_is_erased_when_it_is_gone_and_not_before() {
    let mut rig = Rig::new();
    rig.joins("a", 2);
    rig.leave_intent("a", 5, true);
    assert_eq!(rig.status("a"), Some(SerfStatus::Leaving));
    rig.reports(Change::Left, "a", None);
    assert_eq!(rig.events(), ["join a", "leave a", "reap a"]);
    assert_eq!(rig.status("a"), None);

    rig.joins("b", 3);
    rig.reports(Change::Died, "b", None);
    rig.leave_intent("b", 6, true);
    assert_eq!(rig.events(), ["join b", "fail b", "leave b", "reap b"]);
}

#[test]
fn a_member_that_refutes_its_pruning_stays() {
    let mut rig = Rig::new();
    rig.joins("a", 2);
    rig.leave_intent("a", 5, true);
    rig.join_intent("a", 6);
    rig.leave_intent("a", 7, false);
    rig.reports(Change::Left, "a", None);
    assert_eq!(rig.events(), ["join a", "leave a"]);
    assert_eq!(rig.status("a"), Some(SerfStatus::Left));
}

#[test]
fn intents_about_unknown_members_wait_for_them_and_the_latest_wins() {
    let mut rig = Rig::new();
    rig.join_intent("a", 5);
    rig.leave_intent("a", 6, false);
    rig.join_intent("a", 6);
    rig.leave_intent("a", 6, false);
    assert_eq!(rig.broadcasts(), [JOIN, LEAVE]);
    rig.joins("a", 2);
    assert_eq!(
        (rig.status("a"), rig.serf.intents.early.len()),
        (Some(SerfStatus::Leaving), 0)
    );
    rig.leave_intent("a", 6, false);
    assert_eq!(rig.broadcasts(), []);
}

#[test]
fn an_intent_waits_five_minutes_for_its_member() {
    let mut rig = Rig::new();
    rig.leave_intent("a", 5, false);
    rig.wait(300);
    assert_eq!(rig.serf.intents.early.len(), 1);
    rig.wait(15);
    assert_eq!(rig.serf.intents.early.len(), 0);
    rig.joins("a", 2);
    assert_eq!(rig.status("a"), Some(SerfStatus::Alive));
}

#[test]
fn the_number_of_early_intents_is_bounded() {
    let mut rig = Rig::new();
    for i in 0..limits::BUFFERED_INTENTS + 10 {
        rig.leave_intent(&format!("n{i}"), 5, false);
    }
    assert_eq!(rig.serf.intents.early.len(), limits::BUFFERED_INTENTS);
    assert_eq!(rig.serf.common.out.counts.intents_dropped, 10);
}

#[test]
fn the_bytes_of_early_intents_are_bounded() {
    let mut rig = Rig::new();
    let long = "n".repeat(limits::NAME_LEN - 5);
    let room = limits::BUFFERED_INTENT_BYTES / limits::NAME_LEN;
    for i in 0..room + 3 {
        rig.leave_intent(&format!("{long}{i:05}"), 5, false);
    }
    assert_eq!(rig.serf.intents.early.len(), room);
    assert_eq!(rig.serf.common.out.counts.intents_dropped, 3);
    // An intent that is taken or expires gives its bytes back.
    rig.joins(&format!("{long}00000"), 2);
    rig.leave_intent(&format!("{long}x0000"), 5, false);
    assert_eq!(rig.serf.intents.early.len(), room);
    rig.wait(315);
    for i in 1..room + 2 {
        rig.leave_intent(&format!("{long}{i:05}"), 6, false);
    }
    assert_eq!(rig.serf.intents.early.len(), room);
    assert_eq!(rig.serf.common.out.counts.intents_dropped, 4);
}

#[test]
fn a_leave_intent_about_this_node_is_refuted_with_a_later_time() {
    let mut rig = Rig::new();
    rig.leave_intent("self", 41, false);
    let Some(Order::Broadcast {
        lane: 0,
        bytes,
        token: None,
    }) = rig.orders().pop()
    else {
        panic!("the leave intent was not refuted")
    };
    let refutation = SerfMessage::Join(JoinIntent {
        ltime: 42,
        node: "self",
    });
    assert_eq!(SerfMessage::decode(&bytes), Ok(refutation));
    assert_eq!(rig.shown("self"), MemberState::Alive);
    assert_eq!(rig.serf.common.out.counts.intents_refuted, 1);
}

#[test]
fn a_lamport_time_from_the_far_future_is_refused_and_moves_nothing() {
    let mut rig = Rig::new();
    rig.joins("a", 2);
    rig.orders();
    rig.leave_intent("a", u64::MAX, false);
    rig.join_intent("x", u64::MAX - 1);
    let payload = None;
    let event = UserEvent {
        ltime: 1 << 62,
        name: b"deploy",
        payload,
        coalesce: false,
    };
    rig.receives(&SerfMessage::UserEvent(event));
    let refusals = rig.orders();
    assert_eq!(refusals, vec![Order::Refuse(Refusal::LtimeLeap); 3]);
    assert_eq!(rig.status("a"), Some(SerfStatus::Alive));
    assert_eq!(
        (
            rig.serf.intents.clock.time(),
            rig.serf.events.seen.clock.time()
        ),
        (1, 1)
    );
    assert_eq!(rig.serf.intents.early.len(), 0);
}

#[test]
fn a_user_event_is_passed_on_once_and_carried_in_the_state() {
    let mut rig = Rig::new();
    let event = |ltime, payload| {
        SerfMessage::UserEvent(UserEvent {
            ltime,
            name: b"deploy",
            payload,
            coalesce: true,
        })
    };
    rig.receives(&event(7, Some(b"v2")));
    rig.receives(&event(7, Some(b"v2")));
    rig.receives(&event(7, Some(b"v3")));
    assert_eq!(rig.broadcasts(), [(lane::EVENTS, 3), (lane::EVENTS, 3)]);
    let bytes = rig.serf.encode_state(false);
    let state = SerfPushPull::decode(&bytes).unwrap();
    let events = [b"v2", b"v3"].map(|payload| PastEvent {
        name: b"deploy",
        payload: Some(&payload[..]),
    });
    let events = events.to_vec();
    assert_eq!(state.events, [PastEvents { ltime: 7, events }]);
    assert_eq!(state.event_ltime, 8);
    assert_eq!(rig.serf.common.out.counts.duplicates, 1);
}

#[test]
fn a_query_is_passed_on_once_unless_its_flags_forbid_it() {
    let mut rig = Rig::new();
    let query = |id, flags| {
        SerfMessage::Query(Query {
            ltime: 3,
            id,
            addr: &[10, 0, 0, 9],
            port: 7946,
            source_node: "asker",
            filters: None,
            flags,
            relay_factor: 0,
            timeout_ns: 1_000_000_000,
            name: b"uptime",
            payload: None,
        })
    };
    for message in [
        query(1, 0),
        query(1, 0),
        query(2, 2),
        query(2, 0),
        query(3, 1),
    ] {
        rig.receives(&message);
    }
    assert_eq!(rig.broadcasts(), [(lane::QUERIES, 4), (lane::QUERIES, 4)]);
    assert_eq!(
        (
            rig.serf.queries.seen.clock.time(),
            rig.serf.common.out.counts.duplicates
        ),
        (4, 2)
    );
}

#[test]
fn a_response_is_forwarded_to_members_only() {
    let mut rig = Rig::new();
    rig.joins("asker", 7000);
    let relay = |port, inner| {
        SerfMessage::Relay(Relay {
            addr: &[10, 0, 0, 1],
            port,
            node: "asker",
            inner,
        })
    };
    rig.receives(&relay(7000, b"\x05abc"));
    let to = SocketAddr::from(([10, 0, 0, 1], 7000));
    assert_eq!(
        rig.orders(),
        [Order::SendUser {
            to,
            bytes: b"\x05abc".to_vec()
        }]
    );
    rig.receives(&relay(7001, b"\x05abc"));
    assert_eq!(rig.orders(), []);
    assert_eq!(
        (
            rig.serf.common.out.counts.relays,
            rig.serf.common.out.counts.relays_refused
        ),
        (1, 1)
    );
    for _ in 0..1000 {
        rig.receives(&relay(7000, b"\x05abc"));
    }
    assert!((500..600).contains(&rig.orders().len()));
    rig.now = rig.now + Duration::from_secs(1);
    rig.receives(&relay(7000, b"\x05abc"));
    assert_eq!(rig.orders().len(), 1);
}

#[test]
fn bytes_that_are_not_a_message_are_refused_and_not_passed_on() {
    let mut rig = Rig::new();
    for bytes in [&b""[..], b"\x00", b"\x63abc", b"\x03\xc1"] {
        rig.serf.message_received(rig.now, bytes);
        let orders = rig.orders();
        assert!(
            matches!(orders[..], [Order::Refuse(_)]),
            "{bytes:?}: {orders:?}"
        );
    }
    rig.serf.state_received(rig.now, false, b"\x02\xff\xff");
    assert!(matches!(rig.orders()[..], [Order::Refuse(_)]));
}

#[test]
fn a_push_pull_carries_which_members_have_left() {
    let mut one = Rig::new();
    let mut other = Rig::new();
    for rig in [&mut one, &mut other] {
        for (name, port) in [("alive", 2), ("gone", 3), ("dead", 4)] {
            rig.joins(name, port);
        }
        rig.join_intent("gone", 5);
        rig.reports(Change::Died, "dead", None);
    }
    one.leave_intent("gone", 6, false);
    one.leave_intent("dead", 7, false);
    one.reports(Change::Left, "gone", None);
    one.join_intent("alive", 9);
    other.events();
    other.orders();

    other
        .serf
        .state_received(other.now, false, &one.serf.encode_state(false));

    assert_eq!(
        other.status("gone"),
        Some(SerfStatus::Alive),
        "a member that is present must stay alive"
    );
    assert_eq!(other.status("dead"), Some(SerfStatus::Left));
    assert_eq!(other.status("alive"), Some(SerfStatus::Alive));
    assert_eq!(other.serf.common.members.get("alive").unwrap().ltime, 9);
    assert_eq!(other.broadcasts(), []);
    other.reports(Change::Died, "gone", None);
    other
        .serf
        .state_received(other.now, false, &one.serf.encode_state(false));
    assert_eq!(other.events(), ["leave dead", "fail gone", "leave gone"]);
    assert!(other.serf.intents.clock.time() >= one.serf.intents.clock.time());
}

/// A stock agent lists a left member with the time of its leave, and every stock agent that reads
/// the list adds one to that time. A member that returns refutes with a time above the one that it
/// reads. So the time that it reads from this node must not be lower than the time that other
/// members read from stock agents.
#[test]
fn a_left_member_is_listed_at_the_time_of_its_leave_and_listing_it_again_changes_nothing() {
    let (mut one, mut other) = (Rig::new(), Rig::new());
    for rig in [&mut one, &mut other] {
        rig.joins("gone", 3);
        rig.leave_intent("gone", 6, false);
        rig.reports(Change::Left, "gone", None);
    }
    let bytes = one.serf.encode_state(false);
    let state = SerfPushPull::decode(&bytes).unwrap();
    assert_eq!(state.left_members, ["gone"]);
    assert!(state.status_ltimes.contains(&("gone", 6)));
    other.serf.state_received(other.now, false, &bytes);
    assert_eq!(other.serf.common.members.get("gone").unwrap().ltime, 6);
}

/// A node that missed the return of a member lists it as left, with a time that may be as late as
/// that of the return, or later.
#[test]
fn a_present_member_stays_alive_when_another_node_lists_it_as_left() {
    let mut state = SerfPushPull {
        ltime: 9,
        status_ltimes: vec![("back", 6)],
        left_members: vec!["back"],
        ..SerfPushPull::default()
    };
    let mut rig = Rig::new();
    rig.joins("back", 3);
    rig.leave_intent("back", 6, false);
    rig.reports(Change::Left, "back", None);
    rig.joins("back", 3);
    let mut newcomer = Rig::new();
    for rig in [&mut rig, &mut newcomer] {
        for ltime in [6, 7, 20] {
            state.status_ltimes = vec![("back", ltime)];
            let mut bytes = Vec::new();
            state.encode(&mut bytes);
            rig.serf.state_received(rig.now, false, &bytes);
            rig.joins("back", 3);
            assert_eq!(rig.status("back"), Some(SerfStatus::Alive), "at {ltime}");
        }
        rig.join_intent("back", 7);
        assert_eq!(rig.status("back"), Some(SerfStatus::Alive));
        rig.leave_intent("back", 8, false);
        assert_eq!(rig.status("back"), Some(SerfStatus::Leaving));
        rig.reports(Change::Left, "back", None);
        assert_eq!(rig.status("back"), Some(SerfStatus::Left));
    }
}

#[test]
fn a_left_member_that_announces_its_return_is_not_listed_as_left() {
    let left = |rig: &Rig| {
        let bytes = rig.serf.encode_state(false);
        SerfPushPull::decode(&bytes).unwrap().left_members.len()
    };
    let mut rig = Rig::new();
    rig.joins("a", 3);
    rig.leave_intent("a", 6, false);
    rig.reports(Change::Left, "a", None);
    assert_eq!(left(&rig), 1);
    rig.join_intent("a", 9);
    assert_eq!((left(&rig), rig.status("a")), (0, Some(SerfStatus::Left)));
    rig.leave_intent("a", 10, false);
    assert_eq!(left(&rig), 1, "a later leave intent must cancel the return");
    rig.join_intent("a", 11);
    rig.joins("a", 3);
    rig.leave_intent("a", 12, false);
    rig.reports(Change::Left, "a", None);
    assert_eq!(
        left(&rig),
        1,
        "a member that returned and left again must be listed"
    );
}

#[test]
fn a_state_that_says_this_node_has_left_is_refuted() {
    let mut rig = Rig::new();
    let state = SerfPushPull {
        ltime: 31,
        event_ltime: 21,
        query_ltime: 11,
        status_ltimes: vec![("self", 30)],
        left_members: vec!["self"],
        ..SerfPushPull::default()
    };
    let mut bytes = Vec::new();
    state.encode(&mut bytes);
    rig.serf.state_received(rig.now, false, &bytes);
    assert_eq!(rig.broadcasts(), [JOIN]);
    assert!(rig.serf.common.members.get("self").unwrap().ltime > 31);
    assert_eq!(
        (
            rig.serf.events.seen.clock.time(),
            rig.serf.queries.seen.clock.time()
        ),
        (21, 11)
    );
}

#[test]
fn members_that_failed_or_left_are_erased_after_their_timeouts() {
    let config = Config {
        reconnect_timeout: SECOND * 100,
        tombstone_timeout: SECOND * 200,
        ..Config::default()
    };
    let mut rig = Rig::with(config);
    rig.joins("a", 2);
    rig.joins("b", 3);
    rig.leave_intent("b", 5, false);
    rig.reports(Change::Died, "a", None);
    rig.reports(Change::Left, "b", None);
    rig.events();
    rig.wait(100);
    assert_eq!(rig.events(), Vec::<String>::new());
    rig.wait(15);
    assert_eq!(rig.events(), ["reap a"]);
    rig.wait(85);
    rig.wait(15);
    assert_eq!(rig.events(), ["reap b"]);
    rig.wait(100_000);
    assert_eq!(rig.serf.common.members.len(), 1);
}

#[test]
fn time_in_which_the_process_did_not_run_does_not_count() {
    let mut rig = Rig::new();
    rig.joins("a", 2);
    rig.reports(Change::Died, "a", None);
    rig.leave_intent("x", 5, false);
    rig.events();
    rig.serf.handle_stall(SECOND * 48 * 3600);
    rig.wait(48 * 3600);
    assert_eq!((rig.events().len(), rig.serf.intents.early.len()), (0, 1));
    rig.wait(24 * 3600 + 1);
    assert_eq!(rig.events(), ["reap a"]);
}

#[test]
fn an_update_makes_an_event_only_if_the_tags_or_the_address_changed() {
    let mut rig = Rig::new();
    let web = tags(&[("role", "web"), ("zone", "1")]);
    rig.reports(Change::Joined, "a", Some(&node("a", 2, &web)));
    let version = rig.serf.common.members.version();
    // The same tags, encoded in the other order.
    let mut same = node("a", 2, &web);
    set_meta(&mut same, b"\xff\x82\xa4zone\xa11\xa4role\xa3web");
    rig.reports(Change::Updated, "a", Some(&same));
    assert_eq!(rig.events(), ["join a"]);
    assert!(rig.serf.common.members.version() > version);
    // After a refutation only the incarnation differs.
    Arc::make_mut(&mut same.facts).incarnation = 7;
    rig.reports(Change::Updated, "a", Some(&same));
    assert_eq!(rig.events(), Vec::<String>::new());
    assert_eq!(
        rig.serf.common.members.get("a").unwrap().member.incarnation,
        7
    );
    rig.reports(
        Change::Updated,
        "a",
        Some(&node("a", 2, &tags(&[("role", "db")]))),
    );
    assert_eq!(rig.events(), ["update a"]);
    rig.reports(
        Change::Updated,
        "a",
        Some(&node("a", 3, &tags(&[("role", "db")]))),
    );
    assert_eq!(rig.events(), ["update a"]);
    rig.reports(Change::Updated, "nobody", Some(&node("nobody", 3, &web)));
    assert_eq!(rig.events(), Vec::<String>::new());
}

#[test]
fn the_filter_hides_members_until_they_fit() {
    let filter = MemberFilter {
        require_tags: tags(&[("role", "web")]),
        names: Vec::new(),
    };
    let mut rig = Rig::with(Config {
        filter,
        ..Config::default()
    });
    assert_eq!(rig.serf.common.members.visible().count(), 1);
    let (db, web) = (tags(&[("role", "db")]), tags(&[("role", "web")]));
    rig.reports(Change::Joined, "a", Some(&node("a", 2, &db)));
    rig.reports(Change::Suspected, "a", None);
    rig.reports(Change::Cleared, "a", Some(&node("a", 2, &db)));
    assert_eq!(rig.events(), Vec::<String>::new());
    assert!(rig.orders().contains(&Order::Refuse(Refusal::Filtered)));
    rig.reports(Change::Updated, "a", Some(&node("a", 2, &web)));
    assert_eq!(
        (rig.events(), rig.serf.common.members.visible().count()),
        (vec!["join a".into()], 2)
    );
    rig.reports(Change::Updated, "a", Some(&node("a", 2, &db)));
    assert_eq!(
        (rig.events(), rig.serf.common.members.visible().count()),
        (vec!["reap a".into()], 1)
    );
    rig.orders();
    rig.reports(Change::Died, "a", None);
    assert!(rig.events().is_empty());
    assert!(
        matches!(&rig.orders()[..], [Order::RememberLost { .. }]),
        "a hidden member must be searched for too"
    );
    rig.reports(Change::Joined, "a", Some(&node("a", 2, &web)));
    assert_eq!(rig.events(), ["join a"]);
    rig.reports(Change::Died, "a", None);
    rig.reports(Change::Joined, "a", Some(&node("a", 2, &db)));
    assert_eq!(rig.events(), ["fail a", "reap a"]);
}

#[test]
fn a_leave_sends_its_intent_then_departs_then_lingers() {
    let mut rig = Rig::new();
    rig.joins("a", 2);
    rig.events();
    rig.serf.begin_leave(rig.now);
    let orders = rig.orders();
    let [
        Order::Broadcast {
            lane: 0,
            token: Some(token),
            bytes,
        },
        Order::AnnounceLeave { intent },
    ] = &orders[..]
    else {
        panic!("{orders:?}")
    };
    assert_eq!(bytes, intent);
    assert_eq!(rig.shown("self"), MemberState::Leaving);
    rig.serf.broadcast_done(rig.now, token + 1);
    rig.serf.leave_acked(rig.now);
    assert_eq!(
        rig.orders(),
        [],
        "the departure must wait until the intent has been gossiped"
    );
    rig.serf.broadcast_done(rig.now, *token);
    assert_eq!(rig.orders(), [Order::Leave]);
    rig.serf.departure_gossiped(rig.now);
    rig.wait(1);
    assert_eq!(
        rig.orders(),
        [],
        "the step must wait until every member has acknowledged the departure"
    );
    rig.serf.leave_acked(rig.now);
    assert_eq!(rig.events(), Vec::<String>::new());
    rig.wait(1);
    rig.ends_leave(&["a"]);
    assert_eq!(rig.events(), ["leave self", "left without a"]);
    assert_eq!(rig.shown("self"), MemberState::Left);
    rig.serf.begin_leave(rig.now);
    assert_eq!(rig.events(), ["left without a"]);
}

#[test]
fn a_member_that_becomes_known_during_a_leave_gets_an_intent_with_a_later_time() {
    let mut rig = Rig::new();
    rig.joins("a", 2);
    rig.serf.begin_leave(rig.now);
    rig.orders();
    let held = |rig: &Rig| rig.serf.common.members.get("self").unwrap().ltime;
    let before = held(&rig);
    rig.joins("b", 3);
    let orders = rig.orders();
    let [Order::TellOfLeave { name, intent }] = &orders[..] else {
        panic!("{orders:?}")
    };
    let intent = intent.as_ref().unwrap();
    let expected = LeaveIntent {
        ltime: held(&rig),
        node: "self",
        prune: false,
    };
    assert_eq!(
        SerfMessage::decode(intent),
        Ok(SerfMessage::Leave(expected))
    );
    assert_eq!((&**name, held(&rig) > before), ("b", true));

    let mut rig = Rig::with(Config {
        mode: Mode::Memberlist,
        ..Config::default()
    });
    rig.serf.begin_leave(rig.now);
    rig.orders();
    rig.joins("b", 3);
    let name = "b".into();
    assert_eq!(rig.orders(), [Order::TellOfLeave { name, intent: None }]);
}

#[test]
fn each_step_of_a_leave_waits_for_a_member_that_becomes_known_during_the_leave() {
    let mut rig = Rig::new();
    rig.joins("a", 2);
    rig.serf.begin_leave(rig.now);
    let orders = rig.orders();
    let [
        Order::Broadcast {
            token: Some(token), ..
        },
        _,
    ] = &orders[..]
    else {
        panic!("{orders:?}")
    };
    rig.serf.leave_acked(rig.now);
    rig.joins("b", 3);
    rig.serf.broadcast_done(rig.now, *token);
    assert!(matches!(rig.orders()[..], [Order::TellOfLeave { .. }]));
    rig.serf.leave_acked(rig.now);
    assert_eq!(rig.orders(), [Order::Leave]);

    rig.serf.leave_acked(rig.now);
    rig.joins("c", 4);
    rig.serf.departure_gossiped(rig.now);
    rig.wait(1);
    rig.orders();
    assert_eq!(rig.shown("self"), MemberState::Leaving);
    rig.serf.leave_acked(rig.now);
    rig.joins("d", 5);
    rig.orders();
    rig.wait(2);
    assert_eq!(rig.orders(), [], "the node waits for the ack of d");
    rig.serf.leave_acked(rig.now);
    assert_eq!(rig.orders(), [Order::EndLeave]);

    let mut rig = Rig::new();
    rig.joins("a", 2);
    rig.serf.begin_leave(rig.now);
    rig.wait(5);
    rig.wait(5);
    rig.joins("b", 3);
    rig.orders();
    rig.wait(5);
    assert_eq!(rig.orders(), []);
    rig.wait(1);
    assert_eq!(
        rig.orders(),
        [Order::EndLeave],
        "a silent member is not awaited for ever"
    );
}

#[test]
fn a_leave_goes_on_when_its_announcements_do_not_spread() {
    let mut rig = Rig::new();
    rig.joins("a", 2);
    rig.events();
    let (first, second) = (rig.serf.begin_leave(rig.now), rig.serf.begin_leave(rig.now));
    assert_ne!(first, second);
    rig.wait(4);
    assert_eq!(rig.orders().len(), 2);
    rig.wait(1);
    assert_eq!(rig.orders(), [Order::Leave]);
    rig.wait(5);
    rig.wait(1);
    rig.ends_leave(&[]);
    assert_eq!(rig.events(), ["leave self", "left", "left"]);
}

#[test]
fn a_leave_without_other_members_ends_when_the_swim_machine_says_so() {
    for mode in [Mode::Serf, Mode::Memberlist] {
        let mut rig = Rig::with(Config {
            mode,
            ..Config::default()
        });
        rig.serf.begin_leave(rig.now);
        assert_eq!(rig.orders(), [Order::Leave]);
        rig.serf.departure_gossiped(rig.now);
        rig.serf.leave_acked(rig.now);
        rig.ends_leave(&[]);
        assert_eq!(rig.events(), ["leave self", "left"]);
    }
}

#[test]
fn a_join_cancels_a_leave_whatever_step_it_is_in() {
    let mut rig = Rig::new();
    rig.joins("a", 2);
    rig.events();
    rig.serf.begin_leave(rig.now);
    let left_at = rig.serf.common.members.get("self").unwrap().ltime;
    assert!(rig.serf.cancel_leave(rig.now));
    assert_eq!(
        (rig.events(), rig.shown("self")),
        (vec!["cancelled".into()], MemberState::Alive)
    );
    // A peer that learns of the leave by push/pull adds one to its time: the join is later still.
    assert!(rig.serf.common.members.get("self").unwrap().ltime > left_at + 1);

    rig.serf.begin_leave(rig.now);
    rig.wait(5);
    assert!(rig.serf.cancel_leave(rig.now));
    assert_eq!(rig.events(), ["cancelled"]);

    rig.serf.begin_leave(rig.now);
    for seconds in [5, 5, 1] {
        rig.wait(seconds);
    }
    rig.ends_leave(&[]);
    assert_eq!(rig.events(), ["leave self", "left"]);
    assert!(rig.serf.cancel_leave(rig.now));
    assert_eq!(rig.events(), ["join self"]);
    assert!(!rig.serf.cancel_leave(rig.now));
}

#[test]
fn a_join_is_announced_only_if_it_reached_a_node() {
    let mut rig = Rig::new();
    let report = |contacted| JoinReport {
        reached_another: contacted > 0,
        contacted,
        failures: Vec::new(),
    };
    rig.serf.join_done(rig.now, OpId(1), report(0));
    assert_eq!(
        (rig.broadcasts(), rig.events()),
        (vec![], vec!["joined".into()])
    );
    rig.serf.join_done(rig.now, OpId(2), report(2));
    assert_eq!(
        (rig.broadcasts(), rig.events()),
        (vec![JOIN], vec!["joined".into()])
    );
}

#[test]
fn a_name_conflict_is_reported_once_and_only_when_it_is_certain() {
    let mut rig = Rig::new();
    let (first, late) = (
        "10.9.9.9:7946".parse().unwrap(),
        "10.8.8.8:7946".parse().unwrap(),
    );
    rig.serf.name_claimed(rig.now, "a", first, true, true);
    rig.serf.name_claimed(rig.now, "self", late, false, true);
    rig.serf.name_claimed(rig.now, "self", first, true, true);
    rig.serf.conflicts.name_accepted();
    rig.wait(20);
    rig.serf.name_claimed(rig.now, "self", first, true, true);
    assert_eq!(rig.events(), ["claimed 10.9.9.9:7946"]);
    rig.wait(60);
    rig.serf.name_claimed(rig.now, "self", late, true, true);
    rig.serf.name_claimed(rig.now, "self", first, false, true);
    // A dead node may be an earlier run of this one.
    rig.serf.name_claimed(rig.now, "self", first, true, false);
    assert_eq!(rig.events(), Vec::<String>::new());
    rig.serf.name_claimed(rig.now, "self", first, true, true);
    rig.serf.name_claimed(rig.now, "self", first, true, true);
    assert_eq!(rig.events(), ["conflict 10.9.9.9:7946"]);
    assert_eq!(
        (
            rig.serf.common.out.counts.conflicts,
            rig.serf.common.out.counts.conflicts_self
        ),
        (9, 8)
    );
}

#[test]
fn a_node_that_claims_the_name_after_a_join_came_second() {
    let mut rig = Rig::new();
    rig.serf.conflicts.name_accepted();
    for _ in 0..10 {
        rig.serf.name_claimed(
            rig.now,
            "self",
            "10.9.9.9:7946".parse().unwrap(),
            true,
            true,
        );
        rig.wait(100);
    }
    assert_eq!(rig.events(), Vec::<String>::new());
}

/// Here the owner of the name leaves. If this node refuted the intent, members would take the leave
/// for a failure.
#[test]
fn a_node_whose_name_is_taken_does_not_speak_for_the_owner() {
    for verdict in [ConflictVerdict::Alive, ConflictVerdict::Silent] {
        let mut rig = Rig::new();
        rig.is_claimed(verdict);
        assert_eq!(
            rig.serf.is_name_taken(),
            verdict == ConflictVerdict::Alive,
            "an owner that does not answer this node is not certain"
        );
        rig.orders();
        rig.leave_intent("self", 9, false);
        assert_eq!(
            rig.broadcasts(),
            [LEAVE],
            "the intent of the owner is passed on"
        );
        let report = JoinReport {
            contacted: 1,
            ..JoinReport::default()
        };
        rig.serf.join_done(rig.now, OpId(1), report);
        assert_eq!(rig.broadcasts(), []);
        rig.is_free();
        assert_eq!(rig.broadcasts(), [JOIN]);
    }
}

/// The vote of a member that lists the name at this address, without tags.
pub(super) fn vote(name: &str, listed: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(listed) = listed else {
        panic!("{listed}")
    };
    ConflictResponse::encoded(Some(&ConflictResponse {
        name,
        addr: &listed.ip().octets(),
        port: listed.port(),
        tags: b"\x80",
        status: 1,
        protocol_min: 1,
        protocol_max: 5,
        protocol_cur: 2,
        delegate_min: 2,
        delegate_max: 5,
        delegate_cur: 5,
    }))
}

/// Answers of the members in a vote about the name of this node.
fn votes(rig: &mut Rig, voters: &[(&str, SocketAddr)]) {
    for (from, listed) in voters {
        rig.answers_vote(from, &vote("self", *listed));
    }
}

/// A node that was accepted, and whose name the node at [`OTHER`] has as well. It has called a
/// vote, which the members `b`, `c`, `d` and `e` have not answered yet.
fn voting() -> Rig {
    let mut rig = Rig::new();
    for (port, name) in (2..).zip(["b", "c", "d", "e"]) {
        rig.joins(name, port);
    }
    rig.serf.conflicts.name_accepted();
    rig.events();
    rig.orders();
    rig.is_claimed(ConflictVerdict::Alive);
    assert_eq!(rig.calls_votes(), 1);
    rig.events();
    rig
}

const OTHER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 9, 9, 9)), 7946);
const OWN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 1);

#[test]
fn a_node_keeps_its_name_with_a_majority_of_the_votes_and_loses_it_without_one() {
    for (voters, outcome, taken) in [
        ("OOOX", "vote 3 of 4, kept: true", false),
        ("OXXX", "vote 1 of 4, kept: false", true),
        ("OOXX", "vote 2 of 4, kept: true", false),
        ("XXXX", "vote 0 of 4, kept: false", true),
    ] {
        let mut rig = voting();
        let listed = |vote| if vote == 'O' { OWN } else { OTHER };
        let voters = voters.chars().map(listed);
        let voters: Vec<_> = ["b", "c", "d", "e"].into_iter().zip(voters).collect();
        votes(&mut rig, &voters);
        let conflict = format!("conflict {OTHER}");
        let expected: &[&str] = match taken {
            true => &[outcome, &conflict],
            false => &[outcome],
        };
        assert_eq!(rig.ends_vote(), expected);
        assert_eq!(rig.serf.is_name_taken(), taken);
        assert_eq!(rig.serf.is_name_disputed(rig.now), taken);
    }
}

#[test]
fn members_that_do_not_answer_or_do_not_know_the_name_do_not_hinder_a_vote() {
    let mut rig = voting();
    rig.wait(60);
    assert_eq!(rig.ends_vote(), ["vote 0 of 0, kept: true"]);
    let mut rig = voting();
    votes(&mut rig, &[("b", OWN), ("c", OWN)]);
    rig.answers_vote("d", &ConflictResponse::encoded(None));
    assert_eq!(rig.events(), [""; 0], "a member may still answer");
    rig.wait(60);
    assert_eq!(rig.ends_vote(), ["vote 2 of 3, kept: true"]);
}

#[test]
fn only_members_that_are_present_have_a_vote_and_each_has_one() {
    let mut rig = voting();
    rig.reports(Change::Died, "e", None);
    rig.events();
    for voter in ["stranger", "self", "e"] {
        votes(&mut rig, &[(voter, OTHER)]);
    }
    rig.answers_vote("d", b"\x06\xff");
    votes(
        &mut rig,
        &[("b", OWN), ("b", OTHER), ("c", OWN), ("d", OWN)],
    );
    let refusal = Order::Refuse(Refusal::Msgpack);
    assert!(rig.orders().contains(&refusal));
    assert_eq!(rig.serf.common.out.counts.votes_refused, 3);
    rig.wait(60);
}

/// An agent quits with half of the votes. If the other node still answers at the next vote, it is
/// no agent, and counts in the same way.
#[test]
fn at_a_second_tie_the_node_with_the_lower_address_keeps_the_name() {
    let mut rig = voting();
    let tie = [("b", OWN), ("c", OWN), ("d", OTHER), ("e", OTHER)];
    votes(&mut rig, &tie);
    assert_eq!(rig.ends_vote(), ["vote 2 of 4, kept: true"]);
    rig.wait(30);
    rig.is_claimed(ConflictVerdict::Alive);
    assert_eq!(rig.calls_votes(), 1);
    votes(&mut rig, &tie);
    assert!(OWN < OTHER);
    assert_eq!(rig.ends_vote(), ["vote 2 of 4, kept: true"]);
    let other_wins = Tally {
        own: OTHER,
        other: OWN,
        answers: 4,
        for_own: 2,
    };
    let mut conflicts = Conflicts::default();
    let common = &mut rig.serf.common;
    conflicts.on_vote(rig.now, common, &other_wins);
    conflicts.on_vote(rig.now, common, &other_wins);
    let conflict = format!("conflict {OWN}");
    let (kept, lost) = ("vote 2 of 4, kept: true", "vote 2 of 4, kept: false");
    assert_eq!(rig.events(), [kept, lost, &conflict]);
}

#[test]
fn a_vote_is_called_by_an_accepted_node_only_and_not_more_often_than_every_thirty_seconds() {
    let mut rig = Rig::new();
    rig.joins("b", 2);
    rig.is_claimed(ConflictVerdict::Alive);
    assert_eq!(rig.calls_votes(), 0, "the other node was first");
    let mut rig = voting();
    for seconds in [2, 27] {
        rig.wait(seconds);
        rig.is_claimed(ConflictVerdict::Alive);
        let elsewhere = "10.9.9.8:7946".parse().unwrap();
        rig.serf.name_taken(rig.now, elsewhere);
        assert_eq!(rig.calls_votes(), 0);
    }
    rig.wait(1);
    rig.is_claimed(ConflictVerdict::Alive);
    assert_eq!(rig.calls_votes(), 1);
    let mut rig = Rig::with(Config {
        mode: Mode::Memberlist,
        ..Config::default()
    });
    rig.serf.conflicts.name_accepted();
    rig.is_claimed(ConflictVerdict::Alive);
    assert_eq!(rig.calls_votes(), 0, "memberlist has no votes");
}

/// The other node may have lost its own vote, and have quit.
#[test]
fn a_vote_is_void_if_the_other_node_is_gone_or_this_node_leaves() {
    for leaves in [false, true] {
        let mut rig = voting();
        match leaves {
            true => drop(rig.serf.begin_leave(rig.now)),
            false => rig.is_free(),
        }
        rig.events();
        votes(&mut rig, &["b", "c", "d", "e"].map(|name| (name, OTHER)));
        assert_eq!(rig.ends_vote(), [""; 0]);
        assert_eq!(rig.serf.common.out.counts.votes_lost, 0);
    }
}

/// This node knows the name `self` at the address of another node.
#[test]
fn the_vote_of_a_node_that_shares_its_name_with_a_member_is_answered_to_its_address() {
    let mut rig = Rig::new();
    rig.joins("b", 3);
    rig.orders();
    let claimant: SocketAddr = "10.0.0.9:9".parse().unwrap();
    let mut heeded = 0;
    let mut asks = |rig: &mut Rig, ltime, source_node, payload| {
        rig.receives(&SerfMessage::Query(Query {
            source_node,
            addr: &[10, 0, 0, 9],
            port: 9,
            flags: 1,
            relay_factor: 3,
            ..query(ltime, b"_serf_conflict", Some(payload))
        }));
        let mut to = |order: &Order| match order {
            Order::SendUser { to, .. } => *to == claimant,
            Order::SendThrough { .. } => true,
            Order::HeedClaim { addr } => {
                assert_eq!((*addr, source_node), (claimant, "self"));
                heeded += 1;
                false
            }
            _ => false,
        };
        rig.orders().iter().filter(|order| to(order)).count()
    };
    assert_eq!(asks(&mut rig, 1, "b", b"b"), 1, "an answer, without an ack");
    assert_eq!(asks(&mut rig, 2, "b", b"self"), 0);
    assert_eq!(asks(&mut rig, 3, "self", b"self"), 0);
    assert_eq!(asks(&mut rig, 4, "unknown", b"unknown"), 0);
    let answered: usize = (5..25).map(|ltime| asks(&mut rig, ltime, "b", b"b")).sum();
    assert_eq!(answered, 7, "one in this second was answered before");
    let networks = vec!["10.1.0.0/16".parse().unwrap()];
    rig.serf.common.config.swim.cidrs_allowed = networks;
    rig.wait(2);
    assert_eq!(asks(&mut rig, 30, "b", b"b"), 0);
    assert_eq!(heeded, 1);
}

#[test]
fn the_owner_of_a_name_is_followed_when_it_moves() {
    let (first, second) = (
        "10.9.9.9:7946".parse().unwrap(),
        "10.9.9.9:8000".parse().unwrap(),
    );
    let alive = |addr| {
        let verdict = ConflictVerdict::Alive;
        Some(NameConflict { addr, verdict })
    };
    let mut rig = Rig::new();
    rig.serf.name_claimed(rig.now, "self", first, true, true);
    rig.serf.name_claimed(rig.now, "self", second, true, true);
    assert_eq!(rig.serf.conflicts.owner(alive(second)), Some(second));
    assert_eq!(rig.serf.conflicts.owner(alive(first)), None);
}

#[test]
fn the_time_of_a_leave_without_an_intent_is_above_that_of_the_join() {
    let mut rig = Rig::new();
    rig.joins("a", 2);
    rig.join_intent("a", 5);
    rig.reports(Change::Left, "a", None);
    assert!(rig.serf.has_left("a"));
    assert_eq!(rig.serf.common.members.get("a").unwrap().ltime, 6);
    rig.join_intent("a", 8);
    assert!(!rig.serf.has_left("a"), "it is returning");
}

/// While the node was away, another node took its name.
#[test]
fn after_a_leave_the_name_may_belong_to_another_node() {
    let other = "10.9.9.9:7946".parse().unwrap();
    let alive = NameConflict {
        addr: other,
        verdict: ConflictVerdict::Alive,
    };
    let mut rig = Rig::new();
    rig.serf.conflicts.name_accepted();
    rig.serf.begin_leave(rig.now);
    rig.wait(60);
    rig.serf.cancel_leave(rig.now);
    rig.serf.name_claimed(rig.now, "self", other, true, true);
    assert_eq!(rig.serf.conflicts.owner(Some(alive)), Some(other));
}

/// A node whose restart gave it another address must be able to leave: peers that list the old
/// address as dead would otherwise see a failure.
#[test]
fn only_an_address_listed_as_alive_makes_a_leave_silent() {
    let other = "10.9.9.9:7946".parse().unwrap();
    let disputed = |rig: &Rig, verdict| {
        let conflict = NameConflict {
            addr: other,
            verdict,
        };
        let serf = &rig.serf;
        serf.conflicts
            .is_name_disputed(rig.now, &serf.common, Some(conflict))
    };
    let mut rig = Rig::new();
    rig.serf.name_claimed(rig.now, "self", other, true, false);
    assert!(
        disputed(&rig, ConflictVerdict::Asked),
        "it may still answer"
    );
    assert!(!disputed(&rig, ConflictVerdict::Silent));
    rig.serf.name_claimed(rig.now, "self", other, false, true);
    assert!(disputed(&rig, ConflictVerdict::Silent));
}

#[test]
fn tags_that_cannot_be_decoded_count_as_no_tags() {
    let mut rig = Rig::new();
    let mut odd = node("a", 2, &Tags::new());
    set_meta(&mut odd, b"\xff\xc1");
    rig.reports(Change::Joined, "a", Some(&odd));
    assert_eq!(rig.events(), ["join a"]);
    assert!(
        rig.serf
            .common
            .members
            .get("a")
            .unwrap()
            .member
            .tags()
            .is_empty()
    );
    assert!(matches!(rig.orders()[..], [Order::Refuse(_)]));
}

#[test]
fn a_join_intent_about_this_node_moves_its_time_and_is_passed_on() {
    let mut rig = Rig::new();
    rig.join_intent("self", 41);
    assert_eq!(
        rig.broadcasts(),
        [(0, crate::wire::serf_message::kind::JOIN)]
    );
    assert_eq!(rig.serf.common.members.get("self").unwrap().ltime, 41);
    rig.join_intent("self", 41);
    assert!(rig.broadcasts().is_empty());
}

#[test]
fn a_nodes_own_leave_intent_that_comes_back_is_not_passed_on_again() {
    let mut rig = Rig::new();
    rig.joins("other", 2);
    rig.orders();
    rig.serf.begin_leave(rig.now);
    let broadcasts = rig.broadcasts();
    assert_eq!(broadcasts.len(), 1);
    let ltime = rig.serf.common.members.get("self").unwrap().ltime;
    rig.leave_intent("self", ltime, false);
    assert!(rig.broadcasts().is_empty());
}
