//! Messages, states and name conflicts of programs on memberlist, as Python sees them.

use crate::event::Event;
use crate::messages::payload_of;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyType};
use sprat::EventKind;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;

fn hash_of(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// A message that a program on memberlist sent to this node, in ``mode="memberlist"``.
#[pyclass(frozen, extends = Event, module = "sprat")]
pub struct Message {
    sender: String,
    payload: Arc<[u8]>,
    address: String,
}

impl Message {
    pub fn of(sender: &str, address: SocketAddr, payload: &Arc<[u8]>) -> Message {
        Message {
            sender: sender.to_owned(),
            payload: payload.clone(),
            address: address.to_string(),
        }
    }
}

#[pymethods]
impl Message {
    #[new]
    #[pyo3(signature = (sender, payload, address=String::new(), seq=0, time=0.0))]
    fn new(
        sender: String,
        payload: &Bound<'_, PyAny>,
        address: String,
        seq: u64,
        time: f64,
    ) -> PyResult<PyClassInitializer<Self>> {
        let payload = payload_of(payload)?.into();
        let message = Message {
            sender,
            payload,
            address,
        };
        Ok(Event::with(EventKind::Message, seq, time).add_subclass(message))
    }

    /// The name of the member at `address`. Empty if no member is there, or, for a message that was
    /// sent with `reliable`, if several members have this IP address.
    #[getter]
    fn sender(&self) -> &str {
        &self.sender
    }

    /// The content.
    #[getter]
    fn payload<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.payload)
    }

    /// The address from which it came. For a message that was sent with `reliable`, the port is not
    /// that at which the sender listens.
    #[getter]
    fn address(&self) -> &str {
        &self.address
    }

    #[classattr]
    fn __match_args__() -> (&'static str, &'static str) {
        ("sender", "payload")
    }

    /// Return the fields as a new dict; the payload stays bytes.
    fn to_dict<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let it = slf.get();
        let dict = slf.as_super().get().to_dict(slf.py())?;
        dict.set_item("sender", it.sender())?;
        dict.set_item("payload", it.payload(slf.py()))?;
        dict.set_item("address", it.address())?;
        Ok(dict)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let sender = self.sender().into_pyobject(py)?.repr()?.to_string();
        let payload = self.payload(py).repr()?.to_string();
        Ok(format!("Message({sender}, {payload})"))
    }

    fn __eq__(slf: &Bound<'_, Self>, other: &Bound<'_, Self>) -> bool {
        let (a, b) = (slf.get(), other.get());
        slf.as_super().get().same(other.as_super().get())
            && (&a.sender, &a.payload, &a.address) == (&b.sender, &b.payload, &b.address)
    }

    fn __hash__(slf: &Bound<'_, Self>) -> u64 {
        let it = slf.get();
        slf.as_super().get().__hash__() ^ hash_of((&it.sender, &it.payload, &it.address))
    }

    #[allow(clippy::type_complexity)] // the arguments of the constructor
    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> (
        Bound<'py, PyType>,
        (String, Bound<'py, PyBytes>, String, u64, f64),
    ) {
        let (base, it) = (slf.as_super().get(), slf.get());
        let (sender, address) = (it.sender.clone(), it.address.clone());
        let payload = it.payload(slf.py());
        (
            slf.get_type(),
            (sender, payload, address, base.seq, base.time),
        )
    }
}

/// The state of a program on memberlist, which a push/pull has brought, in ``mode="memberlist"``.
#[pyclass(frozen, extends = Event, module = "sprat")]
pub struct RemoteState {
    sender: String,
    payload: Arc<[u8]>,
    join: bool,
    address: String,
}

impl RemoteState {
    pub fn of(sender: &str, address: SocketAddr, join: bool, payload: &Arc<[u8]>) -> RemoteState {
        RemoteState {
            sender: sender.to_owned(),
            payload: payload.clone(),
            join,
            address: address.to_string(),
        }
    }
}

#[pymethods]
impl RemoteState {
    #[new]
    #[pyo3(signature = (sender, payload, join=false, address=String::new(), seq=0, time=0.0))]
    fn new(
        sender: String,
        payload: &Bound<'_, PyAny>,
        join: bool,
        address: String,
        seq: u64,
        time: f64,
    ) -> PyResult<PyClassInitializer<Self>> {
        let payload = payload_of(payload)?.into();
        let state = RemoteState {
            sender,
            payload,
            join,
            address,
        };
        Ok(Event::with(EventKind::RemoteState, seq, time).add_subclass(state))
    }

    /// The name of the member at `address`. Empty if no member is there, or, if the other side
    /// dialled, if several members have this IP address.
    #[getter]
    fn sender(&self) -> &str {
        &self.sender
    }

    /// The state.
    #[getter]
    fn payload<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.payload)
    }

    /// True if one of the two sides is joining, false for a regular exchange.
    #[getter]
    fn join(&self) -> bool {
        self.join
    }

    /// The address of the other side. If it dialled, the port is not that at which it listens.
    #[getter]
    fn address(&self) -> &str {
        &self.address
    }

    #[classattr]
    fn __match_args__() -> (&'static str, &'static str) {
        ("sender", "payload")
    }

    /// Return the fields as a new dict; the payload stays bytes.
    fn to_dict<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let it = slf.get();
        let dict = slf.as_super().get().to_dict(slf.py())?;
        dict.set_item("sender", it.sender())?;
        dict.set_item("payload", it.payload(slf.py()))?;
        dict.set_item("join", it.join)?;
        dict.set_item("address", it.address())?;
        Ok(dict)
    }

    /// Leaves out the payload, which may have megabytes.
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let sender = self.sender().into_pyobject(py)?.repr()?.to_string();
        let len = self.payload.len();
        Ok(format!("RemoteState({sender}, <{len} bytes>)"))
    }

    fn __eq__(slf: &Bound<'_, Self>, other: &Bound<'_, Self>) -> bool {
        let (a, b) = (slf.get(), other.get());
        slf.as_super().get().same(other.as_super().get())
            && (&a.sender, &a.payload, a.join, &a.address)
                == (&b.sender, &b.payload, b.join, &b.address)
    }

    fn __hash__(slf: &Bound<'_, Self>) -> u64 {
        let it = slf.get();
        slf.as_super().get().__hash__() ^ hash_of((&it.sender, it.payload.len(), it.join))
    }

    #[allow(clippy::type_complexity)] // the arguments of the constructor
    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> (
        Bound<'py, PyType>,
        (String, Bound<'py, PyBytes>, bool, String, u64, f64),
    ) {
        let (base, it) = (slf.as_super().get(), slf.get());
        let (sender, address) = (it.sender.clone(), it.address.clone());
        let payload = it.payload(slf.py());
        let parts = (sender, payload, it.join, address, base.seq, base.time);
        (slf.get_type(), parts)
    }
}

/// Two nodes claim the name of a member, in ``mode="memberlist"``. A conflict about the name of
/// this node itself is a `NodeFailed`.
#[pyclass(frozen, extends = Event, module = "sprat")]
pub struct MemberConflict {
    name: String,
    known: String,
    claimed: String,
}

impl MemberConflict {
    pub fn of(name: &str, known: SocketAddr, claimed: SocketAddr) -> MemberConflict {
        MemberConflict {
            name: name.to_owned(),
            known: known.to_string(),
            claimed: claimed.to_string(),
        }
    }
}

#[pymethods]
impl MemberConflict {
    #[new]
    #[pyo3(signature = (name, known, claimed, seq=0, time=0.0))]
    fn new(
        name: String,
        known: String,
        claimed: String,
        seq: u64,
        time: f64,
    ) -> PyClassInitializer<Self> {
        let conflict = MemberConflict {
            name,
            known,
            claimed,
        };
        Event::with(EventKind::MemberConflict, seq, time).add_subclass(conflict)
    }

    /// The name.
    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    /// The address at which the member is known.
    #[getter]
    fn known(&self) -> &str {
        &self.known
    }

    /// The address of the other node.
    #[getter]
    fn claimed(&self) -> &str {
        &self.claimed
    }

    #[classattr]
    fn __match_args__() -> (&'static str, &'static str, &'static str) {
        ("name", "known", "claimed")
    }

    /// Return the fields as a new dict of plain values.
    fn to_dict<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let it = slf.get();
        let dict = slf.as_super().get().to_dict(slf.py())?;
        dict.set_item("name", it.name())?;
        dict.set_item("known", it.known())?;
        dict.set_item("claimed", it.claimed())?;
        Ok(dict)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let name = self.name().into_pyobject(py)?.repr()?.to_string();
        Ok(format!(
            "MemberConflict({name}, '{}', '{}')",
            self.known, self.claimed
        ))
    }

    fn __eq__(slf: &Bound<'_, Self>, other: &Bound<'_, Self>) -> bool {
        let (a, b) = (slf.get(), other.get());
        slf.as_super().get().same(other.as_super().get())
            && (&a.name, &a.known, &a.claimed) == (&b.name, &b.known, &b.claimed)
    }

    fn __hash__(slf: &Bound<'_, Self>) -> u64 {
        let it = slf.get();
        slf.as_super().get().__hash__() ^ hash_of((&it.name, &it.known, &it.claimed))
    }

    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> (Bound<'py, PyType>, (String, String, String, u64, f64)) {
        let (base, it) = (slf.as_super().get(), slf.get());
        let (name, known, claimed) = (it.name.clone(), it.known.clone(), it.claimed.clone());
        (slf.get_type(), (name, known, claimed, base.seq, base.time))
    }
}

/// Adds the classes to the module.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Message>()?;
    module.add_class::<RemoteState>()?;
    module.add_class::<MemberConflict>()
}
