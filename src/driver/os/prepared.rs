//! Prepared threads: created early, for processes that may create none later.
//!
//! Some host programs fork, and then forbid new threads before they begin to serve (a process limit
//! of zero). So threads are created early and wait on a condition variable; nodes use them before
//! they create new ones. A forked child has none of its parent's threads, so the fork handler
//! creates the same number in the child. The new threads belong to a new pool, because the lock of
//! the old pool may have been held at the moment of the fork.

use crate::driver::os::fork;
use crate::driver::os::lock::{lock, wait};
use crate::driver::os::panic;
use crate::driver::os::threads::{
    Job, Opener, create, has_no_new_privileges, renounce_new_privileges, set_name,
};
use std::collections::VecDeque;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};

/// The size of a prepared thread's stack. It is large because callbacks of the application may run
/// there; only the pages that are touched cost memory.
pub(in crate::driver) const STACK: usize = 8 * 1024 * 1024;

/// The name of a prepared thread while it waits.
const IDLE_NAME: &str = "sprat-prepared";

/// The number of threads that this process and each of its children prepare.
static WANTED: AtomicUsize = AtomicUsize::new(0);
/// The pool of this process. It is never freed, since prepared threads never end.
static POOL: AtomicPtr<Pool> = AtomicPtr::new(ptr::null_mut());

/// A job for a prepared thread.
struct Task {
    name: String,
    job: Job,
    /// Dropped when the job has ended and the thread is free again.
    opener: Opener,
    /// True if the thread that submitted the job can no longer gain privileges (`no_new_privs`).
    /// Then the job must not be able to gain any, either.
    no_new_privileges: bool,
}

#[derive(Default)]
struct Queue {
    tasks: VecDeque<Task>,
    /// The number of threads that wait, including those for which a task is queued.
    idle: usize,
    /// The number of all threads of the pool.
    threads: usize,
}

#[derive(Default)]
struct Pool {
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// The pool of this process, created on first use.
fn pool() -> &'static Pool {
    let mut held = POOL.load(Ordering::Acquire);
    if held.is_null() {
        let fresh = Box::into_raw(Box::<Pool>::default());
        match POOL.compare_exchange(held, fresh, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => held = fresh,
            Err(other) => {
                // SAFETY: `fresh` was made above from a box, and no other thread has seen it.
                drop(unsafe { Box::from_raw(fresh) });
                held = other;
            }
        }
    }
    // SAFETY: pointers in POOL come from boxes, and nothing frees them.
    unsafe { &*held }
}

/// Makes sure that this process has at least `n` prepared threads, busy ones included, and that
/// every child that it forks gets the same number.
///
/// # Errors
/// The system refuses a thread; the ones created so far remain.
pub(in crate::driver) fn prepare(n: usize) -> io::Result<()> {
    fork::install();
    fork::run_in_child(renew_in_child);
    WANTED.fetch_max(n, Ordering::Relaxed);
    pool().fill(n)
}

/// The number of prepared threads that wait for a job.
pub(in crate::driver) fn idle() -> usize {
    if POOL.load(Ordering::Acquire).is_null() {
        return 0;
    }
    let queue = lock(&pool().queue);
    queue.idle - queue.tasks.len()
}

/// Hands a job to a waiting thread, or returns it if none waits.
pub(in crate::driver) fn submit(name: &str, job: Job, opener: Opener) -> Result<(), (Job, Opener)> {
    if POOL.load(Ordering::Acquire).is_null() {
        return Err((job, opener));
    }
    let pool = pool();
    let mut queue = lock(&pool.queue);
    if queue.tasks.len() >= queue.idle {
        return Err((job, opener));
    }
    queue.tasks.push_back(Task {
        name: name.to_owned(),
        job,
        opener,
        no_new_privileges: has_no_new_privileges(),
    });
    drop(queue);
    pool.changed.notify_one();
    Ok(())
}

impl Pool {
    fn fill(&'static self, n: usize) -> io::Result<()> {
        let mut queue = lock(&self.queue);
        while queue.threads < n {
            // The thread lives as long as the process, so nothing waits for its end.
            drop(create(IDLE_NAME, STACK, Box::new(|| self.run()))?);
            queue.threads += 1;
            queue.idle += 1;
        }
        Ok(())
    }

    /// The life of a prepared thread: it waits for a job, runs it, and waits again.
    fn run(&self) {
        loop {
            let has_task = |queue: &mut Queue| !queue.tasks.is_empty();
            let mut queue = wait(&self.changed, lock(&self.queue), has_task);
            let Some(task) = queue.tasks.pop_front() else {
                continue;
            };
            queue.idle -= 1;
            drop(queue);
            set_name(&task.name);
            if task.no_new_privileges {
                // The flag stays set, so later jobs on this thread cannot gain privileges either.
                renounce_new_privileges();
            }
            let _ = panic::caught(task.job); // the job reports its own panics
            set_name(IDLE_NAME);
            lock(&self.queue).idle += 1;
            drop(task.opener);
        }
    }
}

/// Creates a new pool with the same number of threads in a forked child. A thread that cannot be
/// created is missing from the pool, and the start of a node may fail for that reason.
fn renew_in_child() {
    let n = WANTED.load(Ordering::Relaxed);
    // The old pool is not touched: its lock may be held by a thread that does not exist here.
    POOL.store(Box::into_raw(Box::<Pool>::default()), Ordering::Release);
    let _ = pool().fill(n);
}
