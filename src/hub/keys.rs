//! Idempotency keys: what makes a publish that is sent twice one message.
//!
//! It knows hashes, numbers and times; neither the text of a key nor what was published.
//!
//! A message carries the digest of its key, and its ring finds it by that. So a key lives as long as its
//! message, there is no table of keys beside the log that could fill up, and a publish that is repeated after
//! hours still gets its first answer. This file makes the digests, and keeps those of messages that were
//! evicted before their keys were old enough to be forgotten:
//!
//! ```text
//!   publish with a key ─▶ ring  m40·d  m43  m44·d        a message and its digest
//!                          │
//!                          └ evicted ── older than `Bounds::key_kept_ms` ──▶ forgotten
//!                                    └─ younger ──▶ Keys, until it is that old; or until there are more
//!                                                   than `Bounds::keys`: then the oldest is forgotten
//! ```
//!
//! A digest is 127 bits of a keyed hash (SipHash-2-4) over channel, scope and key, so a long key costs no
//! more than a short one, and no comparison of text is needed: among a million kept keys the odds that a new
//! one meets another's digest are 2^-107, and the hash's secret, drawn at start, keeps anyone from looking
//! for one.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::Hasher;
use std::num::NonZeroU64;

use siphasher::sip128::{Hasher128, SipHasher24};

use super::Bounds;

/// What names one publish, however often it is sent.
#[derive(Clone, Copy, Debug)]
pub struct Once<'a> {
    /// Whose key it is: a nick, a client, a back end. Two authors that both count from 1 must not meet.
    pub scope: &'a str,
    /// The author's own name for this message.
    pub key: &'a str,
    /// A back end's. A part of the room for keys of evicted messages is kept for those, whatever clients make
    /// up.
    pub is_back_end: bool,
}

/// One part in this many of the room for keys of evicted messages is for back ends alone.
const BACK_END_SHARE: usize = 4;

/// Expired keys forgotten for each one that is kept: more than the one that is added, so that they never pile
/// up.
const EXPIRED_PER_KEY: usize = 2;

/// The hash of one key in its channel and scope. One half is never zero, so that a message without a key
/// needs no more room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Digest {
    first: NonZeroU64,
    /// Its lowest bit tells whether the key is a back end's.
    second: u64,
}

/// The key of a message that its channel no longer keeps. They order by the message's number, and so by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Evicted {
    pub(super) seq: u64,
    /// When the message was published, monotonic milliseconds.
    pub(super) kept_at: u64,
    pub(super) digest: Digest,
}

/// See the top of this file.
#[derive(Debug)]
pub(super) struct Keys {
    secret: [u8; 16],
    seqs: HashMap<Digest, u64>,
    /// The same keys, the oldest in front.
    of_clients: BinaryHeap<Reverse<Evicted>>,
    of_back_ends: BinaryHeap<Reverse<Evicted>>,
}

impl Digest {
    fn is_back_end(self) -> bool {
        self.second & 1 == 1
    }
}

impl Keys {
    /// No key yet. `secret` is drawn at random.
    pub(super) fn new(secret: [u8; 16]) -> Keys {
        let (of_clients, of_back_ends) = (BinaryHeap::new(), BinaryHeap::new());
        Keys { secret, seqs: HashMap::new(), of_clients, of_back_ends }
    }

    /// Keeps the key of a message that was evicted, if that is younger than keys are kept.
    pub(super) fn keep(&mut self, evicted: Evicted, now: u64, bounds: &Bounds) {
        self.expire(now, EXPIRED_PER_KEY, bounds);
        if is_expired(&evicted, now, bounds) {
            return;
        }
        self.seqs.insert(evicted.digest, evicted.seq);
        let is_back_end = evicted.digest.is_back_end();
        let keys = if is_back_end { &mut self.of_back_ends } else { &mut self.of_clients };
        keys.push(Reverse(evicted));
        if self.len() > bounds.keys {
            let of_clients_max = bounds.keys - bounds.keys / BACK_END_SHARE;
            self.forget_oldest(self.of_clients.len() <= of_clients_max);
        }
    }

    /// Forgets up to `budget` keys that have been kept long enough.
    pub(super) fn expire(&mut self, now: u64, budget: usize, bounds: &Bounds) {
        let is_due = |keys: &BinaryHeap<Reverse<Evicted>>| {
            keys.peek().is_some_and(|Reverse(oldest)| is_expired(oldest, now, bounds))
        };
        for _ in 0..budget {
            let of_back_end = !is_due(&self.of_clients);
            if of_back_end && !is_due(&self.of_back_ends) {
                break;
            }
            self.forget_oldest(of_back_end);
        }
    }

    fn forget_oldest(&mut self, of_back_end: bool) {
        let keys = if of_back_end { &mut self.of_back_ends } else { &mut self.of_clients };
        if let Some(Reverse(oldest)) = keys.pop() {
            self.seqs.remove(&oldest.digest);
        }
        // What a flood has left behind is given back, in steps that halve it.
        if keys.len() < keys.capacity() / 4 {
            keys.shrink_to(keys.len() * 2);
        }
        if self.seqs.len() < self.seqs.capacity() / 4 {
            self.seqs.shrink_to(self.seqs.len() * 2);
        }
    }

    pub(super) fn digest(&self, channel: &str, once: Once<'_>) -> Digest {
        let mut hash = SipHasher24::new_with_key(&self.secret);
        for text in [channel, once.scope, once.key] {
            // Each behind its length, so that no two lists of texts are the same bytes.
            hash.write_u64(text.len() as u64);
            hash.write(text.as_bytes());
        }
        let hash = hash.finish128();
        Digest {
            first: NonZeroU64::new(hash.h1).unwrap_or(NonZeroU64::MIN),
            second: hash.h2 & !1 | u64::from(once.is_back_end),
        }
    }

    /// The number of the evicted message that had this key.
    pub(super) fn remembered(&self, digest: Digest) -> Option<u64> {
        self.seqs.get(&digest).copied()
    }

    /// Bytes that it holds.
    pub(super) fn held(&self) -> usize {
        let heaps = self.of_clients.capacity() + self.of_back_ends.capacity();
        index_held(&self.seqs) + heaps * size_of::<Evicted>()
    }

    /// How many keys of evicted messages are kept.
    fn len(&self) -> usize {
        self.of_clients.len() + self.of_back_ends.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Panics unless every key is found, once, and within the bound.
    pub(super) fn audit(&self, bounds: &Bounds) {
        assert!(self.len() <= bounds.keys);
        assert_eq!(self.seqs.len(), self.len());
        for (keys, of_back_ends) in [(&self.of_clients, false), (&self.of_back_ends, true)] {
            for Reverse(key) in keys {
                assert_eq!(self.seqs.get(&key.digest), Some(&key.seq));
                assert_eq!(key.digest.is_back_end(), of_back_ends);
            }
        }
    }
}

/// Bytes of an index of keys: a hash map has one byte beside each of its places, and is never fuller than
/// seven eighths.
pub(super) fn index_held(index: &HashMap<Digest, u64>) -> usize {
    index.capacity() * (size_of::<(Digest, u64)>() + 1) * 8 / 7
}

fn is_expired(key: &Evicted, now: u64, bounds: &Bounds) -> bool {
    key.kept_at.saturating_add(bounds.key_kept_ms) < now
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::EVICTED_KEY_BYTES;

    fn evicted(keys: &Keys, seq: u64, is_back_end: bool) -> Evicted {
        let digest = keys.digest("a", Once { scope: "", key: &seq.to_string(), is_back_end });
        Evicted { seq, kept_at: seq * 100, digest }
    }

    fn kept(keys: &Keys, seqs: impl IntoIterator<Item = u64>, is_back_end: bool) -> Vec<u64> {
        let digest = |seq: &u64| evicted(keys, *seq, is_back_end).digest;
        seqs.into_iter().filter(|seq| keys.remembered(digest(seq)) == Some(*seq)).collect()
    }

    #[test]
    fn clients_leave_room_for_back_ends_and_the_oldest_is_forgotten() {
        let bounds = Bounds { keys: 8, ..Bounds::default() };
        let mut keys = Keys::new([1; 16]);
        for seq in 1..=8 {
            keys.keep(evicted(&keys, seq, true), 0, &bounds);
        }
        for seq in [15, 14, 13, 12, 11, 16, 17, 18] {
            keys.keep(evicted(&keys, seq, false), 0, &bounds);
            keys.audit(&bounds);
        }
        assert_eq!(kept(&keys, 1..=8, true), [7, 8], "a quarter stays");
        assert_eq!(kept(&keys, 11..=18, false), [13, 14, 15, 16, 17, 18]);
    }

    #[test]
    fn digest_tells_channel_scope_and_key_apart() {
        let keys = Keys::new([1; 16]);
        let digest = |ch, scope, key| keys.digest(ch, Once { scope, key, is_back_end: false });
        let one = digest("ab", "c", "d");
        assert_eq!(one, digest("ab", "c", "d"));
        assert_ne!(one, digest("a", "bc", "d"));
        assert_ne!(one, digest("ab", "cd", ""));
        assert_ne!(one, Keys::new([2; 16]).digest("ab", Once { scope: "c", key: "d", is_back_end: false }));
    }

    #[test]
    fn key_is_kept_for_all_of_its_time() {
        let bounds = Bounds { key_kept_ms: 300, ..Bounds::default() };
        let mut keys = Keys::new([1; 16]);
        let key = Evicted { seq: 42, kept_at: 1000, ..evicted(&keys, 0, false) };
        keys.keep(key, 1200, &bounds);
        keys.expire(1300, 9, &bounds);
        assert_eq!(keys.remembered(key.digest), Some(42));
        keys.expire(1301, 9, &bounds);
        assert_eq!(keys.remembered(key.digest), None);
        keys.keep(key, 1301, &bounds);
        assert!(keys.is_empty(), "it is old enough already");
    }

    #[test]
    fn memory_of_a_flood_is_bounded_and_given_back() {
        const KEYS: u64 = 4_097;
        let bounds = Bounds { keys: KEYS as usize, key_kept_ms: 1, ..Bounds::default() };
        let mut keys = Keys::new([1; 16]);
        let mut most = 0;
        for seq in 1..=3 * KEYS {
            keys.keep(evicted(&keys, seq, seq % 2 == 0), 0, &bounds);
            most = most.max(keys.held());
        }
        assert!(most <= KEYS as usize * EVICTED_KEY_BYTES, "{} bytes a key", most / KEYS as usize);
        keys.expire(u64::MAX, usize::MAX, &bounds);
        assert!(keys.is_empty() && keys.held() < 1024, "{}", keys.held());
    }
}
