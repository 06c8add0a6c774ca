//! Explanations and health, as keyword arguments for the classes in `sprat/_values.py`.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use sprat::swim::{ConflictVerdict, Explanation, Health, ProbeReport};

/// Returns the fields of `sprat.Explanation`.
pub fn explanation<'py>(py: Python<'py>, it: &Explanation) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("name", &*it.name)?;
    dict.set_item("address", it.addr.to_string())?;
    dict.set_item("state", it.state.name())?;
    dict.set_item("incarnation", it.incarnation)?;
    dict.set_item("since", it.since.as_secs_f64())?;
    dict.set_item("accuser", it.accuser.as_deref())?;
    let confirmed_by: Vec<&str> = it.confirmations.iter().map(|it| &**it).collect();
    dict.set_item("confirmations", confirmed_by)?;
    dict.set_item("confirmations_wanted", it.confirmations_wanted)?;
    dict.set_item("time_left", it.time_left.map(|it| it.as_secs_f64()))?;
    let probe = it.probe.as_ref().map(|it| probe(py, it)).transpose()?;
    dict.set_item("probe", probe)?;
    dict.set_item("text", it.to_string())?;
    Ok(dict)
}

/// Returns the fields of `sprat.Probe`.
fn probe<'py>(py: Python<'py>, report: &ProbeReport) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("ago", report.ago.as_secs_f64())?;
    dict.set_item("direct", report.direct.name())?;
    dict.set_item("stream", report.stream.name())?;
    let helpers = report.helpers.iter();
    let helpers = helpers.map(|it| (&*it.name, it.answer.name()));
    dict.set_item("helpers", PyList::new(py, helpers.collect::<Vec<_>>())?)?;
    dict.set_item("rtt", report.rtt.map(|it| it.as_secs_f64()))?;
    Ok(dict)
}

/// Returns the fields of `sprat.Health`.
pub fn health<'py>(py: Python<'py>, health: &Health) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("score", health.score)?;
    dict.set_item("score_max", health.score_max)?;
    dict.set_item("live", health.live)?;
    dict.set_item("known", health.known)?;
    dict.set_item("isolated", health.isolated)?;
    dict.set_item("datagrams_work", health.datagrams_work)?;
    dict.set_item("streams_work", health.streams_work)?;
    let conflict = health.name_conflict;
    let addr = conflict.map(|it| it.addr.to_string());
    let alive = conflict.is_some_and(|it| it.verdict == ConflictVerdict::Alive);
    dict.set_item("name_conflict", addr)?;
    dict.set_item("name_conflict_alive", alive)?;
    dict.set_item("summary", health.summary)?;
    Ok(dict)
}
