//! Server-Sent Events: the event stream, written and read.
//!
//! It does not know what an event is about, nor when to reconnect. [`emit`] is what the server sends;
//! [`Decoder`] is what a browser does with it, for tests, fuzzing and the simulator.
//!
//! Read first: HTML, section 9.2, "Server-sent events", 9.2.5 (parsing) and 9.2.6 (interpreting).
//!
//! ```text
//! id: 7f3a-42          remembered by the browser, sent back as Last-Event-ID
//! event: message       the type page code listens to
//! data: {"type":...    one line for each line of the data
//!                      an empty line dispatches
//! ```

use crate::limits::PAD_BYTES_MAX;

/// Writes one event. `data` is UTF-8; each of its lines, ended by CR, LF or CRLF alike, becomes a line of its
/// own, and reaches the page with LF between them. An empty `event` leaves the type at `message`.
///
/// `id` and `event` are the server's own words: a line end, or NUL in an id (which browsers ignore whole),
/// would be a fault of this program and is asserted.
pub fn emit(out: &mut Vec<u8>, id: Option<&str>, event: &str, data: &[u8]) {
    assert!(!event.contains(['\r', '\n']), "an event's type is one line");
    if let Some(id) = id {
        assert!(!id.contains(['\r', '\n', '\0']), "an event's id is one line without NUL");
        field(out, b"id: ", id.as_bytes());
    }
    if !event.is_empty() {
        field(out, b"event: ", event.as_bytes());
    }
    let mut rest = data;
    while let Some(end) = rest.iter().position(|octet| matches!(octet, b'\r' | b'\n')) {
        field(out, b"data: ", &rest[..end]);
        let pair = rest[end..].starts_with(b"\r\n");
        rest = &rest[end + if pair { 2 } else { 1 }..];
    }
    // Also when there is no data at all: without a data line an event is not dispatched.
    field(out, b"data: ", rest);
    out.push(b'\n');
}

/// Writes how many milliseconds the browser waits before it connects again.
pub fn retry(out: &mut Vec<u8>, ms: u32) {
    field(out, b"retry: ", ms.to_string().as_bytes());
    out.push(b'\n');
}

/// Writes a comment of `bytes` bytes (at least two), so that browsers and proxies that hold back the start of
/// a response let it go.
pub fn padding(out: &mut Vec<u8>, bytes: usize) {
    let bytes = bytes.clamp(2, PAD_BYTES_MAX);
    out.push(b':');
    out.resize(out.len() + bytes - 2, b' ');
    out.push(b'\n');
}

/// A space follows the colon: browsers remove one, so that data may begin with its own.
fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// What a reader of a stream learns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// An event was dispatched.
    Event {
        /// The last event id at that moment, which an earlier event may have set.
        id: String,
        /// The type; `message` when none was given.
        event: String,
        /// The lines of data, joined by LF.
        data: String,
    },
    /// The time to wait before connecting again, in milliseconds.
    Retry(u64),
}

/// An event, or one line of it, is longer than the decoder takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooBig;

/// Reads an event stream as a browser does, from bytes cut anywhere.
#[derive(Debug)]
pub struct Decoder {
    event_bytes_max: usize,
    /// The line that is arriving.
    line: Vec<u8>,
    /// The line before ended with CR: an LF that comes next belongs to it.
    after_cr: bool,
    /// No line was read: a byte order mark may stand before the first.
    at_start: bool,
    data: String,
    event: String,
    last_event_id: String,
}

impl Decoder {
    /// A decoder of events up to `event_bytes_max` bytes of data.
    pub fn new(event_bytes_max: usize) -> Decoder {
        Decoder {
            event_bytes_max,
            line: Vec::new(),
            after_cr: false,
            at_start: true,
            data: String::new(),
            event: String::new(),
            last_event_id: String::new(),
        }
    }

    /// Takes bytes off the front of `input` and returns what they complete; `None` when all of it is taken.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Incoming>, TooBig> {
        while self.take_line(input)? {
            let line = std::mem::take(&mut self.line);
            // No character contains a line end, so that lines may be decoded one by one.
            let text = String::from_utf8_lossy(&line);
            // Section 9.2.5: one leading byte order mark is ignored.
            let first = std::mem::take(&mut self.at_start);
            let text = if first { text.strip_prefix('\u{FEFF}').unwrap_or(&text) } else { &text };
            if let Some(incoming) = self.interpret(text) {
                return Ok(Some(incoming));
            }
            if self.data.len() > self.event_bytes_max {
                return Err(TooBig);
            }
        }
        Ok(None)
    }

    /// What the page would send as `Last-Event-ID`.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// Moves the next line's bytes from `input`; true when its end was among them.
    fn take_line(&mut self, input: &mut &[u8]) -> Result<bool, TooBig> {
        // A CR at the end of a read is remembered until there is a byte that could be its LF.
        if input.is_empty() {
            return Ok(false);
        }
        if std::mem::take(&mut self.after_cr) {
            *input = input.strip_prefix(b"\n").unwrap_or(input);
        }
        let end = input.iter().position(|octet| matches!(octet, b'\r' | b'\n'));
        let (here, rest) = input.split_at(end.unwrap_or(input.len()));
        if self.line.len() + here.len() > self.event_bytes_max {
            return Err(TooBig);
        }
        self.line.extend_from_slice(here);
        self.after_cr = rest.starts_with(b"\r");
        *input = rest.get(1..).unwrap_or_default();
        Ok(end.is_some())
    }

    /// Section 9.2.6, "Interpreting an event stream".
    fn interpret(&mut self, line: &str) -> Option<Incoming> {
        if line.is_empty() {
            return self.dispatch();
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.event),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => value.clone_into(&mut self.last_event_id),
            "retry" if value.bytes().all(|octet| octet.is_ascii_digit()) => {
                return value.parse().ok().map(Incoming::Retry);
            }
            // An empty name is a comment; any other field is ignored.
            _ => {}
        }
        None
    }

    /// An empty line: the event is complete, unless there is no data.
    fn dispatch(&mut self) -> Option<Incoming> {
        let mut event = std::mem::take(&mut self.event);
        let mut data = std::mem::take(&mut self.data);
        // The LF after the last line; without any, there was no data line.
        data.pop()?;
        if event.is_empty() {
            event.push_str("message");
        }
        Some(Incoming::Event { id: self.last_event_id.clone(), event, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode<'a>(reads: impl IntoIterator<Item = &'a [u8]>) -> Vec<Incoming> {
        let mut decoder = Decoder::new(4096);
        let mut all = Vec::new();
        for mut input in reads {
            while let Some(incoming) = decoder.next(&mut input).expect("small") {
                all.push(incoming);
            }
            assert!(input.is_empty());
        }
        all
    }

    fn decode_all_ways(octets: &[u8]) -> Vec<Incoming> {
        let whole = decode([octets]);
        assert_eq!(decode(octets.chunks(1)), whole, "byte by byte");
        for cut in 0..octets.len() {
            let (head, tail) = octets.split_at(cut);
            assert_eq!(decode([head, tail]), whole, "cut at {cut}");
        }
        whole
    }

    fn event(id: &str, event: &str, data: &str) -> Incoming {
        Incoming::Event { id: id.into(), event: event.into(), data: data.into() }
    }

    #[test]
    fn emit_writes_the_fields_in_order() {
        let mut out = Vec::new();
        emit(&mut out, Some("7f3a-42"), "message", br#"{"type":"message"}"#);
        assert_eq!(out, b"id: 7f3a-42\nevent: message\ndata: {\"type\":\"message\"}\n\n");
    }

    #[test]
    fn newlines_in_data_stay_data() {
        for (data, read) in [
            ("a\nb", "a\nb"),
            ("a\r\nb\rc", "a\nb\nc"),
            ("\n\n", "\n\n"),
            ("a\r", "a\n"),
            ("a\n\nid: 9\ndata: b", "a\n\nid: 9\ndata: b"),
            (" a", " a"),
            (": not a comment", ": not a comment"),
            ("", ""),
        ] {
            let mut out = Vec::new();
            emit(&mut out, None, "", data.as_bytes());
            assert_eq!(decode_all_ways(&out), [event("", "message", read)], "{data:?}");
        }
    }

    #[test]
    #[should_panic(expected = "without NUL")]
    fn nul_in_an_id_is_our_own_fault() {
        emit(&mut Vec::new(), Some("a\0b"), "", b"");
    }

    #[test]
    fn retry_and_padding_dispatch_nothing() {
        let mut out = Vec::new();
        retry(&mut out, 1500);
        assert_eq!(out, b"retry: 1500\n\n");
        padding(&mut out, 64);
        assert_eq!(out.len(), 13 + 64);
        padding(&mut out, 0);
        emit(&mut out, Some("1"), "welcome", b"{}");
        assert_eq!(decode_all_ways(&out), [Incoming::Retry(1500), event("1", "welcome", "{}")]);
        out.clear();
        padding(&mut out, usize::MAX);
        assert_eq!(out.len(), PAD_BYTES_MAX);
    }

    #[test]
    fn html_9_2_6_examples() {
        let stream = b"data: YHOO\ndata: +2\ndata: 10\n\n";
        assert_eq!(decode_all_ways(stream), [event("", "message", "YHOO\n+2\n10")]);

        let stream =
            b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n";
        let first_two = [event("1", "message", "first event"), event("", "message", "second event")];
        assert_eq!(decode_all_ways(stream), first_two, "the third is never completed");

        let stream = b"data\n\ndata\ndata\n\ndata:";
        assert_eq!(decode_all_ways(stream), [event("", "message", ""), event("", "message", "\n")]);

        let stream = b"data:test\n\ndata: test\n\n";
        assert_eq!(decode_all_ways(stream), [event("", "message", "test"), event("", "message", "test")]);
    }

    #[test]
    fn all_line_ends_and_a_byte_order_mark() {
        let stream = "\u{FEFF}data: a\r\rdata: b\r\n\r\ndata: c\n\n\u{FEFF}data: d\n\n";
        let all = decode_all_ways(stream.as_bytes());
        assert_eq!(all, [event("", "message", "a"), event("", "message", "b"), event("", "message", "c")]);
    }

    #[test]
    fn a_line_end_cut_in_two_is_one() {
        let reads: [&[u8]; 3] = [b"data: a\r", b"\ndata: b\r", b"\n\r\n"];
        assert_eq!(decode(reads), [event("", "message", "a\nb")]);
    }

    #[test]
    fn ids_with_nul_and_odd_retries_are_ignored() {
        let stream =
            b"id: 1\nid: 2\0\nretry: 10s\nretry: -1\nretry:\nretry: 99999999999999999999\ndata: x\n\n";
        assert_eq!(decode_all_ways(stream), [event("1", "message", "x")]);
        let mut decoder = Decoder::new(100);
        assert_eq!(decoder.next(&mut &b"id: 7\n\n"[..]), Ok(None));
        assert_eq!(decoder.last_event_id(), "7", "an id counts without data");
    }

    #[test]
    fn the_type_of_an_event_without_data_is_forgotten() {
        assert_eq!(decode_all_ways(b"event: a\n\ndata: x\n\n"), [event("", "message", "x")]);
    }

    #[test]
    fn a_reader_keeps_no_more_than_it_said() {
        assert_eq!(Decoder::new(8).next(&mut &b"data: 12345"[..]), Err(TooBig));
        let endless = b"data: 1\n".repeat(9);
        assert_eq!(Decoder::new(8).next(&mut &endless[..]), Err(TooBig));
    }

    #[test]
    fn random_data_comes_back_with_its_lines() {
        let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
        let letters = ["\r", "\n", ":", " ", "data", "é", "😀", "\0"];
        for _ in 0..500 {
            let mut data = String::new();
            for _ in 0..10 {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                data.push_str(letters[(seed % letters.len() as u64) as usize]);
            }
            let mut out = Vec::new();
            emit(&mut out, Some("1-1"), "m", data.as_bytes());
            let read = data.replace("\r\n", "\n").replace('\r', "\n");
            assert_eq!(decode_all_ways(&out), [event("1-1", "m", &read)]);
        }
    }
}
