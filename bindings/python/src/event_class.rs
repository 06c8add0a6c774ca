//! The classes of events whose content is a few fields: their methods, from one list of the fields.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// A field of an event.
pub trait Field {
    /// The value as Python gets it.
    type Shown<'a, 'py>: IntoPyObject<'py>
    where
        Self: 'a;

    fn shown<'a, 'py>(&'a self, py: Python<'py>) -> Self::Shown<'a, 'py>;

    /// Adds the field to a dict of values that `json` knows.
    fn put_into(&self, dict: &Bound<'_, PyDict>, name: &str) -> PyResult<()> {
        dict.set_item(name, self.shown(dict.py()))
    }
}

impl Field for String {
    type Shown<'a, 'py> = &'a str;

    fn shown(&self, _py: Python<'_>) -> &str {
        self
    }
}

/// Adds bytes to a dict twice, because `json` has no bytes: as text for people, in which bytes that
/// are not UTF-8 are escaped, and in base64, from which a program gets all bytes back.
fn put_bytes(dict: &Bound<'_, PyDict>, name: &str, bytes: &[u8]) -> PyResult<()> {
    let py = dict.py();
    let bytes = PyBytes::new(py, bytes);
    let base64 = py.import("base64")?.call_method1("b64encode", (&bytes,))?;
    dict.set_item(
        name,
        bytes.call_method1("decode", ("utf-8", "backslashreplace"))?,
    )?;
    dict.set_item(
        format!("{name}_base64"),
        base64.call_method1("decode", ("ascii",))?,
    )
}

macro_rules! payloads {
    ($($type:ty),*) => {$(
        impl Field for $type {
            type Shown<'a, 'py> = Bound<'py, PyBytes>;

            fn shown<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
                PyBytes::new(py, self)
            }

            fn put_into(&self, dict: &Bound<'_, PyDict>, name: &str) -> PyResult<()> {
                put_bytes(dict, name, self)
            }
        }
    )*};
}

payloads!(Box<[u8]>, Arc<[u8]>);

macro_rules! copied_fields {
    ($($type:ty),*) => {$(
        impl Field for $type {
            type Shown<'a, 'py> = $type;

            fn shown(&self, _py: Python<'_>) -> $type {
                *self
            }
        }
    )*};
}

copied_fields!(bool, u64, f64);

pub fn hash_of(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Returns `Class(name, payload)` for `repr`.
pub fn shown(py: Python<'_>, class: &str, name: &str, payload: &[u8]) -> PyResult<String> {
    let name = name.into_pyobject(py)?.repr()?.to_string();
    let payload = PyBytes::new(py, payload).repr()?.to_string();
    Ok(format!("{class}({name}, {payload})"))
}

/// Declares a class of events. Getters, `to_dict`, equality and pickling follow from its fields.
/// The order of the fields is that of the constructor, which takes `seq` and `time` after them.
/// Fields in `hidden` belong to this event alone: a copy does not have them, and they do not count
/// for equality. `hash` gives the parts of the hash; `methods` has the constructor and the rest.
macro_rules! event_class {
    (
        $(#[$attribute:meta])*
        pub struct $Class:ident {
            $($(#[doc = $doc:literal])* $field:ident: $type:ty,)+
        }
        hidden { $($(#[doc = $hidden_doc:literal])* $hidden:ident: $hidden_type:ty,)* }
        patterns ($($pattern:ident),+)
        hash |$it:ident| $hash:expr;
        $(#[doc = $dict_doc:literal])+
        to_dict
        methods { $($method:tt)* }
    ) => {
        $(#[$attribute])*
        #[pyclass(frozen, extends = $crate::base_event::Event, module = "sprat")]
        pub struct $Class {
            $(pub $field: $type,)+
            $($(#[doc = $hidden_doc])* pub $hidden: $hidden_type,)*
        }

        #[pymethods]
        impl $Class {
            $($method)*

            $(
                $(#[doc = $doc])*
                #[getter]
                fn $field<'py>(
                    &self,
                    py: Python<'py>,
                ) -> <$type as $crate::event_class::Field>::Shown<'_, 'py> {
                    $crate::event_class::Field::shown(&self.$field, py)
                }
            )+

            #[classattr]
            fn __match_args__(py: Python<'_>) -> PyResult<Bound<'_, pyo3::types::PyTuple>> {
                pyo3::types::PyTuple::new(py, [$(stringify!($pattern)),+])
            }

            $(#[doc = $dict_doc])+
            fn to_dict<'py>(
                slf: &Bound<'py, Self>,
            ) -> PyResult<Bound<'py, pyo3::types::PyDict>> {
                let dict = slf.as_super().get().to_dict(slf.py())?;
                $(
                    let field = &slf.get().$field;
                    $crate::event_class::Field::put_into(field, &dict, stringify!($field))?;
                )+
                Ok(dict)
            }

            fn __eq__(slf: &Bound<'_, Self>, other: &Bound<'_, Self>) -> bool {
                slf.as_super().get().same(other.as_super().get())
                    $(&& slf.get().$field == other.get().$field)+
            }

            fn __hash__(slf: &Bound<'_, Self>) -> u64 {
                let $it = slf.get();
                slf.as_super().get().__hash__() ^ $crate::event_class::hash_of($hash)
            }

            #[allow(clippy::type_complexity)] // the arguments of the constructor
            fn __reduce__<'a, 'py>(
                slf: &'a Bound<'py, Self>,
            ) -> (
                Bound<'py, pyo3::types::PyType>,
                ($(<$type as $crate::event_class::Field>::Shown<'a, 'py>,)+ u64, f64),
            ) {
                let base = slf.as_super().get();
                let parts = (
                    $($crate::event_class::Field::shown(&slf.get().$field, slf.py()),)+
                    base.seq,
                    base.time,
                );
                (slf.get_type(), parts)
            }
        }
    };
}

pub(crate) use event_class;
