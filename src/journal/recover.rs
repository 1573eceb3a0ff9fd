//! Opening a folder: the state of the last checkpoint, what the last segment adds, and where numbers go on.
//!
//! ```text
//!   lock ─▶ meta ─▶ checkpoint ─▶ promise ─▶ segments: known, or scanned ─▶ cut a torn tail ─▶ sync
//!                                                 │                             │
//!                                                 └ damaged: refused            └ power was lost: skip to
//!                                                   with file and offset          the promise, new segment
//! ```
//!
//! Segments that the checkpoint knows are not read. Those after it, mostly the last alone, are read from
//! their beginning. A segment without a record says nothing and is removed: it was begun in the moment of the
//! crash.

use std::fmt;
use std::io::{self, ErrorKind};

use super::catalog::{Catalog, Sealed, Shared};
use super::checkpoint::{Checkpoint, NAME as CHECKPOINT};
use super::files::{Files, first_of, folder, keeper_name, read_whole, segment_name};
use super::filter::Filters;
use super::index::Index;
use super::meta::{self, Meta};
use super::promise::{Promise, PromiseFile};
use super::segment::{Header, Kind};
use super::store::{Options, Store, Sync, Time};
use super::survey::{Found, scan_all};
use super::tend::Work;
use crate::limits::{STATE_BYTES_MAX, WALL_MS_MIN};

/// What a folder that is new begins with. Both are drawn at random.
#[derive(Clone, Copy, Debug)]
pub struct Fresh {
    /// The epoch of the log.
    pub epoch: u32,
    /// With which idempotency keys are hashed.
    pub secret: [u8; 16],
}

/// What was found in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The epoch of the log.
    pub epoch: u32,
    /// With which idempotency keys are hashed.
    pub secret: [u8; 16],
    /// The newest number.
    pub head: u64,
    /// What the latest loss of power may have taken of what was told.
    pub lost: Option<Lost>,
    /// The log's clock.
    pub clock: u64,
    /// The end of the last segment was torn, and is cut.
    pub cut: Option<Cut>,
    /// Key, value and version of every record.
    pub records: Vec<(Box<str>, Box<[u8]>, u64)>,
    /// Channel and user of all who were there.
    pub present: Vec<(Box<str>, Box<str>)>,
}

/// Numbers that may have been told and mean nothing any more. A reader whose cursor is below `through` may
/// have missed some of them, and is told a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The last number before them.
    pub after: u64,
    /// The last of them.
    pub through: u64,
}

/// A torn tail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Of which file.
    pub file: String,
    /// Where it begins.
    pub at: u64,
    /// How long it was.
    pub bytes: u64,
}

/// Why a folder was not opened.
#[derive(Debug)]
pub enum Trouble {
    /// Another program has it.
    Locked,
    /// The system refused something.
    Io(String, io::Error),
    /// Bytes that were acknowledged are not what they were.
    Damaged {
        /// In which file.
        file: String,
        /// Where.
        at: u64,
        /// What is wrong there.
        what: &'static str,
    },
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Locked => f.write_str("another program uses the folder"),
            Trouble::Io(file, error) => write!(f, "{file}: {error}"),
            Trouble::Damaged { file, at, what } => write!(f, "{file}, byte {at}: {what}"),
        }
    }
}

impl std::error::Error for Trouble {}

/// Says of which file an error speaks.
pub(super) fn about<T>(file: &str, result: io::Result<T>) -> Result<T, Trouble> {
    result.map_err(|error| Trouble::Io(file.to_owned(), error))
}

pub(super) fn damaged<T>(file: &str, at: u64, what: &'static str) -> Result<T, Trouble> {
    Err(Trouble::Damaged { file: file.to_owned(), at, what })
}

impl<F: Files> Store<F> {
    /// Opens a folder, which is made the folder of a log if it is empty.
    ///
    /// # Errors
    /// See [`Trouble`]. Nothing was changed, but that a crash was tidied up after.
    pub fn open(files: F, options: Options, fresh: Fresh, time: Time) -> Result<(Store<F>, Opened), Trouble> {
        let lock = files.lock().map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => Trouble::Locked,
            _ => Trouble::Io("lock".to_owned(), error),
        })?;
        remove_drafts(&files)?;
        let meta = meta::open(&files, fresh, &options)?;
        let bytes = about(CHECKPOINT, read_whole(&files, CHECKPOINT, STATE_BYTES_MAX))?;
        let Some(checkpoint) = Checkpoint::parse(&bytes) else {
            return damaged(CHECKPOINT, 0, "the checkpoint is damaged");
        };
        let Some(promise) = about("promise", PromiseFile::open(&files))? else {
            return damaged("promise", 0, "no promise of numbers is whole");
        };
        let (head, clock, wall) = (checkpoint.through, checkpoint.clock, checkpoint.wall);
        let mut found =
            Found { checkpoint, last: None, cut: None, head, skipped: 0, empty: Vec::new(), clock, wall };
        scan_all(&files, &mut found)?;
        remove_orphans(&files, &found.checkpoint.keepers)?;
        let (cut, skipped, empty) = (found.cut.take(), found.skipped, std::mem::take(&mut found.empty));
        let mut store = assemble(files, lock, options, meta, promise, found, time)?;
        store.go_on(skipped)?;
        for first in empty.into_iter().filter(|first| *first != store.active.header.first) {
            let name = segment_name(first);
            match store.files.unlink(&name) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                unlinked => about(&name, unlinked)?,
            }
        }
        let opened = store.opened(cut);
        Ok((store, opened))
    }

    fn opened(&self, cut: Option<Cut>) -> Opened {
        let Meta { epoch, secret } = self.meta;
        let records = self.state.records.iter();
        let records = records.map(|(key, one)| (key.clone(), one.value.clone(), one.version)).collect();
        let mut present = Vec::new();
        for (channel, users) in &self.state.present {
            present.extend(users.keys().map(|user| (channel.clone(), user.clone())));
        }
        let (head, lost, clock) = (self.head, self.lost, self.clock);
        Opened { epoch, secret, head, lost, clock, cut, records, present }
    }

    /// Has everything on the medium, goes on behind the promise if the machine was started anew, and makes
    /// the next promise.
    fn go_on(&mut self, skipped: u64) -> Result<(), Trouble> {
        let failed = |what: &str| Trouble::Io(what.to_owned(), io::Error::other("it could not be written"));
        self.sync().map_err(|_| failed("log"))?;
        for folder in ["log", "keep", ""] {
            about(folder, self.files.sync_folder(folder))?;
        }
        let promise = self.promise.promise;
        let boot = self.files.boot();
        if promise.is_clean && promise.through > self.head.max(skipped) {
            let name = segment_name(self.active.header.first);
            return damaged(&name, self.active.end, "the log ends before the last number that was told");
        }
        let has_run_on = promise.is_clean || (boot.is_some() && boot == promise.boot);
        let recovered = self.head;
        let is_behind = !has_run_on && promise.through > recovered;
        if is_behind && promise.is_lossy {
            // Before the numbers are skipped: a crash from here on must not make it forgotten.
            self.lost = Some(Lost { after: recovered, through: promise.through });
            self.write_checkpoint().map_err(|_| failed(CHECKPOINT))?;
        }
        let last = if is_behind { promise.through.max(skipped) } else { skipped };
        if last > recovered && self.active.oldest.is_none() {
            let before = self.active.header.before;
            let header = self.header(Kind::Log, last + 1, before);
            let old = std::mem::replace(&mut self.active, about("log", Self::begin(&self.files, header))?);
            about("log", self.files.unlink(&segment_name(old.header.first)))?;
            self.head = last;
            self.catalog.lock().active = header.first;
        } else if last > recovered {
            self.seal(last + 1).map_err(|_| failed("log"))?;
        }
        let is_lossy = self.options.sync != Sync::Commit;
        let through = self.head + self.options.promise_numbers;
        let next = Promise { through, boot, is_lossy, is_clean: false };
        about("promise", self.promise.write(&self.files, next))?;
        if self.write_ballast().is_err() && !self.is_read_only {
            self.become_full();
        }
        Ok(())
    }
}

/// The store of what was found, which goes on in the last segment, or in a new one.
fn assemble<F: Files>(
    files: F,
    lock: F::File,
    options: Options,
    meta: Meta,
    promise: PromiseFile<F>,
    found: Found<F>,
    time: Time,
) -> Result<Store<F>, Trouble> {
    let Found { checkpoint, last, head, skipped, clock, wall, .. } = found;
    let Checkpoint { state, erasures, mut sealed, keepers, lost, .. } = checkpoint;
    // Ages go on by as much as the wall clock has, if it can be right at both ends.
    let stopped = if wall.min(time.wall) >= WALL_MS_MIN { time.wall.saturating_sub(wall) } else { 0 };
    let clock = clock + stopped;
    sealed.extend(last.as_ref().and_then(|last| last.sealed));
    let last = last.filter(|last| last.sealed.is_none());
    let checkpoint_due = last.is_none();
    let (active, index) = match last {
        Some(scanned) => (scanned.active, scanned.index),
        None => {
            let seed = [&meta.secret[..], &time.wall.to_le_bytes(), &head.to_le_bytes()].concat();
            let (first, epoch, salt) = (head.max(skipped) + 1, meta.epoch, crc32c::crc32c(&seed));
            let before = sealed.last().map_or(head, |one| one.last);
            let header = Header { kind: Kind::Log, epoch, first, before, salt, clock };
            (about(&segment_name(first), Store::begin(&files, header))?, Index::default())
        }
    };
    let first = active.header.first;
    let head = if active.oldest.is_some() { head } else { first - 1 };
    let catalog = Catalog { sealed, keepers, active: first, index, erasures, clock, generation: 0 };
    Ok(Store {
        files,
        _lock: lock,
        options,
        meta,
        promise,
        catalog: Shared::new(catalog),
        state,
        lost,
        filters: Filters::default(),
        active,
        head,
        clock,
        since: time.now,
        wall: time.wall,
        dirty_at: time.now,
        has_bad_tail: false,
        is_full: false,
        is_read_only: false,
        checkpoint_due,
        work: Work::Idle,
        retry_at: 0,
        salts: 0,
    })
}

fn remove_drafts<F: Files>(files: &F) -> Result<(), Trouble> {
    for folder in ["", "log", "keep"] {
        for name in about(folder, files.list(folder))? {
            if name.ends_with(".tmp") {
                let name = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                about(&name, files.unlink(&name))?;
            }
        }
    }
    Ok(())
}

/// Keepers that the checkpoint doesn't know were made in the moment of the crash; what they keep is still
/// elsewhere.
fn remove_orphans<F: Files>(files: &F, keepers: &[Sealed]) -> Result<(), Trouble> {
    let names = about("keep", files.list("keep"))?;
    let is_there = |one: &&Sealed| names.iter().any(|name| first_of(name) == Some(one.first));
    if let Some(missing) = keepers.iter().find(|one| !is_there(one)) {
        return damaged(&keeper_name(missing.first), 0, "the file is missing");
    }
    for name in names {
        let Some(first) = first_of(&name) else { continue };
        if !keepers.iter().any(|one| one.first == first) {
            let name = keeper_name(first);
            about(&name, files.unlink(&name))?;
            about(&name, files.sync_folder(folder(&name)))?;
        }
    }
    Ok(())
}
