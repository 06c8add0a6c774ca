//! Noticing a fork. The threads of a node do not exist in the child, so a node does not run there.
//!
//! This library registers one set of handlers with `pthread_atfork`. The handler in the child
//! increments a generation number. A value records the current number when it is made (its
//! [`Origin`]). If the number has changed since then, this process is a child that has inherited
//! the value. The handler also closes the child's copies of sockets and wake-up descriptors, so
//! that a port is not kept open by a process that does not read from it: they are in the
//! [`open_table`], which is complete because of the [`fork_gate`].
//!
//! The child never touches a lock that a thread of the parent may have held, and the handlers hold
//! none during the fork: a host program that forks while it holds its own locks cannot come to a
//! standstill.

use crate::driver::os::{fork_gate, open_table};
use crate::error::{Error, Result, Status};
use std::sync::atomic::{AtomicU64, Ordering};
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
///   `before` closes the gate. In the other order, the fork waits for a thread of the host program
///   that waits at the gate, for up to a second.
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
    fork_gate::close();
}

extern "C" fn in_parent() {
    fork_gate::open_in_parent();
}

extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    open_table::close_all();
    fork_gate::open_in_child();
    if let Some(hook) = IN_CHILD.get() {
        hook();
    }
}
