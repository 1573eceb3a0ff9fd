//! Reading messages back: a page of a channel's history, or what a reader that is behind has missed.
//!
//! It changes nothing. It looks at the catalog for a moment, reads files without holding anything up, and
//! looks at the catalog once more: if a file went or was rewritten meanwhile, it begins again.
//!
//! ```text
//!   oldest first    keepers ─▶ sealed segments ─▶ the segment that is written
//!   newest first    the segment that is written ─▶ sealed segments ─▶ keepers
//! ```

use std::io;

use super::catalog::{Sealed, Shared};
use super::entry::{Entry, split};
use super::files::{Files, keeper_name, segment_name};
use super::index::{self, Within};
use super::scan::{header, index_of, record_at};
use super::segment::{Head, Holds};
use super::store::Options;
use super::{Found, Page, Read, Ticket};
use crate::limits::{HISTORY_PAGE_BYTES_MAX, HISTORY_PAGE_MAX, HISTORY_TRIES_MAX};

/// A file that may have some of what is looked for.
struct Place {
    name: String,
    /// Number and offset of the messages, if they are known: of the segment that is written.
    at: Option<Vec<(u64, u32)>>,
}

/// What is looked for, and where.
struct Plan {
    generation: u64,
    within: Within,
    places: Vec<Place>,
    /// Times before which messages are too old: those in general, and those that wait for their reader.
    kept_from: u64,
    inbox_from: u64,
    floor: u64,
}

/// Reads a page.
pub(super) fn read<F: Files>(
    files: &F,
    catalog: &Shared,
    options: &Options,
    read: &Read,
    ticket: Ticket,
) -> Page {
    let limit = read.limit.clamp(1, HISTORY_PAGE_MAX);
    for _ in 0..HISTORY_TRIES_MAX {
        let plan = plan(catalog, options, read, limit + 1);
        let gathered = gather(files, &plan, read, limit);
        let catalog = catalog.lock();
        let Ok((mut messages, more, floor)) = gathered else {
            if catalog.generation == plan.generation {
                break;
            }
            continue;
        };
        if catalog.generation != plan.generation {
            continue;
        }
        for found in &mut messages {
            let entry = Entry::parse(&found.entry).ok();
            let edited = entry.and_then(|entry| catalog.erasures.edit(found.seq, entry));
            let mut bytes = Vec::new();
            // One that was cleared in this moment leaves a hole, which nobody is told.
            let fits = edited.unwrap_or(Entry::Hole).emit(&mut bytes).is_ok();
            debug_assert!(fits, "what is in the log is within its bounds");
            found.entry = bytes.into();
        }
        return Page { ticket, messages, more, floor: plan.floor.max(floor), failed: false };
    }
    Page { ticket, messages: Vec::new(), more: false, floor: 0, failed: true }
}

fn plan(catalog: &Shared, options: &Options, read: &Read, limit: usize) -> Plan {
    let catalog = catalog.lock();
    let cleared = catalog.erasures.clears.get(&read.channel).map_or(0, |clear| clear.by);
    let within = Within { after: read.after.max(cleared), before: read.before, newest: read.newest };
    let concerns = |one: &&Sealed| one.last > within.after && one.first < within.before;
    let sealed = |name: fn(u64) -> String| move |one: &Sealed| Place { name: name(one.first), at: None };
    let oldest = catalog.sealed.first().map_or(catalog.active, |one| one.first);
    // A keeper whose segment is still there says nothing new.
    let keepers = catalog.keepers.iter().filter(|one| one.first < oldest);
    let mut places: Vec<Place> = keepers.filter(concerns).map(sealed(keeper_name)).collect();
    places.extend(catalog.sealed.iter().filter(concerns).map(sealed(segment_name)));
    let at = Some(catalog.index.find(&read.channel, within, limit));
    places.push(Place { name: segment_name(catalog.active), at });
    if read.newest {
        places.reverse();
    }
    Plan {
        generation: catalog.generation,
        within,
        places,
        kept_from: catalog.clock.saturating_sub(options.kept_ms),
        inbox_from: catalog.clock.saturating_sub(options.inbox_ms),
        floor: oldest.saturating_sub(1),
    }
}

/// Messages, whether there are more, and the newest number that was left out because of its age.
fn gather<F: Files>(
    files: &F,
    plan: &Plan,
    read: &Read,
    limit: usize,
) -> io::Result<(Vec<Found>, bool, u64)> {
    let (mut found, mut bytes, mut floor) = (Vec::<Found>::new(), 0, 0);
    let mut more = false;
    'places: for place in &plan.places {
        let at = match &place.at {
            Some(at) => at.clone(),
            None => {
                let Some((_, index)) = index_of(files, &place.name)? else { return Err(damage()) };
                index::find(&index, &read.channel, plan.within, limit + 1).ok_or_else(damage)?
            }
        };
        if at.is_empty() {
            continue;
        }
        let mut reader = Reader::open(files, &place.name)?;
        let ordered: Box<dyn Iterator<Item = &(u64, u32)>> =
            if read.newest { Box::new(at.iter().rev()) } else { Box::new(at.iter()) };
        for &(seq, offset) in ordered {
            let (one, is_kept) = reader.message(files, seq, offset)?;
            if one.clock < if is_kept { plan.inbox_from } else { plan.kept_from } {
                floor = floor.max(seq);
                continue;
            }
            if found.last().is_some_and(|last| last.seq == seq) {
                continue;
            }
            bytes += one.entry.len();
            more = found.len() >= limit || (bytes > HISTORY_PAGE_BYTES_MAX && !found.is_empty());
            if more {
                break 'places;
            }
            found.push(one);
        }
    }
    if read.newest {
        found.reverse();
    }
    Ok((found, more, floor))
}

/// A file of which messages are read, and the record that was read last.
struct Reader<F: Files> {
    file: F::File,
    salt: u32,
    record: Option<(u32, Head, Vec<u8>)>,
}

impl<F: Files> Reader<F> {
    fn open(files: &F, name: &str) -> io::Result<Reader<F>> {
        let file = files.open(name, false)?;
        let (header, _) = header(files, &file)?.ok_or_else(damage)?;
        Ok(Reader { file, salt: header.salt, record: None })
    }

    /// The message with that number, in the record at that place, and whether it waits for its reader.
    fn message(&mut self, files: &F, seq: u64, offset: u32) -> io::Result<(Found, bool)> {
        if self.record.as_ref().is_none_or(|(at, ..)| *at != offset) {
            let (head, body) = record_at(files, &self.file, self.salt, offset.into())?.ok_or_else(damage)?;
            self.record = Some((offset, head, body));
        }
        let (_, head, body) = self.record.as_ref().ok_or_else(damage)?;
        let place = seq.checked_sub(head.first).filter(|_| head.holds == Holds::Batch).ok_or_else(damage)?;
        let entry = split(body).nth(place as usize).and_then(Result::ok).ok_or_else(damage)?;
        let Entry::Message { is_kept, .. } = entry else { return Err(damage()) };
        let mut bytes = Vec::new();
        entry.emit(&mut bytes).map_err(|_| damage())?;
        let (first, wall, clock) = (head.first, head.wall, head.clock);
        Ok((Found { seq, first, wall, clock, entry: bytes.into() }, is_kept))
    }
}

fn damage() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a damaged record")
}
