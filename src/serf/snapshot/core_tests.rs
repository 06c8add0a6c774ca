//! The snapshot of a node, tested on the Serf state alone: reports and messages go in, lines come
//! out; and what a node makes of the snapshot of an earlier run.

use crate::serf::shared::outbox::Order;
use crate::serf::tests::{Rig, node, tags};
use crate::serf::{Config, FormerMember, MemberFilter, Numbers, Past, Tags};
use crate::swim::{Change, LostSince, OpId};
use crate::wire::serf_message::{
    LeaveIntent, PastEvent, PastEvents, SerfMessage, SerfPushPull, UserEvent,
};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

fn addr(port: u16) -> SocketAddr {
    ([10, 0, 0, 1], port).into()
}

/// A node that resumes from this past.
fn resumed(past: Past) -> Rig {
    Rig::with(Config {
        past: Some(past),
        ..Config::default()
    })
}

/// The past of a node that had the member `a`, and the member `b`, which had failed.
fn past() -> Past {
    let former = |port, had_failed| FormerMember {
        addr: addr(port),
        had_failed,
    };
    Past {
        members: BTreeMap::from([
            ("a".into(), former(2, false)),
            ("b".into(), former(3, true)),
            ("self".into(), former(1, false)),
        ]),
        numbers: Numbers {
            intent: 10,
            event: 20,
            query: 30,
            incarnation: 4,
        },
        ..Past::default()
    }
}

impl Rig {
    /// Writes the snapshot, and returns its lines.
    fn lines(&mut self) -> Vec<String> {
        self.now = self.now + Duration::from_secs(1);
        let snapshot = self.serf.common.snapshot.as_mut().unwrap();
        let Some(write) = snapshot.write(self.now) else {
            return Vec::new();
        };
        snapshot.on_written(self.now, &write, true);
        let text = String::from_utf8(write.bytes).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Receives the state of another node, which holds these user events.
    fn receives_state(&mut self, events: &[(u64, &'static [u8])]) {
        let slot = |&(ltime, name): &(u64, &'static [u8])| PastEvents {
            ltime,
            events: vec![PastEvent {
                name,
                payload: None,
            }],
        };
        let state = SerfPushPull {
            event_ltime: events.iter().map(|it| it.0 + 1).max().unwrap_or_default(),
            events: events.iter().map(slot).collect(),
            ..SerfPushPull::default()
        };
        let mut bytes = Vec::new();
        state.encode(&mut bytes);
        self.serf.state_received(self.now, true, &bytes);
    }
}

#[test]
fn a_member_is_recorded_when_it_joins_moves_fails_returns_and_leaves() {
    let mut rig = resumed(Past::default());
    assert_eq!(rig.lines(), [""; 0], "this node itself is not recorded");
    rig.joins("a", 2);
    assert_eq!(rig.lines(), ["alive: a 10.0.0.1:2"]);
    let moved = node("a", 5, &Tags::new());
    rig.reports(Change::Updated, "a", Some(&moved));
    assert_eq!(rig.lines(), ["alive: a 10.0.0.1:5"]);
    rig.reports(Change::Suspected, "a", Some(&moved));
    rig.reports(Change::Cleared, "a", Some(&moved));
    assert_eq!(rig.lines(), [""; 0]);
    rig.reports(Change::Died, "a", Some(&moved));
    assert_eq!(rig.lines(), ["not-alive: a", "# failed: a 10.0.0.1:5"]);
    rig.joins("a", 5);
    assert_eq!(rig.lines(), ["alive: a 10.0.0.1:5"]);
    rig.reports(Change::Left, "a", Some(&moved));
    assert_eq!(rig.lines(), ["not-alive: a"]);
}

#[test]
fn a_failed_member_is_dropped_when_it_is_removed_or_given_up() {
    let mut rig = resumed(Past::default());
    for name in ["a", "b"] {
        rig.joins(name, 2);
        rig.reports(Change::Died, name, None);
    }
    rig.lines();
    let (ltime, node, prune) = (5, "a", false);
    rig.receives(&SerfMessage::Leave(LeaveIntent { ltime, node, prune }));
    assert_eq!(rig.lines(), ["not-alive: a"]);
    rig.wait(24 * 3600 + 60);
    assert_eq!(rig.lines(), ["not-alive: b"]);
}

#[test]
fn hidden_members_are_recorded_as_well() {
    let mut rig = Rig::with(Config {
        past: Some(Past::default()),
        filter: MemberFilter {
            require_tags: tags(&[("role", "web")]),
            ..MemberFilter::default()
        },
        ..Config::default()
    });
    rig.joins("a", 2);
    assert_eq!(rig.events(), [""; 0]);
    assert_eq!(rig.lines(), ["alive: a 10.0.0.1:2"]);
}

#[test]
fn the_clocks_are_recorded_and_go_on_in_the_next_run() {
    let mut rig = resumed(past());
    let event = UserEvent {
        ltime: 25,
        name: b"deploy",
        payload: None,
        coalesce: false,
    };
    rig.receives(&SerfMessage::UserEvent(event));
    rig.serf.note_numbers(5);
    assert_eq!(rig.lines(), ["event-clock: 25", "# incarnation: 5"]);
    assert_eq!(rig.serf.intents.clock.time(), 11);
    assert_eq!(rig.serf.events.seen.clock.time(), 26);
    assert_eq!(rig.serf.queries.seen.clock.time(), 31);
}

#[test]
fn the_members_of_the_earlier_run_are_searched_for_and_this_node_is_not() {
    let config = Config {
        past: Some(past()),
        ..Config::default()
    };
    let now = crate::time::Time::ZERO;
    let mut serf = crate::serf::SerfState::new(config, "self".into(), now);
    let orders = std::iter::from_fn(|| serf.common.out.orders.pop());
    let orders = orders.filter(|order| !matches!(order, Order::SetAckPayload(_)));
    let lost = |name: &str, port, had_failed| Order::RememberLost {
        name: name.into(),
        addr: addr(port),
        since: LostSince::EarlierRun { had_failed },
    };
    let expected = [lost("a", 2, false), lost("b", 3, true)];
    assert_eq!(orders.collect::<Vec<_>>(), expected);
}

#[test]
fn the_search_for_a_member_of_the_earlier_run_ends_when_it_joins_or_after_a_day() {
    let mut rig = resumed(past());
    rig.joins("a", 2);
    let name = "a".into();
    assert!(rig.orders().contains(&Order::ForgetLost { name }));
    assert_eq!(rig.lines(), ["alive: a 10.0.0.1:2"]);
    rig.wait(24 * 3600 + 60);
    let name = "b".into();
    assert!(rig.orders().contains(&Order::ForgetLost { name }));
    assert_eq!(rig.lines(), ["not-alive: b"]);
}

#[test]
fn a_node_that_resumes_gets_the_events_that_it_missed_and_no_others() {
    let mut rig = resumed(past());
    rig.serf.replay.join_begun(OpId(1));
    rig.receives_state(&[(19, b"old"), (20, b"last"), (21, b"missed")]);
    assert_eq!(rig.events(), ["user missed "]);
    let mut rig = resumed(Past::default());
    rig.receives_state(&[(21, b"before")]);
    assert_eq!(rig.events(), [""; 0], "a new node joins");
}

#[test]
fn a_leave_is_recorded_and_a_return_records_the_members_again() {
    let mut rig = resumed(Past::default());
    rig.joins("a", 2);
    rig.serf.note_numbers(1);
    rig.lines();
    rig.serf.begin_leave(rig.now);
    rig.serf.note_numbers(1);
    assert_eq!(rig.lines(), ["clock: 1", "leave"]);
    assert!(rig.serf.cancel_leave(rig.now));
    rig.serf.note_numbers(2);
    let expected = ["alive: a 10.0.0.1:2", "clock: 3", "# incarnation: 2"];
    assert_eq!(rig.lines(), expected);
}
