//! The rules of user events and queries, tested on the Serf state alone.

use super::queries::asked_query::Purpose;
use super::queries::request::{Content, QueryOptions, QuerySender};
use super::shared::outbox::{Order, lane};
use super::tests::{Rig, SECOND, node, tags, vote};
use super::user_events::user_event::OwnEvent;
use super::{CommandError, Config};
use crate::event::Coalescing;
use crate::limits;
use crate::swim::{Change, OpId};
use crate::wire::Refusal;
use crate::wire::query_filter::{NodeNames, QueryFilter, TagFilter};
use crate::wire::serf_message::{
    PastEvent, PastEvents, Query, QueryResponse, Relay, SerfMessage, SerfPushPull, UserEvent,
};
use std::net::SocketAddr;
use std::time::Duration;

const OWN: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)),
    1,
);

fn event(ltime: u64, name: &[u8]) -> SerfMessage<'_> {
    SerfMessage::UserEvent(UserEvent {
        ltime,
        name,
        payload: Some(b"x"),
        coalesce: false,
    })
}

fn query(ltime: u64) -> Query<'static> {
    super::tests::query(ltime, b"uptime", None)
}

fn asker() -> SocketAddr {
    "10.0.0.1:3".parse().unwrap()
}

/// A node that knows the member `b`.
fn rig() -> Rig {
    let mut rig = Rig::new();
    rig.joins("b", 3);
    rig.events();
    rig.orders();
    rig
}

impl Rig {
    fn sends(&mut self, name: &str, payload: &[u8]) -> Result<(), CommandError> {
        let (events, common) = (&mut self.serf.events, &mut self.serf.common);
        let event = OwnEvent::new(name, payload, Coalescing::Forbidden);
        events.take(event, common.config.user_event_bytes)?;
        assert!(events.send_next(self.now, common));
        Ok(())
    }

    /// Drives the clock of queries to its end.
    fn wears_out_query_clock(&mut self) {
        let (clock, out) = (&mut self.serf.queries.seen.clock, &mut self.serf.common.out);
        while clock.time() < u64::MAX {
            let seen = clock.time().saturating_add(limits::LTIME_LEAP);
            assert!(clock.witness(out, seen));
        }
    }

    fn asks(&mut self, number: u64, options: &QueryOptions) -> Result<(), CommandError> {
        self.asks_for(number, "load", options)
    }

    fn asks_for(
        &mut self,
        number: u64,
        name: &str,
        options: &QueryOptions,
    ) -> Result<(), CommandError> {
        self.asks_as(number, 77, name, options)
    }

    fn asks_as(
        &mut self,
        number: u64,
        id: u32,
        name: &str,
        options: &QueryOptions,
    ) -> Result<(), CommandError> {
        let sender = QuerySender {
            id,
            addr: OWN,
            room: 1300,
        };
        let content = Content {
            name: name.as_bytes(),
            payload: b"",
            is_internal: false,
        };
        let purpose = Purpose::Application { number };
        self.serf.ask(self.now, purpose, content, options, sender)
    }

    /// A member answers a query of this node, or acknowledges it if `flags` is 1.
    fn hears(&mut self, ltime: u64, from: &str, flags: u32) {
        self.receives(&SerfMessage::QueryResponse(QueryResponse {
            ltime,
            id: 77,
            from,
            flags,
            payload: (flags == 0).then_some(b"ok"),
        }));
    }

    /// Returns the messages that were sent to one address since the last call.
    fn sent_to(&mut self, wanted: SocketAddr) -> Vec<Vec<u8>> {
        let sent = |order| match order {
            Order::SendUser { to, bytes } if to == wanted => Some(bytes),
            _ => None,
        };
        self.orders().into_iter().filter_map(sent).collect()
    }
}

#[test]
fn a_user_event_is_delivered_once_and_passed_on_once() {
    let mut rig = rig();
    rig.receives(&event(1, b"deploy"));
    rig.receives(&event(1, b"deploy"));
    assert_eq!(rig.events(), ["user deploy x"]);
    assert_eq!(rig.broadcasts(), [(lane::EVENTS, 3)]);
    rig.receives(&event(1, b"other"));
    rig.receives(&event(2, b"\xff"));
    assert_eq!(rig.events(), ["user other x", "user \\xff x"]);
}

#[test]
fn the_name_of_an_event_that_is_not_text_can_be_restored_and_sent_again() {
    let mut rig = rig();
    rig.receives(&event(1, b"a\xff\0"));
    rig.receives(&event(2, br"a\xff\x00"));
    let names = [r"a\xff\x00", r"a\x5cxff\x5cx00"];
    assert_eq!(rig.events(), names.map(|name| format!("user {name} x")));
    rig.orders();
    rig.sends(names[0], b"x").unwrap();
    let Some(Order::Broadcast { bytes, .. }) = rig.orders().pop() else {
        panic!("no broadcast");
    };
    let Ok(SerfMessage::UserEvent(sent)) = SerfMessage::decode(&bytes) else {
        panic!("not a user event");
    };
    assert_eq!(sent.name, b"a\xff\0");
}

#[test]
fn a_user_event_is_passed_on_at_once_and_delivered_after_earlier_ones() {
    let mut rig = rig();
    rig.receives(&event(2, b"later"));
    assert_eq!(rig.events().len(), 0);
    assert_eq!(rig.broadcasts(), [(lane::EVENTS, 3)]);
    rig.receives(&event(1, b"earlier"));
    assert_eq!(rig.events(), ["user earlier x", "user later x"]);
    rig.receives(&event(4, b"alone"));
    assert_eq!(rig.events().len(), 0);
    let (deadline, gossip_time) = (rig.serf.deadline(), rig.serf.common.gossip_time(4));
    assert_eq!(deadline, rig.now + gossip_time);
    rig.orders();
    rig.serf.handle_timeout(deadline);
    assert_eq!(
        (rig.events().len(), rig.orders()),
        (0, vec![Order::PushPull])
    );
    rig.serf.handle_timeout(deadline + gossip_time);
    assert_eq!(rig.events(), ["user alone x"]);
}

#[test]
fn a_user_event_of_this_node_is_delivered_here_and_has_the_next_time() {
    let mut rig = rig();
    rig.receives(&event(4, b"deploy"));
    rig.events();
    rig.orders();
    assert_eq!(rig.sends("mine", b"y"), Ok(()));
    assert_eq!(rig.events(), ["user mine y"]);
    let [Order::Broadcast { lane, bytes, .. }] = &rig.orders()[..] else {
        panic!("the orders are not one broadcast");
    };
    let expected = SerfMessage::UserEvent(UserEvent {
        ltime: 5,
        name: b"mine",
        payload: Some(b"y"),
        coalesce: false,
    });
    assert_eq!(
        (*lane, SerfMessage::decode(bytes)),
        (lane::EVENTS, Ok(expected))
    );
    assert_eq!(rig.serf.events.seen.clock.time(), 6);
}

#[test]
fn a_user_event_that_is_too_large_changes_nothing() {
    let mut rig = rig();
    let long = [0; 600];
    assert!(matches!(
        rig.sends("e", &long),
        Err(CommandError::EventTooLarge { content: 601, max: 512, len }) if len > 601
    ));
    assert_eq!((rig.events().len(), rig.orders().len()), (0, 0));
    assert_eq!(rig.serf.events.seen.clock.time(), 1);
    assert_eq!(rig.sends("e", &long[..440]), Ok(()));
}

#[test]
fn a_join_leaves_out_earlier_user_events_unless_they_are_to_be_replayed() {
    let mut sender = Rig::new();
    sender.sends("early", b"").unwrap();
    let state = sender.serf.encode_state(false);
    for (replay_events, join, expected) in [(false, true, 0), (true, true, 1), (false, false, 1)] {
        let mut rig = Rig::with(Config {
            replay_events,
            ..Config::default()
        });
        let stranger = Rig::new();
        let nothing = stranger.serf.encode_state(true);
        rig.serf.state_received(rig.now, false, &nothing);
        rig.serf.replay.join_begun(OpId(1));
        rig.serf.state_received(rig.now, join, &state);
        assert_eq!(rig.events().len(), expected, "{replay_events} {join}");
        assert_eq!(rig.broadcasts(), []);
        rig.receives(&event(2, b"later"));
        assert_eq!(rig.events(), ["user later x"]);
    }
}

#[test]
fn a_state_that_claims_a_time_far_ahead_hides_no_later_events() {
    let mut rig = Rig::new();
    let state = SerfPushPull {
        event_ltime: u64::MAX,
        ..SerfPushPull::default()
    };
    let mut bytes = Vec::new();
    state.encode(&mut bytes);
    rig.serf.replay.join_begun(OpId(1));
    rig.serf.state_received(rig.now, true, &bytes);
    let refused = Order::Refuse(Refusal::LtimeLeap);
    assert!(rig.orders().contains(&refused));
    rig.receives(&event(1, b"first"));
    assert_eq!(rig.events(), ["user first x"]);
    rig.receives(&event(3, b"third"));
    assert_eq!(rig.events(), [""; 0], "the order goes on");
    rig.receives(&event(2, b"second"));
    assert_eq!(rig.events(), ["user second x", "user third x"]);
    assert_eq!(rig.serf.common.out.counts.user_events_held, 1);
}

#[test]
fn the_state_of_a_joining_node_ends_the_wait_for_earlier_events_if_its_time_is_believed() {
    let mut rig = Rig::new();
    rig.receives(&event(3, b"third"));
    assert_eq!(rig.events(), [""; 0]);
    let state = SerfPushPull {
        event_ltime: 1 << 40,
        ..SerfPushPull::default()
    };
    let mut bytes = Vec::new();
    state.encode(&mut bytes);
    rig.serf.state_received(rig.now, false, &bytes);
    assert_eq!(rig.events(), [""; 0], "the first may be on its way to both");
    rig.serf.state_received(rig.now, true, &bytes);
    assert_eq!(rig.events(), ["user third x"]);
    let refused = Order::Refuse(Refusal::LtimeLeap);
    assert!(!rig.orders().contains(&refused));
}

#[test]
fn messages_that_no_agent_sends_are_refused_because_of_their_length() {
    let mut rig = rig();
    let long = vec![0; 70_000];
    rig.receives(&SerfMessage::Query(Query {
        payload: Some(&long),
        ..query(1)
    }));
    let event_of = |len: usize| {
        SerfMessage::UserEvent(UserEvent {
            ltime: 1,
            name: b"e",
            payload: Some(&long[..len]),
            coalesce: false,
        })
    };
    rig.receives(&event_of(9_216));
    assert_eq!(rig.events().len(), 0);
    let refused = Order::Refuse(Refusal::TooLarge);
    assert_eq!(rig.orders(), [refused.clone(), refused.clone()]);
    let past = |len: usize| {
        vec![PastEvent {
            name: b"e",
            payload: Some(&long[..len]),
        }]
    };
    let slot = |ltime, len| {
        let events = past(len);
        PastEvents { ltime, events }
    };
    let state = SerfPushPull {
        event_ltime: 3,
        events: vec![slot(1, 9_216), slot(2, 9_215)],
        ..SerfPushPull::default()
    };
    let mut bytes = Vec::new();
    state.encode(&mut bytes);
    rig.serf.common.config.replay_events = true;
    rig.serf.state_received(rig.now, false, &bytes);
    assert_eq!(rig.orders(), [refused]);
    assert_eq!(rig.events().len(), 0);
    rig.receives(&event_of(9_215));
    let taken = "the largest that an agent sends, and the other event of the state";
    assert_eq!(rig.events().len(), 2, "{taken}");
    rig.receives(&SerfMessage::Query(Query {
        payload: Some(&long[..65_000]),
        ..query(2)
    }));
    assert_eq!(rig.events().len(), 1);
}

#[test]
fn a_query_is_acknowledged_delivered_and_answered_once() {
    let mut rig = rig();
    rig.receives(&SerfMessage::Query(Query {
        flags: 1,
        ..query(4)
    }));
    assert_eq!(rig.events(), ["query 1 uptime"]);
    let response = |flags, payload| {
        let response = QueryResponse {
            ltime: 4,
            id: 7,
            from: "self",
            flags,
            payload,
        };
        SerfMessage::QueryResponse(response).encoded()
    };
    assert_eq!(rig.sent_to(asker()), [response(1, None)]);
    let (serf, now) = (&mut rig.serf, rig.now);
    let mut respond =
        |at, query, payload: &[u8]| serf.queries.respond(at, &mut serf.common, query, payload);
    assert!(matches!(
        respond(now, 1, &[0; 1024]),
        Err(CommandError::EventTooLarge {
            content: 1024,
            max: 1024,
            ..
        })
    ));
    assert_eq!(respond(now, 1, b"12d"), Ok(()));
    assert_eq!(respond(now, 1, b"13d"), Err(CommandError::AlreadyAnswered));
    assert_eq!(respond(now, 2, b""), Err(CommandError::UnknownQuery));
    assert_eq!(
        respond(now + SECOND * 3, 1, b""),
        Err(CommandError::QueryOver)
    );
    assert_eq!(rig.sent_to(asker()), [response(0, Some(b"12d"))]);
}

#[test]
fn a_query_is_answered_only_to_the_address_of_the_member_that_asks() {
    let elsewhere = Query {
        port: 4,
        ..query(4)
    };
    let stranger = Query {
        source_node: "x",
        ..query(5)
    };
    let nameless = Query {
        source_node: "",
        ..query(6)
    };
    let expired = Query {
        timeout_ns: -1,
        ..query(7)
    };
    let mut rig = rig();
    for message in [elsewhere, stranger, nameless, expired] {
        rig.receives(&SerfMessage::Query(Query {
            flags: 1,
            ..message
        }));
    }
    assert_eq!(
        rig.events(),
        ["query 1 uptime"],
        "only the one without a name"
    );
    // The two whose sender is not known yet wait for it, but not longer than answers count.
    let counts = |rig: &Rig| {
        let counts = &rig.serf.common.out.counts;
        (counts.queries_held, counts.queries_unanswered)
    };
    assert_eq!(counts(&rig), (2, 1));
    rig.wait(10);
    assert_eq!(counts(&rig), (2, 3));
    assert_eq!(rig.serf.queries.early.deadline(), None);
}

#[test]
fn a_query_of_an_unknown_node_waits_until_that_node_is_known_at_the_address() {
    let early = Query {
        source_node: "new",
        port: 9,
        flags: 1,
        timeout_ns: 5_000_000_000,
        ..query(4)
    };
    let mut rig = rig();
    rig.receives(&SerfMessage::Query(early.clone()));
    assert_eq!(rig.broadcasts(), [(lane::QUERIES, 4)], "it is passed on");
    rig.wait(2);
    rig.joins("new", 8);
    assert_eq!(rig.events(), ["join new"], "another address");
    rig.receives(&SerfMessage::Query(early));
    let moved = node("new", 9, &crate::Tags::new());
    rig.reports(Change::Updated, "new", Some(&moved));
    assert_eq!(rig.events(), ["update new", "query 1 uptime"]);
    let addr: SocketAddr = "10.0.0.1:9".parse().unwrap();
    assert_eq!(rig.sent_to(addr).len(), 1, "the ack, once");
    let respond = |rig: &mut Rig| {
        let queries = &mut rig.serf.queries;
        queries.respond(rig.now, &mut rig.serf.common, 1, b"late")
    };
    rig.wait(2);
    assert_eq!(respond(&mut rig), Ok(()), "4 of 5 seconds have passed");
    rig.wait(1);
    assert_eq!(respond(&mut rig), Err(CommandError::QueryOver));
    assert_eq!(rig.serf.common.out.counts.queries_unanswered, 0);
}

#[test]
fn few_messages_without_a_name_cause_a_search_of_the_table() {
    let mut rig = rig();
    let nameless = |ltime| {
        SerfMessage::Query(Query {
            source_node: "",
            ..query(ltime)
        })
    };
    for ltime in 1..=100 {
        rig.receives(&nameless(ltime));
    }
    assert_eq!(rig.events().len(), 64);
    assert_eq!(rig.serf.common.out.counts.queries_unanswered, 36);
    assert_eq!(rig.serf.queries.early.deadline(), None, "none waits");
    rig.receives(&SerfMessage::Query(query(101)));
    assert_eq!(rig.events().len(), 1, "a name needs no search");
    rig.wait(1);
    rig.receives(&nameless(102));
    assert_eq!(rig.events().len(), 1);
}

#[test]
fn the_queries_of_unknown_nodes_are_bounded() {
    let mut rig = rig();
    for ltime in 0..100 {
        rig.receives(&SerfMessage::Query(Query {
            source_node: "x",
            ..query(ltime)
        }));
    }
    let held = limits::EARLY_QUERIES as u64;
    assert_eq!(rig.serf.common.out.counts.queries_held, held);
    assert_eq!(rig.serf.common.out.counts.queries_unanswered, 100 - held);
    rig.wait(10);
    let large = vec![0; limits::EARLY_QUERY_BYTES / 2];
    for ltime in [200, 201] {
        rig.receives(&SerfMessage::Query(Query {
            source_node: "x",
            payload: Some(&large),
            ..query(ltime)
        }));
    }
    assert_eq!(rig.serf.common.out.counts.queries_held, held + 1);
    assert_eq!(rig.serf.common.out.counts.queries_unanswered, 101);
}

#[test]
fn filters_decide_who_answers_and_everyone_passes_the_query_on() {
    let names = |names: &[&'static [u8]]| QueryFilter::Nodes(NodeNames(names.to_vec())).encoded();
    let tag = |tag: &'static [u8], expr: &'static [u8]| {
        QueryFilter::Tag(TagFilter { tag, expr }).encoded()
    };
    for (filters, expected) in [
        (vec![], true),
        (vec![names(&[b"self"])], true),
        (vec![names(&[b"b", b"self"])], true),
        (vec![names(&[b"b"])], false),
        (vec![names(&[])], false),
        (vec![tag(b"role", b"we.")], true),
        (vec![tag(b"role", b"^eb$")], false),
        (vec![tag(b"role", b"WEB")], false),
        (vec![tag(b"role", b"(?i)WEB")], true),
        (vec![tag(b"role", b"[[:lower:]]{3}")], true),
        (vec![tag(b"role", br"\<web\>")], false),
        (vec![tag(b"role", b"(?x) web")], false),
        (vec![tag(b"role", br"\b{start}web")], false),
        (vec![tag(b"role", br"\u{77}eb")], false),
        (vec![tag(b"role", "(?i)web|ä".as_bytes())], false),
        (vec![tag(b"role", b"w**eb")], false),
        (vec![tag(b"role", b"^.{0,2000}$")], false),
        (vec![tag(b"role", br"\pL")], false),
        (vec![tag(b"role", br"\Qweb\E")], false),
        (vec![tag(b"none", b"^$")], true),
        (vec![tag(b"none", b".")], false),
        (vec![tag(b"role", b"(")], false),
        (vec![tag(b"role", b"\xff")], false),
        (vec![names(&[b"self"]), tag(b"role", b"db")], false),
        (vec![vec![9, 0xc0]], false),
        (vec![vec![0]], false),
    ] {
        let mut rig = Rig::new();
        let own = node("self", 1, &tags(&[("role", "web")]));
        rig.reports(Change::Updated, "self", Some(&own));
        rig.joins("b", 3);
        rig.events();
        rig.orders();
        let bytes = filters.iter().map(Vec::as_slice).collect();
        rig.receives(&SerfMessage::Query(Query {
            filters: Some(bytes),
            ..query(4)
        }));
        assert_eq!(rig.events().len(), usize::from(expected), "{filters:x?}");
        assert_eq!(rig.broadcasts(), [(lane::QUERIES, 4)], "{filters:x?}");
    }
}

#[test]
fn a_filter_that_cannot_be_read_as_an_agent_reads_it_is_counted_if_it_matters() {
    let names = QueryFilter::Nodes(NodeNames(vec![b"b"])).encoded();
    let tag = |expr| QueryFilter::Tag(TagFilter { tag: b"role", expr }).encoded();
    for (filters, source_node, unreadable) in [
        (vec![tag(br"\<web")], "b", 1),
        (vec![vec![9, 0xc0]], "b", 1),
        (vec![tag(b"\xff")], "b", 1),
        (vec![tag(b"db"), tag(br"\<web")], "b", 0),
        (vec![names, tag(br"\<web")], "b", 0),
        (vec![tag(br"\<web")], "stranger", 0),
    ] {
        let mut rig = rig();
        rig.receives(&SerfMessage::Query(Query {
            filters: Some(filters.iter().map(Vec::as_slice).collect()),
            source_node,
            ..query(4)
        }));
        assert_eq!(rig.events(), [""; 0]);
        let counts = &rig.serf.common.out.counts;
        assert_eq!(counts.queries_unreadable, unreadable, "{filters:x?}");
        assert_eq!(counts.queries_unanswered, 0);
    }
}

#[test]
fn expressions_are_searched_for_a_bounded_time_in_each_second() {
    let mut rig = rig();
    let own = node("self", 1, &tags(&[("role", "web")]));
    rig.reports(Change::Updated, "self", Some(&own));
    rig.events();
    let (tag, expr) = (b"role", b"we.");
    let filter = QueryFilter::Tag(TagFilter { tag, expr }).encoded();
    let filtered = |ltime, count| {
        SerfMessage::Query(Query {
            filters: Some(vec![&filter; count]),
            ..query(ltime)
        })
    };
    // 16,384 bytes: an expression takes 64, its length and that of the tag.
    rig.receives(&filtered(1, 640));
    assert_eq!(rig.events(), [""; 0]);
    assert_eq!(rig.serf.common.out.counts.queries_unanswered, 1);
    rig.receives(&SerfMessage::Query(query(2)));
    assert_eq!(rig.events(), ["query 1 uptime"], "without a filter");
    rig.wait(1);
    for ltime in 3..=237 {
        rig.receives(&filtered(ltime, 1));
    }
    assert_eq!(rig.events().len(), 234);
    assert_eq!(rig.serf.common.out.counts.queries_unanswered, 2);
    rig.receives(&filtered(248, 641));
    assert!(rig.orders().contains(&Order::Refuse(Refusal::TooLarge)));
}

#[test]
fn answers_go_through_as_many_members_as_the_query_asks_for() {
    let mut rig = rig();
    rig.joins("c", 4);
    rig.orders();
    rig.receives(&SerfMessage::Query(Query {
        flags: 1,
        relay_factor: 2,
        ..query(4)
    }));
    let orders = rig.orders();
    let [
        Order::SendThrough {
            helpers: 2,
            not,
            bytes,
        },
        Order::SendUser { to, bytes: inner },
        ..,
    ] = &orders[..]
    else {
        panic!("{orders:?}");
    };
    assert_eq!((*not, *to), (asker(), asker()));
    let relay = SerfMessage::Relay(Relay {
        addr: &[10, 0, 0, 1],
        port: 3,
        node: "b",
        inner,
    });
    assert_eq!(SerfMessage::decode(bytes), Ok(relay));
    rig.receives(&SerfMessage::Query(Query {
        flags: 1,
        relay_factor: 3,
        ..query(5)
    }));
    let through = |order: &Order| matches!(order, Order::SendThrough { .. });
    assert!(
        !rig.orders().iter().any(through),
        "there are too few members"
    );
}

#[test]
fn queries_of_serf_itself_are_answered_without_the_application() {
    let mut rig = rig();
    for (ltime, name, payload) in [
        (1, &b"_serf_ping"[..], None),
        (2, b"_serf_conflict", Some(&b"b"[..])),
        (3, b"_serf_conflict", Some(b"nobody")),
        (4, b"_serf_conflict", Some(b"self")),
        (5, b"_serf_conflict", None),
        (6, b"_serf_of_the_future", Some(b"x")),
    ] {
        rig.receives(&SerfMessage::Query(Query {
            name,
            payload,
            ..query(ltime)
        }));
    }
    assert_eq!(rig.events(), [""; 0]);
    let mut votes = Vec::new();
    for bytes in rig.sent_to(asker()) {
        let Ok(SerfMessage::QueryResponse(response)) = SerfMessage::decode(&bytes) else {
            panic!("{bytes:x?}");
        };
        votes.push((response.ltime, response.payload.unwrap().to_vec()));
    }
    let known = vote("b", "10.0.0.1:3".parse().unwrap());
    assert_eq!(votes, [(2, known), (3, vec![6, 0xc0]), (5, vec![6, 0xc0])]);
}

#[test]
fn a_query_of_this_node_ends_when_every_present_member_has_answered() {
    let mut rig = rig();
    rig.joins("c", 4);
    rig.joins("gone", 5);
    rig.reports(Change::Died, "gone", None);
    rig.events();
    let options = QueryOptions {
        ack: true,
        ..QueryOptions::default()
    };
    rig.asks(5, &options).unwrap();
    assert_eq!(rig.events(), ["query 1 load"]);
    assert_eq!(rig.broadcasts().last(), Some(&(lane::QUERIES, 4)));
    for (from, flags) in [
        ("self", 1),
        ("b", 1),
        ("b", 0),
        ("b", 0),
        ("self", 0),
        ("c", 0),
    ] {
        rig.hears(1, from, flags);
    }
    let heard = [
        "ack 5 self",
        "ack 5 b",
        "answer 5 b ok",
        "answer 5 self ok",
        "answer 5 c ok",
    ];
    assert_eq!(rig.events(), heard);
    assert_eq!(rig.serf.common.out.counts.repeated_answers, 1);
    rig.hears(1, "c", 1);
    assert_eq!(rig.events(), ["ack 5 c", "done 5: 3, missing "]);
    rig.hears(1, "c", 0);
    assert_eq!(rig.serf.common.out.counts.stray_answers, 1);
}

#[test]
fn a_query_waits_for_no_failed_member_and_for_the_others_until_its_deadline() {
    let mut rig = rig();
    rig.joins("c", 4);
    rig.asks(5, &QueryOptions::default()).unwrap();
    let timeout = Duration::from_millis(3200);
    assert_eq!(rig.serf.asked.deadline(), Some(rig.now + timeout / 4));
    rig.events();
    rig.reports(Change::Died, "c", None);
    rig.hears(1, "self", 0);
    rig.wait(3);
    assert_eq!(rig.events(), ["fail c", "answer 5 self ok"]);
    rig.wait(1);
    assert_eq!(rig.events(), ["done 5: 1, missing b c"]);
    assert_eq!(rig.serf.asked.deadline(), None);
}

#[test]
fn a_member_that_failed_and_replies_after_all_is_not_missing() {
    let mut rig = rig();
    let options = QueryOptions {
        ack: true,
        ..QueryOptions::default()
    };
    rig.asks_for(5, "_serf_ping", &options).unwrap();
    rig.asks(6, &options).unwrap();
    rig.reports(Change::Died, "b", None);
    rig.events();
    rig.hears(1, "b", 1);
    rig.hears(1, "self", 1);
    assert_eq!(
        rig.events(),
        ["ack 5 b", "ack 5 self", "done 5: 0, missing "]
    );
    rig.hears(2, "b", 0);
    rig.hears(2, "self", 1);
    rig.hears(2, "self", 0);
    let without_ack = [
        "answer 6 b ok",
        "ack 6 self",
        "answer 6 self ok",
        "done 6: 2, missing b",
    ];
    assert_eq!(rig.events(), without_ack);
}

#[test]
fn a_named_member_that_joins_and_replies_is_not_missing() {
    let mut rig = rig();
    let options = QueryOptions {
        nodes: vec!["b".to_owned(), "late".to_owned()],
        ..QueryOptions::default()
    };
    rig.asks(5, &options).unwrap();
    rig.joins("late", 4);
    rig.events();
    rig.hears(1, "late", 0);
    rig.hears(1, "b", 0);
    let end = ["answer 5 late ok", "answer 5 b ok", "done 5: 2, missing "];
    assert_eq!(rig.events(), end);
}

#[test]
fn queries_at_the_end_of_the_clock_are_told_apart_by_their_numbers() {
    let mut rig = rig();
    rig.wears_out_query_clock();
    let options = QueryOptions::default();
    rig.asks_as(1, 70, "load", &options).unwrap();
    rig.asks_as(2, 71, "load", &options).unwrap();
    assert_eq!(rig.events(), ["query 1 load", "query 2 load"]);
    rig.wait(4);
    let ends = ["done 1: 0, missing b self", "done 2: 0, missing b self"];
    assert_eq!(rig.events(), ends);
}

#[test]
fn silent_members_get_a_query_again_three_times_and_must_not_pass_it_on() {
    let mut rig = rig();
    rig.joins("c", 4);
    rig.joins("d", 5);
    let options = QueryOptions {
        ack: true,
        ..QueryOptions::default()
    };
    rig.asks(5, &options).unwrap();
    let mut first = None;
    for order in rig.orders() {
        if let Order::Broadcast { bytes, .. } = order {
            first = Some(bytes);
        }
    }
    // The ack of "d" shows that the query has reached it.
    rig.hears(1, "d", 1);
    let mut rounds = Vec::new();
    for round in 0..4 {
        if round == 2 {
            rig.hears(1, "c", 0);
        }
        rig.now = rig.now + Duration::from_millis(800);
        rig.serf.handle_timeout(rig.now);
        let mut to = Vec::new();
        for order in rig.orders() {
            let Order::SendIntroduced { to: addr, bytes } = order else {
                continue;
            };
            let original = first.as_deref().map(SerfMessage::decode);
            let (Ok(SerfMessage::Query(again)), Some(Ok(SerfMessage::Query(original)))) =
                (SerfMessage::decode(&bytes), original)
            else {
                panic!("not a query");
            };
            let flags = original.flags | 2;
            assert_eq!(again, Query { flags, ..original });
            to.push(addr.port());
        }
        rounds.push(to);
    }
    assert_eq!(rounds, [vec![3, 4], vec![3, 4], vec![3], vec![]]);
    assert_eq!(rig.serf.common.out.counts.queries_repeated, 5);
    assert_eq!(
        rig.events().last().unwrap(),
        "done 5: 1, missing b c d self"
    );
}

#[test]
fn a_query_to_very_many_silent_members_is_not_repeated() {
    for (others, repeated) in [(64, 64), (65, 0)] {
        let mut rig = Rig::new();
        for n in 0..others {
            rig.joins(&format!("m{n}"), 10 + n);
        }
        rig.asks(5, &QueryOptions::default()).unwrap();
        // The timeout of this cluster is 6.4 seconds.
        rig.wait(2);
        let counts = &rig.serf.common.out.counts;
        assert_eq!(counts.queries_repeated, repeated, "{others}");
    }
}

#[test]
fn only_addressed_members_are_waited_for() {
    let mut rig = rig();
    let options = QueryOptions {
        nodes: vec!["b".to_owned(), "nobody".to_owned()],
        ..QueryOptions::default()
    };
    rig.asks(5, &options).unwrap();
    assert_eq!(rig.events(), [""; 0], "this node is not addressed");
    rig.hears(1, "b", 0);
    assert_eq!(rig.events(), ["answer 5 b ok", "done 5: 1, missing nobody"]);
    let nobody = QueryOptions {
        tags: vec![("role".to_owned(), "db".to_owned())],
        ..QueryOptions::default()
    };
    rig.asks(6, &nobody).unwrap();
    assert_eq!(rig.events(), ["done 6: 0, missing "]);
}

#[test]
fn a_ping_of_all_nodes_waits_for_acks_only() {
    let mut rig = rig();
    let options = QueryOptions {
        ack: true,
        ..QueryOptions::default()
    };
    rig.asks_for(5, "_serf_ping", &options).unwrap();
    rig.hears(1, "self", 1);
    rig.hears(1, "b", 1);
    assert_eq!(
        rig.events(),
        ["ack 5 self", "ack 5 b", "done 5: 0, missing "]
    );
}

#[test]
fn queries_that_must_not_be_sent_are_refused_and_change_nothing() {
    let mut rig = rig();
    let defaults = QueryOptions::default();
    for name in ["_serf_", "_serf_conflict", "_serf_list-keys", "_serf_ping2"] {
        assert_eq!(
            rig.asks_for(5, name, &defaults),
            Err(CommandError::ReservedName),
            "{name}"
        );
    }
    let by_expression = |expression: &str| QueryOptions {
        tags: vec![("role".to_owned(), expression.to_owned())],
        ..QueryOptions::default()
    };
    for wrong in [
        "(",
        r"\pL",
        r"\<web",
        "(?x)web",
        "a**",
        ".{2000}",
        &"a".repeat(9217),
    ] {
        assert!(matches!(
            rig.asks(5, &by_expression(wrong)),
            Err(CommandError::BadExpression { .. })
        ));
    }
    let long = "n".repeat(1024);
    assert!(matches!(
        rig.asks_for(5, &long, &defaults),
        Err(CommandError::EventTooLarge {
            content: 1024,
            max: 1024,
            ..
        })
    ));
    assert_eq!((rig.events().len(), rig.orders().len()), (0, 0));
    for number in 0..limits::ASKED_QUERIES as u64 {
        rig.asks(number, &defaults).unwrap();
    }
    assert_eq!(rig.asks(999, &defaults), Err(CommandError::TooManyQueries));
}
