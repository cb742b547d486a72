//! Collections that cannot grow without limit, whatever is observed.

use sentinel_model::Monotonic;
use std::collections::{BTreeMap, VecDeque, btree_map};

/// A value that knows when it was last of use.
pub(crate) trait LastUsed {
    /// Returns the time by which entries are compared for eviction.
    fn last_used(&self) -> Monotonic;
}

/// A map of at most `LIMIT` entries, ordered by key.
///
/// What happens to a new key when the map is full is the caller's choice:
/// - [`insert`](Self::insert) compares the new entry with the others and evicts the one used least
///   recently, which may be the new one;
/// - [`get_or_insert_with`](Self::get_or_insert_with) evicts the one used least recently first, so
///   that the new one always enters;
/// - [`try_insert`](Self::try_insert) refuses the new one.
///
/// Of entries used at the same time, the one with the lowest key is evicted.
#[derive(Clone, Debug)]
pub(crate) struct BoundedMap<K, V, const LIMIT: usize> {
    entries: BTreeMap<K, V>,
}

impl<K, V, const LIMIT: usize> Default for BoundedMap<K, V, LIMIT> {
    fn default() -> Self {
        Self { entries: BTreeMap::new() }
    }
}

impl<K: Ord, V, const LIMIT: usize> BoundedMap<K, V, LIMIT> {
    /// Returns the value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key)
    }

    /// Returns the value of a key for changing it.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key)
    }

    /// Removes an entry.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.remove(key)
    }

    /// Removes all entries.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Keeps only the entries for which `keep` returns true.
    pub fn retain(&mut self, keep: impl FnMut(&K, &mut V) -> bool) {
        self.entries.retain(keep);
    }

    /// Iterates over the entries in the order of their keys.
    pub fn iter(&self) -> btree_map::Iter<'_, K, V> {
        self.entries.iter()
    }

    /// Iterates over the keys in their order.
    pub fn keys(&self) -> btree_map::Keys<'_, K, V> {
        self.entries.keys()
    }

    /// Iterates over the values in the order of their keys.
    pub fn values(&self) -> btree_map::Values<'_, K, V> {
        self.entries.values()
    }

    /// Iterates over the values in the order of their keys, for changing them.
    pub fn values_mut(&mut self) -> btree_map::ValuesMut<'_, K, V> {
        self.entries.values_mut()
    }

    /// Returns true if the map holds nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns true if a value can be stored under the key without removing another.
    pub fn has_room_for(&self, key: &K) -> bool {
        self.entries.len() < LIMIT || self.entries.contains_key(key)
    }

    /// Stores a value unless the key is new and the map is full; returns whether it was stored.
    pub fn try_insert(&mut self, key: K, value: V) -> bool {
        let has_room = self.has_room_for(&key);
        if has_room {
            self.entries.insert(key, value);
        }
        has_room
    }
}

impl<K: Ord + Clone, V: LastUsed, const LIMIT: usize> BoundedMap<K, V, LIMIT> {
    /// Stores a value, then evicts the entry used least recently if there are too many.
    pub fn insert(&mut self, key: K, value: V) {
        self.entries.insert(key, value);
        if self.entries.len() > LIMIT {
            self.evict_least_recently_used();
        }
    }

    /// Returns the value of a key; makes it, and room for it, if there is none.
    pub fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        self.make_room_for(&key);
        self.entries.entry(key).or_insert_with(make)
    }

    /// Evicts the entry used least recently if the key is new and the map is full.
    pub fn make_room_for(&mut self, key: &K) {
        if !self.has_room_for(key) {
            self.evict_least_recently_used();
        }
    }

    fn evict_least_recently_used(&mut self) {
        let oldest = self.entries.iter().min_by_key(|(_, value)| value.last_used());
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.entries.remove(&key);
        }
    }
}

/// Appends to a queue and removes from its front what exceeds the limit, which is at least 1.
pub(crate) fn push_bounded<T>(queue: &mut VecDeque<T>, item: T, limit: usize) {
    queue.push_back(item);
    while queue.len() > limit.max(1) {
        queue.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl LastUsed for u64 {
        fn last_used(&self) -> Monotonic {
            Monotonic(*self)
        }
    }

    fn full() -> BoundedMap<char, u64, 3> {
        let mut map = BoundedMap::default();
        for (key, used) in [('a', 5), ('b', 1), ('c', 9)] {
            map.insert(key, used);
        }
        map
    }

    fn keys(map: &BoundedMap<char, u64, 3>) -> String {
        map.keys().collect()
    }

    #[test]
    fn inserting_evicts_the_entry_used_least_recently() {
        let mut map = full();
        map.insert('d', 2);
        assert_eq!(keys(&map), "acd");
        map.insert('a', 1);
        assert_eq!(keys(&map), "acd", "a known key needs no room");
        map.insert('e', 0);
        assert_eq!(keys(&map), "acd", "a new entry may itself be the oldest");
    }

    #[test]
    fn of_equally_old_entries_the_lowest_key_is_evicted() {
        let mut map = BoundedMap::<char, u64, 3>::default();
        for key in ['d', 'b', 'c', 'a'] {
            map.insert(key, 1);
        }
        assert_eq!(keys(&map), "bcd");
    }

    #[test]
    fn making_room_always_lets_the_new_entry_in() {
        let mut map = full();
        assert_eq!(*map.get_or_insert_with('d', || 0), 0);
        assert_eq!(keys(&map), "acd");
        assert_eq!(*map.get_or_insert_with('a', || 0), 5, "a known key keeps its value");
    }

    #[test]
    fn a_full_map_can_refuse_new_keys() {
        let mut map = full();
        assert!(!map.try_insert('d', 100));
        assert!(map.try_insert('b', 100));
        assert_eq!(keys(&map), "abc");
        assert_eq!(map.get(&'b'), Some(&100));
    }

    #[test]
    fn a_bounded_queue_drops_its_oldest_items() {
        let mut queue = VecDeque::new();
        for item in 0..5 {
            push_bounded(&mut queue, item, 2);
        }
        assert_eq!(queue, [3, 4]);
    }
}
