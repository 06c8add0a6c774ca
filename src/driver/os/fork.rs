//! What a fork means: in the child the threads of a node are gone, so its nodes are dead there.
//!
//! A `pthread_atfork` handler raises a generation number in the child; whoever was made under
//! another number knows with one comparison that it was inherited. The child's copies of sockets
//! and wake-up descriptors are closed there, so that a port is not kept open by a process that
//! does not read it. Locks that may have been held by a thread that no longer exists are never
//! touched: the list of descriptors has a lock that the fork itself takes first.

use crate::driver::os::prepared;
use std::cell::UnsafeCell;
use std::ops::Deref;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

static GENERATION: AtomicU64 = AtomicU64::new(1);
static INSTALL: Once = Once::new();

/// How many forks lie between the first process and this one, plus one.
pub(in crate::driver) fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Installs the handlers, once per process. Before the first thread or descriptor of a node.
pub(in crate::driver) fn install() {
    // SAFETY: the handlers are functions that live as long as the library, which is never unloaded.
    INSTALL.call_once(|| unsafe {
        libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child));
    });
}

extern "C" fn before() {
    OPEN.lock();
}

extern "C" fn in_parent() {
    OPEN.unlock();
}

extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    // SAFETY: the lock was taken by `before` on this very thread, the only one in the child.
    let open = unsafe { &mut *OPEN.list.get() };
    for fd in open.drain(..) {
        // SAFETY: a descriptor is on the list only while its owner has it open, and that owner
        // closes nothing in the child.
        unsafe { libc::close(fd) };
    }
    OPEN.unlock();
    prepared::renew_in_child();
}

/// The descriptors that a child closes, behind a lock without an owner: std's mutex may not be
/// unlocked by a process other than the one that locked it.
struct OpenList {
    held: AtomicBool,
    list: UnsafeCell<Vec<RawFd>>,
}

// SAFETY: the list is touched only while `held`.
unsafe impl Sync for OpenList {}

static OPEN: OpenList = OpenList {
    held: AtomicBool::new(false),
    list: UnsafeCell::new(Vec::new()),
};

impl OpenList {
    fn lock(&self) {
        while self.held.swap(true, Ordering::Acquire) {
            // Held for a few instructions, or for the length of a fork.
            // SAFETY: gives the processor away, nothing else.
            unsafe { libc::sched_yield() };
        }
    }

    fn unlock(&self) {
        self.held.store(false, Ordering::Release);
    }

    fn with<R>(&self, change: impl FnOnce(&mut Vec<RawFd>) -> R) -> R {
        self.lock();
        // SAFETY: this thread holds the lock.
        let result = change(unsafe { &mut *self.list.get() });
        self.unlock();
        result
    }
}

/// A descriptor that a forked child closes, and that is not closed twice there.
pub(in crate::driver) struct Inherited<T: AsRawFd> {
    inner: std::mem::ManuallyDrop<T>,
    generation: u64,
}

impl<T: AsRawFd> Inherited<T> {
    /// Puts it on the list.
    pub fn new(inner: T) -> Inherited<T> {
        let fd = inner.as_raw_fd();
        OPEN.with(|list| list.push(fd));
        Inherited {
            inner: std::mem::ManuallyDrop::new(inner),
            generation: generation(),
        }
    }
}

impl<T: AsRawFd> Deref for Inherited<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: AsRawFd> Drop for Inherited<T> {
    fn drop(&mut self) {
        if self.generation != generation() {
            return; // closed by the handler; the number may belong to somebody else by now
        }
        let fd = self.inner.as_raw_fd();
        OPEN.with(|list| {
            if let Some(place) = list.iter().position(|other| *other == fd) {
                list.swap_remove(place);
            }
        });
        // SAFETY: asks about a number.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1 {
            return; // the host has closed it; std would end the process for closing it again
        }
        // SAFETY: dropped here and nowhere else, and not used afterwards.
        unsafe { std::mem::ManuallyDrop::drop(&mut self.inner) };
    }
}
