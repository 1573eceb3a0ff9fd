//! Looking at all that a folder has, byte by byte, and saying what is wrong with it.
//!
//! It changes nothing and needs no lock. In a folder that is written meanwhile the end of the last segment
//! may look torn.

use super::catalog::Sealed;
use super::checkpoint::{Checkpoint, NAME as CHECKPOINT};
use super::ends::Ends;
use super::entry::Batch;
use super::files::{Files, first_of, keeper_name, read_whole, segment_name};
use super::index::Index;
use super::meta;
use super::promise::{NAME as PROMISE, PromiseFile};
use super::recover::{Trouble, about};
use super::scan::{Record, Scan, header, trailer};
use super::segment::{Head, Holds, Kind};
use super::survey::segments;
use crate::limits::{FAULTS_TOLD_MAX, STATE_BYTES_MAX};

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Segments, and files of what waits for its reader.
    pub segments: u64,
    /// Entries in them.
    pub entries: u64,
    /// Messages among these.
    pub messages: u64,
    /// Records of the application at the last checkpoint.
    pub records: u64,
    /// The last number.
    pub last: u64,
    /// What is wrong, the first ones.
    pub faults: Vec<Fault>,
    /// How much is wrong.
    pub faults_count: u64,
    /// Bytes at the end of the last segment that a start would cut.
    pub torn_bytes: u64,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// In which file.
    pub file: String,
    /// Where in it.
    pub at: u64,
    /// What is wrong.
    pub what: &'static str,
}

impl Report {
    pub(super) fn fault(&mut self, file: &str, at: u64, what: &'static str) {
        self.faults_count += 1;
        if self.faults.len() < FAULTS_TOLD_MAX {
            self.faults.push(Fault { file: file.to_owned(), at, what });
        }
    }
}

impl Report {
    fn batch(&mut self, file: &str, record: &Record<'_>) {
        let Head { first, count, .. } = record.head;
        if Batch::parse(record.body, count).is_err() {
            self.fault(file, record.at, "a record that holds no entries");
        }
        self.entries += u64::from(count);
        self.last = self.last.max(first + u64::from(count) - 1);
    }
}

/// Looks at every byte of a folder.
///
/// # Errors
/// The system refuses to read something. What is damaged is in the report.
pub fn verify<F: Files>(files: &F) -> Result<Report, Trouble> {
    let mut report = Report::default();
    if meta::read(files).is_none() {
        report.fault(meta::NAME, 0, "it is missing or damaged");
    }
    if !matches!(PromiseFile::open(files), Ok(Some(_))) {
        report.fault(PROMISE, 0, "no promise of numbers is whole");
    }
    let checkpoint = read_checkpoint(files);
    let known = checkpoint.as_ref().map_or(&[][..], |checkpoint| &checkpoint.sealed);
    let firsts = segments(files)?;
    for (n, &first) in firsts.iter().enumerate() {
        let is_last = n + 1 == firsts.len();
        check(files, &segment_name(first), Kind::Log, is_last, &mut report)?;
    }
    let is_missing = |one: &&Sealed| !firsts.contains(&one.first);
    for one in known.iter().skip_while(|one| !firsts.contains(&one.first)).filter(is_missing) {
        report.fault(&segment_name(one.first), 0, "the segment is missing");
    }
    for name in about("keep", files.list("keep"))? {
        let Some(first) = first_of(&name) else { continue };
        check(files, &keeper_name(first), Kind::Keeper, false, &mut report)?;
    }
    match &checkpoint {
        Some(checkpoint) => report.records = checkpoint.state.records.len() as u64,
        None => report.fault(CHECKPOINT, 0, "it is missing or damaged"),
    }
    Ok(report)
}

pub(super) fn read_checkpoint<F: Files>(files: &F) -> Option<Checkpoint> {
    Checkpoint::parse(&read_whole(files, CHECKPOINT, STATE_BYTES_MAX).ok()?)
}

/// Looks at one file of records.
fn check<F: Files>(
    files: &F,
    name: &str,
    kind: Kind,
    is_last: bool,
    report: &mut Report,
) -> Result<(), Trouble> {
    report.segments += 1;
    let file = about(name, files.open(name, false))?;
    let length = about(name, files.length(&file))?;
    let Some((head, check)) = about(name, header(files, &file))?.filter(|(head, _)| head.kind == kind) else {
        report.fault(name, 0, "the header is damaged");
        return Ok(());
    };
    let end = about(name, trailer(files, &file, head.salt))?;
    let (mut index, mut ends, mut last) = (Index::default(), Ends::default(), head.first.saturating_sub(1));
    let mut scan = Scan::new(files, &file, &head, check);
    loop {
        let at = scan.at();
        let Some(record) = about(name, scan.next())? else {
            let is_end = end.is_some_and(|(_, trailer)| trailer == at);
            if is_end || at == length {
                break;
            }
            if is_last && end.is_none() && !about(name, scan.was_synced_beyond())? {
                report.torn_bytes = length - at;
                break;
            }
            report.fault(name, at, "a damaged record");
            if about(name, scan.skip())? {
                continue;
            }
            return Ok(());
        };
        if !ends.take(&record) {
            report.fault(name, at, "a record that may not stand here");
        } else if record.head.holds == Holds::Batch {
            index.add(record.head.first, at as u32, record.body);
            report.batch(name, &record);
            last = record.head.first + u64::from(record.head.count) - 1;
        }
    }
    report.messages += u64::from(index.messages());
    match end {
        Some((trailer, at)) if trailer.previous == scan.place().previous && scan.at() == at => {
            if !ends.agree(&trailer, &index, last) {
                report.fault(name, trailer.index.into(), "an index that is not that of the records");
            }
        }
        Some((_, at)) => report.fault(name, at, "a trailer of other records"),
        None if is_last => {}
        None => report.fault(name, length, "the file does not end as it should"),
    }
    Ok(())
}
