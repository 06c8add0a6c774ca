//! The classes of member events with their kinds, from the library's table of events.

use crate::event;
use pyo3::prelude::*;
use pyo3::types::PyType;

macro_rules! member_event_classes {
    (
        members {
            $($(#[doc = $doc:literal])* $Kind:ident = $number:literal, $name:literal, $Class:ident;)*
        }
        others $others:tt
    ) => {
        /// Returns each class of member events, and the name of its kind.
        #[pyfunction]
        pub fn event_classes(py: Python<'_>) -> Vec<(Bound<'_, PyType>, &'static str)> {
            vec![$((py.get_type::<event::$Class>(), $name),)*]
        }
    };
}

sprat::event_table!(member_event_classes);
