//! Tombstones: the floors of channels that were dropped, so that a reader that comes back to one is told
//! what it missed, and a reader that missed nothing is not told otherwise.
//!
//! It knows names and floors, no channels. When there are too many the oldest stone falls, and its floor is
//! merged into one that stands for every channel without a stone: that may tell a gap where nothing was
//! missed, never the other way round.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use crate::account::ALLOCATION_BYTES;
use crate::limits::CHANNEL_NAME_BYTES_MAX;

/// See the top of this file.
#[derive(Debug)]
pub(super) struct Tombs {
    most: usize,
    /// Numbers the stones in the order they were laid.
    laid: u64,
    by_age: BTreeMap<u64, Rc<str>>,
    by_name: HashMap<Rc<str>, Stone>,
    forgotten: u64,
}

#[derive(Debug)]
struct Stone {
    laid: u64,
    floor: u64,
}

impl Tombs {
    pub(super) fn new(most: usize) -> Tombs {
        Tombs { most, laid: 0, by_age: BTreeMap::new(), by_name: HashMap::new(), forgotten: 0 }
    }

    /// Remembers the floor of a channel that ends.
    pub(super) fn lay(&mut self, name: &Rc<str>, floor: u64) {
        self.laid += 1;
        let laid = self.laid;
        let before = self.by_name.insert(name.clone(), Stone { laid, floor });
        assert!(before.is_none(), "one stone a name");
        self.by_age.insert(laid, name.clone());
        if self.by_age.len() > self.most
            && let Some((_, oldest)) = self.by_age.pop_first()
            && let Some(stone) = self.by_name.remove(&oldest)
        {
            self.forgotten = self.forgotten.max(stone.floor);
        }
    }

    /// Takes away the stone of a channel that begins again, if there is one.
    pub(super) fn lift(&mut self, name: &str) -> Option<u64> {
        let stone = self.by_name.remove(name)?;
        self.by_age.remove(&stone.laid);
        Some(stone.floor)
    }

    /// Bytes that it holds, names of the greatest length taken for granted.
    pub(super) fn held(&self) -> usize {
        self.by_age.len()
            * (CHANNEL_NAME_BYTES_MAX + 2 * size_of::<(Rc<str>, Stone)>() + 2 * ALLOCATION_BYTES)
    }

    /// The floor of a channel that has ended, with a stone or without.
    pub(super) fn floor_of(&self, name: &str) -> u64 {
        self.by_name.get(name).map_or(self.forgotten, |stone| stone.floor)
    }

    /// The floor of a channel without a stone.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Panics unless both indexes hold the same stones.
    pub(super) fn audit(&self) {
        assert_eq!(self.by_age.len(), self.by_name.len());
        assert!(self.by_age.len() <= self.most);
        for (laid, name) in &self.by_age {
            assert_eq!(self.by_name.get(name).map(|s| s.laid), Some(*laid));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_stone_falls_into_the_forgotten_floor() {
        let mut tombs = Tombs::new(2);
        tombs.lay(&"a".into(), 5);
        tombs.lay(&"b".into(), 9);
        assert_eq!(tombs.lift("a"), Some(5));
        tombs.lay(&"a".into(), 12);
        assert_eq!(tombs.forgotten(), 0);
        tombs.lay(&"c".into(), 20);
        assert_eq!(tombs.forgotten(), 9);
        assert_eq!(tombs.lift("b"), None);
        assert!(tombs.has("a") && tombs.has("c"));
        tombs.audit();
    }
}
