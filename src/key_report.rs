//! The report about a key query: the answer of each member, and the keys that the members hold.

use crate::wire::Key;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The answers of the members to a key query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyReport {
    /// The number of members that have answered or are missing, this node included. A member that
    /// left before it answered is not counted. One that joined meanwhile, or had failed, is counted
    /// if it has answered.
    pub asked: usize,
    /// The answers, by the names of the members.
    pub answers: BTreeMap<Arc<str>, KeyAnswer>,
    /// The members that have not answered in time, sorted by name. A member that has failed
    /// meanwhile is among them, unless it has answered after all; one that has left is not.
    pub missing: Vec<Arc<str>>,
    /// The keys that the members listed; empty unless they were asked to list them.
    pub keys: BTreeMap<Key, KeyHolders>,
}

/// The answer of one member to a key query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyAnswer {
    /// True if the member has done what was asked.
    pub done: bool,
    /// The reason if it has not. If it has, a remark, for example that its list is not complete;
    /// usually empty.
    pub message: String,
}

/// The members that hold a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyHolders {
    /// The number of members that hold the key.
    pub members: usize,
    /// The number of members whose primary key it is.
    pub primary: usize,
}

impl KeyReport {
    /// Returns the answers of the members that have not done what was asked.
    pub fn failures(&self) -> impl Iterator<Item = (&Arc<str>, &KeyAnswer)> {
        self.answers.iter().filter(|(_, answer)| !answer.done)
    }
}
