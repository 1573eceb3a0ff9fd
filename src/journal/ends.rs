//! The end of a sealed file as it is read: index, keys, trailer, and whether they are those of its records.
//!
//! It knows no file: it is given the records in order, and judges what stands behind the batches.

use super::index::Index;
use super::scan::Record;
use super::segment::{Holds, Trailer};

/// What stands behind the last batch.
#[derive(Debug, Default)]
pub(super) struct Ends {
    index: Option<(u64, Vec<u8>)>,
    keys: Option<(u64, Vec<u8>)>,
}

impl Ends {
    /// Takes a record that is to be judged by its place: whether it may stand there.
    pub(super) fn take(&mut self, record: &Record<'_>) -> bool {
        let end = Some((record.at, record.body.to_vec()));
        match (record.head.holds, &self.index, &self.keys) {
            (Holds::Batch, None, None) => {}
            (Holds::Index, None, None) => self.index = end,
            (Holds::Keys, Some(_), None) => self.keys = end,
            _ => return false,
        }
        true
    }

    /// Whether index and keys are there.
    pub(super) fn are_whole(&self) -> bool {
        self.keys.is_some()
    }

    /// Whether they are what the records before them say.
    pub(super) fn agree(&self, trailer: &Trailer, index: &Index, last: u64) -> bool {
        let (Some((index_at, index_body)), Some((keys_at, keys_body))) = (&self.index, &self.keys) else {
            return false;
        };
        let (expected_index, expected_keys) = index.emit();
        (u64::from(trailer.index), u64::from(trailer.keys)) == (*index_at, *keys_at)
            && (trailer.last, trailer.messages) == (last, index.messages())
            && (index_body, keys_body) == (&expected_index, &expected_keys)
    }
}
