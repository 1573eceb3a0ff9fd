//! The format of a segment: its header, its records, its end. Bytes in, values out; no file is opened here.
//!
//! ```text
//!   header   64   "ENCKELOG" format kind epoch first number, last before it, salt clock … checksum
//!   record   48   length checksum previous body's checksum first number wall clock synced count kind
//!            …    the body: a batch, or an index; zeros up to a multiple of eight
//!   record        …
//!   ─── and when the segment is sealed ───
//!   index         a record: where the messages of each channel are        (index.rs)
//!   keys          a record: the digests of the keys, in order             (index.rs)
//!   trailer  64   "ENCKEEND" where these two are, last number, clocks, counts … checksum
//! ```
//!
//! Checksums are CRC-32C. That of a record begins with the segment's salt, covers the checksum of the record
//! before it, and so do all that follow: a sector that is old, or stands in the wrong place or file, can't
//! pass. `synced` is the part of the segment that was known to be on the medium when the record was written.
//! A damaged record below a later record's `synced` was acknowledged and is lost; one above it may be one
//! that a loss of power tore, and nobody was promised that it is there.

use super::bytes::{Put, Take, length};

/// Bytes of a segment's header, and of its trailer.
pub const HEADER_BYTES: usize = 64;

/// Bytes of a record before its body.
pub const HEAD_BYTES: usize = 48;

const MAGIC: &[u8; 8] = b"ENCKELOG";
const END_MAGIC: &[u8; 8] = b"ENCKEEND";
const FORMAT: u16 = 1;

/// What a file of records is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A part of the log: its numbers follow each other.
    Log = 1,
    /// What is kept of older parts: its numbers only grow.
    Keeper = 2,
}

/// The beginning of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the file is.
    pub kind: Kind,
    /// The epoch in which it was begun.
    pub epoch: u32,
    /// The number of its first entry.
    pub first: u64,
    /// The last number before it: one below the first, or less where numbers were skipped.
    pub before: u64,
    /// Where the checksums of its records begin.
    pub salt: u32,
    /// The log's clock when it was begun.
    pub clock: u64,
}

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Entries.
    Batch = 1,
    /// Where the messages of each channel are.
    Index = 2,
    /// The digests of keys.
    Keys = 3,
}

/// A record without its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What it holds.
    pub holds: Holds,
    /// The checksum of the record before it, or of the header.
    pub previous: u32,
    /// The number of its first entry.
    pub first: u64,
    /// How many entries it has.
    pub count: u16,
    /// Milliseconds since 1970 when it was written.
    pub wall: u64,
    /// The log's clock then.
    pub clock: u64,
    /// Bytes of the segment that were known to be on the medium.
    pub synced: u32,
    /// Bytes of the body.
    pub len: u32,
    /// The checksum of the body.
    pub body: u32,
    /// Its own checksum.
    pub check: u32,
}

/// The end of a sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// Where the index is.
    pub index: u32,
    /// Where the keys are.
    pub keys: u32,
    /// The number of the last entry.
    pub last: u64,
    /// The log's clock at the first record.
    pub oldest: u64,
    /// And at the last.
    pub newest: u64,
    /// How many messages it has.
    pub messages: u32,
    /// The checksum of the last record.
    pub previous: u32,
}

impl Header {
    /// The header's bytes, and the checksum with which the chain of records begins.
    #[must_use]
    pub fn emit(&self) -> ([u8; HEADER_BYTES], u32) {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.put(MAGIC);
        bytes.put_u16(FORMAT);
        bytes.put_u16(self.kind as u16);
        bytes.put_u32(self.epoch);
        bytes.put_u64(self.first);
        bytes.put_u64(self.before);
        bytes.put_u32(self.salt);
        bytes.put_u64(self.clock);
        finish(bytes, 0)
    }

    /// Reads a header. `None` for anything else, and for a format of another version.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<(Header, u32)> {
        let (mut take, check) = checked(bytes, 0, MAGIC)?;
        if take.u16()? != FORMAT {
            return None;
        }
        let kind = match take.u16()? {
            1 => Kind::Log,
            2 => Kind::Keeper,
            _ => return None,
        };
        let (epoch, first, before) = (take.u32()?, take.u64()?, take.u64()?);
        let header = Header { kind, epoch, first, before, salt: take.u32()?, clock: take.u64()? };
        Some((header, check))
    }
}

impl Trailer {
    /// The trailer's bytes.
    #[must_use]
    pub fn emit(&self, salt: u32) -> [u8; HEADER_BYTES] {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.put(END_MAGIC);
        bytes.put_u32(self.index);
        bytes.put_u32(self.keys);
        bytes.put_u64(self.last);
        bytes.put_u64(self.oldest);
        bytes.put_u64(self.newest);
        bytes.put_u32(self.messages);
        bytes.put_u32(self.previous);
        finish(bytes, salt).0
    }

    /// Reads a trailer; `None` for anything else.
    #[must_use]
    pub fn parse(bytes: &[u8], salt: u32) -> Option<Trailer> {
        let (mut take, _) = checked(bytes, salt, END_MAGIC)?;
        Some(Trailer {
            index: take.u32()?,
            keys: take.u32()?,
            last: take.u64()?,
            oldest: take.u64()?,
            newest: take.u64()?,
            messages: take.u32()?,
            previous: take.u32()?,
        })
    }
}

/// Fills up with zeros and a checksum at the end.
fn finish(mut bytes: Vec<u8>, salt: u32) -> ([u8; HEADER_BYTES], u32) {
    bytes.resize(HEADER_BYTES - size_of::<u32>(), 0);
    let check = crc32c::crc32c_append(salt, &bytes);
    bytes.put_u32(check);
    let mut whole = [0; HEADER_BYTES];
    whole.copy_from_slice(&bytes);
    (whole, check)
}

/// What stands behind the magic of a header or a trailer whose checksum is right.
fn checked<'a>(bytes: &'a [u8], salt: u32, magic: &[u8; 8]) -> Option<(Take<'a>, u32)> {
    let (covered, check) = bytes.get(..HEADER_BYTES)?.split_last_chunk::<4>()?;
    let check = u32::from_le_bytes(*check);
    let rest = covered.strip_prefix(magic)?;
    (crc32c::crc32c_append(salt, covered) == check).then_some((Take(rest), check))
}

impl Head {
    /// Appends a record to `out`, and gives its checksum. `len`, `body` and `check` of `self` are not looked
    /// at: they follow from the body.
    pub fn emit(&self, salt: u32, body: &[u8], out: &mut Vec<u8>) -> u32 {
        let start = out.len();
        out.put_u32(length(body.len()));
        out.put_u32(0);
        out.put_u32(self.previous);
        out.put_u32(0);
        out.put_u64(self.first);
        out.put_u64(self.wall);
        out.put_u64(self.clock);
        out.put_u32(self.synced);
        out.put_u16(self.count);
        out.put(&[self.holds as u8, 0]);
        debug_assert_eq!(out.len() - start, HEAD_BYTES);
        out.put(body);
        out.resize(start + HEAD_BYTES + padded(body.len()), 0);
        let sum = crc32c::crc32c_append(salt, &out[start + HEAD_BYTES..]);
        out[start + 12..start + 16].copy_from_slice(&sum.to_le_bytes());
        let check = head_check(&out[start..start + HEAD_BYTES], salt);
        out[start + 4..start + 8].copy_from_slice(&check.to_le_bytes());
        check
    }

    /// Reads the part before the body; `None` if these bytes are none of this segment.
    #[must_use]
    pub fn parse(bytes: &[u8], salt: u32) -> Option<Head> {
        let bytes = bytes.get(..HEAD_BYTES)?;
        let mut take = Take(bytes);
        let (len, check) = (take.u32()?, take.u32()?);
        if head_check(bytes, salt) != check {
            return None;
        }
        let (previous, body) = (take.u32()?, take.u32()?);
        let (first, wall, clock) = (take.u64()?, take.u64()?, take.u64()?);
        let (synced, count) = (take.u32()?, take.u16()?);
        let holds = match take.array()? {
            [1, 0] => Holds::Batch,
            [2, 0] => Holds::Index,
            [3, 0] => Holds::Keys,
            _ => return None,
        };
        Some(Head { holds, previous, first, count, wall, clock, synced, len, body, check })
    }

    /// Bytes of the whole record.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        (HEAD_BYTES + padded(self.len as usize)) as u64
    }

    /// The body, if `padded` is it with its zeros, whole and undamaged.
    #[must_use]
    pub fn body<'a>(&self, salt: u32, padded: &'a [u8]) -> Option<&'a [u8]> {
        let padded = padded.get(..self.bytes() as usize - HEAD_BYTES)?;
        (crc32c::crc32c_append(salt, padded) == self.body).then_some(&padded[..self.len as usize])
    }
}

/// The checksum of a head: all of it but the checksum itself.
fn head_check(head: &[u8], salt: u32) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(salt, &head[..4]), &head[8..])
}

/// Records begin at multiples of eight, so that those behind a damaged one are found again.
fn padded(len: usize) -> usize {
    len.next_multiple_of(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header =
        Header { kind: Kind::Log, epoch: 0x0bad_cafe, first: 42, before: 41, salt: 0x5a17_5a17, clock: 9 };
    const HEAD: Head = Head {
        holds: Holds::Batch,
        previous: 7,
        first: 42,
        count: 1,
        wall: 1_800_000_000_000,
        clock: 10,
        synced: 64,
        len: 0,
        body: 0,
        check: 0,
    };
    const TRAILER: Trailer =
        Trailer { index: 64, keys: 128, last: 43, oldest: 1, newest: 2, messages: 3, previous: 4 };

    #[test]
    fn emit_parse_twins() {
        let (bytes, check) = HEADER.emit();
        assert_eq!(Header::parse(&bytes), Some((HEADER, check)));
        assert_eq!(Trailer::parse(&TRAILER.emit(7), 7), Some(TRAILER));
        assert_eq!(Trailer::parse(&TRAILER.emit(7), 8), None, "of another segment");
        for len in [0, 1, 7, 8, 9] {
            let (body, mut bytes) = (vec![b'x'; len], Vec::new());
            let check = HEAD.emit(3, &body, &mut bytes);
            let head = Head::parse(&bytes, 3).expect("its own bytes");
            assert_eq!(head.bytes(), bytes.len() as u64);
            assert_eq!((head.check, head.len as usize, head.first), (check, len, HEAD.first));
            assert_eq!(head.body(3, &bytes[HEAD_BYTES..]), Some(&body[..]));
        }
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let mut record = Vec::new();
        HEAD.emit(3, b"twelve bytes", &mut record);
        for (what, bytes) in
            [("header", &HEADER.emit().0[..]), ("trailer", &TRAILER.emit(3)), ("record", &record)]
        {
            for bit in 0..bytes.len() * 8 {
                let mut bytes = bytes.to_vec();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let passes = match what {
                    "header" => Header::parse(&bytes).is_some(),
                    "trailer" => Trailer::parse(&bytes, 3).is_some(),
                    _ => Head::parse(&bytes, 3)
                        .is_some_and(|head| head.body(3, &bytes[HEAD_BYTES..]).is_some()),
                };
                assert!(!passes, "bit {bit} of the {what}");
            }
        }
    }

    #[test]
    fn a_record_of_another_segment_does_not_pass() {
        let mut bytes = Vec::new();
        HEAD.emit(3, b"body", &mut bytes);
        assert_eq!(Head::parse(&bytes, 4), None);
    }
}
