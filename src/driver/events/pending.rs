//! Operations that a program with an event loop begins without waiting. Each has a descriptor that
//! becomes readable when the operation has ended.

use crate::driver::os::descriptors::Wakeup;
use crate::driver::os::fork::Origin;
use crate::driver::os::lock::lock;
use crate::error::{Error, Result, Status};
use crate::key_report::KeyReport;
use crate::member::Member;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex};

/// The outcome of an operation.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The number of addresses that a join or look reached, 0 for other operations; or the reason
    /// why the operation failed.
    pub result: Result<usize>,
    /// The addresses that a join or look did not reach, with the reasons; empty for other
    /// operations.
    pub failures: Vec<FailedAddr>,
    /// The names of the live members that have not acknowledged a leave, or of the members whose
    /// ack or answer to a query is missing; empty for other operations.
    pub missing: Vec<Arc<str>>,
    /// The members that a look has found, sorted by name; empty for other operations.
    pub members: Arc<Vec<Member>>,
    /// The answers to a key query that was sent; `None` for other operations.
    pub keys: Option<Arc<KeyReport>>,
}

/// An address that a join or look did not reach.
#[derive(Clone, Debug)]
pub struct FailedAddr {
    /// The address, as it was given.
    pub addr: String,
    /// The reason.
    pub error: Error,
}

impl From<Result<usize>> for Outcome {
    fn from(result: Result<usize>) -> Outcome {
        Outcome {
            result,
            failures: Vec::new(),
            missing: Vec::new(),
            members: Arc::default(),
            keys: None,
        }
    }
}

/// The part of an operation that the engine and the waiting program share.
struct SharedOutcome {
    signal: Wakeup,
    outcome: Mutex<Option<Outcome>>,
}

/// An operation that is under way. Dropping this value does not stop the operation.
pub struct Pending {
    shared: Arc<SharedOutcome>,
    origin: Origin,
}

/// The engine's side of an operation: the promise that an outcome will come.
pub(in crate::driver) struct Promise(Arc<SharedOutcome>);

impl Pending {
    pub(in crate::driver) fn new() -> Result<(Promise, Pending)> {
        let failed = |error| Error::io("cannot create the descriptor of an operation", &error);
        let signal = Wakeup::new().map_err(failed)?;
        let shared = Arc::new(SharedOutcome {
            signal,
            outcome: Mutex::default(),
        });
        let origin = Origin::here();
        Ok((Promise(shared.clone()), Pending { shared, origin }))
    }

    /// Returns a descriptor that is readable once the operation has ended. It is for polling only,
    /// and is closed with this value.
    ///
    /// # Errors
    /// `Forked` in a forked child.
    pub fn fd(&self) -> Result<RawFd> {
        self.origin.check()?;
        Ok(self.shared.signal.fd())
    }

    /// Returns the outcome; `None` while the operation is under way.
    ///
    /// # Errors
    /// `Forked` in a forked child.
    pub fn outcome(&self) -> Result<Option<Outcome>> {
        self.origin.check()?;
        Ok(lock(&self.shared.outcome).clone())
    }
}

impl Promise {
    /// Ends the operation with this outcome.
    pub fn fulfil(self, outcome: Outcome) {
        self.end(outcome);
    }

    /// Ends the operation unless it has ended: after `fulfil`, `drop` calls this again.
    fn end(&self, outcome: Outcome) {
        let mut held = lock(&self.0.outcome);
        if held.is_none() {
            *held = Some(outcome);
            self.0.signal.raise();
        }
    }
}

impl Drop for Promise {
    /// Ends the operation with an error if it has no outcome yet, so that no program waits forever.
    fn drop(&mut self) {
        let closed = Error::new(Status::Closed, "the node was shut down");
        self.end(Err(closed).into());
    }
}
