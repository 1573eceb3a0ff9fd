//! The catalog: which files there are, where the newest messages are, and what is to be erased from them.
//!
//! It does no input or output. The thread that writes changes it, the thread that reads history looks at it,
//! each for a moment: no lock is held while a disk is waited for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::entry::{Data, Entry};
use super::index::Index;

/// A sealed segment, or a keeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) bytes: u64,
    /// The log's clock at its first and last record.
    pub(super) oldest: u64,
    pub(super) newest: u64,
    pub(super) messages: u32,
}

/// What was taken back and may still be on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Erasures {
    /// By the number of the message.
    pub(super) redactions: BTreeMap<u64, Redaction>,
    /// By channel: everything before it.
    pub(super) clears: BTreeMap<Box<str>, Clear>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Redaction {
    /// The number of the entry that says so, and the log's clock then.
    pub(super) by: u64,
    pub(super) clock: u64,
    pub(super) channel: Box<str>,
    pub(super) data: Box<[u8]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clear {
    pub(super) by: u64,
    pub(super) clock: u64,
}

/// See the top of this file.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    /// In order.
    pub(super) sealed: Vec<Sealed>,
    pub(super) keepers: Vec<Sealed>,
    /// The first number of the segment that is written.
    pub(super) active: u64,
    pub(super) index: Index,
    pub(super) erasures: Erasures,
    /// The log's clock.
    pub(super) clock: u64,
    /// Counts what makes a read begin again: files that went, erasures that were done.
    pub(super) generation: u64,
}

/// The catalog as its two threads hold it.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared(Arc<Mutex<Catalog>>);

impl Shared {
    pub(super) fn new(catalog: Catalog) -> Shared {
        Shared(Arc::new(Mutex::new(catalog)))
    }

    /// A thread that panicked while it held the lock has left it whole: every change is a push, an insert or
    /// a removal.
    pub(super) fn lock(&self) -> MutexGuard<'_, Catalog> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Erasures {
    /// Takes in an entry of the batch that begins with `first`.
    pub(super) fn apply(&mut self, seq: u64, first: u64, clock: u64, entry: &Entry<'_>) {
        match *entry {
            Entry::Redaction { channel, target, data } => {
                let redaction = Redaction { by: seq, clock, channel: channel.into(), data: data.into() };
                self.redactions.insert(target.number(first), redaction);
            }
            Entry::Clear { channel } => {
                self.clears.insert(channel.into(), Clear { by: seq, clock });
            }
            _ => {}
        }
    }

    pub(super) fn len(&self) -> usize {
        self.redactions.len() + self.clears.len()
    }

    /// The log's clock at the oldest.
    pub(super) fn oldest(&self) -> Option<u64> {
        let redactions = self.redactions.values().map(|one| one.clock);
        redactions.chain(self.clears.values().map(|one| one.clock)).min()
    }

    /// Forgets those that an entry up to `by` asked for.
    pub(super) fn forget(&mut self, by: u64) {
        self.redactions.retain(|_, one| one.by > by);
        self.clears.retain(|_, one| one.by > by);
    }

    /// What an entry is now. `None` if nothing of it may be seen any more.
    pub(super) fn edit<'a>(&'a self, seq: u64, entry: Entry<'a>) -> Option<Entry<'a>> {
        let Entry::Message { channel, from, key, is_kept, .. } = entry else { return Some(entry) };
        if self.clears.get(channel).is_some_and(|clear| seq < clear.by) {
            return None;
        }
        let redaction = self.redactions.get(&seq).filter(|redaction| *redaction.channel == *channel);
        Some(redaction.map_or(entry, |redaction| {
            let data = Data::Json(&redaction.data);
            Entry::Message { channel, from, key, data, is_kept, link: None }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::Target;
    use super::*;

    fn message<'a>(channel: &'a str, data: &'a [u8]) -> Entry<'a> {
        Entry::Message { channel, from: None, key: None, data: Data::Json(data), is_kept: false, link: None }
    }

    #[test]
    fn what_was_taken_back_is_seen_no_more() {
        let mut erasures = Erasures::default();
        let (target, data) = (Target::Place(0), &b"null"[..]);
        erasures.apply(11, 10, 5, &Entry::Redaction { channel: "a", target, data });
        erasures.apply(12, 12, 6, &Entry::Clear { channel: "b" });
        assert_eq!(erasures.edit(10, message("a", b"1")), Some(message("a", b"null")));
        assert_eq!(erasures.edit(10, message("c", b"1")), Some(message("c", b"1")), "of another channel");
        assert_eq!(erasures.edit(9, message("a", b"1")), Some(message("a", b"1")));
        assert_eq!(erasures.edit(11, message("b", b"1")), None);
        assert_eq!(erasures.edit(13, message("b", b"1")), Some(message("b", b"1")));
        assert_eq!((erasures.len(), erasures.oldest()), (2, Some(5)));
        erasures.forget(11);
        assert_eq!((erasures.len(), erasures.oldest()), (1, Some(6)));
    }
}
