//! Readers of events and operations under way, and the one wait that both use.
//!
//! A wait is a `poll` on a descriptor, on the thread that called and detached from the
//! interpreter. A signal ends the poll; its Python handler then runs, and Ctrl-C is an exception
//! within a fraction of a millisecond. Once a second the handlers are looked at in any case: the
//! signal may have gone to another thread.

use crate::errors::{enter, raised};
use crate::event;
use pyo3::prelude::*;
use pyo3::types::PyList;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

/// Longest poll.
const LOOK: Duration = Duration::from_secs(1);
/// Pause where the kernel refuses to poll: a process that may open no descriptors at all.
const BLIND: Duration = Duration::from_millis(20);

/// A reader of the events of a node.
#[pyclass(frozen, module = "sprat._native")]
pub struct Subscription(sprat::driver::Subscription);

impl Subscription {
    pub fn new(inner: sprat::driver::Subscription) -> Subscription {
        Subscription(inner)
    }
}

#[pymethods]
impl Subscription {
    /// The descriptor: readable while events wait, and for ever once the node has ended.
    fn fileno(&self, py: Python<'_>) -> PyResult<RawFd> {
        enter(py, || self.0.fd())
    }

    /// The next event, or `None` if there is none yet.
    fn pop(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let events = enter(py, || self.0.drain(1))?;
        let first = events.first().map(|it| event::for_python(py, it));
        Ok(first.transpose()?.flatten())
    }

    /// At most `count` events that wait, without waiting.
    fn drain<'py>(&self, py: Python<'py>, count: usize) -> PyResult<Bound<'py, PyList>> {
        let events = enter(py, || self.0.drain(count))?;
        let made = events.iter().map(|it| event::for_python(py, it));
        let made: PyResult<Vec<_>> = made.filter_map(Result::transpose).collect();
        PyList::new(py, made?)
    }

    /// Wants no more: who waits is woken, and finds nothing.
    fn abandon(&self, py: Python<'_>) {
        py.detach(|| self.0.abandon());
    }

    /// Whether there is something to drain before `timeout` seconds are over; `None` waits without
    /// limit.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let fd = enter(py, || self.0.fd())?;
        readable(py, fd, deadline(timeout))
    }
}

/// An operation under way.
#[pyclass(frozen, module = "sprat._native")]
pub struct Pending(sprat::driver::Pending);

impl Pending {
    pub fn new(inner: sprat::driver::Pending) -> Pending {
        Pending(inner)
    }
}

#[pymethods]
impl Pending {
    /// The descriptor: readable once the operation has ended.
    fn fileno(&self, py: Python<'_>) -> PyResult<RawFd> {
        enter(py, || self.0.fd())
    }

    /// Whether it ended before `timeout` seconds are over; `None` waits without limit.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let fd = enter(py, || self.0.fd())?;
        readable(py, fd, deadline(timeout))
    }

    /// How it ended: how many a join reached and the error, one of them `None`; and for a join the
    /// addresses that were not reached, each with its error. `None` while it is under way.
    fn outcome(&self, py: Python<'_>) -> PyResult<Option<Ended>> {
        let Some(outcome) = enter(py, || self.0.outcome())? else {
            return Ok(None);
        };
        let exception = |error| raised(py, error).into_value(py);
        let failures = outcome.failures.iter();
        let failures: Vec<_> = failures
            .map(|(target, error)| (target.clone(), exception(error)))
            .collect();
        Ok(Some(match outcome.result {
            Ok(contacted) => (Some(contacted), None, failures),
            Err(error) => (None, Some(exception(&error)), failures),
        }))
    }
}

type Exception = Py<pyo3::exceptions::PyBaseException>;
type Ended = (Option<usize>, Option<Exception>, Vec<(String, Exception)>);

/// The moment at which so many seconds are over. What is too long to be told from for ever is for
/// ever.
fn deadline(timeout: Option<f64>) -> Option<Instant> {
    let timeout = timeout.and_then(|it| Duration::try_from_secs_f64(it.max(0.0)).ok());
    timeout.and_then(|it| Instant::now().checked_add(it))
}

/// Waits until the descriptor is readable: true; or until the time is up: false.
fn readable(py: Python<'_>, fd: RawFd, deadline: Option<Instant>) -> PyResult<bool> {
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let pause = left.map_or(LOOK, |left| left.min(LOOK));
        if py.detach(|| poll(fd, pause)) {
            return Ok(true);
        }
        py.check_signals()?;
        if left.is_some_and(|left| left <= pause) && Some(Instant::now()) >= deadline {
            return Ok(false);
        }
    }
}

fn poll(fd: RawFd, pause: Duration) -> bool {
    let mut entry = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // Rounded up: a wait of half a millisecond must not become a busy loop.
    let pause = pause.as_micros().div_ceil(1000).min(1000) as libc::c_int;
    // SAFETY: one initialised entry.
    let ready = unsafe { libc::poll(&raw mut entry, 1, pause) };
    if ready >= 0 {
        return ready > 0;
    }
    if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted {
        return false;
    }
    std::thread::sleep(BLIND);
    true
}
