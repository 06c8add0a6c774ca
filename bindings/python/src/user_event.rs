//! User events as Python sees them.

use crate::event::Event;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use sprat::EventKind;

/// A user event: a message that a program sent to all members with `Node.send_event`.
///
/// `coalesce` is true if the sender allows receivers to deliver only the last of several events
/// with this name.
#[pyclass(frozen, extends = Event, module = "sprat")]
pub struct UserEvent {
    name: String,
    payload: Box<[u8]>,
    ltime: u64,
    coalesce: bool,
}

impl UserEvent {
    pub fn of(name: &str, payload: &[u8], ltime: u64, coalesce: bool) -> UserEvent {
        UserEvent {
            name: name.to_owned(),
            payload: payload.into(),
            ltime,
            coalesce,
        }
    }
}

#[pymethods]
impl UserEvent {
    #[new]
    #[pyo3(signature = (name, payload=Vec::new(), ltime=0, coalesce=false, seq=0, time=0.0))]
    fn new(
        name: String,
        payload: Vec<u8>,
        ltime: u64,
        coalesce: bool,
        seq: u64,
        time: f64,
    ) -> PyClassInitializer<Self> {
        let kind = EventKind::User.name();
        let payload = payload.into();
        PyClassInitializer::from(Event { seq, time, kind }).add_subclass(UserEvent {
            name,
            payload,
            ltime,
            coalesce,
        })
    }

    /// The name of the event. Bytes that are not text are shown as `\xff`.
    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    /// The content; empty if there is none.
    #[getter]
    fn payload<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.payload)
    }

    /// The Lamport time at which the event was sent: higher than those of all events that its
    /// sender had sent or received before.
    #[getter]
    fn ltime(&self) -> u64 {
        self.ltime
    }

    /// True if receivers may leave out the event when another one with the same name follows.
    #[getter]
    fn coalesce(&self) -> bool {
        self.coalesce
    }

    #[classattr]
    fn __match_args__() -> (&'static str, &'static str) {
        ("name", "payload")
    }

    /// Return the fields as a new dict of plain values; the payload stays bytes.
    fn to_dict<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let (py, it) = (slf.py(), slf.get());
        let dict = slf.as_super().get().to_dict(py)?;
        dict.set_item("name", it.name())?;
        dict.set_item("payload", it.payload(py))?;
        dict.set_item("ltime", it.ltime)?;
        dict.set_item("coalesce", it.coalesce)?;
        Ok(dict)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let name = self.name().into_pyobject(py)?.repr()?.to_string();
        let payload = self.payload(py).repr()?.to_string();
        Ok(format!(
            "UserEvent({name}, {payload}, ltime={})",
            self.ltime
        ))
    }

    fn __eq__(slf: &Bound<'_, Self>, other: &Bound<'_, Self>) -> bool {
        let (a, b) = (slf.get(), other.get());
        let same = slf.as_super().get().same(other.as_super().get());
        same && (&a.name, &a.payload, a.ltime, a.coalesce)
            == (&b.name, &b.payload, b.ltime, b.coalesce)
    }

    fn __hash__(slf: &Bound<'_, Self>) -> u64 {
        slf.as_super().get().__hash__() ^ slf.get().ltime
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let (py, base, it) = (slf.py(), slf.as_super().get(), slf.get());
        let parts = (
            it.name(),
            it.payload(py),
            it.ltime,
            it.coalesce,
            base.seq,
            base.time,
        );
        (slf.get_type(), parts).into_pyobject(py)
    }
}
