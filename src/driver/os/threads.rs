//! Where all threads of a node are created, and how their end is waited for.
//!
//! A host can create the threads itself ([`Spawn`]), or have them parked beforehand
//! ([`super::Parked`]); else they are std's. Whoever created it, the end of a thread is told by a
//! latch that is opened as the last act of its job; std's own are really joined after that, so
//! that the number of threads is exact.

use crate::driver::os::lock::{deadline, lock, wait_until};
use crate::driver::os::panic;
use crate::driver::os::prepared::Parked;
use crate::driver::os::signals::{self, Blocked};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// A job for a thread.
pub(in crate::driver) type Job = Box<dyn FnOnce() + Send>;

/// Creates the threads of a node. A host replaces it where threads must be created in its own way
/// or beforehand. The job must be run exactly once, on a thread of its own.
pub trait Spawn: Send + Sync {
    /// Starts `job` on a thread called `name`.
    ///
    /// # Errors
    /// Whatever kept the thread from being created; the job is dropped then.
    fn spawn(&self, name: &str, job: Job) -> io::Result<()>;
}

/// Opened when a job has ended, and its thread is free for another.
#[derive(Default)]
struct Latch {
    open: Mutex<bool>,
    changed: Condvar,
}

/// Opens its latch when dropped: after the job, after its panic, and if it never ran.
pub(in crate::driver) struct Opener(Arc<Latch>);

impl Drop for Opener {
    fn drop(&mut self) {
        *lock(&self.0.open) = true;
        self.0.changed.notify_all();
    }
}

/// A thread of a node.
pub(in crate::driver) struct Worker {
    latch: Arc<Latch>,
    /// The thread by `pthread_self`, 0 while the job does not run.
    identity: Arc<AtomicUsize>,
    handle: Mutex<Option<JoinHandle<()>>>,
}

/// The identity of the current thread. Unlike `std::thread::current` it allocates nothing.
fn current() -> usize {
    // SAFETY: always succeeds.
    unsafe { libc::pthread_self() as usize }
}

impl Worker {
    /// Starts `work` on a thread of its own: the host's, else a parked one, else a new one.
    pub fn start(
        name: &'static str,
        stack: usize,
        spawn: Option<&dyn Spawn>,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<Worker> {
        let latch = Arc::new(Latch::default());
        let identity = Arc::new(AtomicUsize::new(0));
        let (opener, id) = (Opener(latch.clone()), identity.clone());
        let job: Job = Box::new(move || {
            signals::block_here();
            id.store(current(), Ordering::Release);
            // What the work owns is dropped inside; a panic was told by whoever runs in there.
            let _ = panic::caught(work);
            id.store(0, Ordering::Release);
        });
        let handle = match spawn {
            Some(host) => {
                host.spawn(name, then_open(job, opener))?;
                None
            }
            None => match Parked::hand(name, job, opener) {
                Ok(()) => None,
                Err((job, opener)) => Some(create(name, stack, then_open(job, opener))?),
            },
        };
        Ok(Worker {
            latch,
            identity,
            handle: Mutex::new(handle),
        })
    }

    /// Whether the caller runs on this thread.
    pub fn is_current(&self) -> bool {
        self.identity.load(Ordering::Acquire) == current()
    }

    /// Waits until the job has ended; true if it has. Never on the thread itself.
    pub fn finish(&self, timeout: Option<Duration>) -> bool {
        let open = lock(&self.latch.open);
        let (open, done) = wait_until(&self.latch.changed, open, deadline(timeout), |it| *it);
        drop(open);
        // Held while joining: a second caller returns when the thread is gone, not before.
        let mut handle = lock(&self.handle);
        match handle.take() {
            Some(handle) if done => drop(handle.join()),
            Some(_) | None => {} // a thread that takes too long is left to end by itself
        }
        done
    }
}

/// The job, and what tells of its end as its last act.
fn then_open(job: Job, opener: Opener) -> Job {
    Box::new(move || {
        let opener = opener; // captured whole, dropped last
        job();
        drop(opener);
    })
}

/// A thread of std's with an explicit stack, all signals blocked from its first instruction.
pub(in crate::driver) fn create(name: &str, stack: usize, job: Job) -> io::Result<JoinHandle<()>> {
    let _blocked = Blocked::new();
    Builder::new()
        .name(name.to_owned())
        .stack_size(stack)
        .spawn(job)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    struct Refusing;

    impl Spawn for Refusing {
        fn spawn(&self, _name: &str, _job: Job) -> io::Result<()> {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    /// Runs jobs on plain threads, as a host might.
    struct Foreign;

    impl Spawn for Foreign {
        fn spawn(&self, _name: &str, job: Job) -> io::Result<()> {
            std::thread::spawn(job);
            Ok(())
        }
    }

    #[test]
    fn a_worker_is_finished_when_its_work_is_and_takes_no_signals() {
        for spawn in [None, Some(&Foreign as &dyn Spawn)] {
            let seen = Arc::new(AtomicBool::new(false));
            let inside = seen.clone();
            let worker = Worker::start("sprat-test", 256 * 1024, spawn, move || {
                std::thread::sleep(Duration::from_millis(20));
                inside.store(signals::is_blocked(libc::SIGTERM), Ordering::Release);
            });
            let worker = worker.unwrap();
            assert!(!worker.is_current());
            assert!(worker.finish(None));
            assert!(seen.load(Ordering::Acquire));
            assert!(worker.finish(None), "a second wait returns at once");
        }
        assert!(
            !signals::is_blocked(libc::SIGTERM),
            "the creator keeps its mask"
        );
    }

    #[test]
    fn a_worker_that_panics_is_finished_too() {
        let worker = Worker::start("sprat-test", 256 * 1024, None, || panic!("on purpose"));
        assert!(worker.unwrap().finish(None));
    }

    #[test]
    fn a_refused_thread_is_an_error() {
        assert!(Worker::start("sprat-test", 0, Some(&Refusing), || ()).is_err());
    }

    #[test]
    fn waiting_for_a_busy_worker_is_bounded() {
        let worker = Worker::start("sprat-test", 256 * 1024, None, || {
            std::thread::sleep(Duration::from_millis(300));
        });
        assert!(!worker.unwrap().finish(Some(Duration::from_millis(10))));
    }
}
