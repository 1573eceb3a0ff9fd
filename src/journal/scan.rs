//! Reading a segment from its beginning, record after record, and telling a torn tail from damage.
//!
//! It knows the format of records and no entry. A scan reads ahead in pieces; what it holds is one record and
//! a piece.
//!
//! ```text
//!   header │ record │ record │ record │ ??????     a record that is missing, torn, or damaged
//!                                     ├ nothing behind it says that this much was synced: torn, it is cut
//!                                     └ a later record of this segment says so: damaged
//! ```

use std::io;

use super::files::{Files, read_exact, read_full};
use super::segment::{HEAD_BYTES, HEADER_BYTES, Head, Header, Holds, Kind, Trailer};
use crate::limits::{BATCH_READ_BYTES_MAX, INDEX_BYTES_MAX, SCAN_BYTES};

/// See the top of this file.
pub(super) struct Scan<'f, F: Files> {
    files: &'f F,
    file: &'f F::File,
    salt: u32,
    kind: Kind,
    place: Place,
    window: Window,
}

/// How far a segment was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Where the next record begins.
    pub(super) at: u64,
    /// The checksum of the record before.
    pub(super) previous: u32,
    /// The least number that the next record may begin with.
    pub(super) next: u64,
}

impl Place {
    /// Behind a header, which was read with its checksum.
    pub(super) fn first(header: &Header, check: u32) -> Place {
        Place { at: HEADER_BYTES as u64, previous: check, next: header.first }
    }
}

/// A record, and where it is.
pub(super) struct Record<'s> {
    pub(super) at: u64,
    pub(super) head: Head,
    pub(super) body: &'s [u8],
}

/// Bytes of a file that were read ahead.
struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// `len` bytes from `at` on, or as many as there are.
    fn get<F: Files>(&mut self, files: &F, file: &F::File, at: u64, len: usize) -> io::Result<&[u8]> {
        let has = at >= self.start && at + len as u64 <= self.start + self.bytes.len() as u64;
        if !has {
            self.bytes.resize(len.max(SCAN_BYTES), 0);
            let read = read_full(files, file, at, &mut self.bytes)?;
            self.bytes.truncate(read);
            self.start = at;
        }
        let from = (at - self.start) as usize;
        Ok(&self.bytes[from..(from + len).min(self.bytes.len())])
    }
}

/// The header of a file of records. The inner `None`: it is too short or its header is damaged.
pub(super) fn header<F: Files>(files: &F, file: &F::File) -> io::Result<Option<(Header, u32)>> {
    let mut bytes = [0; HEADER_BYTES];
    let read = read_full(files, file, 0, &mut bytes)?;
    Ok(Header::parse(&bytes[..read]))
}

/// The trailer of a sealed segment, and where it is. The inner `None`: the file does not end with one.
pub(super) fn trailer<F: Files>(files: &F, file: &F::File, salt: u32) -> io::Result<Option<(Trailer, u64)>> {
    let Some(at) = files.length(file)?.checked_sub(HEADER_BYTES as u64) else { return Ok(None) };
    let mut bytes = [0; HEADER_BYTES];
    let read = read_full(files, file, at, &mut bytes)?;
    Ok(Trailer::parse(&bytes[..read], salt).map(|trailer| (trailer, at)))
}

/// Header and index of a sealed segment. The inner `None`: it is damaged.
pub(super) fn index_of<F: Files>(files: &F, name: &str) -> io::Result<Option<(Header, Vec<u8>)>> {
    let file = files.open(name, false)?;
    let Some((header, _)) = header(files, &file)? else { return Ok(None) };
    let Some((trailer, _)) = trailer(files, &file, header.salt)? else { return Ok(None) };
    let body = record_at(files, &file, header.salt, trailer.index.into())?;
    Ok(body.filter(|(head, _)| head.holds == Holds::Index).map(|(_, body)| (header, body)))
}

/// The record that begins at a place. The inner `None`: none does.
pub(super) fn record_at<F: Files>(
    files: &F,
    file: &F::File,
    salt: u32,
    at: u64,
) -> io::Result<Option<(Head, Vec<u8>)>> {
    let Some(head) = read_exact(files, file, at, HEAD_BYTES)? else { return Ok(None) };
    let Some(head) = Head::parse(&head, salt).filter(|head| head.len as usize <= len_max(head.holds)) else {
        return Ok(None);
    };
    let len = head.bytes() as usize - HEAD_BYTES;
    let Some(mut bytes) = read_exact(files, file, at + HEAD_BYTES as u64, len)? else { return Ok(None) };
    let Some(body) = head.body(salt, &bytes).map(<[u8]>::len) else { return Ok(None) };
    bytes.truncate(body);
    Ok(Some((head, bytes)))
}

fn len_max(holds: Holds) -> usize {
    if holds == Holds::Batch { BATCH_READ_BYTES_MAX } else { INDEX_BYTES_MAX }
}

impl<'f, F: Files> Scan<'f, F> {
    /// Begins behind the header, which was read with its checksum.
    pub(super) fn new(files: &'f F, file: &'f F::File, header: &Header, check: u32) -> Scan<'f, F> {
        Scan::resume(files, file, header, Place::first(header, check))
    }

    /// Goes on where another scan of the file stopped.
    pub(super) fn resume(files: &'f F, file: &'f F::File, header: &Header, place: Place) -> Scan<'f, F> {
        let window = Window { start: 0, bytes: Vec::new() };
        Scan { files, file, salt: header.salt, kind: header.kind, place, window }
    }

    /// Where the next record begins, or what is no record.
    pub(super) fn at(&self) -> u64 {
        self.place.at
    }

    /// How far it has read.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// The next record; `None` at what is none.
    pub(super) fn next(&mut self) -> io::Result<Option<Record<'_>>> {
        let at = self.place.at;
        let head = self.window.get(self.files, self.file, at, HEAD_BYTES)?;
        let Some(head) = Head::parse(head, self.salt).filter(|head| self.follows(head)) else {
            return Ok(None);
        };
        let padded = head.bytes() as usize - HEAD_BYTES;
        let body = self.window.get(self.files, self.file, at + HEAD_BYTES as u64, padded)?;
        let Some(body) = head.body(self.salt, body) else { return Ok(None) };
        self.place.at += head.bytes();
        self.place.previous = head.check;
        if head.holds == Holds::Batch {
            self.place.next = head.first + u64::from(head.count);
        }
        Ok(Some(Record { at, head, body }))
    }

    /// Whether a record may stand here.
    fn follows(&self, head: &Head) -> bool {
        let numbers = match (head.holds, self.kind) {
            (Holds::Batch, Kind::Log) => head.first == self.place.next && head.count > 0,
            (Holds::Batch, Kind::Keeper) => head.first >= self.place.next && head.count > 0,
            _ => head.first == self.place.next,
        };
        head.previous == self.place.previous
            && numbers
            && head.len as usize <= len_max(head.holds)
            && u64::from(head.synced) <= self.place.at
    }

    /// Whether a record of this segment behind this place says that more than what was read so far was on the
    /// medium.
    pub(super) fn was_synced_beyond(&mut self) -> io::Result<bool> {
        let end = self.files.length(self.file)?;
        let mut at = self.place.at + 8;
        while at + HEAD_BYTES as u64 <= end {
            let head = self.window.get(self.files, self.file, at, HEAD_BYTES)?;
            let later = Head::parse(head, self.salt);
            if later.is_some_and(|head| u64::from(head.synced) > self.place.at) {
                return Ok(true);
            }
            at += 8;
        }
        Ok(false)
    }

    /// Goes on at the next whole record behind this place, whatever stands between: for a repair. Whether
    /// there is one.
    pub(super) fn skip(&mut self) -> io::Result<bool> {
        let end = self.files.length(self.file)?;
        let mut at = self.place.at + 8;
        while at + HEAD_BYTES as u64 <= end {
            let head = self.window.get(self.files, self.file, at, HEAD_BYTES)?;
            if let Some(head) = Head::parse(head, self.salt).filter(|head| head.first >= self.place.next) {
                self.place.at = at;
                self.place.previous = head.previous;
                self.place.next = head.first;
                return Ok(true);
            }
            at += 8;
        }
        Ok(false)
    }
}
