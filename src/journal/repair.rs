//! Making a whole folder of what is left of a damaged one, or of one that is in use. The source is not
//! changed; the other folder must be empty.
//!
//! ```text
//!   repair    what is whole of every segment, holes for the rest ─▶ sealed segments, a new checkpoint
//!   backup    checkpoint first, then the segments and keepers that it knows, then what came after it
//! ```
//!
//! A backup reads the checkpoint first, because of deletions: what was not erased by then is in that
//! checkpoint or behind it in the log, so that a message which is copied before it is erased is erased in the
//! copy, too.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};

use super::catalog::{Erasures, Sealed};
use super::checkpoint::{Checkpoint, NAME as CHECKPOINT, Parts};
use super::entry::split;
use super::files::{Files, folder, keeper_name, read_full, read_whole, replace, segment_name, write_all};
use super::meta::{self, Meta};
use super::promise::{Promise, PromiseFile};
use super::recover::{Fresh, Trouble, about, damaged};
use super::rewrite::{Copy, Guide, Mode};
use super::scan::{Scan, header};
use super::segment::{Holds, Kind};
use super::state::{Kept, State};
use super::survey::segments;
use super::verify::{Report, read_checkpoint, verify};
use crate::limits::{BACKUP_TRIES_MAX, SCAN_BYTES, STATE_BYTES_MAX};

/// Copies what is whole of the folder `from` into the folder `into`. The report is that of `from`. The epoch
/// goes on if it is known how far numbers were told; else it is that of `fresh`.
///
/// # Errors
/// `into` is not empty, or the system refuses something.
pub fn repair<F: Files>(from: &F, into: &F, fresh: Fresh) -> Result<Report, Trouble> {
    is_empty(into)?;
    let report = verify(from)?;
    let mut checkpoint = read_checkpoint(from).unwrap_or_default();
    let through = checkpoint.through;
    let mut sealed: Vec<Sealed> = Vec::new();
    for first in segments(from)? {
        let name = segment_name(first);
        let before = sealed.last().map_or(0, |one| one.last);
        let Some(copied) = about(&name, copy_whole(from, into, &name, before))? else { continue };
        about(&name, apply(into, &name, through, &mut checkpoint))?;
        checkpoint.clock = checkpoint.clock.max(copied.newest);
        sealed.push(copied);
    }
    checkpoint.keepers.retain(|one| {
        // One that can't be read is among the faults of the report.
        matches!(copy_whole(from, into, &keeper_name(one.first), 0), Ok(Some(_)))
    });
    checkpoint.through = sealed.last().map_or(through, |one| one.last.max(through));
    checkpoint.sealed = sealed;
    let promise = PromiseFile::open(from).ok().flatten().map(|file| file.promise);
    let meta = meta::read(from).filter(|_| promise.is_some());
    let told = promise.map_or(0, |promise| promise.through).max(checkpoint.through);
    finish(into, &checkpoint, meta.unwrap_or(Meta { epoch: fresh.epoch, secret: fresh.secret }), told)?;
    Ok(report)
}

/// Copies the folder `from`, which may be in use, into the folder `into`. The copy has an epoch of its own,
/// because the log that it was made of goes on.
///
/// # Errors
/// `into` is not empty, `from` is damaged, or the system refuses something.
pub fn backup<F: Files>(from: &F, into: &F, epoch: u32) -> Result<(), Trouble> {
    is_empty(into)?;
    let Some(Meta { secret, .. }) = meta::read(from) else {
        return damaged(meta::NAME, 0, "it is missing or damaged");
    };
    let mut before = Vec::new();
    for _ in 0..BACKUP_TRIES_MAX {
        let bytes = about(CHECKPOINT, read_whole(from, CHECKPOINT, STATE_BYTES_MAX))?;
        let Some(checkpoint) = Checkpoint::parse(&bytes) else {
            return damaged(CHECKPOINT, 0, "the checkpoint is damaged");
        };
        let there = segments(from)?;
        // One that goes without a new checkpoint had nothing that is kept elsewhere.
        let may_lack = bytes == before;
        let known = checkpoint.sealed.iter().map(|one| one.first);
        let known = known.filter(|first| !may_lack || there.contains(first));
        let later = checkpoint.sealed.last().map_or(0, |one| one.first + 1);
        let later = there.iter().copied().filter(|first| *first >= later);
        let keepers = checkpoint.keepers.iter().map(|one| keeper_name(one.first));
        let mut names = known.chain(later).map(segment_name).chain(keepers);
        match names.try_for_each(|name| copy_bytes(from, into, &name)) {
            Ok(()) => return finish(into, &checkpoint, Meta { epoch, secret }, 0),
            // It was dropped meanwhile, and what it had may be elsewhere: from the beginning.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                remove_all(into)?;
                before = bytes;
            }
            Err(error) => return Err(Trouble::Io("log".to_owned(), error)),
        }
    }
    Err(Trouble::Io("log".to_owned(), io::Error::other("segments went faster than they were copied")))
}

fn is_empty<F: Files>(files: &F) -> Result<(), Trouble> {
    for folder in ["", "log", "keep"] {
        if about(folder, files.list(folder))?.iter().any(|name| name != "lock") {
            return Err(Trouble::Io(folder.to_owned(), ErrorKind::DirectoryNotEmpty.into()));
        }
    }
    Ok(())
}

fn remove_all<F: Files>(files: &F) -> Result<(), Trouble> {
    for folder in ["log", "keep"] {
        for name in about(folder, files.list(folder))? {
            about(&name, files.unlink(&format!("{folder}/{name}")))?;
        }
    }
    Ok(())
}

/// The files beside the segments. `meta` makes it a log, and is the last.
fn finish<F: Files>(files: &F, checkpoint: &Checkpoint, meta: Meta, told: u64) -> Result<(), Trouble> {
    let parts = Parts {
        through: checkpoint.through,
        clock: checkpoint.clock,
        wall: checkpoint.wall,
        lost: checkpoint.lost,
        state: &checkpoint.state,
        erasures: &checkpoint.erasures,
        sealed: &checkpoint.sealed,
        keepers: &checkpoint.keepers,
    };
    about(CHECKPOINT, replace(files, CHECKPOINT, &parts.emit()))?;
    // Of no run of the machine: the next start goes on behind it, and says what may be lost.
    let promise = Promise { through: told, boot: None, is_lossy: told > 0, is_clean: false };
    about("promise", PromiseFile::create(files, promise).map(|_| ()))?;
    about(meta::NAME, meta::write(files, meta))
}

/// A sealed copy of all whole records of a file; none if its header is damaged or it has no record.
fn copy_whole<F: Files>(from: &F, into: &F, name: &str, before: u64) -> io::Result<Option<Sealed>> {
    let file = from.open(name, false)?;
    let Some((mut header, _)) = header(from, &file)? else { return Ok(None) };
    header.before = before;
    let sources = VecDeque::from([name.to_owned()]);
    let mut copy = Copy::new(into, Mode::Erase, sources, name.to_owned(), header)?;
    let guide = Guide { erasures: &Erasures::default(), kept: &Kept::default() };
    loop {
        if let Some(sealed) = copy.step(from, into, &guide)? {
            if sealed.last >= sealed.first {
                return Ok(Some(sealed));
            }
            into.unlink(name)?;
            return Ok(None);
        }
    }
}

/// Takes in what a copied segment has beyond the number `through`.
fn apply<F: Files>(files: &F, name: &str, through: u64, checkpoint: &mut Checkpoint) -> io::Result<()> {
    let file = files.open(name, false)?;
    let Some((head, check)) = header(files, &file)? else { return Ok(()) };
    let state: &mut State = &mut checkpoint.state;
    let mut scan = Scan::new(files, &file, &head, check);
    while let Some(record) = scan.next()? {
        if record.head.holds != Holds::Batch || head.kind != Kind::Log {
            continue;
        }
        let (first, clock) = (record.head.first, record.head.clock);
        for (seq, entry) in (first..).zip(split(record.body).map_while(Result::ok)) {
            if seq > through {
                state.apply(seq, clock, &entry);
                checkpoint.erasures.apply(seq, first, clock, &entry);
            }
        }
        checkpoint.wall = record.head.wall;
    }
    Ok(())
}

/// A copy of a file as it is.
fn copy_bytes<F: Files>(from: &F, into: &F, name: &str) -> io::Result<()> {
    let source = from.open(name, false)?;
    let (mut at, end) = (0, from.length(&source)?);
    let target = into.create(name)?;
    let mut bytes = vec![0; SCAN_BYTES];
    while at < end {
        let len = read_full(from, &source, at, &mut bytes)?.min((end - at) as usize);
        if len == 0 {
            break;
        }
        write_all(into, &target, at, &bytes[..len])?;
        at += len as u64;
    }
    into.sync(&target)?;
    into.sync_folder(folder(name))
}
