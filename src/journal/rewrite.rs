//! Copying sealed files into a new one, a piece at a time: without what was taken back, or only what is kept.
//!
//! It changes nothing that others see before it is done: the copy has a name of its own until it is whole and
//! on the medium, and then takes its place with one rename.

use std::collections::VecDeque;
use std::io;

use super::bytes::{Put, length};
use super::catalog::{Erasures, Sealed};
use super::entry::{Entry, Link, Target, split};
use super::files::{Files, folder, write_all};
use super::index::Index;
use super::scan::{self, Scan};
use super::segment::{HEADER_BYTES, Head, Header, Holds, Kind, Trailer};
use super::state::Kept;
use crate::limits::{BATCH_ENTRIES_MAX, REWRITE_STEP_BYTES};

/// What is copied of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// All of it, with what was taken back replaced: numbers stay.
    Erase,
    /// Messages that wait for their readers, each as a batch of its own.
    Keep,
}

/// A copy that is being made.
pub(super) struct Copy<F: Files> {
    mode: Mode,
    sources: VecDeque<String>,
    source: Option<Source<F>>,
    out: F::File,
    /// Its name when it is done.
    pub(super) name: String,
    header: Header,
    end: u64,
    check: u32,
    index: Index,
    last: u64,
    /// The least number that may follow.
    next: u64,
    clocks: Option<(u64, u64)>,
    /// A source has a damaged record.
    pub(super) has_damage: bool,
}

/// A file that is copied, and how far.
struct Source<F: Files> {
    file: F::File,
    header: Header,
    place: scan::Place,
}

/// What a copy goes by.
pub(super) struct Guide<'a> {
    pub(super) erasures: &'a Erasures,
    pub(super) kept: &'a Kept,
}

impl<F: Files> Copy<F> {
    /// Begins to copy `sources`, in order, into `name`.
    pub(super) fn new(
        files: &F,
        mode: Mode,
        sources: VecDeque<String>,
        name: String,
        header: Header,
    ) -> io::Result<Copy<F>> {
        let out = files.create(&draft(&name))?;
        let (bytes, check) = header.emit();
        write_all(files, &out, 0, &bytes)?;
        Ok(Copy {
            mode,
            sources,
            source: None,
            out,
            name,
            header,
            end: HEADER_BYTES as u64,
            check,
            index: Index::default(),
            last: header.before,
            next: header.first,
            clocks: None,
            has_damage: false,
        })
    }

    /// Copies a piece of what is in the folder `from`. What the copy is, once it is in its place.
    pub(super) fn step(&mut self, from: &F, files: &F, guide: &Guide<'_>) -> io::Result<Option<Sealed>> {
        if self.source.is_none() {
            let Some(name) = self.sources.pop_front() else { return self.finish(files).map(Some) };
            self.open(from, &name)?;
        }
        let Some(mut source) = self.source.take() else { return Ok(None) };
        let mut bytes = Vec::new();
        let mut scan = Scan::resume(from, &source.file, &source.header, source.place);
        let mut is_done = false;
        while !is_done
            && bytes.len() < REWRITE_STEP_BYTES
            && scan.at() < source.place.at + REWRITE_STEP_BYTES as u64
        {
            match scan.next()? {
                Some(record) if record.head.holds == Holds::Batch => {
                    self.copy(&record.head, record.body, guide, &mut bytes);
                }
                Some(record) => is_done = record.head.holds == Holds::Keys,
                None => {
                    self.has_damage = true;
                    is_done = !scan.skip()?;
                }
            }
        }
        source.place = scan.place();
        write_all(files, &self.out, self.end, &bytes)?;
        self.end += bytes.len() as u64;
        self.source = (!is_done).then_some(source);
        Ok(None)
    }

    fn open(&mut self, files: &F, name: &str) -> io::Result<()> {
        let file = files.open(name, false)?;
        match scan::header(files, &file)? {
            Some((header, check)) => {
                let place = scan::Place::first(&header, check);
                self.source = Some(Source { file, header, place });
            }
            None => self.has_damage = true,
        }
        Ok(())
    }

    fn copy(&mut self, head: &Head, body: &[u8], guide: &Guide<'_>, out: &mut Vec<u8>) {
        let mut whole = Vec::with_capacity(body.len());
        let mut count = 0;
        for (seq, entry) in (head.first..).zip(split(body).map_while(Result::ok)) {
            let edited = guide.erasures.edit(seq, entry);
            match self.mode {
                Mode::Erase => {
                    put(edited.unwrap_or(Entry::Hole), &mut whole);
                    count += 1;
                }
                Mode::Keep if guide.kept.messages.contains_key(&seq) => {
                    let Some(entry) = edited else { continue };
                    let mut alone = Vec::new();
                    put(at_number(entry, head.first), &mut alone);
                    self.put(&Head { first: seq, count: 1, ..*head }, &alone, out);
                }
                Mode::Keep => {}
            }
        }
        if self.mode == Mode::Erase {
            self.put(&Head { count, ..*head }, &whole, out);
        }
    }

    /// Appends a record. Where records of a log were skipped because they are damaged, holes take their
    /// numbers.
    fn put(&mut self, head: &Head, body: &[u8], out: &mut Vec<u8>) {
        while self.header.kind == Kind::Log && self.next < head.first {
            let count = (head.first - self.next).min(BATCH_ENTRIES_MAX.into()) as u16;
            let mut holes = Vec::new();
            (0..count).for_each(|_| put(Entry::Hole, &mut holes));
            self.put_one(&Head { first: self.next, count, ..*head }, &holes, out);
        }
        self.put_one(head, body, out);
    }

    fn put_one(&mut self, head: &Head, body: &[u8], out: &mut Vec<u8>) {
        let offset = self.end + out.len() as u64;
        self.index.add(head.first, offset as u32, body);
        let head = Head { previous: self.check, synced: 0, ..*head };
        self.check = head.emit(self.header.salt, body, out);
        self.next = head.first + u64::from(head.count);
        self.last = self.next - 1;
        let oldest = self.clocks.map_or(head.clock, |(oldest, _)| oldest);
        self.clocks = Some((oldest, head.clock));
    }

    /// Ends the copy and puts it into its place.
    fn finish(&mut self, files: &F) -> io::Result<Sealed> {
        let (oldest, newest) = self.clocks.unwrap_or((self.header.clock, self.header.clock));
        let footer = Footer { end: self.end, check: self.check, last: self.last, oldest, newest };
        let bytes = footer.emit(self.header.salt, &self.index);
        write_all(files, &self.out, self.end, &bytes)?;
        files.sync(&self.out)?;
        files.rename(&draft(&self.name), &self.name)?;
        files.sync_folder(folder(&self.name))?;
        let bytes = self.end + bytes.len() as u64;
        let messages = self.index.messages();
        Ok(Sealed { first: self.header.first, last: self.last, bytes, oldest, newest, messages })
    }

    /// Gives up: nothing of it stays.
    pub(super) fn abandon(self, files: &F) {
        // What can't be removed now is removed at the next start.
        let _ = files.unlink(&draft(&self.name));
    }
}

/// What a sealed segment ends with.
pub(super) struct Footer {
    /// Where it begins, and the checksum of the record before.
    pub(super) end: u64,
    pub(super) check: u32,
    pub(super) last: u64,
    pub(super) oldest: u64,
    pub(super) newest: u64,
}

impl Footer {
    pub(super) fn emit(&self, salt: u32, index: &Index) -> Vec<u8> {
        let (bodies, keys) = index.emit();
        let mut out = Vec::with_capacity(bodies.len() + keys.len() + 3 * HEADER_BYTES);
        let head = |holds, previous| Head {
            holds,
            previous,
            first: self.last + 1,
            count: 0,
            wall: 0,
            clock: self.newest,
            synced: 0,
            len: 0,
            body: 0,
            check: 0,
        };
        let check = head(Holds::Index, self.check).emit(salt, &bodies, &mut out);
        let keys_at = self.end + out.len() as u64;
        let previous = head(Holds::Keys, check).emit(salt, &keys, &mut out);
        let trailer = Trailer {
            index: self.end as u32,
            keys: keys_at as u32,
            last: self.last,
            oldest: self.oldest,
            newest: self.newest,
            messages: index.messages(),
            previous,
        };
        out.put(&trailer.emit(salt));
        out
    }
}

/// The name of a file that is not whole yet.
fn draft(name: &str) -> String {
    format!("{name}.tmp")
}

/// Appends an entry as it stands in a batch. One that was read is within its bounds, and what stands in a
/// message's place is, too.
fn put(entry: Entry<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    out.put_u32(0);
    let fits = entry.emit(out).is_ok();
    debug_assert!(fits);
    let len = length(out.len() - start - size_of::<u32>());
    out[start..start + size_of::<u32>()].copy_from_slice(&len.to_le_bytes());
}

/// The same entry with a number in the place of a place in its batch, which it will have no more.
fn at_number(entry: Entry<'_>, first: u64) -> Entry<'_> {
    match entry {
        Entry::Message { channel, from, key, data, is_kept, link } => {
            let link = link.map(|Link { at, to }| Link { at, to: Target::Number(to.number(first)) });
            Entry::Message { channel, from, key, data, is_kept, link }
        }
        other => other,
    }
}
