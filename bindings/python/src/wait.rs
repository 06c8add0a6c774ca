//! Event subscriptions and pending operations, and the one way to wait for either.
//!
//! A wait is a `ppoll` on a descriptor, in the calling thread and detached from the interpreter. On
//! the main thread a signal interrupts the poll, and its Python handler runs at once: Ctrl-C raises
//! an exception within a fraction of a millisecond. Pending handlers also run once a second,
//! because the system may deliver the signal to another thread of the program.
//!
//! Other threads receive no signal while they wait here. Python handles signals on the main thread
//! only, and a signal to another thread would not wake the main thread.

use crate::errors::{enter, raised};
use crate::event;
use crate::members::Members;
use pyo3::prelude::*;
use pyo3::types::PyList;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::ptr;
use std::time::{Duration, Instant};

/// The longest poll between two checks for signals.
const SIGNAL_CHECK: Duration = Duration::from_secs(1);
/// The pause if the kernel refuses to poll, as in a process that may not open any descriptor.
const POLL_REFUSED_PAUSE: Duration = Duration::from_millis(20);

/// A subscription to events of a node.
#[pyclass(frozen, module = "sprat._native")]
pub struct Subscription(sprat::driver::Subscription);

impl Subscription {
    pub fn new(inner: sprat::driver::Subscription) -> Subscription {
        Subscription(inner)
    }
}

#[pymethods]
impl Subscription {
    /// Returns the descriptor, which is readable while events wait, and always after the end of the
    /// node.
    fn fileno(&self, py: Python<'_>) -> PyResult<RawFd> {
        enter(py, || self.0.fd())
    }

    /// Returns the next event, or `None` if there is none yet.
    fn pop(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let events = enter(py, || self.0.drain(1))?;
        let first = events.first().map(|it| event::for_python(py, it));
        Ok(first.transpose()?.flatten())
    }

    /// Returns at most `count` waiting events, without waiting for more.
    fn drain<'py>(&self, py: Python<'py>, count: usize) -> PyResult<Bound<'py, PyList>> {
        let events = enter(py, || self.0.drain(count))?;
        let made = events.iter().map(|it| event::for_python(py, it));
        let made: PyResult<Vec<_>> = made.filter_map(Result::transpose).collect();
        PyList::new(py, made?)
    }

    /// Ends the subscription and every wait for it.
    fn abandon(&self, py: Python<'_>) {
        py.detach(|| self.0.abandon());
    }

    /// Waits until an event can be taken or the subscription has ended, and returns true. Returns
    /// false if `timeout` seconds pass first; `None` waits without limit.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let fd = enter(py, || self.0.fd())?;
        readable(py, fd, deadline(timeout))
    }
}

/// A pending operation: a join, a look, a leave or a hint.
#[pyclass(frozen, module = "sprat._native")]
pub struct Pending(sprat::driver::Pending);

impl Pending {
    pub fn new(inner: sprat::driver::Pending) -> Pending {
        Pending(inner)
    }
}

#[pymethods]
impl Pending {
    /// Returns the descriptor, which is readable once the operation has finished.
    fn fileno(&self, py: Python<'_>) -> PyResult<RawFd> {
        enter(py, || self.0.fd())
    }

    /// Waits until the operation has finished, and returns true. Returns false if `timeout` seconds
    /// pass first; `None` waits without limit.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let fd = enter(py, || self.0.fd())?;
        readable(py, fd, deadline(timeout))
    }

    /// Returns the outcome of the operation, or `None` if the operation has not finished. The
    /// outcome is the number of addresses that a join or look reached (`None` after a failure), the
    /// error (`None` after a success), the error of each address that a join or look did not reach,
    /// the members that did not acknowledge a leave, and the members that a look has found.
    fn outcome(&self, py: Python<'_>) -> PyResult<Option<Outcome>> {
        let Some(outcome) = enter(py, || self.0.outcome())? else {
            return Ok(None);
        };
        let exception = |error| raised(py, error).into_value(py);
        let failures = outcome.failures.iter();
        let failures: Vec<_> = failures
            .map(|it| (it.addr.clone(), exception(&it.error)))
            .collect();
        let (contacted, error) = match outcome.result {
            Ok(contacted) => (Some(contacted), None),
            Err(error) => (None, Some(exception(&error))),
        };
        let unacked = outcome.unacked.iter().map(|name| name.to_string());
        let unacked = unacked.collect();
        let members = Members::new(outcome.members);
        Ok(Some((contacted, error, failures, unacked, members)))
    }
}

type Exception = Py<pyo3::exceptions::PyBaseException>;
type Outcome = (
    Option<usize>,
    Option<Exception>,
    Vec<(String, Exception)>,
    Vec<String>,
    Members,
);

/// Returns the time at which a timeout in seconds ends. Returns `None`, that is, no limit, if
/// `timeout` is `None` or too long for the clock.
fn deadline(timeout: Option<f64>) -> Option<Instant> {
    let timeout = timeout.and_then(|it| Duration::try_from_secs_f64(it.max(0.0)).ok());
    timeout.and_then(|it| Instant::now().checked_add(it))
}

/// Waits until the descriptor is readable, and returns true. Returns false after the deadline.
fn readable(py: Python<'_>, fd: RawFd, deadline: Option<Instant>) -> PyResult<bool> {
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let pause = left.map_or(SIGNAL_CHECK, |left| left.min(SIGNAL_CHECK));
        if py.detach(|| poll(fd, pause)) {
            return Ok(true);
        }
        py.check_signals()?;
        if left.is_some_and(|left| left <= pause) && Some(Instant::now()) >= deadline {
            return Ok(false);
        }
    }
}

/// Waits at most `pause` until the descriptor is readable. Returns true if it is readable, or after
/// [`POLL_REFUSED_PAUSE`] if the kernel refuses to poll.
fn poll(fd: RawFd, pause: Duration) -> bool {
    let mut entry = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    let pause = libc::timespec {
        tv_sec: pause.as_secs() as libc::time_t,
        tv_nsec: pause.subsec_nanos() as libc::c_long,
    };
    let mut all = MaybeUninit::uninit();
    // SAFETY: `all` is a place for a signal set, which the call initialises.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    let blocked = match is_main_thread() {
        true => ptr::null(),
        false => all.as_ptr(),
    };
    // SAFETY: `entry` is one initialised `pollfd` that outlives the call, and the count is 1. The
    // set was initialised above, and NULL leaves the signal mask unchanged.
    let ready = unsafe { libc::ppoll(&raw mut entry, 1, &raw const pause, blocked) };
    if ready >= 0 {
        return ready > 0;
    }
    if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted {
        return false;
    }
    std::thread::sleep(POLL_REFUSED_PAUSE);
    true
}

fn is_main_thread() -> bool {
    // SAFETY: the call has no arguments, and only returns the number of this thread.
    let thread = unsafe { libc::syscall(libc::SYS_gettid) };
    thread == libc::c_long::from(std::process::id() as libc::pid_t)
}
