//! Which sealed segments surely do not have a key: a Bloom filter for each, ten bits a key.
//!
//! It knows no file. Most keys that are looked for are new, and are in none; without the filters each of them
//! would be looked for on disk in every segment. Digests are hashes already: their four quarters are the four
//! places that are looked at, and one key of a hundred that is not there looks as if it were.

use std::collections::BTreeMap;

use super::entry::Digest;
use crate::limits::KEY_FILTERS_BYTES_MAX;

const BITS_PER_KEY: usize = 10;

/// The keys of one segment.
#[derive(Debug)]
pub(super) struct Filter(Box<[u64]>);

/// The filters of the newest segments, by their first numbers.
#[derive(Debug, Default)]
pub(super) struct Filters {
    segments: BTreeMap<u64, Filter>,
    bytes: usize,
}

impl Filter {
    /// A filter for `len` keys.
    pub(super) fn new<'a>(len: usize, keys: impl Iterator<Item = &'a Digest>) -> Filter {
        let mut words = vec![0_u64; (len * BITS_PER_KEY).div_ceil(64)].into_boxed_slice();
        for key in keys {
            for place in places(key, words.len()) {
                words[place / 64] |= 1 << (place % 64);
            }
        }
        Filter(words)
    }

    fn may_have(&self, key: &Digest) -> bool {
        !self.0.is_empty()
            && places(key, self.0.len()).all(|place| self.0[place / 64] >> (place % 64) & 1 == 1)
    }

    fn bytes(&self) -> usize {
        self.0.len() * size_of::<u64>()
    }
}

/// The bits of a key among those of so many words.
fn places(key: &Digest, words: usize) -> impl Iterator<Item = usize> {
    let quarters =
        key.chunks_exact(4).map(|part| part.iter().fold(0_u64, |all, byte| all << 8 | u64::from(*byte)));
    quarters.map(move |quarter| ((quarter * words as u64 * 64) >> 32) as usize)
}

impl Filters {
    /// Keeps the filter of a segment. Those of the oldest segments make room.
    pub(super) fn insert(&mut self, first: u64, filter: Filter) {
        self.remove(first);
        self.bytes += filter.bytes();
        self.segments.insert(first, filter);
        while self.bytes > KEY_FILTERS_BYTES_MAX {
            let Some((_, oldest)) = self.segments.pop_first() else { break };
            self.bytes -= oldest.bytes();
        }
    }

    pub(super) fn remove(&mut self, first: u64) {
        self.bytes -= self.segments.remove(&first).map_or(0, |filter| filter.bytes());
    }

    /// Whether a segment may have a key: yes, where there is no filter.
    pub(super) fn may_have(&self, first: u64, key: &Digest) -> bool {
        self.segments.get(&first).is_none_or(|filter| filter.may_have(key))
    }

    /// Whether a segment lacks its filter, and there may be room for one of so many keys.
    pub(super) fn lacks(&self, first: u64, keys: usize) -> bool {
        !self.segments.contains_key(&first) && self.bytes + keys * BITS_PER_KEY / 8 < KEY_FILTERS_BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u128) -> Digest {
        // Spread over all bits, as hashes are.
        let n = n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        (n ^ n >> 61).wrapping_mul(0xd6e8_feb8_6659_fd93_2545_f491_4f6c_dd1d).to_le_bytes()
    }

    #[test]
    fn a_key_is_never_missed_and_few_others_look_like_one() {
        let keys: Vec<Digest> = (0..10_000).map(key).collect();
        let filter = Filter::new(keys.len(), keys.iter());
        assert!(keys.iter().all(|key| filter.may_have(key)));
        let others = (10_000..20_000).filter(|n| filter.may_have(&key(*n))).count();
        assert!(others < 300, "{others} of 10,000");
        assert!(!Filter::new(0, [].iter()).may_have(&keys[0]));
    }

    #[test]
    fn the_newest_segments_have_filters_and_the_others_may_have_any_key() {
        let mut filters = Filters::default();
        let len = KEY_FILTERS_BYTES_MAX / 3;
        for first in 1..=5 {
            assert!(filters.lacks(first, 1) || first > 2);
            filters.insert(first, Filter::new(len, [].iter()));
        }
        let kept: Vec<u64> = (1..=5).filter(|first| !filters.may_have(*first, &key(1))).collect();
        assert_eq!(kept, [4, 5]);
        filters.remove(5);
        assert!(filters.may_have(5, &key(1)) && filters.bytes > 0);
    }
}
