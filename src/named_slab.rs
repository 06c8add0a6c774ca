//! Records that are found by their names and by small numbers.
//!
//! The numbers let other parts refer to a record in four bytes. The index of names holds only such
//! numbers, because the names are in the records.

use hashbrown::HashTable;
use std::hash::{BuildHasher, RandomState};

/// A record with a name that no other record of its slab has, and that never changes.
pub(crate) trait Named {
    fn name(&self) -> &str;
}

/// The records.
#[derive(Debug)]
pub(crate) struct NamedSlab<T> {
    records: Vec<Option<T>>,
    free: Vec<u32>,
    by_name: HashTable<u32>,
    /// Keyed at random, because the names come from other nodes. The order of the index is never
    /// visible.
    hasher: RandomState,
}

impl<T> Default for NamedSlab<T> {
    fn default() -> NamedSlab<T> {
        NamedSlab {
            records: Vec::new(),
            free: Vec::new(),
            by_name: HashTable::new(),
            hasher: RandomState::new(),
        }
    }
}

impl<T: Named> NamedSlab<T> {
    /// The number of records.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Returns the number of the record of this name.
    pub fn find(&self, name: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(name);
        let has_name = |at: &u32| self.get(*at).is_some_and(|record| record.name() == name);
        self.by_name.find(hash, has_name).copied()
    }

    pub fn get(&self, at: u32) -> Option<&T> {
        self.records.get(at as usize)?.as_ref()
    }

    pub fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        self.records.get_mut(at as usize)?.as_mut()
    }

    /// All records, in an order that depends only on the calls of [`NamedSlab::insert`] and
    /// [`NamedSlab::remove`].
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.records.iter().flatten()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.records.iter_mut().flatten()
    }

    /// Adds a record whose name is new, and returns its number. After the record has been removed,
    /// the number may be reused.
    pub fn insert(&mut self, record: T) -> u32 {
        let hash = self.hasher.hash_one(record.name());
        let at = match self.free.pop() {
            Some(at) => {
                self.records[at as usize] = Some(record);
                at
            }
            None => {
                grow_a_little(&mut self.records);
                self.records.push(Some(record));
                (self.records.len() - 1) as u32
            }
        };
        let (records, hasher) = (&self.records, &self.hasher);
        let hash_of = |at: &u32| {
            let record = records[*at as usize].as_ref();
            record.map_or(0, |record| hasher.hash_one(record.name()))
        };
        self.by_name.insert_unique(hash, at, hash_of);
        at
    }

    /// Removes a record.
    pub fn remove(&mut self, at: u32) -> Option<T> {
        let record = self.records.get_mut(at as usize)?.take()?;
        let hash = self.hasher.hash_one(record.name());
        if let Ok(entry) = self.by_name.find_entry(hash, |it| *it == at) {
            entry.remove();
        }
        self.free.push(at);
        Some(record)
    }
}

/// Makes room for more entries in a list that is full: an eighth of its length, where a `Vec` would
/// double.
pub(crate) fn grow_a_little<T>(list: &mut Vec<T>) {
    if list.len() == list.capacity() {
        list.reserve_exact((list.len() / 8).max(8));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Named for String {
        fn name(&self) -> &str {
            self
        }
    }

    #[test]
    fn records_are_found_by_name_and_number_until_they_are_removed() {
        let mut slab = NamedSlab::default();
        for n in 0..1000 {
            assert_eq!(slab.insert(format!("n{n}")), n);
        }
        for n in (0..1000).step_by(3) {
            assert_eq!(slab.remove(n), Some(format!("n{n}")));
            assert_eq!(slab.remove(n), None);
        }
        for n in 0..1000 {
            let name = format!("n{n}");
            let there = n % 3 != 0;
            assert_eq!(slab.find(&name), there.then_some(n));
            assert_eq!(slab.get(n), there.then_some(&name));
        }
        assert_eq!((slab.len(), slab.iter().count()), (666, 666));
        assert_eq!(slab.insert("new".to_owned()), 999, "a number is reused");
        assert_eq!(slab.find("new"), Some(999));
    }
}
