//! Noticing a fork. The threads of a node do not exist in the child, so a node does not run there.
//!
//! This library registers one set of handlers with `pthread_atfork`. The handler in the child
//! increments a generation number. A value records the current number when it is made (its
//! [`Origin`]). If the number has changed since then, this process is a child that has inherited
//! the value. The handler also closes the child's copies of sockets and wake-up descriptors, so
//! that a port is not kept open by a process that does not read from it.
//!
//! The child never touches a lock that a thread of the parent may have held. The list of
//! descriptors is safe, because the forking thread itself takes the lock of the list before the
//! fork.

use crate::driver::os::identity::Identity;
use crate::error::{Error, Result, Status};
use std::cell::UnsafeCell;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Once, OnceLock};

static GENERATION: AtomicU64 = AtomicU64::new(1);

/// The hook that runs in the child at the end of the handler.
static IN_CHILD: OnceLock<fn()> = OnceLock::new();

/// The number of forks between the first process and this one, plus one.
pub(crate) fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// The process in which a value was made.
#[derive(Clone, Copy, Debug)]
pub(in crate::driver) struct Origin(u64);

impl Origin {
    /// This process.
    pub fn here() -> Origin {
        Origin(generation())
    }

    /// Returns true if this process is a forked child of the one in which the value was made.
    pub fn is_elsewhere(self) -> bool {
        self.0 != generation()
    }

    /// Checks that this is still the same process.
    ///
    /// # Errors
    /// `Forked` in a forked child.
    pub fn check(self) -> Result<()> {
        if self.is_elsewhere() {
            let message =
                "the node was started before this process was forked; start it afterwards";
            return Err(Error::new(Status::Forked, message));
        }
        Ok(())
    }
}

/// Installs the handlers when the library is loaded, which is early for two reasons:
///
/// - Before a fork, the newest handlers run first. So the host program takes its locks before
///   `before` takes the lock of this library, which the engine needs. In the other order, the fork
///   could wait forever for a thread of the host program that waits for the engine.
/// - A fork during the installation would leave the child with an installation that never ends.
///   While the library is loaded, usually no other thread forks.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_LOAD: extern "C" fn() = {
    extern "C" fn at_load() {
        install();
    }
    at_load
};

/// Installs the handlers, once per process. This function must be called before the first thread,
/// descriptor or handle of a node exists. It does nothing if the library was loaded as usual.
pub(crate) fn install() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        // SAFETY: the three handlers are plain functions of this library, which is never unloaded.
        // If the system has no memory to register them, forks go unnoticed.
        unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
    });
}

/// Makes every forked child run `hook` after the descriptors are closed. Later hooks are ignored.
pub(in crate::driver) fn run_in_child(hook: fn()) {
    IN_CHILD.get_or_init(|| hook);
}

extern "C" fn before() {
    OPEN.lock();
}

extern "C" fn in_parent() {
    OPEN.unlock();
}

extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    // SAFETY: `before` took the lock on this very thread, and the child has no other thread.
    let open = unsafe { &mut *OPEN.list.get() };
    for (fd, identity) in open.drain(..) {
        // The host program may have closed the descriptor and given its number to a file of its
        // own.
        // SAFETY: the call only asks the system which file the number stands for, if any.
        let now = Identity::of(unsafe { BorrowedFd::borrow_raw(fd) });
        if now.is_ok_and(|now| now == identity) {
            let _ = nix::unistd::close(fd); // the owner of the descriptor does not close it again
        }
    }
    OPEN.unlock();
    if let Some(hook) = IN_CHILD.get() {
        hook();
    }
}

/// The descriptors that a child closes. Their lock has no owner: a mutex of std may only be
/// unlocked by the process that locked it, but this lock is also unlocked in the child.
struct OpenList {
    held: AtomicBool,
    list: UnsafeCell<Vec<(RawFd, Identity)>>,
}

// SAFETY: `list` is only accessed while `held` is true, by the thread that set it.
unsafe impl Sync for OpenList {}

static OPEN: OpenList = OpenList {
    held: AtomicBool::new(false),
    list: UnsafeCell::new(Vec::new()),
};

impl OpenList {
    fn lock(&self) {
        while self.held.swap(true, Ordering::Acquire) {
            // The lock is held for a few instructions, or for the length of a fork.
            std::thread::yield_now();
        }
    }

    fn unlock(&self) {
        self.held.store(false, Ordering::Release);
    }

    fn with<R>(&self, change: impl FnOnce(&mut Vec<(RawFd, Identity)>) -> R) -> R {
        self.lock();
        // SAFETY: this thread has just taken the lock, so nothing else accesses the list.
        let result = change(unsafe { &mut *self.list.get() });
        self.unlock();
        result
    }
}

/// Puts a descriptor on the list of those that a forked child closes.
pub(in crate::driver) fn close_in_child(fd: RawFd, identity: Identity) {
    OPEN.with(|list| list.push((fd, identity)));
}

/// Takes a descriptor off the list of those that a forked child closes, before it is closed here.
pub(in crate::driver) fn forget(fd: RawFd, identity: Identity) {
    OPEN.with(|list| {
        if let Some(place) = list.iter().position(|it| *it == (fd, identity)) {
            list.swap_remove(place);
        }
    });
}
