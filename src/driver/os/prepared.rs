//! Threads that wait for a node, for processes that may create none later.
//!
//! Some hosts forbid new threads once they serve (a limit of processes set to zero), and fork in
//! between. So threads are created early and park on a condition variable; nodes take them first.
//! A forked child has none of its parent's threads: a handler creates as many anew there, on fresh
//! memory, because the old pool's lock may have been held at the moment of the fork.

use crate::driver::os::fork;
use crate::driver::os::lock::lock;
use crate::driver::os::panic;
use crate::driver::os::threads::{Job, Opener, Worker, create};
use std::collections::VecDeque;
use std::ffi::CString;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

/// Stack of a parked thread: it may be taken for callbacks. Only touched pages cost memory.
const STACK: usize = 8 * 1024 * 1024;

/// How many threads this process and its children want.
static WANTED: AtomicUsize = AtomicUsize::new(0);
/// The pool of this process; never freed, since parked threads never end.
static POOL: AtomicPtr<Pool> = AtomicPtr::new(ptr::null_mut());

/// Threads that were created beforehand. Nodes take them before they create any of their own.
pub struct Parked;

/// What a parked thread is to do.
struct Task {
    name: String,
    job: Job,
    /// Dropped when the job has ended and the thread waits again.
    opener: Opener,
    /// The thread that gave the job may gain no privileges: then this one may not either.
    no_new_privileges: bool,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Task>,
    /// Threads that wait, those for whom a job is queued included.
    idle: usize,
    /// All threads of the pool.
    threads: usize,
}

#[derive(Default)]
struct Pool {
    state: Mutex<State>,
    changed: Condvar,
}

/// The pool of this process, made on first use.
fn pool() -> &'static Pool {
    let mut held = POOL.load(Ordering::Acquire);
    if held.is_null() {
        let fresh = Box::into_raw(Box::<Pool>::default());
        match POOL.compare_exchange(held, fresh, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => held = fresh,
            Err(other) => {
                // SAFETY: made above, and nobody else has seen it.
                drop(unsafe { Box::from_raw(fresh) });
                held = other;
            }
        }
    }
    // SAFETY: made from a box that is never freed once it is in POOL.
    unsafe { &*held }
}

impl Parked {
    /// Makes sure that there are at least `n` parked threads in this process, busy ones included,
    /// and as many in every child that it forks. Calling it again creates only what is missing.
    ///
    /// # Errors
    /// Whatever kept a thread from being created; those created before stay.
    pub fn prepare(n: usize) -> io::Result<()> {
        fork::install();
        WANTED.fetch_max(n, Ordering::Relaxed);
        pool().fill(n)
    }

    /// How many threads wait for work now.
    pub fn waiting() -> usize {
        let held = POOL.load(Ordering::Acquire);
        if held.is_null() {
            return 0;
        }
        let state = lock(&pool().state);
        state.idle - state.jobs.len()
    }

    /// Runs `work` on a parked thread, or on a new one if none waits. Signals are blocked there,
    /// and a panic ends the work alone.
    ///
    /// # Errors
    /// Whatever kept a thread from being created; the work is dropped then.
    pub fn run(name: &'static str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        // Nobody waits for its end.
        drop(Worker::start(name, STACK, None, work)?);
        Ok(())
    }

    /// Gives a job to a waiting thread, or back if there is none.
    pub(in crate::driver) fn hand(
        name: &str,
        job: Job,
        opener: Opener,
    ) -> Result<(), (Job, Opener)> {
        if POOL.load(Ordering::Acquire).is_null() {
            return Err((job, opener));
        }
        let pool = pool();
        let mut state = lock(&pool.state);
        if state.jobs.len() >= state.idle {
            return Err((job, opener));
        }
        state.jobs.push_back(Task {
            name: name.to_owned(),
            job,
            opener,
            no_new_privileges: has_no_new_privileges(),
        });
        drop(state);
        pool.changed.notify_one();
        Ok(())
    }
}

impl Pool {
    fn fill(&'static self, n: usize) -> io::Result<()> {
        let mut state = lock(&self.state);
        while state.threads < n {
            // Its end is never waited for: the thread lives as long as the process.
            drop(create("sprat-parked", STACK, Box::new(|| self.park()))?);
            state.threads += 1;
            state.idle += 1;
        }
        Ok(())
    }

    /// The life of a parked thread.
    fn park(&self) {
        loop {
            let mut state = lock(&self.state);
            let task = loop {
                if let Some(task) = state.jobs.pop_front() {
                    break task;
                }
                let woken = self.changed.wait(state);
                state = woken.unwrap_or_else(PoisonError::into_inner);
            };
            state.idle -= 1;
            drop(state);
            set_name(&task.name);
            if task.no_new_privileges {
                renounce_new_privileges();
            }
            let _ = panic::caught(task.job);
            set_name("sprat-parked");
            lock(&self.state).idle += 1;
            drop(task.opener);
        }
    }
}

/// Names this thread, as debuggers show it; at most 15 bytes.
fn set_name(name: &str) {
    if let Ok(name) = CString::new(name) {
        // SAFETY: this thread, and a string that ends with NUL.
        unsafe { libc::pthread_setname_np(libc::pthread_self(), name.as_ptr()) };
    }
}

/// Whether this thread has given up gaining privileges. It is a property of each thread, and those
/// parked before do not have it.
fn has_no_new_privileges() -> bool {
    // SAFETY: takes no pointer; the kernel wants the unused arguments to be zero.
    unsafe { libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 }
}

/// There is no way back: a job of another node finds this thread with less, not with more.
fn renounce_new_privileges() {
    // SAFETY: as above.
    unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
}

/// In a forked child: a new pool with as many threads. What cannot be created is missing, and
/// starting a node says so.
pub(in crate::driver) fn renew_in_child() {
    let n = WANTED.load(Ordering::Relaxed);
    if n == 0 {
        return;
    }
    // The old pool is left as it is: its lock may be held by a thread that is not here.
    POOL.store(Box::into_raw(Box::<Pool>::default()), Ordering::Release);
    let _ = pool().fill(n);
}
