//! A process that has run out of descriptors, gives up the right to open any, or closes those of a
//! node.
//!
//! The limit applies to the whole process, so each test runs in a child of its own. The exit status
//! of the child shows whether the test has passed; a failure is printed.

use super::help::{
    PATIENCE, alone, config, count, counter, eventually, in_child, join, node, state_of, with,
};
use sprat::serf::MemberState;
use sprat::{EventBody, NodeState};
use sprat::{Node, Status};
use std::fs::File;
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Runs `child` in a forked process. The test fails if `child` panics.
fn in_a_process(child: impl FnOnce()) {
    let _turn = alone();
    assert!(in_child(|| {
        child();
        true
    }));
}

/// Sets the limit of descriptors of this process, and returns the previous one.
fn allow(descriptors: u64) -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both calls get a pointer to an rlimit that lives until they return.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        let before = std::mem::replace(&mut limit.rlim_cur, descriptors);
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
        before
    }
}

/// Opens files until no more can be opened.
fn exhaust() -> Vec<File> {
    let mut files = Vec::new();
    loop {
        match File::open("/dev/null") {
            Ok(file) => files.push(file),
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
                return files;
            }
        }
    }
}

/// The processor time that this process has used.
fn used() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the call gets a pointer to a timespec that lives until it returns.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
fn a_start_without_descriptors_names_the_limit_and_leaves_nothing_behind() {
    in_a_process(|| {
        allow(128);
        let settings = config("a", "127.0.0.1:0");
        let mut files = exhaust();
        let mut refused = 0;
        // Each round allows one descriptor more: the error does not depend on which one is missing.
        let started = loop {
            match Node::start(&settings) {
                Ok(node) => break node,
                Err(error) => {
                    assert_eq!((error.status, error.errno), (Status::Io, libc::EMFILE));
                    assert!(
                        error.message.contains("128 descriptors (RLIMIT_NOFILE"),
                        "{}",
                        error.message
                    );
                    refused += 1;
                }
            }
            drop(files.pop());
        };
        assert!(
            (3..=8).contains(&refused),
            "{refused} descriptors are needed"
        );
        assert_eq!(started.health().unwrap().live, 1);
        drop(started);
        let freed: Vec<File> = (0..refused)
            .map_while(|_| File::open("/dev/null").ok())
            .collect();
        assert_eq!(freed.len(), refused, "a refused start keeps no descriptor");
    });
}

#[test]
fn a_node_without_descriptors_neither_dials_nor_accepts_nor_spins_and_goes_on_afterwards() {
    in_a_process(|| {
        let logging = with("a", &[("log_level", "warn")]);
        let (a, b) = (Node::start(&logging).unwrap(), node("b"));
        join(&b, &a);
        eventually("both listed", || {
            state_of(&a, "b") == Some(MemberState::Alive)
        });
        // This end of the connection is opened while there are descriptors; `a` has to accept it.
        allow(128);
        let mut files = exhaust();
        drop(files.pop());
        let waiting = TcpStream::connect(a.addr()).unwrap();
        eventually("no connection can be accepted", || {
            counter(&a, "accept_failures") >= 2
        });
        let error = a
            .join(&[&b.addr().to_string()], Some(PATIENCE))
            .unwrap_err();
        assert_eq!(error.status, Status::Unreachable, "{error}");
        // Probes are datagrams, so they go on.
        let (turns, cpu, begun) = (counter(&a, "engine_turns"), used(), Instant::now());
        let probes = counter(&a, "probes");
        eventually("probes go on", || counter(&a, "probes") >= probes + 2);
        let (time, turns) = (begun.elapsed(), counter(&a, "engine_turns") - turns);
        // Reading the counter every 5 ms wakes the engine as well.
        let most = 1000.0 + time.as_secs_f64() * 400.0;
        assert!((turns as f64) < most, "{turns} turns in {time:?}");
        let cpu = used() - cpu;
        assert!(cpu < time.mul_f64(0.6), "{cpu:?} of {time:?}");
        drop(files);
        assert_eq!(a.join(&[&b.addr().to_string()], Some(PATIENCE)), Ok(1));
        drop(waiting);
        let failures = counter(&a, "accept_failures");
        join(&b, &a);
        assert_eq!(counter(&a, "accept_failures"), failures);
        let mut logged = String::new();
        for node in [&a, &b] {
            while let Some(event) = node.next_event(Some(Duration::ZERO)).unwrap() {
                match event.body {
                    EventBody::MemberFail(member) => panic!("{} failed", member.name),
                    EventBody::Log { text, .. } => logged.push_str(&text),
                    _ => {}
                }
            }
        }
        for failed in ["cannot accept connections", "cannot open a connection"] {
            assert!(logged.contains(failed), "{logged}");
        }
    });
}

#[test]
fn a_process_that_gives_up_the_right_to_open_descriptors_keeps_a_node_that_works() {
    in_a_process(|| {
        let (a, b) = (node("a"), node("b"));
        join(&b, &a);
        let before = allow(0);
        let (cpu, begun) = (used(), Instant::now());
        let probes = (counter(&a, "probes"), counter(&b, "probes"));
        a.set_tag("sandbox", Some("yes")).unwrap();
        eventually("the tag arrives", || {
            let members = b.members();
            members[0].tags.get("sandbox").map(String::as_str) == Some("yes")
        });
        eventually("probes go on", || {
            counter(&a, "probes") >= probes.0 + 2 && counter(&b, "probes") >= probes.1 + 2
        });
        let (cpu, time) = (used() - cpu, begun.elapsed());
        assert!(cpu < time.mul_f64(0.6), "{cpu:?} of {time:?}");
        eventually("nobody is suspected", || {
            state_of(&a, "b") == Some(MemberState::Alive)
                && state_of(&b, "a") == Some(MemberState::Alive)
        });
        allow(before);
        assert_eq!(a.join(&[&b.addr().to_string()], Some(PATIENCE)), Ok(1));
    });
}

/// Some daemons close all descriptors that they do not know, and some do it too late.
#[test]
fn nodes_whose_descriptors_were_closed_by_their_host_are_broken_and_end_by_themselves() {
    in_a_process(|| {
        let is_open = |fd: &i32| {
            // SAFETY: the call only reads flags, whatever the number stands for.
            unsafe { libc::fcntl(*fd, libc::F_GETFD) != -1 }
        };
        let before: Vec<i32> = (0..256).filter(is_open).collect();
        let nodes = [node("a"), node("b")];
        join(&nodes[1], &nodes[0]);
        let ours = (0..256).filter(|fd| is_open(fd) && !before.contains(fd));
        // SAFETY: no other thread of this child opens a descriptor that could get one of the
        // numbers.
        ours.for_each(|fd| unsafe {
            libc::close(fd);
        });
        // The next probe is due within a second.
        for node in &nodes {
            eventually("broken", || node.state() == NodeState::Broken);
            let error = node.health().unwrap_err();
            assert_eq!(error.status, Status::Internal);
            assert!(error.message.contains("closed descriptors"), "{error}");
            node.close();
        }
        eventually("their threads are gone", || count("/proc/self/task") == 1);
    });
}
