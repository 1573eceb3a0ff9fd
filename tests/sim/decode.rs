//! What a client makes of the bytes it gets: HTTP/1.1 responses, WebSocket frames, event streams, script calls.
//!
//! Written from the specifications and not from the server's emitters, and strict where a browser forgives: what
//! no server should send is a panic. Read first: RFC 9112, sections 6 and 7; RFC 6455, section 5; the event
//! stream format of the HTML standard, section 9.2.6.

use std::mem::take;

use serde_json::Value;

/// The head of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResponseHead {
    pub(crate) status: u16,
    fields: Vec<(String, String)>,
}

impl ResponseHead {
    /// Takes a head from the front of `bytes`, if it is whole.
    pub(crate) fn take(bytes: &mut Vec<u8>) -> Option<ResponseHead> {
        let end = find(bytes, b"\r\n\r\n")?;
        let text = String::from_utf8(bytes[..end].to_vec()).expect("a response head is text");
        bytes.drain(..end + 4);
        let mut lines = text.split("\r\n");
        let first = lines.next().expect("a split has a first part");
        let status = first.strip_prefix("HTTP/1.1 ").unwrap_or_else(|| panic!("no status line: {first:?}"));
        let (status, _) = status.split_once(' ').unwrap_or_else(|| panic!("no reason phrase: {first:?}"));
        let fields = lines.map(|line| {
            assert!(!line.contains(['\r', '\n']), "a bare line end in a field: {line:?}");
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no field: {line:?}"));
            assert!(!name.is_empty() && !name.contains(' '), "a bad field name: {line:?}");
            (name.to_ascii_lowercase(), value.trim().to_owned())
        });
        let head =
            ResponseHead { status: status.parse().expect("a status is a number"), fields: fields.collect() };
        for name in ["content-length", "transfer-encoding", "connection", "upgrade"] {
            assert!(head.all(name).count() <= 1, "{name} twice in {head:?}");
        }
        Some(head)
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn closes(&self) -> bool {
        self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// Where a body is in its framing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// So many bytes are to come.
    Length(usize),
    /// A chunk size is to come.
    Size,
    /// So many bytes of a chunk are to come, then its line end.
    Chunk(usize),
    /// The line end of a chunk.
    ChunkEnd,
    /// The trailer section; empty ones only.
    Trailer,
    /// All until the connection ends.
    Close,
    /// All of it was there.
    Done,
}

impl Body {
    /// The framing that a head announces (RFC 9112, section 6.3).
    pub(crate) fn of(head: &ResponseHead) -> Body {
        let chunked = head.field("transfer-encoding");
        let length = head.field("content-length");
        assert!(chunked.is_none() || length.is_none(), "two framings: {head:?}");
        if head.status == 204 || head.status == 304 || head.status < 200 {
            return Body::Done;
        }
        match (chunked, length) {
            (Some(coding), _) => {
                assert_eq!(coding, "chunked");
                Body::Size
            }
            (_, Some(length)) => Body::length(length.parse().expect("a length is a number")),
            (None, None) => {
                assert!(head.closes(), "a body without an end, and the connection stays: {head:?}");
                Body::Close
            }
        }
    }

    fn length(length: usize) -> Body {
        if length == 0 { Body::Done } else { Body::Length(length) }
    }

    /// Moves what belongs to the body from `bytes` to `out`.
    pub(crate) fn take(&mut self, bytes: &mut Vec<u8>, out: &mut Vec<u8>) {
        loop {
            match *self {
                Body::Done => return,
                Body::Close => return out.append(bytes),
                Body::Length(left) | Body::Chunk(left) => {
                    let count = left.min(bytes.len());
                    out.extend(bytes.drain(..count));
                    let chunk = matches!(self, Body::Chunk(_));
                    *self = match left - count {
                        0 if chunk => Body::ChunkEnd,
                        0 => Body::Done,
                        left if chunk => Body::Chunk(left),
                        left => Body::Length(left),
                    };
                    if count < left {
                        return;
                    }
                }
                Body::Size | Body::ChunkEnd | Body::Trailer => {
                    let Some(line) = take_line(bytes) else { return };
                    *self = match self {
                        Body::Size => {
                            match usize::from_str_radix(&line, 16).expect("a chunk size is hexadecimal") {
                                0 => Body::Trailer,
                                size => Body::Chunk(size),
                            }
                        }
                        Body::ChunkEnd => {
                            assert_eq!(line, "", "a chunk is longer than it says");
                            Body::Size
                        }
                        _ => {
                            assert_eq!(line, "", "a trailer that nobody announced");
                            Body::Done
                        }
                    };
                }
            }
        }
    }
}

/// A WebSocket frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) opcode: u8,
    /// Its payload is compressed: the first reserved bit.
    pub(crate) deflated: bool,
    pub(crate) payload: Vec<u8>,
}

/// The first reserved bit (RFC 7692, section 6).
pub(crate) const RSV1: u8 = 0x40;

pub(crate) const TEXT: u8 = 1;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

impl Frame {
    /// Takes a frame from the front of `bytes`, if it is whole. This server sends no fragments, and no reserved bit
    /// but that of compressed text.
    pub(crate) fn take(bytes: &mut Vec<u8>) -> Option<Frame> {
        let [first, second, ..] = bytes[..] else { return None };
        assert_eq!(first & 0xf0 & !RSV1, 0x80, "a fragment, or a reserved bit: {first:#x}");
        assert_eq!(second & 0x80, 0, "a server's frame is masked");
        let (header, length) = match second & 0x7f {
            126 => (4, u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
            127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)),
            length => (2, u64::from(length)),
        };
        let shortest = match length {
            0..=125 => 2,
            126..=65_535 => 4,
            _ => 10,
        };
        assert_eq!(header, shortest, "a length in more bytes than it needs");
        let opcode = first & 0x0f;
        assert!(matches!(opcode, 1 | 2 | 8 | 9 | 10), "an unknown opcode: {opcode}");
        let deflated = first & RSV1 != 0;
        assert!(!deflated || opcode < 8, "a compressed control frame");
        assert!(opcode < 8 || length <= 125, "a control frame of {length} bytes");
        let end = header + length as usize;
        if bytes.len() < end {
            return None;
        }
        let payload = bytes[header..end].to_vec();
        bytes.drain(..end);
        Some(Frame { opcode, deflated, payload })
    }

    /// A client's frame: masked.
    pub(crate) fn emit(opcode: u8, fin: bool, mask: [u8; 4], payload: &[u8], out: &mut Vec<u8>) {
        out.push(opcode | if fin { 0x80 } else { 0 });
        match payload.len() {
            length @ 0..=125 => out.push(0x80 | length as u8),
            length @ 126..=65_535 => {
                out.push(0x80 | 126);
                out.extend((length as u16).to_be_bytes());
            }
            length => {
                out.push(0x80 | 127);
                out.extend((length as u64).to_be_bytes());
            }
        }
        out.extend(mask);
        out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    }
}

/// An event of an event stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SseEvent {
    pub(crate) id: Option<String>,
    pub(crate) event: String,
    pub(crate) data: String,
}

/// Reads an event stream, as a browser does.
#[derive(Debug, Default)]
pub(crate) struct Sse {
    bytes: Vec<u8>,
    event: SseEvent,
    has_data: bool,
    pub(crate) retry: Option<u64>,
}

impl Sse {
    pub(crate) fn feed(&mut self, bytes: &mut Vec<u8>, out: &mut Vec<SseEvent>) {
        self.bytes.append(bytes);
        while let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
            let mut line: Vec<u8> = self.bytes.drain(..=end).collect();
            line.pop();
            let line = String::from_utf8(line).expect("an event stream is UTF-8");
            assert!(!line.contains('\r'), "a carriage return in {line:?}");
            if let Some(event) = self.line(&line) {
                out.push(event);
            }
        }
    }

    fn line(&mut self, line: &str) -> Option<SseEvent> {
        if line.is_empty() {
            let event = take(&mut self.event);
            return take(&mut self.has_data).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.has_data = true;
                self.event.data.push_str(value);
            }
            "event" => value.clone_into(&mut self.event.event),
            "id" => self.event.id = Some(value.to_owned()),
            "retry" => self.retry = Some(value.parse().expect("a retry time is a number")),
            "" => {}
            other => panic!("an unknown field: {other:?}"),
        }
        None
    }
}

/// Takes a line that ends in LF from the front of `bytes`.
pub(crate) fn take_json_line(bytes: &mut Vec<u8>) -> Option<String> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let line = String::from_utf8(bytes.drain(..=end).collect()).expect("a line of JSON is UTF-8");
    Some(line.trim_end().to_owned())
}

/// Takes the next call of `callback` from the front of a document that is still coming. What stands between the
/// calls is the document's own; only a whole call is taken.
pub(crate) fn take_script_call(bytes: &mut Vec<u8>, callback: &str) -> Option<String> {
    let open = format!("<script>{callback}(");
    let start = find(bytes, open.as_bytes())?;
    let rest = &bytes[start + open.len()..];
    let end = find(rest, b"</script>")?;
    let call = String::from_utf8(rest[..end].to_vec()).expect("a document is UTF-8");
    let consumed = start + open.len() + end + b"</script>".len();
    bytes.drain(..consumed);
    let argument = call.strip_suffix(")").or(call.strip_suffix(");"));
    let argument = argument.unwrap_or_else(|| panic!("a call without an end: {call:?}"));
    check_script_safe(argument);
    Some(argument.to_owned())
}

/// The argument of `/**/callback({…});`.
pub(crate) fn jsonp_argument(body: &str, callback: &str) -> String {
    let call = body.strip_prefix("/**/").unwrap_or_else(|| panic!("no comment before the call: {body:?}"));
    let call = call.strip_prefix(callback).unwrap_or_else(|| panic!("not a call of {callback}: {body:?}"));
    let call = call.trim_end().strip_prefix('(').and_then(|call| call.strip_suffix(");"));
    let argument = call.unwrap_or_else(|| panic!("not a call: {body:?}"));
    check_script_safe(argument);
    argument.to_owned()
}

fn check_script_safe(argument: &str) {
    assert!(!argument.contains(['<', '\u{2028}', '\u{2029}']), "not safe in a script: {argument:?}");
}

pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("no JSON ({error}): {text:?}"))
}

fn take_line(bytes: &mut Vec<u8>) -> Option<String> {
    let end = find(bytes, b"\r\n")?;
    let line = String::from_utf8(bytes[..end].to_vec()).expect("a line is text");
    bytes.drain(..end + 2);
    Some(line)
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    // Nearly every byte fails at the first comparison, and this is the fastest one without an optimiser.
    let mut from = 0;
    loop {
        from += bytes[from..].iter().position(|byte| *byte == needle[0])?;
        if bytes[from..].starts_with(needle) {
            return Some(from);
        }
        from += 1;
    }
}

/// Feeds `bytes` one by one: whatever a decoder returns must not depend on how they came.
#[cfg(test)]
fn drip<T>(bytes: &[u8], mut take: impl FnMut(&mut Vec<u8>) -> Option<T>) -> (Vec<T>, Vec<u8>) {
    let (mut buffer, mut out) = (Vec::new(), Vec::new());
    for byte in bytes {
        buffer.push(*byte);
        while let Some(value) = take(&mut buffer) {
            out.push(value);
        }
    }
    (out, buffer)
}

#[test]
fn a_head_is_taken_when_it_is_whole() {
    let (heads, rest) = drip(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", ResponseHead::take);
    assert_eq!((heads[0].status, heads[0].field("content-length")), (200, Some("3")));
    assert_eq!((heads.len(), &rest[..]), (1, &b"abc"[..]));
    assert_eq!(Body::of(&heads[0]), Body::Length(3));
}

#[test]
fn a_chunked_body_ends_where_it_says() {
    let (mut body, mut out) = (Body::Size, Vec::new());
    let (_, rest) = drip(b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\nHTTP", |bytes| {
        body.take(bytes, &mut out);
        None::<()>
    });
    assert_eq!((&out[..], &rest[..], body), (&b"abc0123456789"[..], &b"HTTP"[..], Body::Done));
}

/// The unmasked examples of RFC 6455, section 5.7.
#[test]
fn frames_of_the_rfc() {
    let (frames, _) = drip(b"\x81\x05Hello\x89\x05Hello", Frame::take);
    let hello = |opcode| Frame { opcode, deflated: false, payload: b"Hello".to_vec() };
    assert_eq!(frames, [hello(TEXT), hello(PING)]);
    let mut masked = Vec::new();
    Frame::emit(TEXT, true, [0x37, 0xfa, 0x21, 0x3d], b"Hello", &mut masked);
    assert_eq!(masked, [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
}

/// The examples of the HTML standard, section 9.2.6.
#[test]
fn event_streams_of_the_standard() {
    let (mut sse, mut out) = (Sse::default(), Vec::new());
    sse.feed(
        &mut b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third\n\n"
            .to_vec(),
        &mut out,
    );
    assert_eq!(
        out.iter().map(|event| event.data.as_str()).collect::<Vec<_>>(),
        ["first event", "second event", " third"]
    );
    assert_eq!(out.iter().map(|event| event.id.as_deref()).collect::<Vec<_>>(), [Some("1"), Some(""), None]);
}

#[test]
fn script_calls_are_taken_one_by_one() {
    let document =
        br#"<!doctype html><script>p=1</script><script>e({"a":1})</script>   <script>e({"a":2})</script>"#;
    let (calls, _) = drip(document, |bytes| take_script_call(bytes, "e"));
    assert_eq!(calls, [r#"{"a":1}"#, r#"{"a":2}"#]);
    assert_eq!(jsonp_argument("/**/cb({});", "cb"), "{}");
}
