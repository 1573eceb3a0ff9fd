//! The attackers' connections: any number of them in one thread, each writing what was queued for it and
//! counting what comes back.
//!
//! It knows no attack. Answers are not taken apart, but for the two that tell that a connection has had the
//! last of them: the reply to a command whose `ref` is [`LAST`], and the end of the connection.

use std::io::{self, Error, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use encke::wire::deflate::{Deflater, Window};
use encke::wire::ws::{self, FrameHeader, Opcode};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

/// The `ref` of a connection's last command. Its reply is too short to be compressed.
const LAST: &[u8] = br#""ref":"last""#;

/// The mask of all frames: any will do.
const MASK: [u8; 4] = [1, 2, 3, 4];

struct Line {
    stream: TcpStream,
    out: Vec<u8>,
    written: usize,
    /// The end of what was read last: the mark of the last answer may be cut in two.
    tail: Vec<u8>,
    /// A line that isn't stops reading, as a reader in a tunnel does.
    is_reading: bool,
    /// It has had its last answer, or has ended.
    is_over: bool,
}

/// See the top of this file.
pub struct Crowd {
    address: SocketAddr,
    /// Whether addresses are a proxy's word; else all come from one address of this machine.
    is_proxied: bool,
    /// Whether WebSockets offer permessage-deflate.
    has_deflate: bool,
    /// The first of the addresses that are this attack's own.
    first_address: u32,
    poll: Poll,
    events: Events,
    lines: Vec<Line>,
    buffer: Vec<u8>,
    deflater: Deflater,
    /// Bytes sent.
    pub up: u64,
    /// Bytes that came back.
    pub down: u64,
    /// Connections that the server has ended.
    pub ended: usize,
    /// When the attack has to be over.
    pub until: Instant,
}

impl Crowd {
    pub fn new(
        address: SocketAddr,
        is_proxied: bool,
        has_deflate: bool,
        first_address: u32,
    ) -> io::Result<Crowd> {
        Ok(Crowd {
            address,
            is_proxied,
            has_deflate,
            first_address,
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            lines: Vec::new(),
            buffer: vec![0; 256 * 1024],
            deflater: Deflater::default(),
            up: 0,
            down: 0,
            ended: 0,
            until: Instant::now() + Duration::from_secs(60),
        })
    }

    /// All is prepared: what was counted so far is forgotten, and the attack has so long.
    pub fn ready(&mut self, time: Duration) {
        println!("ready");
        (self.up, self.down, self.ended) = (0, 0, 0);
        self.until = Instant::now() + time;
    }

    /// The fields that say who speaks: the attack's address with this number.
    fn who(&self, number: u32) -> String {
        if !self.is_proxied {
            return String::new();
        }
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(100, 64, 0, 1)) + self.first_address + number);
        format!("X-Forwarded-For: {address}\r\n")
    }

    /// A request's bytes.
    pub fn request(&self, number: u32, line: &str, body: &[u8]) -> Vec<u8> {
        let who = self.who(number);
        let head =
            format!("{line} HTTP/1.1\r\nHost: localhost\r\n{who}Content-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    }

    fn dial(&self) -> io::Result<std::net::TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from(([127, 0, 0, 3], 0)).into())?;
        socket.connect(&self.address.into())?;
        let stream = std::net::TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(stream)
    }

    fn add(&mut self, stream: std::net::TcpStream) -> io::Result<usize> {
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        let slot = self.lines.len();
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(slot), both)?;
        let tail = Vec::new();
        self.lines.push(Line { stream, out: Vec::new(), written: 0, tail, is_reading: true, is_over: false });
        Ok(slot)
    }

    /// A connection to send requests on.
    pub fn connect(&mut self) -> io::Result<usize> {
        let stream = self.dial()?;
        self.add(stream)
    }

    /// A WebSocket of the attack's address with this number, after its handshake.
    pub fn join(&mut self, number: u32, path: &str) -> io::Result<usize> {
        let mut stream = self.dial()?;
        let deflate = if self.has_deflate { "Sec-WebSocket-Extensions: permessage-deflate\r\n" } else { "" };
        let who = self.who(number);
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{deflate}{who}\r\n"
        );
        stream.write_all(head.as_bytes())?;
        self.up += head.len() as u64;
        let count = stream.read(&mut self.buffer)?;
        self.down += count as u64;
        if !self.buffer[..count].starts_with(b"HTTP/1.1 101") {
            let text = String::from_utf8_lossy(&self.buffer[..count.min(300)]).into_owned();
            return Err(Error::other(format!("an attacker was refused: {text}")));
        }
        self.add(stream)
    }

    /// Connections so far.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Queues bytes.
    pub fn send(&mut self, slot: usize, bytes: &[u8]) {
        self.lines[slot].out.extend_from_slice(bytes);
    }

    /// Queues a command.
    pub fn say(&mut self, slot: usize, command: &str) {
        ws::client_frame(true, Opcode::Text, MASK, command.as_bytes(), &mut self.lines[slot].out);
    }

    /// Queues a command that is compressed on its way, if that was agreed on.
    pub fn say_deflated(&mut self, slot: usize, command: &str) {
        let image = self.deflater.frame(Opcode::Text, command.as_bytes(), Window::Full);
        match image.filter(|_| self.has_deflate) {
            None => self.say(slot, command),
            Some(image) => {
                let start = FrameHeader::parse(&image).ok().flatten().map_or(0, |(_, len)| len);
                let out = &mut self.lines[slot].out;
                ws::deflated_client_frame(true, Opcode::Text, MASK, &image[start..], out);
            }
        }
    }

    /// Queues one of the frames of a message, or a control frame.
    pub fn say_frame(&mut self, slot: usize, fin: bool, opcode: Opcode, payload: &[u8]) {
        ws::client_frame(fin, opcode, MASK, payload, &mut self.lines[slot].out);
    }

    /// Queues a last command, by whose reply the end is known.
    pub fn say_last(&mut self, slot: usize) {
        self.say(slot, r#"{"op":"ping","ref":"last"}"#);
    }

    /// Reads no more from a connection.
    pub fn stop_reading(&mut self, slot: usize) {
        self.lines[slot].is_reading = false;
    }

    /// A request and its answer, before anything else: for what has to be prepared.
    pub fn ask(&mut self, stream: &mut Option<std::net::TcpStream>, request: &[u8]) -> io::Result<String> {
        if stream.is_none() {
            *stream = Some(self.dial()?);
        }
        let Some(stream) = stream else { return Ok(String::new()) };
        stream.write_all(request)?;
        self.up += request.len() as u64;
        let mut answer = Vec::new();
        loop {
            let count = stream.read(&mut self.buffer)?;
            if count == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.down += count as u64;
            answer.extend_from_slice(&self.buffer[..count]);
            let Some(end) = memchr::memmem::find(&answer, b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&answer[..end]);
            let len = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok());
            if answer.len() >= end + 4 + len.unwrap_or(0) {
                return Ok(String::from_utf8_lossy(&answer).into_owned());
            }
        }
    }

    /// Writes and reads until every connection that reads has had its last answer, or the time is over.
    pub fn go(&mut self) -> io::Result<()> {
        for slot in 0..self.lines.len() {
            self.write(slot);
        }
        let is_done = |line: &Line| line.is_over || (!line.is_reading && line.written == line.out.len());
        while Instant::now() < self.until && !self.lines.iter().all(is_done) {
            self.pump(Duration::from_millis(100))?;
        }
        Ok(())
    }

    /// Writes and reads for so long, or until the attack's time is over.
    pub fn go_for(&mut self, time: Duration) -> io::Result<()> {
        for slot in 0..self.lines.len() {
            self.write(slot);
        }
        let until = self.until.min(Instant::now() + time);
        while Instant::now() < until {
            self.pump(Duration::from_millis(20))?;
        }
        Ok(())
    }

    fn pump(&mut self, wait: Duration) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            let slot = event.token().0;
            self.write(slot);
            self.read(slot);
        }
        self.events = events;
        Ok(())
    }

    fn write(&mut self, slot: usize) {
        let line = &mut self.lines[slot];
        while !line.is_over && line.written < line.out.len() {
            match line.stream.write(&line.out[line.written..]) {
                Ok(count) => {
                    line.written += count;
                    self.up += count as u64;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => return self.end(slot),
            }
        }
        line.out.clear();
        line.written = 0;
    }

    fn read(&mut self, slot: usize) {
        loop {
            let line = &mut self.lines[slot];
            if !line.is_reading || line.is_over {
                return;
            }
            let kept = line.tail.len();
            self.buffer[..kept].copy_from_slice(&line.tail);
            match line.stream.read(&mut self.buffer[kept..]) {
                Ok(0) => return self.end(slot),
                Ok(count) => {
                    self.down += count as u64;
                    let bytes = &self.buffer[..kept + count];
                    if memchr::memmem::find(bytes, LAST).is_some() {
                        line.is_over = true;
                    }
                    line.tail = bytes[bytes.len().saturating_sub(LAST.len() - 1)..].to_vec();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => return self.end(slot),
            }
        }
    }

    fn end(&mut self, slot: usize) {
        self.ended += 1;
        self.lines[slot].is_over = true;
    }

    /// Connections that were made, which may go on with something else.
    pub fn reopen(&mut self) {
        for line in &mut self.lines {
            line.tail.clear();
            line.is_over = false;
        }
    }
}
