//! Pillar three: messages, the channels they are published to, and the readers that take them in order.
//!
//! It knows no transport: no connection, no encoding beyond the JSON of a message, no socket. It knows no
//! clock either; the time is told once a turn. Everything here is one value, changed by one thread.
//!
//! ```text
//!                        Log  (one sequence for all)
//!                         │ 41, 42, 43 …
//!        publish ─▶ Channel "lobby" ── Ring  m38 m39 p40 m43
//!                         │                      ▲       ▲
//!                     subscribers                │       │
//!                         │                      │       │
//!        take ◀──── Reader 7 ── position 39 ─────┘       │
//!        take ◀──── Reader 9 ── position 43 ─────────────┘
//! ```
//!
//! The log is the queue. A reader owns no backlog, only a position in each of its channels; what it has
//! not been told is in the ring, once for all, and what is no longer in the ring is told as a gap. So a
//! reader that is stuck costs what an idle one does, and one that comes back on another transport needs to
//! bring a single number.
//!
//! | file | holds |
//! |---|---|
//! | `log` | the sequence, the cursor |
//! | `message` | a message and its images |
//! | `ring` | what a channel keeps, its bounds, its floor |
//! | `channel` | subscribers, the pass of a fan-out |
//! | `reader` | readers and their subscriptions |
//! | `publish` | publishing, opening, sweeping |
//! | `fanout` | who is due |
//! | `replay` | what a reader takes, its cursor |
//! | `presence` | who is there |
//! | `keys` | the digests of idempotency keys, those of evicted messages |
//! | `tombs` | the floors of dropped channels |
//! | `audit` | everything counted again |

mod audit;
mod channel;
mod fanout;
mod keys;
mod log;
mod message;
mod presence;
mod publish;
mod reader;
mod replay;
mod ring;
mod tombs;

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use slab::Slab;

use self::channel::Channel;
use self::fanout::Dirty;
use self::keys::Keys;
use self::log::Log;
use self::reader::Reader;
use self::replay::Merge;
use self::tombs::Tombs;
use crate::limits;

pub use self::channel::is_name as is_channel_name;
pub use self::fanout::Due;
pub use self::keys::Once;
pub use self::log::{Cursor, NO_EPOCH};
pub use self::message::{Data, IMAGES, Kind, Message, PresenceEvent};
pub use self::publish::Published;
pub use self::replay::Item;

/// What a hub holds at most. Each default is the constant of `limits` where its reason is given.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Channels open at once.
    pub channels: usize,
    /// Readers joined at once, below 2^32.
    pub readers: usize,
    /// Channels a reader subscribes to.
    pub subscriptions: usize,
    /// Messages a channel keeps, at least 1.
    pub channel_messages: usize,
    /// Bytes of the messages a channel keeps; its newest is kept whatever its length.
    pub channel_bytes: usize,
    /// Bytes all channels keep together.
    pub log_bytes: usize,
    /// Bytes of one message's data.
    pub message_bytes: usize,
    /// Milliseconds a message is kept.
    pub message_kept_ms: u64,
    /// Presence events a channel keeps.
    pub presences_kept: usize,
    /// Users of a channel up to which presence is told.
    pub presence_told: usize,
    /// Idempotency keys remembered of messages that are kept no longer.
    pub keys: usize,
    /// Milliseconds a key is remembered at least, however early its message is evicted.
    pub key_kept_ms: u64,
    /// Dropped channels remembered by name.
    pub tombstones: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            channels: limits::CHANNELS_MAX,
            readers: limits::READERS_MAX,
            subscriptions: limits::SUBSCRIPTIONS_MAX,
            channel_messages: limits::CHANNEL_MESSAGES_MAX,
            channel_bytes: limits::CHANNEL_BYTES_MAX,
            log_bytes: limits::LOG_BYTES_MAX,
            message_bytes: limits::MESSAGE_BYTES_MAX,
            message_kept_ms: limits::MESSAGE_KEPT_MS,
            presences_kept: limits::PRESENCE_KEPT_MAX,
            presence_told: limits::PRESENCE_TOLD_MAX,
            keys: limits::KEYS_MAX,
            key_kept_ms: limits::KEY_KEPT_MS,
            tombstones: limits::TOMBSTONES_MAX,
        }
    }
}

/// Why the hub did not do what it was asked. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not a channel name: 1 to 128 bytes, no control characters, none of `/ , ? #`.
    BadChannelName,
    /// The data is longer than `Bounds::message_bytes`.
    MessageTooLong,
    /// No channel more can be opened.
    TooManyChannels,
    /// No reader more can join.
    TooManyReaders,
    /// This reader can subscribe to no channel more.
    TooManySubscriptions,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::BadChannelName => {
                "a channel name has 1 to 128 bytes, no control characters and none of / , ? #"
            }
            Refusal::MessageTooLong => "the message is too long",
            Refusal::TooManyChannels => "too many channels are open",
            Refusal::TooManyReaders => "too many readers have joined",
            Refusal::TooManySubscriptions => "too many channels for one reader",
        })
    }
}

impl std::error::Error for Refusal {}

/// A reader, until it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReaderId(u32);

/// A channel, until it is dropped; it is not while a reader subscribes to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(u32);

impl ReaderId {
    /// The reader of that slot, for callers that keep only slots. It must have joined.
    #[must_use]
    pub fn at(slot: u32) -> ReaderId {
        ReaderId(slot)
    }

    /// Its slot, as short as it is kept.
    #[must_use]
    pub fn slot(self) -> u32 {
        self.0
    }

    /// Its slot: below the number of readers that were ever joined at once.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl ChannelId {
    /// Its slot: below the number of channels that were ever open at once.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where reading a channel starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With what is published from now on.
    Now,
    /// After this number of the log: the `seq` of a cursor of this epoch.
    Since(u64),
    /// With this many latest messages, or as many as are kept, and never with a gap.
    Last(u32),
}

/// What there is to say about a channel.
#[derive(Clone, Debug)]
pub struct ChannelInfo<'a> {
    /// By which to find it again.
    pub id: ChannelId,
    /// As it was subscribed or published to.
    pub name: &'a Rc<str>,
    /// Subscribed readers, with and without a name.
    pub readers: usize,
    /// Distinct named users among them.
    pub users: usize,
    /// Messages kept.
    pub kept: usize,
    /// Bytes counted for them and for the presences kept.
    pub bytes: usize,
    /// The newest message that is no longer kept, 0 if none is gone.
    pub floor: u64,
    /// The newest entry, or the floor if nothing is kept.
    pub latest: u64,
}

/// See the top of this file.
#[derive(Debug)]
pub struct Hub {
    bounds: Bounds,
    /// Monotonic milliseconds; ages are counted in them.
    now: u64,
    /// Wall milliseconds since 1970; told in messages, never computed with.
    wall: u64,
    log: Log,
    channels: Slab<Channel>,
    /// Slots of channels that were ever taken: the table may have room for twice as many.
    slots: usize,
    /// For look-up only: its order is not the same from run to run.
    names: HashMap<Rc<str>, u32>,
    /// The slot that was looked up last.
    asked: Cell<u32>,
    readers: Slab<Reader>,
    /// Channels with a pass to go.
    dirty: Dirty,
    known: Option<fanout::Known>,
    keys: Keys,
    tombs: Tombs,
    /// What all rings count for together.
    bytes: usize,
    /// No channel is opened: there is no memory for it.
    is_full: bool,
    /// The channel slot that is swept, or has to make room, next.
    hand: usize,
    merge: Merge,
}

impl Hub {
    /// An empty hub. `epoch` is drawn at random, so that a cursor from before a restart is known for one, and
    /// so is `secret`, with which idempotency keys are hashed.
    #[must_use]
    pub fn new(epoch: u32, secret: [u8; 16], bounds: Bounds) -> Hub {
        assert!(bounds.channel_messages > 0, "a ring keeps its newest");
        assert!(bounds.readers.max(bounds.channels) <= u32::MAX as usize);
        Hub {
            bounds,
            now: 0,
            wall: 0,
            log: Log::new(epoch),
            channels: Slab::new(),
            slots: 0,
            names: HashMap::new(),
            asked: Cell::new(0),
            readers: Slab::new(),
            dirty: Dirty::new(),
            known: None,
            keys: Keys::new(secret),
            tombs: Tombs::new(bounds.tombstones),
            bytes: 0,
            is_full: false,
            hand: 0,
            merge: Merge::new(),
        }
    }

    /// Tells the time, once a turn: `now` monotonic milliseconds, by which everything ages, and `wall`
    /// milliseconds since 1970, which messages tell. The wall clock may jump as it likes.
    pub fn set_time(&mut self, now: u64, wall: u64) {
        debug_assert!(self.now <= now, "a monotonic clock");
        self.now = self.now.max(now);
        self.wall = wall;
    }

    /// Says whether there is memory for another channel. If not, one begins only where another one ends.
    pub fn set_full(&mut self, is_full: bool) {
        self.is_full = is_full;
    }

    /// Says whether what is published from now on is told soon, or after all that is: whoever publishes it
    /// has
    /// lately asked for much.
    pub fn set_urgent(&mut self, is_urgent: bool) {
        self.dirty.is_urgent = is_urgent;
    }

    /// The cursor of a number of this log.
    #[must_use]
    pub fn cursor(&self, seq: u64) -> Cursor {
        self.log.cursor(seq)
    }

    /// The newest number of the log, 0 before the first.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.log.head()
    }

    /// The epoch of this log.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.log.cursor(0).epoch
    }

    /// How many channels are open.
    #[must_use]
    pub fn channels_len(&self) -> usize {
        self.channels.len()
    }

    /// The readers subscribed to a channel, in no order that means anything.
    pub fn readers_of(&self, id: ChannelId) -> impl Iterator<Item = ReaderId> {
        let channel = self.channels.get(id.index());
        channel.into_iter().flat_map(|channel| channel.subscribers.iter().map(|one| ReaderId(one.reader)))
    }

    /// What it was built with.
    #[must_use]
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Bytes counted for all that is kept, images aside.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of all that the hub holds: messages, and the tables around them. What channels and readers hold
    /// beyond their tables is in the [`account`](crate::account).
    #[must_use]
    pub fn held(&self) -> usize {
        let channels = self.channels.capacity() * size_of::<Channel>();
        let names = self.names.capacity() * (size_of::<(Rc<str>, u32)>() + 1) * 8 / 7;
        let readers = self.readers.capacity() * size_of::<Reader>();
        self.bytes + channels + names + readers + self.keys.held() + self.tombs.held()
    }

    /// The open channel of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<ChannelId> {
        self.slot_of(name).map(|slot| ChannelId(number(slot)))
    }

    /// The slot of an open channel. Mostly it is the one that was asked for last, since the readers of a room
    /// come back together, and no name has to be hashed.
    fn slot_of(&self, name: &str) -> Option<usize> {
        let asked = self.asked.get() as usize;
        if self.channels.get(asked).is_some_and(|channel| *channel.name == *name) {
            return Some(asked);
        }
        let slot = *self.names.get(name)?;
        self.asked.set(slot);
        Some(slot as usize)
    }

    /// About one channel, if it is open.
    #[must_use]
    pub fn channel(&self, id: ChannelId) -> Option<ChannelInfo<'_>> {
        let channel = self.channels.get(id.index())?;
        Some(ChannelInfo {
            id,
            name: &channel.name,
            readers: channel.subscribers.len(),
            users: channel.users.len(),
            kept: channel.ring.messages(),
            bytes: channel.ring.bytes(),
            floor: channel.ring.floor(),
            latest: channel.ring.latest(),
        })
    }

    /// About every open channel, in no particular order.
    pub fn channels(&self) -> impl Iterator<Item = ChannelInfo<'_>> {
        self.channels.iter().filter_map(|(id, _)| self.channel(ChannelId(number(id))))
    }

    /// The first message that a channel keeps after `seq`.
    #[must_use]
    pub fn next_message(&self, name: &str, seq: u64) -> Option<Rc<Message>> {
        let ring = &self.channels[self.slot_of(name)?].ring;
        let mut after = ring.entries_from(ring.after(seq));
        after.find(|message| message.kind() == Kind::Message).cloned()
    }

    /// The latest `limit` messages of a channel, of those numbered below `before` if it is given, oldest
    /// first. Presences are not history.
    #[must_use]
    pub fn history(&self, name: &str, before: Option<u64>, limit: usize) -> Vec<Rc<Message>> {
        let Some(id) = self.slot_of(name) else {
            return Vec::new();
        };
        let ring = &self.channels[id].ring;
        ring.history(before.unwrap_or(u64::MAX), limit)
    }
}

/// A slot or a place as it is kept: all are bounded far below 2^32, see `Hub::new`.
fn number(slot: usize) -> u32 {
    debug_assert!(u32::try_from(slot).is_ok());
    slot as u32
}
