//! Where the messages and the keys of one segment are: in memory while it is written, as two records at its
//! end when it is sealed.
//!
//! It knows no file. A sealed index is read as bytes and looked through as it stands.
//!
//! ```text
//!   index   channel, how many, their bytes ┬ number, offset of the record ┬ …   in order of names
//!   keys    digest, place in its batch, offset of the record ┬ …                in order of digests
//! ```
//!
//! Digests are hashes, so that one of many is found by interpolation: its place is about as far along the
//! list as its value is among all values.

use std::collections::{BTreeMap, HashMap};

use super::bytes::{Put, Take, length};
use super::entry::{Digest, Entry, split};

/// Bytes of one key's row.
pub(super) const KEY_BYTES: usize = 24;

/// The index of a segment that is written.
#[derive(Debug, Default)]
pub(super) struct Index {
    channels: BTreeMap<Box<str>, Channel>,
    keys: HashMap<Digest, (u64, u32, u32)>,
    messages: u32,
}

/// Messages of one channel in a segment.
#[derive(Debug, Default)]
struct Channel {
    bytes: u64,
    at: Vec<(u64, u32)>,
}

impl Index {
    /// Takes in the entries of a batch that was written at `offset`.
    pub(super) fn add(&mut self, first: u64, offset: u32, body: &[u8]) {
        for (place, entry) in (0..).zip(split(body).map_while(Result::ok)) {
            self.add_one(first, place, offset, &entry);
        }
    }

    /// Takes in one entry of such a batch.
    pub(super) fn add_one(&mut self, first: u64, place: u32, offset: u32, entry: &Entry<'_>) {
        let Entry::Message { channel, key, data, .. } = *entry else { return };
        let seq = first + u64::from(place);
        if let Some(key) = key {
            self.keys.insert(key, (seq, offset, place));
        }
        if !self.channels.contains_key(channel) {
            self.channels.insert(channel.into(), Channel::default());
        }
        if let Some(channel) = self.channels.get_mut(channel) {
            channel.bytes += data.as_bytes().len() as u64;
            channel.at.push((seq, offset));
        }
        self.messages += 1;
    }

    /// The number of the message that has this key.
    pub(super) fn keyed(&self, digest: &Digest) -> Option<u64> {
        self.keys.get(digest).map(|(seq, ..)| *seq)
    }

    /// The keys, for a filter.
    pub(super) fn keys(&self) -> impl ExactSizeIterator<Item = &Digest> {
        self.keys.keys()
    }

    pub(super) fn messages(&self) -> u32 {
        self.messages
    }

    pub(super) fn channels(&self) -> usize {
        self.channels.len()
    }

    /// Number and offset of the messages of a channel between two numbers, both excluded: `limit` of them at
    /// most, the oldest or the newest, oldest first.
    pub(super) fn find(&self, channel: &str, within: Within, limit: usize) -> Vec<(u64, u32)> {
        self.channels.get(channel).map_or_else(Vec::new, |channel| within.choose(&channel.at, limit))
    }

    /// The bodies of the two records at the end of a segment.
    pub(super) fn emit(&self) -> (Vec<u8>, Vec<u8>) {
        let mut index = Vec::new();
        for (name, channel) in &self.channels {
            index.put_text(name);
            index.put_u32(length(channel.at.len()));
            index.put_u64(channel.bytes);
            for (seq, offset) in &channel.at {
                index.put_u64(*seq);
                index.put_u32(*offset);
            }
        }
        let mut rows: Vec<_> = self.keys.iter().collect();
        rows.sort_unstable();
        let mut keys = Vec::with_capacity(rows.len() * KEY_BYTES);
        for (digest, (_, offset, place)) in rows {
            keys.put(digest);
            keys.put_u32(*place);
            keys.put_u32(*offset);
        }
        (index, keys)
    }
}

/// Which numbers of a channel are looked for, and from which end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Within {
    pub(super) after: u64,
    pub(super) before: u64,
    pub(super) newest: bool,
}

impl Within {
    fn choose(self, at: &[(u64, u32)], limit: usize) -> Vec<(u64, u32)> {
        let start = at.partition_point(|(seq, _)| *seq <= self.after);
        let end = at.partition_point(|(seq, _)| *seq < self.before).max(start);
        let found = &at[start..end];
        let limit = limit.min(found.len());
        let chosen = if self.newest { &found[found.len() - limit..] } else { &found[..limit] };
        chosen.to_vec()
    }
}

/// Number and offset of messages of a channel, as [`Index::find`] gives them, in the index of a sealed
/// segment. `None` if these bytes are no index.
pub(super) fn find(index: &[u8], channel: &str, within: Within, limit: usize) -> Option<Vec<(u64, u32)>> {
    let mut take = Take(index);
    while !take.is_empty() {
        let name = take.text()?;
        let count = take.u32()? as usize;
        take.u64()?;
        let rows = take.bytes(count.checked_mul(size_of::<u64>() + size_of::<u32>())?)?;
        if name == channel {
            let mut rows = Take(rows);
            let at: Option<Vec<_>> = (0..count).map(|_| Some((rows.u64()?, rows.u32()?))).collect();
            return Some(within.choose(&at?, limit));
        }
        if name > channel {
            break;
        }
    }
    Some(Vec::new())
}

/// The names in an index, with the first number of each. `None` if these bytes are no index.
pub(super) fn channels(index: &[u8]) -> Option<Vec<(&str, u64)>> {
    let mut take = Take(index);
    let mut all = Vec::new();
    while !take.is_empty() {
        let name = take.text()?;
        let count = take.u32()? as usize;
        take.u64()?;
        let rows = take.bytes(count.checked_mul(size_of::<u64>() + size_of::<u32>())?)?;
        all.push((name, Take(rows).u64()?));
    }
    Some(all)
}

/// One row of the keys: its digest, the place in its batch, the offset of that.
pub(super) fn key(row: &[u8]) -> Option<(Digest, u32, u32)> {
    let mut take = Take(row);
    Some((take.array()?, take.u32()?, take.u32()?))
}

/// About where a digest is among `rows` of them.
pub(super) fn expected_place(digest: &Digest, rows: usize) -> usize {
    let (high, _) = digest.split_at(size_of::<u32>());
    let high = high.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    (high as usize).saturating_mul(rows) >> u32::BITS
}

#[cfg(test)]
mod tests {
    use super::super::{Batch, Data};
    use super::*;

    fn message(channel: &str, key: Option<Digest>) -> Entry<'_> {
        Entry::Message { channel, from: None, key, data: Data::Json(b"12"), is_kept: false, link: None }
    }

    #[test]
    fn what_is_found_in_memory_is_found_in_bytes() {
        let mut index = Index::default();
        for (first, channel) in (10..).step_by(2).zip(["b", "a", "b", "c", "b"]) {
            let entries = [message(channel, Some([first as u8; 16])), Entry::Hole];
            index.add(first, first as u32 * 8, Batch::emit(&entries).expect("a batch").bytes());
        }
        assert_eq!((index.messages(), index.channels()), (5, 3));
        assert_eq!((index.keyed(&[14; 16]), index.keyed(&[15; 16])), (Some(14), None));
        let (bytes, keys) = index.emit();
        assert_eq!(channels(&bytes), Some(vec![("a", 12), ("b", 10), ("c", 16)]));
        for (channel, after, before, newest, limit, expected) in [
            ("b", 0, u64::MAX, false, 9, vec![(10, 80), (14, 112), (18, 144)]),
            ("b", 10, 18, false, 9, vec![(14, 112)]),
            ("b", 0, u64::MAX, false, 2, vec![(10, 80), (14, 112)]),
            ("b", 0, u64::MAX, true, 2, vec![(14, 112), (18, 144)]),
            ("b", 18, 10, true, 2, vec![]),
            ("a", 0, 13, true, 2, vec![(12, 96)]),
            ("bb", 0, u64::MAX, true, 2, vec![]),
        ] {
            let within = Within { after, before, newest };
            assert_eq!(index.find(channel, within, limit), expected);
            assert_eq!(find(&bytes, channel, within, limit), Some(expected));
        }
        assert_eq!(keys.len(), 5 * KEY_BYTES);
        assert_eq!(key(&keys[KEY_BYTES..]), Some(([12; 16], 0, 96)));
        assert_eq!(
            find(&bytes[..bytes.len() - 1], "c", Within { after: 0, before: 9, newest: false }, 9),
            None
        );
    }

    #[test]
    fn a_digest_is_expected_where_its_value_says() {
        assert_eq!(expected_place(&[0; 16], 1_000), 0);
        assert_eq!(expected_place(&[255; 16], 1_000), 999);
        assert_eq!(expected_place(&[128; 16], 1_000), 501);
    }
}
