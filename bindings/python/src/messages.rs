//! User events, queries, and what comes back for a query of this node, as Python sees them.
//!
//! ```text
//!   Event ── UserEvent
//!         ├─ Query       with `respond`
//!         ├─ Response    only from a `QueryResult`
//!         └─ QueryAck, QueryEnd (only inside the package)
//! ```

use crate::base_event::Event;
use crate::errors::{enter_detached, raised};
use crate::event_class::{event_class, shown};
use pyo3::exceptions::{PyBaseException, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView, PyString};
use sprat::{Error, EventKind, Status};
use std::sync::{Arc, Weak};

/// Copies the bytes of the argument `payload`.
pub fn payload_of(value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    bytes_of("payload", value)
}

/// Copies the bytes of an argument. Text is refused, because only the program knows its encoding.
pub fn bytes_of(argument: &str, value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(bytes.as_bytes().to_vec());
    }
    if value.is_instance_of::<PyByteArray>() {
        return value.extract();
    }
    if value.is_instance_of::<PyMemoryView>() {
        return bytes_of(argument, &value.call_method0("tobytes")?);
    }
    let kind = value.get_type().name()?;
    let hint = match value.is_instance_of::<PyString>() {
        true => ": encode text with str.encode()",
        false => "",
    };
    let text = format!("{argument} must be bytes, not {kind}{hint}");
    Err(PyTypeError::new_err(text))
}

event_class! {
    /// A user event: a message that a program sent to all members, this node included.
    pub struct UserEvent {
        /// The name of the event. Bytes that are not text are escaped as in the name of a member.
        name: String,
        /// The content, empty if the event has none.
        payload: Box<[u8]>,
        /// The Lamport time at which the event was sent. An event that was sent later by the same
        /// program, or after this one had arrived, has a later time.
        ltime: u64,
        /// True if receivers may deliver only the last of several events with this name.
        coalesce: bool,
    }
    hidden {}
    patterns (name, payload)
    hash |it| (&it.name, &it.payload, it.ltime);
    /// Return the fields as a new dict of plain values.
    ///
    /// In the text `payload`, bytes that are not UTF-8 are escaped; `payload_base64` has the exact
    /// bytes.
    to_dict
    methods {
        #[new]
        #[pyo3(signature = (name, payload=None, ltime=0, coalesce=false, seq=0, time=0.0))]
        fn new(
            name: String,
            payload: Option<&Bound<'_, PyAny>>,
            ltime: u64,
            coalesce: bool,
            seq: u64,
            time: f64,
        ) -> PyResult<PyClassInitializer<Self>> {
            let payload = payload.map(payload_of).transpose()?.unwrap_or_default();
            let event = UserEvent {
                name,
                payload: payload.into(),
                ltime,
                coalesce,
            };
            Ok(Event::with(EventKind::User, seq, time).add_subclass(event))
        }

        fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
            shown(py, "UserEvent", &self.name, &self.payload)
        }
    }
}

event_class! {
    /// A question of another member, or of this node, which can be answered once with `respond`.
    ///
    /// A pickled copy has no node, so it cannot be answered; neither can a query that a test makes.
    pub struct Query {
        /// The name of the query. Bytes that are not text are escaped as in the name of a member.
        name: String,
        /// The content, empty if the query has none.
        payload: Box<[u8]>,
        /// The Lamport time at which the query was sent.
        ltime: u64,
        /// The name of the member that asks; empty if that is a very old Serf agent.
        asker: String,
        /// The time until which the query can be answered, in seconds of `time.monotonic()`.
        deadline: f64,
    }
    hidden {
        /// The node that received the query, and the number of the query there.
        origin: Option<(Weak<sprat::Node>, u64)>,
    }
    patterns (name, payload)
    hash |it| (&it.name, &it.payload, it.ltime);
    /// Return the fields as a new dict of plain values.
    ///
    /// In the text `payload`, bytes that are not UTF-8 are escaped; `payload_base64` has the exact
    /// bytes.
    to_dict
    methods {
        #[new]
        #[pyo3(signature = (name, payload=None, ltime=0, asker="", deadline=0.0, seq=0, time=0.0))]
        fn new(
            name: String,
            payload: Option<&Bound<'_, PyAny>>,
            ltime: u64,
            asker: &str,
            deadline: f64,
            seq: u64,
            time: f64,
        ) -> PyResult<PyClassInitializer<Self>> {
            let payload = payload.map(payload_of).transpose()?.unwrap_or_default();
            let query = Query {
                name,
                payload: payload.into(),
                ltime,
                asker: asker.to_owned(),
                deadline,
                origin: None,
            };
            Ok(Event::with(EventKind::Query, seq, time).add_subclass(query))
        }

        /// The number of seconds in which the query can still be answered, 0 if it is too late.
        #[getter]
        fn time_left(&self, py: Python<'_>) -> PyResult<f64> {
            let now: f64 = py.import("time")?.call_method0("monotonic")?.extract()?;
            Ok((self.deadline - now).max(0.0))
        }

        /// Answer the query. Any thread may do this, and a callback, too.
        ///
        /// Raises `StateError` if the query was answered already, or is a copy without a node;
        /// `TimeoutError` after its deadline; `TooLargeError` if the encoded answer takes more
        /// bytes than the setting `query_response_bytes` allows; `ClosedError` if the node is
        /// closed.
        #[pyo3(signature = (payload, /))]
        fn respond(&self, py: Python<'_>, payload: &Bound<'_, PyAny>) -> PyResult<()> {
            let payload = payload_of(payload)?;
            let Some((node, id)) = &self.origin else {
                let text = "the query is a copy that belongs to no node: \
                            answer the query that the node delivered";
                return Err(raised(py, &Error::new(Status::State, text)));
            };
            enter_detached(py, || match node.upgrade() {
                Some(node) => node.respond(*id, &payload),
                None => Err(Error::new(Status::Closed, "the node was shut down")),
            })
        }

        fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
            shown(py, "Query", &self.name, &self.payload)
        }
    }
}

event_class! {
    /// The answer of one member to a query. `member` is the name of the member.
    pub struct Response {
        /// The name of the member that answered.
        member: String,
        /// The answer, which may be empty.
        payload: Box<[u8]>,
    }
    hidden {}
    patterns (member, payload)
    hash |it| (&it.member, &it.payload);
    /// Return the fields as a new dict of plain values.
    ///
    /// In the text `payload`, bytes that are not UTF-8 are escaped; `payload_base64` has the exact
    /// bytes.
    to_dict
    methods {
        #[new]
        #[pyo3(signature = (member, payload=None, seq=0, time=0.0))]
        fn new(
            member: String,
            payload: Option<&Bound<'_, PyAny>>,
            seq: u64,
            time: f64,
        ) -> PyResult<PyClassInitializer<Self>> {
            let payload = payload.map(payload_of).transpose()?.unwrap_or_default();
            let response = Response {
                member,
                payload: payload.into(),
            };
            Ok(Event::with(EventKind::QueryResponse, seq, time).add_subclass(response))
        }

        fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
            shown(py, "Response", &self.member, &self.payload)
        }
    }
}

/// A member has received a query of this node. A `QueryResult` collects the names.
#[pyclass(frozen, extends = Event, module = "sprat._native")]
pub struct QueryAck {
    pub member: String,
}

#[pymethods]
impl QueryAck {
    #[getter]
    fn member(&self) -> &str {
        &self.member
    }
}

/// A query of this node has ended.
#[pyclass(frozen, extends = Event, module = "sprat._native")]
pub struct QueryEnd {
    pub result: Result<usize, Error>,
    pub missing: Vec<Arc<str>>,
}

#[pymethods]
impl QueryEnd {
    /// The error that names the members whose ack or answer is missing, or `None`.
    #[getter]
    fn error(&self, py: Python<'_>) -> Option<Py<PyBaseException>> {
        let error = self.result.as_ref().err();
        error.map(|error| raised(py, error).into_value(py))
    }

    /// The names of the members whose ack or answer is missing.
    #[getter]
    fn missing(&self) -> Vec<&str> {
        self.missing.iter().map(|name| &**name).collect()
    }
}

/// Adds the classes to the module.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<UserEvent>()?;
    module.add_class::<Query>()?;
    module.add_class::<Response>()?;
    module.add_class::<QueryAck>()?;
    module.add_class::<QueryEnd>()
}
