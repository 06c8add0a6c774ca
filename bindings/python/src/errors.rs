//! Turns errors and panics of the library into exceptions.
//!
//! The classes are defined in Python (`sprat/_errors.py`), because most have two bases and a native
//! class can have only one. The function that makes them is looked up on first use.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use sprat::{Error, Status};

static FROM_STATUS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Makes the exception for an error.
pub fn raised(py: Python<'_>, error: &Error) -> PyErr {
    make(py, error.status as i32, &error.message, error.errno)
}

/// Makes the exception for a status number and a message.
pub fn from_number(py: Python<'_>, status: i32, message: &str) -> PyErr {
    make(py, status, message, 0)
}

fn make(py: Python<'_>, status: i32, message: &str, errno: i32) -> PyErr {
    let made = FROM_STATUS
        .import(py, "sprat._errors", "from_status")
        .and_then(|make| make.call1((status, message, errno)));
    made.map_or_else(|failure| failure, PyErr::from_value)
}

/// Makes the exception for a refused setting. An unknown name is a `TypeError`, as for every
/// unknown keyword argument; a wrong value is a `ConfigError`.
pub fn refused_setting(py: Python<'_>, error: Error) -> PyErr {
    match error.status {
        Status::NotFound => PyTypeError::new_err(error.message),
        Status::Invalid => {
            let status = Status::Config;
            raised(py, &Error { status, ..error })
        }
        _ => raised(py, &error),
    }
}

/// Makes the exception for a refused line of a file. An unknown name or a wrong value is a
/// `ConfigError`.
pub fn refused_line(py: Python<'_>, error: Error) -> PyErr {
    let status = match error.status {
        Status::NotFound | Status::Invalid => Status::Config,
        other => other,
    };
    raised(py, &Error { status, ..error })
}

/// Runs `work`. Its errors become exceptions, and a panic becomes `sprat.InternalError`,
/// because `except Exception` would not catch PyO3's own class for panics.
pub fn enter<R>(py: Python<'_>, work: impl FnOnce() -> sprat::Result<R>) -> PyResult<R> {
    let result = sprat::guarded(work).and_then(|result| result);
    result.map_err(|error| raised(py, &error))
}

/// Runs `work` as [`enter`] does, but detached: other threads of the interpreter can run in the
/// meantime.
pub fn enter_detached<R: Send>(
    py: Python<'_>,
    work: impl FnOnce() -> sprat::Result<R> + Send,
) -> PyResult<R> {
    let result = py.detach(|| sprat::guarded(work)).and_then(|result| result);
    result.map_err(|error| raised(py, &error))
}
