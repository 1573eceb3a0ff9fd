//! The promise: how far numbers may have been told, and in which run of the machine.
//!
//! It knows no entry. Before a number is told, a promise that covers it is on the medium. After a loss of
//! power numbers go on behind the promise, so that none is ever given twice, whatever of the log was lost.
//!
//! ```text
//!   file   slot 0 ┬ slot 1      written in turn: one of them is always whole
//!          64     │ 64 at 4096
//! ```

use std::io;

use super::bytes::{Put, Take};
use super::files::{Files, read_full, write_all};
use crate::limits::{BATCH_ENTRIES_MAX, GROUP_BATCHES_MAX, PROMISE_NUMBERS};

/// The name of its file.
pub(super) const NAME: &str = "promise";

const MAGIC: &[u8; 8] = b"ENCKEPRO";
const SLOT_BYTES: usize = 64;
const SLOTS_APART: u64 = 4096;

/// By how much a promise may be beyond the one before it. A damaged slot may have been the later one.
const STEP_MAX: u64 = PROMISE_NUMBERS + GROUP_BATCHES_MAX as u64 * BATCH_ENTRIES_MAX as u64;

/// Numbers up to `through` may have been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Promise {
    pub(super) through: u64,
    /// In which run of the machine; `None` if that can't be known.
    pub(super) boot: Option<[u8; 16]>,
    /// Messages were told before they were on the medium.
    pub(super) is_lossy: bool,
    /// The program ended after a sync, and told nothing after that.
    pub(super) is_clean: bool,
}

/// The file of the promise.
#[derive(Debug)]
pub(super) struct PromiseFile<F: Files> {
    file: F::File,
    generation: u64,
    pub(super) promise: Promise,
}

impl<F: Files> PromiseFile<F> {
    pub(super) fn create(files: &F, promise: Promise) -> io::Result<PromiseFile<F>> {
        let file = files.create(NAME)?;
        let mut made = PromiseFile { file, generation: 0, promise };
        made.write(files, promise)?;
        files.sync_folder("")?;
        Ok(made)
    }

    /// Reads the promise. The inner `None`: no slot is whole.
    pub(super) fn open(files: &F) -> io::Result<Option<PromiseFile<F>>> {
        let file = files.open(NAME, true)?;
        let mut newest: Option<(u64, Promise)> = None;
        let mut is_damaged = false;
        for slot in 0..2 {
            let mut bytes = [0; SLOT_BYTES];
            let read = read_full(files, &file, slot * SLOTS_APART, &mut bytes)?;
            match parse(&bytes[..read]) {
                Some(found) if newest.is_none_or(|newest| newest.0 < found.0) => newest = Some(found),
                Some(_) => {}
                None => is_damaged |= bytes.iter().any(|byte| *byte != 0),
            }
        }
        Ok(newest.map(|(generation, mut promise)| {
            if is_damaged {
                promise.through = promise.through.saturating_add(STEP_MAX);
                promise.is_clean = false;
            }
            PromiseFile { file, generation, promise }
        }))
    }

    /// Replaces the promise; it holds when this returns.
    pub(super) fn write(&mut self, files: &F, promise: Promise) -> io::Result<()> {
        let generation = self.generation + 1;
        write_all(files, &self.file, generation % 2 * SLOTS_APART, &emit(generation, &promise))?;
        files.sync(&self.file)?;
        (self.generation, self.promise) = (generation, promise);
        Ok(())
    }
}

fn emit(generation: u64, promise: &Promise) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SLOT_BYTES);
    bytes.put(MAGIC);
    bytes.put_u64(generation);
    bytes.put_u64(promise.through);
    let flags = [promise.boot.is_some(), promise.is_lossy, promise.is_clean];
    bytes.put(&flags.map(u8::from));
    bytes.put(&promise.boot.unwrap_or_default());
    bytes.resize(SLOT_BYTES - size_of::<u32>(), 0);
    let check = crc32c::crc32c(&bytes);
    bytes.put_u32(check);
    bytes
}

fn parse(bytes: &[u8]) -> Option<(u64, Promise)> {
    let (covered, check) = bytes.get(..SLOT_BYTES)?.split_last_chunk::<4>()?;
    if crc32c::crc32c(covered) != u32::from_le_bytes(*check) {
        return None;
    }
    let mut take = Take(covered.strip_prefix(MAGIC)?);
    let (generation, through) = (take.u64()?, take.u64()?);
    let [has_boot, is_lossy, is_clean] = take.array::<3>()?.map(|flag| flag != 0);
    let boot = take.array()?;
    let boot = has_boot.then_some(boot);
    Some((generation, Promise { through, boot, is_lossy, is_clean }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emit_parse_twins() {
        for (boot, is_lossy, is_clean) in [(None, true, false), (Some([7; 16]), false, true)] {
            let promise = Promise { through: 42, boot, is_lossy, is_clean };
            let bytes = emit(3, &promise);
            assert_eq!(parse(&bytes), Some((3, promise)));
            for bit in 0..bytes.len() * 8 {
                let mut bytes = bytes.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(parse(&bytes), None, "bit {bit}");
            }
            assert_eq!(parse(&bytes[1..]), None);
        }
    }
}
