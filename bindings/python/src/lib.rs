//! The native part of the Python package `sprat`, imported as `sprat._native`.
//!
//! ```text
//!   _node.py, aio.py      the public classes: waits, threads, callbacks, logging
//!        |
//!   _native               calls, values, descriptors, and the wait for a descriptor
//!        |
//!   sprat::Node           the engine's thread and the other threads
//! ```
//!
//! Two rules keep the module simple. First, nothing that the library keeps calls into Python or
//! holds a Python object. So no thread of the library ever needs the interpreter. Second, every
//! call that can block runs detached from the interpreter.
//!
//! | file | contents |
//! | --- | --- |
//! | `node` | a node: settings go in, results come out |
//! | `settings` | the table of settings, files of settings, the settings to start a node with |
//! | `wait` | event subscriptions and pending operations, and the one way to wait for them |
//! | `leave_thread` | a leave in a process that may open no more descriptors |
//! | `member`, `members`, `event` | values |
//! | `base_event` | the class from which all classes of events are derived |
//! | `messages` | user events, queries, and what comes back for a query |
//! | `memberlist` | messages, states and name conflicts of programs built on memberlist |
//! | `event_class` | the methods of a class of events, from the list of its fields |
//! | `event_classes` | the classes of member events with their kinds |
//! | `explain` | explanations and health |
//! | `errors` | the exceptions for errors and panics |

mod base_event;
mod errors;
mod event;
mod event_class;
mod event_classes;
mod explain;
mod leave_thread;
mod member;
mod memberlist;
mod members;
mod messages;
mod node;
mod settings;
mod wait;

use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;

/// Returns true if this is the main interpreter, the only one that may import the module.
///
/// The types and functions that the module looks up once belong to one interpreter. PyO3 itself
/// refuses other interpreters only from Python 3.12 on, the first version whose stable ABI supports
/// this.
fn in_main_interpreter() -> bool {
    // SAFETY: this thread is attached to an interpreter, since it is initialising a module.
    unsafe { pyo3::ffi::PyInterpreterState_GetID(pyo3::ffi::PyInterpreterState_Get()) == 0 }
}

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    if !in_main_interpreter() {
        let text = "sprat works in the main interpreter only, not in a sub-interpreter";
        return Err(PyImportError::new_err(text));
    }
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(settings::settings, module)?)?;
    module.add_function(wrap_pyfunction!(settings::settings_of, module)?)?;
    module.add_function(wrap_pyfunction!(event_classes::event_classes, module)?)?;
    module.add_class::<node::Node>()?;
    module.add_class::<wait::Subscription>()?;
    module.add_class::<wait::Pending>()?;
    module.add_class::<member::Member>()?;
    module.add_class::<members::Members>()?;
    module.add_class::<members::MembersIterator>()?;
    memberlist::add_to(module)?;
    event::add_to(module)
}
