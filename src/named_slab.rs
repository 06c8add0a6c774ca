//! Records that are found by their names and by small numbers.
//!
//! The numbers let other parts refer to a record in four bytes. The index of names holds only such
//! numbers, because the names are in the records.

use hashbrown::HashTable;
use std::hash::{BuildHasher, RandomState};

/// The numbers of records by their names. The slab passes in the functions that compare and hash
/// names, so one compiled copy of the index serves the slabs of all types of records.
#[derive(Debug, Default)]
struct Index {
    numbers: HashTable<u32>,
    /// The hasher of names. Its seed is random, so that other nodes cannot choose names that
    /// collide. No result depends on the order of the index.
    hasher: RandomState,
}

impl Index {
    fn hash(&self, name: &str) -> u64 {
        self.hasher.hash_one(name)
    }

    /// Returns the number of a record with this hash for which `is_it` returns true.
    fn find(&self, hash: u64, is_it: &dyn Fn(u32) -> bool) -> Option<u32> {
        self.numbers.find(hash, |at| is_it(*at)).copied()
    }

    /// Adds the number of a record with this hash. `hash_of` returns the hash of each record of the
    /// index.
    fn insert(&mut self, hash: u64, at: u32, hash_of: &dyn Fn(&Index, u32) -> u64) {
        if self.numbers.len() == self.numbers.capacity() {
            let mut numbers = std::mem::take(&mut self.numbers);
            numbers.reserve(1, |at| hash_of(self, *at));
            self.numbers = numbers;
        }
        // There is room, so no other record is hashed.
        self.numbers.insert_unique(hash, at, |_| 0);
    }

    /// Removes the number of a record with this hash.
    fn remove(&mut self, hash: u64, at: u32) {
        if let Ok(entry) = self.numbers.find_entry(hash, |it| *it == at) {
            entry.remove();
        }
    }
}

/// A record with a name. The name is unique in its slab and never changes.
pub(crate) trait Named {
    fn name(&self) -> &str;
}

/// Records with unique names. Each has a number.
#[derive(Debug)]
pub(crate) struct NamedSlab<T> {
    records: Vec<Option<T>>,
    free: Vec<u32>,
    by_name: Index,
}

impl<T> Default for NamedSlab<T> {
    fn default() -> NamedSlab<T> {
        NamedSlab {
            records: Vec::new(),
            free: Vec::new(),
            by_name: Index::default(),
        }
    }
}

impl<T: Named> NamedSlab<T> {
    /// The number of records.
    pub fn len(&self) -> usize {
        self.records.len() - self.free.len()
    }

    /// Returns the number of the record with this name.
    pub fn find(&self, name: &str) -> Option<u32> {
        let has_name = |at| self.get(at).is_some_and(|record| record.name() == name);
        self.by_name.find(self.by_name.hash(name), &has_name)
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
        let hash = self.by_name.hash(record.name());
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
        let records = &self.records;
        self.by_name.insert(hash, at, &|index, at| {
            let record = records[at as usize].as_ref();
            record.map_or(0, |record| index.hash(record.name()))
        });
        at
    }

    /// Removes a record.
    pub fn remove(&mut self, at: u32) -> Option<T> {
        let record = self.records.get_mut(at as usize)?.take()?;
        let hash = self.by_name.hash(record.name());
        self.by_name.remove(hash, at);
        self.free.push(at);
        Some(record)
    }
}

/// Makes room in a full list for an eighth more entries, or for 8 if that is more. A `Vec` would
/// double its capacity.
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
