//! The segments of a folder at a start: which are known, what the others hold, where the last one ends.
//!
//! It takes the entries that the checkpoint lacks into the state, and cuts a torn tail. Read first: `scan`,
//! for what is torn and what is damaged.

use std::io;

use super::catalog::Sealed;
use super::checkpoint::Checkpoint;
use super::ends::Ends;
use super::entry::{Batch, split};
use super::files::{Files, first_of, read_full, segment_name, write_all};
use super::index::Index;
use super::recover::{Cut, Trouble, about, damaged};
use super::scan::{Scan, header, trailer};
use super::segment::{HEADER_BYTES, Head, Holds, Kind};
use super::store::Active;
use crate::limits::SCAN_BYTES;

/// What one segment was found to be.
pub(super) struct Scanned<F: Files> {
    pub(super) active: Active<F>,
    pub(super) index: Index,
    pub(super) last: u64,
    /// It is sealed.
    pub(super) sealed: Option<Sealed>,
    pub(super) cut: Option<Cut>,
    /// Wall milliseconds of its last record.
    pub(super) wall: u64,
    /// So much of it was on the medium, as its records say.
    pub(super) synced: u64,
}

/// What is being put together.
pub(super) struct Found<F: Files> {
    pub(super) checkpoint: Checkpoint,
    pub(super) last: Option<Scanned<F>>,
    pub(super) cut: Option<Cut>,
    pub(super) head: u64,
    /// Numbers up to here were to be skipped already when the program ended.
    pub(super) skipped: u64,
    /// Segments without a record.
    pub(super) empty: Vec<u64>,
    pub(super) clock: u64,
    pub(super) wall: u64,
}

/// The first numbers of the segments in a folder, in order.
pub(super) fn segments<F: Files>(files: &F) -> Result<Vec<u64>, Trouble> {
    let mut firsts: Vec<u64> =
        about("log", files.list("log"))?.iter().filter_map(|name| first_of(name)).collect();
    firsts.sort_unstable();
    Ok(firsts)
}

/// Takes in the segments that the checkpoint does not know.
pub(super) fn scan_all<F: Files>(files: &F, found: &mut Found<F>) -> Result<(), Trouble> {
    let firsts = segments(files)?;
    let known = &mut found.checkpoint.sealed;
    // Old segments may have been dropped since the checkpoint; those that are left have no hole among them.
    let dropped = known.iter().take_while(|one| !firsts.contains(&one.first)).count();
    known.drain(..dropped);
    if let Some(missing) = known.iter().find(|one| !firsts.contains(&one.first)) {
        return damaged(&segment_name(missing.first), 0, "the segment is missing");
    }
    let last_known = known.last().map_or(0, |one| one.first);
    let known: Vec<u64> = known.iter().map(|one| one.first).collect();
    let mut unknown = Vec::new();
    for first in firsts.into_iter().filter(|first| !known.contains(first)) {
        if is_empty(files, first)? {
            found.skipped = found.skipped.max(first.saturating_sub(1));
            found.empty.push(first);
            continue;
        }
        if first < last_known {
            return damaged(&segment_name(first), 0, "the checkpoint doesn't know this segment");
        }
        unknown.push(first);
    }
    for (n, &first) in unknown.iter().enumerate() {
        let scanned = scan_one(files, first, n + 1 == unknown.len(), found)?;
        let before = scanned.active.header.before;
        let expected = found.checkpoint.sealed.last().map(|one| one.last);
        if expected.is_some_and(|last| last != before) {
            return damaged(&segment_name(first), 0, "the segment before it is missing");
        }
        found.head = found.head.max(scanned.last);
        found.clock = found.clock.max(scanned.active.newest);
        found.wall = found.wall.max(scanned.wall);
        found.cut = scanned.cut.clone();
        if n + 1 == unknown.len() {
            found.last = Some(scanned);
        } else if let Some(sealed) = scanned.sealed {
            found.checkpoint.sealed.push(sealed);
        }
    }
    Ok(())
}

/// Whether a segment has no record. It is removed when the start is done: its name says which numbers were to
/// be skipped.
fn is_empty<F: Files>(files: &F, first: u64) -> Result<bool, Trouble> {
    let name = segment_name(first);
    let file = about(&name, files.open(&name, false))?;
    Ok(about(&name, files.length(&file))? <= HEADER_BYTES as u64)
}

/// Reads a segment and takes in what it has beyond the checkpoint.
fn scan_one<F: Files>(
    files: &F,
    first: u64,
    is_last: bool,
    found: &mut Found<F>,
) -> Result<Scanned<F>, Trouble> {
    let Checkpoint { through, state, erasures, .. } = &mut found.checkpoint;
    let scanned = scan_segment(files, first, is_last, |first, clock, body| {
        for (seq, entry) in (first..).zip(split(body).map_while(Result::ok)) {
            if seq > *through {
                state.apply(seq, clock, &entry);
                erasures.apply(seq, first, clock, &entry);
            }
        }
    })?;
    if let (Some(cut), true) = (&scanned.cut, is_last) {
        about(&cut.file, files.truncate(&scanned.active.file, cut.at))?;
    }
    about(&segment_name(first), write_again(files, &scanned.active.file, scanned.synced))?;
    Ok(scanned)
}

/// Has a file on the medium. What is not known to be there is written once more: a sync that failed leaves
/// pages that the system believes to be there, and another sync would not write them.
fn write_again<F: Files>(files: &F, file: &F::File, from: u64) -> io::Result<()> {
    let (mut at, end) = (from, files.length(file)?);
    let mut bytes = vec![0; SCAN_BYTES];
    while at < end {
        let len = read_full(files, file, at, &mut bytes)?;
        if len == 0 {
            break;
        }
        write_all(files, file, at, &bytes[..len])?;
        at += len as u64;
    }
    files.sync(file)
}

/// Reads a segment from its beginning. `apply` is given number, clock and bytes of each batch.
pub(super) fn scan_segment<F: Files>(
    files: &F,
    first: u64,
    is_last: bool,
    mut apply: impl FnMut(u64, u64, &[u8]),
) -> Result<Scanned<F>, Trouble> {
    let name = segment_name(first);
    let file = about(&name, files.open(&name, true))?;
    let Some((head, check)) = about(&name, header(files, &file))? else {
        return damaged(&name, 0, "the header is damaged");
    };
    if head.first != first || head.kind != Kind::Log {
        return damaged(&name, 0, "it is not the segment that its name says");
    }
    let mut index = Index::default();
    let (mut ends, mut clocks, mut wall, mut synced) = (Ends::default(), None, 0, HEADER_BYTES as u64);
    let mut scan = Scan::new(files, &file, &head, check);
    let mut batches = scan.place();
    while let Some(record) = about(&name, scan.next())? {
        match ends.take(&record) {
            false => return damaged(&name, record.at, "a record that may not stand here"),
            true if record.head.holds != Holds::Batch => continue,
            true => {}
        }
        let Head { first, clock, .. } = record.head;
        if Batch::parse(record.body, record.head.count).is_err() {
            return damaged(&name, record.at, "a record that holds no entries");
        }
        index.add(first, record.at as u32, record.body);
        apply(first, clock, record.body);
        clocks = Some((clocks.map_or(clock, |(oldest, _)| oldest), clock));
        (wall, synced) = (record.head.wall, record.head.synced.into());
        batches = scan.place();
    }
    let length = about(&name, files.length(&file))?;
    let last = batches.next.saturating_sub(1);
    let place = scan.place();
    let trailer = about(&name, trailer(files, &file, head.salt))?
        .filter(|(trailer, at)| ends.are_whole() && *at == place.at && trailer.previous == place.previous);
    if trailer.is_some_and(|(trailer, _)| !ends.agree(&trailer, &index, last)) {
        return damaged(&name, batches.at, "an index that is not that of the records");
    }
    let (oldest, newest) = clocks.unwrap_or((head.clock, head.clock));
    let (bytes, messages) = (length, index.messages());
    let sealed = trailer.map(|_| Sealed { first, last, bytes, oldest, newest, messages });
    let mut cut = None;
    if sealed.is_none() && length > batches.at {
        if !is_last || about(&name, scan.was_synced_beyond())? {
            return damaged(&name, scan.at(), "a damaged record");
        }
        cut = Some(Cut { file: name.clone(), at: batches.at, bytes: length - batches.at });
    } else if sealed.is_none() && !is_last {
        return damaged(&name, length, "the segment is not whole");
    }
    let oldest = clocks.map(|(oldest, _)| oldest);
    let active =
        Active { file, header: head, end: batches.at, check: batches.previous, synced: 0, oldest, newest };
    Ok(Scanned { active, index, last, sealed, cut, wall, synced })
}
