//! A leave that needs no descriptor.
//!
//! An operation has a descriptor that shows its end. A process that may open no more descriptors
//! must still be able to leave its cluster: otherwise the other members would see a failure. If the
//! system refuses the descriptor, a thread therefore waits for the end of the leave.

use sprat::driver::Outcome;
use sprat::{Error, Node, Result, Status};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The size of the stack of the thread in bytes: the default of std.
const STACK: usize = 2 << 20;

/// A leave whose end a thread waits for.
pub struct LeaveThread {
    node: Node,
    result: Arc<SharedResult>,
}

/// The result of the leave, once it has ended.
#[derive(Default)]
struct SharedResult {
    value: Mutex<Option<Result<Outcome>>>,
    set: Condvar,
}

impl LeaveThread {
    /// Begins a leave.
    pub fn start(node: &Node) -> Result<LeaveThread> {
        let result = Arc::<SharedResult>::default();
        let (leaving, ended) = (node.clone(), result.clone());
        spawn_without_signals(move || {
            let left = sprat::guarded(|| leaving.leave_and_report(None));
            ended.set(left.and_then(|result| result));
        })?;
        Ok(LeaveThread {
            node: node.clone(),
            result,
        })
    }

    /// Returns the outcome of the leave; `None` while the leave is under way.
    pub fn outcome(&self) -> Result<Option<Outcome>> {
        self.node.check_process()?;
        let result = self.result.lock().clone();
        Ok(result.map(|it| it.unwrap_or_else(|error| Err(error).into())))
    }

    /// Waits at most `pause` for the end of the leave, and returns true if it has ended.
    pub fn wait(&self, pause: Duration) -> bool {
        let under_way = |value: &mut Option<_>| value.is_none();
        let set = &self.result.set;
        let waited = set.wait_timeout_while(self.result.lock(), pause, under_way);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_some()
    }
}

impl SharedResult {
    fn lock(&self) -> MutexGuard<'_, Option<Result<Outcome>>> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, result: Result<Outcome>) {
        *self.lock() = Some(result);
        self.set.notify_all();
    }
}

/// Starts a thread that receives no signals but SIGPROF and those that report a fault: Python
/// handles signals on the main thread only, and a signal to another thread would not wake the main
/// thread.
fn spawn_without_signals(work: impl FnOnce() + Send + 'static) -> Result<()> {
    let spawned = sprat::driver::create_thread("sprat-leave", STACK, Box::new(work));
    spawned.map(drop).map_err(|error| {
        let message = format!("cannot start the thread of a leave: {error}");
        let errno = error.raw_os_error().unwrap_or(0);
        Error {
            errno,
            ..Error::new(Status::Io, message)
        }
    })
}
