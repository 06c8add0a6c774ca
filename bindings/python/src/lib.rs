//! The native part of the Python package `sprat`, imported as `sprat._native`.
//!
//! ```text
//!   _node.py, aio.py      what users see: waits, threads, callbacks, logging
//!        |
//!   _native               calls that do not wait, values, descriptors to wait on
//!        |
//!   sprat::Node           engine and helper threads
//! ```
//!
//! Two rules keep it simple. Nothing here calls into Python or holds a Python object (types and
//! errors that are looked up once excepted), so no thread of the library ever needs the
//! interpreter. And everything that can block runs detached from it.
//!
//! | file | its idea |
//! | --- | --- |
//! | `node` | a node: settings in, answers out |
//! | `wait` | readers of events and operations under way; the one wait |
//! | `member`, `event` | values |
//! | `explain` | explanations, health and counters |
//! | `errors` | errors and panics become exceptions |

mod errors;
mod event;
mod explain;
mod member;
mod node;
mod wait;

use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;

/// Types and errors that are looked up once belong to one interpreter. PyO3 itself refuses the
/// others only where the stable ABI can say so, from Python 3.12 on.
fn in_main_interpreter() -> bool {
    // SAFETY: the caller is attached, as every initialisation of a module is.
    unsafe { pyo3::ffi::PyInterpreterState_GetID(pyo3::ffi::PyInterpreterState_Get()) == 0 }
}

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    if !in_main_interpreter() {
        let text = "sprat works in the main interpreter only, not in a sub-interpreter";
        return Err(PyImportError::new_err(text));
    }
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(node::settings, module)?)?;
    module.add_function(wrap_pyfunction!(node::setting_records, module)?)?;
    module.add_function(wrap_pyfunction!(node::settings_of, module)?)?;
    module.add_class::<node::Node>()?;
    module.add_class::<wait::Subscription>()?;
    module.add_class::<wait::Pending>()?;
    module.add_class::<member::Member>()?;
    module.add_class::<member::Members>()?;
    module.add_class::<member::MembersIterator>()?;
    event::add_to(module)
}
