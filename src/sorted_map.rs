//! A map for few entries: a sorted list.
//!
//! For each type of its values, a map of the standard library adds several kilobytes of code to the
//! library; this map adds a few hundred bytes. Every insertion and removal moves the entries with
//! greater keys, so this map suits up to about a thousand entries.

/// A map whose keys are copied, such as numbers.
pub struct SortedMap<K, V>(Vec<(K, V)>);

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> SortedMap<K, V> {
        SortedMap(Vec::new())
    }
}

impl<K: Copy + Ord, V> SortedMap<K, V> {
    /// The number of entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The value of a key.
    pub fn get(&self, key: K) -> Option<&V> {
        Some(&self.0[self.place(key).ok()?].1)
    }

    /// The value of a key, as a mutable reference.
    pub fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let at = self.place(key).ok()?;
        Some(&mut self.0[at].1)
    }

    /// Adds an entry, or replaces the value of its key.
    pub fn insert(&mut self, key: K, value: V) {
        match self.place(key) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (key, value)),
        }
    }

    /// Removes an entry, and returns its value.
    pub fn remove(&mut self, key: K) -> Option<V> {
        let at = self.place(key).ok()?;
        Some(self.0.remove(at).1)
    }

    /// Removes all entries, and returns their values.
    pub fn drain(&mut self) -> impl Iterator<Item = V> {
        self.0.drain(..).map(|(_, value)| value)
    }

    /// Keeps only the entries whose value passes `keep`.
    pub fn retain(&mut self, keep: impl Fn(&V) -> bool) {
        self.0.retain(|(_, value)| keep(value));
    }

    /// The entries in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.0.iter().map(|(key, value)| (*key, value))
    }

    /// The values in the order of their keys, as mutable references.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    /// The place of a key in the list, or the place at which it would be inserted.
    fn place(&self, key: K) -> Result<usize, usize> {
        self.0.binary_search_by_key(&key, |(key, _)| *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_sorted_and_each_key_has_one_value() {
        let mut map = SortedMap::default();
        for (key, value) in [(5, 'e'), (1, 'a'), (3, 'c'), (1, 'b')] {
            map.insert(key, value);
        }
        let all: Vec<(u64, char)> = map.iter().map(|(key, value)| (key, *value)).collect();
        assert_eq!(all, [(1, 'b'), (3, 'c'), (5, 'e')]);
        assert_eq!((map.get(3), map.get(4)), (Some(&'c'), None));
        assert_eq!((map.remove(3), map.remove(3)), (Some('c'), None));
        map.values_mut().for_each(|value| *value = 'y');
        if let Some(value) = map.get_mut(5) {
            *value = 'x';
        }
        map.retain(|value| *value == 'x');
        assert_eq!((map.len(), map.drain().collect()), (1, vec!['x']));
    }
}
