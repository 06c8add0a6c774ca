//! A node as `sprat/_node.py` and `sprat/aio.py` use it: nothing here waits for the cluster.

use crate::errors::{enter, enter_detached, refused_line, refused_setting};
use crate::explain;
use crate::member::{Member, Members};
use crate::wait::{Pending, Subscription};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use sprat::serf::Tags;
use sprat::{Config, EventKind, Key};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// A running node.
#[pyclass(frozen, module = "sprat._native")]
pub struct Node {
    inner: sprat::Node,
    /// The settings `event_queue` and `log_level`, wherever they came from.
    event_queue: usize,
    log_level: String,
    listed: Mutex<Option<Listed>>,
}

/// The members as they were last asked for, so that asking again is free while nothing changes.
struct Listed {
    version: u64,
    states: u32,
    members: Members,
}

/// What a node is started with.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Settings {
    /// A file to begin with.
    path: Option<PathBuf>,
    /// Settings by name.
    values: Vec<(String, String)>,
    tags: Tags,
    /// Tags that members must have to be listed.
    filter_tags: Tags,
    keys: Vec<Vec<u8>>,
    meta: Option<Vec<u8>>,
}

impl Settings {
    fn config(&self, py: Python<'_>) -> PyResult<Config> {
        let mut config = Config::new();
        let refused = |error| refused_setting(py, error);
        if let Some(path) = &self.path {
            let loaded = py.detach(|| config.load(path));
            loaded.map_err(|error| refused_line(py, error))?;
            // Readers say themselves what they want, and the first gets what came before it.
            config.set("event_kinds", "").map_err(refused)?;
        }
        for (key, value) in &self.values {
            config.set(key, value).map_err(refused)?;
        }
        for (key, value) in &self.tags {
            config.set_tag(key, Some(value)).map_err(refused)?;
        }
        for (key, value) in &self.filter_tags {
            config.set_filter_tag(key, Some(value)).map_err(refused)?;
        }
        for bytes in &self.keys {
            let key = Key::new(bytes);
            let message = format!("a key has {} bytes, allowed are 16, 24 and 32", bytes.len());
            let error = || sprat::Error::new(sprat::Status::Invalid, message);
            config
                .add_key(key.ok_or_else(error).map_err(refused)?)
                .map_err(refused)?;
        }
        if let Some(meta) = &self.meta {
            config.set_meta(meta).map_err(refused)?;
        }
        Ok(config)
    }
}

/// A setting in short: name, type, default, allowed values, description.
type Known = (&'static str, &'static str, String, String, &'static str);

/// Every setting of the library with a fixed name.
#[pyfunction]
pub fn settings() -> Vec<Known> {
    let all = sprat::settings().iter();
    let all = all.filter(|it| !it.name.ends_with("KEY"));
    all.map(|it| {
        let name = it.kind.name();
        (it.name, name, it.defaults(), it.allowed(), it.help)
    })
    .collect()
}

/// Every setting of the library as a dict, the families `tag.KEY` and `filter.tag.KEY` included:
/// name, type, unit, minimum, maximum, allowed, defaults by profile, help, changeable.
#[pyfunction]
pub fn setting_records(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    let record = |it: &sprat::Setting| {
        let record = PyDict::new(py);
        record.set_item("name", it.name)?;
        record.set_item("type", it.kind.name())?;
        record.set_item("unit", it.unit)?;
        record.set_item("minimum", it.range.as_ref().map(|range| *range.start()))?;
        record.set_item("maximum", it.range.as_ref().map(|range| *range.end()))?;
        record.set_item("allowed", it.allowed())?;
        let defaults = PyDict::new(py);
        for profile in sprat::Profile::ALL {
            defaults.set_item(profile.name(), it.default(profile))?;
        }
        record.set_item("defaults", defaults)?;
        record.set_item("help", it.help)?;
        record.set_item("changeable", it.changeable)?;
        Ok(record)
    };
    sprat::settings().iter().map(record).collect()
}

/// The keys and values of a file of settings, all of them valid.
#[pyfunction]
pub fn settings_of(py: Python<'_>, path: PathBuf) -> PyResult<Vec<(String, String)>> {
    py.detach(|| Config::entries_of(&path))
        .map_err(|error| refused_line(py, error))
}

/// Kinds by the names that Serf gives them.
fn kinds(names: &[String]) -> Vec<EventKind> {
    let known = names.iter().filter_map(|name| EventKind::from_name(name));
    known.collect()
}

#[pymethods]
impl Node {
    /// Starts a node.
    #[staticmethod]
    fn start(py: Python<'_>, settings: Settings) -> PyResult<Node> {
        let config = settings.config(py)?;
        enter_detached(py, || {
            let event_queue = config.get("event_queue")?.parse().unwrap_or(4096);
            let log_level = config.get("log_level")?;
            let inner = sprat::Node::start(&config)?;
            Ok(Node {
                inner,
                event_queue,
                log_level,
                listed: Mutex::default(),
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

    /// The members in one of `states` (bit n for the state with number n), with this role and
    /// these tags, where given.
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
            let has = |key: &str, value: &str| member.tags.get(key).is_some_and(|it| it == value);
            states & (1 << member.state as u32) != 0
                && role.is_none_or(|role| has("role", role))
                && tags.iter().flatten().all(|(key, value)| has(key, value))
        };
        enter(py, || {
            self.inner.check_process()?;
            // Before the members: what changes meanwhile is then asked for again.
            let version = self.inner.members_version();
            let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
            match &*listed {
                Some(it) if !narrow && it.version == version && it.states == states => {
                    return Ok(it.members.clone());
                }
                Some(_) | None => {}
            }
            let all = self.inner.members();
            let members = if all.iter().all(|member| fits(member)) {
                Members::new(all) // nothing is copied
            } else {
                let some = all.iter().filter(|member| fits(member));
                Members::new(some.cloned().collect::<Vec<_>>())
            };
            if !narrow {
                *listed = Some(Listed {
                    version,
                    states,
                    members: members.clone(),
                });
            }
            Ok(members)
        })
    }

    /// The member of this name.
    fn member(&self, py: Python<'_>, name: &str) -> PyResult<Option<Member>> {
        let found = enter(py, || {
            self.inner.check_process()?;
            Ok(self.inner.member(name))
        })?;
        Ok(found.as_ref().map(Member::of))
    }

    /// Changes tags in one step: those whose value is `None` are removed.
    fn update_tags(&self, py: Python<'_>, changes: Vec<(String, Option<String>)>) -> PyResult<()> {
        enter_detached(py, || self.inner.update_tags(changes))
    }

    fn set_tags(&self, py: Python<'_>, tags: Tags) -> PyResult<()> {
        enter_detached(py, || self.inner.set_tags(tags))
    }

    fn set_meta(&self, py: Python<'_>, meta: Vec<u8>) -> PyResult<()> {
        enter_detached(py, || self.inner.set_meta(&meta))
    }

    fn begin_join(&self, py: Python<'_>, addresses: Vec<String>) -> PyResult<Pending> {
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        enter(py, || self.inner.begin_join(&addresses)).map(Pending::new)
    }

    fn begin_leave(&self, py: Python<'_>) -> PyResult<Pending> {
        enter(py, || self.inner.begin_leave()).map(Pending::new)
    }

    fn begin_hint(&self, py: Python<'_>, name: &str) -> PyResult<Pending> {
        enter_detached(py, || self.inner.begin_hint(name)).map(Pending::new)
    }

    fn remove_failed(&self, py: Python<'_>, name: &str, prune: bool) -> PyResult<()> {
        enter_detached(py, || self.inner.remove_failed(name, prune))
    }

    /// A reader of events of these kinds, `capacity` of which may wait.
    fn subscribe(
        &self,
        py: Python<'_>,
        capacity: usize,
        names: Vec<String>,
    ) -> PyResult<Subscription> {
        enter(py, || self.inner.subscribe(capacity, &kinds(&names))).map(Subscription::new)
    }

    fn explain<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyDict>> {
        let explanation = enter_detached(py, || self.inner.explain(name))?;
        explain::explanation(py, &explanation)
    }

    fn health<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let health = enter_detached(py, || self.inner.health())?;
        explain::health(py, &health)
    }

    /// Counters: name, value, what it means.
    fn stats(&self, py: Python<'_>) -> PyResult<Vec<(&'static str, i64, &'static str)>> {
        enter_detached(py, || {
            self.inner.check_process()?;
            Ok(self.inner.stats())
        })
    }

    /// Stops at once. A forked child does nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        enter_detached(py, || {
            self.inner.close();
            Ok(())
        })
    }
}
