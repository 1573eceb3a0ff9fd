//! Request bodies: takes the bytes behind a head apart into content and what only frames it.
//!
//! It knows no head beyond its `Framing`, and keeps nothing: content is appended to the caller's buffer,
//! chunk extensions and trailer fields are checked and dropped. Memory follows the bytes that came, never
//! a length that was announced.
//!
//! ```text
//! chunked:  5;name=value CRLF  hello CRLF  ...  0 CRLF  Trailer: x CRLF  CRLF
//!           '-size line-'      '-data-'         last    '-trailers-'     end
//! ```
//!
//! Read first: RFC 9112, sections 6.3 and 7.1.

use std::io::Write;

use super::http::{Framing, Offence, is_text_byte, is_token_byte};
use crate::limits::{CHUNK_LINE_BYTES_MAX, TRAILER_BYTES_MAX};

/// The last chunk and an empty trailer section: the end of a chunked body.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Decodes one body out of a stream that comes in any pieces.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    /// Content bytes that are still to come of this chunk, or of the whole body if it has a length.
    left: u64,
    /// Content bytes the chunks to come may have together.
    room: u64,
    /// Bytes of the size line, or of the trailer section, so far.
    line: u16,
    state: State,
}

// One lies in every connection's slot.
const _: () = assert!(size_of::<Decoder>() <= 24);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Content under a Content-Length.
    Whole,

    /// Before the first digit of a chunk's size.
    SizeStart,
    Size,
    /// Space in front of a `;` that has to come.
    ExtensionDue,
    ExtensionName,
    ExtensionNameMore,
    /// Space behind a name: a `=` or a `;` has to come.
    ExtensionNameEnd,
    ExtensionValue,
    ExtensionToken,
    ExtensionQuoted,
    ExtensionEscape,
    ExtensionEnd,
    SizeLf,

    /// Content of a chunk, and the line end behind it.
    Data,
    DataCr,
    DataLf,

    /// Before a trailer field, or the empty line that ends the body.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,

    Done,
}

/// How far one call of `Decoder::decode` came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the input that belong to this body; what follows them is the next request.
    pub consumed: usize,
    /// Whether the body is complete.
    pub done: bool,
}

impl Decoder {
    /// A decoder for a body of at most `bytes_max` bytes of content. A length beyond that is refused before
    /// a byte of it is read.
    pub fn new(framing: Framing, bytes_max: u64) -> Result<Decoder, Offence> {
        let (state, left) = match framing {
            Framing::None | Framing::Length(0) => (State::Done, 0),
            Framing::Length(length) if length > bytes_max => return Err(Offence::BodyTooLong),
            Framing::Length(length) => (State::Whole, length),
            Framing::Chunked => (State::SizeStart, 0),
        };
        Ok(Decoder { left, room: bytes_max, line: 0, state })
    }

    /// Takes what it can of `input` and appends the content found to `out`.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Progress, Offence> {
        let mut at = 0;
        while at < input.len() && self.state != State::Done {
            if matches!(self.state, State::Whole | State::Data) {
                at += self.take(&input[at..], out);
            } else {
                self.state = self.step(input[at])?;
                at += 1;
            }
        }
        Ok(Progress { consumed: at, done: self.is_done() })
    }

    /// Content, as much as there is and as is due.
    fn take(&mut self, input: &[u8], out: &mut Vec<u8>) -> usize {
        let count = usize::try_from(self.left).map_or(input.len(), |left| left.min(input.len()));
        out.extend_from_slice(&input[..count]);
        self.left -= count as u64;
        if self.left == 0 {
            self.state = if self.state == State::Whole { State::Done } else { State::DataCr };
        }
        count
    }

    /// One byte of framing.
    fn step(&mut self, byte: u8) -> Result<State, Offence> {
        use State::*;
        match (self.state, byte) {
            (SizeLf, b'\n') => self.open_chunk(),
            (DataCr, b'\r') => Ok(DataLf),
            (DataLf, b'\n') => {
                self.line = 0;
                Ok(SizeStart)
            }
            (TrailerLf, b'\n') => Ok(TrailerStart),
            (EndLf, b'\n') => Ok(Done),
            (SizeLf | DataLf | TrailerLf | EndLf, _) => Err(Offence::BareCarriageReturn),
            // RFC 9112, section 2.2 speaks of heads; here a bare LF was never allowed.
            (_, b'\n') => Err(Offence::BareLineFeed),
            (DataCr, _) => Err(Offence::InvalidChunk),
            (TrailerStart | TrailerName | TrailerValue, _) => self.step_trailer(byte),
            _ => self.step_size_line(byte),
        }
    }

    /// `chunk-size [ chunk-ext ]`, RFC 9112, sections 7.1 and 7.1.1. Space may be around `;` and `=`, where
    /// the grammar calls it bad and RFC 9110, section 5.6.3, has it understood; behind what ends the line it
    /// may not.
    fn step_size_line(&mut self, byte: u8) -> Result<State, Offence> {
        use State::*;
        if byte != b'\r' {
            self.line += 1;
            if usize::from(self.line) > CHUNK_LINE_BYTES_MAX {
                return Err(Offence::ChunkLineTooLong);
            }
        }
        match (self.state, byte) {
            (SizeStart | Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                self.push_digit(byte)?;
                Ok(Size)
            }
            (Size | ExtensionNameMore | ExtensionToken | ExtensionEnd, b'\r') => Ok(SizeLf),
            (Size | ExtensionDue | ExtensionToken | ExtensionEnd, b';') => Ok(ExtensionName),
            (ExtensionNameMore | ExtensionNameEnd, b';') => Ok(ExtensionName),
            (ExtensionNameMore | ExtensionNameEnd, b'=') => Ok(ExtensionValue),
            (Size | ExtensionDue | ExtensionToken | ExtensionEnd, b' ' | b'\t') => Ok(ExtensionDue),
            (ExtensionNameMore | ExtensionNameEnd, b' ' | b'\t') => Ok(ExtensionNameEnd),
            (ExtensionName | ExtensionValue, b' ' | b'\t') => Ok(self.state),
            (ExtensionName | ExtensionNameMore, _) if is_token_byte(byte) => Ok(ExtensionNameMore),
            (ExtensionValue | ExtensionToken, _) if is_token_byte(byte) => Ok(ExtensionToken),
            (ExtensionValue, b'"') => Ok(ExtensionQuoted),
            // RFC 9110, section 5.6.4.
            (ExtensionQuoted, b'"') => Ok(ExtensionEnd),
            (ExtensionQuoted, b'\\') => Ok(ExtensionEscape),
            (ExtensionQuoted | ExtensionEscape, _) if is_text_byte(byte) => Ok(ExtensionQuoted),
            _ => Err(Offence::InvalidChunk),
        }
    }

    /// RFC 9112, section 7.1: recipients must anticipate large numbers and prevent overflow.
    fn push_digit(&mut self, digit: u8) -> Result<(), Offence> {
        let value = char::from(digit).to_digit(16).ok_or(Offence::InvalidChunk)?;
        let shifted = self.left.checked_mul(16).ok_or(Offence::InvalidChunk)?;
        self.left = shifted | u64::from(value);
        Ok(())
    }

    /// The size is known: a size of zero ends the content.
    fn open_chunk(&mut self) -> Result<State, Offence> {
        if self.left == 0 {
            self.line = 0;
            return Ok(State::TrailerStart);
        }
        self.room = self.room.checked_sub(self.left).ok_or(Offence::BodyTooLong)?;
        Ok(State::Data)
    }

    /// RFC 9112, section 7.1.2: trailer fields may be dropped. They are field lines all the same.
    fn step_trailer(&mut self, byte: u8) -> Result<State, Offence> {
        use State::*;
        self.line += 1;
        if usize::from(self.line) > TRAILER_BYTES_MAX {
            return Err(Offence::TrailersTooLong);
        }
        match (self.state, byte) {
            (TrailerStart, b'\r') => Ok(EndLf),
            (TrailerValue, b'\r') => Ok(TrailerLf),
            (TrailerStart, b' ' | b'\t') => Err(Offence::ObsoleteFolding),
            (TrailerStart | TrailerName, _) if is_token_byte(byte) => Ok(TrailerName),
            (TrailerName, b':') => Ok(TrailerValue),
            (TrailerName, b' ' | b'\t') => Err(Offence::SpaceBeforeColon),
            (TrailerValue, _) if is_text_byte(byte) => Ok(TrailerValue),
            (TrailerValue, _) => Err(Offence::ControlByte),
            _ => Err(Offence::InvalidHeader),
        }
    }

    /// Whether the body is complete. Without a body it is from the start.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }
}

/// Appends one chunk. Empty data appends nothing: an empty chunk would end the body.
pub fn emit_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    // Writing to a Vec can't fail.
    let _ = write!(out, "{:x}\r\n", data.len());
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u64 = 1000;

    /// Decodes a chunked body given whole: content and bytes consumed, once it is done.
    fn whole(input: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Offence> {
        let mut out = Vec::new();
        let progress = Decoder::new(Framing::Chunked, MAX)?.decode(input, &mut out)?;
        Ok(progress.done.then_some((out, progress.consumed)))
    }

    /// The same, given one byte at a time.
    fn dribbled(input: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Offence> {
        let mut decoder = Decoder::new(Framing::Chunked, MAX)?;
        let mut out = Vec::new();
        let mut consumed = 0;
        for &byte in input {
            consumed += decoder.decode(&[byte], &mut out)?.consumed;
        }
        Ok(decoder.is_done().then_some((out, consumed)))
    }

    fn xorshift(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    #[test]
    fn length_takes_its_bytes_and_no_more() {
        let mut decoder = Decoder::new(Framing::Length(5), 5).expect("fits");
        let mut out = Vec::new();
        let first = decoder.decode(b"hel", &mut out);
        assert_eq!(first, Ok(Progress { consumed: 3, done: false }));
        let second = decoder.decode(b"loGET /", &mut out);
        assert_eq!(second, Ok(Progress { consumed: 2, done: true }));
        let third = decoder.decode(b"GET /", &mut out);
        assert_eq!(third, Ok(Progress { consumed: 0, done: true }));
        assert_eq!(out, b"hello");
    }

    #[test]
    fn length_beyond_the_bound_is_refused_unread() {
        assert_eq!(Decoder::new(Framing::Length(6), 5).err(), Some(Offence::BodyTooLong));
        assert_eq!(Decoder::new(Framing::Length(u64::MAX), 5).err(), Some(Offence::BodyTooLong));
    }

    #[test]
    fn length_announced_allocates_nothing() {
        let mut decoder = Decoder::new(Framing::Length(1 << 40), u64::MAX).expect("fits");
        let mut out = Vec::new();
        assert!(decoder.decode(b"x", &mut out).is_ok());
        assert!(out.capacity() < 1024);
    }

    #[test]
    fn no_body_is_done_at_once() {
        assert!(Decoder::new(Framing::None, 0).is_ok_and(|decoder| decoder.is_done()));
        assert!(Decoder::new(Framing::Length(0), 0).is_ok_and(|decoder| decoder.is_done()));
    }

    #[test]
    fn chunked_bodies_accepted() {
        for (input, content) in [
            (&b"0\r\n\r\n"[..], &b""[..]),
            (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
            (b"000\r\n\r\n", b""),
            (b"00A\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n", b"0123456789x"),
            (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
            (b"1;a\r\nx\r\n0;b=c;d=\"e\\\" ;\t\xff\";f\r\n\r\n", b"x"),
            (b"1 ; a\r\nx\r\n0\t;\tb = c ; d =\"e\" ;f\r\n\r\n", b"x"),
            (b"1\r\nx\r\n0\r\nDigest: abc\r\nEmpty:\r\nX:\ty \xff\r\n\r\n", b"x"),
        ] {
            let text = input.escape_ascii();
            let expected = Ok(Some((content.to_vec(), input.len())));
            assert_eq!(whole(input), expected, "{text}");
            assert_eq!(dribbled(input), expected, "{text}");
            for end in 0..input.len() {
                assert_eq!(whole(&input[..end]), Ok(None), "{end} bytes of {text}");
            }
            let pipelined = [input, b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(whole(&pipelined), expected, "{text}");
        }
    }

    #[test]
    fn chunked_bodies_refused() {
        for (input, expected) in [
            (&b"\r\n"[..], Offence::InvalidChunk),
            (b"+5\r\n", Offence::InvalidChunk),
            (b"-1\r\n", Offence::InvalidChunk),
            (b" 5\r\n", Offence::InvalidChunk),
            (b"5 \r\n", Offence::InvalidChunk),
            (b"5 5\r\n", Offence::InvalidChunk),
            (b"5 a\r\n", Offence::InvalidChunk),
            (b"5 ;\r\n", Offence::InvalidChunk),
            (b"5;a \r\n", Offence::InvalidChunk),
            (b"5;a b\r\n", Offence::InvalidChunk),
            (b"5;a= \r\n", Offence::InvalidChunk),
            (b"5;a=b \r\n", Offence::InvalidChunk),
            (b"5;a=b c\r\n", Offence::InvalidChunk),
            (b"0x5\r\n", Offence::InvalidChunk),
            (b"5_0\r\n", Offence::InvalidChunk),
            (b"g\r\n", Offence::InvalidChunk),
            (b";a\r\n", Offence::InvalidChunk),
            (b"5,5\r\n", Offence::InvalidChunk),
            (b"5\0\r\n", Offence::InvalidChunk),
            (b"10000000000000000\r\n", Offence::InvalidChunk),
            (b"fffffffffffffffff\r\n", Offence::InvalidChunk),
            (b"ffffffffffffffff\r\n", Offence::BodyTooLong),
            (b"3e9\r\n", Offence::BodyTooLong),
            (b"5\n", Offence::BareLineFeed),
            (b"5;a\n", Offence::BareLineFeed),
            (b"5;a=\"\n", Offence::BareLineFeed),
            (b"5\rh", Offence::BareCarriageReturn),
            (b"5;\r\n", Offence::InvalidChunk),
            (b"5;=a\r\n", Offence::InvalidChunk),
            (b"5;a=\r\n", Offence::InvalidChunk),
            (b"5;a b\r\n", Offence::InvalidChunk),
            (b"5;a=\"b\r\n", Offence::InvalidChunk),
            (b"5;a=\"b\"c\r\n", Offence::InvalidChunk),
            (b"5;a=\"\0", Offence::InvalidChunk),
            (b"1\r\nxy", Offence::InvalidChunk),
            (b"1\r\nx\n", Offence::BareLineFeed),
            (b"1\r\nx\ry", Offence::BareCarriageReturn),
            (b"1\r\nx0\r\n", Offence::InvalidChunk),
            (b"1\r\nx\r\n\r\n", Offence::InvalidChunk),
            (b"0\r\n\n", Offence::BareLineFeed),
            (b"0\r\n\rX", Offence::BareCarriageReturn),
            (b"0\r\nX\r\n", Offence::InvalidHeader),
            (b"0\r\n: y\r\n", Offence::InvalidHeader),
            (b"0\r\nX(: y\r\n", Offence::InvalidHeader),
            (b"0\r\nX : y\r\n", Offence::SpaceBeforeColon),
            (b"0\r\nX: y\r\n z\r\n", Offence::ObsoleteFolding),
            (b"0\r\nX: \0", Offence::ControlByte),
            (b"0\r\nX: y\n", Offence::BareLineFeed),
            (b"0\r\nX: y\rz", Offence::BareCarriageReturn),
        ] {
            let text = input.escape_ascii();
            assert_eq!(whole(input), Err(expected), "{text}");
            assert_eq!(dribbled(input), Err(expected), "{text}");
        }
    }

    #[test]
    fn chunks_together_are_bounded() {
        let mut input = Vec::new();
        emit_chunk(&mut input, &[b'x'; 999]);
        emit_chunk(&mut input, b"y");
        assert_eq!(whole(&[&input, LAST_CHUNK].concat()).map(|found| found.is_some()), Ok(true));
        emit_chunk(&mut input, b"z");
        assert_eq!(whole(&input), Err(Offence::BodyTooLong));
    }

    #[test]
    fn size_lines_and_trailers_are_bounded() {
        let line = |len: usize| format!("0;{}\r\n\r\n", "a".repeat(len - 2));
        assert!(whole(line(CHUNK_LINE_BYTES_MAX).as_bytes()).is_ok());
        let over = line(CHUNK_LINE_BYTES_MAX + 1);
        assert_eq!(whole(over.as_bytes()), Err(Offence::ChunkLineTooLong));
        assert_eq!(whole(&[b'0'; 1000]), Err(Offence::ChunkLineTooLong));

        let trailer = |count: usize| format!("0\r\n{}\r\n", "a: b\r\n".repeat(count));
        assert!(whole(trailer(TRAILER_BYTES_MAX / 6).as_bytes()).is_ok());
        let over = trailer(TRAILER_BYTES_MAX / 4);
        assert_eq!(whole(over.as_bytes()), Err(Offence::TrailersTooLong));
    }

    #[test]
    fn emit_and_decode_are_twins() {
        let mut seed = 7;
        for _ in 0..500 {
            let (mut content, mut wire) = (Vec::new(), Vec::new());
            for _ in 0..xorshift(&mut seed) % 8 {
                let data: Vec<u8> =
                    (0..xorshift(&mut seed) % 100).map(|_| xorshift(&mut seed) as u8).collect();
                content.extend_from_slice(&data);
                emit_chunk(&mut wire, &data);
            }
            wire.extend_from_slice(LAST_CHUNK);
            let expected = Ok(Some((content, wire.len())));
            assert_eq!(whole(&wire), expected);
            assert_eq!(dribbled(&wire), expected);
        }
    }

    #[test]
    fn pieces_equal_the_whole_whatever_is_wrong() {
        const SEED_BODY: &[u8] = b"3;a=\"b\"\r\nxyz\r\n0\r\nT: u\r\n\r\n";
        let mut seed = 11;
        for _ in 0..20_000 {
            let mut bytes = SEED_BODY.to_vec();
            for _ in 0..=xorshift(&mut seed) % 3 {
                let at = xorshift(&mut seed) as usize % bytes.len();
                bytes[at] = SEED_BODY[xorshift(&mut seed) as usize % SEED_BODY.len()];
            }
            assert_eq!(whole(&bytes), dribbled(&bytes), "{}", bytes.escape_ascii());
        }
    }
}
