//! permessage-deflate: a message's payload compressed, and the other way round.
//!
//! It knows no frame and no connection, and what was agreed on is in [`super::extensions`]. There is one
//! compressor and one decompressor for the whole program, and both begin afresh with each message: a
//! message is compressed once for all of its readers, which no context of one connection allows, and an idle
//! connection owns no window. That is why the handshake always answers `server_no_context_takeover` and
//! `client_no_context_takeover` (RFC 7692, sections 7.1.1.1 and 7.1.1.2 leave it to the server).
//!
//! A message that comes in fragments is kept compressed until it is whole. What is held for it is then never
//! more than what its sender has sent; inflated as it comes, a kilobyte could make us hold a megabyte.
//!
//! Read first: RFC 7692, sections 7.2.1 to 7.2.3; RFC 1951, section 3.2.
//!
//! ```text
//!   payload ──► DEFLATE, flushed to a byte ──► … 00 | 00 00 ff ff      the last four octets stay here
//!   … 00 | 00 00 ff ff | 01 00 00 ff ff ──► inflated ──► payload      and are put back, with a last block
//! ```

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::ws::{FrameHeader, HEADER_BYTES_MAX, Offence, Opcode};
use crate::account::Image;
use crate::limits::{
    DEFLATE_BYTES_MIN, DEFLATE_GAIN, DEFLATE_KEPT_BYTES_MAX, DEFLATE_LEVEL, DEFLATE_STREAMS_MAX,
    DEFLATED_BYTE_COST,
};
use crate::work;

/// What a flush to a byte boundary ends with: the lengths of an empty stored block. RFC 7692, section 7.2.1.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// An empty stored block that is the last one: an inflater that stood between two blocks ends behind it, one
/// that stood anywhere else does not, and so a payload that was cut short is told from a whole one.
const END: [u8; 5] = [0x01, 0x00, 0x00, 0xff, 0xff];

/// How far back the compressor may point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// 32,768 octets, the most there is: what nearly every client takes.
    Full,
    /// 256 octets, for all clients that asked for less, be it 8 bits or 14. They are few, and one form of a
    /// message serves them all.
    Narrow,
}

impl Window {
    /// The compressor's own parameter. zlib knows no window of 8 bits, but never points back by more than
    /// the window less 262 octets: with 9 bits by 250, which a window of 8 bits holds.
    fn bits(self) -> u8 {
        match self {
            Window::Full => 15,
            Window::Narrow => 9,
        }
    }
}

/// The program's compressors. They are made when the first message needs them.
#[derive(Debug, Default)]
pub struct Deflater {
    full: Compressor,
    narrow: Compressor,
    /// Room for a header, and behind it what is compressed.
    scratch: Vec<u8>,
    counts: Counts,
    /// Octets that may still be compressed before the caller grants more. None: any number.
    granted: Option<u64>,
}

/// The compressor for one window.
#[derive(Debug, Default)]
struct Compressor {
    inner: Option<Compress>,
    last: Option<Last>,
}

/// The message that was compressed last for a single reader, and what came of it: the next reader may well be
/// sent the same.
#[derive(Debug)]
struct Last {
    opcode: Opcode,
    payload: Vec<u8>,
    frame: Option<Image>,
}

/// What was compressed, or inflated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages.
    pub messages: u64,
    /// Octets of them as they went over the wire.
    pub wire: u64,
    /// Octets of them as they are.
    pub plain: u64,
}

impl Counts {
    fn add(&mut self, wire: usize, plain: usize) {
        self.messages += 1;
        self.wire += wire as u64;
        self.plain += plain as u64;
    }
}

impl Deflater {
    /// Shows the images that it holds.
    pub fn each_image(&self, show: &mut dyn FnMut(&Image)) {
        let last = [&self.full, &self.narrow].into_iter().filter_map(|compressor| compressor.last.as_ref());
        last.filter_map(|last| last.frame.as_ref()).for_each(show);
    }

    /// A whole, unmasked frame whose payload is compressed; `None` if that isn't worth a reader's time, and
    /// the message is to be sent as it is (RFC 7692, section 6: each message may be the one or the other).
    pub fn frame(&mut self, opcode: Opcode, payload: &[u8], window: Window) -> Option<Image> {
        let len = self.deflate(payload, window)?;
        self.counts.add(len, payload.len());
        // Section 6: RSV1 on the first frame of the message, which is its only one here.
        let header = FrameHeader { fin: true, rsv1: true, opcode, mask: None, len: len as u64 };
        let mut octets = Vec::with_capacity(HEADER_BYTES_MAX);
        header.emit(&mut octets);
        let start = HEADER_BYTES_MAX - octets.len();
        self.scratch[start..HEADER_BYTES_MAX].copy_from_slice(&octets);
        let frame = Image::from(&self.scratch[start..HEADER_BYTES_MAX + len]);
        self.tidy();
        Some(frame)
    }

    /// The same for whoever sends one message to many, one after the other: it is compressed for the first.
    pub fn frame_again(&mut self, opcode: Opcode, payload: &[u8], window: Window) -> Option<Image> {
        if payload.len() < DEFLATE_BYTES_MIN || payload.len() > DEFLATE_KEPT_BYTES_MAX {
            return self.frame(opcode, payload, window);
        }
        match &self.compressor(window).last {
            Some(last) if last.opcode == opcode && last.payload == payload => last.frame.clone(),
            _ => {
                let frame = self.frame(opcode, payload, window);
                let last = Last { opcode, payload: payload.to_vec(), frame: frame.clone() };
                self.compressor(window).last = Some(last);
                frame
            }
        }
    }

    /// Grants that many octets, with gain or without, in place of what was granted before. The message that
    /// passes them is the last that is compressed, until the next grant.
    pub fn grant(&mut self, octets: u64) {
        self.granted = Some(octets);
    }

    /// Lets go of the last message.
    pub fn forget(&mut self) {
        (self.full.last, self.narrow.last) = (None, None);
    }

    fn compressor(&mut self, window: Window) -> &mut Compressor {
        match window {
            Window::Full => &mut self.full,
            Window::Narrow => &mut self.narrow,
        }
    }

    /// Gives back what a large message was compressed in.
    fn tidy(&mut self) {
        if self.scratch.len() > DEFLATE_KEPT_BYTES_MAX {
            self.scratch = Vec::new();
        }
    }

    /// Compresses into the scratch, behind the room for a header. How long it became, if that is worth it.
    fn deflate(&mut self, payload: &[u8], window: Window) -> Option<usize> {
        if payload.len() < DEFLATE_BYTES_MIN || self.granted == Some(0) {
            return None;
        }
        self.granted = self.granted.map(|octets| octets.saturating_sub(payload.len() as u64));
        work::spend(DEFLATED_BYTE_COST * payload.len() as u64);
        // More than this is no gain, and then it may as well not fit.
        let room = payload.len() - payload.len() / DEFLATE_GAIN + TAIL.len();
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.resize(HEADER_BYTES_MAX + room, 0);
        let compress = self.compressor(window).inner.get_or_insert_with(|| {
            Compress::new_with_window_bits(Compression::new(DEFLATE_LEVEL), false, window.bits())
        });
        compress.reset();
        let done = compress.compress(payload, &mut scratch[HEADER_BYTES_MAX..], FlushCompress::Sync);
        // Both are bounded by lengths that are `usize`.
        let (used, len) = (compress.total_in() as usize, compress.total_out() as usize);
        // A flush that filled all the room there is may have more to say.
        let is_whole = done.is_ok() && used == payload.len() && len < room;
        let len = scratch[HEADER_BYTES_MAX..HEADER_BYTES_MAX + len].strip_suffix(&TAIL).map(<[u8]>::len);
        self.scratch = scratch;
        if !is_whole {
            // zlib-rs forgets in `reset` what it still has to say, but not where in its buffer that began:
            // after a few hundred of such messages the buffer has no room left, and it panics.
            self.compressor(window).inner = None;
            self.tidy();
        }
        len.filter(|_| is_whole)
    }

    /// What was compressed so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

/// The program's decompressor. It is made when the first message needs it.
#[derive(Debug, Default)]
pub struct Inflater {
    inner: Option<Decompress>,
    counts: Counts,
}

impl Inflater {
    /// The message that `payload` is the compressed form of, all fragments joined. RFC 7692, section 7.2.2.
    ///
    /// # Errors
    /// It is the form of none, or of one longer than `bytes_max`, which is noticed at the first octet too
    /// many: what lies behind it is never inflated.
    pub fn inflate(&mut self, payload: &[u8], bytes_max: usize) -> Result<Vec<u8>, Offence> {
        let inner = self.inner.get_or_insert_with(|| Decompress::new(false));
        let mut out = Vec::new();
        // Some encoders make nothing of nothing, where section 7.2.3.6 makes one octet of it.
        if !payload.is_empty() {
            whole(inner, payload, &mut out, bytes_max)?;
        }
        self.counts.add(payload.len(), out.len());
        Ok(out)
    }

    /// What was inflated so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

/// All of a payload, and what has to be put behind it.
fn whole(inner: &mut Decompress, payload: &[u8], out: &mut Vec<u8>, bytes_max: usize) -> Result<(), Offence> {
    let mut input = payload;
    for _ in 0..DEFLATE_STREAMS_MAX {
        inner.reset(false);
        let has_ended = feed(inner, &mut input, out, bytes_max)?;
        match (has_ended, input.is_empty()) {
            // A last block (BFINAL) ends DEFLATE, but not the message: another stream follows, be it only
            // the empty block of section 7.2.3.4 ...
            (true, false) => {}
            // ... which those leave out who think of BFINAL as the end. There is no second way to read it.
            (true, true) => return Ok(()),
            (false, _) => {
                let bad = |has_ended: bool| if has_ended { Err(Offence::BadDeflate) } else { Ok(()) };
                bad(feed(inner, &mut &TAIL[..], out, bytes_max)?)?;
                // A stored block that lacks just so many octets takes these for its own: they say nothing.
                let (mut end, len) = (&END[..], out.len());
                let has_ended = feed(inner, &mut end, out, bytes_max)? && end.is_empty();
                return bad(!has_ended || out.len() > len);
            }
        }
    }
    Err(Offence::BadDeflate)
}

/// Inflates `input`, up to its end or up to the end of a stream; whether that was it.
fn feed(
    inner: &mut Decompress,
    input: &mut &[u8],
    out: &mut Vec<u8>,
    bytes_max: usize,
) -> Result<bool, Offence> {
    loop {
        if out.len() == out.capacity() {
            // One octet beyond the limit shows that it is passed. Text shrinks to a third or so; what shrinks
            // more makes us double.
            let room = bytes_max.saturating_add(1) - out.len();
            out.reserve_exact((3 * input.len()).max(out.len()).max(64).min(room));
        }
        let (was_in, was_out) = (inner.total_in(), out.len());
        let status = inner.decompress_vec(input, out, FlushDecompress::None);
        let status = status.map_err(|_| Offence::BadDeflate)?;
        let used = (inner.total_in() - was_in) as usize;
        *input = &input[used..];
        if out.len() > bytes_max {
            return Err(Offence::TooBig);
        }
        match status {
            Status::StreamEnd => return Ok(true),
            _ if out.len() == out.capacity() => {}
            _ if input.is_empty() => return Ok(false),
            // It has room, it has input, and it does nothing: it never will.
            _ if used == 0 && out.len() == was_out => return Err(Offence::BadDeflate),
            _ => {}
        }
    }
}
