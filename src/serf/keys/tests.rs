//! The rules of key management, tested on the Serf state alone: key queries that reach this
//! node, and the answers to its own.

use super::query::{KeyQuery, query_name};
use crate::key_report::{KeyAnswer, KeyReport};
use crate::limits;
use crate::serf::queries::asked_query::Purpose;
use crate::serf::queries::request::{Content, QuerySender};
use crate::serf::shared::outbox::{Order, lane};
use crate::serf::tests::{Rig, node, query};
use crate::serf::{Config, CoreEvent, QueryOptions};
use crate::swim::Change;
use crate::vocabulary::KeyAction;
use crate::wire::serf_message::{KeyResponse, Query, QueryResponse, SerfMessage};
use crate::wire::{Key, Keyring, Refusal};
use std::net::SocketAddr;

const DONE: &str = "";

fn key(byte: u8) -> Key {
    Key::new(&[byte; 16]).unwrap()
}

/// The answer to a key query: its message, and the keys in base64.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    done: bool,
    message: String,
    keys: Option<Vec<String>>,
    primary: String,
}

fn told(bytes: &[u8]) -> Told {
    let Ok(SerfMessage::QueryResponse(response)) = SerfMessage::decode(bytes) else {
        panic!("{bytes:?} is not a response");
    };
    assert_eq!((response.from, response.id, response.flags), ("self", 7, 0));
    let Ok(answer) = KeyResponse::decode(response.payload.unwrap()) else {
        panic!("{bytes:?} is not an answer about keys");
    };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Told {
        done: answer.result,
        message: text(answer.message),
        keys: (answer.keys).map(|keys| keys.into_iter().map(text).collect()),
        primary: text(answer.primary_key),
    }
}

/// A node that knows the member `b`, and its keyring. The test plays the driver.
struct KeyRig {
    rig: Rig,
    keyring: Option<Keyring>,
    ltime: u64,
}

impl KeyRig {
    fn new(config: Config, keys: &[u8]) -> KeyRig {
        let mut rig = Rig::with(config);
        rig.joins("b", 3);
        rig.events();
        rig.orders();
        let keys = keys.iter().map(|byte| key(*byte)).collect();
        let keyring = Some(Keyring::new(keys));
        KeyRig {
            rig,
            keyring,
            ltime: 0,
        }
    }

    /// Receives a query from `b`, and returns the answers that `b` gets.
    fn hears(&mut self, action: KeyAction, key: Option<Key>) -> Vec<Told> {
        self.ltime += 1;
        let payload = KeyQuery { action, key }.payload();
        let name = query_name(action).as_bytes();
        let query = query(self.ltime, name, Some(&payload));
        self.rig.receives(&SerfMessage::Query(query));
        self.answers()
    }

    /// Carries out the orders about keys, and returns the answers to `b`.
    fn answers(&mut self) -> Vec<Told> {
        let b: SocketAddr = "10.0.0.1:3".parse().unwrap();
        let mut answers = Vec::new();
        loop {
            let orders = self.rig.orders();
            if orders.is_empty() {
                return answers;
            }
            for order in orders {
                match order {
                    Order::ManageKeys { asker, query } => {
                        self.rig
                            .serf
                            .keys_asked(self.keyring.as_mut(), asker, query);
                    }
                    Order::SendUser { to, bytes } if to == b => answers.push(told(&bytes)),
                    _ => {}
                }
            }
        }
    }

    /// The keys of the node, each by its first byte.
    fn held(&self) -> Vec<u8> {
        let keys = self.keyring.iter().flat_map(Keyring::keys);
        keys.map(|key| key.as_bytes()[0]).collect()
    }

    fn changes(&mut self, action: KeyAction, byte: u8, message: &str, held: &[u8]) {
        let answers = self.hears(action, Some(key(byte)));
        let expected = Told {
            done: message.is_empty(),
            message: message.to_owned(),
            keys: None,
            primary: String::new(),
        };
        assert_eq!(answers, [expected], "{action:?} {byte}");
        assert_eq!(self.held(), held, "{action:?} {byte}");
    }
}

#[test]
fn keys_are_installed_used_and_removed_and_each_query_is_answered_as_by_a_stock_agent() {
    let mut it = KeyRig::new(Config::default(), &[1]);
    it.changes(
        KeyAction::Use,
        2,
        "requested key is not in the keyring",
        &[1],
    );
    it.changes(KeyAction::Install, 2, DONE, &[1, 2]);
    it.changes(KeyAction::Use, 2, DONE, &[2, 1]);
    let primary = "Removing the primary key is not allowed";
    it.changes(KeyAction::Remove, 2, primary, &[2, 1]);
    it.changes(KeyAction::Remove, 1, DONE, &[2]);
    it.changes(KeyAction::Remove, 1, DONE, &[2]);
    let answers = it.hears(KeyAction::Install, None);
    assert_eq!(answers[0].message, "key size must be 16, 24 or 32 bytes");
    assert!(!answers[0].done && it.held() == [2]);
    let events = it.rig.events();
    let changed: Vec<&str> = events.iter().map(String::as_str).collect();
    let expected = ["Install by b", "Use by b", "Remove by b", "Remove by b"];
    assert_eq!(changed, expected, "a refused change is not reported");
}

#[test]
fn a_list_has_the_primary_key_first_and_names_it() {
    let mut it = KeyRig::new(Config::default(), &[1, 2]);
    it.changes(KeyAction::Use, 2, DONE, &[2, 1]);
    let texts = [key(2), key(1)].map(|key| key.to_base64().to_string());
    let expected = Told {
        done: true,
        message: String::new(),
        primary: texts[0].clone(),
        keys: Some(texts.to_vec()),
    };
    assert_eq!(it.hears(KeyAction::List, None), [expected]);
}

#[test]
fn a_node_that_does_not_encrypt_has_no_keyring_to_show_or_to_change() {
    let mut it = KeyRig::new(Config::default(), &[1]);
    it.keyring = None;
    it.changes(
        KeyAction::Install,
        2,
        "No keyring to modify (encryption not enabled)",
        &[],
    );
    let answers = it.hears(KeyAction::List, None);
    let (message, keys) = (&answers[0].message, &answers[0].keys);
    assert_eq!(message, "Keyring is empty (encryption not enabled)");
    assert!(!answers[0].done && keys.is_none());
}

#[test]
fn a_list_that_is_too_long_is_cut_to_the_keys_that_fit() {
    let all: Vec<u8> = (1..=60).collect();
    for (max, shown) in [(1024, 34), (2048, 60), (512, 14), (260, 4)] {
        let config = Config {
            query_response_bytes: max,
            ..Config::default()
        };
        let mut it = KeyRig::new(config, &all);
        let listed = it.hears(KeyAction::List, None);
        let keys = listed[0].keys.as_ref().unwrap();
        let message = match shown {
            60 => String::new(),
            _ => format!("truncated key list response, showing first {shown} of 60 keys"),
        };
        assert_eq!((keys.len(), &listed[0].message), (shown, &message), "{max}");
        assert_eq!(listed[0].primary, key(1).to_base64().as_str());
        assert_eq!(keys[shown - 1], key(shown as u8).to_base64().as_str());
    }
    let config = Config {
        query_response_bytes: 100,
        ..Config::default()
    };
    let mut it = KeyRig::new(config, &all);
    assert_eq!(it.hears(KeyAction::List, None), []);
    assert_eq!(it.rig.serf.common.out.counts.queries_unanswered, 1);
}

#[test]
fn an_answer_waits_until_the_driver_has_stored_the_keys_and_reports_a_failure() {
    let config = Config {
        store_keys: true,
        ..Config::default()
    };
    let mut it = KeyRig::new(config, &[1]);
    assert_eq!(it.hears(KeyAction::Install, Some(key(2))), []);
    assert_eq!(it.held(), [1, 2]);
    assert_eq!(it.hears(KeyAction::Use, Some(key(2))), []);
    assert_eq!(
        it.rig.events(),
        ["Install by b, 1 stores 1 2", "Use by b, 2 stores 2 1"]
    );
    // A refused change is answered at once, and so is a list.
    it.changes(
        KeyAction::Remove,
        2,
        "Removing the primary key is not allowed",
        &[2, 1],
    );
    assert_eq!(it.hears(KeyAction::List, None).len(), 1);
    let stored = |it: &mut KeyRig, number, result: Result<(), &str>| {
        let serf = &mut it.rig.serf;
        serf.keys.on_stored(&mut serf.common, number, result);
        it.answers()
    };
    let long = "e".repeat(1000);
    let answers = stored(&mut it, 2, Err(&long));
    let expected = format!("{} [cut off]", "e".repeat(256));
    assert_eq!((answers[0].done, &answers[0].message), (false, &expected));
    assert_eq!(it.held(), [2, 1], "the change stays");
    let answers = stored(&mut it, 1, Ok(()));
    assert_eq!((answers[0].done, &*answers[0].message), (true, ""));
    assert_eq!(stored(&mut it, 1, Ok(())), [], "each query has one answer");
}

#[test]
fn a_bounded_number_of_changes_wait_for_the_driver() {
    let config = Config {
        store_keys: true,
        ..Config::default()
    };
    let mut it = KeyRig::new(config, &[1]);
    for _ in 0..=limits::KEY_CHANGES {
        assert_eq!(it.hears(KeyAction::Install, Some(key(2))), []);
    }
    assert_eq!(it.rig.events().len(), limits::KEY_CHANGES);
    assert_eq!(it.rig.serf.common.out.counts.queries_unanswered, 1);
}

#[test]
fn a_query_from_a_stranger_or_for_others_changes_nothing_but_is_passed_on() {
    let payload = KeyQuery {
        action: KeyAction::Install,
        key: Some(key(2)),
    }
    .payload();
    let name = b"_serf_install-key";
    let stranger = Query {
        port: 4,
        ..query(1, name, Some(&payload))
    };
    let filters = Some(vec![&b"\0\x91\xa1n"[..]]);
    let for_n = Query {
        filters,
        ..query(1, name, Some(&payload))
    };
    for query in [stranger, for_n] {
        let mut rig = Rig::new();
        rig.joins("b", 3);
        rig.orders();
        rig.receives(&SerfMessage::Query(query));
        assert_eq!(rig.broadcasts(), [(lane::QUERIES, 4)]);
    }
}

#[test]
fn a_key_query_that_cannot_be_read_is_refused_and_not_passed_on() {
    for action in KeyAction::ALL {
        let name = query_name(action).as_bytes();
        for (payload, why) in [
            (None, Refusal::EmptyPart),
            (Some(&b""[..]), Refusal::EmptyPart),
            (Some(b"\x08\x80"), Refusal::UnknownType),
            (Some(b"\x07"), Refusal::Truncated),
            (Some(b"\x07\x81\xa3Key"), Refusal::Truncated),
            (Some(b"\x07\x81\xa3Key\x01"), Refusal::Msgpack),
        ] {
            let mut rig = Rig::new();
            rig.joins("b", 3);
            rig.orders();
            rig.receives(&SerfMessage::Query(query(1, name, payload)));
            assert_eq!(rig.orders(), [Order::Refuse(why)], "{payload:?}");
        }
    }
}

/// Asks all members to list their keys, with the number 5.
fn asks(rig: &mut Rig) {
    let (action, key) = (KeyAction::List, None);
    let content = Content {
        name: query_name(action).as_bytes(),
        payload: &KeyQuery { action, key }.payload(),
        is_internal: true,
    };
    let sender = QuerySender {
        id: 77,
        addr: "10.0.0.1:1".parse().unwrap(),
        room: 1300,
    };
    let options = QueryOptions::default();
    let purpose = Purpose::Keys {
        number: 5,
        report: KeyReport::default(),
    };
    let asked = rig.serf.ask(rig.now, purpose, content, &options, sender);
    assert_eq!(asked, Ok(()));
}

fn answers(rig: &mut Rig, from: &str, payload: &[u8]) {
    let payload = Some(payload);
    let (ltime, id, flags) = (1, 77, 0);
    rig.receives(&SerfMessage::QueryResponse(QueryResponse {
        ltime,
        id,
        from,
        flags,
        payload,
    }));
}

/// Returns the report, if the query has ended.
fn report(rig: &mut Rig) -> Option<KeyReport> {
    let events = &mut rig.serf.common.out.events;
    let mut events = std::iter::from_fn(|| events.pop());
    match events.next()? {
        CoreEvent::KeysDone { number: 5, report } => Some(report),
        other => panic!("{other:?}"),
    }
}

fn failed(message: &str) -> Vec<u8> {
    let message = message.as_bytes();
    let (result, keys, primary_key) = (false, None, &b""[..]);
    KeyResponse {
        result,
        message,
        keys,
        primary_key,
    }
    .encoded()
}

#[test]
fn a_report_comes_as_soon_as_all_present_members_have_answered() {
    let mut rig = Rig::new();
    for (name, port) in [("b", 3), ("c", 4), ("d", 5), ("gone", 6)] {
        rig.joins(name, port);
    }
    rig.reports(
        Change::Died,
        "gone",
        Some(&node("gone", 6, &Default::default())),
    );
    rig.events();
    asks(&mut rig);
    answers(&mut rig, "self", &failed("no"));
    answers(&mut rig, "b", b"\x08\x81\xa6Result\xc3");
    answers(&mut rig, "b", &failed("a second answer does not count"));
    answers(&mut rig, "c", b"nonsense");
    assert_eq!(report(&mut rig), None);
    rig.reports(Change::Died, "d", Some(&node("d", 5, &Default::default())));
    rig.serf.common.out.events.pop();
    let report = report(&mut rig).unwrap();
    let missing: Vec<&str> = report.missing.iter().map(|name| &**name).collect();
    assert_eq!((report.asked, missing), (4, vec!["d"]));
    let done = |message: &str, done| KeyAnswer {
        done,
        message: message.to_owned(),
    };
    assert_eq!(report.answers["b"], done("", true));
    assert_eq!(report.answers["self"], done("no", false));
    assert!(!report.answers["c"].done);
}

#[test]
fn a_report_names_the_members_that_have_not_answered_in_time() {
    let mut rig = Rig::new();
    rig.joins("b", 3);
    rig.joins("c", 4);
    rig.events();
    asks(&mut rig);
    answers(&mut rig, "b", b"\x08\x81\xa6Result\xc3");
    rig.wait(4);
    let report = report(&mut rig).unwrap();
    assert_eq!((report.asked, report.answers.len()), (3, 1));
    let missing: Vec<&str> = report.missing.iter().map(|name| &**name).collect();
    assert_eq!(missing, ["c", "self"]);
}

/// The numbers of members that were asked, that have answered and that are missing, after `events`
/// in this order: a name with the event `answers`, `fails`, `leaves` or `joins`.
fn counted_after(events: &[(&str, &str)]) -> (usize, usize, usize) {
    let mut rig = Rig::new();
    for (name, port) in [("b", 3), ("failed", 4)] {
        rig.joins(name, port);
    }
    rig.reports(Change::Died, "failed", None);
    asks(&mut rig);
    for (name, event) in events {
        match *event {
            "answers" => answers(&mut rig, name, b"\x08\x81\xa6Result\xc3"),
            "fails" => rig.reports(Change::Died, name, None),
            "leaves" => rig.reports(Change::Left, name, None),
            _ => rig.joins(name, 5),
        }
    }
    answers(&mut rig, "self", b"\x08\x81\xa6Result\xc3");
    rig.wait(4);
    let events = &mut rig.serf.common.out.events;
    let report = std::iter::from_fn(|| events.pop()).find_map(|event| match event {
        CoreEvent::KeysDone { report, .. } => Some(report),
        _ => None,
    });
    let report = report.unwrap();
    (report.asked, report.answers.len(), report.missing.len())
}

#[test]
fn whatever_happens_to_a_member_it_is_counted_once() {
    let cases: [(&[(&str, &str)], _); 10] = [
        (&[], (2, 1, 1)),
        (&[("b", "answers")], (2, 2, 0)),
        (&[("b", "answers"), ("b", "answers")], (2, 2, 0)),
        (&[("b", "answers"), ("b", "fails")], (2, 2, 0)),
        (&[("b", "fails")], (2, 1, 1)),
        (&[("b", "fails"), ("b", "answers")], (2, 2, 0)),
        (&[("b", "leaves")], (1, 1, 0)),
        (&[("b", "leaves"), ("b", "answers")], (2, 2, 0)),
        (&[("b", "answers"), ("failed", "answers")], (3, 3, 0)),
        (&[("new", "joins"), ("new", "answers")], (3, 2, 1)),
    ];
    for (events, counts) in cases {
        assert_eq!(counted_after(events), counts, "{events:?}");
    }
}
