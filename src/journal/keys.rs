//! Looking for an idempotency key in sealed segments.
//!
//! Each has its keys in order of their digests. These are hashes, so that a row is about where its value
//! says; one or two short reads a segment find it, or find that it isn't there. The record that a row names
//! is then read, with its checksum: a damaged row finds nothing, and never another message.

use std::io;

use super::entry::{Digest, Entry, split};
use super::files::{Files, read_exact, segment_name};
use super::filter::Filter;
use super::index::{KEY_BYTES, expected_place, key};
use super::scan::{header, record_at, trailer};
use super::segment::{HEAD_BYTES, Head, Holds};

/// Rows that are read at once: what a guess is off by in a segment of the usual size.
const ROWS: usize = 512;

/// The number of the newest message with this key in the segments that begin with `firsts`, newest first.
pub(super) fn find<F: Files>(files: &F, firsts: &[u64], digest: &Digest) -> io::Result<Option<u64>> {
    for first in firsts {
        if let Some(seq) = find_in(files, &segment_name(*first), digest)? {
            return Ok(Some(seq));
        }
    }
    Ok(None)
}

/// The filter of a segment's keys. The inner `None`: they are damaged.
pub(super) fn filter<F: Files>(files: &F, first: u64) -> io::Result<Option<Filter>> {
    let file = files.open(&segment_name(first), false)?;
    let Some((header, _)) = header(files, &file)? else { return Ok(None) };
    let Some((trailer, _)) = trailer(files, &file, header.salt)? else { return Ok(None) };
    let record = record_at(files, &file, header.salt, trailer.keys.into())?;
    Ok(record.filter(|(head, _)| head.holds == Holds::Keys).map(|(_, rows)| {
        let keys: Vec<Digest> = rows.chunks_exact(KEY_BYTES).filter_map(key).map(|(key, ..)| key).collect();
        Filter::new(keys.len(), keys.iter())
    }))
}

fn find_in<F: Files>(files: &F, name: &str, digest: &Digest) -> io::Result<Option<u64>> {
    let file = files.open(name, false)?;
    let Some((header, _)) = header(files, &file)? else { return Ok(None) };
    let Some((trailer, _)) = trailer(files, &file, header.salt)? else { return Ok(None) };
    let at = u64::from(trailer.keys);
    let Some(head) = read_exact(files, &file, at, HEAD_BYTES)? else { return Ok(None) };
    let Some(head) = Head::parse(&head, header.salt).filter(|head| head.holds == Holds::Keys) else {
        return Ok(None);
    };
    let rows = head.len as usize / KEY_BYTES;
    let Some((place, offset)) = find_row(files, &file, at + HEAD_BYTES as u64, rows, digest)? else {
        return Ok(None);
    };
    let Some((head, body)) = record_at(files, &file, header.salt, offset.into())? else { return Ok(None) };
    let entry = split(&body).nth(place as usize).filter(|_| head.holds == Holds::Batch);
    let is_it = matches!(entry, Some(Ok(Entry::Message { key: Some(key), .. })) if key == *digest);
    Ok(is_it.then(|| head.first + u64::from(place)))
}

/// Place and offset in the row of a digest.
fn find_row<F: Files>(
    files: &F,
    file: &F::File,
    at: u64,
    rows: usize,
    digest: &Digest,
) -> io::Result<Option<(u32, u32)>> {
    let (mut low, mut high) = (0, rows);
    let mut guess = expected_place(digest, rows);
    while low < high {
        let start = guess.saturating_sub(ROWS / 2).clamp(low, high - 1);
        let end = (start + ROWS).min(high);
        let offset = at + (start * KEY_BYTES) as u64;
        let Some(bytes) = read_exact(files, file, offset, (end - start) * KEY_BYTES)? else {
            return Ok(None);
        };
        let found: Vec<_> = bytes.chunks_exact(KEY_BYTES).filter_map(key).collect();
        let (Some(first), Some(last)) = (found.first(), found.last()) else { return Ok(None) };
        if *digest < first.0 {
            high = start;
        } else if *digest > last.0 {
            low = end;
        } else {
            let row = found.iter().find(|row| row.0 == *digest);
            return Ok(row.map(|(_, place, offset)| (*place, *offset)));
        }
        guess = low + (high - low) / 2;
    }
    Ok(None)
}
