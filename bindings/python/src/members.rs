//! The members at one moment: an immutable sequence that shares the node's own data.

use crate::member::Member;
use pyo3::exceptions::{PyIndexError, PyKeyError, PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PySlice, PyString, PyTuple};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// The members at one moment: a sequence sorted by name that can also be indexed by name.
///
/// It supports `members[0]`, `members[1:3]`, `members["web-1"]` (raises `KeyError` for an unknown
/// name) and `"web-1" in members`. It is immutable, hashable, picklable and safe to share between
/// threads, and it may outlive its node. `dict(members)` has the members by name.
#[pyclass(frozen, sequence, module = "sprat")]
#[derive(Clone)]
pub struct Members {
    list: Arc<Vec<sprat::Member>>,
    /// True if the order is reversed, as in a slice with a negative step.
    descending: bool,
}

impl Members {
    /// Wraps a list that is sorted by name.
    pub fn new(members: impl Into<Arc<Vec<sprat::Member>>>) -> Members {
        Members {
            list: members.into(),
            descending: false,
        }
    }

    /// Returns the member with this name. No member has a name that is not valid Unicode.
    fn find(&self, name: &Bound<'_, PyString>) -> Option<Member> {
        let name = name.extract::<&str>().ok()?;
        let place = self.list.binary_search_by(|it| match (*it.name).cmp(name) {
            order if self.descending => order.reverse(),
            order => order,
        });
        place.ok().map(|at| Member::of(&self.list[at]))
    }

    /// Returns the indices of a member. Only a list that a program constructs can contain a member
    /// more than once.
    fn positions<'a>(&'a self, member: &'a Bound<'_, PyAny>) -> impl Iterator<Item = usize> + 'a {
        let member = member.cast::<Member>().ok();
        let same = move |it: &sprat::Member| {
            member.is_some_and(|member| Member::of(it).same(member.get()))
        };
        let places = self.list.iter().enumerate();
        places.filter(move |(_, it)| same(it)).map(|(at, _)| at)
    }

    fn at(&self, index: isize) -> Option<&sprat::Member> {
        let index = if index < 0 {
            index + self.list.len() as isize
        } else {
            index
        };
        self.list.get(usize::try_from(index).ok()?)
    }
}

#[pymethods]
impl Members {
    #[new]
    #[pyo3(signature = (members=None))]
    fn from_list(members: Option<&Bound<'_, PyAny>>) -> PyResult<Members> {
        let wrong = |it: &Bound<'_, PyAny>, wanted: &str| {
            let found = it.get_type().name().map(|name| name.to_string());
            PyTypeError::new_err(format!("{wanted}, not {}", found.unwrap_or_default()))
        };
        let mut list = Vec::new();
        if let Some(members) = members {
            let several = members.try_iter();
            let several = several.map_err(|_| wrong(members, "members must be a list"))?;
            for (at, member) in several.enumerate() {
                let member = member?;
                let found = member.cast::<Member>();
                let found =
                    found.map_err(|_| wrong(&member, &format!("members[{at}] must be Member")));
                list.push(found?.get().inner.clone());
            }
        }
        list.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Members::new(list))
    }

    fn __len__(&self) -> usize {
        self.list.len()
    }

    fn __getitem__<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Py<PyAny>> {
        if let Ok(name) = key.cast::<PyString>() {
            let found = self.find(name);
            let member = found.ok_or_else(|| PyKeyError::new_err(key.clone().unbind()))?;
            return Ok(Py::new(py, member)?.into_any());
        }
        if let Ok(slice) = key.cast::<PySlice>() {
            let picked = slice.indices(self.list.len() as isize)?;
            let at =
                |i: usize| self.list[(picked.start + i as isize * picked.step) as usize].clone();
            let members = Members {
                list: Arc::new((0..picked.slicelength).map(at).collect()),
                descending: self.descending != (picked.step < 0),
            };
            return Ok(Py::new(py, members)?.into_any());
        }
        let index = match key.extract::<isize>() {
            Err(error) if error.is_instance_of::<PyOverflowError>(py) => Ok(isize::MAX),
            index => index,
        };
        let Ok(index) = index else {
            let kind = key.get_type().name()?.to_string();
            let text = format!("members are indexed by int, slice or str (a name), not {kind}");
            return Err(PyTypeError::new_err(text));
        };
        let member = self.at(index);
        let member = member.ok_or_else(|| PyIndexError::new_err("members index out of range"))?;
        Ok(Py::new(py, Member::of(member))?.into_any())
    }

    fn __contains__(&self, key: &Bound<'_, PyAny>) -> bool {
        match key.cast::<PyString>() {
            Ok(name) => self.find(name).is_some(),
            Err(_) => self.positions(key).next().is_some(),
        }
    }

    fn __iter__(&self) -> MembersIterator {
        MembersIterator {
            list: self.list.clone(),
            next: std::sync::atomic::AtomicUsize::new(0),
        }
    }

    /// Return the member with this name, or `default`.
    #[pyo3(signature = (name, default=None))]
    fn get(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        default: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let Ok(name) = name.cast::<PyString>() else {
            let kind = name.get_type().name()?;
            let text = format!("name must be str, not {kind}");
            return Err(PyTypeError::new_err(text));
        };
        match self.find(name) {
            Some(member) => Ok(Py::new(py, member)?.into_any()),
            None => Ok(default.unwrap_or_else(|| py.None())),
        }
    }

    /// Return the names, in the order of the members.
    fn names(&self) -> Vec<&str> {
        self.list.iter().map(|it| &*it.name).collect()
    }

    /// Return the names, in the order of the members: the keys of `dict(members)`.
    fn keys(&self) -> Vec<&str> {
        self.names()
    }

    /// Return all members as a new dict of plain values, by name.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for member in self.list.iter() {
            dict.set_item(&*member.name, Member::of(member).to_dict(py)?)?;
        }
        Ok(dict)
    }

    /// Return the first index of a member from `start` to `stop` (exclusive). Raises `ValueError`
    /// if the member is not there.
    #[pyo3(signature = (member, start=0, stop=None))]
    fn index(
        &self,
        member: &Bound<'_, PyAny>,
        start: isize,
        stop: Option<isize>,
    ) -> PyResult<usize> {
        let count = self.list.len() as isize;
        let bound = |at: isize| if at < 0 { at + count } else { at };
        let (start, stop) = (bound(start), bound(stop.unwrap_or(count)));
        let mut places = self.positions(member);
        let found = places.find(|at| (start..stop).contains(&(*at as isize)));
        found.ok_or_else(|| PyValueError::new_err("the member is not in this list"))
    }

    /// Return the number of times that the member occurs.
    fn count(&self, member: &Bound<'_, PyAny>) -> usize {
        self.positions(member).count()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let shown: PyResult<Vec<String>> = self
            .list
            .iter()
            .take(10)
            .map(|it| Member::of(it).__repr__(py))
            .collect();
        let more = match self.list.len() {
            0..=10 => String::new(),
            count => format!(", ... {} more", count - 10),
        };
        Ok(format!("Members([{}{more}])", shown?.join(", ")))
    }

    fn __eq__(&self, other: PyRef<'_, Self>) -> bool {
        let (a, b) = (&self.list, &other.list);
        let mut pairs = a.iter().zip(b.iter());
        a.len() == b.len() && pairs.all(|(a, b)| Member::of(a).same(&Member::of(b)))
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for member in self.list.iter() {
            Member::of(member).__hash__().hash(&mut hasher);
        }
        hasher.finish()
    }

    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let py = slf.py();
        if slf.get().descending {
            let other_way = PySlice::new(py, isize::MAX, isize::MIN, -1);
            let parts = (slf.get_item(&other_way)?, other_way);
            return Ok((
                py.import("operator")?.getattr("getitem")?,
                parts.into_pyobject(py)?,
            ));
        }
        let members: Vec<Member> = slf.get().list.iter().map(Member::of).collect();
        Ok((slf.get_type().into_any(), PyTuple::new(py, [members])?))
    }
}

/// An iterator over members.
#[pyclass(frozen, module = "sprat._native")]
pub struct MembersIterator {
    list: Arc<Vec<sprat::Member>>,
    next: std::sync::atomic::AtomicUsize,
}

#[pymethods]
impl MembersIterator {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self) -> Option<Member> {
        let next = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.list.get(next).map(Member::of)
    }

    fn __length_hint__(&self) -> usize {
        let next = self.next.load(std::sync::atomic::Ordering::Relaxed);
        self.list.len().saturating_sub(next)
    }
}
