//! Helpers that the tests of nodes share: settings, waiting, counters, child processes.

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use sprat::serf::MemberState;
use sprat::{Config, Node};
use sprat::{Event, EventKind};
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

/// The longest time that a test waits for something that must happen. The bound only ends tests
/// that hang.
pub const PATIENCE: Duration = Duration::from_secs(60);

static TURN: RwLock<()> = RwLock::new(());

/// The lock of a test that must run alone, such as one that forks, or that counts threads or
/// descriptors.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    TURN.write()
}

/// The lock of a test that may run at the same time as others, except those that run [`alone`].
pub fn with_others() -> RwLockReadGuard<'static, ()> {
    TURN.read()
}

pub fn config(name: &str, bind: &str) -> Config {
    let mut config = Config::new();
    // On a busy machine, a stream may take long.
    let patient = ("stream_timeout_ms", "120000");
    for (key, value) in [
        ("profile", "local"),
        ("name", name),
        ("bind", bind),
        patient,
    ] {
        config.set(key, value).unwrap();
    }
    config
}

pub fn with(name: &str, pairs: &[(&str, &str)]) -> Config {
    let mut config = config(name, "127.0.0.1:0");
    for (key, value) in pairs {
        config.set(key, value).unwrap();
    }
    config
}

pub fn node(name: &str) -> Node {
    Node::start(&config(name, "127.0.0.1:0")).unwrap()
}

pub fn join(node: &Node, other: &Node) {
    let addr = other.addr().to_string();
    assert_eq!(node.join(&[&addr], Some(PATIENCE)), Ok(1));
}

pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(
            begun.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn state_of(node: &Node, name: &str) -> Option<MemberState> {
    let members = node.members();
    let found = members.iter().find(|member| &*member.name == name)?;
    Some(found.state)
}

/// Waits for the next event of this kind, and skips all others.
pub fn wait_for(node: &Node, kind: EventKind) -> Event {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let next = node.next_event(Some(Duration::from_millis(100))).unwrap();
        if let Some(event) = next.filter(|event| event.kind() == kind) {
            return event;
        }
    }
    panic!("no {kind:?} event arrived");
}

pub fn is_readable(fd: RawFd, timeout_ms: i32) -> bool {
    let mut fds = [libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    }];
    // SAFETY: `fds` is one initialised entry that outlives the call, and the count is 1.
    unsafe { libc::poll(fds.as_mut_ptr(), 1, timeout_ms) == 1 }
}

pub fn count(directory: &str) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

/// The number of threads of the library. Threads of the test harness come and go, and do not count.
pub fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with(b"sprat")).count()
}

/// The value of the node's counter of this name.
pub fn counter(node: &Node, name: &str) -> i64 {
    let stats = node.stats();
    let found = stats.iter().find(|it| it.name == name);
    found.unwrap_or_else(|| panic!("no counter {name}")).value
}

/// Runs `child` in a forked process, and returns whether `child` returned true in time.
pub fn in_child(child: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child uses nodes only as the library allows after a fork, and ends with `_exit`.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        let good = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(false);
        // SAFETY: `_exit` takes a number, and runs no exit handlers of the parent.
        unsafe { libc::_exit(if good { 0 } else { 1 }) };
    }
    let begun = Instant::now();
    let mut status = 0;
    loop {
        // SAFETY: `pid` is a child of this process that has not been waited for yet.
        if unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) } == pid {
            return libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0;
        }
        if begun.elapsed() > PATIENCE {
            // SAFETY: `pid` is still a child of this process, since nothing has waited for it.
            unsafe { libc::kill(pid, libc::SIGKILL) };
            unsafe { libc::waitpid(pid, &mut status, 0) };
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
