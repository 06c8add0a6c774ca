//! Messages and states of programs built on memberlist, between two nodes with real sockets.

use super::help::{PATIENCE, join, wait_for, with, with_others};
use sprat::{EventBody, EventKind, Key, KeyHolders, Node, Status};
use std::fs;

fn memberlist_node(name: &str) -> Node {
    let settings = [("mode", "memberlist"), ("push_pull_interval_ms", "100")];
    Node::start(&with(name, &settings)).unwrap()
}

fn message(node: &Node) -> (String, Vec<u8>) {
    match wait_for(node, EventKind::Message).body {
        EventBody::Message { from, payload, .. } => (from, payload.to_vec()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn messages_by_stream_datagram_and_gossip_arrive() {
    let _turn = with_others();
    let (a, b) = (memberlist_node("a"), memberlist_node("b"));
    join(&b, &a);
    let large = vec![5; 1 << 20];
    a.send_and_wait("b", &large, Some(PATIENCE)).unwrap();
    assert_eq!(message(&b), ("a".to_owned(), large));

    let operation = a.operation(7);
    a.send(operation, "b", b"").unwrap();
    match wait_for(&a, EventKind::Done).body {
        EventBody::Done {
            id, token, result, ..
        } => {
            assert_eq!((id, token, result), (operation.id, 7, Ok(0)));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(message(&b), ("a".to_owned(), Vec::new()));

    a.broadcast(b"to all", Some("name")).unwrap();
    assert_eq!(message(&b), ("a".to_owned(), b"to all".to_vec()));
    // A datagram can get lost even on the loopback interface, so it is sent until one arrives.
    let mut got = None;
    while got.is_none() {
        a.send_datagram("b", b"hello").unwrap();
        let event = b.next_event(Some(std::time::Duration::from_millis(100)));
        got = event.unwrap().and_then(|event| match event.body {
            EventBody::Message { payload, .. } if *payload == *b"hello" => Some(()),
            _ => None,
        });
    }
}

/// Programs on memberlist distribute keys themselves, so each node changes its own.
#[test]
fn each_node_changes_its_own_keys_and_stores_them() {
    let _turn = with_others();
    let [old, new] = [1, 2].map(|byte| Key::new(&[byte; 16]).unwrap());
    let folder = format!("sprat-keys-{}", std::process::id());
    let folder = std::env::temp_dir().join(folder);
    fs::create_dir(&folder).unwrap();
    let file = folder.join("keyring.json");
    fs::write(&file, format!("[\"{}\"]", old.to_base64().as_str())).unwrap();
    let [a, b] = ["a", "b"].map(|name| {
        let mut settings = vec![("mode", "memberlist")];
        let (text, path) = (old.to_base64(), file.to_str().unwrap());
        settings.push(match name {
            "a" => ("keyring_file", path),
            _ => ("encrypt", &text),
        });
        Node::start(&with(name, &settings)).unwrap()
    });
    join(&b, &a);
    let greet = |text: &[u8]| {
        a.send_and_wait("b", text, Some(PATIENCE)).unwrap();
        assert_eq!(message(&b), ("a".to_owned(), text.to_vec()));
        b.send_and_wait("a", text, Some(PATIENCE)).unwrap();
        assert_eq!(message(&a), ("b".to_owned(), text.to_vec()));
    };
    for node in [&a, &b] {
        let done = node.install_key(&new, None).unwrap();
        assert_eq!((done.problem, done.report.asked), (None, 1));
    }
    let refused = a.remove_key(&old, None).unwrap_err();
    assert_eq!(refused.status, Status::State);
    for (node, text) in [(&a, b"one"), (&b, b"two")] {
        assert_eq!(node.use_key(&new, None).unwrap().problem, None);
        greet(text);
    }
    for (node, text) in [(&b, b"tre"), (&a, b"for")] {
        assert_eq!(node.remove_key(&old, None).unwrap().problem, None);
        greet(text);
        let listed = node.list_keys(None).unwrap().report;
        assert_eq!(listed.answers.len(), 1);
        let keys: Vec<_> = listed.keys.clone().into_iter().collect();
        let holders = KeyHolders {
            members: 1,
            primary: 1,
        };
        assert_eq!(keys, [(new.clone(), holders)]);
    }
    let stored = fs::read_to_string(&file).unwrap();
    assert!(stored.contains(new.to_base64().as_str()), "{stored}");
    assert!(!stored.contains(old.to_base64().as_str()), "{stored}");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_message_that_cannot_be_sent_is_refused_with_the_reason() {
    let _turn = with_others();
    let a = memberlist_node("a");
    let error = a.broadcast(&[0; 2000], None).unwrap_err();
    assert_eq!(error.status, Status::TooLarge);
    let text = "the broadcast: it has 2000 bytes; the limit of a gossip packet is 1395 bytes";
    assert_eq!(error.message, text);
    let error = a.send_and_wait("nobody", b"x", None).unwrap_err();
    assert_eq!(error.status, Status::NotFound);
    let error = a.set_local_state(vec![0; 9 << 20]).unwrap_err();
    assert_eq!(error.status, Status::TooLarge);
}

#[test]
fn a_change_has_spread_and_acks_bring_a_payload_and_the_round_trip_time() {
    let _turn = with_others();
    let a = memberlist_node("a");
    let settings = [("mode", "memberlist"), ("ping_acks", "true")];
    let b = Node::start(&with("b", &settings)).unwrap();
    join(&b, &a);
    a.set_ack_payload(b"load 3").unwrap();
    a.set_meta(b"new").unwrap();
    a.spread(Some(PATIENCE)).unwrap();
    let operation = a.operation(5);
    a.spread_async(operation).unwrap();
    match wait_for(&a, EventKind::Done).body {
        EventBody::Done {
            id, token, result, ..
        } => {
            assert_eq!((id, token, result), (operation.id, 5, Ok(0)));
        }
        other => panic!("{other:?}"),
    }
    // The first acks may have come before the payload was set.
    loop {
        let EventBody::PingAck { from, rtt, payload } = wait_for(&b, EventKind::PingAck).body
        else {
            panic!("not an ack")
        };
        assert_eq!(from, "a");
        assert!(rtt > std::time::Duration::ZERO);
        if *payload == *b"load 3" {
            break;
        }
        assert_eq!(*payload, *b"");
    }
    let error = a.set_ack_payload(&[0; 513]).unwrap_err();
    assert_eq!(error.status, Status::TooLarge);
    a.leave(Some(PATIENCE)).unwrap();
    assert_eq!(a.spread(None).unwrap_err().status, Status::State);
}

#[test]
fn megabytes_of_state_are_exchanged_at_the_join_and_later() {
    let _turn = with_others();
    let (a, b) = (memberlist_node("a"), memberlist_node("b"));
    a.set_local_state(vec![1; 3 << 20]).unwrap();
    b.set_local_state(vec![2; 3 << 20]).unwrap();
    join(&b, &a);
    for (node, first) in [(&a, 2), (&b, 1)] {
        let mut kinds = (false, false);
        while kinds != (true, true) {
            let event = wait_for(node, EventKind::RemoteState).body;
            let EventBody::RemoteState { join, payload, .. } = event else {
                panic!("{event:?}");
            };
            assert_eq!((payload.len(), payload[0]), (3 << 20, first));
            kinds = (kinds.0 || join, kinds.1 || !join);
        }
    }
}
