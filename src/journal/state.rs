//! The state at one number of the log: records, who is there, which messages wait for their readers.
//!
//! It knows no file. It is what the entries up to that number make of it, in order, so that every start finds
//! the same state whether it begins at a checkpoint or at the first entry.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::Refusal;
use super::entry::{Entry, Expect, Presence};
use crate::limits::{KEPT_MAX, KEPT_PER_CHANNEL_MAX, PRESENT_MAX, RECORDS_BYTES_MAX, RECORDS_MAX};

/// See the top of this file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) records: BTreeMap<Box<str>, Record>,
    records_bytes: usize,
    /// Users by channel, and whether they look away.
    pub(super) present: BTreeMap<Box<str>, BTreeMap<Box<str>, bool>>,
    present_len: usize,
    pub(super) kept: Kept,
}

/// A value of the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// The number of the entry that set it.
    pub(super) version: u64,
    pub(super) value: Box<[u8]>,
}

/// Messages that wait for their readers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// The log's clock when each was written, and its channel.
    pub(super) messages: BTreeMap<u64, (u64, Arc<str>)>,
    channels: BTreeMap<Arc<str>, VecDeque<u64>>,
}

/// What the batches that are being written will have made of the records.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    /// The version of each record that they set; `None` where they clear it.
    records: BTreeMap<Box<str>, Option<u64>>,
    added: usize,
    added_bytes: usize,
}

impl State {
    /// Whether a record's condition holds, and there is room for it.
    pub(super) fn check(&self, entry: &Entry<'_>, overlay: &Overlay) -> Result<(), Refusal> {
        let Entry::Record { key, value, expect } = *entry else { return Ok(()) };
        let own = || self.records.get(key).map(|record| record.version);
        let version = overlay.records.get(key).copied().unwrap_or_else(own).unwrap_or(0);
        let is_expected = match expect {
            Expect::Any => true,
            Expect::Absent => version == 0,
            Expect::Version(seq) => version == seq,
        };
        if !is_expected {
            return Err(Refusal::Conflict(version));
        }
        let Some(value) = value else { return Ok(()) };
        let bytes = self.records_bytes + overlay.added_bytes + key.len() + value.len();
        let len = self.records.len() + overlay.added + usize::from(version == 0);
        if bytes > RECORDS_BYTES_MAX || len > RECORDS_MAX { Err(Refusal::TooManyRecords) } else { Ok(()) }
    }

    /// Takes in an entry. It can't fail.
    pub(super) fn apply(&mut self, seq: u64, clock: u64, entry: &Entry<'_>) {
        match *entry {
            Entry::Message { channel, is_kept: true, .. } => self.kept.add(seq, clock, channel),
            Entry::Presence { channel, user, what } => self.appear(channel, user, what),
            Entry::Record { key, value, .. } => self.set(key, value, seq),
            Entry::Clear { channel } => self.kept.clear(channel),
            Entry::Message { .. } | Entry::Redaction { .. } | Entry::Blob { .. } | Entry::Hole => {}
        }
    }

    pub(super) fn set(&mut self, key: &str, value: Option<&[u8]>, version: u64) {
        let old = match value {
            Some(value) => {
                self.records_bytes += key.len() + value.len();
                self.records.insert(key.into(), Record { version, value: value.into() })
            }
            None => self.records.remove(key),
        };
        self.records_bytes -= old.map_or(0, |old| key.len() + old.value.len());
    }

    pub(super) fn appear(&mut self, channel: &str, user: &str, what: Presence) {
        if what == Presence::Leave {
            let Some(users) = self.present.get_mut(channel) else { return };
            self.present_len -= usize::from(users.remove(user).is_some());
            if users.is_empty() {
                self.present.remove(channel);
            }
            return;
        }
        let is_away = what == Presence::Away;
        if let Some(is_known_away) = self.present.get_mut(channel).and_then(|users| users.get_mut(user)) {
            *is_known_away = is_away;
        } else if self.present_len < PRESENT_MAX {
            self.present.entry(channel.into()).or_default().insert(user.into(), is_away);
            self.present_len += 1;
        }
    }
}

impl Kept {
    /// A message waits from now on.
    pub(super) fn add(&mut self, seq: u64, clock: u64, channel: &str) {
        let name =
            self.channels.get_key_value(channel).map_or_else(|| channel.into(), |(name, _)| name.clone());
        let seqs = self.channels.entry(name.clone()).or_default();
        if seqs.len() >= KEPT_PER_CHANNEL_MAX || self.messages.len() >= KEPT_MAX {
            let Some(oldest) = seqs.pop_front() else { return };
            self.messages.remove(&oldest);
        }
        seqs.push_back(seq);
        self.messages.insert(seq, (clock, name));
    }

    /// No message of that channel waits any more.
    pub(super) fn clear(&mut self, channel: &str) {
        for seq in self.channels.remove(channel).unwrap_or_default() {
            self.messages.remove(&seq);
        }
    }

    /// Forgets those that were written before that time.
    pub(super) fn expire(&mut self, before: u64) {
        while let Some(oldest) = self.messages.first_entry() {
            if oldest.get().0 >= before {
                break;
            }
            let (seq, (_, name)) = oldest.remove_entry();
            let Some(seqs) = self.channels.get_mut(&name) else { continue };
            seqs.retain(|other| *other != seq);
            if seqs.is_empty() {
                self.channels.remove(&name);
            }
        }
    }

    /// Whether one with a number from `first` to `last` waits.
    pub(super) fn any(&self, first: u64, last: u64) -> bool {
        self.messages.range(first..=last).next().is_some()
    }
}

impl Overlay {
    /// Takes note of an entry whose check it has passed.
    pub(super) fn add(&mut self, seq: u64, entry: &Entry<'_>) {
        let Entry::Record { key, value, .. } = *entry else { return };
        self.records.insert(key.into(), value.map(|_| seq));
        if let Some(value) = value {
            self.added += 1;
            self.added_bytes += key.len() + value.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set<'a>(key: &'a str, value: Option<&'a [u8]>, expect: Expect) -> Entry<'a> {
        Entry::Record { key, value, expect }
    }

    #[test]
    fn a_record_is_what_the_last_entry_says() {
        let mut state = State::default();
        let mut overlay = Overlay::default();
        let first = set("a", Some(b"1"), Expect::Absent);
        assert_eq!(state.check(&first, &overlay), Ok(()));
        overlay.add(7, &first);
        assert_eq!(state.check(&first, &overlay), Err(Refusal::Conflict(7)), "of the same group");
        assert_eq!(state.check(&set("a", None, Expect::Version(7)), &overlay), Ok(()));
        state.apply(7, 0, &first);
        assert_eq!(state.check(&first, &Overlay::default()), Err(Refusal::Conflict(7)));
        state.apply(8, 0, &set("a", None, Expect::Any));
        assert_eq!((state.records.len(), state.records_bytes), (0, 0));
        assert_eq!(state.check(&first, &Overlay::default()), Ok(()));
    }

    #[test]
    fn records_have_their_bound() {
        let mut state = State::default();
        let value = [0; 4096];
        for n in 0..RECORDS_BYTES_MAX / 4100 {
            state.set(&format!("{n:04}"), Some(&value), n as u64);
        }
        let one_more = set("more", Some(&value), Expect::Any);
        assert_eq!(state.check(&one_more, &Overlay::default()), Err(Refusal::TooManyRecords));
        assert_eq!(state.check(&set("0001", None, Expect::Any), &Overlay::default()), Ok(()));
    }

    #[test]
    fn an_inbox_gives_up_its_oldest() {
        let mut state = State::default();
        let channel = "@ann";
        for seq in 1..=KEPT_PER_CHANNEL_MAX as u64 + 2 {
            state.kept.add(seq, seq, channel);
        }
        state.kept.add(5_000, 5_000, "@bob");
        assert!(!state.kept.any(1, 2) && state.kept.any(3, 3));
        state.kept.expire(5);
        assert!(!state.kept.any(0, 4) && state.kept.any(5, 5));
        state.apply(6_000, 0, &Entry::Clear { channel });
        assert_eq!(state.kept.messages.len(), 1);
    }

    #[test]
    fn who_is_there_is_who_came_and_did_not_leave() {
        let mut state = State::default();
        let mut apply = |user, what| state.apply(1, 1, &Entry::Presence { channel: "a", user, what });
        apply("ann", Presence::Join);
        apply("bob", Presence::Join);
        apply("ann", Presence::Away);
        apply("bob", Presence::Leave);
        apply("cid", Presence::Leave);
        let users: Vec<_> = state.present["a"].iter().map(|(user, away)| (&**user, *away)).collect();
        assert_eq!((users, state.present_len), (vec![("ann", true)], 1));
    }
}
