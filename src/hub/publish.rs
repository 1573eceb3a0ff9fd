//! Publishing: how a message gets into a channel, how channels begin, age and end.
//!
//! It knows no readers beyond the mark it leaves for the fan-out.
//!
//! ```text
//!   publish ─▶ bounds ─▶ open ─▶ stamp ─▶ ring ─▶ mark dirty ─▶ (fanout.rs)
//!                         ▲                 │
//!                     tombstone ◀── sweep ◀─┴─ evicted by count, bytes, age, or for room in the hub
//! ```

use std::rc::Rc;

use super::channel::{Channel, is_name};
use super::keys::{Digest, Once};
use super::message::{Data, Message, Stamp};
use super::ring::Ring;
use super::{Bounds, Hub, Refusal, number};
use crate::defect::Defect;
use crate::limits::{DELIVERY_COST, EVENT_COST};
use crate::work;

/// Channels looked at to find one that nobody reads.
const UNREAD_LOOKS: usize = 256;

/// What became of a publish with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The number of the message.
    pub seq: u64,
    /// The message is an earlier one; nothing was published now.
    pub repeated: bool,
}

impl Hub {
    /// Publishes to the channel `name`, which is opened if need be. `data` is at most `Bounds::message_bytes`
    /// long.
    pub fn publish<'a>(
        &mut self,
        name: &str,
        from: Option<&str>,
        data: impl Into<Data<'a>>,
    ) -> Result<Rc<Message>, Refusal> {
        self.publish_as(name, from, None, data.into())
    }

    /// Publishes unless the same was published under the same key before. A key lives as long as its message
    /// is kept, and `Bounds::key_kept_ms` at least; of messages that were evicted earlier, `Bounds::keys`
    /// keys at most. A publish that was refused is not remembered: it may be tried again.
    pub fn publish_once<'a>(
        &mut self,
        name: &str,
        from: Option<&str>,
        once: Once<'_>,
        data: impl Into<Data<'a>>,
    ) -> Result<Published, Refusal> {
        let digest = self.keys.digest(name, once);
        if let Some(seq) = self.remembered(name, digest) {
            return Ok(Published { seq, repeated: true });
        }
        let seq = self.publish_as(name, from, Some(digest), data.into())?.seq();
        Ok(Published { seq, repeated: false })
    }

    /// The number of the message that was published under a key, if that is remembered.
    #[must_use]
    pub fn published_once(&self, name: &str, once: Once<'_>) -> Option<u64> {
        self.remembered(name, self.keys.digest(name, once))
    }

    fn remembered(&self, name: &str, digest: Digest) -> Option<u64> {
        let kept = self.slot_of(name).and_then(|id| self.channels[id].ring.keyed(digest));
        kept.or_else(|| self.keys.remembered(digest)).filter(|_| !Defect::Key.is_on())
    }

    fn publish_as(
        &mut self,
        name: &str,
        from: Option<&str>,
        digest: Option<Digest>,
        data: Data<'_>,
    ) -> Result<Rc<Message>, Refusal> {
        if data.len() > self.bounds.message_bytes {
            return Err(Refusal::MessageTooLong);
        }
        let id = self.open(name)?;
        let message = Message::published(self.stamp(), name, from, data).with_digest(digest);
        let message = Rc::new(message);
        self.put(id, message.clone());
        Ok(message)
    }

    /// Puts other data into a message that is kept, for good: who has not taken it yet, and whoever looks
    /// into the history, finds it with these. Its number, its author and its time stay. Nobody is told; who
    /// has taken it already has it as it was. Whether there is such a message. `data` is canonical JSON.
    pub fn redact(&mut self, name: &str, seq: u64, data: &[u8]) -> Result<bool, Refusal> {
        if data.len() > self.bounds.message_bytes {
            return Err(Refusal::MessageTooLong);
        }
        let Some(id) = self.slot_of(name) else { return Ok(false) };
        let redacted = self.change(id, |ring, bounds| ring.redact(seq, data, bounds));
        self.make_room(id);
        Ok(redacted)
    }

    /// Evicts all that a channel keeps. Whether there is such a channel. The keys of what was published a
    /// short time ago stay, as at any eviction: a publish repeated now must not bring back what was cleared.
    pub fn clear(&mut self, name: &str) -> bool {
        let Some(id) = self.slot_of(name) else {
            return false;
        };
        self.change(id, |ring, _| ring.clear());
        true
    }

    /// Looks at the next `budget` places for a channel, round and round over the turns: evicts what is too
    /// old, drops channels without readers and messages, and forgets up to `budget` expired keys. How many
    /// channels it dropped.
    pub fn sweep(&mut self, budget: usize) -> usize {
        let now = self.now;
        let before = self.channels.len();
        self.keys.expire(now, budget, &self.bounds);
        for _ in 0..budget.min(self.slots) {
            let id = self.turn_hand();
            if self.channels.contains(id) {
                self.change(id, |ring, bounds| ring.expire(bounds, now));
                if self.channels[id].is_idle() {
                    self.drop_channel(id);
                }
            }
        }
        before - self.channels.len()
    }

    /// The channel `name`, opened if need be.
    pub(super) fn open(&mut self, name: &str) -> Result<usize, Refusal> {
        if let Some(id) = self.slot_of(name) {
            return Ok(id);
        }
        if !is_name(name) {
            return Err(Refusal::BadChannelName);
        }
        let name: Rc<str> = name.into();
        // Lifted first: the stone of the channel that makes room may push out the oldest one.
        let own = self.tombs.lift(&name);
        let is_full = self.is_full || self.channels.len() >= self.bounds.channels;
        if is_full && !self.drop_unread() {
            if let Some(floor) = own {
                self.tombs.lay(&name, floor);
            }
            return Err(Refusal::TooManyChannels);
        }
        let channel = Channel::new(name.clone(), own, self.tombs.forgotten());
        let id = self.channels.insert(channel);
        self.names.insert(name, number(id));
        self.slots = self.slots.max(id + 1);
        Ok(id)
    }

    /// Drops a channel that nobody reads, so that another can begin: of some, one that keeps nothing, or
    /// else the one that has been silent for longest. Its floor is remembered, so whoever comes back to it is
    /// told of the gap. Names are free to make up, and a table that is full of them must not keep people out
    /// for as long as messages are kept.
    fn drop_unread(&mut self) -> bool {
        let mut silent: Option<(bool, u64, usize)> = None;
        for _ in 0..UNREAD_LOOKS.min(self.slots) {
            let id = self.turn_hand();
            if let Some(channel) = self.channels.get(id).filter(|channel| channel.is_unread()) {
                let candidate = (channel.ring.messages() > 0, channel.ring.latest(), id);
                silent = Some(silent.map_or(candidate, |silent| silent.min(candidate)));
            }
        }
        let found = silent.is_some();
        if let Some((.., id)) = silent {
            self.drop_channel(id);
        }
        found
    }

    /// Whether anything here grows old, so that a sweep has something to look for.
    #[must_use]
    pub fn is_aging(&self) -> bool {
        !self.channels.is_empty() || !self.keys.is_empty()
    }

    pub(super) fn drop_channel(&mut self, id: usize) {
        // Presences may be left, and count.
        self.change(id, |ring, _| ring.clear());
        let channel = self.channels.remove(id);
        self.names.remove(&channel.name);
        if channel.has_own_floor() {
            self.tombs.lay(&channel.name, channel.ring.floor());
        }
    }

    /// Takes the next number of the log; what is stamped must be put.
    pub(super) fn stamp(&mut self) -> Stamp {
        Stamp { cursor: self.log.advance(), kept_at: self.now, wall: self.wall }
    }

    /// Appends to a channel, makes room, and leaves word for the fan-out.
    pub(super) fn put(&mut self, id: usize, message: Rc<Message>) {
        self.change(id, |ring, bounds| ring.push(message, bounds));
        self.make_room(id);
        work::spend(EVENT_COST);
        work::cause(DELIVERY_COST * self.channels[id].subscribers.len() as u64);
        if self.channels[id].mark(self.dirty.is_urgent) {
            self.dirty.push(number(id));
        }
    }

    /// Over the bound of the whole hub, channels give up their oldest eighth in turn, whichever the hand
    /// points at: no order of all messages by age has to be kept for a case that is rare. The channel just
    /// published to keeps that message.
    fn make_room(&mut self, newest: usize) {
        let mut fruitless = 0;
        while self.bytes > self.bounds.log_bytes && fruitless <= self.slots {
            let id = self.turn_hand();
            let spared = usize::from(id == newest);
            let shed = self.channels.contains(id) && self.change(id, |ring, _| ring.shed(spared));
            fruitless = if shed { 0 } else { fruitless + 1 };
        }
    }

    /// Gives up history, the oldest of each channel first, until what is kept counts for `bytes` at most;
    /// the newest message of each goes last. Channels that nobody reads go with what they kept. What is being
    /// handed out in this moment stays: memory is short, but nobody who keeps up misses anything.
    pub fn shed(&mut self, bytes: usize) {
        for spared in [1, 0] {
            let mut fruitless = 0;
            while self.bytes > bytes && fruitless <= self.slots {
                let id = self.turn_hand();
                let is_quiet = self.channels.get(id).is_some_and(|channel| !channel.pass.pending);
                let shed = is_quiet && self.change(id, |ring, _| ring.shed(spared));
                fruitless = if shed { 0 } else { fruitless + 1 };
                if shed && self.channels[id].is_idle() {
                    self.drop_channel(id);
                }
            }
        }
    }

    fn turn_hand(&mut self) -> usize {
        let id = self.hand;
        self.hand = (id + 1) % self.slots.max(1);
        id
    }

    /// The one way to change a ring: the hub's account follows it, the keys of what was evicted go where they
    /// live on, and what was known of it is forgotten.
    fn change<T>(&mut self, id: usize, how: impl FnOnce(&mut Ring, &Bounds) -> T) -> T {
        let (channel, bounds) = (&mut self.channels[id], &self.bounds);
        let before = channel.ring.bytes();
        let told = channel.change(|channel| how(&mut channel.ring, bounds));
        self.bytes = self.bytes - before + channel.ring.bytes();
        for evicted in channel.ring.take_evicted() {
            self.keys.keep(evicted, self.now, bounds);
        }
        self.known = None;
        told
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Item, ReaderId, Start};
    use super::*;
    use crate::limits::SWEEP_CHANNELS;

    const SECRET: [u8; 16] = [7; 16];

    fn publish(hub: &mut Hub, name: &str) -> u64 {
        let message = hub.publish(name, None, b"1").expect("published");
        hub.audit();
        message.seq()
    }

    fn since(hub: &mut Hub, name: &str, seq: u64) -> (ReaderId, Vec<Item>) {
        let reader = hub.join().expect("joined");
        hub.subscribe(reader, name, Start::Since(seq)).expect("subscribed");
        let mut out = Vec::new();
        assert!(!hub.take(reader, usize::MAX, &mut out));
        hub.audit();
        (reader, out)
    }

    #[test]
    fn who_is_behind_finds_the_redacted_message() {
        let mut hub = Hub::new(1, SECRET, Bounds::default());
        let told = |items: &[Item]| match items {
            [Item::Message(one), Item::Message(two)] => {
                assert_eq!((one.seq(), two.seq()), (1, 2));
                String::from_utf8_lossy(one.json()).into_owned()
            }
            other => panic!("{other:?}"),
        };
        publish(&mut hub, "a");
        publish(&mut hub, "a");
        let (reader, before) = since(&mut hub, "a", 0);
        assert!(told(&before).ends_with("\"data\":1}"));
        assert_eq!(hub.redact("a", 1, b"[]"), Ok(true));
        hub.audit();
        assert!(!hub.is_behind(reader), "nobody is told");
        assert!(told(&since(&mut hub, "a", 0).1).ends_with("\"data\":[]}"));
        assert_eq!(hub.history("a", None, 9).len(), 2);
        assert_eq!((hub.redact("a", 3, b"[]"), hub.redact("b", 1, b"[]")), (Ok(false), Ok(false)));
        let long = vec![b'0'; hub.bounds().message_bytes + 1];
        assert_eq!(hub.redact("a", 1, &long), Err(Refusal::MessageTooLong));
        hub.audit();
    }

    fn sweep(hub: &mut Hub) -> usize {
        let dropped = hub.sweep(usize::MAX);
        hub.audit();
        dropped
    }

    #[test]
    fn refusals_change_nothing() {
        let bounds =
            Bounds { channels: 1, readers: 1, subscriptions: 1, message_bytes: 3, ..Bounds::default() };
        let mut hub = Hub::new(1, SECRET, bounds);
        assert_eq!(hub.publish("a/b", None, b"1").err(), Some(Refusal::BadChannelName));
        assert_eq!(hub.publish("a", None, b"1234").err(), Some(Refusal::MessageTooLong));
        assert_eq!(hub.channels().count(), 0);
        assert_eq!(publish(&mut hub, "a"), 1);
        let reader = hub.join().expect("joined");
        assert_eq!(hub.join(), Err(Refusal::TooManyReaders));
        hub.subscribe(reader, "a", Start::Now).expect("subscribed");
        while hub.next_due().is_some() {}
        assert_eq!(hub.publish("b", None, b"1").err(), Some(Refusal::TooManyChannels), "a is read");
        let subscribed = hub.subscribe(reader, "b", Start::Now);
        assert_eq!(subscribed, Err(Refusal::TooManySubscriptions));
        assert_eq!(hub.head(), 1);
        hub.audit();
    }

    #[test]
    fn a_full_table_gives_up_what_nobody_reads() {
        let mut hub = Hub::new(1, SECRET, Bounds { channels: 3, ..Bounds::default() });
        let reader = hub.join().expect("joined");
        hub.subscribe(reader, "read", Start::Now).expect("subscribed");
        publish(&mut hub, "old");
        publish(&mut hub, "new");
        publish(&mut hub, "newer");
        let mut names: Vec<_> = hub.channels().map(|info| info.name.to_string()).collect();
        names.sort_unstable();
        assert_eq!(names, ["new", "newer", "read"], "the longest silent one made room");
        hub.audit();
        hub.subscribe(reader, "old", Start::Since(0)).expect("another one makes room");
        let mut items = Vec::new();
        hub.take(reader, usize::MAX, &mut items);
        assert!(matches!(items[..], [Item::Gap { seq: 1, .. }]), "what it kept is told as a gap");
        hub.audit();
    }

    #[test]
    fn room_is_found_however_much_the_table_could_hold() {
        // A table grows by doubling: a bound just above a power of two leaves half of it empty for ever.
        const CHANNELS: usize = 4 * UNREAD_LOOKS + 1;
        let mut hub = Hub::new(1, SECRET, Bounds { channels: CHANNELS, ..Bounds::default() });
        for number in 0..4 * CHANNELS {
            assert!(hub.publish(&number.to_string(), None, b"1").is_ok(), "channel {number}");
        }
        hub.audit();
        assert_eq!(hub.channels().count(), CHANNELS);
    }

    #[test]
    fn key_lives_as_long_as_its_message() {
        const HOUR_MS: u64 = 3_600_000;
        let mut hub = Hub::new(1, SECRET, Bounds { channel_messages: 2, ..Bounds::default() });
        let once = |key| Once { scope: "ann", key, is_back_end: true };
        let publish = |hub: &mut Hub, now, key| {
            hub.set_time(now, 0);
            let published = hub.publish_once("a", Some("ann"), once(key), b"1").expect("published");
            hub.audit();
            (published.seq, published.repeated)
        };
        assert_eq!(publish(&mut hub, 0, "x"), (1, false));
        assert_eq!(publish(&mut hub, 1, "y"), (2, false));
        assert_eq!(publish(&mut hub, HOUR_MS, "x"), (1, true), "though it is an hour old");
        assert_eq!(hub.redact("a", 1, b"[]"), Ok(true));
        assert_eq!(publish(&mut hub, HOUR_MS, "x"), (1, true), "though it was taken back");
        assert_eq!(publish(&mut hub, HOUR_MS, "z"), (3, false), "which pushes out the first");
        assert_eq!(publish(&mut hub, HOUR_MS, "x"), (4, false));
        assert_eq!(publish(&mut hub, HOUR_MS, "y"), (5, false), "it was old enough too");
        assert_eq!(publish(&mut hub, HOUR_MS + 300_000, "z"), (3, true), "evicted five minutes young");
        assert_eq!(publish(&mut hub, HOUR_MS + 300_001, "x"), (4, true), "it is kept");
        assert_eq!(hub.sweep(9), 0);
        assert_eq!(publish(&mut hub, HOUR_MS + 300_001, "z"), (6, false), "and is forgotten after those");
    }

    #[test]
    fn key_outlives_a_channel_that_is_cleared_and_dropped() {
        let mut hub = Hub::new(1, SECRET, Bounds { keys: 2, ..Bounds::default() });
        let once = |key| Once { scope: "", key, is_back_end: true };
        for key in ["x", "y", "z"] {
            hub.publish_once("a", None, once(key), b"1").expect("published");
        }
        assert!(hub.clear("a"));
        assert_eq!(sweep(&mut hub), 1);
        assert_eq!(hub.published_once("a", once("y")), Some(2));
        assert_eq!(hub.published_once("a", once("x")), None, "beyond the bound the oldest is forgotten");
        assert_eq!(hub.published_once("b", once("y")), None);
        let again = hub.publish_once("a", None, once("z"), b"1").expect("answered");
        assert_eq!((again.seq, again.repeated, hub.head()), (3, true, 3));
        hub.audit();
    }

    #[test]
    fn refused_publish_does_not_use_up_its_key() {
        let bounds = Bounds { channels: 0, ..Bounds::default() };
        let mut hub = Hub::new(1, SECRET, bounds);
        let once = Once { scope: "", key: "x", is_back_end: true };
        for _ in 0..2 {
            let published = hub.publish_once("a", None, once, b"1");
            assert_eq!(published, Err(Refusal::TooManyChannels));
        }
    }

    #[test]
    fn wall_clock_set_back_harms_nothing() {
        let bounds = Bounds { message_kept_ms: 1000, ..Bounds::default() };
        let mut hub = Hub::new(1, SECRET, bounds);
        hub.set_time(10_000, 1_700_000_000_000);
        publish(&mut hub, "a");
        hub.set_time(10_500, 1_699_996_400_000);
        publish(&mut hub, "a");
        assert_eq!(hub.history("a", None, 9).len(), 2);
        hub.set_time(11_001, 1_699_996_400_501);
        sweep(&mut hub);
        let left = hub.history("a", None, 9);
        assert_eq!(left.len(), 1);
        let json = String::from_utf8_lossy(left[0].json()).into_owned();
        assert!(json.contains("\"at\":1699996400000,"));
    }

    #[test]
    fn tombstone_tells_what_was_missed_and_no_more() {
        let mut hub = Hub::new(1, SECRET, Bounds::default());
        publish(&mut hub, "a");
        let missed = publish(&mut hub, "a");
        publish(&mut hub, "b");
        assert!(hub.clear("a"));
        assert!(!hub.clear("c"));
        assert_eq!(sweep(&mut hub), 1);
        assert!(hub.find("a").is_none());
        // Who was there after the last message missed nothing, however often the channel ends.
        for _ in 0..2 {
            let (reader, out) = since(&mut hub, "a", missed);
            assert!(out.is_empty());
            hub.leave(reader);
            assert_eq!(sweep(&mut hub), 1);
        }
        let (_, out) = since(&mut hub, "a", missed - 1);
        assert!(matches!(out[..], [Item::Gap { seq, .. }] if seq == missed));
        let (_, out) = since(&mut hub, "never", 0);
        assert!(out.is_empty());
    }

    #[test]
    fn fallen_tombstone_is_never_silence() {
        let bounds = Bounds { tombstones: 1, ..Bounds::default() };
        let mut hub = Hub::new(1, SECRET, bounds);
        let missed = publish(&mut hub, "a");
        hub.clear("a");
        sweep(&mut hub);
        publish(&mut hub, "b");
        hub.clear("b");
        sweep(&mut hub); // the stone of a falls
        let (reader, out) = since(&mut hub, "a", 0);
        assert!(matches!(out[..], [Item::Gap { seq, .. }] if seq == missed));
        // What is only lent lays no stone: that of b still stands.
        hub.leave(reader);
        assert_eq!(sweep(&mut hub), 1);
        let (_, out) = since(&mut hub, "b", 0);
        assert!(matches!(out[..], [Item::Gap { seq: 2, .. }]));
    }

    #[test]
    fn channel_with_readers_or_messages_stays() {
        let mut hub = Hub::new(1, SECRET, Bounds::default());
        let (reader, _) = since(&mut hub, "a", 0);
        publish(&mut hub, "b");
        assert_eq!(sweep(&mut hub), 0);
        // A join and a leave alone don't keep it.
        hub.name(reader, Some("ann".into()));
        hub.leave(reader);
        while hub.next_due().is_some() {}
        assert_eq!(sweep(&mut hub), 1);
        assert!(hub.find("b").is_some());
    }

    #[test]
    fn shed_gives_up_the_oldest_and_the_newest_last() {
        let mut hub = Hub::new(1, SECRET, Bounds::default());
        let (_, _) = since(&mut hub, "read", 0);
        for i in 0..40 {
            publish(&mut hub, if i % 2 == 0 { "read" } else { "unread" });
        }
        let one = hub.history("read", None, 1)[0].bytes();
        hub.shed(20 * one);
        assert_eq!(hub.history("read", None, 99).len(), 20, "its reader is about to be told");
        assert!(hub.find("unread").is_none());
        while hub.next_due().is_some() {}
        hub.shed(4 * one);
        hub.audit();
        assert!(hub.bytes() <= 4 * one);
        assert_eq!(hub.history("read", None, 1)[0].seq(), 39, "the newest is still there");
        hub.shed(0);
        hub.audit();
        assert_eq!(hub.bytes(), 0);
        assert!(hub.find("read").is_some());
    }

    #[test]
    fn hub_makes_room_among_all_channels() {
        let bounds = Bounds { log_bytes: 2_000, ..Bounds::default() };
        let mut hub = Hub::new(1, SECRET, bounds);
        let (reader, _) = since(&mut hub, "c0", 0);
        for i in 0..100 {
            let newest = publish(&mut hub, &format!("c{}", i % 7));
            assert!(hub.bytes() <= 2_000);
            let kept = hub.history(&format!("c{}", i % 7), None, 1);
            assert_eq!(kept[0].seq(), newest);
        }
        let mut out = Vec::new();
        hub.take(reader, usize::MAX, &mut out);
        assert!(matches!(out[0], Item::Gap { .. }));
    }

    /// However long one channel goes on, the others lose what that one may keep, and no more.
    #[test]
    fn a_flood_of_one_channel_leaves_the_history_of_others() {
        let one = {
            let mut hub = Hub::new(1, SECRET, Bounds::default());
            publish(&mut hub, "c0");
            hub.bytes()
        };
        let bounds = Bounds { log_bytes: 100 * one, channel_bytes: 10 * one, ..Bounds::default() };
        let mut hub = Hub::new(1, SECRET, bounds);
        for i in 0..100 {
            publish(&mut hub, &format!("c{}", i % 20));
        }
        assert!(hub.bytes() > 95 * one, "it is full");
        for _ in 0..1_000 {
            publish(&mut hub, "fl");
        }
        hub.audit();
        assert!((8..=10).contains(&hub.history("fl", None, 99).len()));
        let left = (0..20).map(|n| hub.history(&format!("c{n}"), None, 99).len());
        assert!(left.clone().all(|left| left >= 4), "{:?} of 5 each", left.collect::<Vec<_>>());
    }
    #[test]
    fn a_sweep_looks_at_so_many_channels() {
        let mut hub = Hub::new(1, SECRET, Bounds { message_kept_ms: 1, ..Bounds::default() });
        for number in 0..=SWEEP_CHANNELS {
            publish(&mut hub, &number.to_string());
        }
        while hub.next_due().is_some() {}
        hub.set_time(100, 0);
        assert_eq!(hub.sweep(SWEEP_CHANNELS), SWEEP_CHANNELS);
        assert_eq!(hub.channels().count(), 1, "it waits for the next");
        assert_eq!((hub.sweep(SWEEP_CHANNELS), hub.channels().count()), (1, 0));
    }
}
