//! Tests of whole nodes that need to look inside one.

use crate::driver::os::clock;
use crate::event::EventKind;
use crate::{Config, Node};
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
    let found = node.stats().into_iter().find(|(it, _, _)| *it == name);
    found.unwrap().1
}

/// Waits for an event of this kind; no member may be reported as failed meanwhile.
fn await_event(node: &Node, kind: EventKind) {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        match node.next_event(Some(SECOND)).unwrap() {
            Some(event) if event.kind() == kind => return,
            Some(event) => assert_ne!(event.kind(), EventKind::MemberFail),
            None => {}
        }
    }
    panic!("no {kind:?} came");
}

/// The clock of one engine jumps by an hour in the middle of its work, three times. The end of the
/// suspicion lies a hundred seconds ahead, and the suspected member keeps all that time.
#[test]
fn a_clock_that_jumps_by_an_hour_takes_no_time_from_a_suspected_member() {
    let (silent, watching) = (node("silent", "127.0.0.1:0"), node("b", "127.0.0.1:0"));
    let addr = silent.addr().to_string();
    assert_eq!(watching.join(&[&addr], Some(PATIENCE)), Ok(1));
    silent.shutdown();
    await_event(&watching, EventKind::MemberSuspect);
    for jumps in 1..=3 {
        let jump = |_: &mut _| clock::jump_ahead(3600 * SECOND);
        watching.shared.order(jump).unwrap();
        // The jump is noticed in one turn, in which the core also looks at its deadlines; the
        // counters are read in a later one.
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
