//! Tests of whole nodes that run code on the engine's thread.

use crate::driver::engine::command::Command;
use crate::driver::events::completion::Waiter;
use crate::driver::os::clock;
use crate::driver::os::oneshot::{Waited, oneshot};
use crate::error::Status;
use crate::event::{EventBody, EventKind};
use crate::{Config, Node, NodeState};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(60);

fn node(name: &str, bind: &str) -> Node {
    let mut config = Config::new();
    let settings = [
        ("name", name),
        ("bind", bind),
        ("profile", "local"),
        ("suspicion_mult", "100"), // a suspicion lasts a hundred seconds
    ];
    for (key, value) in settings {
        config.set(key, value).unwrap();
    }
    Node::start(&config).unwrap()
}

fn counter(node: &Node, name: &str) -> i64 {
    let found = node.stats().into_iter().find(|it| it.name == name);
    found.unwrap().value
}

/// Waits for an event of this kind; no member may be reported as failed before it.
fn await_event(node: &Node, kind: EventKind) {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        match node.next_event(Some(SECOND)).unwrap() {
            Some(event) if event.kind() == kind => return,
            Some(event) => assert_ne!(event.kind(), EventKind::MemberFail),
            None => {}
        }
    }
    panic!("no {kind:?} event arrived");
}

/// The clock of one engine jumps by an hour in the middle of its work, three times. The suspicion
/// lasts a hundred seconds, and the jumps do not shorten it.
#[test]
fn a_clock_that_jumps_by_an_hour_takes_no_time_from_a_suspected_member() {
    let (silent, watching) = (node("silent", "127.0.0.1:0"), node("b", "127.0.0.1:0"));
    let addr = silent.addr().to_string();
    assert_eq!(watching.join(&[&addr], Some(PATIENCE)), Ok(1));
    silent.shutdown();
    await_event(&watching, EventKind::MemberSuspect);
    for jumps in 1..=3 {
        let jump = Box::new(|| clock::jump_ahead(3600 * SECOND));
        watching.running.send(Command::Test(jump)).unwrap();
        // The jump is noticed in one turn, in which the core also looks at its deadlines; the
        // counters are read in a later turn.
        let begun = Instant::now();
        while counter(&watching, "stalls") < jumps {
            assert!(begun.elapsed() < PATIENCE, "the jump was not noticed");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    let back = node("silent", &addr);
    let to = watching.addr().to_string();
    assert_eq!(back.join(&[&to], Some(PATIENCE)), Ok(1));
    await_event(&watching, EventKind::MemberAlive);
}

/// All commands of a turn see the time that the engine read when it woke up. A hint that began at
/// the time after the jump would be postponed by the length of the jump, and end an hour late.
#[test]
fn an_operation_that_begins_after_the_clock_jumps_within_a_turn_ends_in_time() {
    let (silent, watching) = (node("silent", "127.0.0.1:0"), node("b", "127.0.0.1:0"));
    let addr = silent.addr().to_string();
    assert_eq!(watching.join(&[&addr], Some(PATIENCE)), Ok(1));
    silent.shutdown();
    // The engine is held until the commands after this one are queued, so they run in one turn.
    let (release, released) = mpsc::channel::<()>();
    let hold = Box::new(move || released.recv().unwrap());
    let jump = Box::new(|| clock::jump_ahead(3600 * SECOND));
    let operation = watching.operation(0);
    let (accepted, is_accepted) = oneshot();
    let (explained, explanation) = oneshot();
    let name = || "silent".to_owned();
    for command in [
        Command::Test(hold),
        Command::Test(jump),
        Command::Hint {
            name: name(),
            waiter: Waiter::Event(operation),
            reply: accepted,
        },
        Command::Explain {
            name: name(),
            reply: explained,
        },
    ] {
        watching.running.send(command).unwrap();
    }
    release.send(()).unwrap();
    assert_eq!(is_accepted.wait(Some(PATIENCE)), Waited::Answered(Ok(())));
    let Waited::Answered(Ok(explanation)) = explanation.wait(Some(PATIENCE)) else {
        panic!("no explanation of a known member");
    };
    assert!(explanation.since < 2 * PATIENCE, "{explanation}");
    await_event(&watching, EventKind::Done);
}

#[test]
fn the_counters_of_a_node_that_is_ending_are_never_empty() {
    let node = node("ending", "127.0.0.1:0");
    let (release, released) = mpsc::channel::<()>();
    let hold = Box::new(move || released.recv().unwrap());
    node.running.send(Command::Test(hold)).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| node.shutdown());
        let begun = Instant::now();
        while node.running.send(Command::Test(Box::new(|| ()))).is_ok() {
            assert!(
                begun.elapsed() < PATIENCE,
                "the engine was not asked to end"
            );
            std::thread::yield_now();
        }
        let reading = scope.spawn(|| node.stats());
        release.send(()).unwrap();
        assert!(!reading.join().unwrap().is_empty());
    });
}

#[test]
fn calls_that_wait_for_a_node_that_breaks_return_the_reason() {
    let mut config = Config::new();
    config.set("name", "fragile").unwrap();
    config.set("bind", "127.0.0.1:0").unwrap();
    let node = Node::start(&config).unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = silent.local_addr().unwrap().to_string();
    let joining = node.begin_join(&[&addr]).unwrap();
    // The engine is held until the command after the panic is queued as well.
    let (release, released) = mpsc::channel::<()>();
    let hold = Box::new(move || released.recv().unwrap());
    let panic = Box::new(|| panic!("on purpose"));
    let (unrun, unbegun) = (node.operation(7), node.operation(8));
    let (reply, begun) = oneshot();
    for command in [
        Command::Test(hold),
        Command::Test(panic),
        Command::Leave {
            waiter: Waiter::Event(unrun),
        },
        Command::Hint {
            name: "nobody".to_owned(),
            waiter: Waiter::Event(unbegun),
            reply,
        },
    ] {
        node.running.send(command).unwrap();
    }
    release.send(()).unwrap();
    assert!(matches!(begun.wait(Some(PATIENCE)), Waited::Dropped));
    let error = node.join(&[&addr], None).unwrap_err();
    assert_eq!(error.status, Status::Internal);
    assert!(error.message.contains("on purpose"), "{error:?}");
    let events = std::iter::from_fn(|| node.next_event(None).ok().flatten());
    let bodies: Vec<_> = events.map(|event| event.body).collect();
    let is_fatal = |body: &EventBody| matches!(body, EventBody::Fatal { .. });
    assert!(bodies.iter().any(is_fatal), "{bodies:?}");
    let done = bodies.iter().find_map(|body| match body {
        EventBody::Done { id, result, .. } if *id == unrun.id => Some(result.clone()),
        _ => None,
    });
    let ended = done.expect("the command after the panic has an outcome");
    let is_of_hint =
        |body: &EventBody| matches!(body, EventBody::Done { id, .. } if *id == unbegun.id);
    assert!(
        !bodies.iter().any(is_of_hint),
        "the hint has failed, so it has no event"
    );
    assert_eq!(ended.unwrap_err().status, Status::Internal);
    assert_eq!(node.state(), NodeState::Broken);
    assert_eq!(node.leave(None).unwrap_err().status, Status::Internal);
    let outcome = joining.outcome().unwrap().unwrap();
    assert_eq!(outcome.result.unwrap_err().status, Status::Internal);
}
