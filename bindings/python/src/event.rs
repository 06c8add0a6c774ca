//! Events: frozen classes that work with `match`, one per kind.
//!
//! ```text
//!   Event ── MemberEvent ── MemberJoined, MemberUpdated, MemberLeft, MemberFailed, ...
//!         ├─ Overflow
//!         └─ NodeFailed
//! ```
//!
//! User events and queries will stand beside these.

use crate::member::Member;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};
use sprat::EventKind;
use std::sync::Arc;

/// Something that happened.
///
/// `seq` counts the events of one reader from 1; `time` is in seconds of `time.monotonic()`.
#[pyclass(frozen, subclass, module = "sprat")]
pub struct Event {
    seq: u64,
    time: f64,
    kind: &'static str,
}

impl Event {
    fn of(event: &sprat::Event) -> Event {
        Event {
            seq: event.seq,
            time: event.time_ns as f64 / 1e9,
            kind: event.kind.name(),
        }
    }

    fn same(&self, other: &Event) -> bool {
        self.kind == other.kind && self.seq == other.seq && self.time == other.time
    }
}

#[pymethods]
impl Event {
    /// Number of the event: one more than that of the one before it.
    #[getter]
    fn seq(&self) -> u64 {
        self.seq
    }

    /// When it was noticed, in seconds of `time.monotonic()`.
    #[getter]
    fn time(&self) -> f64 {
        self.time
    }

    /// Its kind as Serf writes it, for example "member-join".
    #[getter]
    fn kind(&self) -> &'static str {
        self.kind
    }

    /// Everything as a new dict of plain values.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("event", self.kind)?;
        dict.set_item("seq", self.seq)?;
        dict.set_item("time", self.time)?;
        Ok(dict)
    }

    fn __hash__(&self) -> u64 {
        self.seq ^ self.time.to_bits()
    }

    fn __eq__(&self, other: PyRef<'_, Self>) -> bool {
        self.same(&other)
    }
}

/// Something happened to a member: `member` is as it was then.
#[pyclass(frozen, subclass, extends = Event, module = "sprat")]
pub struct MemberEvent {
    member: Arc<sprat::Member>,
}

#[pymethods]
impl MemberEvent {
    /// The member, as it was when this happened.
    #[getter]
    fn member(&self) -> Member {
        Member::of(&self.member)
    }

    #[classattr]
    fn __match_args__() -> (&'static str,) {
        ("member",)
    }

    /// Everything as a new dict of plain values.
    fn to_dict<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let py = slf.py();
        let dict = slf.as_super().get().to_dict(py)?;
        dict.set_item("member", slf.get().member().to_dict(py)?)?;
        Ok(dict)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let name = slf.get_type().name()?;
        Ok(format!(
            "{name}({})",
            slf.get().member().__repr__(slf.py())?
        ))
    }

    fn __eq__(slf: &Bound<'_, Self>, other: &Bound<'_, Self>) -> bool {
        slf.get_type().is(other.get_type())
            && slf.as_super().get().same(other.as_super().get())
            && slf.get().member().same(&other.get().member())
    }

    fn __hash__(slf: &Bound<'_, Self>) -> u64 {
        slf.as_super().get().__hash__() ^ slf.get().member().__hash__()
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyType>, (Member, u64, f64)) {
        let base = slf.as_super().get();
        let parts = (slf.get().member(), base.seq, base.time);
        (slf.get_type(), parts)
    }
}

macro_rules! member_events {
    ($($name:ident, $kind:ident, $doc:literal;)*) => {
        $(
            #[doc = $doc]
            #[pyclass(frozen, extends = MemberEvent, module = "sprat")]
            pub struct $name;

            #[pymethods]
            impl $name {
                #[new]
                #[pyo3(signature = (member, seq=0, time=0.0))]
                fn new(member: PyRef<'_, Member>, seq: u64, time: f64) -> PyClassInitializer<Self> {
                    let kind = EventKind::$kind.name();
                    let member = member.inner.clone();
                    PyClassInitializer::from(Event { seq, time, kind })
                        .add_subclass(MemberEvent { member })
                        .add_subclass($name)
                }
            }
        )*

        fn member_event(
            py: Python<'_>,
            kind: EventKind,
            base: Event,
            member: Arc<sprat::Member>,
        ) -> PyResult<Option<Py<PyAny>>> {
            let base = PyClassInitializer::from(base).add_subclass(MemberEvent { member });
            Ok(match kind {
                $(EventKind::$kind => Some(Py::new(py, base.add_subclass($name))?.into_any()),)*
                EventKind::Done | EventKind::Overflow | EventKind::Log | EventKind::Fatal => None,
            })
        }

        fn add_member_events(module: &Bound<'_, PyModule>) -> PyResult<()> {
            $(module.add_class::<$name>()?;)*
            Ok(())
        }
    };
}

member_events! {
    MemberJoined, MemberJoin, "A member joined, or returned after it had failed or left.";
    MemberUpdated, MemberUpdate, "A member changed its tags, metadata or address.";
    MemberLeft, MemberLeave, "A member left of its own will.";
    MemberFailed, MemberFail, "A member failed.";
    MemberReaped, MemberReap, "A member that had failed or left is forgotten.";
    MemberSuspected, MemberSuspect,
        "A member is suspected: it will fail unless it defends itself.";
    MemberAlive, MemberAlive, "A suspicion was refuted: the member is alive after all.";
}

/// Events were lost because nobody took them in time: call `members()` again.
#[pyclass(frozen, extends = Event, module = "sprat")]
pub struct Overflow {
    lost: u64,
}

#[pymethods]
impl Overflow {
    #[new]
    #[pyo3(signature = (lost, seq=0, time=0.0))]
    fn new(lost: u64, seq: u64, time: f64) -> PyClassInitializer<Self> {
        let kind = EventKind::Overflow.name();
        PyClassInitializer::from(Event { seq, time, kind }).add_subclass(Overflow { lost })
    }

    /// How many events were merged or dropped since the last one of these, 1 or more.
    #[getter]
    fn lost(&self) -> u64 {
        self.lost
    }

    #[classattr]
    fn __match_args__() -> (&'static str,) {
        ("lost",)
    }

    /// Everything as a new dict of plain values.
    fn to_dict<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let dict = slf.as_super().get().to_dict(slf.py())?;
        dict.set_item("lost", slf.get().lost)?;
        Ok(dict)
    }

    fn __repr__(&self) -> String {
        format!("Overflow({})", self.lost)
    }

    fn __eq__(slf: &Bound<'_, Self>, other: &Bound<'_, Self>) -> bool {
        slf.get().lost == other.get().lost && slf.as_super().get().same(other.as_super().get())
    }

    fn __hash__(slf: &Bound<'_, Self>) -> u64 {
        slf.as_super().get().__hash__() ^ slf.get().lost
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyType>, (u64, u64, f64)) {
        let base = slf.as_super().get();
        (slf.get_type(), (slf.get().lost, base.seq, base.time))
    }
}

/// The node cannot be what it should, for instance because another has its name: close it.
#[pyclass(frozen, extends = Event, module = "sprat")]
pub struct NodeFailed {
    reason: String,
    code: i32,
}

#[pymethods]
impl NodeFailed {
    #[new]
    #[pyo3(signature = (reason, status=-99, seq=0, time=0.0))]
    fn new(reason: String, status: i32, seq: u64, time: f64) -> PyClassInitializer<Self> {
        let kind = EventKind::Fatal.name();
        let code = status;
        PyClassInitializer::from(Event { seq, time, kind })
            .add_subclass(NodeFailed { reason, code })
    }

    /// What happened, in a sentence.
    #[getter]
    fn reason(&self) -> &str {
        &self.reason
    }

    /// The exception that says the same: `sprat.NameConflictError`, `sprat.InternalError`.
    #[getter]
    fn error(&self, py: Python<'_>) -> Py<pyo3::exceptions::PyBaseException> {
        crate::errors::from_number(py, self.code, &self.reason).into_value(py)
    }

    #[classattr]
    fn __match_args__() -> (&'static str,) {
        ("reason",)
    }

    /// Everything as a new dict of plain values.
    fn to_dict<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let dict = slf.as_super().get().to_dict(slf.py())?;
        dict.set_item("reason", slf.get().reason())?;
        Ok(dict)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let reason = self.reason().into_pyobject(py)?.repr()?.to_string();
        Ok(format!("NodeFailed({reason})"))
    }

    fn __eq__(slf: &Bound<'_, Self>, other: &Bound<'_, Self>) -> bool {
        let (a, b) = (slf.get(), other.get());
        let same = slf.as_super().get().same(other.as_super().get());
        same && a.reason == b.reason && a.code == b.code
    }

    fn __hash__(slf: &Bound<'_, Self>) -> u64 {
        slf.as_super().get().__hash__()
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyType>, (String, i32, u64, f64)) {
        let (base, it) = (slf.as_super().get(), slf.get());
        (
            slf.get_type(),
            (it.reason.clone(), it.code, base.seq, base.time),
        )
    }
}

/// A line for `logging`. Not seen by users.
#[pyclass(frozen, extends = Event, module = "sprat._native")]
pub struct LogLine {
    level: i32,
    target: String,
    text: String,
}

#[pymethods]
impl LogLine {
    /// 1 (error) to 5 (trace).
    #[getter]
    fn level(&self) -> i32 {
        self.level
    }

    /// The part of the library that speaks.
    #[getter]
    fn target(&self) -> &str {
        &self.target
    }

    #[getter]
    fn text(&self) -> &str {
        &self.text
    }
}

/// The object for an event.
pub fn for_python(py: Python<'_>, event: &sprat::Event) -> PyResult<Py<PyAny>> {
    let base = Event::of(event);
    if let Some(member) = &event.member
        && let Some(made) = member_event(py, event.kind, Event::of(event), member.clone())?
    {
        return Ok(made);
    }
    let base = PyClassInitializer::from(base);
    match event.kind {
        EventKind::Overflow => {
            let lost = event.lost;
            Ok(Py::new(py, base.add_subclass(Overflow { lost }))?.into_any())
        }
        EventKind::Log => {
            let line = LogLine {
                level: event.level,
                target: event.name.clone(),
                text: event.text.clone(),
            };
            Ok(Py::new(py, base.add_subclass(line))?.into_any())
        }
        // Of the rest only Fatal is ever subscribed to.
        _ => {
            let failed = NodeFailed {
                reason: event.text.clone(),
                code: event.status,
            };
            Ok(Py::new(py, base.add_subclass(failed))?.into_any())
        }
    }
}

/// Puts the classes into the module.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Event>()?;
    module.add_class::<MemberEvent>()?;
    add_member_events(module)?;
    module.add_class::<Overflow>()?;
    module.add_class::<NodeFailed>()?;
    module.add_class::<LogLine>()
}
