//! What a folder is: the epoch of its log and the secret of its keys, in a file that is written once.
//!
//! It is written last when a log is begun, so that a folder that has it is whole.

use std::io::{self, ErrorKind};

use super::bytes::{Put, Take};
use super::checkpoint::{NAME as CHECKPOINT, Parts};
use super::files::{Files, read_whole, replace};
use super::promise::{Promise, PromiseFile};
use super::recover::{Fresh, Trouble, about, damaged};
use super::store::Options;

/// The name of its file.
pub(super) const NAME: &str = "meta";

const MAGIC: &[u8; 8] = b"ENCKEMET";
const FORMAT: u16 = 1;
const BYTES: usize = 34;

/// See the top of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) epoch: u32,
    pub(super) secret: [u8; 16],
}

/// Reads it, or begins a log where none is.
pub(super) fn open<F: Files>(files: &F, fresh: Fresh, options: &Options) -> Result<Meta, Trouble> {
    match read_whole(files, NAME, BYTES) {
        Ok(bytes) => match parse(&bytes) {
            Some(meta) => Ok(meta),
            None => damaged(NAME, 0, "it is damaged, or of another version"),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let segments = about("log", files.list("log"))?;
            if let Some(name) = segments.first() {
                return damaged(&format!("log/{name}"), 0, "a segment, but the folder has no `meta`");
            }
            let meta = Meta { epoch: fresh.epoch, secret: fresh.secret };
            let through = options.promise_numbers;
            let promise = Promise { through, boot: files.boot(), is_lossy: false, is_clean: false };
            about("promise", PromiseFile::create(files, promise).map(|_| ()))?;
            let (state, erasures) = Default::default();
            let (sealed, keepers) = (&[][..], &[][..]);
            let empty = Parts {
                through: 0,
                clock: 0,
                wall: 0,
                lost: None,
                state: &state,
                erasures: &erasures,
                sealed,
                keepers,
            };
            about(CHECKPOINT, replace(files, CHECKPOINT, &empty.emit()))?;
            about(NAME, write(files, meta))?;
            Ok(meta)
        }
        Err(error) => about(NAME, Err(error)),
    }
}

/// What is there, if it is whole.
pub(super) fn read<F: Files>(files: &F) -> Option<Meta> {
    parse(&read_whole(files, NAME, BYTES).ok()?)
}

/// Writes it, for good.
pub(super) fn write<F: Files>(files: &F, meta: Meta) -> io::Result<()> {
    replace(files, NAME, &emit(meta))
}

fn emit(meta: Meta) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.put_u16(FORMAT);
    bytes.put_u32(meta.epoch);
    bytes.put(&meta.secret);
    let check = crc32c::crc32c(&bytes);
    bytes.put_u32(check);
    bytes
}

fn parse(bytes: &[u8]) -> Option<Meta> {
    let (covered, check) = bytes.split_last_chunk::<4>()?;
    if crc32c::crc32c(covered) != u32::from_le_bytes(*check) {
        return None;
    }
    let mut take = Take(covered.strip_prefix(MAGIC)?);
    let meta = (take.u16()? == FORMAT).then_some(Meta { epoch: take.u32()?, secret: take.array()? })?;
    take.is_empty().then_some(meta)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emit_parse_twins() {
        let meta = Meta { epoch: 0x0bad_cafe, secret: [7; 16] };
        let bytes = emit(meta);
        assert_eq!((bytes.len(), parse(&bytes)), (BYTES, Some(meta)));
        for bit in 0..BYTES * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&bytes), None, "bit {bit}");
        }
    }
}
