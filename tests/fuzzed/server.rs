//! The server as its peers meet it, over the kernel of `memory`: one connection whose bytes are cut anywhere,
//! and a scene of several with the chat upstairs.

use std::cell::RefCell;
use std::rc::Rc;

use encke::account::{self, Part};
use encke::chat::Chat;
use encke::hub::Bounds;
use encke::reactor::Reactor;
use encke::server::{App, ClientId, Config, Ctx, Limits, Message, Network, Request, Response, Server};
use encke::wire::deflate::{Deflater, Window};
use encke::wire::json::is_inert;
use encke::wire::ws::{self, FrameHeader, Opcode};
use encke::wire::{script, sse};
use serde_json::value::RawValue;

use super::agreed_roughly;
use super::deflate::stored;
use super::inflate::inflate;
use super::memory::{Memory, Peer};

/// Turns after which a server that has nothing new to do must have come to rest.
/// An input of some thousand octets that comes octet by octet takes as many turns.
const TURNS_MAX: usize = 10_000;

/// Bytes of a body or a message here: few, so that the bound is met.
const MESSAGE_BYTES_MAX: usize = 1000;

/// Requests behind each other, bodies, an upgrade and the frames behind it: the answers are the same however
/// the bytes arrive, and in the end the connection is closed.
pub fn session_split(input: &[u8]) {
    agreed_roughly(input, |pieces| {
        let config = Config { comet: false, message_bytes: MESSAGE_BYTES_MAX, ..Config::default() };
        let mut stage = Stage::new(config, Box::new(Echo));
        let peer = stage.reactor.io().connect();
        peer.borrow_mut()
            .queue
            .extend(pieces.iter().filter(|piece| !piece.is_empty()).map(|piece| piece.to_vec()));
        peer.borrow_mut().shuts = true;
        stage.rest();
        assert!(
            peer.borrow().is_closed && stage.reactor.links().is_empty(),
            "the peer has ended, we have not"
        );
        let heard = String::from_utf8_lossy(&peer.borrow().heard).into_owned();
        // Who sends the body in the same breath as the head is not asked to go on.
        heard.replace("HTTP/1.1 100 Continue\r\n\r\n", "")
    });
}

/// Says back what it hears.
#[derive(Debug)]
struct Echo;

impl App for Echo {
    fn on_message(&mut self, ctx: &mut Ctx<'_>, client: ClientId, message: Message<'_>) {
        ctx.send_message(client, message);
    }

    fn on_request(&mut self, _ctx: &mut Ctx<'_>, request: &Request<'_>) -> Response {
        let mut body = format!("{} {} ", request.method(), request.head.target).into_bytes();
        body.extend_from_slice(request.body);
        Response::new(200).with_body("application/octet-stream", body)
    }
}

/// A scene, one line a doing: a digit says which peer, a letter what it does, the rest with what. `$s` and
/// `$c` stand for the sid and the cursor that any peer heard last, `$i` for the id, of a message or a picture.
///
/// ```text
/// 0u/ws?ch=a           opens a WebSocket; U: one that may compress
/// 0w{"op":"who",…}     sends a text frame; b: a binary one; z: a compressed one
/// 1g/poll?sid=$s       GET; 1p/publish/a hello: POST; 1mDELETE /channels/a: whatever it says
/// 1G/metrics           the same with the publish key; 1P/admin/kick {…}; 1MDELETE /channels/a
/// 1o/poll?ch=a         GET from a page of another site; 1s: from one of the server's own
/// 2rGET / HT           sends as it is
/// 3f  3d  3e  3x       stops reading, reads again, shuts its side, resets
/// 0t5000               so many milliseconds pass
/// ```
///
/// A first line that begins with `#` says what server it is: `q` one with strict quotas, `m` one with little memory,
/// `p` one behind a proxy that it trusts and that sends a PROXY header, `k` one in which back ends need the key always.
///
/// After every turn the server agrees with itself, and what it says to a peer that asks as it should is well
/// formed to the last frame.
pub fn server(input: &[u8]) {
    let bounds = Bounds {
        channels: 6,
        readers: 8,
        subscriptions: 3,
        channel_messages: 5,
        channel_bytes: 2_000,
        log_bytes: 6_000,
        message_kept_ms: 60_000,
        keys: 4,
        ..Bounds::default()
    };
    let config = Config {
        connections: 3,
        bounds,
        message_bytes: MESSAGE_BYTES_MAX,
        jsonp: true,
        publish_key: Some("key".to_owned()),
        ..Config::default()
    };
    let (config, input) = match input.strip_prefix(b"#") {
        Some(rest) => {
            let (kind, lines) =
                rest.split_at(rest.iter().position(|octet| *octet == b'\n').unwrap_or(rest.len()));
            (of_kind(config, kind), lines)
        }
        None => (config, input),
    };
    let before = PARTS.map(account::held);
    play(Stage::new(config, Box::new(Chat::new())), input);
    assert_eq!(PARTS.map(account::held), before, "what is held by nobody is counted");
}

const PARTS: [Part; 4] = [Part::Sessions, Part::Outboxes, Part::Images, Part::Channels];

fn of_kind(config: Config, kind: &[u8]) -> Config {
    let is = |letter: u8| kind.contains(&letter);
    let proxies = is(b'p').then(|| Network::parse("127.0.0.0/8").expect("a network"));
    Config {
        limits: if is(b'q') { Limits::Strict } else { Limits::Normal },
        memory: if is(b'm') { at_rest(&config) + 12_000 } else { config.memory },
        trusted_proxies: proxies.into_iter().collect(),
        proxy_protocol: is(b'p'),
        open_local: !is(b'k'),
        ..config
    }
}

/// Bytes that such a server holds before anybody has come.
fn at_rest(config: &Config) -> usize {
    let mut stage = Stage::new(config.clone(), Box::new(Chat::new()));
    stage.rest();
    stage.server.pressure(stage.reactor.links()).held
}

fn play(mut stage: Stage, input: &[u8]) {
    let mut cast: [Option<Rc<RefCell<Peer>>>; 4] = Default::default();
    let mut rude = [false; 4];
    for line in input.split(|&byte| byte == b'\n').take(64) {
        let [who, what, rest @ ..] = line else { continue };
        let who = usize::from(*who) % 4;
        let peer = cast[who].get_or_insert_with(|| stage.reactor.io().connect());
        if peer.borrow().is_closed {
            *peer = stage.reactor.io().connect();
            rude[who] = false;
        }
        let peer = peer.clone();
        let text = stage.fill_in(&String::from_utf8_lossy(rest));
        match what {
            b't' => stage.pass(text.parse().unwrap_or(1_000)),
            b'f' => peer.borrow_mut().full = true,
            b'd' => peer.borrow_mut().full = false,
            b'e' => peer.borrow_mut().shuts = true,
            b'x' => peer.borrow_mut().resets = true,
            _ => {
                // Whether an answer has a body can't be told from bytes whose question is anything.
                rude[who] |= !b"wbczuUgpos".contains(what);
                let mut out = Vec::new();
                speak(*what, &text, rest, &mut out);
                peer.borrow_mut().queue.push_back(out);
            }
        }
        stage.rest();
        for peer in cast.iter().flatten() {
            stage.listen(&peer.borrow().heard);
        }
        if !rude[who] {
            check_heard(&peer.borrow().heard);
        }
    }
    // All go, and after the longest grace nothing is left of them.
    for peer in cast.iter().flatten() {
        peer.borrow_mut().resets = true;
    }
    stage.pass(3_600_000);
    assert!(stage.reactor.links().is_empty());
}

/// Reads answer after answer, and what comes in an endless one.
fn check_heard(mut heard: &[u8]) {
    while !heard.is_empty() {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Response::new(&mut headers);
        let Ok(httparse::Status::Complete(len)) = head.parse(heard) else {
            panic!("no answer: {:?}", String::from_utf8_lossy(heard))
        };
        heard = &heard[len..];
        let field = |name: &str| {
            let found = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            found.map(|header| str::from_utf8(header.value).expect("fields of ours are text"))
        };
        if head.code == Some(101) {
            return check_frames(heard, field("sec-websocket-extensions").is_some());
        }
        let kind = field("content-type").unwrap_or_default();
        match field("content-length") {
            Some(length) => {
                let (body, rest) = heard.split_at(length.parse().expect("a length"));
                if kind.contains("json") {
                    check_json(body.trim_ascii());
                }
                heard = rest;
            }
            None if head.code == Some(204) => {}
            None => return check_stream(kind, heard),
        }
    }
}

/// What a WebSocket hears: whole frames without a mask, text that is JSON, nothing after a close.
fn check_frames(mut heard: &[u8], may_deflate: bool) {
    while !heard.is_empty() {
        let (header, used) = FrameHeader::parse(heard).expect("legal").expect("whole");
        let (payload, rest) = heard[used..].split_at(header.len as usize);
        assert!(header.fin && header.mask.is_none());
        // A narrow window is offered with `U`, and what comes must keep to it.
        let plain = header.rsv1.then(|| inflate(payload, 1 << 9).expect("it is DEFLATE"));
        assert!(plain.is_none() || may_deflate, "compressed, and nobody agreed to that");
        let payload = plain.as_deref().unwrap_or(payload);
        match header.opcode {
            Opcode::Text => check_json(payload),
            Opcode::Close => assert!(rest.is_empty(), "more behind a close"),
            Opcode::Ping | Opcode::Pong => {}
            other => panic!("the server sends no {other:?}"),
        }
        heard = rest;
    }
}

/// What comes in an endless answer: whole events of that kind.
fn check_stream(kind: &str, heard: &[u8]) {
    if kind.contains("event-stream") {
        let (mut decoder, mut input) = (sse::Decoder::new(usize::MAX / 2), heard);
        while let Some(incoming) = decoder.next(&mut input).expect("no bound") {
            if let sse::Incoming::Event { data, .. } = incoming {
                check_json(data.as_bytes());
            }
        }
    } else if kind.contains("html") {
        let calls = script::parse(heard).unwrap_or_else(|| panic!("{:?}", String::from_utf8_lossy(heard)));
        calls.into_iter().for_each(check_json);
    } else if kind.contains("json") {
        let lines = heard.split(|&octet| octet == b'\n').filter(|line| !line.trim_ascii().is_empty());
        lines.for_each(check_json);
    } else if kind.contains("text/plain") {
        // The probe: three digits, and padding in front of the first.
        assert!(
            heard.iter().all(|octet| b"123 \r\n".contains(octet)),
            "{:?}",
            String::from_utf8_lossy(heard)
        );
    } else {
        panic!("an endless {kind:?}");
    }
}

fn check_json(text: &[u8]) {
    let parsed = serde_json::from_slice::<&RawValue>(text);
    assert!(parsed.is_ok() && is_inert(text), "{:?}", String::from_utf8_lossy(text));
}

/// What a peer sends.
fn speak(what: u8, text: &str, raw: &[u8], out: &mut Vec<u8>) {
    const KEY: [u8; 4] = [1, 2, 3, 4];
    const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    const WITH_KEY: &str = "Authorization: Bearer key\r\n";
    let plain = |line: &str, fields: &str| format!("{line} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
    match what {
        b'z' => {
            let compressed = Deflater::default().frame(Opcode::Text, text.as_bytes(), Window::Narrow);
            let compressed =
                compressed.map(|frame| deflated_payload(&frame)).unwrap_or_else(|| stored(text.as_bytes()));
            let header = FrameHeader {
                fin: true,
                rsv1: true,
                opcode: Opcode::Text,
                mask: Some(KEY),
                len: compressed.len() as u64,
            };
            header.emit(out);
            let from = out.len();
            out.extend_from_slice(&compressed);
            ws::mask(KEY, 0, &mut out[from..]);
        }
        b'w' => ws::client_frame(true, Opcode::Text, KEY, text.as_bytes(), out),
        b'b' => ws::client_frame(true, Opcode::Binary, KEY, raw, out),
        b'c' => ws::client_frame(true, Opcode::Close, KEY, &raw[..raw.len().min(125)], out),
        b'u' => out.extend_from_slice(plain(&format!("GET {text}"), UPGRADE).as_bytes()),
        b'U' => {
            let offer = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9\r\n";
            let fields = format!("{offer}{UPGRADE}");
            out.extend_from_slice(plain(&format!("GET {text}"), &fields).as_bytes());
        }
        b'g' => out.extend_from_slice(plain(&format!("GET {text}"), "").as_bytes()),
        b'o' => out.extend_from_slice(plain(&format!("GET {text}"), "Origin: null\r\n").as_bytes()),
        b's' => {
            let fields = "Origin: http://localhost\r\nSec-Fetch-Site: same-origin\r\n";
            out.extend_from_slice(plain(&format!("GET {text}"), fields).as_bytes());
        }
        b'G' => out.extend_from_slice(plain(&format!("GET {text}"), WITH_KEY).as_bytes()),
        b'm' => out.extend_from_slice(plain(text, "").as_bytes()),
        b'M' => out.extend_from_slice(plain(text, WITH_KEY).as_bytes()),
        b'p' | b'P' => {
            let (target, body) = text.split_once(' ').unwrap_or((text, ""));
            let fields = if what == b'P' { WITH_KEY } else { "" };
            let length = format!("Content-Length: {}\r\n{fields}", body.len());
            let request = plain(&format!("POST {target}"), &length) + body;
            out.extend_from_slice(request.as_bytes());
        }
        _ => out.extend_from_slice(raw),
    }
}

fn deflated_payload(frame: &[u8]) -> Vec<u8> {
    let (_, used) = FrameHeader::parse(frame).expect("legal").expect("whole");
    frame[used..].to_vec()
}

/// A server, its loop and its kernel.
struct Stage {
    reactor: Reactor<Memory>,
    server: Server,
    sid: String,
    cursor: String,
    id: String,
}

impl Stage {
    fn new(config: Config, app: Box<dyn App>) -> Stage {
        let mut count = 0_u8;
        let entropy = move |bytes: &mut [u8]| {
            count = count.wrapping_add(1);
            bytes.fill(count);
        };
        let server = Server::new(config, app, Box::new(entropy));
        Stage {
            reactor: Reactor::new(Memory::default()),
            server,
            sid: String::new(),
            cursor: String::new(),
            id: String::new(),
        }
    }

    /// Turns until there is nothing left to do but to wait.
    fn rest(&mut self) {
        for _ in 0..TURNS_MAX {
            self.reactor.turn(&mut self.server).expect("this kernel has no faults");
            self.server.audit(self.reactor.links());
            if self.reactor.io().is_asleep {
                return;
            }
        }
        panic!("it spins");
    }

    /// Lets time pass, in steps in which timers find each other.
    fn pass(&mut self, ms: u64) {
        let ms = ms.min(3_600_000);
        for _ in 0..16 {
            self.reactor.io().now += ms.div_ceil(16);
            self.rest();
        }
    }

    /// Remembers the last sid and cursor that were heard.
    fn listen(&mut self, heard: &[u8]) {
        let heard = String::from_utf8_lossy(heard);
        let last = |name: &str| heard.rsplit_once(name)?.1.split('"').next().map(str::to_owned);
        if let Some(sid) = last("\"sid\":\"") {
            self.sid = sid;
        }
        if let Some(id) = last("\"id\":\"") {
            self.id = id;
        }
        if let Some(cursor) = last("\"cursor\":\"") {
            self.cursor = cursor;
        }
    }

    fn fill_in(&self, text: &str) -> String {
        text.replace("$s", &self.sid).replace("$c", &self.cursor).replace("$i", &self.id)
    }
}
