//! A member: an immutable value that shares the node's own data.
//!
//! A field is converted to a Python object only when it is read.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyIterator, PyType};
use sprat::serf::{Tags, encode_tags};
use sprat::{MemberState, NodeFacts};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;

/// The values of `sprat.MemberState`, in the order of their numbers, which begin with 1.
static STATE_OBJECTS: PyOnceLock<Vec<Py<PyAny>>> = PyOnceLock::new();

/// Returns the value of `sprat.MemberState` for a state.
fn state_object(py: Python<'_>, state: MemberState) -> PyResult<Py<PyAny>> {
    let objects = STATE_OBJECTS.get_or_try_init(py, || {
        let class = py.import("sprat._values")?.getattr("MemberState")?;
        let of = |state: MemberState| Ok(class.call1((state.name(),))?.unbind());
        MemberState::ALL
            .into_iter()
            .map(of)
            .collect::<PyResult<Vec<_>>>()
    })?;
    Ok(objects[state as usize - 1].clone_ref(py))
}

/// The class `MemberTags` of `sprat/_tags.py`.
static TAGS_CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// A member of the cluster at one moment.
///
/// Nodes return members, and tests may construct them:
/// `sprat.Member("web-1", "10.0.0.1:7946", tags={"role": "web"})`. A member is immutable, hashable,
/// picklable and safe to share between threads. Two members are equal if all their fields are
/// equal. `dict()` of a member is the same as `to_dict()`. A member has either tags or, in
/// memberlist mode, other metadata. Raises `ValueError` if the address is not IPv4:PORT or
/// [IPv6]:PORT, if the state is unknown, if a tag holds a NUL, or if `meta` does not encode `tags`.
#[pyclass(frozen, module = "sprat")]
pub struct Member {
    pub inner: sprat::Member,
}

impl Member {
    pub fn of(inner: &sprat::Member) -> Member {
        let inner = inner.clone();
        Member { inner }
    }

    /// Returns true if all fields are equal.
    pub fn same(&self, other: &Member) -> bool {
        self.inner == other.inner
    }
}

type Versions = (u8, u8, u8);

fn versions([lowest, highest, used]: [u8; 3]) -> Versions {
    (lowest, highest, used)
}

#[pymethods]
impl Member {
    #[new]
    #[pyo3(signature = (
        name, address, state="alive", tags=None, meta=None, incarnation=1,
        protocol=(1, 5, 2), serf_protocol=(2, 5, 5),
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn new(
        name: &str,
        address: &str,
        state: &str,
        tags: Option<Tags>,
        meta: Option<Vec<u8>>,
        incarnation: u32,
        protocol: Versions,
        serf_protocol: Versions,
    ) -> PyResult<Member> {
        let addr: SocketAddr = address.parse().map_err(|_| {
            let allowed = "IPv4:PORT or [IPv6]:PORT";
            PyValueError::new_err(format!("address must be {allowed}, got {address:?}"))
        })?;
        let named = MemberState::ALL.into_iter().find(|it| it.name() == state);
        let state = named.ok_or_else(|| {
            let names: Vec<&str> = MemberState::ALL.iter().map(|it| it.name()).collect();
            let allowed = names.join(", ");
            PyValueError::new_err(format!("state must be one of {allowed}, got {state:?}"))
        })?;
        let ((a, b, c), (d, e, f)) = (protocol, serf_protocol);
        let facts = |meta: Vec<u8>| {
            Arc::new(NodeFacts {
                meta: meta.into(),
                vsn: [a, b, c, d, e, f],
                incarnation,
                ..NodeFacts::new(name, addr)
            })
        };
        let tags = tags.unwrap_or_default();
        if let Some(text) = tags
            .iter()
            .flat_map(|(k, v)| [k, v])
            .find(|it| it.contains('\0'))
        {
            let message = format!("tags cannot hold a NUL character, got {text:?}");
            return Err(PyValueError::new_err(message));
        }
        let member = match meta {
            Some(meta) if tags.is_empty() => sprat::Member::without_tags(facts(meta), state),
            Some(meta) => sprat::Member::with_tags(facts(meta), state),
            None => sprat::Member::with_tags(facts(encode_tags(&tags)), state),
        };
        if member.tags().to_map() != tags {
            let text = "meta does not encode tags; give only one of them";
            return Err(PyValueError::new_err(text));
        }
        Ok(Member { inner: member })
    }

    /// The name, unique in the cluster.
    #[getter]
    fn name(&self) -> &str {
        &self.inner.name
    }

    /// The IP address, as text.
    #[getter]
    fn host(&self) -> String {
        self.inner.addr.ip().to_string()
    }

    /// The port for gossip, UDP and TCP: 0 to 65535.
    #[getter]
    fn port(&self) -> u16 {
        self.inner.addr.port()
    }

    /// Host and port, for example "10.0.0.1:7946" or "[::1]:7946".
    #[getter]
    fn address(&self) -> String {
        self.inner.addr.to_string()
    }

    /// The state, a `sprat.MemberState`.
    #[getter]
    fn state(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        state_object(py, self.inner.state)
    }

    /// The tags, a read-only dict from str to str. Each access makes a new one.
    #[getter]
    fn tags<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let tags = tags_dict(py, &self.inner.tags().to_map())?;
        let class = TAGS_CLASS.import(py, "sprat._tags", "MemberTags")?;
        class.call1((tags,))
    }

    /// The metadata as on the wire; in a Serf cluster, the encoded tags.
    #[getter]
    fn meta<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.meta)
    }

    /// A number that the member raises when it renews its entry, for instance to refute a
    /// suspicion.
    #[getter]
    fn incarnation(&self) -> u32 {
        self.inner.incarnation
    }

    /// The versions of the gossip protocol: lowest, highest and used.
    #[getter]
    fn protocol(&self) -> Versions {
        versions(self.inner.protocol())
    }

    /// The versions of the Serf protocol: lowest, highest and used.
    #[getter]
    fn serf_protocol(&self) -> Versions {
        versions(self.inner.delegate())
    }

    #[classattr]
    fn __match_args__() -> (&'static str, &'static str) {
        ("name", "address")
    }

    /// Return all fields except the metadata as a new dict of plain values.
    pub fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("name", self.name())?;
        dict.set_item("address", self.address())?;
        dict.set_item("host", self.host())?;
        dict.set_item("port", self.port())?;
        dict.set_item("state", self.inner.state.name())?;
        dict.set_item("tags", tags_dict(py, &self.inner.tags().to_map())?)?;
        dict.set_item("incarnation", self.inner.incarnation)?;
        dict.set_item("protocol", self.protocol())?;
        dict.set_item("serf_protocol", self.serf_protocol())?;
        Ok(dict)
    }

    /// Yields the pairs of [`Member::to_dict`], for `dict()`.
    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        pairs(self.to_dict(py)?.as_any())
    }

    pub fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let name = self.name().into_pyobject(py)?.repr()?.to_string();
        let tags = match self.inner.tags().is_empty() {
            true => String::new(),
            false => format!(
                ", tags={}",
                tags_dict(py, &self.inner.tags().to_map())?.repr()?
            ),
        };
        let (address, state) = (self.inner.addr, self.inner.state.name());
        Ok(format!("Member({name}, '{address}', '{state}'{tags})"))
    }

    fn __eq__(&self, other: PyRef<'_, Self>) -> bool {
        self.same(&other)
    }

    pub fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let member = &*self.inner;
        (&member.name, member.addr, member.incarnation).hash(&mut hasher);
        hasher.finish()
    }

    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyType>, ConstructorArguments<'py>)> {
        let (py, it) = (slf.py(), slf.get());
        let tags = tags_dict(py, &it.inner.tags().to_map())?;
        let parts = (
            it.name().to_owned(),
            it.address(),
            it.inner.state.name(),
            tags,
            it.meta(py),
            it.incarnation(),
            it.protocol(),
            it.serf_protocol(),
        );
        Ok((slf.get_type(), parts))
    }
}

type ConstructorArguments<'py> = (
    String,
    String,
    &'static str,
    Bound<'py, PyDict>,
    Bound<'py, PyBytes>,
    u32,
    Versions,
    Versions,
);

fn tags_dict<'py>(py: Python<'py>, tags: &Tags) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (key, value) in tags {
        dict.set_item(key, value)?;
    }
    Ok(dict)
}

/// Returns an iterator over the pairs of a dict. If `__iter__` of a value returns this iterator,
/// `dict()` of the value is the same as its `to_dict()`. Web frameworks call `dict()`, too.
pub fn pairs<'py>(fields: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyIterator>> {
    fields.call_method0("items")?.try_iter()
}
