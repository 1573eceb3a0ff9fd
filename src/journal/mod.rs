//! The cellar: where the one ordered log lives. What may be kept, in which order, and what became of it.
//!
//! It knows no transport, no client, no channel table and no hub. It gives numbers to batches of entries
//! and says when they are committed; the hub applies them then, in the order of the log, and not before. In
//! memory that is at once; on a disk it is when the policy says so. What each policy promises, and how that
//! is tested, is in `docs/durability.md`.
//!
//! # The path of one batch
//!
//! ```text
//!   reactor's thread               writer's thread                              the disk
//!
//!   Batch::emit     checks lengths
//!   propose ── Now(41)             (Memory: committed, apply at once)
//!      │
//!      ├─ Refused(Busy)            32 MiB or 2 s behind
//!      └─ Later ── queue ────────▶ take all that waits
//!                                  check      keys, records ─▶ Repeated, Refused
//!                                  number     41, 42, 43
//!                                  promise    numbers ≤ 65,577 ───────────────▶ promise, synced
//!                                  write      one record a batch ─────────────▶ log/…1.seg
//!                                  sync       if the policy is `commit` ──────▶ fdatasync
//!   settled ◀─ wake ◀─ queue ◀──── settle     in the order of the log
//!      │                           tend       sync each second, seal, forget, erase: a step
//!      ▼
//!   apply: rings, records, presence; then the fan-out
//! ```
//!
//! # How a server uses it
//!
//! **At start**, [`Store::open`] recovers the folder on the calling thread and gives [`Opened`]. The server
//! takes its epoch, its head and the secret of its keys; hands the records to the application (`on_reset`,
//! then `on_record`); makes a ghost reader for each user who was present, which ends with the grace; keeps
//! `lost` for readers with a cursor below `lost.through`, who get a gap. Then it serves: [`Disk::start`]
//! gives the store to its threads. Rings begin empty, with the head as their floor, and are filled when a
//! channel is first read: with a page of its newest messages.
//!
//! **At a turn**, `settled` is called once, before the fan-out. `Committed(first)` is applied; a ticket is
//! answered with whatever the outcome is, `Repeated(seq)` with the number of the earlier message, `Unknown`
//! with 504: the client asks again with the same key. [`Link::fill`] makes the data of a message that names
//! another one.
//!
//! **A read below the floor of a ring** becomes a [`Journal::read`] with a ticket: `after` the reader's
//! cursor, oldest first, for a reader that is behind; `before` a number, newest first, for history. The
//! page comes with [`Journal::pages`]. While it waits the reader is where it was, and asks again from the
//! last message it got. A gap is told only if the cursor is below the page's `floor` as well.
//!
//! **At a stop**, `close`; then turns, with `settled`, until `is_idle` or until `JOURNAL_STOP_MS` have
//! passed. The threads are not joined: one that hangs in a system call would hang the stop.
//!
//! # Tried on paper
//!
//! *A private message whose copy crashes away.* Message and copy are one batch: one record with one
//! checksum. A record that is torn is cut whole, so that there is never one of them without the other. If
//! the crash comes before the answer, the client repeats the publish with its key, and the journal finds
//! the key on disk (`Repeated`) or takes the batch as a new one.
//!
//! *A name taken at the moment of a kill.* A login proposes the record `name/ann` with [`Expect::Absent`].
//! If it was written before the kill, it is among the records at the next start: the person, who drew the
//! name's secret before, logs in with it and owns the name. If it was not, the name is free, and the same
//! login succeeds. Two logins in one group: the second is refused by the first, which is not applied yet
//! but staged.
//!
//! *A reader behind the ring.* It reads page after page from disk, each of them with the messages that the
//! retention keeps; a segment that is dropped or rewritten under a read makes that read begin again. When a
//! page has no `more`, the ring goes on from the last number of it: numbers are the same in both.
//!
//! *A deletion during a backup.* The backup reads the checkpoint before the segments. A message that was
//! deleted before that is erased, or to be erased by that checkpoint; one that is deleted later is deleted
//! by an entry behind the checkpoint, in a segment that the backup copies, or the backup is older than the
//! deletion as a whole. What it can't be is erased in the source and neither erased nor to be erased in the
//! copy. `tests/journal.rs` deletes a message before each read of a backup.
//!
//! # Files
//!
//! | file | holds |
//! |---|---|
//! | `entry` | an entry and a batch of them; their bytes |
//! | `memory` | numbers at once, keeps nothing |
//! | `threads`, `queue` | the journal on a disk: the loop's side, the threads that write and read |
//! | `disk` | the real folder and the clocks: what touches the machine |
//! | `store` | the log in a folder: checks, numbers, writes, syncs |
//! | `tend` | sealing, retention, erasing, a disk that was full |
//! | `rewrite` | copies of sealed files: without what was taken back, or only what is kept |
//! | `recover`, `survey` | opening a folder: its state, its last segment, a torn tail, a loss of power |
//! | `reading`, `keys`, `filter` | messages and idempotency keys that are on disk alone |
//! | `verify`, `repair` | what is wrong with a folder; whole copies of a damaged one, or of one in use |
//! | `state` | records, who is there, which messages wait for their readers |
//! | `catalog` | which files there are, and what is to be erased from them |
//! | `segment`, `scan` | the format of a segment; reading one from its beginning |
//! | `index`, `ends` | where the messages and keys of a segment are; its end as it is read |
//! | `checkpoint`, `promise`, `meta` | the other files |
//! | `files` | what is asked of a folder |
//! | `bytes` | numbers and texts as bytes |

mod bytes;
mod catalog;
mod checkpoint;
mod disk;
mod ends;
mod entry;
mod files;
mod filter;
mod index;
mod keys;
mod memory;
mod meta;
mod promise;
mod queue;
mod reading;
mod recover;
mod repair;
mod rewrite;
mod scan;
pub mod segment;
mod state;
mod store;
mod survey;
mod tend;
mod threads;
mod verify;

use std::fmt;

pub use self::disk::{DiskFolder, clock};
pub use self::entry::{Batch, Data, Digest, Entry, Expect, Link, Offence, Presence, Target};
pub use self::files::Files;
pub use self::memory::Memory;
pub use self::queue::Waker;
pub use self::recover::{Cut, Fresh, Lost, Opened, Trouble};
pub use self::repair::{backup, repair};
pub use self::store::{Options, Proposal, Store, Sync, Time};
pub use self::threads::Disk;
pub use self::verify::{Fault, Report, verify};

/// A name for a proposal that is answered later: whoever proposed finds by it what waits for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// The seam beneath the hub. It is driven by the reactor's turn; a thread behind it wakes the loop.
pub trait Journal {
    /// The epoch of the log; `None` as long as it is not known.
    fn epoch(&self) -> Option<u32>;

    /// The newest number that was told as committed.
    fn head(&self) -> u64;

    /// Proposes a batch. A refused one is not in the log and never will be.
    fn propose(&mut self, batch: Batch, ticket: Option<Ticket>) -> Proposed;

    /// Withdraws a proposal that was not taken up yet, and says whether it was one: then it is not in the log
    /// and never will be, and nothing more is said of it. Of others it can't be known before they settle.
    fn withdraw(&mut self, ticket: Ticket) -> bool;

    /// Appends what has settled since, in the order of the log. Called once a turn, before the fan-out.
    fn settled(&mut self, out: &mut Vec<Settled>);

    /// Asks for messages that are no longer in memory. The answer comes with [`Journal::pages`].
    ///
    /// # Errors
    /// Nothing is kept here, or too many reads are under way.
    fn read(&mut self, read: Read, ticket: Ticket) -> Result<(), Refusal>;

    /// Appends the pages that were read since.
    fn pages(&mut self, out: &mut Vec<Page>);

    /// How it is.
    fn health(&self) -> Health;

    /// Takes no more proposals: those that are under way settle, and `is_idle` becomes true.
    fn close(&mut self);

    /// Whether nothing is under way.
    fn is_idle(&self) -> bool;
}

/// What became of a proposal at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proposed {
    /// It is committed; its first entry has this number.
    Now(u64),
    /// It settles later.
    Later,
    /// It is not in the log, and why.
    Refused(Refusal),
}

/// What became of a proposal later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// What was proposed.
    pub batch: Batch,
    /// With which ticket.
    pub ticket: Option<Ticket>,
    /// What became of it.
    pub outcome: Outcome,
    /// Milliseconds since 1970 when it was written; messages tell it.
    pub wall: u64,
    /// The log's clock then; ages are counted by it.
    pub clock: u64,
}

/// The end of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the log from this number on, and is to be applied.
    Committed(u64),
    /// An earlier message has its key: the number of that one. Nothing was written.
    Repeated(u64),
    /// It is not in the log.
    Refused(Refusal),
    /// Nobody can know whether it will be found in the log at the next start. It is not to be applied.
    Unknown,
}

/// Why a proposal, or a read, was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Too much waits for the disk; it may be tried again after so many milliseconds.
    Busy(u64),
    /// The disk is full.
    StorageFull,
    /// The disk failed: nothing is written any more.
    ReadOnly,
    /// A record is not what the entry expects: the number it was last set by, 0 if there is none.
    Conflict(u64),
    /// There are as many records as there may be, or they have as many bytes.
    TooManyRecords,
    /// The journal is closed, or its thread is gone.
    Closed,
    /// This journal keeps nothing that could be read.
    NotKept,
}

/// How a journal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It takes what is proposed.
    Good,
    /// The disk is full: it takes deletions, and recovers by itself.
    Full,
    /// A sync failed, or the disk did worse: nothing is taken any more, reading goes on.
    ReadOnly,
    /// Its thread is gone.
    Dead,
}

/// Which messages of a channel are asked for: those above `after` and below `before`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The channel.
    pub channel: Box<str>,
    /// Messages with numbers above this one.
    pub after: u64,
    /// Messages with numbers below this one.
    pub before: u64,
    /// The newest of these, for a page of history; else the oldest, for a reader that is behind.
    pub newest: bool,
    /// How many at most; `HISTORY_PAGE_MAX` in any case.
    pub limit: usize,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Of which read.
    pub ticket: Ticket,
    /// The messages, oldest first. Those that were taken back have their other data.
    pub messages: Vec<Found>,
    /// There are more in the direction of the read.
    pub more: bool,
    /// The disk keeps nothing of the channel up to this number but what waits in an inbox: a reader that
    /// asked from below it may miss something.
    pub floor: u64,
    /// A file could not be read: the page may lack something.
    pub failed: bool,
}

/// One message on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its number.
    pub seq: u64,
    /// The number of its batch's first entry.
    pub first: u64,
    /// Milliseconds since 1970 when it was written.
    pub wall: u64,
    /// The log's clock then.
    pub clock: u64,
    /// Its bytes: [`Entry::parse`] reads them.
    pub entry: Box<[u8]>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Busy(_) => "too much waits for the disk",
            Refusal::StorageFull => "the disk is full",
            Refusal::ReadOnly => "the disk failed; nothing is written any more",
            Refusal::Conflict(_) => "the record is not what was expected",
            Refusal::TooManyRecords => "there is no room for another record",
            Refusal::Closed => "the journal is closed",
            Refusal::NotKept => "nothing is kept on disk",
        })
    }
}

impl std::error::Error for Refusal {}
