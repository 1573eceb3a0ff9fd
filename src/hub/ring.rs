//! The ring of a channel: its latest entries in order, within bounds of count, bytes and age.
//!
//! It knows no readers; a reader is a position, and the ring tells what lies after it.
//!
//! ```text
//!         evicted         │        kept
//!   … m12  m15  m19 · m31 │ m40  p44  m52  p53  m60
//!                      ▲  │  ▲                   ▲
//!                   floor │ front             latest      (m message, p presence)
//! ```
//!
//! The floor is the newest *message* that is gone. A position at or above it has missed nothing; one below
//! has missed at least the floor itself, so a gap told there is never a false one. Presences stand in the
//! same order but in an account of their own: they push no message out and leave no gap behind.
//!
//! A message that was published under a key is found by the key's digest as long as it is kept; when it is
//! evicted, its key goes to whoever changes the ring, which may have to keep it for longer.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use super::Bounds;
use super::keys::{Digest, Evicted, index_held};
use super::message::{Kind, Message};
use crate::limits::{FRESH_MESSAGES_MAX, FRESH_MS};

/// How many entries of one kind, and the bytes they count for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) count: usize,
    pub(super) bytes: usize,
}

/// See the top of this file.
#[derive(Debug)]
pub(super) struct Ring {
    entries: VecDeque<Rc<Message>>,
    /// The numbers of the messages kept that have a key.
    keyed: HashMap<Digest, u64>,
    /// The keys of messages evicted since `take_evicted` was called last.
    evicted: Vec<Evicted>,
    floor: u64,
    messages: Tally,
    presences: Tally,
}

impl Ring {
    pub(super) fn new(floor: u64) -> Ring {
        Ring {
            entries: VecDeque::new(),
            keyed: HashMap::new(),
            evicted: Vec::new(),
            floor,
            messages: Tally::default(),
            presences: Tally::default(),
        }
    }

    /// Appends the newest entry and evicts what is over a bound. The newest message stays, whatever its
    /// length: a publish that evicts itself would be a gap for everybody.
    pub(super) fn push(&mut self, message: Rc<Message>, bounds: &Bounds) {
        debug_assert!(self.latest() < message.seq());
        self.tally(message.kind()).add(message.bytes());
        if let Some(digest) = message.digest() {
            self.keyed.insert(digest, message.seq());
        }
        self.entries.push_back(message);
        if let Some(aged) = self.entries.len().checked_sub(1 + FRESH_MESSAGES_MAX) {
            self.entries[aged].grow_stale();
        }
        while self.messages.count > bounds.channel_messages
            || (self.messages.bytes > bounds.channel_bytes && self.messages.count > 1)
        {
            self.evict_front();
        }
        if self.presences.count > bounds.presences_kept {
            self.drop_oldest_presence();
        }
        self.expire(bounds, self.entries.back().map_or(0, |m| m.kept_at()));
    }

    /// Puts other data into the message `seq`, in its place. Whether it is kept. Like a publish, longer data
    /// may push the oldest messages out.
    pub(super) fn redact(&mut self, seq: u64, data: &[u8], bounds: &Bounds) -> bool {
        let index = self.entries.partition_point(|m| m.seq() < seq);
        let Some(old) = self.entries.get(index).filter(|m| m.seq() == seq && m.kind() == Kind::Message)
        else {
            return false;
        };
        let new = Rc::new(old.redacted(data));
        self.messages.remove(old.bytes());
        self.messages.add(new.bytes());
        self.entries[index] = new;
        while self.messages.bytes > bounds.channel_bytes && self.messages.count > 1 {
            self.evict_front();
        }
        true
    }

    /// Evicts what is older than the bound at `now` (monotonic milliseconds).
    pub(super) fn expire(&mut self, bounds: &Bounds, now: u64) {
        while let Some(front) = self.entries.front() {
            if now.saturating_sub(front.kept_at()) <= bounds.message_kept_ms {
                break;
            }
            self.evict_front();
        }
        for message in self.entries.iter().rev().take_while(|message| !message.is_stale()) {
            if now.saturating_sub(message.kept_at()) > FRESH_MS {
                message.grow_stale();
            }
        }
        self.release();
    }

    /// Evicts the oldest eighth of the messages, one at least, but never one of the newest `spared`; then
    /// the presences, if only they are left. Whether anything went.
    pub(super) fn shed(&mut self, spared: usize) -> bool {
        let before = self.entries.len();
        let share = self.messages.count.div_ceil(8);
        let left = (self.messages.count - share).max(spared.min(self.messages.count));
        while self.messages.count > left {
            self.evict_front();
        }
        if left == 0 {
            self.clear();
        }
        if self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
        if self.keyed.len() < self.keyed.capacity() / 4 {
            self.keyed.shrink_to(self.keyed.len() * 2);
        }
        self.entries.len() < before
    }

    /// Evicts everything.
    pub(super) fn clear(&mut self) {
        while !self.entries.is_empty() {
            self.evict_front();
        }
        self.release();
    }

    fn evict_front(&mut self) {
        if let Some(gone) = self.entries.pop_front() {
            self.tally(gone.kind()).remove(gone.bytes());
            if gone.kind() == Kind::Message {
                self.floor = gone.seq();
            }
            if let Some(digest) = gone.digest() {
                self.keyed.remove(&digest);
                self.evicted.push(Evicted { seq: gone.seq(), kept_at: gone.kept_at(), digest });
            }
        }
    }

    /// The keys of messages that were evicted since the last call.
    pub(super) fn take_evicted(&mut self) -> Vec<Evicted> {
        std::mem::take(&mut self.evicted)
    }

    /// From the middle of the ring, without a trace: see the top of this file. Linear in the ring, which is
    /// bounded, and rare beside publishing.
    fn drop_oldest_presence(&mut self) {
        let oldest = |m: &Rc<Message>| m.kind() == Kind::Presence;
        if let Some(index) = self.entries.iter().position(oldest)
            && let Some(gone) = self.entries.remove(index)
        {
            self.presences.remove(gone.bytes());
        }
    }

    /// An empty ring owns no memory: most channels are quiet most of the time.
    fn release(&mut self) {
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
            self.keyed = HashMap::new();
        }
    }

    fn tally(&mut self, kind: Kind) -> &mut Tally {
        match kind {
            Kind::Message => &mut self.messages,
            Kind::Presence => &mut self.presences,
        }
    }

    /// The newest message that is gone, 0 if none is.
    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    /// A position from here on has everything: the newest entry, or the floor when nothing is kept.
    pub(super) fn latest(&self) -> u64 {
        self.entries.back().map_or(self.floor, |m| m.seq())
    }

    /// The index of the first entry after `position`; `len` if there is none.
    pub(super) fn after(&self, position: u64) -> usize {
        // Nearly every call is for a reader that has all, or all but the newest.
        let len = self.entries.len();
        if self.latest() <= position {
            return len;
        }
        if len >= 2 && self.entries[len - 2].seq() <= position {
            return len - 1;
        }
        self.entries.partition_point(|m| m.seq() <= position)
    }

    /// The number of the first thing a reader at `position` is still to be told: a gap stands at the floor.
    pub(super) fn next_after(&self, position: u64) -> Option<u64> {
        if position < self.floor {
            return Some(self.floor);
        }
        self.entries.get(self.after(position)).map(|m| m.seq())
    }

    /// The position just before the `n`-th latest message, or before the oldest kept if there are fewer.
    /// None for no message at all.
    pub(super) fn before_last(&self, n: u32) -> Option<u64> {
        let messages = self.entries.iter().rev();
        let messages = messages.filter(|m| m.kind() == Kind::Message);
        messages.take(n as usize).last().map(|m| m.seq() - 1)
    }

    /// The latest `limit` messages numbered below `before`, oldest first.
    pub(super) fn history(&self, before: u64, limit: usize) -> Vec<Rc<Message>> {
        let end = self.entries.partition_point(|m| m.seq() < before);
        let messages = self.entries.range(..end).rev();
        let messages = messages.filter(|m| m.kind() == Kind::Message);
        let mut latest: Vec<_> = messages.take(limit).cloned().collect();
        latest.reverse();
        latest
    }

    /// The number of the message that is kept and was published under this key.
    pub(super) fn keyed(&self, digest: Digest) -> Option<u64> {
        self.keyed.get(&digest).copied()
    }

    pub(super) fn entry(&self, index: usize) -> Option<&Rc<Message>> {
        self.entries.get(index)
    }

    /// The entries from `index` on.
    pub(super) fn entries_from(&self, index: usize) -> impl Iterator<Item = &Rc<Message>> {
        self.entries.range(index.min(self.entries.len())..)
    }

    /// Entries of both kinds.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn messages(&self) -> usize {
        self.messages.count
    }

    /// What all that is kept counts for.
    pub(super) fn bytes(&self) -> usize {
        self.messages.bytes + self.presences.bytes
    }

    /// Bytes of the ring itself, without what is kept in it.
    pub(super) fn held(&self) -> usize {
        self.entries.capacity() * size_of::<Rc<Message>>() + index_held(&self.keyed)
    }

    /// Panics unless the order, the accounts and the bounds hold.
    pub(super) fn audit(&self, bounds: &Bounds) {
        let (mut messages, mut presences) = (Tally::default(), Tally::default());
        let (mut seq, mut kept_at, mut keyed) = (self.floor, 0, 0);
        for entry in &self.entries {
            assert!(seq < entry.seq(), "a ring ascends from its floor");
            assert!(kept_at <= entry.kept_at(), "a ring ages from its front");
            (seq, kept_at) = (entry.seq(), entry.kept_at());
            if let Some(digest) = entry.digest() {
                assert_eq!(self.keyed(digest), Some(seq), "a message is found by its key");
                keyed += 1;
            }
            match entry.kind() {
                Kind::Message => messages.add(entry.bytes()),
                Kind::Presence => presences.add(entry.bytes()),
            }
        }
        assert_eq!(keyed, self.keyed.len(), "the index has what is kept, and no more");
        assert!(self.evicted.is_empty(), "the keys of evicted messages were taken");
        assert_eq!(messages, self.messages, "the account of messages");
        assert_eq!(presences, self.presences, "the account of presences");
        assert!(messages.count <= bounds.channel_messages);
        assert!(messages.count <= 1 || messages.bytes <= bounds.channel_bytes);
        assert!(presences.count <= bounds.presences_kept);
    }
}

impl Tally {
    fn add(&mut self, bytes: usize) {
        self.count += 1;
        self.bytes += bytes;
    }

    fn remove(&mut self, bytes: usize) {
        self.count -= 1;
        self.bytes -= bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::super::log::Cursor;
    use super::super::message::{PresenceEvent, Stamp};
    use super::*;

    fn stamp(seq: u64) -> Stamp {
        Stamp { cursor: Cursor { epoch: 1, seq }, kept_at: seq * 10, wall: 0 }
    }

    fn message(seq: u64) -> Rc<Message> {
        Rc::new(Message::published(stamp(seq), "a", None, b"1".into()))
    }

    fn presence(seq: u64) -> Rc<Message> {
        let event = PresenceEvent::Join;
        Rc::new(Message::presence(stamp(seq), "a", event, "ann", 1))
    }

    fn bounds() -> Bounds {
        Bounds { channel_messages: 3, presences_kept: 2, message_kept_ms: 100, ..Bounds::default() }
    }

    fn seqs(ring: &Ring) -> Vec<u64> {
        ring.entries_from(0).map(|m| m.seq()).collect()
    }

    #[test]
    fn count_evicts_messages_and_raises_the_floor() {
        let mut ring = Ring::new(0);
        for seq in [2, 4, 5] {
            ring.push(message(seq), &bounds());
        }
        assert_eq!((ring.floor(), ring.latest()), (0, 5));
        ring.push(message(7), &bounds());
        assert_eq!((seqs(&ring), ring.floor()), (vec![4, 5, 7], 2));
        assert_eq!(ring.next_after(1), Some(2));
        assert_eq!(ring.next_after(2), Some(4));
        assert_eq!(ring.next_after(5), Some(7));
        assert_eq!(ring.next_after(7), None);
        ring.audit(&bounds());
    }

    #[test]
    fn presences_cost_no_message_and_no_gap() {
        let mut ring = Ring::new(0);
        ring.push(message(1), &bounds());
        for seq in 2..=9 {
            ring.push(presence(seq), &bounds());
        }
        assert_eq!((seqs(&ring), ring.floor()), (vec![1, 8, 9], 0));
        assert_eq!(ring.messages(), 1);
        ring.audit(&bounds());
        ring.clear();
        assert_eq!((ring.floor(), ring.latest(), ring.bytes()), (1, 1, 0));
    }

    #[test]
    fn bytes_keep_the_newest_message() {
        let tight = Bounds { channel_bytes: 1, ..bounds() };
        let mut ring = Ring::new(0);
        ring.push(message(1), &tight);
        ring.push(message(2), &tight);
        assert_eq!((seqs(&ring), ring.floor()), (vec![2], 1));
        ring.audit(&tight);
    }

    #[test]
    fn redaction_keeps_the_place_and_the_account() {
        let mut ring = Ring::new(0);
        for seq in [1, 3] {
            ring.push(message(seq), &bounds());
            ring.push(presence(seq + 1), &bounds());
        }
        assert!(!ring.redact(2, b"0", &bounds()), "a presence is nobody's to take back");
        assert!(!ring.redact(9, b"0", &bounds()));
        assert!(ring.redact(1, b"\"longer than it was\"", &bounds()));
        assert_eq!((seqs(&ring), ring.floor()), (vec![1, 2, 3, 4], 0));
        ring.audit(&bounds());
        let tight = Bounds { channel_bytes: ring.messages.bytes, ..bounds() };
        assert!(ring.redact(3, b"\"longer too\"", &tight));
        assert_eq!((seqs(&ring), ring.floor()), (vec![2, 3, 4], 1), "as a publish of that length would");
        ring.audit(&tight);
    }

    #[test]
    fn age_evicts_at_a_push_and_when_told() {
        let mut ring = Ring::new(0);
        ring.push(message(1), &bounds());
        ring.push(message(12), &bounds());
        assert_eq!((seqs(&ring), ring.floor()), (vec![12], 1));
        ring.expire(&bounds(), 220);
        assert_eq!(ring.len(), 1);
        ring.expire(&bounds(), 221);
        assert_eq!((ring.len(), ring.floor()), (0, 12));
    }

    #[test]
    fn last_and_history_count_messages_only() {
        let mut ring = Ring::new(0);
        for seq in [1, 3, 6] {
            ring.push(message(seq), &bounds());
            ring.push(presence(seq + 1), &bounds());
        }
        assert_eq!(ring.before_last(0), None);
        assert_eq!(ring.before_last(2), Some(2));
        assert_eq!(ring.before_last(9), Some(0));
        let seqs = |before, limit| -> Vec<u64> {
            let history = ring.history(before, limit);
            history.iter().map(|m| m.seq()).collect()
        };
        assert_eq!(seqs(u64::MAX, 2), [3, 6]);
        assert_eq!(seqs(6, 9), [1, 3]);
        assert!(seqs(1, 9).is_empty());
    }

    #[test]
    fn shed_spares_the_newest() {
        let mut ring = Ring::new(0);
        ring.push(message(1), &bounds());
        ring.push(presence(2), &bounds());
        assert!(!ring.shed(1));
        assert!(ring.shed(0));
        assert_eq!((ring.len(), ring.floor()), (0, 1));
        assert!(!ring.shed(0));
    }
    #[test]
    fn so_many_messages_keep_their_images() {
        let bounds = Bounds::default();
        let mut ring = Ring::new(0);
        for seq in 1..=FRESH_MESSAGES_MAX as u64 {
            ring.push(message(seq), &bounds);
        }
        assert!(ring.entries.iter().all(|message| !message.is_stale()));
        ring.push(message(1_000), &bounds);
        let stale: Vec<bool> = ring.entries.iter().map(|message| message.is_stale()).collect();
        assert!(stale[0] && stale[1..].iter().all(|is_stale| !is_stale), "the oldest lets go");
        assert_eq!(stale.len(), FRESH_MESSAGES_MAX + 1);
    }
}
