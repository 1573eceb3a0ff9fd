//! One client connection: what it sends waits here, what it gets becomes things heard.
//!
//! It knows the wire surface and no server. It reads and writes only when it is pumped, as fast or as slowly as
//! it was told to.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha1::{Digest, Sha1};

use super::KEY;
use super::decode::{self, Body, Frame, ResponseHead, Sse};
use super::inflate::inflate;
use super::kernel::{Got, Peer, World};
use super::rng::Rng;

/// How a reader reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    WebSocket,
    Sse,
    Stream,
    Iframe,
    Poll,
    Jsonp,
}

impl Transport {
    pub(crate) const ALL: [Transport; 6] = [
        Transport::WebSocket,
        Transport::Sse,
        Transport::Stream,
        Transport::Iframe,
        Transport::Poll,
        Transport::Jsonp,
    ];

    pub(crate) fn path(self) -> &'static str {
        match self {
            Transport::WebSocket => "/ws",
            Transport::Sse => "/sse",
            Transport::Stream => "/stream",
            Transport::Iframe => "/iframe",
            Transport::Poll => "/poll",
            Transport::Jsonp => "/jsonp",
        }
    }

    pub(crate) fn is_poll(self) -> bool {
        matches!(self, Transport::Poll | Transport::Jsonp)
    }
}

/// What a connection is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Reading: the answer to the request in flight is a stream, a WebSocket, or a poll's.
    Reading(Transport),
    /// Requests that are answered one by one.
    Asking,
    /// What no server should take.
    Garbage,
}

/// What came.
#[derive(Debug)]
pub(crate) enum Heard {
    /// One object of a stream, and its id if the format has one outside the object.
    Event(Value, Option<String>),
    /// A whole answer.
    Answer(ResponseHead, Vec<u8>),
    /// The head of a stream, or the upgrade.
    Begun,
    Pong(Vec<u8>),
    /// A close frame with that code.
    CloseFrame(Option<u16>),
    /// The server shut its side in the middle of something: that is what there was of it.
    Cut(String),
    /// The server shut its side.
    End,
    /// The connection was reset.
    Reset,
}

/// Where the bytes that come belong.
#[derive(Debug)]
enum Inbound {
    Head,
    Body(ResponseHead, Body, Vec<u8>),
    /// A stream without an end, in its framing.
    Stream(Transport, Body, Vec<u8>),
    Frames,
    Over,
}

#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) peer: Peer,
    pub(crate) role: Use,
    out: Vec<u8>,
    raw: Vec<u8>,
    inbound: Inbound,
    sse: Sse,
    key: String,
    /// The window of compressed messages, in octets, if it was offered; whether it was agreed on.
    offered: Option<usize>,
    deflates: bool,
    /// Nothing is read before this instant.
    pub(crate) stalled_until: u64,
    /// Bytes read at most, and written at most, each time it is pumped.
    pub(crate) read_max: usize,
    pub(crate) write_max: usize,
    /// Milliseconds between two times that it is pumped.
    pub(crate) pace_ms: u64,
    next_at: u64,
    /// We have sent a close frame.
    pub(crate) said_close: bool,
}

/// Offers of compression that a server should take, and the window that its messages may then use.
const OFFERS: [(&str, usize); 4] = [
    ("permessage-deflate", 1 << 15),
    ("permessage-deflate; client_max_window_bits", 1 << 15),
    ("permessage-deflate; server_no_context_takeover; server_max_window_bits=9", 1 << 9),
    ("x-unknown, permessage-deflate; client_max_window_bits=10; server_max_window_bits=8", 1 << 8),
];

const CALLBACK: &str = "app.on_event";

impl Conn {
    pub(crate) fn new(peer: Peer, role: Use) -> Conn {
        Conn {
            peer,
            role,
            out: Vec::new(),
            raw: Vec::new(),
            inbound: Inbound::Head,
            sse: Sse::default(),
            key: String::new(),
            offered: None,
            deflates: false,
            stalled_until: 0,
            read_max: usize::MAX,
            write_max: usize::MAX,
            pace_ms: 0,
            next_at: 0,
            said_close: false,
        }
    }

    /// A request to read: `query` without the question mark.
    pub(crate) fn ask_to_read(&mut self, transport: Transport, query: &str, rng: &mut Rng) {
        let path = transport.path();
        let mut head = format!("GET {path}?{query}");
        if matches!(transport, Transport::Iframe | Transport::Jsonp) {
            head += &format!("&callback={CALLBACK}");
        }
        head += " HTTP/1.1\r\nHost: encke.localhost\r\n";
        if transport == Transport::WebSocket {
            let mut key = [0; 16];
            rng.fill(&mut key);
            self.key = STANDARD.encode(key);
            head += "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n";
            head += &format!("Sec-WebSocket-Key: {}\r\n", self.key);
            if rng.coin() {
                let (offer, window) = *rng.pick(&OFFERS);
                head += &format!("Sec-WebSocket-Extensions: {offer}\r\n");
                self.offered = Some(window);
            }
        }
        head += "\r\n";
        self.out.extend(head.as_bytes());
    }

    pub(crate) fn post(&mut self, target: &str, fields: &str, body: &[u8], chunk: Option<usize>) {
        let mut head = format!("POST {target} HTTP/1.1\r\nHost: encke.localhost\r\n{fields}");
        match chunk {
            None => {
                head += &format!("Content-Length: {}\r\n\r\n", body.len());
                self.out.extend(head.as_bytes());
                self.out.extend(body);
            }
            Some(size) => {
                head += "Transfer-Encoding: chunked\r\n\r\n";
                self.out.extend(head.as_bytes());
                for piece in body.chunks(size) {
                    self.out.extend(format!("{:x}\r\n", piece.len()).as_bytes());
                    self.out.extend(piece);
                    self.out.extend(b"\r\n");
                }
                self.out.extend(b"0\r\n\r\n");
            }
        }
    }

    /// The same by somebody who shows the key.
    pub(crate) fn ask_with_key(&mut self, method: &str, target: &str, body: &[u8]) {
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: encke.localhost\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.out.extend(head.as_bytes());
        self.out.extend(body);
    }

    pub(crate) fn get(&mut self, target: &str) {
        self.out.extend(format!("GET {target} HTTP/1.1\r\nHost: encke.localhost\r\n\r\n").as_bytes());
    }

    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.out.extend(bytes);
    }

    /// A WebSocket message of text, in one frame or in several with a ping between two of them, compressed or not.
    pub(crate) fn send_text(&mut self, text: &str, rng: &mut Rng) {
        let mut mask = [0; 4];
        rng.fill(&mut mask);
        let deflates = self.deflates && rng.coin();
        let bytes = if deflates { stored(text.as_bytes()) } else { text.as_bytes().to_vec() };
        let opcode = decode::TEXT | if deflates { decode::RSV1 } else { 0 };
        if bytes.len() < 2 || rng.per_mille(800) {
            return Frame::emit(opcode, true, mask, &bytes, &mut self.out);
        }
        let (first, second) = bytes.split_at(rng.range(1, bytes.len() - 1));
        Frame::emit(opcode, false, mask, first, &mut self.out);
        if rng.coin() {
            Frame::emit(decode::PING, true, mask, b"between", &mut self.out);
        }
        Frame::emit(0, true, mask, second, &mut self.out);
    }

    pub(crate) fn send_ping(&mut self, payload: &[u8]) {
        Frame::emit(decode::PING, true, [1, 2, 3, 4], payload, &mut self.out);
    }

    pub(crate) fn send_close(&mut self, code: u16) {
        if !self.said_close {
            self.said_close = true;
            Frame::emit(decode::CLOSE, true, [4, 3, 2, 1], &code.to_be_bytes(), &mut self.out);
        }
    }

    /// Whether the handshake is over and frames may be sent.
    pub(crate) fn is_socket(&self) -> bool {
        matches!(self.inbound, Inbound::Frames) && !self.said_close
    }

    /// Whether a stream has begun, or a WebSocket.
    pub(crate) fn is_begun(&self) -> bool {
        matches!(self.inbound, Inbound::Frames | Inbound::Stream(..))
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.inbound, Inbound::Over)
    }

    /// Whether everything that was to be sent is out.
    pub(crate) fn is_flushed(&self) -> bool {
        self.out.is_empty()
    }

    /// Writes and reads what its pace allows.
    pub(crate) fn pump(&mut self, world: &mut World, heard: &mut Vec<Heard>) {
        if self.is_over() || world.now_ms < self.next_at {
            return;
        }
        self.next_at = world.now_ms + self.pace_ms;
        let offered = self.out.len().min(self.write_max);
        let count = world.write(self.peer, &self.out[..offered]);
        self.out.drain(..count);
        if world.now_ms < self.stalled_until {
            return;
        }
        let mut buffer = [0; 512];
        let (mut left, before) = (self.read_max, self.raw.len());
        while left > 0 {
            let share = left.min(buffer.len());
            match world.read(self.peer, &mut buffer[..share]) {
                Got::Bytes(count) => {
                    left -= count;
                    self.raw.extend(&buffer[..count]);
                }
                Got::Nothing => break,
                Got::End => {
                    self.parse(heard);
                    self.finish(heard);
                    heard.push(Heard::End);
                    self.inbound = Inbound::Over;
                    return;
                }
                Got::Reset => {
                    self.parse(heard);
                    heard.push(Heard::Reset);
                    self.inbound = Inbound::Over;
                    return;
                }
            }
        }
        if self.raw.len() > before {
            self.parse(heard);
        }
    }

    /// The server's end: what it leaves unfinished is told.
    fn finish(&mut self, heard: &mut Vec<Heard>) {
        match std::mem::replace(&mut self.inbound, Inbound::Over) {
            Inbound::Body(head, Body::Close, body) => heard.push(Heard::Answer(head, body)),
            Inbound::Body(head, framing, _) => heard.push(Heard::Cut(format!("{framing:?} of {head:?}"))),
            Inbound::Stream(Transport::Iframe, ..) => {}
            Inbound::Stream(_, _, rest) if !rest.is_empty() => {
                heard.push(Heard::Cut(String::from_utf8_lossy(&rest).into_owned()));
            }
            Inbound::Head | Inbound::Frames if !self.raw.is_empty() => {
                heard.push(Heard::Cut(String::from_utf8_lossy(&self.raw).into_owned()));
            }
            Inbound::Stream(..) | Inbound::Head | Inbound::Frames | Inbound::Over => {}
        }
    }

    fn parse(&mut self, heard: &mut Vec<Heard>) {
        loop {
            match &mut self.inbound {
                Inbound::Head => {
                    let Some(head) = ResponseHead::take(&mut self.raw) else { return };
                    self.begin(head, heard);
                }
                Inbound::Body(_, framing, body) => {
                    framing.take(&mut self.raw, body);
                    if *framing != Body::Done {
                        return;
                    }
                    let done = std::mem::replace(&mut self.inbound, Inbound::Head);
                    if let Inbound::Body(head, _, body) = done {
                        heard.push(Heard::Answer(head, body));
                    }
                }
                Inbound::Stream(transport, framing, body) => {
                    framing.take(&mut self.raw, body);
                    read_stream(*transport, body, &mut self.sse, heard);
                    return;
                }
                Inbound::Frames => {
                    let Some(frame) = Frame::take(&mut self.raw) else { return };
                    self.frame(&frame, heard);
                }
                Inbound::Over => return,
            }
        }
    }

    fn begin(&mut self, head: ResponseHead, heard: &mut Vec<Heard>) {
        let framing = Body::of(&head);
        self.inbound = match self.role {
            Use::Reading(Transport::WebSocket) if head.status == 101 => {
                // RFC 6455, section 4.1: what a client checks of the answer.
                let accept = Sha1::digest(format!("{}258EAFA5-E914-47DA-95CA-C5AB0DC85B11", self.key));
                assert_eq!(head.field("sec-websocket-accept"), Some(&*STANDARD.encode(accept)));
                assert_eq!(head.field("upgrade").map(str::to_ascii_lowercase).as_deref(), Some("websocket"));
                let answer = head.field("sec-websocket-extensions");
                assert_eq!(answer.is_some(), self.offered.is_some(), "what was offered: {head:?}");
                assert!(answer.is_none_or(|answer| answer.starts_with("permessage-deflate")), "{answer:?}");
                self.deflates = answer.is_some();
                heard.push(Heard::Begun);
                Inbound::Frames
            }
            Use::Reading(transport) if head.status == 200 && !transport.is_poll() => {
                heard.push(Heard::Begun);
                Inbound::Stream(transport, framing, Vec::new())
            }
            _ => {
                assert_ne!(head.status, 101, "an upgrade that nobody asked for");
                Inbound::Body(head, framing, Vec::new())
            }
        };
    }

    fn frame(&mut self, frame: &Frame, heard: &mut Vec<Heard>) {
        match frame.opcode {
            decode::TEXT => {
                let window = self.offered.filter(|_| frame.deflated && self.deflates);
                assert_eq!(window.is_some(), frame.deflated, "compressed, and nobody agreed to that");
                let payload = match window {
                    Some(window) => inflate(&frame.payload, window).expect("it is DEFLATE"),
                    None => frame.payload.clone(),
                };
                let text = std::str::from_utf8(&payload).expect("a text frame is UTF-8");
                heard.push(Heard::Event(decode::json(text), None));
            }
            decode::PING => Frame::emit(decode::PONG, true, [9, 9, 9, 9], &frame.payload, &mut self.out),
            decode::PONG => heard.push(Heard::Pong(frame.payload.clone())),
            decode::CLOSE => {
                let code = frame.payload.first_chunk::<2>().map(|code| u16::from_be_bytes(*code));
                assert_ne!(frame.payload.len(), 1, "half a close code");
                heard.push(Heard::CloseFrame(code));
                self.send_close(code.unwrap_or(1000));
            }
            other => panic!("a frame of opcode {other}"),
        }
    }
}

/// Text as stored blocks (RFC 1951, section 3.2.4), the plainest thing that is DEFLATE.
fn stored(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for block in text.chunks(60_000) {
        let [a, b] = (block.len() as u16).to_le_bytes();
        out.extend([0, a, b, !a, !b]);
        out.extend(block);
    }
    out.push(0);
    out
}

fn read_stream(transport: Transport, body: &mut Vec<u8>, sse: &mut Sse, heard: &mut Vec<Heard>) {
    match transport {
        Transport::Sse => {
            let mut events = Vec::new();
            sse.feed(body, &mut events);
            for event in events {
                let value = decode::json(&event.data);
                assert_eq!(value["type"], event.event.as_str(), "an event under another name");
                heard.push(Heard::Event(value, event.id));
            }
        }
        Transport::Stream => {
            while let Some(line) = decode::take_json_line(body) {
                if !line.is_empty() {
                    heard.push(Heard::Event(decode::json(&line), None));
                }
            }
        }
        Transport::Iframe => {
            while let Some(argument) = decode::take_script_call(body, "e") {
                heard.push(Heard::Event(decode::json(&argument), None));
            }
        }
        Transport::WebSocket | Transport::Poll | Transport::Jsonp => unreachable!("no stream of this kind"),
    }
}

/// The object in a poll's answer.
pub(crate) fn poll_body(transport: Transport, body: &[u8]) -> Value {
    let text = std::str::from_utf8(body).expect("an answer is UTF-8");
    match transport {
        Transport::Jsonp => decode::json(&decode::jsonp_argument(text, CALLBACK)),
        _ => decode::json(text),
    }
}
