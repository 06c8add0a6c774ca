//! Settings: the library's table, files of settings, and the settings to start a node with.

use crate::errors::{refused_line, refused_setting};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use sprat::serf::Tags;
use sprat::{Config, Key};
use std::path::PathBuf;

/// Returns every setting of the library, including the families `tag.KEY` and `filter.tag.KEY`. A
/// setting is a dict with name, type, unit, minimum, maximum, allowed, defaults (by profile), help
/// and changeable.
#[pyfunction]
pub fn settings(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
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

/// Returns the names and values of a file of settings. Raises `ConfigError` for a wrong line.
#[pyfunction]
pub fn settings_of(py: Python<'_>, path: PathBuf) -> PyResult<Vec<(String, String)>> {
    py.detach(|| Config::entries_of(&path))
        .map_err(|error| refused_line(py, error))
}

/// The settings to start a node with.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct StartSettings {
    /// A file of settings; the other fields override it.
    path: Option<PathBuf>,
    /// Settings by name.
    values: Vec<(String, String)>,
    tags: Tags,
    /// Tags that a member must have to be listed.
    filter_tags: Tags,
    keys: Vec<Vec<u8>>,
    meta: Option<Vec<u8>>,
}

impl StartSettings {
    /// Returns the configuration, or raises the error of the first wrong setting.
    pub fn config(&self, py: Python<'_>) -> PyResult<Config> {
        let mut config = Config::new();
        let refused = |error| refused_setting(py, error);
        if let Some(path) = &self.path {
            let loaded = py.detach(|| config.load(path));
            loaded.map_err(|error| refused_line(py, error))?;
            // In Python each reader selects its own kinds of events. A file must not narrow them,
            // because the first reader also gets the events since the start of the node.
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
            let message = format!("a key must have 16, 24 or 32 bytes, got {}", bytes.len());
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
