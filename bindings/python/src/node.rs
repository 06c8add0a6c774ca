//! The node that `sprat/_node.py` and `sprat/aio.py` wrap. No call here waits for the cluster.

use crate::errors::{enter, enter_detached};
use crate::explain;
use crate::member::Member;
use crate::members::Members;
use crate::messages::{bytes_of, payload_of};
use crate::settings::StartSettings;
use crate::wait::{Pending, Subscription};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use sprat::serf::{QueryOptions, Tags};
use sprat::{Coalescing, Error, EventKind, Key, KeyAction, KeyQuery, Status};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A running node.
#[pyclass(frozen, module = "sprat._native")]
pub struct Node {
    /// The node. Queries that wait for an answer hold weak references to it.
    inner: Arc<sprat::Node>,
    /// The values of the settings `event_queue` and `log_level`.
    event_queue: usize,
    log_level: String,
    snapshot: Mutex<Option<Snapshot>>,
}

/// The members that were last returned for a selection by states alone. They are returned again for
/// the same states, without a copy, until a member changes.
struct Snapshot {
    version: u64,
    states: u32,
    members: Members,
}

/// Converts the names of kinds of events, and skips unknown names.
fn kinds(names: &[String]) -> Vec<EventKind> {
    let known = names.iter().filter_map(|name| EventKind::from_name(name));
    known.collect()
}

/// Converts a timeout in seconds.
fn seconds(timeout: Option<f64>) -> sprat::Result<Option<Duration>> {
    let timeout = timeout.map(Duration::try_from_secs_f64).transpose();
    timeout.map_err(|why| Error::new(Status::Invalid, why.to_string()))
}

/// Makes the query for an action on a key, or on all keys if there is no key; `None` if the two do
/// not fit together.
fn key_query(action: &str, key: Option<Key>) -> Option<KeyQuery> {
    match (KeyAction::from_name(action)?, key) {
        (KeyAction::Install, Some(key)) => Some(KeyQuery::install(key)),
        (KeyAction::Use, Some(key)) => Some(KeyQuery::use_key(key)),
        (KeyAction::Remove, Some(key)) => Some(KeyQuery::remove(key)),
        (KeyAction::List, None) => Some(KeyQuery::list()),
        _ => None,
    }
}

#[pymethods]
impl Node {
    /// Starts a node.
    #[staticmethod]
    fn start(py: Python<'_>, settings: StartSettings) -> PyResult<Node> {
        let config = settings.config(py)?;
        enter_detached(py, || {
            let event_queue = config.event_queue_len();
            let log_level = config.get("log_level")?;
            let inner = Arc::new(sprat::Node::start(&config)?);
            Ok(Node {
                inner,
                event_queue,
                log_level,
                snapshot: Mutex::default(),
            })
        })
    }

    #[getter]
    fn event_queue(&self) -> usize {
        self.event_queue
    }

    #[getter]
    fn log_level(&self) -> &str {
        &self.log_level
    }

    #[getter]
    fn name(&self) -> &str {
        self.inner.name()
    }

    #[getter]
    fn address(&self) -> String {
        self.inner.addr().to_string()
    }

    #[getter]
    fn state(&self) -> &'static str {
        self.inner.state().name()
    }

    #[getter]
    fn members_version(&self) -> u64 {
        self.inner.members_version()
    }

    /// Raises `ForkedError` in a forked child.
    fn check_process(&self, py: Python<'_>) -> PyResult<()> {
        enter(py, || self.inner.check_process())
    }

    /// Returns the members in one of `states` that have the role and the tags, if these are given.
    /// Bit n of `states` stands for the state with number n.
    #[pyo3(signature = (states, role=None, tags=None))]
    fn members(
        &self,
        py: Python<'_>,
        states: u32,
        role: Option<&str>,
        tags: Option<Tags>,
    ) -> PyResult<Members> {
        let narrow = role.is_some() || tags.is_some();
        let fits = |member: &sprat::Member| {
            let has = |key: &str, value: &str| member.tags().get(key).is_some_and(|it| it == value);
            states & (1 << member.state as u32) != 0
                && role.is_none_or(|role| has("role", role))
                && tags.iter().flatten().all(|(key, value)| has(key, value))
        };
        enter(py, || {
            self.inner.check_process()?;
            // The version is read before the members, so a change in between only invalidates the
            // snapshot.
            let version = self.inner.members_version();
            let mut snapshot = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
            match &*snapshot {
                Some(it) if !narrow && it.version == version && it.states == states => {
                    return Ok(it.members.clone());
                }
                Some(_) | None => {}
            }
            let all = self.inner.members();
            let members = if all.iter().all(&fits) {
                Members::new(all) // nothing is copied
            } else {
                let some = all.iter().filter(|member| fits(member));
                Members::new(some.cloned().collect::<Vec<_>>())
            };
            if !narrow {
                *snapshot = Some(Snapshot {
                    version,
                    states,
                    members: members.clone(),
                });
            }
            Ok(members)
        })
    }

    /// Returns the member with this name, in any state.
    fn member(&self, py: Python<'_>, name: &str) -> PyResult<Option<Member>> {
        let found = enter(py, || {
            self.inner.check_process()?;
            Ok(self.inner.member(name))
        })?;
        Ok(found.as_ref().map(Member::of))
    }

    /// Changes tags in one step. A value of `None` removes the tag.
    fn update_tags(&self, py: Python<'_>, changes: Vec<(String, Option<String>)>) -> PyResult<()> {
        enter_detached(py, || self.inner.update_tags(changes.into_iter().collect()))
    }

    fn set_tags(&self, py: Python<'_>, tags: Tags) -> PyResult<()> {
        enter_detached(py, || self.inner.set_tags(tags))
    }

    fn set_meta(&self, py: Python<'_>, meta: &Bound<'_, PyAny>) -> PyResult<()> {
        let meta = bytes_of("meta", meta)?;
        enter_detached(py, || self.inner.set_meta(&meta))
    }

    fn begin_spread(&self, py: Python<'_>) -> PyResult<Pending> {
        enter(py, || self.inner.begin_spread()).map(Pending::new)
    }

    fn begin_join(&self, py: Python<'_>, addresses: Vec<String>) -> PyResult<Pending> {
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        enter(py, || self.inner.begin_join(&addresses)).map(Pending::new)
    }

    fn begin_look(&self, py: Python<'_>, address: &str) -> PyResult<Pending> {
        enter(py, || self.inner.begin_look(address)).map(Pending::new)
    }

    fn begin_leave(&self, py: Python<'_>) -> PyResult<Pending> {
        enter(py, || Pending::leave(&self.inner))
    }

    fn begin_hint(&self, py: Python<'_>, name: &str) -> PyResult<Pending> {
        enter_detached(py, || self.inner.begin_hint(name)).map(Pending::new)
    }

    fn remove_failed(&self, py: Python<'_>, name: &str, prune: bool) -> PyResult<()> {
        enter_detached(py, || match prune {
            true => self.inner.prune(name),
            false => self.inner.remove_failed(name),
        })
    }

    /// Subscribes to events of these kinds; at most `capacity` of these events may wait.
    fn subscribe(
        &self,
        py: Python<'_>,
        capacity: usize,
        names: Vec<String>,
    ) -> PyResult<Subscription> {
        let events = enter(py, || self.inner.subscribe(capacity, &kinds(&names)))?;
        Ok(Subscription::new(events, Arc::downgrade(&self.inner)))
    }

    fn send_event(
        &self,
        py: Python<'_>,
        name: &str,
        payload: &Bound<'_, PyAny>,
        coalesce: bool,
    ) -> PyResult<()> {
        let payload = payload_of(payload)?;
        let coalescing = match coalesce {
            true => Coalescing::Allowed,
            false => Coalescing::Forbidden,
        };
        enter_detached(py, || self.inner.send_event(name, &payload, coalescing))
    }

    fn send_datagram(
        &self,
        py: Python<'_>,
        name: &str,
        payload: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let payload = payload_of(payload)?;
        enter_detached(py, || self.inner.send_datagram(name, &payload))
    }

    fn begin_send(
        &self,
        py: Python<'_>,
        name: &str,
        payload: &Bound<'_, PyAny>,
    ) -> PyResult<Pending> {
        let payload = payload_of(payload)?;
        enter_detached(py, || self.inner.begin_send(name, &payload)).map(Pending::new)
    }

    #[pyo3(signature = (payload, name, /))]
    fn broadcast(
        &self,
        py: Python<'_>,
        payload: &Bound<'_, PyAny>,
        name: Option<&str>,
    ) -> PyResult<()> {
        let payload = payload_of(payload)?;
        enter_detached(py, || self.inner.broadcast(&payload, name))
    }

    fn set_local_state(&self, py: Python<'_>, state: &Bound<'_, PyAny>) -> PyResult<()> {
        let state = bytes_of("state", state)?;
        enter_detached(py, || self.inner.set_local_state(state))
    }

    fn set_ack_payload(&self, py: Python<'_>, payload: &Bound<'_, PyAny>) -> PyResult<()> {
        let payload = payload_of(payload)?;
        enter_detached(py, || self.inner.set_ack_payload(&payload))
    }

    /// Sends a query. Returns its number, and the queue for its acks, its answers and its end.
    #[allow(clippy::too_many_arguments)] // the arguments of the Python method
    fn begin_query(
        &self,
        py: Python<'_>,
        name: &str,
        payload: &Bound<'_, PyAny>,
        timeout: Option<f64>,
        nodes: Vec<String>,
        tags: Vec<(String, String)>,
        ack: bool,
        relay_factor: u8,
    ) -> PyResult<(u64, Subscription)> {
        let payload = payload_of(payload)?;
        let query = enter_detached(py, || {
            let options = QueryOptions {
                timeout: seconds(timeout)?,
                nodes,
                tags,
                ack,
                relay_factor,
            };
            self.inner.begin_query(name, &payload, &options)
        })?;
        let node = Arc::downgrade(&self.inner);
        Ok((query.id, Subscription::new(query.events, node)))
    }

    /// Begins to manage the keys of the cluster. `key` is `None` to list them.
    #[pyo3(signature = (action, key, timeout))]
    fn begin_manage_keys(
        &self,
        py: Python<'_>,
        action: &str,
        key: Option<&[u8]>,
        timeout: Option<f64>,
    ) -> PyResult<Pending> {
        let begun = enter(py, || {
            let timeout = seconds(timeout)?;
            let query = key_query(action, key.and_then(Key::new));
            let query = query.ok_or_else(|| Error::new(Status::Invalid, "no such action"))?;
            self.inner.begin_manage_keys(query, timeout)
        });
        begun.map(Pending::new)
    }

    fn cancel_query(&self, py: Python<'_>, number: u64) -> PyResult<()> {
        enter(py, || self.inner.cancel_query(number))
    }

    fn explain<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyDict>> {
        let explanation = enter_detached(py, || self.inner.explain(name))?;
        explain::explanation(py, &explanation)
    }

    /// Returns the coordinate of a member: position, error, adjustment and height.
    fn coordinate(&self, py: Python<'_>, name: &str) -> PyResult<([f64; 8], f64, f64, f64)> {
        let it = enter_detached(py, || self.inner.coordinate(name))?;
        Ok((it.vec, it.error, it.adjustment, it.height))
    }

    /// Returns the estimated round-trip time between two members, in seconds.
    #[pyo3(signature = (from, to, /))]
    fn rtt(&self, py: Python<'_>, from: &str, to: &str) -> PyResult<f64> {
        let rtt = enter_detached(py, || self.inner.rtt(from, to))?;
        Ok(rtt.as_secs_f64())
    }

    fn health<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let health = enter_detached(py, || self.inner.health())?;
        explain::health(py, &health)
    }

    /// Returns the counters: name, value and description.
    fn stats(&self, py: Python<'_>) -> PyResult<Vec<(&'static str, i64, &'static str)>> {
        enter_detached(py, || {
            self.inner.check_process()?;
            let counters = self.inner.stats().into_iter();
            Ok(counters.map(|it| (it.name, it.value, it.help)).collect())
        })
    }

    /// Stops the node at once. Does nothing in a forked child.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        enter_detached(py, || {
            self.inner.close();
            Ok(())
        })
    }
}
