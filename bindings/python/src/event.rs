//! Events as Python sees them: frozen classes, one per kind, that work with `match`.
//!
//! ```text
//!   Event ── MemberEvent ── MemberJoined, MemberUpdated, MemberLeft, MemberFailed, ...
//!         ├─ Overflow
//!         ├─ NodeFailed
//!         ├─ NameRegained
//!         ├─ UserEvent, Query, Response (messages.rs)
//!         ├─ Message, RemoteState, MemberConflict, PingAck (memberlist.rs)
//!         └─ LogLine (only inside the package)
//! ```
//!
//! The classes of member events follow from the table of events in the library.

use crate::base_event::Event;
use crate::member::Member;
use crate::memberlist::{MemberConflict, Message, PingAck, RemoteState};
use crate::messages::{Query, QueryAck, QueryEnd, Response, UserEvent};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use sprat::{EventBody, EventKind, Level};
use std::sync::Weak;

/// An event about a member. `member` is the member as it was when the event happened.
#[pyclass(frozen, subclass, extends = Event, module = "sprat")]
pub struct MemberEvent {
    member: sprat::Member,
}

#[pymethods]
impl MemberEvent {
    /// The member as it was when the event happened.
    #[getter]
    fn member(&self) -> Member {
        Member::of(&self.member)
    }

    #[classattr]
    fn __match_args__() -> (&'static str,) {
        ("member",)
    }

    /// Return the fields as a new dict of plain values.
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
    (
        members {
            $($(#[doc = $doc:literal])* $Kind:ident = $number:literal, $name:literal, $Class:ident;)*
        }
        others $others:tt
    ) => {
        $(
            $(#[doc = $doc])*
            #[pyclass(frozen, extends = MemberEvent, module = "sprat")]
            pub struct $Class;

            #[pymethods]
            impl $Class {
                #[new]
                #[pyo3(signature = (member, seq=0, time=0.0))]
                fn new(member: PyRef<'_, Member>, seq: u64, time: f64) -> PyClassInitializer<Self> {
                    let member = member.inner.clone();
                    Event::with(EventKind::$Kind, seq, time)
                        .add_subclass(MemberEvent { member })
                        .add_subclass($Class)
                }
            }
        )*

        /// Returns the object for an event of `node`, which answers queries.
        pub fn for_python(
            py: Python<'_>,
            event: &sprat::Event,
            node: &Weak<sprat::Node>,
        ) -> PyResult<Py<PyAny>> {
            let base = PyClassInitializer::from(Event::of(event));
            Ok(match &event.body {
                $(EventBody::$Kind(member) => {
                    let member = member.clone();
                    let object = base.add_subclass(MemberEvent { member }).add_subclass($Class);
                    Py::new(py, object)?.into_any()
                })*
                EventBody::Overflow { lost } => {
                    Py::new(py, base.add_subclass(Overflow { lost: *lost }))?.into_any()
                }
                EventBody::Log { level, target, text } => {
                    Py::new(py, base.add_subclass(LogLine::of(*level, target, text)))?.into_any()
                }
                EventBody::Fatal { error } => {
                    Py::new(py, base.add_subclass(NodeFailed::of(error)))?.into_any()
                }
                EventBody::NameRegained {} => {
                    Py::new(py, base.add_subclass(NameRegained))?.into_any()
                }
                EventBody::User { name, payload, ltime, coalesce } => {
                    let (name, payload) = (name.clone(), payload.clone());
                    let (ltime, coalesce) = (*ltime, *coalesce);
                    let user = UserEvent { name, payload, ltime, coalesce };
                    Py::new(py, base.add_subclass(user))?.into_any()
                }
                EventBody::Query { id, name, payload, ltime, from, time } => {
                    let query = Query {
                        name: name.clone(),
                        payload: payload.clone(),
                        ltime: *ltime,
                        asker: from.clone(),
                        deadline: event.time.as_nanos() as f64 / 1e9 + time.as_secs_f64(),
                        origin: Some((node.clone(), *id)),
                    };
                    Py::new(py, base.add_subclass(query))?.into_any()
                }
                EventBody::Message { from, addr, payload } => {
                    let message = Message::of(from, *addr, payload);
                    Py::new(py, base.add_subclass(message))?.into_any()
                }
                EventBody::RemoteState { from, addr, join, payload } => {
                    let state = RemoteState::of(from, *addr, *join, payload);
                    Py::new(py, base.add_subclass(state))?.into_any()
                }
                EventBody::MemberConflict { name, known, claimed } => {
                    let conflict = MemberConflict::of(name, *known, *claimed);
                    Py::new(py, base.add_subclass(conflict))?.into_any()
                }
                EventBody::PingAck { from, rtt, payload } => {
                    Py::new(py, base.add_subclass(PingAck::of(from, *rtt, payload)))?.into_any()
                }
                EventBody::QueryAck { from, .. } => {
                    let member = from.clone();
                    Py::new(py, base.add_subclass(QueryAck { member }))?.into_any()
                }
                EventBody::QueryResponse { from, payload, .. } => {
                    let (member, payload) = (from.clone(), payload.clone());
                    Py::new(py, base.add_subclass(Response { member, payload }))?.into_any()
                }
                EventBody::Done { result, missing, .. } => {
                    let (result, missing) = (result.clone(), missing.clone());
                    Py::new(py, base.add_subclass(QueryEnd { result, missing }))?.into_any()
                }
            })
        }

        fn add_member_events(module: &Bound<'_, PyModule>) -> PyResult<()> {
            $(module.add_class::<$Class>()?;)*
            Ok(())
        }
    };
}

// One class for each row about members in the library's table of events.
sprat::event_table!(member_events);

/// Events were lost because no one took them in time: call `members()` again.
#[pyclass(frozen, extends = Event, module = "sprat")]
pub struct Overflow {
    lost: u64,
}

#[pymethods]
impl Overflow {
    #[new]
    #[pyo3(signature = (lost, seq=0, time=0.0))]
    fn new(lost: u64, seq: u64, time: f64) -> PyClassInitializer<Self> {
        Event::with(EventKind::Overflow, seq, time).add_subclass(Overflow { lost })
    }

    /// The number of events that were merged or dropped since the last `Overflow`, 1 or more.
    #[getter]
    fn lost(&self) -> u64 {
        self.lost
    }

    #[classattr]
    fn __match_args__() -> (&'static str,) {
        ("lost",)
    }

    /// Return the fields as a new dict of plain values.
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

/// The name conflict that a `NodeFailed` reported is over: no other node has this node's name any
/// more, and the members now list this node under its name.
#[pyclass(frozen, extends = Event, module = "sprat")]
pub struct NameRegained;

#[pymethods]
impl NameRegained {
    #[new]
    #[pyo3(signature = (seq=0, time=0.0))]
    fn new(seq: u64, time: f64) -> PyClassInitializer<Self> {
        Event::with(EventKind::NameRegained, seq, time).add_subclass(NameRegained)
    }

    #[classattr]
    fn __match_args__(py: Python<'_>) -> Bound<'_, PyTuple> {
        PyTuple::empty(py)
    }

    /// Return the fields as a new dict of plain values.
    fn to_dict<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        slf.as_super().get().to_dict(slf.py())
    }

    fn __repr__(&self) -> &'static str {
        "NameRegained()"
    }

    fn __eq__(slf: &Bound<'_, Self>, other: &Bound<'_, Self>) -> bool {
        slf.as_super().get().same(other.as_super().get())
    }

    fn __hash__(slf: &Bound<'_, Self>) -> u64 {
        slf.as_super().get().__hash__()
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyType>, (u64, f64)) {
        let base = slf.as_super().get();
        (slf.get_type(), (base.seq, base.time))
    }
}

/// The node cannot do its work: it is broken, or another node has its name. In the latter case the
/// node keeps running, and a `NameRegained` follows if it gets the name.
#[pyclass(frozen, extends = Event, module = "sprat")]
pub struct NodeFailed {
    reason: String,
    code: i32,
}

impl NodeFailed {
    fn of(error: &sprat::Error) -> NodeFailed {
        NodeFailed {
            reason: error.message.clone(),
            code: error.status.number(),
        }
    }
}

#[pymethods]
impl NodeFailed {
    #[new]
    #[pyo3(signature = (reason, status=-99, seq=0, time=0.0))]
    fn new(reason: String, status: i32, seq: u64, time: f64) -> PyClassInitializer<Self> {
        let code = status;
        Event::with(EventKind::Fatal, seq, time).add_subclass(NodeFailed { reason, code })
    }

    /// The reason in a sentence.
    #[getter]
    fn reason(&self) -> &str {
        &self.reason
    }

    /// The reason as an exception, such as a `sprat.NameConflictError`.
    #[getter]
    fn error(&self, py: Python<'_>) -> Py<pyo3::exceptions::PyBaseException> {
        crate::errors::from_number(py, self.code, &self.reason).into_value(py)
    }

    #[classattr]
    fn __match_args__() -> (&'static str,) {
        ("reason",)
    }

    /// Return the fields as a new dict of plain values.
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

/// A line of the log, which the package passes to `logging`. Users never get such an event.
#[pyclass(frozen, extends = Event, module = "sprat._native")]
pub struct LogLine {
    level: i32,
    target: &'static str,
    text: String,
}

impl LogLine {
    fn of(level: Level, target: &'static str, text: &str) -> LogLine {
        LogLine {
            level: level.number(),
            target,
            text: text.to_owned(),
        }
    }
}

#[pymethods]
impl LogLine {
    /// The level, 1 (error) to 5 (trace).
    #[getter]
    fn level(&self) -> i32 {
        self.level
    }

    /// The part of the library that writes the line.
    #[getter]
    fn target(&self) -> &'static str {
        self.target
    }

    /// The line itself.
    #[getter]
    fn text(&self) -> &str {
        &self.text
    }
}

/// Adds the classes to the module.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Event>()?;
    module.add_class::<MemberEvent>()?;
    add_member_events(module)?;
    module.add_class::<Overflow>()?;
    module.add_class::<NameRegained>()?;
    module.add_class::<NodeFailed>()?;
    module.add_class::<LogLine>()?;
    crate::messages::add_to(module)
}
