//! Processes that run out of descriptors, give up the right to open more, close the descriptors of
//! a node, or open their own under the same numbers.
//!
//! Descriptors and their limit belong to a whole process, so each test works on those of a child
//! process of its own. The exit status of the child shows whether its part of the test has passed;
//! a failure is printed.

use super::help::{
    PATIENCE, alone, config, count, counter, eventually, in_child, is_readable, join, node,
    state_of, with,
};
use socket2::{Domain, Socket, Type};
use sprat::serf::MemberState;
use sprat::{EventBody, NodeState};
use sprat::{Node, Status};
use std::fs::File;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// Runs `child` in a forked process. The test fails if `child` panics or does not end in time.
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
        // Each round frees one more descriptor. The error must not depend on which one is missing.
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
            "a start needs {refused} descriptors, expected 3 to 8"
        );
        assert_eq!(started.health().unwrap().live, 1);
        drop(started);
        let freed: Vec<File> = (0..refused)
            .map_while(|_| File::open("/dev/null").ok())
            .collect();
        assert_eq!(freed.len(), refused, "a refused start keeps no descriptor");
    });
}

/// Takes all queued events, and returns the texts of the log lines among them. Panics if a member
/// has failed.
fn logged(node: &Node) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(event) = node.next_event(Some(Duration::ZERO)).unwrap() {
        match event.body {
            EventBody::MemberFail(member) => panic!("{} failed", member.name),
            EventBody::Log { text, .. } => lines.push(text),
            _ => {}
        }
    }
    lines
}

/// Checks that a shortage that began at `begun` was logged, and at most once a minute.
fn assert_logged(lines: &[String], what: &str, begun: Instant) {
    let count = lines.iter().filter(|it| it.contains(what)).count() as u64;
    let most = 1 + begun.elapsed().as_secs() / 60;
    assert!((1..=most).contains(&count), "{count} × {what}: {lines:?}");
}

#[test]
fn a_node_without_descriptors_opens_or_accepts_one_stream_at_a_time_and_keeps_probing() {
    let _turn = alone();
    let other = node("other");
    let other_addr = other.addr().to_string();
    let good = in_child(|| {
        let a = Node::start(&with("a", &[("log_level", "warn")])).unwrap();
        let join = || assert_eq!(a.join(&[&other_addr], Some(PATIENCE)), Ok(1));
        join();
        allow(128);
        let silent = [(); 4].map(|()| Socket::new(Domain::IPV4, Type::STREAM, None).unwrap());
        let begun = Instant::now();
        let files = exhaust();
        let named = other_addr.replace("127.0.0.1", "localhost");
        for addr in [&other_addr, &named, &other_addr] {
            assert_eq!(a.join(&[addr], Some(PATIENCE)), Ok(1));
            eventually("the reserve is back", || exhaust().is_empty());
        }
        // The test's ends of the connections have descriptors already; `a` needs new ones.
        for socket in &silent {
            socket.connect(&a.addr().into()).unwrap();
        }
        eventually("one is accepted", || counter(&a, "streams_open") == 1);
        eventually("accepting fails", || counter(&a, "accept_failures") >= 2);
        assert!(counter(&a, "streams_open") <= 1, "one descriptor is free");
        let health = a.health().unwrap();
        assert!(health.summary.contains("descriptors"), "{health:?}");
        // Probes are datagrams, so they go on.
        let (turns, cpu, asked) = (counter(&a, "engine_turns"), used(), Instant::now());
        let probes = counter(&a, "probes");
        eventually("probes go on", || counter(&a, "probes") >= probes + 2);
        let (time, turns) = (asked.elapsed(), counter(&a, "engine_turns") - turns);
        // Reading the counter every 5 ms wakes the engine as well.
        let most = 1000.0 + time.as_secs_f64() * 400.0;
        assert!((turns as f64) < most, "{turns} turns in {time:?}");
        let cpu = used() - cpu;
        assert!(cpu < time.mul_f64(0.6), "{cpu:?} of {time:?}");
        // The node's own streams have priority over those of strangers.
        join();
        assert_logged(&logged(&a), "cannot accept connections", begun);
        drop((files, silent));
        join();
        eventually("healthy again", || a.health().unwrap().summary == "healthy");
        true
    });
    assert!(good);
    logged(&other);
}

/// An address at which a service can listen.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

#[cfg(feature = "spoe")]
#[test]
fn a_service_in_a_process_without_descriptors_logs_that_it_cannot_accept() {
    in_a_process(|| {
        let addr = free_address();
        let pairs = [("spoe_bind", &*addr.to_string()), ("log_level", "warn")];
        let a = Node::start(&with("a", &pairs)).unwrap();
        allow(128);
        // The test's end of the connection has a descriptor already; the service needs a new one.
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let begun = Instant::now();
        let files = exhaust();
        socket.connect(&addr.into()).unwrap();
        eventually("accepting fails", || {
            counter(&a, "spoe_accept_failures") >= 2
        });
        let mut lines = Vec::new();
        eventually("the failure is logged", || {
            lines.extend(logged(&a));
            lines.iter().any(|it| it.contains("spoe_accept_failures"))
        });
        assert_logged(&lines, "spoe_accept_failures", begun);
        let health = a.health().unwrap();
        assert!(health.summary.contains("a service"), "{health:?}");
        drop(files);
        eventually("the connection is accepted", || {
            counter(&a, "spoe_connections") == 1
        });
    });
}

#[cfg(feature = "spoe")]
#[test]
fn an_idle_connection_of_a_service_gives_way_when_descriptors_run_out() {
    in_a_process(|| {
        let addr = free_address();
        let a = Node::start(&with("a", &[("spoe_bind", &*addr.to_string())])).unwrap();
        allow(128);
        let mut idle = [(); 2].map(|()| {
            let idle = TcpStream::connect(addr).unwrap();
            idle.set_read_timeout(Some(PATIENCE)).unwrap();
            idle
        });
        eventually("both are accepted", || counter(&a, "spoe_connections") == 2);
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let files = exhaust();
        socket.connect(&addr.into()).unwrap();
        // The connection that was opened first has been silent longest.
        assert_eq!(idle[0].read(&mut [0]).unwrap(), 0);
        eventually("the new one is accepted", || {
            counter(&a, "spoe_connections") == 2 && counter(&a, "spoe_refused") == 1
        });
        let health = a.health().unwrap();
        assert!(health.summary.contains("a service"), "{health:?}");
        drop(files);
    });
}

/// A stranger opens idle connections to a node whose process may open only a few descriptors.
#[test]
fn silent_connections_give_way_when_descriptors_run_out_and_joins_work_in_both_directions() {
    let _turn = alone();
    let friend = node("friend");
    let (friend_addr, seen) = (friend.addr().to_string(), friend.clone());
    let stranger = std::thread::spawn(move || {
        eventually("the node `few` has joined", || {
            state_of(&seen, "few") == Some(MemberState::Alive)
        });
        let few = seen.member("few").unwrap().addr;
        let idle = [(); 200].map(|()| TcpStream::connect(few).unwrap());
        for _ in 0..3 {
            assert_eq!(seen.join(&[&few.to_string()], Some(PATIENCE)), Ok(1));
        }
        seen.set_tag("joined", Some("yes")).unwrap();
        idle
    });
    let good = in_child(|| {
        let pairs = [("stream_timeout_ms", "5000"), ("log_level", "warn")];
        let few = Node::start(&with("few", &pairs)).unwrap();
        let begun = Instant::now();
        allow(count("/proc/self/fd") as u64 + 12);
        let join = || few.join(&[&friend_addr], Some(PATIENCE));
        assert_eq!(join(), Ok(1));
        eventually("the friend has joined", || {
            let friend = few.member("friend");
            friend.is_some_and(|it| it.tags().contains_key("joined"))
        });
        let health = few.health().unwrap();
        assert!(health.summary.contains("descriptors"), "{health:?}");
        for _ in 0..3 {
            assert_eq!(join(), Ok(1));
        }
        assert!(counter(&few, "streams_given_up") > 0);
        assert_logged(&logged(&few), "cannot accept connections", begun);
        true
    });
    assert!(good);
    drop(stranger.join().unwrap());
    logged(&friend);
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
            members[0].tags().get("sandbox").as_deref() == Some("yes")
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

fn is_open(fd: i32) -> bool {
    // SAFETY: the call only reads flags, whatever the number stands for.
    unsafe { libc::fcntl(fd, libc::F_GETFD) != -1 }
}

/// The descriptors that are open now.
fn open() -> Vec<i32> {
    (0..256).filter(|fd| is_open(*fd)).collect()
}

fn close(fd: i32) {
    // SAFETY: no other thread of this child opens a descriptor that could get this number.
    unsafe { libc::close(fd) };
}

/// Lets a node join another one, and waits until both have closed their streams. If a test closed
/// the descriptor of a stream just when its node does, the node might close a file of the test.
fn join_and_settle(node: &Node, other: &Node) {
    join(node, other);
    for it in [node, other] {
        eventually("no stream is open", || counter(it, "streams_open") == 0);
    }
}

/// Waits until a node is broken because its descriptors are gone, and ends it.
fn assert_broken(node: &Node) {
    eventually("broken", || node.state() == NodeState::Broken);
    let error = node.health().unwrap_err();
    assert_eq!(error.status, Status::Internal);
    assert!(error.message.contains("closed descriptors"), "{error}");
    node.close();
}

/// Some daemons close all descriptors that they do not know, even after a node has started.
#[test]
fn nodes_whose_descriptors_were_closed_by_their_host_are_broken_and_end_by_themselves() {
    in_a_process(|| {
        let before = open();
        let mut nodes = vec![node("a"), node("b")];
        if cfg!(feature = "spoe") {
            let pairs = [("spoe_bind", &*free_address().to_string())];
            nodes.push(Node::start(&with("c", &pairs)).unwrap());
        }
        join_and_settle(&nodes[1], &nodes[0]);
        open()
            .into_iter()
            .filter(|fd| !before.contains(fd))
            .for_each(close);
        nodes.iter().for_each(assert_broken);
        eventually("their threads are gone", || count("/proc/self/task") == 1);
    });
}

/// The call cannot wake the engine through a closed descriptor. It must fail at once instead of
/// waiting until the engine wakes up for another reason.
#[test]
fn a_call_on_a_node_whose_descriptors_were_closed_fails_although_the_engine_sleeps() {
    in_a_process(|| {
        let before = open();
        let node = node("a");
        let _pending = node.begin_join(&["127.0.0.1:1"]);
        open()
            .into_iter()
            .filter(|fd| !before.contains(fd))
            .for_each(close);
        let error = node.set_tag("a", Some("b")).unwrap_err();
        assert_eq!(error.status, Status::Internal, "{error}");
        assert_broken(&node);
    });
}

/// Opens a file of one kind for the host, and returns its descriptors: two for a pipe, else one.
type Opener = fn() -> Vec<OwnedFd>;

fn file() -> Vec<OwnedFd> {
    vec![tempfile().into()]
}

/// Returns an empty file that no longer has a name.
fn tempfile() -> File {
    let path = std::env::temp_dir().join(format!("sprat-host-{}", std::process::id()));
    let mut options = File::options();
    let file = options.read(true).append(true).create(true).open(&path);
    std::fs::remove_file(path).unwrap();
    file.unwrap()
}

fn udp() -> Vec<OwnedFd> {
    vec![UdpSocket::bind("127.0.0.1:0").unwrap().into()]
}

fn pipe() -> Vec<OwnedFd> {
    let (reader, writer) = nix::unistd::pipe().unwrap();
    vec![reader, writer]
}

fn eventfd() -> Vec<OwnedFd> {
    // SAFETY: the call opens a descriptor, which nothing else owns.
    vec![unsafe { OwnedFd::from_raw_fd(libc::eventfd(0, libc::EFD_NONBLOCK)) }]
}

fn epoll() -> Vec<OwnedFd> {
    // SAFETY: the call opens a descriptor, which nothing else owns.
    vec![unsafe { OwnedFd::from_raw_fd(libc::epoll_create1(0)) }]
}

/// A daemon that closes all descriptors usually opens files of its own right afterwards.
#[test]
fn nodes_whose_descriptors_now_belong_to_files_of_the_host_leave_these_alone() {
    let kinds: [Opener; 5] = [file, udp, pipe, eventfd, epoll];
    for open_one in kinds {
        in_a_process(|| {
            let before = open();
            let nodes = [node("a"), node("b")];
            join_and_settle(&nodes[1], &nodes[0]);
            let taken: Vec<i32> = open()
                .into_iter()
                .filter(|fd| !before.contains(fd))
                .collect();
            taken.iter().copied().for_each(close);
            let mut owned: Vec<OwnedFd> = Vec::new();
            while owned
                .iter()
                .all(|fd| fd.as_raw_fd() <= taken[taken.len() - 1])
            {
                owned.extend(open_one());
            }
            nodes.iter().for_each(assert_broken);
            assert!(owned.iter().all(|fd| is_open(fd.as_raw_fd())));
            for fd in &owned {
                let metadata = File::from(fd.try_clone().unwrap()).metadata().unwrap();
                let is_written = match metadata.is_file() {
                    true => metadata.len() > 0,
                    false => is_readable(fd.as_raw_fd(), 0),
                };
                assert!(!is_written, "{fd:?}");
            }
            drop(nodes);
            assert!(owned.iter().all(|fd| is_open(fd.as_raw_fd())));
        });
    }
}

#[test]
fn a_forked_child_keeps_the_files_that_have_taken_the_descriptor_numbers_of_a_node() {
    in_a_process(|| {
        let before = open();
        let node = node("a");
        let taken: Vec<i32> = open()
            .into_iter()
            .filter(|fd| !before.contains(fd))
            .collect();
        taken.iter().copied().for_each(close);
        let owned: Vec<OwnedFd> = taken.iter().flat_map(|_| file()).collect();
        assert!(in_child(|| owned.iter().all(|fd| is_open(fd.as_raw_fd()))));
        assert_broken(&node);
    });
}

/// A daemon whose standard streams are closed may open `/dev/null` in their place some time later.
#[test]
fn no_descriptor_of_a_node_is_a_standard_stream() {
    in_a_process(|| {
        (0..3).for_each(close);
        let (a, b) = (node("a"), node("b"));
        join(&b, &a);
        let subscription = a.subscribe(16, &[]).unwrap();
        assert!(subscription.fd().unwrap() > 2);
        let pending = a.begin_join(&[&b.addr().to_string()]).unwrap();
        assert!(pending.fd().unwrap() > 2);
        assert!((0..3).all(|fd| !is_open(fd)));
        let null = File::open("/dev/null").unwrap();
        for fd in 0..3 {
            // SAFETY: the number belongs to nothing but this test.
            unsafe { libc::dup2(null.as_raw_fd(), fd) };
        }
        let (cpu, begun) = (used(), Instant::now());
        let probes = counter(&a, "probes");
        eventually("probes go on", || counter(&a, "probes") >= probes + 2);
        assert!(used() - cpu < begun.elapsed().mul_f64(0.6));
        join(&a, &b);
    });
}
