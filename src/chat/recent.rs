//! A table that forgets: what was put in first goes first when there is no room.
//!
//! It knows nothing of what it holds. It is for what may be forgotten at the price of doing something twice.

use std::borrow::Borrow;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// See the top of this file.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    most: usize,
    values: HashMap<K, V>,
    order: VecDeque<K>,
}

impl<K: Clone + Eq + Hash, V> Recent<K, V> {
    /// An empty table for at most `most` entries.
    pub(super) fn new(most: usize) -> Recent<K, V> {
        assert!(most > 0);
        Recent { most, values: HashMap::new(), order: VecDeque::new() }
    }

    /// The value of a key, put there by `make` if there is none.
    pub(super) fn entry(&mut self, key: &K, make: impl FnOnce() -> V) -> &mut V {
        if !self.values.contains_key(key) {
            if self.order.len() >= self.most
                && let Some(oldest) = self.order.pop_front()
            {
                self.values.remove(&oldest);
            }
            self.order.push_back(key.clone());
        }
        self.values.entry(key.clone()).or_insert_with(make)
    }

    /// The value of a key, if it is remembered.
    pub(super) fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.values.get(key)
    }

    /// Takes out the first of those, the oldest first, for which `is_it` holds.
    pub(super) fn take(&mut self, is_it: impl Fn(&K, &V) -> bool) -> Option<(K, V)> {
        let values = &mut self.values;
        let index =
            self.order.iter().position(|key| values.get(key).is_some_and(|value| is_it(key, value)))?;
        let key = self.order.remove(index)?;
        let value = values.remove(&key)?;
        Some((key, value))
    }

    /// All values, in no particular order.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.values.values()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_makes_room() {
        let mut recent = Recent::new(2);
        *recent.entry(&"a", || 1) += 10;
        recent.entry(&"b", || 2);
        assert_eq!(*recent.entry(&"a", || 0), 11, "it is there already");
        recent.entry(&"c", || 3);
        assert_eq!((recent.get("a"), recent.get("b"), recent.get("c")), (None, Some(&2), Some(&3)));
        assert_eq!(recent.len(), 2);
    }

    #[test]
    fn what_is_taken_is_gone() {
        let mut recent = Recent::new(3);
        for (key, value) in [("a", 1), ("b", 2), ("c", 2)] {
            recent.entry(&key, || value);
        }
        assert_eq!(recent.take(|_, value| *value == 2), Some(("b", 2)));
        assert_eq!(recent.take(|key, _| *key == "b"), None);
        recent.entry(&"d", || 4);
        assert_eq!((recent.len(), recent.get("a")), (3, Some(&1)), "its place is free");
    }
}
