//! The store: the log in a folder, as a machine that takes groups of batches and a time, and does all its
//! input and output through [`Files`]. It has no thread and no clock, so the simulator can drive it.
//!
//! ```text
//!            append                               tend (tend.rs), a step at a time
//!   group ─▶ check ─▶ number ─▶ promise ─▶ write ─▶ sync? ─▶ apply ─▶ settled
//!             │                    │         │        │
//!             ▼                    └─────────┤        └ failed: read-only for ever, the group is unknown
//!          refused              failed: cut the tail, refuse the group
//! ```
//!
//! What holds between two calls: everything up to `end` is whole records; nothing is behind it, or
//! `has_bad_tail` says that there may be, and then nothing is appended before it is cut; the part up to
//! `synced` is on the medium. A group is in the state and in the index when it is committed, and not before.

use std::collections::HashMap;
use std::io;

use super::catalog::Shared;
use super::checkpoint::{NAME as CHECKPOINT, Parts};
use super::entry::{Batch, Digest, Entry};
use super::files::{Files, is_full, replace, segment_name, write_all};
use super::filter::Filters;
use super::keys;
use super::meta::Meta;
use super::promise::{Promise, PromiseFile};
use super::recover::Lost;
use super::segment::{HEADER_BYTES, Head, Header, Holds, Kind};
use super::state::{Overlay, State};
use super::tend::Work;
use super::{Health, Outcome, Page, Read, Refusal, Settled, Ticket, reading};
use crate::limits::{self, ERASURES_MAX, JOURNAL_RETRY_MS, SEGMENT_BYTES_MAX};

/// When a batch is told as committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// When it is on the medium.
    Commit,
    /// When it was given to the system, which has it on the medium within a second.
    Interval,
    /// When it was given to the system, which writes it when it likes.
    Off,
}

/// How a store keeps what it is given.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// When a batch is told as committed.
    pub sync: Sync,
    /// Milliseconds for which messages are kept.
    pub kept_ms: u64,
    /// Bytes of all segments.
    pub kept_bytes: u64,
    /// Messages of all segments.
    pub kept_messages: u64,
    /// Milliseconds for which a message waits for its reader.
    pub inbox_ms: u64,
    /// Milliseconds within which a message that was taken back is erased. Half of it has to pass before that
    /// is begun; it should be longer than clients repeat a publish, because the keys of what was cleared go
    /// with it.
    pub erase_within_ms: u64,
    /// Bytes of a segment after which the next one is begun.
    pub segment_bytes: u64,
    /// Numbers promised at once.
    pub promise_numbers: u64,
    /// Bytes held for the moment in which the disk is full.
    pub ballast_bytes: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            sync: Sync::Interval,
            kept_ms: limits::JOURNAL_KEPT_MS,
            kept_bytes: limits::JOURNAL_BYTES_DEFAULT,
            kept_messages: u64::MAX,
            inbox_ms: limits::INBOX_KEPT_MS,
            erase_within_ms: limits::ERASE_WITHIN_MS,
            segment_bytes: limits::SEGMENT_BYTES,
            promise_numbers: limits::PROMISE_NUMBERS,
            ballast_bytes: limits::BALLAST_BYTES,
        }
    }
}

/// Two clocks: monotonic milliseconds since the program began, and wall milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// Monotonic.
    pub now: u64,
    /// Wall.
    pub wall: u64,
}

/// A batch on its way to the disk.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// What is proposed.
    pub batch: Batch,
    /// By whom it is waited for.
    pub ticket: Option<Ticket>,
}

/// The segment that is written.
pub(super) struct Active<F: Files> {
    pub(super) file: F::File,
    pub(super) header: Header,
    /// Where the next record goes.
    pub(super) end: u64,
    /// The checksum of the record before it.
    pub(super) check: u32,
    /// So much of it is on the medium.
    pub(super) synced: u64,
    /// The log's clock at its first record, if it has one, and at its last.
    pub(super) oldest: Option<u64>,
    pub(super) newest: u64,
}

/// See the top of this file.
pub struct Store<F: Files> {
    pub(super) files: F,
    /// Keeps others out of the folder.
    pub(super) _lock: F::File,
    pub(super) options: Options,
    pub(super) meta: Meta,
    pub(super) promise: PromiseFile<F>,
    pub(super) catalog: Shared,
    pub(super) state: State,
    pub(super) lost: Option<Lost>,
    pub(super) filters: Filters,
    pub(super) active: Active<F>,
    pub(super) head: u64,
    /// The log's clock at the monotonic time `since`.
    pub(super) clock: u64,
    pub(super) since: u64,
    pub(super) wall: u64,
    /// Monotonic milliseconds when something was first written that is not synced yet.
    pub(super) dirty_at: u64,
    pub(super) has_bad_tail: bool,
    pub(super) is_full: bool,
    pub(super) is_read_only: bool,
    pub(super) checkpoint_due: bool,
    pub(super) work: Work<F>,
    /// Monotonic milliseconds before which nothing that failed is tried again.
    pub(super) retry_at: u64,
    /// Counts the salts that were made.
    pub(super) salts: u32,
}

/// Why something could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// There is no room.
    Full,
    /// The system refused a write; nothing of it is left.
    Refused,
    /// What is on the medium is unknown.
    Final,
}

/// A group that is about to be written.
struct Stage {
    bytes: Vec<u8>,
    check: u32,
    next: u64,
    overlay: Overlay,
    keys: HashMap<Digest, u64>,
    /// Number and offset of each batch.
    placed: Vec<(u64, u32)>,
    has_more_than_presence: bool,
    erasures: usize,
}

impl<F: Files> Store<F> {
    /// Writes a group, and says what became of each batch, in order.
    pub fn append(&mut self, group: Vec<Proposal>, time: Time) -> Vec<Settled> {
        self.tell_time(time);
        if self.has_bad_tail && !self.is_read_only {
            // Whether it helped is asked below, by each batch.
            let _ = self.cut_tail();
        }
        let mut stage = Stage {
            bytes: Vec::new(),
            check: self.active.check,
            next: self.head + 1,
            overlay: Overlay::default(),
            keys: HashMap::new(),
            placed: Vec::new(),
            has_more_than_presence: false,
            erasures: self.catalog.lock().erasures.len(),
        };
        let mut settled: Vec<Settled> = Vec::with_capacity(group.len());
        for Proposal { batch, ticket } in group {
            let outcome = self.stage(&batch, &mut stage);
            settled.push(Settled { batch, ticket, outcome, wall: self.wall, clock: self.clock });
        }
        if !stage.bytes.is_empty() {
            match self.write(&stage) {
                Ok(()) => self.apply(&stage, &settled),
                Err(failure) => self.fail(failure, &mut settled),
            }
        }
        settled
    }

    /// Numbers a batch and makes its record, or says why not.
    fn stage(&mut self, batch: &Batch, stage: &mut Stage) -> Outcome {
        let entries: Vec<Entry<'_>> = batch.entries().collect();
        let erasures = entries.iter().filter(|entry| is_erasure(entry)).count();
        if let Err(refusal) = self.is_welcome(batch, &entries, erasures, stage) {
            return Outcome::Refused(refusal);
        }
        for entry in &entries {
            if let Entry::Message { key: Some(key), .. } = entry {
                match stage.keys.get(key).map_or_else(|| self.keyed(key), |seq| Ok(Some(*seq))) {
                    Ok(None) => {}
                    Ok(Some(seq)) => return Outcome::Repeated(seq),
                    Err(_) => return Outcome::Refused(Refusal::Busy(JOURNAL_RETRY_MS)),
                }
            }
            if let Err(refusal) = self.state.check(entry, &stage.overlay) {
                return Outcome::Refused(refusal);
            }
        }
        let first = stage.next;
        for (seq, entry) in (first..).zip(&entries) {
            stage.overlay.add(seq, entry);
            if let Entry::Message { key: Some(key), .. } = entry {
                stage.keys.insert(*key, seq);
            }
            stage.has_more_than_presence |= !matches!(entry, Entry::Presence { .. });
        }
        stage.erasures += erasures;
        let offset = self.active.end + stage.bytes.len() as u64;
        stage.placed.push((first, offset as u32));
        let head = Head {
            holds: Holds::Batch,
            previous: stage.check,
            first,
            count: batch.count(),
            wall: self.wall,
            clock: self.clock,
            synced: self.active.synced as u32,
            len: 0,
            body: 0,
            check: 0,
        };
        stage.check = head.emit(self.active.header.salt, batch.bytes(), &mut stage.bytes);
        stage.next += u64::from(batch.count());
        Outcome::Committed(first)
    }

    /// Whether the folder is in a state to take such a batch.
    fn is_welcome(
        &self,
        batch: &Batch,
        entries: &[Entry<'_>],
        erasures: usize,
        stage: &Stage,
    ) -> Result<(), Refusal> {
        if self.is_read_only {
            return Err(Refusal::ReadOnly);
        }
        let is_deletion =
            |entry: &Entry<'_>| is_erasure(entry) || matches!(entry, Entry::Record { value: None, .. });
        let end = self.active.end + (stage.bytes.len() + batch.bytes().len()) as u64;
        let is_full = self.is_full && !entries.iter().all(is_deletion);
        // At the bound only if sealing has failed for long.
        if is_full || end + HEADER_BYTES as u64 > SEGMENT_BYTES_MAX {
            return Err(Refusal::StorageFull);
        }
        if self.has_bad_tail || (erasures > 0 && stage.erasures + erasures > 2 * ERASURES_MAX) {
            return Err(Refusal::Busy(JOURNAL_RETRY_MS));
        }
        Ok(())
    }

    /// The number of the message with this key, if one is in the log.
    fn keyed(&self, key: &Digest) -> io::Result<Option<u64>> {
        let catalog = self.catalog.lock();
        if let Some(seq) = catalog.index.keyed(key) {
            return Ok(Some(seq));
        }
        let newest = catalog.sealed.iter().rev().map(|one| one.first);
        let firsts: Vec<u64> = newest.filter(|first| self.filters.may_have(*first, key)).collect();
        drop(catalog);
        keys::find(&self.files, &firsts, key)
    }

    fn write(&mut self, stage: &Stage) -> Result<(), Failure> {
        self.promise_through(stage.next - 1)?;
        if let Err(error) = write_all(&self.files, &self.active.file, self.active.end, &stage.bytes) {
            self.has_bad_tail = true;
            let failure = if is_full(&error) { Failure::Full } else { Failure::Refused };
            self.cut_tail()?;
            return Err(failure);
        }
        if self.active.synced == self.active.end {
            self.dirty_at = self.since;
        }
        self.active.end += stage.bytes.len() as u64;
        self.active.check = stage.check;
        if self.options.sync == Sync::Commit && stage.has_more_than_presence {
            self.sync()?;
        }
        Ok(())
    }

    /// Has it on the medium that numbers so far may be told.
    fn promise_through(&mut self, last: u64) -> Result<(), Failure> {
        let promise = self.promise.promise;
        if last <= promise.through && !promise.is_clean {
            return Ok(());
        }
        let through = last + self.options.promise_numbers;
        let is_lossy = self.options.sync != Sync::Commit;
        self.promise
            .write(&self.files, Promise { through, boot: self.files.boot(), is_lossy, is_clean: false })
            .map_err(|error| self.failure(&error))
    }

    /// Cuts what was written in vain, and has that on the medium: what was refused must not come back.
    pub(super) fn cut_tail(&mut self) -> Result<(), Failure> {
        // The system may refuse it for a moment; until it was done nothing else is written.
        self.files.truncate(&self.active.file, self.active.end).map_err(|_| Failure::Refused)?;
        self.sync()?;
        self.has_bad_tail = false;
        Ok(())
    }

    /// Has the segment on the medium up to its end.
    pub(super) fn sync(&mut self) -> Result<(), Failure> {
        if let Err(error) = self.files.sync(&self.active.file) {
            return Err(self.end_writing("sync", &error));
        }
        self.active.synced = self.active.end;
        Ok(())
    }

    /// Nothing is written from now on.
    fn end_writing(&mut self, what: &str, error: &io::Error) -> Failure {
        if !self.is_read_only {
            log::error!("the journal is read-only from now on: {what} failed: {error}");
        }
        self.is_read_only = true;
        Failure::Final
    }

    /// Judges an error of something that syncs: but for want of room nobody knows what is on the medium.
    pub(super) fn failure(&mut self, error: &io::Error) -> Failure {
        if is_full(error) { Failure::Full } else { self.end_writing("a write", error) }
    }

    /// The group was not written. What may be in the file all the same is unknown.
    fn fail(&mut self, failure: Failure, settled: &mut [Settled]) {
        let outcome = match failure {
            _ if self.has_bad_tail => Outcome::Unknown,
            Failure::Full => Outcome::Refused(Refusal::StorageFull),
            Failure::Refused => Outcome::Refused(Refusal::Busy(JOURNAL_RETRY_MS)),
            Failure::Final => Outcome::Unknown,
        };
        if failure == Failure::Full {
            self.become_full();
        }
        for one in settled {
            // A key that was found in the same group is the key of nothing now.
            if matches!(one.outcome, Outcome::Committed(_))
                || matches!(one.outcome, Outcome::Repeated(seq) if seq > self.head)
            {
                one.outcome = outcome;
            }
        }
    }

    fn apply(&mut self, stage: &Stage, settled: &[Settled]) {
        let mut catalog = self.catalog.lock();
        let committed = settled.iter().filter(|one| matches!(one.outcome, Outcome::Committed(_)));
        for (&(first, offset), one) in stage.placed.iter().zip(committed) {
            for (place, entry) in (0..).zip(one.batch.entries()) {
                let seq = first + u64::from(place);
                catalog.index.add_one(first, place, offset, &entry);
                self.state.apply(seq, self.clock, &entry);
                catalog.erasures.apply(seq, first, self.clock, &entry);
            }
        }
        self.active.oldest.get_or_insert(self.clock);
        self.active.newest = self.clock;
        self.head = stage.next - 1;
    }

    /// The newest number.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.head
    }

    /// Reads messages back.
    #[must_use]
    pub fn read(&self, read: &Read, ticket: Ticket) -> Page {
        reading::read(&self.files, &self.catalog, &self.options, read, ticket)
    }

    /// The same for another thread, while this one writes.
    pub(super) fn reader(&self) -> impl Fn(&Read, Ticket) -> Page + Send + 'static + use<F> {
        let (files, catalog, options) = (self.files.clone(), self.catalog.clone(), self.options);
        move |read, ticket| reading::read(&files, &catalog, &options, read, ticket)
    }

    /// The epoch of the log.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.meta.epoch
    }

    /// How it is.
    #[must_use]
    pub fn health(&self) -> Health {
        match (self.is_read_only, self.is_full) {
            (true, _) => Health::ReadOnly,
            (false, true) => Health::Full,
            (false, false) => Health::Good,
        }
    }

    pub(super) fn tell_time(&mut self, time: Time) {
        self.clock += time.now.saturating_sub(self.since);
        self.since = self.since.max(time.now);
        self.wall = time.wall;
    }

    /// Begins a segment. Its header and its name are on the medium when this returns.
    pub(super) fn begin(files: &F, header: Header) -> io::Result<Active<F>> {
        let file = files.create(&segment_name(header.first))?;
        let (bytes, check) = header.emit();
        write_all(files, &file, 0, &bytes)?;
        files.sync(&file)?;
        files.sync_folder("log")?;
        let end = HEADER_BYTES as u64;
        Ok(Active { file, header, end, check, synced: end, oldest: None, newest: header.clock })
    }

    /// A header for what begins with `first`.
    pub(super) fn header(&mut self, kind: Kind, first: u64, before: u64) -> Header {
        self.salts = self.salts.wrapping_add(1);
        let seed =
            [self.wall, first, self.clock, self.salts.into(), kind as u64].map(u64::to_le_bytes).concat();
        let salt = crc32c::crc32c_append(crc32c::crc32c(&self.meta.secret), &seed);
        Header { kind, epoch: self.meta.epoch, first, before, salt, clock: self.clock }
    }

    /// Writes the state as it is at the head. The log up to there is on the medium before, so that no state
    /// outlives its entries; a start applies only those that came after.
    pub(super) fn write_checkpoint(&mut self) -> Result<(), Failure> {
        if self.active.synced < self.active.end {
            self.sync()?;
        }
        let catalog = self.catalog.lock();
        let bytes = Parts {
            through: self.head,
            clock: self.clock,
            wall: self.wall,
            lost: self.lost,
            state: &self.state,
            erasures: &catalog.erasures,
            sealed: &catalog.sealed,
            keepers: &catalog.keepers,
        }
        .emit();
        drop(catalog);
        self.checkpoint_due = true;
        replace(&self.files, CHECKPOINT, &bytes).map_err(|error| self.failure(&error))?;
        self.checkpoint_due = false;
        Ok(())
    }
}

fn is_erasure(entry: &Entry<'_>) -> bool {
    matches!(entry, Entry::Redaction { .. } | Entry::Clear { .. })
}
