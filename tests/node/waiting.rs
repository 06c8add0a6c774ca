//! Waiting without a blocking call: subscriptions and operations, each with its descriptor.

use super::help::{PATIENCE, alone, config, eventually, join, node, with_others};
use sprat::EventKind;
use sprat::driver::{Pending, Subscription};
use sprat::{Node, Status};
use std::collections::BTreeMap;
use std::os::fd::RawFd;

fn readable(fd: RawFd, timeout_ms: i32) -> bool {
    let mut fds = [libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    }];
    // SAFETY: the call gets a pointer to one entry that lives until it returns.
    unsafe { libc::poll(fds.as_mut_ptr(), 1, timeout_ms) == 1 }
}

fn names(events: &Subscription) -> Vec<String> {
    let events = events.drain(100).unwrap();
    let members = events.iter().filter_map(|event| event.member());
    members.map(|member| member.name.to_string()).collect()
}

fn ended(pending: &Pending) -> sprat::driver::Outcome {
    assert!(readable(pending.fd().unwrap(), PATIENCE.as_millis() as i32));
    pending.outcome().unwrap().unwrap()
}

#[test]
fn each_subscription_sees_all_events_of_its_kinds_and_the_first_also_earlier_ones() {
    let _turn = with_others();
    let (a, b) = (node("subscribed-a"), node("subscribed-b"));
    join(&a, &b);
    let joins = [EventKind::MemberJoin, EventKind::MemberUpdate];
    let first = a.subscribe(64, &joins).unwrap();
    assert_eq!(names(&first), ["subscribed-a", "subscribed-b"]);
    assert!(!readable(first.fd().unwrap(), 0));
    let second = a.subscribe(64, &joins).unwrap();
    b.set_tag("x", Some("y")).unwrap();
    for events in [&first, &second] {
        assert!(readable(events.fd().unwrap(), PATIENCE.as_millis() as i32));
        assert_eq!(names(events), ["subscribed-b"]);
    }
    a.close();
    for events in [&first, &second] {
        assert!(readable(events.fd().unwrap(), 0), "the end is readable");
        assert_eq!(events.drain(9).unwrap_err().status, Status::Closed);
    }
    assert_eq!(a.subscribe(64, &[]).err().unwrap().status, Status::Closed);
}

#[test]
fn subscriptions_that_come_and_go_leave_no_descriptor_behind() {
    let _alone = alone();
    let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let a = node("coming-and-going");
    let before = count();
    for _ in 0..500 {
        let events = a.subscribe(16, &[]).unwrap();
        a.set_tag("x", Some("y")).unwrap();
        drop(events);
        let _dropped_at_once = a.begin_leave().unwrap();
        let _and_this = a.begin_join(&["127.0.0.1:1"]).unwrap();
    }
    eventually("descriptors are as before", || count() == before);
}

#[test]
fn an_operation_reports_its_outcome_on_its_own_descriptor() {
    let _turn = with_others();
    let (a, b) = (node("begun-a"), node("begun-b"));
    let there = b.addr().to_string();
    let joined = ended(&a.begin_join(&[&there, "127.0.0.1:1"]).unwrap());
    assert_eq!(joined.result, Ok(1));
    assert_eq!(joined.failures.len(), 1);
    assert_eq!(joined.failures[0].addr, "127.0.0.1:1");
    assert_eq!(joined.failures[0].error.status, Status::Unreachable);
    let failed = ended(&a.begin_join(&["127.0.0.1:1", "127.0.0.1:2"]).unwrap());
    assert_eq!(failed.result.unwrap_err().status, Status::Unreachable);
    assert_eq!(failed.failures.len(), 2);
    assert_eq!(ended(&a.begin_hint("begun-b").unwrap()).result, Ok(0));
    assert_eq!(
        a.begin_hint("nobody").err().unwrap().status,
        Status::NotFound
    );
    assert_eq!(ended(&a.begin_leave().unwrap()).result, Ok(0));
}

#[test]
fn an_operation_ends_with_its_node() {
    let _turn = with_others();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = silent.local_addr().unwrap().to_string();
    let mut config = config("ending", "127.0.0.1:0");
    config.set("stream_timeout_ms", "600000").unwrap();
    let node = Node::start(&config).unwrap();
    let pending = node.begin_join(&[&addr]).unwrap();
    assert!(pending.outcome().unwrap().is_none());
    node.close();
    assert_eq!(ended(&pending).result.unwrap_err().status, Status::Closed);
}

#[test]
fn several_tags_change_in_one_step() {
    let _turn = with_others();
    let (a, b) = (node("tagged-a"), node("tagged-b"));
    a.set_tag("gone", Some("x")).unwrap();
    join(&a, &b);
    let updates = b.subscribe(64, &[EventKind::MemberUpdate]).unwrap();
    let text = |value: &str| Some(value.to_owned());
    let changes = BTreeMap::from([
        ("role".to_owned(), text("db")),
        ("port".to_owned(), text("5432")),
        ("gone".to_owned(), None),
    ]);
    a.update_tags(changes).unwrap();
    eventually("the other node sees the tags", || {
        b.member("tagged-a")
            .is_some_and(|it| it.tags().get("role").is_some())
    });
    let seen = b.member("tagged-a").unwrap();
    assert_eq!(seen.tags().to_map().len(), 2);
    assert_eq!(names(&updates), ["tagged-a"], "reported once");
    assert!(b.member("nobody").is_none());
    let empty = BTreeMap::from([(String::new(), text("x"))]);
    assert_eq!(a.update_tags(empty).unwrap_err().status, Status::Invalid);
}
