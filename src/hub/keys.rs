//! Idempotency keys: what makes a publish that is sent twice one message.
//!
//! It knows hashes, numbers and times; neither the text of a key nor what was published.
//!
//! A key is kept as 128 bits of a keyed hash over channel, scope and key, so a long key costs no more than
//! a short one, and no comparison of text is needed: among 131,072 kept keys the odds that a new one meets
//! another's hash are 2^-111, and the hash's secret, drawn at start, keeps anyone from looking for one.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

use super::Bounds;

/// What names one publish, however often it is sent.
#[derive(Clone, Copy, Debug)]
pub struct Once<'a> {
    /// Whose key it is: a nick, a client, a back end. Two authors that both count from 1 must not meet.
    pub scope: &'a str,
    /// The author's own name for this message.
    pub key: &'a str,
    /// A back end's. A part of the room is kept for those, whatever clients make up.
    pub is_back_end: bool,
}

/// One part in this many of the room for keys is for back ends alone.
const BACK_END_SHARE: usize = 4;

/// The hash of one key in its channel and scope.
pub(super) type Digest = u128;

/// See the top of this file.
#[derive(Debug, Default)]
pub(super) struct Keys {
    secret: RandomState,
    seqs: HashMap<Digest, u64>,
    /// Oldest first: when each may be forgotten, monotonic milliseconds.
    expiries: VecDeque<(u64, Digest)>,
}

impl Keys {
    pub(super) fn remember(&mut self, digest: Digest, seq: u64, now: u64, bounds: &Bounds) {
        debug_assert!(self.expiries.len() < bounds.keys);
        let before = self.seqs.insert(digest, seq);
        debug_assert!(before.is_none());
        let expiry = now.saturating_add(bounds.key_kept_ms);
        self.expiries.push_back((expiry, digest));
    }

    /// Forgets up to `budget` keys that have been kept long enough.
    pub(super) fn expire(&mut self, now: u64, budget: usize) {
        for _ in 0..budget {
            match self.expiries.front() {
                Some(&(expiry, digest)) if expiry < now => {
                    self.expiries.pop_front();
                    self.seqs.remove(&digest);
                }
                _ => break,
            }
        }
    }

    /// Each half of the digest is the same hash of the same text behind another first byte.
    pub(super) fn digest(&self, channel: &str, once: Once<'_>) -> Digest {
        let half = |first: u8| {
            let text = (first, channel, once.scope, once.key);
            u128::from(self.secret.hash_one(text))
        };
        half(0) << 64 | half(1)
    }

    pub(super) fn remembered(&self, digest: Digest) -> Option<u64> {
        // (Built with `encke_broken="key"` no key is remembered, and the simulation must notice.)
        self.seqs.get(&digest).copied().filter(|_| !cfg!(encke_broken = "key"))
    }

    /// Nothing is forgotten early to make room: that would turn a repeated publish into a second message,
    /// just when the server is busiest.
    pub(super) fn is_full(&self, bounds: &Bounds, once: Once<'_>) -> bool {
        let kept_free = if once.is_back_end { 0 } else { bounds.keys / BACK_END_SHARE };
        self.expiries.len() >= bounds.keys - kept_free
    }

    /// Bytes that it holds.
    pub(super) fn held(&self) -> usize {
        // A hash map has one byte beside each of its places, and is never fuller than seven eighths.
        let place = size_of::<(Digest, u64)>() + 1;
        self.seqs.capacity() * place * 8 / 7 + self.expiries.capacity() * size_of::<(u64, Digest)>()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.expiries.is_empty()
    }

    /// Panics unless every key has one expiry and expiries ascend.
    pub(super) fn audit(&self) {
        assert_eq!(self.seqs.len(), self.expiries.len());
        assert!(self.expiries.iter().is_sorted_by_key(|(expiry, _)| expiry));
        let known = |(_, digest): &(u64, Digest)| self.seqs.contains_key(digest);
        assert!(self.expiries.iter().all(known));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACK_END: Once<'_> = Once { scope: "", key: "", is_back_end: true };

    #[test]
    fn clients_leave_room_for_back_ends() {
        let bounds = Bounds { keys: 4, ..Bounds::default() };
        let mut keys = Keys::default();
        for digest in 0..3 {
            assert!(!keys.is_full(&bounds, Once { is_back_end: false, ..BACK_END }));
            keys.remember(digest, 1, 0, &bounds);
        }
        assert!(keys.is_full(&bounds, Once { is_back_end: false, ..BACK_END }));
        assert!(!keys.is_full(&bounds, BACK_END));
    }

    #[test]
    fn digest_tells_channel_scope_and_key_apart() {
        let keys = Keys::default();
        let digest = |ch, scope, key| keys.digest(ch, Once { scope, key, is_back_end: false });
        let one = digest("ab", "c", "d");
        assert_eq!(one, digest("ab", "c", "d"));
        assert_ne!(one, digest("a", "bc", "d"));
        assert_ne!(one, digest("ab", "cd", ""));
        assert_ne!(one >> 64, one & u128::from(u64::MAX));
    }

    #[test]
    fn key_is_kept_for_all_of_its_time() {
        let bounds = Bounds { keys: 1, key_kept_ms: 300, ..Bounds::default() };
        let mut keys = Keys::default();
        keys.remember(7, 42, 1000, &bounds);
        keys.expire(1300, 9);
        assert_eq!(keys.remembered(7), Some(42));
        assert!(keys.is_full(&bounds, BACK_END));
        keys.expire(1301, 9);
        assert_eq!(keys.remembered(7), None);
        assert!(!keys.is_full(&bounds, BACK_END));
        keys.audit();
    }
}
