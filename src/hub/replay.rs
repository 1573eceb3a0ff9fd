//! Replay: what a reader is to be told next, over all its channels, in the order of the log.
//!
//! It knows positions and rings, not why a reader stands where it does: a stream that is in step, a slow
//! one and a poller who was away for an hour all read through the same function.
//!
//! ```text
//!   lobby   ──── 12 ────────── 40 ── 41          positions  lobby 12, news 17
//!   news    ─────────── 17 ⋯ gap 33 ── 52        still to take: gap 33, 40, 41, 52
//!                        ▲                       cursor: 32
//! ```
//!
//! **The cursor.** A reader's channels each have their own position, and the news channel of the picture
//! may stand at 17 while the lobby was told up to 900; a cursor of 17 would tell the lobby twice. But what
//! was taken was taken in the order of the log. So everything below the *first number still to be told* has
//! been told, whatever the channel, and the cursor is the number before that one. With nothing left to tell
//! it is the head of the log. Who comes back with it loses nothing; and if its channels were all started
//! from one cursor, nothing comes twice. (A channel that was started further back than the others has older
//! things to tell, and until they are told the cursor lies before them.)
//!
//! **The gap.** A position below the floor of its channel has missed messages. The gap stands in the order
//! at the floor, where the last of them stood, is told once, and moves the position there.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;

use slab::Slab;

use super::channel::Channel;
use super::message::Message;
use super::reader::Subscription;
use super::{ChannelId, Hub, ReaderId};
use crate::defect::Defect;
use crate::limits::ITEM_COST;
use crate::work;

/// Bytes a gap is counted for, about what its object will be on a wire.
const GAP_BYTES: usize = 96;

/// One thing a reader is told.
#[derive(Clone, Debug)]
pub enum Item {
    /// The next message or presence.
    Message(Rc<Message>),
    /// Messages of the channel up to and with `seq` are missing.
    Gap {
        /// Where they are missing.
        channel: ChannelId,
        /// The newest of them, and the cursor after the gap.
        seq: u64,
    },
}

/// The next thing of one channel in a merge. Ordered by number; two gaps may share one, and then the
/// subscription decides.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Next {
    seq: u64,
    /// Which of the reader's subscriptions.
    place: usize,
    /// The entry in the channel's ring; None for a gap.
    index: Option<usize>,
}

/// The heap of a merge, kept by the hub between merges for its memory.
pub(super) type Merge = BinaryHeap<Reverse<Next>>;

impl Hub {
    /// Whether the channel `name` has lost messages after the number `seq`.
    #[must_use]
    pub fn has_lost_since(&self, name: &str, seq: u64) -> bool {
        let channel = self.slot_of(name).map(|id| self.channels[id].ring.floor());
        channel.unwrap_or_else(|| self.tombs.floor_of(name)) > seq
    }

    /// Appends to `out` what the reader is to be told next, at least one item if there is any, until their
    /// JSON is `bytes_max` long or a little over. Whether more is left. If nothing is, all the reader's
    /// positions are at the head of the log.
    pub fn take(&mut self, reader: ReaderId, bytes_max: usize, out: &mut Vec<Item>) -> bool {
        work::spend(ITEM_COST * self.readers[reader.index()].subscriptions.as_slice().len() as u64);
        // The first item is always below a bound of one.
        let bytes_max = bytes_max.max(1);
        let list = self.readers[reader.index()].subscriptions.as_mut_slice();
        let more = match list {
            [] => false,
            [only] => take_one(&self.channels, only, bytes_max, out),
            _ => take_merged(&self.channels, list, &mut self.merge, bytes_max, out),
        };
        if !more {
            for subscription in list {
                subscription.position = self.log.head();
            }
        }
        more
    }

    /// Whether anything is left to take.
    #[must_use]
    pub fn is_behind(&self, reader: ReaderId) -> bool {
        let list = self.reader(reader).subscriptions.as_slice();
        let latest = |s: &Subscription| self.channels[s.channel as usize].ring.latest();
        list.iter().any(|s| s.position < latest(s))
    }

    /// The reader's cursor, as a number: see the top of this file.
    #[must_use]
    pub fn position(&self, reader: ReaderId) -> u64 {
        let list = self.reader(reader).subscriptions.as_slice();
        let ring = |s: &Subscription| &self.channels[s.channel as usize].ring;
        let next = list.iter().filter_map(|s| ring(s).next_after(s.position));
        next.min().map_or(self.log.head(), |seq| seq - 1)
    }
}

fn take_one(
    channels: &Slab<Channel>,
    only: &mut Subscription,
    bytes_max: usize,
    out: &mut Vec<Item>,
) -> bool {
    let ring = &channels[only.channel as usize].ring;
    let mut bytes = 0;
    if only.position < ring.floor() {
        bytes += take_gap(only, ring.floor(), out);
    }
    for message in ring.entries_from(ring.after(only.position)) {
        if bytes >= bytes_max {
            return true;
        }
        bytes += take_message(only, message, out);
    }
    false
}

/// A merge of sorted lists: the heap holds the next thing of every channel that has one.
fn take_merged(
    channels: &Slab<Channel>,
    list: &mut [Subscription],
    merge: &mut Merge,
    bytes_max: usize,
    out: &mut Vec<Item>,
) -> bool {
    merge.clear();
    for (place, subscription) in list.iter().enumerate() {
        let ring = &channels[subscription.channel as usize].ring;
        let position = subscription.position;
        if let Some(seq) = ring.next_after(position) {
            let index = (position >= ring.floor()).then(|| ring.after(position));
            merge.push(Reverse(Next { seq, place, index }));
        }
    }
    let mut bytes = 0;
    while let Some(Reverse(Next { seq, place, index })) = merge.pop() {
        if bytes >= bytes_max {
            return true;
        }
        let subscription = &mut list[place];
        let ring = &channels[subscription.channel as usize].ring;
        bytes += match index.and_then(|index| ring.entry(index)) {
            Some(message) => take_message(subscription, message, out),
            None => take_gap(subscription, seq, out),
        };
        // A ring begins above its floor, so after a gap comes its first entry.
        let index = index.map_or(0, |index| index + 1);
        if let Some(message) = ring.entry(index) {
            let (seq, index) = (message.seq(), Some(index));
            merge.push(Reverse(Next { seq, place, index }));
        }
    }
    false
}

fn take_gap(subscription: &mut Subscription, seq: u64, out: &mut Vec<Item>) -> usize {
    let channel = ChannelId(subscription.channel);
    subscription.position = seq;
    if !Defect::Gap.is_on() {
        out.push(Item::Gap { channel, seq });
    }
    GAP_BYTES
}

fn take_message(subscription: &mut Subscription, message: &Rc<Message>, out: &mut Vec<Item>) -> usize {
    subscription.position = message.seq();
    out.push(Item::Message(message.clone()));
    message.json().len()
}

#[cfg(test)]
mod tests {
    use super::super::{Bounds, Kind, Start};
    use super::*;

    fn hub() -> Hub {
        let bounds = Bounds { channel_messages: 3, ..Bounds::default() };
        Hub::new(1, [7; 16], bounds)
    }

    fn publish(hub: &mut Hub, names: &str) {
        for name in names.split(' ') {
            hub.publish(name, None, b"1").expect("published");
        }
    }

    /// What is taken, as text: the numbers, a gap with a minus.
    fn take(hub: &mut Hub, reader: ReaderId, bytes_max: usize) -> (Vec<i64>, bool) {
        let mut out = Vec::new();
        let more = hub.take(reader, bytes_max, &mut out);
        hub.audit();
        let number = |item: &Item| match item {
            Item::Message(message) => message.seq() as i64,
            Item::Gap { seq, .. } => -(*seq as i64),
        };
        (out.iter().map(number).collect(), more)
    }

    #[test]
    fn every_position_against_the_floor() {
        let mut hub = hub();
        publish(&mut hub, "a b a a b a a"); // a: 1 3 4 6 7, of which 4 6 7 are kept
        let expected: [&[i64]; 9] =
            [&[-3, 4, 6, 7], &[-3, 4, 6, 7], &[-3, 4, 6, 7], &[4, 6, 7], &[6, 7], &[6, 7], &[7], &[], &[]];
        for (position, expected) in expected.iter().enumerate() {
            let reader = hub.join().expect("joined");
            let start = Start::Since(position as u64);
            hub.subscribe(reader, "a", start).expect("subscribed");
            assert_eq!(hub.is_behind(reader), !expected.is_empty());
            // All at once, then one at a time with a new reader at each cursor.
            let mut at = hub.position(reader);
            assert_eq!(take(&mut hub, reader, usize::MAX), (expected.to_vec(), false));
            assert_eq!(hub.position(reader), 7);
            for (left, item) in expected.iter().enumerate() {
                let resumed = hub.join().expect("joined");
                hub.subscribe(resumed, "a", Start::Since(at)).expect("subscribed");
                let more = left + 1 < expected.len();
                assert_eq!(take(&mut hub, resumed, 0), (vec![*item], more));
                at = hub.position(resumed);
            }
        }
    }

    #[test]
    fn a_channel_has_lost_what_lies_below_its_floor() {
        let mut hub = hub();
        publish(&mut hub, "a b a a b a a"); // a: 1 3 4 6 7, of which 4 6 7 are kept
        for (seq, is_lost) in [(0, true), (2, true), (3, false), (7, false), (9, false)] {
            assert_eq!(hub.has_lost_since("a", seq), is_lost, "{seq}");
            assert!(!hub.has_lost_since("b", seq) && !hub.has_lost_since("never", seq), "{seq}");
        }
        hub.clear("a");
        hub.sweep(100);
        assert!(hub.find("a").is_none(), "it has ended");
        for (seq, is_lost) in [(6, true), (7, false)] {
            assert_eq!(hub.has_lost_since("a", seq), is_lost, "{seq}: and is remembered");
        }
    }

    #[test]
    fn merge_is_in_the_order_of_the_log() {
        let mut hub = hub();
        let reader = hub.join().expect("joined");
        for name in ["a", "b", "c"] {
            hub.subscribe(reader, name, Start::Now).expect("subscribed");
        }
        publish(&mut hub, "a c b b b b b a"); // b: 3 4 5 6 7, of which 5 6 7 are kept
        assert_eq!(hub.position(reader), 0);
        assert_eq!(take(&mut hub, reader, 0), (vec![1], true));
        assert_eq!(hub.position(reader), 1);
        assert_eq!(take(&mut hub, reader, 0), (vec![2], true));
        assert_eq!(hub.position(reader), 3, "the first thing left is the gap at 4");
        assert_eq!(take(&mut hub, reader, usize::MAX), (vec![-4, 5, 6, 7, 8], false));
        publish(&mut hub, "x");
        assert_eq!(hub.position(reader), 9, "nothing left: the head");
    }

    #[test]
    fn cursor_of_channels_far_apart_doubles_nothing() {
        let mut hub = hub();
        let reader = hub.join().expect("joined");
        hub.subscribe(reader, "busy", Start::Now).expect("subscribed");
        hub.subscribe(reader, "quiet", Start::Now).expect("subscribed");
        publish(&mut hub, "quiet busy busy quiet busy");
        assert_eq!(take(&mut hub, reader, 200), (vec![1, 2, 3], true));
        // `quiet` stands at 1, and yet 2 and 3 must not come again.
        let at = hub.position(reader);
        let resumed = hub.join().expect("joined");
        hub.subscribe(resumed, "quiet", Start::Since(at)).expect("subscribed");
        hub.subscribe(resumed, "busy", Start::Since(at)).expect("subscribed");
        assert_eq!(take(&mut hub, resumed, usize::MAX), (vec![4, 5], false));
    }

    #[test]
    fn start_last_counts_messages_and_has_no_gap() {
        let mut hub = hub();
        let ann = hub.join().expect("joined");
        hub.name(ann, Some("ann".into()));
        publish(&mut hub, "a a a a"); // 2 3 4 kept
        hub.subscribe(ann, "a", Start::Now).expect("subscribed"); // 5 is a presence
        for (n, expected) in [(0, vec![]), (1, vec![4, 5]), (2, vec![3, 4, 5]), (9, vec![2, 3, 4, 5])] {
            let reader = hub.join().expect("joined");
            hub.subscribe(reader, "a", Start::Last(n)).expect("subscribed");
            assert_eq!(take(&mut hub, reader, usize::MAX), (expected, false), "last {n}");
            hub.leave(reader);
        }
        assert_eq!(hub.history("a", None, 9).len(), 3);
        assert!(hub.history("a", None, 9).iter().all(|m| m.kind() == Kind::Message));
    }

    #[test]
    fn since_beyond_the_head_reads_from_the_head() {
        let mut hub = hub();
        let reader = hub.join().expect("joined");
        hub.subscribe(reader, "a", Start::Since(1_000_000)).expect("subscribed");
        publish(&mut hub, "a");
        assert_eq!(take(&mut hub, reader, usize::MAX), (vec![1], false));
        hub.seek(reader, Start::Since(0));
        assert_eq!(take(&mut hub, reader, usize::MAX), (vec![1], false));
        hub.subscribe(reader, "a", Start::Since(0)).expect("moved");
        assert_eq!(take(&mut hub, reader, usize::MAX), (vec![1], false));
        assert_eq!(hub.subscriptions(reader).count(), 1);
    }
}
