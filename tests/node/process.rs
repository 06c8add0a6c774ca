//! Nodes inside a host process: their callbacks, threads and descriptors, and forks of the process.

use super::help::{PATIENCE, alone, config, count, eventually, in_child, join, node, threads};
use sprat::driver::{PreparedThreads, Spawn};
use sprat::{Event, EventKind, NodeState};
use sprat::{Node, Status};
use std::os::fd::RawFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};

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
        sender.send(event.kind()).unwrap();
    };
    let a = Node::start_with(&config("a", "127.0.0.1:0"), Some(Box::new(callback)), None).unwrap();
    slot.set(a.clone()).ok().unwrap();
    assert_eq!(calls.recv_timeout(PATIENCE), Ok(EventKind::MemberJoin));
    // The callback owns the sender, so the end of the channel shows that the callback was dropped.
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
    eventually("calls return the panic as their error", || {
        a.health()
            .is_err_and(|e| e.status == Status::Internal && e.message.contains("on purpose"))
    });
}

#[test]
fn many_rounds_of_start_and_close_leave_no_thread_and_no_descriptor() {
    let _turn = alone();
    let round = |number: usize| {
        let settings = config("a", "127.0.0.1:0");
        if number % 2 == 0 {
            let a = Node::start(&settings).unwrap();
            a.join_async(a.operation(0), &["127.0.0.1:1"]).unwrap();
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
    let before = (threads(), count("/proc/self/fd"));
    for number in 0..200 {
        round(number);
    }
    // The system may list a thread for a moment after it has been joined.
    eventually("threads and descriptors are gone", || {
        (threads(), count("/proc/self/fd")) == before
    });
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
        ["sprat-resolver", "sprat-events", "sprat-engine"]
    );
    let error = Node::start_with(&settings, callback(), Some(host))
        .err()
        .unwrap();
    assert_eq!((error.status, error.errno), (Status::Io, libc::EAGAIN));
}

#[test]
fn in_a_forked_child_an_inherited_node_is_dead_with_its_descriptors_closed_and_new_nodes_start() {
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
            // SAFETY: the call only reads flags, whatever the number stands for.
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

/// The numbers of the descriptors that are open in this process.
fn open_descriptors() -> Vec<RawFd> {
    // SAFETY: the call only reads flags, whatever the number stands for.
    let is_open = |fd: &RawFd| unsafe { libc::fcntl(*fd, libc::F_GETFD) } >= 0;
    (0..256).filter(is_open).collect()
}

/// Starts two nodes, lets them exchange their states, and closes them, as long as `goes_on` says.
fn open_and_close_descriptors(goes_on: &AtomicBool, file: &Path) {
    let name = file.file_name().unwrap().to_str().unwrap();
    while goes_on.load(Ordering::Relaxed) {
        let a = Node::start(&config(name, "127.0.0.1:0").snapshot(file)).unwrap();
        let b = node(&format!("{name}-b"));
        join(&a, &b);
        for _ in 0..100 {
            a.subscribe(1, &[EventKind::MemberJoin]).unwrap();
        }
        let _ = a.leave(Some(PATIENCE)); // it is all the same whether `b` acknowledges it in time
        b.close();
        a.close();
    }
}

#[test]
fn a_child_never_keeps_a_descriptor_of_a_node_whatever_the_nodes_did_at_the_moment_of_the_fork() {
    const FORKS: usize = 1000;
    let _turn = alone();
    let before = open_descriptors();
    let goes_on = AtomicBool::new(true);
    let files = [1, 2].map(|it| {
        let name = format!("sprat-fork-{}-{it}", std::process::id());
        std::env::temp_dir().join(name)
    });
    let failed = std::thread::scope(|scope| {
        for file in &files {
            scope.spawn(|| open_and_close_descriptors(&goes_on, file));
        }
        let forks = (0..FORKS).filter(|_| !in_child(|| open_descriptors() == before));
        let failed = forks.count();
        goes_on.store(false, Ordering::Relaxed);
        failed
    });
    for file in &files {
        let _ = std::fs::remove_file(file);
    }
    assert_eq!(failed, 0, "children that kept a descriptor, of {FORKS}");
}

#[test]
fn prepared_threads_are_taken_first_and_exist_in_a_forked_child_too() {
    // The test runs in a child, so that other tests of this process find no prepared threads.
    let _turn = alone();
    let good = in_child(|| {
        PreparedThreads::prepare(3).unwrap();
        PreparedThreads::prepare(3).unwrap();
        assert_eq!(PreparedThreads::idle(), 3);
        let threads = count("/proc/self/task");
        let use_them = || {
            let a = node("a");
            assert_eq!(PreparedThreads::idle(), 1);
            assert_eq!(a.health().unwrap().live, 1);
            a.close();
            assert_eq!(
                PreparedThreads::idle(),
                3,
                "all three are ready for the next node as soon as close returns"
            );
        };
        (0..100).for_each(|_| use_them());
        assert_eq!(count("/proc/self/task"), threads);
        let a = node("a");
        let good = in_child(|| {
            assert_eq!(PreparedThreads::idle(), 3);
            use_them();
            true
        });
        drop(a);
        good
    });
    assert!(good);
}

/// The number of threads of this process that run for a node, and the number of those among them
/// that cannot gain privileges.
fn node_threads() -> (usize, usize) {
    let mut count = (0, 0);
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let busy = status.starts_with("Name:\tsprat-") && !status.contains("sprat-prepared");
        let unprivileged = status.lines().any(|line| line == "NoNewPrivs:\t1");
        count.0 += usize::from(busy);
        count.1 += usize::from(busy && unprivileged);
    }
    count
}

#[test]
fn prepared_threads_give_up_the_privileges_that_the_starter_of_a_node_has_given_up() {
    let _turn = alone();
    let good = in_child(|| {
        PreparedThreads::prepare(2).unwrap();
        let a = node("a");
        eventually("two threads run", || node_threads() == (2, 0));
        a.close();
        // SAFETY: this operation takes numbers only.
        let given_up = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        assert_eq!(given_up, 0);
        let b = node("b");
        assert_eq!(b.health().unwrap().live, 1);
        eventually("two threads run", || node_threads() == (2, 2));
        true
    });
    assert!(good);
}
