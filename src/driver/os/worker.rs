//! The threads of a node: where they come from, and how the library waits for their end.
//!
//! A host program can create the threads itself ([`Spawn`]) or have them created early
//! ([`PreparedThreads`]); otherwise the library creates them with std. In every case a latch opens
//! when the job has ended, and the library waits for the latch. A thread of std is joined
//! afterwards, so that it no longer counts among the threads of the process.

use crate::driver::os::lock::lock;
use crate::driver::os::threads::{Job, JobThread, Latch, Opener, create};
use crate::driver::os::{panic, prepared, signals};
use std::io;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// The size of the stack of a thread that runs no code of the application. The resolver of the C
/// library needs more than 100 KiB.
pub(in crate::driver) const STACK: usize = 256 * 1024;

/// Creates the threads of a node, for a host program that must create threads in its own way. Each
/// job must be run exactly once, on a thread of its own.
pub trait Spawn: Send + Sync {
    /// Starts `job` on a thread called `name`.
    ///
    /// # Errors
    /// The reason why the thread could not be created; the job is dropped.
    fn spawn(&self, name: &str, job: Job) -> io::Result<()>;
}

/// Threads that were created early. Nodes take them before they create threads of their own.
pub struct PreparedThreads;

impl PreparedThreads {
    /// Makes sure that this process has at least `n` prepared threads, busy ones included, and that
    /// every child that it forks gets the same number. A later call creates only the missing ones.
    ///
    /// # Errors
    /// The system refuses a thread; the threads that were created before it remain.
    pub fn prepare(n: usize) -> io::Result<()> {
        prepared::prepare(n)
    }

    /// The number of prepared threads that wait for a job.
    pub fn idle() -> usize {
        prepared::idle()
    }

    /// Runs `work` on a prepared thread, or on a new one if none is idle. All signals except
    /// SIGPROF and those that report a fault are blocked on that thread, and a panic in `work` is
    /// caught.
    ///
    /// # Errors
    /// The system refuses the thread; the work is dropped.
    pub fn run(name: &'static str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        Worker::start(name, prepared::STACK, None, work).map(drop)
    }
}

/// A thread of a node. Dropping this value does not end the thread.
pub(in crate::driver) struct Worker {
    latch: Arc<Latch>,
    identity: JobThread,
    handle: Mutex<Option<JoinHandle<()>>>,
}

impl Worker {
    /// Starts `work` on a thread of its own. If there is a `spawn`, the host program creates the
    /// thread; otherwise it is a prepared thread, or a new one of std if none is idle.
    ///
    /// # Errors
    /// The host program or the system refuses the thread; the work is dropped.
    pub fn start(
        name: &'static str,
        stack: usize,
        spawn: Option<&dyn Spawn>,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<Worker> {
        let (latch, opener) = Latch::new();
        let identity = JobThread::default();
        let inside = identity.clone();
        let job: Job = Box::new(move || {
            signals::block_here();
            inside.enter();
            // `work` reports its own panics. Dropping the values that it owns may panic as well;
            // that panic is caught here.
            let _ = panic::caught(work);
            inside.leave();
        });
        let handle = match spawn {
            Some(host) => {
                host.spawn(name, then_open(job, opener))?;
                None
            }
            None => match prepared::submit(name, job, opener) {
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

    /// Returns true if the caller runs on this thread.
    pub fn is_current(&self) -> bool {
        self.identity.is_current()
    }

    /// Returns true if the work has ended, and joins the thread in that case.
    pub fn has_finished(&self) -> bool {
        self.latch.wait(Some(Duration::ZERO)) && self.finish(None)
    }

    /// Waits until the work has ended or the timeout has passed, and returns whether the work has
    /// ended. `None` waits without limit. This method must not be called on the thread itself.
    pub fn finish(&self, timeout: Option<Duration>) -> bool {
        let done = self.latch.wait(timeout);
        // The lock is held while joining, so that a second caller, too, returns only after the
        // thread is gone.
        let mut handle = lock(&self.handle);
        match handle.take() {
            Some(handle) if done => drop(handle.join()),
            Some(_) | None => {} // a thread that takes too long is detached and never joined
        }
        done
    }
}

/// Returns a job that runs `job` and opens the latch as its last act.
fn then_open(job: Job, opener: Opener) -> Job {
    Box::new(move || {
        let opener = opener; // moves it into the closure, so that it is dropped after the job
        job();
        drop(opener);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::Signal;
    use std::sync::atomic::{AtomicBool, Ordering};

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
    fn a_worker_has_finished_when_its_work_has_and_it_blocks_signals() {
        for spawn in [None, Some(&Foreign as &dyn Spawn)] {
            let seen = Arc::new(AtomicBool::new(false));
            let inside = seen.clone();
            let worker = Worker::start("sprat-test", 256 * 1024, spawn, move || {
                std::thread::sleep(Duration::from_millis(20));
                inside.store(signals::is_blocked(Signal::SIGTERM), Ordering::Release);
            });
            let worker = worker.unwrap();
            assert!(!worker.is_current());
            assert!(worker.finish(None));
            assert!(seen.load(Ordering::Acquire));
            assert!(worker.finish(None), "a second wait returns at once");
        }
        assert!(
            !signals::is_blocked(Signal::SIGTERM),
            "the creator keeps its mask"
        );
    }

    #[test]
    fn a_worker_that_panics_has_finished_too() {
        let worker = Worker::start("sprat-test", 256 * 1024, None, || panic!("on purpose"));
        assert!(worker.unwrap().finish(None));
    }

    #[test]
    fn a_refused_thread_is_an_error() {
        assert!(Worker::start("sprat-test", 0, Some(&Refusing), || ()).is_err());
    }

    #[test]
    fn waiting_for_a_busy_worker_is_bounded() {
        let (end, ended) = crossbeam_channel::bounded::<()>(0);
        let worker = Worker::start("sprat-test", 256 * 1024, None, move || {
            let _ = ended.recv();
        });
        let worker = worker.unwrap();
        assert!(!worker.finish(Some(Duration::from_millis(10))));
        drop(end);
    }
}
