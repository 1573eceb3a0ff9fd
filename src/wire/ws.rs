//! WebSocket frames: header, mask, opcodes, close codes.
//!
//! It does not know messages (that is [`super::message`]), connections or time. A header is parsed as
//! strictly as the RFC allows: whatever a peer must not send has its own [`Offence`], and every offence its
//! close code.
//!
//! Read first: RFC 6455, section 5, and section 7.4 for the close codes.
//!
//! ```text
//!  octet 0            octet 1             0, 2 or 8 octets    0 or 4   len octets
//! +-+---+--------+   +----+-----------+   +---------------+   +-----+  +---------+
//! |F|RSV| opcode |   |MASK| len 0-125 |   | len when 126  |   | key |  | payload |
//! |I|123| 4 bits |   |    | 126   127 |   |      or 127   |   |     |  | ^ key   |
//! +-+---+--------+   +----+-----------+   +---------------+   +-----+  +---------+
//! ```

use crate::limits::CONTROL_PAYLOAD_BYTES_MAX;

/// Octets of the longest frame header: two, eight of length, four of masking key.
pub const HEADER_BYTES_MAX: usize = 14;

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const RSV2_RSV3: u8 = 0x30;
const OPCODE: u8 = 0x0F;
const MASK: u8 = 0x80;
const LEN: u8 = 0x7F;

/// The length field's two marks: what follows is a `u16`, or a `u64`.
const LEN_16: u8 = 126;
const LEN_64: u8 = 127;

/// Close codes this server sends. RFC 6455, section 7.4.1 and its IANA registry.
pub mod close {
    /// The purpose of the connection is fulfilled.
    pub const NORMAL: u16 = 1000;
    /// The server stops, or the page was left.
    pub const GOING_AWAY: u16 = 1001;
    /// The peer broke the framing rules.
    pub const PROTOCOL: u16 = 1002;
    /// A type of data this endpoint does not take.
    pub const UNSUPPORTED: u16 = 1003;
    /// Data that contradicts the message's type: text that is not UTF-8, or compressed data that isn't.
    pub const BAD_DATA: u16 = 1007;
    /// A rule of this server, not of the protocol.
    pub const POLICY: u16 = 1008;
    /// A message larger than this server takes.
    pub const TOO_BIG: u16 = 1009;
    /// The server is overloaded; the same may work later. Registered after RFC 6455.
    pub const TRY_AGAIN_LATER: u16 = 1013;
    /// The server failed.
    pub const INTERNAL: u16 = 1011;
    /// The server restarts; come back.
    pub const RESTART: u16 = 1012;
    /// The server is overloaded; come back later.
    pub const TRY_LATER: u16 = 1013;
}

/// What a peer did that RFC 6455 (or a limit) forbids. The connection ends with [`Offence::close_code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offence {
    /// A reserved bit without an extension that gives it a meaning.
    ReservedBits,
    /// An opcode that no specification defines.
    ReservedOpcode,
    /// A length written in more octets than it needs.
    LengthNotMinimal,
    /// A 64-bit length with its top bit set.
    LengthTopBit,
    /// A control frame with more than 125 octets of payload.
    ControlTooBig,
    /// A control frame without FIN.
    ControlFragmented,
    /// A client's frame without a mask.
    Unmasked,
    /// A continuation frame with no message to continue.
    ContinuationOfNothing,
    /// A new message before the last one's final fragment.
    MessageInMessage,
    /// A message longer than this server takes.
    TooBig,
    /// A message in more fragments than this server takes.
    TooManyFragments,
    /// Text or a close reason that is not UTF-8.
    NotUtf8,
    /// A compressed message that can't be inflated.
    BadDeflate,
    /// A close frame whose payload is one octet: half a code.
    CloseCutShort,
    /// A close code that must not appear on the wire.
    CloseCodeForbidden,
}

impl Offence {
    /// The code of the close frame that answers this offence. RFC 6455, section 7.4.1.
    pub fn close_code(self) -> u16 {
        match self {
            Offence::NotUtf8 | Offence::BadDeflate => close::BAD_DATA,
            Offence::TooManyFragments => close::POLICY,
            Offence::TooBig => close::TOO_BIG,
            Offence::ReservedBits
            | Offence::ReservedOpcode
            | Offence::LengthNotMinimal
            | Offence::LengthTopBit
            | Offence::ControlTooBig
            | Offence::ControlFragmented
            | Offence::Unmasked
            | Offence::ContinuationOfNothing
            | Offence::MessageInMessage
            | Offence::CloseCutShort
            | Offence::CloseCodeForbidden => close::PROTOCOL,
        }
    }

    /// The reason that goes with the code, for the one who reads the peer's console.
    pub fn reason(self) -> &'static str {
        match self {
            Offence::ReservedBits => "reserved bit without a negotiated extension",
            Offence::ReservedOpcode => "reserved opcode",
            Offence::LengthNotMinimal => "payload length is not in its shortest form",
            Offence::LengthTopBit => "payload length has its top bit set",
            Offence::ControlTooBig => "control frame over 125 bytes",
            Offence::ControlFragmented => "fragmented control frame",
            Offence::Unmasked => "client frames must be masked",
            Offence::ContinuationOfNothing => "continuation without a message",
            Offence::MessageInMessage => "new message inside a fragmented one",
            Offence::TooBig => "message too big",
            Offence::TooManyFragments => "too many fragments",
            Offence::NotUtf8 => "text is not UTF-8",
            Offence::BadDeflate => "compressed data is not DEFLATE, or was cut short",
            Offence::CloseCutShort => "close payload of one byte",
            Offence::CloseCodeForbidden => "close code not allowed on the wire",
        }
    }
}

/// What a frame is for. RFC 6455, section 5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// The next fragment of a message.
    Continuation = 0x0,
    /// A message of UTF-8, or its first fragment.
    Text = 0x1,
    /// A message of octets, or its first fragment.
    Binary = 0x2,
    /// The last frame in one direction.
    Close = 0x8,
    /// To be answered with a pong of the same payload.
    Ping = 0x9,
    /// The answer to a ping, or an unasked sign of life.
    Pong = 0xA,
}

impl Opcode {
    fn parse(bits: u8) -> Result<Opcode, Offence> {
        match bits {
            0x0 => Ok(Opcode::Continuation),
            0x1 => Ok(Opcode::Text),
            0x2 => Ok(Opcode::Binary),
            0x8 => Ok(Opcode::Close),
            0x9 => Ok(Opcode::Ping),
            0xA => Ok(Opcode::Pong),
            // Section 5.2: an unknown opcode fails the connection.
            _ => Err(Offence::ReservedOpcode),
        }
    }

    /// Control frames carry the top bit of the four. They may appear between the fragments of a message.
    pub fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

/// All that precedes a frame's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// The last, or only, fragment of its message.
    pub fin: bool,
    /// RFC 7692 gives the first reserved bit a meaning: this message is compressed. Whether that was
    /// agreed on is the reader's to know; here it is only kept from frames that can never carry it.
    pub rsv1: bool,
    /// What the frame is for.
    pub opcode: Opcode,
    /// The masking key: on every frame from a client, on none from a server.
    pub mask: Option<[u8; 4]>,
    /// Octets of payload, below 2^63.
    pub len: u64,
}

impl FrameHeader {
    /// Reads the header at the start of `octets` and says how many octets it takes; `None` when it goes on
    /// beyond them. An offence is named at the first octet that makes it certain.
    pub fn parse(octets: &[u8]) -> Result<Option<(FrameHeader, usize)>, Offence> {
        let Some(&first) = octets.first() else { return Ok(None) };
        // Section 5.2: reserved bits are zero unless an extension defines them. None that we know defines
        // these two.
        if first & RSV2_RSV3 != 0 {
            return Err(Offence::ReservedBits);
        }
        let (fin, rsv1) = (first & FIN != 0, first & RSV1 != 0);
        let opcode = Opcode::parse(first & OPCODE)?;
        // RFC 7692, section 6.1: the bit stands on the first frame of a message, never on another.
        if rsv1 && !matches!(opcode, Opcode::Text | Opcode::Binary) {
            return Err(Offence::ReservedBits);
        }
        // Section 5.5: control frames are never fragmented, and never longer than 125 octets.
        if opcode.is_control() && !fin {
            return Err(Offence::ControlFragmented);
        }
        let Some(&second) = octets.get(1) else { return Ok(None) };
        if opcode.is_control() && usize::from(second & LEN) > CONTROL_PAYLOAD_BYTES_MAX {
            return Err(Offence::ControlTooBig);
        }
        let Some((len, before_mask)) = parse_len(second & LEN, &octets[2..])? else { return Ok(None) };
        let mut used = 2 + before_mask;
        let mut mask = None;
        if second & MASK != 0 {
            let Some(&key) = octets[used..].first_chunk::<4>() else { return Ok(None) };
            mask = Some(key);
            used += key.len();
        }
        Ok(Some((FrameHeader { fin, rsv1, opcode, mask, len }, used)))
    }

    /// Writes the header, its length in the shortest form (section 5.2).
    pub fn emit(&self, out: &mut Vec<u8>) {
        debug_assert!(self.len >> 63 == 0, "a length never has its top bit set");
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let mask = flag(self.mask.is_some(), MASK);
        out.push(flag(self.fin, FIN) | flag(self.rsv1, RSV1) | self.opcode as u8);
        match (u8::try_from(self.len), u16::try_from(self.len)) {
            (Ok(len), _) if len < LEN_16 => out.push(mask | len),
            (_, Ok(len)) => {
                out.push(mask | LEN_16);
                out.extend_from_slice(&len.to_be_bytes());
            }
            _ => {
                out.push(mask | LEN_64);
                out.extend_from_slice(&self.len.to_be_bytes());
            }
        }
        out.extend_from_slice(self.mask.as_ref().map_or(&[], <[u8; 4]>::as_slice));
    }
}

/// The payload length whose first seven bits are `short`, and how many octets of `rest` it takes.
fn parse_len(short: u8, rest: &[u8]) -> Result<Option<(u64, usize)>, Offence> {
    match short {
        LEN_16 => {
            let Some(&octets) = rest.first_chunk::<2>() else { return Ok(None) };
            let len = u16::from_be_bytes(octets);
            // Section 5.2: the minimal number of octets must be used.
            if len < u16::from(LEN_16) {
                return Err(Offence::LengthNotMinimal);
            }
            Ok(Some((u64::from(len), octets.len())))
        }
        LEN_64 => {
            let Some(&octets) = rest.first_chunk::<8>() else { return Ok(None) };
            let len = u64::from_be_bytes(octets);
            // Section 5.2: the most significant bit must be 0.
            if len >> 63 != 0 {
                return Err(Offence::LengthTopBit);
            }
            if len <= u64::from(u16::MAX) {
                return Err(Offence::LengthNotMinimal);
            }
            Ok(Some((len, octets.len())))
        }
        len => Ok(Some((u64::from(len), 0))),
    }
}

/// Masks or unmasks (the same thing) a piece of a payload that starts `offset` octets into it. Section 5.3.
///
/// Sixteen octets at a time: a plain loop over words, which the compiler turns into vector instructions.
pub fn mask(key: [u8; 4], offset: usize, payload: &mut [u8]) {
    let mut turned = key;
    turned.rotate_left(offset % 4);
    let word = u128::from(u32::from_ne_bytes(turned)) * 0x0000_0001_0000_0001_0000_0001_0000_0001;
    let (words, rest) = payload.as_chunks_mut::<16>();
    for octets in words {
        *octets = (u128::from_ne_bytes(*octets) ^ word).to_ne_bytes();
    }
    for (octet, key) in rest.iter_mut().zip(turned.into_iter().cycle()) {
        *octet ^= key;
    }
}

/// Whether a close frame may carry `code`. RFC 6455, section 7.4: 1004 to 1006 and 1015 mean what is seen
/// without a frame, below 1000 nothing is defined, 1016 to 2999 are reserved for later RFCs, 5000 and above
/// do not exist.
pub fn is_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Writes a whole, unmasked frame: what a server sends. Section 5.1.
pub fn frame(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    debug_assert!(!opcode.is_control() || payload.len() <= CONTROL_PAYLOAD_BYTES_MAX);
    let len = payload.len() as u64;
    FrameHeader { fin: true, rsv1: false, opcode, mask: None, len }.emit(out);
    out.extend_from_slice(payload);
}

/// Writes a server's close frame. A reason that does not fit beside the code ends at its last whole character
/// that does: half a character would make the frame itself an offence.
pub fn close_frame(code: u16, reason: &str, out: &mut Vec<u8>) {
    debug_assert!(is_close_code(code), "{code} must not be sent");
    let mut end = reason.len().min(CONTROL_PAYLOAD_BYTES_MAX - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let len = (2 + end) as u64;
    FrameHeader { fin: true, rsv1: false, opcode: Opcode::Close, mask: None, len }.emit(out);
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(&reason.as_bytes()[..end]);
}

/// Writes a masked frame: what a client sends. For tests, fuzzing and load generators.
pub fn client_frame(fin: bool, opcode: Opcode, key: [u8; 4], payload: &[u8], out: &mut Vec<u8>) {
    masked_frame(FrameHeader { fin, rsv1: false, opcode, mask: Some(key), len: 0 }, key, payload, out);
}

/// The same, of a message that is compressed.
pub fn deflated_client_frame(fin: bool, opcode: Opcode, key: [u8; 4], payload: &[u8], out: &mut Vec<u8>) {
    masked_frame(FrameHeader { fin, rsv1: true, opcode, mask: Some(key), len: 0 }, key, payload, out);
}

fn masked_frame(header: FrameHeader, key: [u8; 4], payload: &[u8], out: &mut Vec<u8>) {
    FrameHeader { len: payload.len() as u64, ..header }.emit(out);
    let start = out.len();
    out.extend_from_slice(payload);
    mask(key, 0, &mut out[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    fn header(octets: &[u8]) -> FrameHeader {
        FrameHeader::parse(octets).expect("legal").expect("complete").0
    }

    #[test]
    fn rfc6455_5_7_examples() {
        let mut out = Vec::new();
        frame(Opcode::Text, b"Hello", &mut out);
        assert_eq!(out, [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);

        out.clear();
        client_frame(true, Opcode::Text, KEY, b"Hello", &mut out);
        assert_eq!(out, [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);

        let first = header(&[0x01, 0x03, 0x48, 0x65, 0x6c]);
        assert_eq!(first, FrameHeader { fin: false, rsv1: false, opcode: Opcode::Text, mask: None, len: 3 });
        let last = header(&[0x80, 0x02, 0x6c, 0x6f]);
        assert_eq!((last.fin, last.opcode, last.len), (true, Opcode::Continuation, 2));

        assert_eq!(header(&[0x82, 0x7E, 0x01, 0x00]).len, 256);
        assert_eq!(header(&[0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0]).len, 65_536);
    }

    #[test]
    fn header_parse_is_the_twin_of_emit() {
        let opcodes =
            [Opcode::Continuation, Opcode::Text, Opcode::Binary, Opcode::Close, Opcode::Ping, Opcode::Pong];
        let lens = [0, 1, 125, 126, 127, 65_535, 65_536, (1 << 63) - 1];
        for opcode in opcodes {
            for len in lens {
                for (fin, mask) in [(true, None), (true, Some(KEY)), (false, None), (false, Some(KEY))] {
                    if opcode.is_control() && (len > 125 || !fin) {
                        continue;
                    }
                    let header = FrameHeader { fin, rsv1: false, opcode, mask, len };
                    let mut out = Vec::new();
                    header.emit(&mut out);
                    assert!(out.len() <= HEADER_BYTES_MAX);
                    assert_eq!(FrameHeader::parse(&out), Ok(Some((header, out.len()))));
                    for cut in 0..out.len() {
                        assert_eq!(FrameHeader::parse(&out[..cut]), Ok(None), "cut at {cut}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_forbidden_header_has_its_offence() {
        let offence = |octets: &[u8]| FrameHeader::parse(octets).expect_err("forbidden");
        assert_eq!(offence(&[0xA1]), Offence::ReservedBits);
        assert_eq!(offence(&[0x91]), Offence::ReservedBits);
        assert_eq!(offence(&[0xC0]), Offence::ReservedBits, "compressed continuation");
        assert_eq!(offence(&[0xC9]), Offence::ReservedBits, "compressed ping");
        for opcode in [0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF] {
            assert_eq!(offence(&[0x80 | opcode]), Offence::ReservedOpcode);
        }
        assert_eq!(offence(&[0x09]), Offence::ControlFragmented);
        assert_eq!(offence(&[0x89, 0xFE]), Offence::ControlTooBig);
        assert_eq!(offence(&[0x88, 0x7F]), Offence::ControlTooBig);
        assert_eq!(offence(&[0x82, 0x7E, 0, 125]), Offence::LengthNotMinimal);
        assert_eq!(offence(&[0x82, 0x7F, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]), Offence::LengthNotMinimal);
        assert_eq!(offence(&[0x82, 0x7F, 0x80, 0, 0, 0, 0, 0, 0, 0]), Offence::LengthTopBit);
    }

    #[test]
    fn rsv1_reaches_the_reader_on_a_first_frame_only() {
        assert!(header(&[0xC1, 0x00]).rsv1);
        assert!(header(&[0x42, 0x00]).rsv1);
        assert!(!header(&[0x81, 0x00]).rsv1);
    }

    #[test]
    fn mask_equals_the_naive_loop_at_every_offset_and_length() {
        for len in 0..70 {
            for offset in 0..9 {
                let plain: Vec<u8> = (0..len).map(|i: u8| i.wrapping_mul(31)).collect();
                let naive: Vec<u8> =
                    plain.iter().enumerate().map(|(i, octet)| octet ^ KEY[(i + offset) % 4]).collect();
                let mut fast = plain.clone();
                mask(KEY, offset, &mut fast);
                assert_eq!(fast, naive, "{len} octets at {offset}");
                mask(KEY, offset, &mut fast);
                assert_eq!(fast, plain, "masking twice changes nothing");
            }
        }
    }

    #[test]
    fn close_codes_of_rfc6455_7_4() {
        for code in [1000, 1001, 1002, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
            assert!(is_close_code(code), "{code}");
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65_535] {
            assert!(!is_close_code(code), "{code}");
        }
    }

    #[test]
    fn close_reason_ends_at_a_whole_character() {
        let mut out = Vec::new();
        close_frame(close::GOING_AWAY, &"€".repeat(60), &mut out);
        assert_eq!(&out[..4], [0x88, 125, 0x03, 0xE9]);
        assert_eq!(std::str::from_utf8(&out[4..]), Ok(&*"€".repeat(41)));

        out.clear();
        close_frame(close::GOING_AWAY, &"é".repeat(80), &mut out);
        assert_eq!(out.len(), 2 + 2 + 122);
        assert!(std::str::from_utf8(&out[4..]).is_ok());
    }

    #[test]
    fn offences_answer_with_their_code() {
        assert_eq!(Offence::Unmasked.close_code(), 1002);
        assert_eq!(Offence::NotUtf8.close_code(), 1007);
        assert_eq!(Offence::TooManyFragments.close_code(), 1008);
        assert_eq!(Offence::TooBig.close_code(), 1009);
    }
}
