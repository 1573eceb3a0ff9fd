//! WebSocket messages: a client's frames put together.
//!
//! It does not know connections, time, or what a message means; it never answers, it reports. Between
//! messages a [`Reader`] owns no memory beyond itself, so that an idle connection costs its sixteen bytes.
//!
//! Read first: RFC 6455, sections 5.4 (fragmentation), 5.5 (control frames), 7.4 (close codes), 8.1 (UTF-8).
//!
//! ```text
//!             +------------------ frame complete -------------------+
//!             v                                                     |
//!   idle -> Header --- header complete, and nothing forbids it --> Payload
//!    ^        |                                                     |
//!    |        +---- forbidden ----> ended <---- forbidden, close ---+
//!    +-------- the message's last frame complete -------------------+
//! ```

use crate::account::ALLOCATION_BYTES;
use crate::limits::{DEFLATED_SLACK, FRAGMENTS_MAX};
use crate::wire::deflate::Inflater;
use crate::wire::ws::{FrameHeader, HEADER_BYTES_MAX, Offence, Opcode, is_close_code, mask};

/// What a client said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole text message.
    Text(String),
    /// A whole binary message.
    Binary(Vec<u8>),
    /// A whole message that is compressed: to be inflated by the one inflater of the program.
    Deflated(Deflated),
    /// To be answered with a pong of the same payload (section 5.5.2).
    Ping(Vec<u8>),
    /// The answer to a ping, or a sign of life nobody asked for (section 5.5.3).
    Pong(Vec<u8>),
    /// The last thing a client says, with code and reason if it gave any (section 5.5.1).
    Close(Option<(u16, String)>),
}

/// A whole message, still compressed (RFC 7692).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deflated {
    is_text: bool,
    payload: Vec<u8>,
    bytes_max: u32,
}

impl Deflated {
    /// The message itself, which is as long as one may be and no longer.
    ///
    /// # Errors
    /// It is too long, no DEFLATE, or text that is not UTF-8 (section 6.2: that is judged of what comes out).
    pub fn inflate(self, inflater: &mut Inflater) -> Result<Event, Offence> {
        // A `u32` fits: Linux runs on nothing smaller.
        let payload = inflater.inflate(&self.payload, self.bytes_max as usize)?;
        event_of(self.is_text, payload)
    }
}

/// Puts a client's messages together from bytes as they arrive, cut wherever they may be.
#[derive(Debug)]
pub struct Reader {
    part: Option<Box<Part>>,
    message_bytes_max: u32,
    deflate: bool,
    ended: bool,
    /// See [`Reader::take_fragments`]. One read holds far fewer than fit.
    fragments: u16,
}

/// What the handshake and the server allow.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    message_bytes_max: u32,
    /// permessage-deflate was agreed on.
    deflate: bool,
}

// Paid by every open connection, busy or not.
const _: () = assert!(size_of::<Reader>() <= 16);

impl Reader {
    /// A reader that takes messages of up to `message_bytes_max` bytes.
    pub fn new(message_bytes_max: u32) -> Reader {
        Reader { part: None, message_bytes_max, deflate: false, ended: false, fragments: 0 }
    }

    /// The same, for a client that may compress its messages.
    #[must_use]
    pub fn with_deflate(mut self) -> Reader {
        self.deflate = true;
        self
    }

    /// Takes bytes off the front of `input` and returns the next event in them; `None` when all of `input` is
    /// taken and the next event needs more. An offence is named as soon as its octet is here, even in the
    /// middle of a frame, and after the events before it.
    ///
    /// After a close or an offence whatever follows is thrown away unseen: section 5.5.1 forbids the peer to
    /// send more, section 7.1.7 forbids us to look.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Event>, Offence> {
        if self.ended {
            *input = &[];
        }
        if self.part.is_none() {
            if input.is_empty() {
                return Ok(None);
            }
            if let Some((event, used)) = whole_message(input, self.message_bytes_max) {
                *input = &input[used..];
                return Ok(Some(event));
            }
        }
        let bounds = Bounds { message_bytes_max: self.message_bytes_max, deflate: self.deflate };
        let part = self.part.get_or_insert_default();
        let found = part.next(input, bounds);
        self.fragments = self.fragments.saturating_add(std::mem::take(&mut part.fragments));
        self.ended = matches!(found, Err(_) | Ok(Some(Event::Close(_))));
        if self.ended || part.is_blank() {
            self.part = None;
        }
        found
    }

    /// Frames since this was asked last that no event tells of: fragments that did not end their message.
    pub fn take_fragments(&mut self) -> u32 {
        u32::from(std::mem::take(&mut self.fragments))
    }

    /// Of a message that is not whole, the mark that its owner gave it first: `mark`, if that is now. What a
    /// mark means is the owner's affair.
    pub fn mark(&mut self, mark: u64) -> Option<u64> {
        self.part.as_mut().map(|part| *part.mark.get_or_insert(mark))
    }

    /// Bytes that it holds for a message or a frame that is not whole.
    pub fn held(&self) -> usize {
        self.part.as_ref().map_or(0, |part| {
            let payload = part.message.as_ref().map_or(0, |message| message.payload.capacity());
            size_of::<Part>() + part.control.capacity() + payload + ALLOCATION_BYTES
        })
    }

    /// Between two messages, owning nothing.
    pub fn is_idle(&self) -> bool {
        self.part.is_none()
    }
}

/// What has arrived of a message whose end has not.
#[derive(Debug, Default)]
struct Part {
    stage: Stage,
    /// The data frames so far. It stays while control frames pass between the fragments.
    message: Option<Message>,
    /// The payload of the control frame that is arriving.
    control: Vec<u8>,
    /// See [`Reader::mark`]; the next message has none.
    mark: Option<u64>,
    /// See [`Reader::take_fragments`].
    fragments: u16,
}

/// Which half of a frame comes next.
#[derive(Debug)]
enum Stage {
    Header { octets: [u8; HEADER_BYTES_MAX], kept: usize },
    Payload(Frame),
}

impl Default for Stage {
    fn default() -> Stage {
        Stage::Header { octets: [0; HEADER_BYTES_MAX], kept: 0 }
    }
}

/// A frame whose header is complete.
#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: Opcode,
    fin: bool,
    key: [u8; 4],
    len: u64,
    done: u64,
}

impl Part {
    fn next(&mut self, input: &mut &[u8], bounds: Bounds) -> Result<Option<Event>, Offence> {
        loop {
            let mut frame = match &mut self.stage {
                Stage::Payload(frame) => *frame,
                Stage::Header { octets, kept } => match take_header(octets, kept, input)? {
                    Some(header) => self.open(header, bounds)?,
                    None => return Ok(None),
                },
            };
            self.take_payload(&mut frame, input)?;
            if frame.done < frame.len {
                self.stage = Stage::Payload(frame);
                return Ok(None);
            }
            self.stage = Stage::default();
            if let Some(event) = self.close(frame)? {
                return Ok(Some(event));
            }
        }
    }

    /// Everything a header alone forbids, before its payload is waited for.
    fn open(&mut self, header: FrameHeader, bounds: Bounds) -> Result<Frame, Offence> {
        // Section 5.1: a server closes when it sees a frame that is not masked.
        let Some(key) = header.mask else { return Err(Offence::Unmasked) };
        // RFC 7692, section 6: legal where compression was agreed on.
        if header.rsv1 && !bounds.deflate {
            return Err(Offence::ReservedBits);
        }
        // Section 5.4: fragments of two messages are never mixed; control frames may stand between them.
        match (header.opcode, &mut self.message) {
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _) => {}
            (Opcode::Continuation, None) => return Err(Offence::ContinuationOfNothing),
            (Opcode::Text | Opcode::Binary, Some(_)) => return Err(Offence::MessageInMessage),
            (Opcode::Continuation, Some(message)) => message.admit(header.len)?,
            (Opcode::Text | Opcode::Binary, message) => {
                message.insert(Message::new(header, bounds.message_bytes_max)).admit(header.len)?;
            }
        }
        Ok(Frame { opcode: header.opcode, fin: header.fin, key, len: header.len, done: 0 })
    }

    /// Moves what is here of the frame's payload to where it belongs, unmasked.
    fn take_payload(&mut self, frame: &mut Frame, input: &mut &[u8]) -> Result<(), Offence> {
        let missing = usize::try_from(frame.len - frame.done).unwrap_or(usize::MAX);
        let (here, rest) = input.split_at(missing.min(input.len()));
        *input = rest;
        let offset = (frame.done % 4) as usize;
        frame.done += here.len() as u64;
        match &mut self.message {
            Some(message) if !frame.opcode.is_control() => {
                let left = frame.len - frame.done;
                let ahead = if frame.fin { left } else { u64::MAX };
                message.make_room(here.len(), ahead);
                append_unmasked(&mut message.payload, frame.key, offset, here);
                // At the message's end the whole of it is checked at once, see `Message::finish`.
                if !frame.fin || left > 0 { message.check() } else { Ok(()) }
            }
            _ => {
                append_unmasked(&mut self.control, frame.key, offset, here);
                Ok(())
            }
        }
    }

    /// A complete frame: the event it makes, if it is the last of its message.
    fn close(&mut self, frame: Frame) -> Result<Option<Event>, Offence> {
        let event = match frame.opcode {
            Opcode::Close => Event::Close(parse_close(&self.control)?),
            Opcode::Ping => Event::Ping(std::mem::take(&mut self.control)),
            Opcode::Pong => Event::Pong(std::mem::take(&mut self.control)),
            Opcode::Continuation | Opcode::Text | Opcode::Binary if !frame.fin => {
                self.fragments = self.fragments.saturating_add(1);
                return Ok(None);
            }
            Opcode::Continuation | Opcode::Text | Opcode::Binary => match self.message.take() {
                Some(message) => {
                    self.mark = None;
                    message.finish()?
                }
                // `open` lets no data frame pass without a message.
                None => return Err(Offence::ContinuationOfNothing),
            },
        };
        Ok(Some(event))
    }

    fn is_blank(&self) -> bool {
        self.message.is_none() && matches!(self.stage, Stage::Header { kept: 0, .. })
    }
}

/// The fragments of one message, joined.
#[derive(Debug)]
struct Message {
    is_text: bool,
    is_deflated: bool,
    bytes_max: u32,
    fragments: u32,
    payload: Vec<u8>,
    /// Octets of text known to be whole, valid characters; at most three more are a character's beginning.
    checked: usize,
}

impl Message {
    fn new(first: FrameHeader, bytes_max: u32) -> Message {
        let (is_text, is_deflated) = (first.opcode == Opcode::Text, first.rsv1);
        Message { is_text, is_deflated, bytes_max, fragments: 0, payload: Vec::new(), checked: 0 }
    }

    /// Bytes that it may have on the wire.
    fn wire_bytes_max(&self) -> u64 {
        let bytes_max = u64::from(self.bytes_max);
        if self.is_deflated { bytes_max + bytes_max / u64::from(DEFLATED_SLACK) + 64 } else { bytes_max }
    }

    /// Whether the message may have one more fragment of `len` bytes. Asked before they arrive: what does not
    /// fit is refused without being read.
    fn admit(&mut self, len: u64) -> Result<(), Offence> {
        self.fragments += 1;
        if self.fragments > FRAGMENTS_MAX {
            return Err(Offence::TooManyFragments);
        }
        if len.saturating_add(self.payload.len() as u64) > self.wire_bytes_max() {
            return Err(Offence::TooBig);
        }
        Ok(())
    }

    /// Makes room for `here` bytes that arrived, and by doubling for those to follow: at most `ahead`, and
    /// never beyond the limit. A header's promise alone allocates nothing, and a message whose length is
    /// certain ends without slack.
    fn make_room(&mut self, here: usize, ahead: u64) {
        let len = self.payload.len();
        if self.payload.capacity() - len < here {
            let below_limit = self.wire_bytes_max().saturating_sub((len + here) as u64);
            let spare = (len as u64).min(ahead).min(below_limit) as usize;
            self.payload.reserve_exact(here + spare);
        }
    }

    /// Finds the octet that no UTF-8 can contain as soon as it is here (section 8.1). Each octet is looked at
    /// once, but for a character cut in two, whose beginning is looked at again with what follows.
    fn check(&mut self) -> Result<(), Offence> {
        // What is compressed says nothing before it is whole.
        if !self.is_text || self.is_deflated {
            return Ok(());
        }
        match std::str::from_utf8(&self.payload[self.checked..]) {
            Ok(text) => self.checked += text.len(),
            Err(stop) if stop.error_len().is_none() => self.checked += stop.valid_up_to(),
            Err(_) => return Err(Offence::NotUtf8),
        }
        Ok(())
    }

    /// The joined message. A text that came in one read is checked here and only here.
    fn finish(self) -> Result<Event, Offence> {
        let Message { is_text, payload, bytes_max, .. } = self;
        if self.is_deflated {
            return Ok(Event::Deflated(Deflated { is_text, payload, bytes_max }));
        }
        event_of(is_text, payload)
    }
}

fn event_of(is_text: bool, payload: Vec<u8>) -> Result<Event, Offence> {
    if !is_text {
        return Ok(Event::Binary(payload));
    }
    String::from_utf8(payload).map(Event::Text).map_err(|_| Offence::NotUtf8)
}

/// A message that is here whole in one frame, as nearly all are, and how many octets it took. It needs
/// nothing
/// kept. `None` says nothing: the longer way then finds out what is missing or wrong.
fn whole_message(input: &[u8], bytes_max: u32) -> Option<(Event, usize)> {
    let (header, start) = FrameHeader::parse(input).ok()??;
    if !header.fin || header.rsv1 || header.len > u64::from(bytes_max) {
        return None;
    }
    let end = start + usize::try_from(header.len).ok()?;
    let mut payload = match header.opcode {
        Opcode::Text | Opcode::Binary => input.get(start..end)?.to_vec(),
        _ => return None,
    };
    mask(header.mask?, 0, &mut payload);
    let event = match header.opcode {
        Opcode::Text => Event::Text(String::from_utf8(payload).ok()?),
        _ => Event::Binary(payload),
    };
    Some((event, end))
}

/// Takes the next frame's header off `input`. What there is of one that is not complete is kept for later.
fn take_header(
    octets: &mut [u8; HEADER_BYTES_MAX],
    kept: &mut usize,
    input: &mut &[u8],
) -> Result<Option<FrameHeader>, Offence> {
    if *kept == 0
        && let Some((header, used)) = FrameHeader::parse(input)?
    {
        *input = &input[used..];
        return Ok(Some(header));
    }
    // A header is always complete within its longest form, so the index stays inside.
    while let Some((&octet, rest)) = input.split_first() {
        octets[*kept] = octet;
        *kept += 1;
        *input = rest;
        if let Some((header, _)) = FrameHeader::parse(&octets[..*kept])? {
            return Ok(Some(header));
        }
    }
    Ok(None)
}

fn append_unmasked(payload: &mut Vec<u8>, key: [u8; 4], offset: usize, here: &[u8]) {
    let start = payload.len();
    payload.extend_from_slice(here);
    mask(key, offset, &mut payload[start..]);
}

/// Section 5.5.1: nothing at all, or a code of two octets and a reason in UTF-8.
fn parse_close(payload: &[u8]) -> Result<Option<(u16, String)>, Offence> {
    if payload.is_empty() {
        return Ok(None);
    }
    let Some((&code, reason)) = payload.split_first_chunk::<2>() else {
        return Err(Offence::CloseCutShort);
    };
    let code = u16::from_be_bytes(code);
    if !is_close_code(code) {
        return Err(Offence::CloseCodeForbidden);
    }
    let reason = std::str::from_utf8(reason).map_err(|_| Offence::NotUtf8)?;
    Ok(Some((code, reason.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ws::client_frame;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    const MAX: u32 = 1 << 20;

    type Heard = (Vec<Event>, Option<Offence>);

    fn sent(frames: &[(bool, Opcode, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for &(fin, opcode, payload) in frames {
            client_frame(fin, opcode, KEY, payload, &mut out);
        }
        out
    }

    fn hear<'a>(reads: impl IntoIterator<Item = &'a [u8]>) -> Heard {
        let mut reader = Reader::new(MAX);
        let mut events = Vec::new();
        for mut input in reads {
            loop {
                match reader.next(&mut input) {
                    Ok(Some(event)) => events.push(event),
                    Ok(None) => break assert!(input.is_empty(), "all input is taken"),
                    Err(offence) => return (events, Some(offence)),
                }
            }
        }
        (events, None)
    }

    /// Whole, cut in two anywhere, and byte by byte: always the same.
    fn hear_all_ways(octets: &[u8]) -> Heard {
        let whole = hear([octets]);
        assert_eq!(hear(octets.chunks(1)), whole, "byte by byte");
        for cut in 0..=octets.len() {
            let (head, tail) = octets.split_at(cut);
            assert_eq!(hear([head, tail]), whole, "cut at {cut}");
        }
        whole
    }

    fn text(text: &str) -> Event {
        Event::Text(text.into())
    }

    #[test]
    fn idle_owns_nothing() {
        let mut reader = Reader::new(MAX);
        let octets = sent(&[(true, Opcode::Text, b"hi")]);
        let mut input = &octets[..3];
        assert_eq!(reader.next(&mut input), Ok(None));
        assert!(!reader.is_idle(), "three octets of a header are kept");
        let mut input = &octets[3..];
        assert_eq!(reader.next(&mut input), Ok(Some(text("hi"))));
        assert!(reader.is_idle());
        assert_eq!(reader.next(&mut input), Ok(None));
        assert!(reader.is_idle());
    }

    #[test]
    fn a_conversation_is_heard_however_it_is_cut() {
        let long = "x".repeat(300);
        let octets = sent(&[
            (true, Opcode::Text, b"Hello"),
            (true, Opcode::Binary, &[0, 255, 128]),
            (true, Opcode::Text, b""),
            (false, Opcode::Text, "κό".as_bytes()),
            (true, Opcode::Ping, b"still there?"),
            (false, Opcode::Continuation, b""),
            (true, Opcode::Pong, b""),
            (true, Opcode::Continuation, "σμε".as_bytes()),
            (true, Opcode::Text, long.as_bytes()),
            (true, Opcode::Close, b"\x03\xE8bye"),
        ]);
        let events = vec![
            text("Hello"),
            Event::Binary(vec![0, 255, 128]),
            text(""),
            Event::Ping(b"still there?".to_vec()),
            Event::Pong(vec![]),
            text("κόσμε"),
            text(&long),
            Event::Close(Some((1000, "bye".into()))),
        ];
        assert_eq!(hear_all_ways(&octets), (events, None));
    }

    #[test]
    fn rfc6455_5_7_masked_hello() {
        let octets = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(hear_all_ways(&octets), (vec![text("Hello")], None));
    }

    #[test]
    fn events_before_an_offence_are_heard_first() {
        let mut octets = sent(&[(true, Opcode::Text, b"one"), (true, Opcode::Ping, b"two")]);
        octets.extend_from_slice(&[0x81, 0x00]);
        let events = vec![text("one"), Event::Ping(b"two".to_vec())];
        assert_eq!(hear_all_ways(&octets), (events, Some(Offence::Unmasked)));
    }

    #[test]
    fn nothing_is_read_after_a_close_or_an_offence() {
        let mut octets = sent(&[(true, Opcode::Close, b""), (true, Opcode::Text, b"late")]);
        octets.push(0xFF);
        assert_eq!(hear_all_ways(&octets), (vec![Event::Close(None)], None));

        let mut reader = Reader::new(MAX);
        let mut input: &[u8] = &[0x83];
        assert_eq!(reader.next(&mut input), Err(Offence::ReservedOpcode));
        let octets = sent(&[(true, Opcode::Text, b"late")]);
        let mut input = &octets[..];
        assert_eq!(reader.next(&mut input), Ok(None));
        assert!(input.is_empty() && reader.is_idle());
        assert_eq!(reader.next(&mut &octets[..]), Ok(None), "the end lasts");
    }

    #[test]
    fn fragments_out_of_order_are_refused() {
        let loose = sent(&[(true, Opcode::Continuation, b"x")]);
        assert_eq!(hear_all_ways(&loose).1, Some(Offence::ContinuationOfNothing));
        let finished = sent(&[(true, Opcode::Text, b"x"), (true, Opcode::Continuation, b"y")]);
        assert_eq!(hear_all_ways(&finished), (vec![text("x")], Some(Offence::ContinuationOfNothing)));
        let mixed = sent(&[(false, Opcode::Text, b"x"), (true, Opcode::Text, b"y")]);
        assert_eq!(hear_all_ways(&mixed).1, Some(Offence::MessageInMessage));
    }

    #[test]
    fn compression_that_was_not_negotiated_is_refused() {
        assert_eq!(hear([&[0xC1, 0x80, 0, 0, 0, 0][..]]).1, Some(Offence::ReservedBits));
    }

    #[test]
    fn bad_text_fails_at_its_octet_in_an_unfinished_frame() {
        // What RFC 3629 forbids, octet by octet: overlong forms, surrogates, beyond U+10FFFF, strays.
        let bad: [&[u8]; 8] =
            [b"\xC0", b"\xFF", b"\x80", b"\xE0\x80", b"\xED\xA0", b"\xF0\x80", b"\xF4\x90", b"\xE2\x82\x41"];
        for octets in bad {
            let mut out = Vec::new();
            client_frame(true, Opcode::Text, KEY, &[b"ok ", octets, b"more to come"].concat(), &mut out);
            let at = 6 + 3 + octets.len();
            assert_eq!(hear([&out[..at - 1]]), (vec![], None), "{octets:x?}: legal so far");
            assert_eq!(hear([&out[..at]]).1, Some(Offence::NotUtf8), "{octets:x?}");
            assert_eq!(hear(out[..at].chunks(1)).1, Some(Offence::NotUtf8), "{octets:x?}");
        }
    }

    #[test]
    fn a_character_may_span_fragments_but_not_messages() {
        let euro = "€".as_bytes();
        let spans = sent(&[
            (false, Opcode::Text, &euro[..1]),
            (false, Opcode::Continuation, &euro[1..2]),
            (true, Opcode::Continuation, &euro[2..]),
        ]);
        assert_eq!(hear_all_ways(&spans), (vec![text("€")], None));
        let cut = sent(&[(false, Opcode::Text, &euro[..1]), (true, Opcode::Continuation, &euro[1..2])]);
        assert_eq!(hear_all_ways(&cut).1, Some(Offence::NotUtf8));
    }

    #[test]
    fn size_is_refused_from_the_header_alone() {
        let promise = |len, opcode, fin| {
            let mut out = Vec::new();
            FrameHeader { fin, rsv1: false, opcode, mask: Some(KEY), len }.emit(&mut out);
            out
        };
        let most = u64::from(MAX);
        assert_eq!(hear_all_ways(&promise(most, Opcode::Text, true)), (vec![], None));
        assert_eq!(hear_all_ways(&promise(most + 1, Opcode::Text, true)).1, Some(Offence::TooBig));
        assert_eq!(hear_all_ways(&promise((1 << 63) - 1, Opcode::Binary, true)).1, Some(Offence::TooBig));
        let mut two = sent(&[(false, Opcode::Binary, b"x")]);
        two.extend(promise(most, Opcode::Continuation, true));
        assert_eq!(hear_all_ways(&two).1, Some(Offence::TooBig));
    }

    #[test]
    fn a_promise_allocates_nothing_and_growth_stays_below_the_limit() {
        let payload = vec![7; MAX as usize];
        let mut out = Vec::new();
        client_frame(true, Opcode::Binary, KEY, &payload, &mut out);
        let mut reader = Reader::new(MAX);
        for mut read in out[..out.len() - 1].chunks(1000) {
            assert_eq!(reader.next(&mut read), Ok(None));
            let message = reader.part.as_ref().and_then(|part| part.message.as_ref()).expect("begun");
            assert!(message.payload.capacity() <= MAX as usize);
            assert!(message.payload.capacity() <= 2 * message.payload.len() + 1000);
        }
        assert_eq!(reader.next(&mut &out[out.len() - 1..]), Ok(Some(Event::Binary(payload))));
    }

    #[test]
    fn fragments_are_bounded_and_linear() {
        let mut out = Vec::new();
        let piece = [b'a'; 128];
        client_frame(false, Opcode::Text, KEY, &piece, &mut out);
        for _ in 2..FRAGMENTS_MAX {
            client_frame(false, Opcode::Continuation, KEY, &piece, &mut out);
        }
        let before_last = out.len();
        client_frame(true, Opcode::Continuation, KEY, &piece, &mut out);
        let mut reader = Reader::new(16 << 20);
        let Ok(Some(Event::Text(joined))) = reader.next(&mut &out[..]) else { panic!("one message") };
        assert_eq!(joined.len(), 16 << 20);

        out.truncate(before_last);
        client_frame(false, Opcode::Continuation, KEY, b"", &mut out);
        client_frame(false, Opcode::Continuation, KEY, b"", &mut out);
        assert_eq!(Reader::new(16 << 20).next(&mut &out[..]), Err(Offence::TooManyFragments));
    }

    #[test]
    fn close_payloads() {
        let close = |payload: &[u8]| hear_all_ways(&sent(&[(true, Opcode::Close, payload)]));
        assert_eq!(close(b""), (vec![Event::Close(None)], None));
        assert_eq!(close(b"\x03").1, Some(Offence::CloseCutShort));
        assert_eq!(close(b"\x03\xE9"), (vec![Event::Close(Some((1001, String::new())))], None));
        assert_eq!(close(b"\x03\xED").1, Some(Offence::CloseCodeForbidden), "1005 is never sent");
        assert_eq!(close(b"\x03\xE8\xFF").1, Some(Offence::NotUtf8));
    }

    #[test]
    fn random_messages_in_random_pieces_come_back() {
        let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
        let mut random = |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed % below as u64) as usize
        };
        for _ in 0..300 {
            let (mut octets, mut events) = (Vec::new(), Vec::new());
            for _ in 0..=random(4) {
                let words: String = (0..random(200)).map(|_| ['a', 'é', '€', '😀'][random(4)]).collect();
                let mut rest = words.as_bytes();
                let mut opcode = Opcode::Text;
                while random(3) > 0 {
                    let (piece, tail) = rest.split_at(random(rest.len() + 1));
                    client_frame(false, opcode, [random(256) as u8; 4], piece, &mut octets);
                    (rest, opcode) = (tail, Opcode::Continuation);
                }
                client_frame(true, opcode, KEY, rest, &mut octets);
                events.push(Event::Text(words));
            }
            let mut reads = Vec::new();
            let mut rest = &octets[..];
            while !rest.is_empty() {
                let (read, tail) = rest.split_at(1 + random(rest.len()));
                reads.push(read);
                rest = tail;
            }
            assert_eq!(hear(reads), (events, None));
        }
    }

    /// Tungstenite as an independent peer: what it sends as a client we hear, what we send it hears.
    #[test]
    fn an_independent_client_agrees() {
        use tungstenite::protocol::{Message, Role, WebSocket};
        let mut ours = Vec::new();
        crate::wire::ws::frame(Opcode::Text, "grüß dich".as_bytes(), &mut ours);
        crate::wire::ws::frame(Opcode::Binary, &[9; 70_000], &mut ours);
        let mut client =
            WebSocket::from_partially_read(std::io::Cursor::new(Vec::new()), ours, Role::Client, None);
        assert_eq!(client.read().expect("a frame"), Message::text("grüß dich"));
        assert_eq!(client.read().expect("a frame"), Message::binary(vec![9; 70_000]));
        client.send(Message::text("hello")).expect("written");
        client.send(Message::binary(vec![1; 66_000])).expect("written");
        let theirs = client.get_ref().get_ref();
        assert_eq!(hear([&theirs[..]]), (vec![text("hello"), Event::Binary(vec![1; 66_000])], None));
    }
}
