//! The floor: what the work costs when nothing but the work is done. One thread, epoll, bytes that were made
//! before, one `write` a reader. It checks nothing, bounds nothing, remembers nothing.
//!
//! `floor MODE` with a mode of `ws`, `sse`, `poll`, `echo` or `request` prints the port that it chose.
//!
//! It is not a server anyone could use: a message that comes while a reader's socket is full is lost, a
//! request is taken for whole when an empty line ends what was read, and of its path it sees one letter.

mod tag;

use std::collections::HashMap;
use std::io::{self, Read, Write};

use encke::wire::ws::{self, Opcode};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

const LISTENER: Token = Token(usize::MAX);
const EVENTS: usize = 1024;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Ws,
    Sse,
    Poll,
    Echo,
    Request,
}

struct Floor {
    mode: Mode,
    poll: Poll,
    listener: TcpListener,
    /// By token. A slot is used again.
    streams: Vec<Option<Peer>>,
    free: Vec<usize>,
    /// The tokens of those that are sent what is published, in the order in which they came.
    readers: Vec<usize>,
    /// Where each of them stands in `readers`.
    places: HashMap<usize, usize>,
    /// What was published while events were handled; goes out when they are.
    out: Vec<u8>,
}

struct Peer {
    stream: TcpStream,
    is_socket: bool,
}

fn main() -> io::Result<()> {
    let mode = match std::env::args().nth(1).as_deref() {
        Some("ws") => Mode::Ws,
        Some("sse") => Mode::Sse,
        Some("poll") => Mode::Poll,
        Some("echo") => Mode::Echo,
        Some("request") => Mode::Request,
        _ => {
            eprintln!("usage: floor ws|sse|poll|echo|request");
            std::process::exit(2);
        }
    };
    let listener = tag::listener()?;
    println!("listening on http://{}", listener.local_addr()?);
    let mut listener = TcpListener::from_std(listener);
    let poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut floor = Floor {
        mode,
        poll,
        listener,
        streams: Vec::new(),
        free: Vec::new(),
        readers: Vec::new(),
        places: HashMap::new(),
        out: Vec::new(),
    };
    let mut events = Events::with_capacity(EVENTS);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        floor.poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                LISTENER => floor.accept(&mut buffer)?,
                Token(slot) => {
                    // Writability is told along with everything else, and means nothing here.
                    if event.is_readable() {
                        floor.read(slot, &mut buffer);
                    }
                }
            }
        }
        floor.broadcast();
    }
}

impl Floor {
    fn accept(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        loop {
            let (mut stream, _) = match self.listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let slot = self.free.pop().unwrap_or_else(|| {
                self.streams.push(None);
                self.streams.len() - 1
            });
            self.poll.registry().register(&mut stream, Token(slot), Interest::READABLE)?;
            self.streams[slot] = Some(Peer { stream, is_socket: false });
            // The request is often there already. If not, an edge will tell.
            self.read(slot, buffer);
        }
    }

    /// One read: what is sent here always comes in one piece, and a short read has emptied the socket.
    fn read(&mut self, slot: usize, buffer: &mut [u8]) {
        let Some(peer) = &mut self.streams[slot] else { return };
        match peer.stream.read(buffer) {
            Ok(0) => self.close(slot),
            Ok(count) if peer.is_socket => self.frames(slot, &mut buffer[..count]),
            Ok(count) => self.request(slot, &buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.close(slot),
        }
    }

    fn request(&mut self, slot: usize, bytes: &[u8]) {
        let Some(peer) = &mut self.streams[slot] else { return };
        if bytes.starts_with(b"POST") {
            let body = tag::find(bytes, b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
            let _ = peer.stream.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            self.publish(&bytes[body..]);
            return;
        }
        match self.mode {
            Mode::Request => {
                let _ = peer.stream.write(tag::CANNED);
            }
            Mode::Ws | Mode::Echo => {
                // A reader names a path that begins with `r`, a publisher another.
                let is_reader = bytes.starts_with(b"GET /r");
                peer.is_socket = true;
                let _ = peer.stream.write(&tag::upgraded(bytes));
                if is_reader && self.mode == Mode::Ws {
                    self.join(slot);
                }
            }
            Mode::Sse => {
                let _ = peer.stream.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
                self.join(slot);
            }
            // The answer is what is published next.
            Mode::Poll => self.join(slot),
        }
    }

    /// Whole frames of a client, shorter than 64 KiB: echoed, or published.
    fn frames(&mut self, slot: usize, mut bytes: &mut [u8]) {
        while bytes.len() >= 6 {
            let (start, len) = match bytes[1] & 0x7f {
                126 => (8, usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))),
                len => (6, usize::from(len)),
            };
            if bytes[0] & 0x0f == 8 || bytes.len() < start + len {
                return;
            }
            let (frame, rest) = bytes.split_at_mut(start + len);
            let key = [frame[start - 4], frame[start - 3], frame[start - 2], frame[start - 1]];
            ws::mask(key, 0, &mut frame[start..]);
            if self.mode == Mode::Echo {
                // Where the mask was, the header ends: the answer is the frame without it.
                let header = [frame[0], frame[1] & 0x7f, frame[2], frame[3]];
                frame[4..start].copy_from_slice(&header[..start - 4]);
                if let Some(peer) = &mut self.streams[slot] {
                    let _ = peer.stream.write(&frame[4..]);
                }
            } else {
                let payload = frame[start..].to_vec();
                self.publish(&payload);
            }
            bytes = rest;
        }
    }

    fn publish(&mut self, payload: &[u8]) {
        match self.mode {
            Mode::Sse => tag::event(payload, &mut self.out),
            Mode::Poll => tag::answer(payload, &mut self.out),
            _ => ws::frame(Opcode::Text, payload, &mut self.out),
        }
    }

    /// What was published goes out: one write a reader, however many messages they are.
    fn broadcast(&mut self) {
        if self.out.is_empty() {
            return;
        }
        for &slot in &self.readers {
            if let Some(peer) = &mut self.streams[slot] {
                let _ = peer.stream.write(&self.out);
            }
        }
        self.out.clear();
        if self.mode == Mode::Poll {
            self.readers.clear();
            self.places.clear();
        }
    }

    fn join(&mut self, slot: usize) {
        // Who polls comes and goes all the time, and never closes in between.
        if self.mode != Mode::Poll {
            self.places.insert(slot, self.readers.len());
        }
        self.readers.push(slot);
    }

    fn close(&mut self, slot: usize) {
        if let Some(place) = self.places.remove(&slot) {
            self.readers.swap_remove(place);
            if let Some(&moved) = self.readers.get(place) {
                self.places.insert(moved, place);
            }
        }
        self.streams[slot] = None;
        self.free.push(slot);
    }
}
