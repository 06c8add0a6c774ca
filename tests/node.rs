//! Nodes with real sockets and threads on the loopback interface.

use sprat::driver::{Event, EventKind, NodeState, Parked, Spawn};
use sprat::serf::MemberState;
use sprat::{Config, Node, Status};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// Tests that count threads or descriptors, or fork, cannot run beside others.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn config(name: &str, bind: &str) -> Config {
    let mut config = Config::new();
    for (key, value) in [("name", name), ("bind", bind), ("profile", "local")] {
        config.set(key, value).unwrap();
    }
    config
}

fn with(name: &str, pairs: &[(&str, &str)]) -> Config {
    let mut config = config(name, "127.0.0.1:0");
    for (key, value) in pairs {
        config.set(key, value).unwrap();
    }
    config
}

fn node(name: &str) -> Node {
    Node::start(&config(name, "127.0.0.1:0")).unwrap()
}

fn join(node: &Node, other: &Node) {
    let addr = other.addr().to_string();
    assert_eq!(node.join(&[&addr], Some(PATIENCE)), Ok(1));
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn state_of(node: &Node, name: &str) -> Option<MemberState> {
    let members = node.members();
    let found = members.iter().find(|member| &*member.name == name)?;
    Some(found.state)
}

/// The next event of this kind.
fn wait_for(node: &Node, kind: EventKind) -> Event {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(event) = node.next_event(Some(Duration::from_millis(100))).unwrap()
            && event.kind == kind
        {
            return event;
        }
    }
    panic!("no {kind:?} came");
}

fn is_readable(fd: RawFd, timeout_ms: i32) -> bool {
    let mut fds = [libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    }];
    // SAFETY: one initialised entry.
    unsafe { libc::poll(fds.as_mut_ptr(), 1, timeout_ms) == 1 }
}

fn count(directory: &str) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

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
    assert_eq!(
        b.members()[0].tags.get("role").map(String::as_str),
        Some("db")
    );
    assert_eq!(b.members()[0].addr, a.addr());
    let version = b.members_version();
    a.set_tag("role", Some("web")).unwrap();
    eventually("the tag arrives", || {
        b.members()[0].tags.get("role").map(String::as_str) == Some("web")
    });
    assert_ne!(b.members_version(), version);
    assert_eq!(
        a.set_tag("big", Some(&"x".repeat(600))).unwrap_err().status,
        Status::TooLarge
    );
    assert_eq!(a.set_meta(b"raw").unwrap_err().status, Status::State);
    assert!(a.health().unwrap().live == 2);
    assert_eq!(&*a.reasons("b").unwrap().name, "b");
    assert_eq!(a.reasons("x").unwrap_err().status, Status::NotFound);
    let joins = b
        .stats()
        .into_iter()
        .find(|(name, _, _)| *name == "push_pulls")
        .unwrap();
    assert!(joins.1 >= 1);
}

#[test]
fn a_leave_is_seen_as_one_and_a_join_brings_the_node_back() {
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
    let id = b.leave_async().unwrap();
    let done = wait_for(&b, EventKind::Done);
    assert_eq!((done.id, done.status), (id, 0));
}

#[test]
fn a_node_that_is_shut_down_without_a_word_fails() {
    let _turn = alone();
    let (a, b) = (node("a"), node("b"));
    join(&b, &a);
    eventually("b is listed", || {
        state_of(&a, "b") == Some(MemberState::Alive)
    });
    b.shutdown();
    let id = a.hint("b").unwrap();
    let begun = Instant::now();
    let mut verdict = None;
    let mut failed = false;
    while !(failed && verdict.is_some()) && begun.elapsed() < PATIENCE {
        match a.next_event(Some(Duration::from_millis(100))).unwrap() {
            Some(event) if event.kind == EventKind::Done => {
                verdict = Some((event.id, event.status))
            }
            Some(event) if event.kind == EventKind::MemberFail => failed = true,
            Some(_) | None => {}
        }
    }
    assert_eq!(verdict, Some((id, Status::Unreachable as i32)));
    assert!(failed);
    assert_eq!(a.remove_failed("b", true), Ok(()));
    eventually("b is erased", || state_of(&a, "b").is_none());
}

#[test]
fn a_join_that_reaches_nobody_says_why() {
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
    let id = b.join_async(&["127.0.0.1:1"]).unwrap();
    let done = wait_for(&b, EventKind::Done);
    assert_eq!((done.id, done.status), (id, Status::Unreachable as i32));
}

#[test]
fn encrypted_nodes_with_a_label_and_a_host_name_meet() {
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
fn a_node_on_both_families_shows_ipv4_members_as_ipv4() {
    let _turn = alone();
    let mut both = config("both", "[::]:0");
    both.set("advertise", "127.0.0.1").unwrap();
    let (a, b) = (Node::start(&both).unwrap(), node("b"));
    join(&b, &a);
    eventually("b is listed", || {
        state_of(&a, "b") == Some(MemberState::Alive)
    });
    assert!(a.members().iter().all(|member| member.addr.is_ipv4()));
}

#[test]
fn the_descriptor_is_readable_exactly_while_events_are_queued() {
    let _turn = alone();
    let a = node("a");
    let fd = a.fd().unwrap();
    assert_eq!(
        wait_for(&a, EventKind::MemberJoin).member.unwrap().name,
        "a".into()
    );
    for round in 0..500 {
        assert!(!is_readable(fd, 0), "round {round}");
        a.set_tag("round", Some(&round.to_string())).unwrap();
        assert!(is_readable(fd, 5000), "round {round}");
        let event = a.next_event(Some(Duration::ZERO)).unwrap().unwrap();
        assert_eq!(event.kind, EventKind::MemberUpdate);
        assert_eq!(event.member.unwrap().tags["round"], round.to_string());
    }
    a.set_tag("last", Some("1")).unwrap();
    a.shutdown();
    assert!(
        a.next_event(None).unwrap().is_some(),
        "what was queued can be read"
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
        // An address of a network for documentation: nobody answers.
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
fn a_node_can_be_closed_inside_its_callback() {
    let _turn = alone();
    let slot: Arc<OnceLock<Node>> = Arc::default();
    let (sender, calls) = mpsc::channel();
    let inside = slot.clone();
    let callback = move |event: &Event| {
        while inside.get().is_none() {
            std::thread::yield_now();
        }
        let node = inside.get().unwrap();
        assert_eq!(
            node.health().unwrap().live,
            1,
            "calls work inside a callback"
        );
        assert_eq!(node.fd().unwrap_err().status, Status::State);
        node.close();
        sender.send(event.kind).unwrap();
    };
    let a = Node::start_with(&config("a", "127.0.0.1:0"), Some(Box::new(callback)), None).unwrap();
    slot.set(a.clone()).ok().unwrap();
    assert_eq!(calls.recv_timeout(PATIENCE), Ok(EventKind::MemberJoin));
    // The sender lives in the callback: its end tells that the callback was dropped, uncalled.
    assert_eq!(
        calls.recv_timeout(PATIENCE),
        Err(mpsc::RecvTimeoutError::Disconnected)
    );
    assert_eq!(a.state(), NodeState::Shutdown);
}

#[test]
fn a_panic_in_a_callback_breaks_the_node_and_nothing_else() {
    let _turn = alone();
    let callback = |_: &Event| panic!("on purpose");
    let a = Node::start_with(&config("a", "127.0.0.1:0"), Some(Box::new(callback)), None).unwrap();
    eventually("broken", || a.state() == NodeState::Broken);
    eventually("told", || {
        a.health()
            .is_err_and(|e| e.status == Status::Internal && e.message.contains("on purpose"))
    });
}

#[test]
fn many_rounds_of_start_and_close_leave_no_thread_and_no_descriptor() {
    let _turn = alone();
    let round = |number: usize| {
        let settings = config("a", "127.0.0.1:0");
        if number.is_multiple_of(2) {
            let a = Node::start(&settings).unwrap();
            a.join_async(&["127.0.0.1:1"]).unwrap();
        } else {
            let seen = Arc::new(AtomicUsize::new(0));
            let inside = seen.clone();
            let callback = move |_: &Event| {
                inside.fetch_add(1, Ordering::Relaxed);
            };
            let a = Node::start_with(&settings, Some(Box::new(callback)), None).unwrap();
            a.close();
            assert_eq!(
                Arc::strong_count(&seen),
                1,
                "the callback is gone after close"
            );
        }
    };
    round(0);
    round(1);
    let before = (count("/proc/self/task"), count("/proc/self/fd"));
    for number in 0..200 {
        round(number);
    }
    assert_eq!((count("/proc/self/task"), count("/proc/self/fd")), before);
}

struct Host(Mutex<Vec<String>>);

impl Spawn for Host {
    fn spawn(&self, name: &str, job: Box<dyn FnOnce() + Send>) -> std::io::Result<()> {
        let mut names = self.0.lock().unwrap();
        names.push(name.to_owned());
        if names.len() > 3 {
            return Err(std::io::Error::from_raw_os_error(libc::EAGAIN));
        }
        std::thread::spawn(job);
        Ok(())
    }
}

#[test]
fn a_host_can_create_the_threads_and_refuse_to() {
    let _turn = alone();
    let host = Arc::new(Host(Mutex::default()));
    let callback = || -> Option<sprat::driver::EventCallback> { Some(Box::new(|_| ())) };
    let settings = config("a", "127.0.0.1:0");
    let a = Node::start_with(&settings, callback(), Some(host.clone())).unwrap();
    assert_eq!(a.health().unwrap().live, 1);
    a.close();
    assert_eq!(
        *host.0.lock().unwrap(),
        ["sprat-helper", "sprat-events", "sprat-engine"]
    );
    let error = Node::start_with(&settings, callback(), Some(host))
        .err()
        .unwrap();
    assert_eq!((error.status, error.errno), (Status::Io, libc::EAGAIN));
}

/// Runs `child` in a forked child; true if it says so within the patience.
fn in_child(child: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child calls what the library promises to work there, and `_exit`.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        let good = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(false);
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(if good { 0 } else { 1 }) };
    }
    let begun = Instant::now();
    let mut status = 0;
    loop {
        // SAFETY: a child of this process that was not waited for yet.
        if unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) } == pid {
            return libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0;
        }
        if begun.elapsed() > PATIENCE {
            // SAFETY: as above.
            unsafe { libc::kill(pid, libc::SIGKILL) };
            unsafe { libc::waitpid(pid, &mut status, 0) };
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn in_a_forked_child_a_node_is_dead_and_its_descriptors_closed_and_new_ones_start() {
    let _turn = alone();
    let a = node("a");
    let fd = a.fd().unwrap();
    let addr = a.addr();
    for round in 0..20 {
        a.set_tag("round", Some(&round.to_string())).unwrap();
        let inherited = a.clone();
        let good = in_child(move || {
            let forked = |status: sprat::Result<()>| status.unwrap_err().status == Status::Forked;
            assert!(forked(inherited.join(&["127.0.0.1:1"], None).map(drop)));
            assert!(forked(inherited.next_event(None).map(drop)));
            assert!(forked(inherited.leave(None)));
            assert!(forked(inherited.set_tag("a", None)));
            assert!(forked(inherited.fd().map(drop)));
            assert_eq!(inherited.state(), NodeState::Shutdown);
            assert!(inherited.members().is_empty() && inherited.stats().is_empty());
            inherited.shutdown();
            drop(inherited);
            // SAFETY: asks about a number that is no descriptor any more.
            assert_eq!(unsafe { libc::fcntl(fd, libc::F_GETFD) }, -1);
            let fresh = node("child");
            join(
                &fresh,
                &Node::start(&config("other", "127.0.0.1:0")).unwrap(),
            );
            let parent = addr.to_string();
            fresh.join(&[&parent], Some(PATIENCE)).is_ok()
        });
        assert!(good, "round {round}");
    }
    assert!(a.health().is_ok(), "the parent goes on");
}

#[test]
fn parked_threads_are_taken_first_and_exist_in_a_forked_child_too() {
    // In a child, so that other tests of this process find no parked threads.
    let _turn = alone();
    let good = in_child(|| {
        Parked::prepare(3).unwrap();
        Parked::prepare(3).unwrap();
        assert_eq!(Parked::waiting(), 3);
        let threads = count("/proc/self/task");
        let use_them = || {
            let a = node("a");
            assert_eq!(Parked::waiting(), 1);
            assert_eq!(a.health().unwrap().live, 1);
            a.close();
            eventually("parked again", || Parked::waiting() == 3);
        };
        use_them();
        assert_eq!(count("/proc/self/task"), threads);
        let a = node("a");
        let good = in_child(|| {
            assert_eq!(Parked::waiting(), 3);
            use_them();
            true
        });
        drop(a);
        good
    });
    assert!(good);
}
