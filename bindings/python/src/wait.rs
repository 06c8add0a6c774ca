//! Event subscriptions and pending operations, and the one way to wait for either.
//!
//! A wait is a `ppoll` on a descriptor, in the calling thread and detached from the interpreter. On
//! the main thread a signal interrupts the poll, and its Python handler runs at once: Ctrl-C raises
//! an exception within a fraction of a millisecond. Pending handlers also run once a second,
//! because the system may deliver the signal to another thread of the program.
//!
//! The descriptor only wakes the thread: the subscription or the operation itself tells whether the
//! wait is over. It is also asked once a second, because the program may have put a file that never
//! becomes readable in the place of the descriptor.
//!
//! Other threads receive no signal while they wait here. Python handles signals on the main thread
//! only, and a signal to another thread would not wake the main thread.
//!
//! A leave for which the system refuses a descriptor has a thread instead, and the wait is for that
//! thread.

use crate::errors::{enter, raised};
use crate::event;
use crate::leave_thread::LeaveThread;
use crate::members::Members;
use pyo3::prelude::*;
use pyo3::types::PyList;
use sprat::{KeyReport, Status};
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::ptr;
use std::sync::Weak;
use std::time::{Duration, Instant};

/// The longest poll between two checks for signals and for the end of the wait.
const SIGNAL_CHECK: Duration = Duration::from_secs(1);
/// The longest wait without a poll: in a process that may not open any descriptor, the kernel
/// refuses to poll, and a descriptor that the program has closed or replaced is ready too early.
const UNPOLLED_PAUSE: Duration = Duration::from_millis(20);

/// A subscription to events of a node, or what comes back for a query.
#[pyclass(frozen, module = "sprat._native")]
pub struct Subscription {
    inner: sprat::driver::Subscription,
    /// The node that answers queries. A reader does not keep it alive.
    node: Weak<sprat::Node>,
}

impl Subscription {
    pub fn new(inner: sprat::driver::Subscription, node: Weak<sprat::Node>) -> Subscription {
        Subscription { inner, node }
    }
}

#[pymethods]
impl Subscription {
    /// Returns the descriptor, which is readable while events wait, and always after the end of the
    /// node.
    fn fileno(&self, py: Python<'_>) -> PyResult<RawFd> {
        enter(py, || self.inner.fd())
    }

    /// Returns the next event, or `None` if there is none yet.
    fn pop(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let events = enter(py, || self.inner.drain(1))?;
        let first = events.first();
        first
            .map(|it| event::for_python(py, it, &self.node))
            .transpose()
    }

    /// Returns at most `count` waiting events, without waiting for more.
    fn drain<'py>(&self, py: Python<'py>, count: usize) -> PyResult<Bound<'py, PyList>> {
        let events = enter(py, || self.inner.drain(count))?;
        let made = events.iter();
        let made: PyResult<Vec<_>> = made
            .map(|it| event::for_python(py, it, &self.node))
            .collect();
        PyList::new(py, made?)
    }

    /// Ends the subscription and every wait for it.
    fn abandon(&self, py: Python<'_>) {
        py.detach(|| self.inner.abandon());
    }

    /// Waits until an event can be taken or the subscription has ended, and returns true. Returns
    /// false if `timeout` seconds pass first; `None` waits without limit.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let fd = enter(py, || self.inner.fd())?;
        wait_until(py, timeout, || self.inner.is_ready(), poll_of(fd))
    }
}

/// A pending operation: a join, a look, a leave, a hint, a reliable message or a key query.
#[pyclass(frozen, module = "sprat._native")]
pub struct Pending(Awaited);

/// The two ways to learn of the end of an operation.
enum Awaited {
    Descriptor(sprat::driver::Pending),
    Thread(LeaveThread),
}

impl Pending {
    pub fn new(inner: sprat::driver::Pending) -> Pending {
        Pending(Awaited::Descriptor(inner))
    }

    /// Begins a leave, even if no descriptor is free.
    pub fn leave(node: &sprat::Node) -> sprat::Result<Pending> {
        match node.begin_leave() {
            Err(error) if error.status == Status::Io => {
                LeaveThread::start(node).map(|it| Pending(Awaited::Thread(it)))
            }
            begun => begun.map(Pending::new),
        }
    }

    fn native_outcome(&self) -> sprat::Result<Option<sprat::driver::Outcome>> {
        match &self.0 {
            Awaited::Descriptor(pending) => pending.outcome(),
            Awaited::Thread(leave) => leave.outcome(),
        }
    }
}

#[pymethods]
impl Pending {
    /// Returns the descriptor, which is readable once the operation has finished. Returns `None`
    /// for a leave for which no descriptor was free.
    fn fileno(&self, py: Python<'_>) -> PyResult<Option<RawFd>> {
        match &self.0 {
            Awaited::Descriptor(pending) => enter(py, || pending.fd()).map(Some),
            Awaited::Thread(_) => Ok(None),
        }
    }

    /// Waits until the operation has finished, and returns true. Returns false if `timeout` seconds
    /// pass first; `None` waits without limit.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let has_ended = || self.native_outcome().map(|it| it.is_some());
        match &self.0 {
            Awaited::Descriptor(pending) => {
                let fd = enter(py, || pending.fd())?;
                wait_until(py, timeout, has_ended, poll_of(fd))
            }
            Awaited::Thread(leave) => wait_until(py, timeout, has_ended, |pause| {
                leave.wait(pause.min(UNPOLLED_PAUSE));
            }),
        }
    }

    /// Returns the outcome of the operation, or `None` if the operation has not finished. The
    /// outcome is the number of addresses that a join or look reached (`None` after a failure), the
    /// error (`None` after a success), the error of each address that a join or look did not reach,
    /// the members that did not acknowledge a leave, the members that a look has found, and the
    /// answers to a key query that was sent.
    fn outcome(&self, py: Python<'_>) -> PyResult<Option<Outcome>> {
        let Some(outcome) = enter(py, || self.native_outcome())? else {
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
        let unacked = outcome.missing.iter().map(|name| name.to_string());
        let unacked = unacked.collect();
        let members = Members::new(outcome.members);
        let keys = outcome.keys.as_deref().map(key_answers);
        Ok(Some((contacted, error, failures, unacked, members, keys)))
    }
}

type Exception = Py<pyo3::exceptions::PyBaseException>;
type Outcome = (
    Option<usize>,
    Option<Exception>,
    Vec<(String, Exception)>,
    Vec<String>,
    Members,
    Option<KeyAnswers>,
);

/// The answers to a key query: the number of members that were asked; the name of each
/// member that answered, whether it has done what was asked, and its message; the members that have
/// not answered; each key in base64, the number of members that hold it, and of those whose primary
/// key it is.
type KeyAnswers = (
    usize,
    Vec<(String, bool, String)>,
    Vec<String>,
    Vec<(String, usize, usize)>,
);

fn key_answers(report: &KeyReport) -> KeyAnswers {
    let answers = report.answers.iter();
    let answers = answers.map(|(name, it)| (name.to_string(), it.done, it.message.clone()));
    let missing = report.missing.iter().map(|name| name.to_string());
    let keys = report.keys.iter();
    let keys = keys.map(|(key, it)| (key.to_base64().to_string(), it.members, it.primary));
    (
        report.asked,
        answers.collect(),
        missing.collect(),
        keys.collect(),
    )
}

/// Returns the time at which a timeout in seconds ends. Returns `None`, that is, no limit, if
/// `timeout` is `None` or too long for the clock.
fn deadline(timeout: Option<f64>) -> Option<Instant> {
    let timeout = timeout.and_then(|it| Duration::try_from_secs_f64(it.max(0.0)).ok());
    timeout.and_then(|it| Instant::now().checked_add(it))
}

/// Waits until `is_over` returns true, and returns true. Returns false after `timeout` seconds.
/// `pause` waits at most as long as its argument says; the interpreter is detached during this
/// wait, and handles signals after it.
fn wait_until(
    py: Python<'_>,
    timeout: Option<f64>,
    is_over: impl Fn() -> sprat::Result<bool>,
    mut pause: impl FnMut(Duration) + Send,
) -> PyResult<bool> {
    let deadline = deadline(timeout);
    loop {
        // The clock is read first, so that an end at the last moment counts.
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        if enter(py, &is_over)? {
            return Ok(true);
        }
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(false);
        }
        let limit = left.map_or(SIGNAL_CHECK, |left| left.min(SIGNAL_CHECK));
        py.detach(|| pause(limit));
        py.check_signals()?;
    }
}

/// Returns a function that waits until the descriptor is readable, at most as long as its argument
/// says. If the descriptor is still readable after a call that did not end the wait, the next call
/// waits for [`UNPOLLED_PAUSE`] instead.
fn poll_of(fd: RawFd) -> impl FnMut(Duration) + Send {
    let mut was_ready = false;
    move |limit| {
        if was_ready && poll(fd, Duration::ZERO) {
            std::thread::sleep(limit.min(UNPOLLED_PAUSE));
        } else {
            was_ready = poll(fd, limit);
        }
    }
}

/// Waits at most `limit` until the descriptor is readable, and returns true if it is. Also returns
/// true if the kernel refuses to poll.
fn poll(fd: RawFd, limit: Duration) -> bool {
    let mut entry = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    let limit = libc::timespec {
        tv_sec: limit.as_secs() as libc::time_t,
        tv_nsec: limit.subsec_nanos() as libc::c_long,
    };
    let all = all_signals();
    let blocked = match is_main_thread() {
        true => ptr::null(),
        false => &raw const all,
    };
    // SAFETY: `entry` is one initialised `pollfd` that outlives the call, and the count is 1. The
    // set is initialised, and NULL leaves the signal mask unchanged.
    match unsafe { libc::ppoll(&raw mut entry, 1, &raw const limit, blocked) } {
        0 => false,
        1.. => true,
        _ => std::io::Error::last_os_error().kind() != std::io::ErrorKind::Interrupted,
    }
}

/// Returns the set of all signals.
fn all_signals() -> libc::sigset_t {
    let mut all = MaybeUninit::uninit();
    // SAFETY: `all` is a place for a signal set, which the call initialises.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        all.assume_init()
    }
}

fn is_main_thread() -> bool {
    // SAFETY: the call has no arguments, and only returns the number of this thread.
    let thread = unsafe { libc::syscall(libc::SYS_gettid) };
    thread == libc::c_long::from(std::process::id() as libc::pid_t)
}
