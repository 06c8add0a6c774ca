//! The life of a node through its calls: joining, leaving, failing, events, shutting down.

use super::help::{
    PATIENCE, alone, config, counter, eventually, is_readable, join, node, state_of, wait_for,
    with, with_others,
};
use sprat::serf::MemberState;
use sprat::{EventBody, EventKind, NodeState};
use sprat::{Node, Status};
use std::time::{Duration, Instant};

#[test]
fn two_nodes_join_and_see_tags_and_changes_of_each_other() {
    let _turn = alone();
    let a = Node::start(&with("a", &[("tag.role", "db")])).unwrap();
    let b = Node::start(&config("b", "127.0.0.2:0")).unwrap();
    join(&b, &a);
    for (one, other) in [(&a, "b"), (&b, "a")] {
        eventually("both listed", || {
            state_of(one, other) == Some(MemberState::Alive)
        });
    }
    let names: Vec<String> = b.members().iter().map(|m| m.name.to_string()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(b.members()[0].tags().get("role").as_deref(), Some("db"));
    assert_eq!(b.members()[0].addr, a.addr());
    let version = b.members_version();
    a.set_tag("role", Some("web")).unwrap();
    eventually("the tag arrives", || {
        b.members()[0].tags().get("role").as_deref() == Some("web")
    });
    assert_ne!(b.members_version(), version);
    assert_eq!(
        a.set_tag("big", Some(&"x".repeat(600))).unwrap_err().status,
        Status::TooLarge
    );
    for value in [Some(""), None] {
        let error = a.set_tag(&"k".repeat(256), value).unwrap_err();
        assert_eq!(error.status, Status::TooLarge, "{error}");
    }
    assert_eq!(a.set_meta(b"raw").unwrap_err().status, Status::State);
    assert!(a.health().unwrap().live == 2);
    assert_eq!(&*a.explain("b").unwrap().name, "b");
    assert_eq!(a.explain("x").unwrap_err().status, Status::NotFound);
    let joins = b
        .stats()
        .into_iter()
        .find(|it| it.name == "push_pulls")
        .unwrap();
    assert!(joins.value >= 1);
}

#[test]
fn a_leave_is_seen_as_a_leave_and_a_join_brings_the_node_back() {
    let _turn = alone();
    let (a, b) = (node("a"), node("b"));
    join(&b, &a);
    b.leave(Some(PATIENCE)).unwrap();
    assert_eq!(b.state(), NodeState::Left);
    eventually("b has left", || {
        state_of(&a, "b") == Some(MemberState::Left)
    });
    assert_eq!(b.leave(Some(PATIENCE)), Ok(()));
    assert_eq!(b.set_tag("k", Some("v")).unwrap_err().status, Status::State);
    join(&b, &a);
    assert_eq!(b.state(), NodeState::Running);
    eventually("b is back", || {
        state_of(&a, "b") == Some(MemberState::Alive)
    });
    let operation = b.operation(7);
    b.leave_async(operation).unwrap();
    let done = wait_for(&b, EventKind::Done).body;
    let expected = EventBody::Done {
        id: operation.id,
        token: 7,
        result: Ok(0),
        missing: Vec::new(),
        keys: None,
    };
    assert_eq!(done, expected);
}

#[test]
fn a_node_that_is_shut_down_without_a_leave_is_seen_as_failed() {
    let _turn = alone();
    let (a, b) = (node("a"), node("b"));
    join(&b, &a);
    eventually("b is listed", || {
        state_of(&a, "b") == Some(MemberState::Alive)
    });
    b.shutdown();
    let operation = a.operation(0);
    a.hint(operation, "b").unwrap();
    let begun = Instant::now();
    let mut verdict = None;
    let mut failed = false;
    while !(failed && verdict.is_some()) && begun.elapsed() < PATIENCE {
        let event = a.next_event(Some(Duration::from_millis(100))).unwrap();
        match event.map(|event| event.body) {
            Some(EventBody::Done { id, result, .. }) => {
                verdict = Some((id, result.map_err(|error| error.status)));
            }
            Some(EventBody::MemberFail(_)) => failed = true,
            Some(_) | None => {}
        }
    }
    assert_eq!(verdict, Some((operation.id, Err(Status::Unreachable))));
    assert!(failed);
    assert_eq!(a.prune("b"), Ok(()));
    eventually("b is erased", || state_of(&a, "b").is_none());
}

#[test]
fn a_join_that_reaches_no_node_reports_the_reason() {
    let _turn = alone();
    let a = Node::start(&with("a", &[("encrypt", "MDEyMzQ1Njc4OWFiY2RlZg==")])).unwrap();
    let b = node("b");
    assert_eq!(b.join(&[], None).unwrap_err().status, Status::Invalid);
    assert_eq!(b.join(&["a b"], None).unwrap_err().status, Status::Address);
    let error = b.join(&["127.0.0.1:1"], Some(PATIENCE)).unwrap_err();
    assert_eq!(error.status, Status::Unreachable);
    assert!(error.message.contains("127.0.0.1:1"), "{}", error.message);
    let error = b
        .join(&["no-such-host.invalid"], Some(PATIENCE))
        .unwrap_err();
    assert_eq!(error.status, Status::Address, "{}", error.message);
    let addr = a.addr().to_string();
    let error = b.join(&[&addr], Some(PATIENCE)).unwrap_err();
    assert!(
        matches!(error.status, Status::Crypto | Status::Protocol),
        "{error}"
    );
    let operations = [b.operation(1), b.operation(2)];
    assert_ne!(operations[0].id, operations[1].id);
    for operation in operations {
        b.join_async(operation, &["127.0.0.1:1"]).unwrap();
        let done = wait_for(&b, EventKind::Done).body;
        let EventBody::Done {
            id, token, result, ..
        } = done
        else {
            panic!("{done:?}");
        };
        assert_eq!((id, token), (operation.id, operation.token));
        assert_eq!(result.unwrap_err().status, Status::Unreachable);
    }
}

#[test]
fn encrypted_nodes_with_a_label_and_a_host_name_find_each_other() {
    let _turn = alone();
    let pairs = [("encrypt", "MDEyMzQ1Njc4OWFiY2RlZg=="), ("label", "blue")];
    let a = Node::start(&with("a", &pairs)).unwrap();
    let seeds = format!("a/localhost:{}", a.addr().port());
    let b = Node::start(&with("b", &[pairs[0], pairs[1], ("seeds", &seeds)])).unwrap();
    eventually("the seed is joined", || {
        state_of(&a, "b") == Some(MemberState::Alive)
    });
    assert_eq!(b.join(&[&seeds], Some(PATIENCE)), Ok(1));
}

#[test]
fn a_node_on_both_families_and_one_on_ipv4_are_one_cluster_with_one_form_of_address() {
    let _turn = alone();
    let mut both = config("both", "[::]:0");
    both.set("advertise", "127.0.0.1").unwrap();
    let (a, b, c) = (Node::start(&both).unwrap(), node("b"), node("c"));
    join(&b, &a); // a accepts this stream from a mapped address
    join(&a, &c); // a sends datagrams to c at a mapped address
    let nodes = [&a, &b, &c];
    for (node, name) in [(&a, "b"), (&a, "c"), (&b, "c"), (&b, "both"), (&c, "both")] {
        eventually("all members are listed", || {
            state_of(node, name) == Some(MemberState::Alive)
        });
    }
    a.set_tag("form", Some("mapped")).unwrap();
    for node in nodes {
        eventually("the tag arrives", || {
            let members = node.members();
            members.iter().any(|it| it.tags().contains_key("form"))
        });
        let probes = counter(node, "probes");
        eventually("the node probes", || counter(node, "probes") >= probes + 2);
    }
    for node in nodes {
        assert!(node.members().iter().all(|member| member.addr.is_ipv4()));
        assert_eq!(counter(node, "refused_conflict"), 0);
        assert_eq!(counter(node, "conflicts"), 0);
    }
}

#[test]
fn the_descriptor_is_readable_while_events_are_queued_and_after_the_end() {
    let _turn = alone();
    let a = node("a");
    let fd = a.fd().unwrap();
    assert_eq!(
        wait_for(&a, EventKind::MemberJoin).member().unwrap().name,
        "a".into()
    );
    for round in 0..500 {
        assert!(!is_readable(fd, 0), "round {round}");
        a.set_tag("round", Some(&round.to_string())).unwrap();
        assert!(
            is_readable(fd, PATIENCE.as_millis() as i32),
            "round {round}"
        );
        let event = a.next_event(Some(Duration::ZERO)).unwrap().unwrap();
        assert_eq!(event.kind(), EventKind::MemberUpdate);
        assert_eq!(
            event.member().unwrap().tags().get("round"),
            Some(round.to_string().into())
        );
    }
    a.set_tag("last", Some("1")).unwrap();
    a.shutdown();
    assert!(
        a.next_event(None).unwrap().is_some(),
        "events that were queued can be read"
    );
    assert!(is_readable(fd, 0));
    assert_eq!(a.next_event(None).unwrap_err().status, Status::Closed);
    assert!(is_readable(fd, 0));
}

#[test]
fn calls_that_wait_end_when_the_node_is_shut_down() {
    let _turn = alone();
    let a = node("a");
    while a
        .next_event(Some(Duration::from_millis(50)))
        .unwrap()
        .is_some()
    {}
    let waits: [fn(&Node) -> Status; 2] = [
        |node| node.next_event(None).unwrap_err().status,
        // This address is reserved for documentation, so no host answers.
        |node| node.join(&["192.0.2.1:1"], None).unwrap_err().status,
    ];
    let threads = waits.map(|wait| {
        let node = a.clone();
        std::thread::spawn(move || wait(&node))
    });
    std::thread::sleep(Duration::from_millis(50));
    a.shutdown();
    for thread in threads {
        let status = thread.join().unwrap();
        assert!(
            matches!(status, Status::Closed | Status::Unreachable),
            "{status:?}"
        );
    }
    assert_eq!(a.state(), NodeState::Shutdown);
    assert_eq!(a.health().unwrap_err().status, Status::Closed);
    assert_eq!(a.set_tag("a", None).unwrap_err().status, Status::Closed);
    assert_eq!(a.members().len(), 1);
    assert!(!a.stats().is_empty());
}

#[test]
fn a_node_does_not_start_if_its_filter_rejects_its_own_address() {
    let _turn = with_others();
    let start = |networks| Node::start(&with("a", &[("cidrs_allowed", networks)]));
    let refused = start("10.0.0.0/8,192.168.0.0/16").unwrap_err();
    assert_eq!(refused.status, Status::Config);
    assert_eq!(
        refused.message,
        "the address of this node, 127.0.0.1, is in none of the networks of cidrs_allowed: \
         10.0.0.0/8, 192.168.0.0/16"
    );
    assert!(start("10.0.0.0/8,127.0.0.0/8").is_ok());
}
