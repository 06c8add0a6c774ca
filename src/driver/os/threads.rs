//! Threads as the system sees them: their creation, identity, name, privileges and end.

use crate::driver::os::lock::{deadline, lock, wait_until};
use crate::driver::os::signals::Blocked;
use nix::sys::prctl;
use nix::sys::pthread::pthread_self;
use std::ffi::CString;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// Work for a thread.
pub(in crate::driver) type Job = Box<dyn FnOnce() + Send>;

/// Creates a thread of std with an explicit stack size. From its first instruction on, all signals
/// are blocked on it except SIGPROF and those that report a fault.
///
/// # Errors
/// The system refuses the thread; the job is dropped.
pub fn create(name: &str, stack: usize, job: Job) -> io::Result<JoinHandle<()>> {
    let _blocked = Blocked::new();
    Builder::new()
        .name(name.to_owned())
        .stack_size(stack)
        .spawn(job)
}

/// The thread that runs a job now, if any, as returned by `pthread_self`. Unlike
/// `std::thread::current`, that call allocates nothing on threads of the application.
#[derive(Clone, Default)]
pub(in crate::driver) struct JobThread(Arc<AtomicUsize>);

impl JobThread {
    /// Records that this thread begins the job.
    pub fn enter(&self) {
        self.0.store(pthread_self() as usize, Ordering::Release);
    }

    /// Records that the job has ended.
    pub fn leave(&self) {
        self.0.store(0, Ordering::Release);
    }

    /// Returns true if the caller runs on the thread that runs the job.
    pub fn is_current(&self) -> bool {
        self.0.load(Ordering::Acquire) == pthread_self() as usize
    }
}

/// A latch that opens when a job has ended and its thread is free for another job.
#[derive(Default)]
pub(in crate::driver) struct Latch {
    open: Mutex<bool>,
    changed: Condvar,
}

impl Latch {
    /// A closed latch, and the value whose drop opens it.
    pub fn new() -> (Arc<Latch>, Opener) {
        let latch = Arc::new(Latch::default());
        (latch.clone(), Opener(latch))
    }

    /// Waits until the latch is open, and returns whether it is. `None` waits without limit.
    pub fn wait(&self, timeout: Option<Duration>) -> bool {
        wait_until(&self.changed, lock(&self.open), deadline(timeout), |it| *it).1
    }
}

/// Opens its latch when dropped: after the job has returned or panicked, or if it will never run.
pub(in crate::driver) struct Opener(Arc<Latch>);

impl Drop for Opener {
    fn drop(&mut self) {
        *lock(&self.0.open) = true;
        self.0.changed.notify_all();
    }
}

/// Holds back `pthread_cancel` on this thread until dropped. A cancelled thread unwinds its stack
/// from within a system call, and code on the way that catches panics would abort the process.
#[cfg(feature = "capi")]
pub(crate) struct Uncancelled(libc::c_int);

#[cfg(feature = "capi")]
impl Uncancelled {
    pub(crate) fn new() -> Uncancelled {
        Uncancelled(set_cancel_state(1)) // PTHREAD_CANCEL_DISABLE
    }
}

#[cfg(feature = "capi")]
impl Drop for Uncancelled {
    fn drop(&mut self) {
        set_cancel_state(self.0);
    }
}

/// Sets whether this thread can be cancelled, and returns the previous state.
#[cfg(feature = "capi")]
fn set_cancel_state(state: libc::c_int) -> libc::c_int {
    unsafe extern "C" {
        fn pthread_setcancelstate(state: libc::c_int, previous: *mut libc::c_int) -> libc::c_int;
    }
    let mut previous = 0;
    // SAFETY: the call takes a number, and a pointer to a variable that outlives the call.
    unsafe { pthread_setcancelstate(state, &raw mut previous) };
    previous
}

/// Names this thread for debuggers and `top`; the system cuts the name after 15 bytes.
pub(in crate::driver) fn set_name(name: &str) {
    if let Ok(name) = CString::new(name) {
        let _ = prctl::set_name(&name); // the name is for people only
    }
}

/// Returns true if this thread can no longer gain privileges (`no_new_privs`). Each thread has its
/// own flag, so the flag may be missing on a thread that was created before the process set it.
pub(in crate::driver) fn has_no_new_privileges() -> bool {
    prctl::get_no_new_privs().unwrap_or(false)
}

/// Sets `no_new_privs` on this thread, which can never gain privileges again.
pub(in crate::driver) fn renounce_new_privileges() {
    let _ = prctl::set_no_new_privs(); // no kernel since 3.5 refuses it
}
