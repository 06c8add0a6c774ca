//! Operations that were begun without waiting, for those who wait in ways of their own: each has
//! a descriptor that becomes readable when the operation has ended.

use crate::driver::os::descriptors::Wakeup;
use crate::driver::os::fork::Origin;
use crate::driver::os::lock::lock;
use crate::error::{Error, Result, Status};
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex};

/// How an operation ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How many members a join reached, 0 for other operations; or why it failed.
    pub result: Result<usize>,
    /// A join: the addresses that were not reached, and why.
    pub failures: Vec<(String, Error)>,
}

impl From<Result<usize>> for Outcome {
    fn from(result: Result<usize>) -> Outcome {
        Outcome {
            result,
            failures: Vec::new(),
        }
    }
}

struct Slot {
    signal: Wakeup,
    outcome: Mutex<Option<Outcome>>,
}

/// An operation under way. Dropping it does not stop the operation.
pub struct Pending {
    slot: Arc<Slot>,
    origin: Origin,
}

/// The side of the engine.
pub(in crate::driver) struct Promise(Arc<Slot>);

impl Pending {
    pub(in crate::driver) fn new() -> Result<(Promise, Pending)> {
        let signal =
            Wakeup::new().map_err(|error| Error::io("no descriptor for an operation", &error))?;
        let slot = Arc::new(Slot {
            signal,
            outcome: Mutex::default(),
        });
        let origin = Origin::here();
        Ok((Promise(slot.clone()), Pending { slot, origin }))
    }

    /// A descriptor that is readable once the operation has ended. For polling only; it is closed
    /// with this value.
    ///
    /// # Errors
    /// `Forked` in a forked child.
    pub fn fd(&self) -> Result<RawFd> {
        self.origin.check()?;
        Ok(self.slot.signal.fd())
    }

    /// How it ended; `None` while it is under way.
    ///
    /// # Errors
    /// `Forked` in a forked child.
    pub fn outcome(&self) -> Result<Option<Outcome>> {
        self.origin.check()?;
        Ok(lock(&self.slot.outcome).clone())
    }
}

impl Promise {
    /// The operation has ended.
    pub fn keep(self, outcome: Outcome) {
        self.end(outcome);
    }

    fn end(&self, outcome: Outcome) {
        let mut slot = lock(&self.0.outcome);
        if slot.is_none() {
            *slot = Some(outcome);
            self.0.signal.raise();
        }
    }
}

impl Drop for Promise {
    /// Nobody waits for ever.
    fn drop(&mut self) {
        let closed = Error::new(Status::Closed, "the node was shut down");
        self.end(Err(closed).into());
    }
}
