//! The class from which all classes of events are derived.

use crate::member::pairs;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator};
use sprat::EventKind;

/// An event.
///
/// `seq` counts the events of one reader from 1; `time` is in seconds of `time.monotonic()`.
/// `dict()` of an event is the same as `to_dict()`.
#[pyclass(frozen, subclass, module = "sprat")]
pub struct Event {
    pub seq: u64,
    pub time: f64,
    kind: &'static str,
}

impl Event {
    pub fn of(event: &sprat::Event) -> Event {
        Event {
            seq: event.seq,
            time: event.time.as_nanos() as f64 / 1e9,
            kind: event.kind().name(),
        }
    }

    /// Returns the [`Event`] part of an event of this kind that Python code constructs.
    pub fn with(kind: EventKind, seq: u64, time: f64) -> PyClassInitializer<Event> {
        let kind = kind.name();
        PyClassInitializer::from(Event { seq, time, kind })
    }

    pub fn same(&self, other: &Event) -> bool {
        self.kind == other.kind && self.seq == other.seq && self.time == other.time
    }
}

#[pymethods]
impl Event {
    /// The number of the event among those of its reader, from 1. The numbers of lost events are
    /// skipped.
    #[getter]
    fn seq(&self) -> u64 {
        self.seq
    }

    /// The time at which the event was queued, in seconds of `time.monotonic()`.
    #[getter]
    fn time(&self) -> f64 {
        self.time
    }

    /// The name of the kind, for example "member-join". It is Serf's name if Serf has this kind.
    #[getter]
    fn kind(&self) -> &'static str {
        self.kind
    }

    /// Return the fields as a new dict of plain values.
    pub fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("event", self.kind)?;
        dict.set_item("seq", self.seq)?;
        dict.set_item("time", self.time)?;
        Ok(dict)
    }

    /// Yields the key-value pairs of `to_dict()`, so that `dict(event)` works. A subclass's own
    /// `to_dict` is used if it has one.
    fn __iter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyIterator>> {
        pairs(&slf.call_method0("to_dict")?)
    }

    pub fn __hash__(&self) -> u64 {
        self.seq ^ self.time.to_bits()
    }

    fn __eq__(&self, other: PyRef<'_, Self>) -> bool {
        self.same(&other)
    }
}
