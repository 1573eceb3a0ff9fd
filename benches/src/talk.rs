//! Connections that take turns with the server: an echo, a request, a poll and its next one, a handshake.
//!
//! Each has one thing under way at a time. What is sent here and answered comes in one piece each, since all
//! of it is shorter than a packet of the loopback interface.

use std::io::{self, Error, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::peers::{Who, client_frame, upgrade};
use crate::tag;

/// What is talked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A frame, and the same one back.
    Echo,
    /// `GET /healthz`.
    Request,
    /// A poll that is held until something is published.
    Poll,
    /// Connect, upgrade, close, and again.
    Handshake,
}

/// See the top of this file.
pub struct Talk {
    kind: Kind,
    who: Who,
    address: SocketAddr,
    poll: Poll,
    events: Events,
    streams: Vec<Option<TcpStream>>,
    /// What each poller sends next.
    next: Vec<Vec<u8>>,
    request: Vec<u8>,
    buffer: Vec<u8>,
    start: Instant,
    /// When each conversation's last request was sent, in nanoseconds.
    sent: Vec<u64>,
    /// Answers, all conversations together.
    pub done: u64,
    /// Of those, answers to a poll with a message in it.
    pub told: u64,
    pub latencies: Histogram<u64>,
}

impl Talk {
    pub fn open(kind: Kind, who: Who, address: SocketAddr, count: usize, start: Instant) -> io::Result<Talk> {
        let request = match kind {
            Kind::Echo => client_frame(tag::data(0, 0, 100).as_bytes()),
            Kind::Request => {
                b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"
                    .to_vec()
            }
            Kind::Poll => first_poll(who),
            Kind::Handshake => upgrade(match who {
                Who::Encke => "/ws?ch=bench",
                Who::Nchan => "/ws",
                Who::SocketIo => "/socket.io/?EIO=4&transport=websocket",
                _ => "/r",
            }),
        };
        let mut talk = Talk {
            kind,
            who,
            address,
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            streams: (0..count).map(|_| None).collect(),
            next: vec![Vec::new(); count],
            request,
            buffer: vec![0; 64 * 1024],
            start,
            sent: vec![0; count],
            done: 0,
            told: 0,
            latencies: Histogram::new_with_bounds(1_000, 60_000_000_000, 3).expect("sane bounds"),
        };
        for slot in 0..count {
            talk.connect(slot)?;
            if kind == Kind::Echo {
                talk.upgrade(slot)?;
            }
            talk.speak(slot)?;
            // Never more on their way than a backlog holds.
            if slot % 100 == 99 && kind == Kind::Poll && who == Who::Encke {
                talk.until_done(slot as u64 + 1)?;
            } else if slot % 100 == 99 {
                std::thread::sleep(Duration::from_millis(3));
            }
        }
        Ok(talk)
    }

    fn until_done(&mut self, done: u64) -> io::Result<()> {
        let until = Instant::now() + Duration::from_secs(20);
        while self.done < done {
            self.pump(Duration::from_millis(20))?;
            if Instant::now() > until {
                return Err(Error::other(format!("{} of {done} polls were answered", self.done)));
            }
        }
        Ok(())
    }

    fn connect(&mut self, slot: usize) -> io::Result<()> {
        let stream = std::net::TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        if self.kind != Kind::Echo {
            self.poll.registry().register(&mut stream, Token(slot), Interest::READABLE)?;
        }
        self.streams[slot] = Some(stream);
        Ok(())
    }

    /// The handshake in front of an echo; waits for it.
    fn upgrade(&mut self, slot: usize) -> io::Result<()> {
        let Some(stream) = &mut self.streams[slot] else { return Ok(()) };
        stream.write_all(&upgrade("/e"))?;
        let until = Instant::now() + Duration::from_secs(5);
        loop {
            match stream.read(&mut self.buffer) {
                Ok(count) if self.buffer[..count].starts_with(b"HTTP/1.1 101") => break,
                Ok(_) => return Err(Error::other("no upgrade")),
                Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < until => {
                    std::thread::sleep(Duration::from_micros(50));
                }
                Err(error) => return Err(error),
            }
        }
        self.poll.registry().register(stream, Token(slot), Interest::READABLE)
    }

    fn speak(&mut self, slot: usize) -> io::Result<()> {
        self.sent[slot] = self.start.elapsed().as_nanos() as u64;
        let words = if self.next[slot].is_empty() { &self.request } else { &self.next[slot] };
        match &mut self.streams[slot] {
            Some(stream) => stream.write_all(words),
            None => Ok(()),
        }
    }

    /// Answers what came, waiting at most `wait` for it.
    pub fn pump(&mut self, wait: Duration) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            self.hear(event.token().0)?;
        }
        self.events = events;
        Ok(())
    }

    fn hear(&mut self, slot: usize) -> io::Result<()> {
        let Some(stream) = &mut self.streams[slot] else { return Ok(()) };
        let count = match stream.read(&mut self.buffer) {
            Ok(0) => return Err(Error::other("the server closed a connection")),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let now = self.start.elapsed().as_nanos() as u64;
        let answer = &self.buffer[..count];
        let is_good = match self.kind {
            Kind::Echo => tag::find(answer, b"#00000000@").is_some(),
            Kind::Request | Kind::Poll => answer.starts_with(b"HTTP/1.1 200"),
            Kind::Handshake => answer.starts_with(b"HTTP/1.1 101"),
        };
        if !is_good {
            let text = String::from_utf8_lossy(&answer[..answer.len().min(200)]).into_owned();
            return Err(Error::other(format!("not an answer: {text}")));
        }
        self.done += 1;
        let mut since = self.sent[slot];
        if self.kind == Kind::Poll {
            let found = memchr::memchr(b'#', answer).and_then(|at| tag::read(&answer[at..]));
            self.next[slot] = next_poll(self.who, answer).unwrap_or_else(|| self.request.clone());
            if let Some((_, sent)) = found {
                self.told += 1;
                since = sent;
            }
        }
        let _ = self.latencies.record(now.saturating_sub(since).max(1_000));
        if self.kind == Kind::Handshake {
            self.streams[slot] = None;
            self.connect(slot)?;
        }
        self.speak(slot)
    }

    /// Nanoseconds since the conversations began, as they stand in the tags.
    pub fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    pub fn reset(&mut self) {
        (self.done, self.told) = (0, 0);
        self.latencies.reset();
    }
}

fn first_poll(who: Who) -> Vec<u8> {
    let path = match who {
        Who::Encke => "/poll?ch=bench",
        Who::Nchan => "/lp",
        // As long as encke's, for it is read too.
        _ => "/poll?ch=bench&since=0badcafe-4711&sid=AAAAAAAAAAAAAAAAAAAAAA&wait=120",
    };
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()
}

/// The poll that follows an answer: after the cursor that it told.
fn next_poll(who: Who, answer: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(answer).ok()?;
    let between = |open: &str, close: char| -> Option<&str> {
        let start = text.find(open)? + open.len();
        Some(&text[start..start + text[start..].find(close)?])
    };
    let request = match who {
        Who::Encke => {
            let (sid, cursor) = (between("\"sid\":\"", '"')?, between("\"cursor\":\"", '"')?);
            format!(
                "GET /poll?ch=bench&since={cursor}&sid={sid}&wait=120 HTTP/1.1\r\nHost: localhost\r\n\r\n"
            )
        }
        Who::Nchan => {
            let (modified, tag) = (between("Last-Modified: ", '\r')?, between("Etag: ", '\r')?);
            format!(
                "GET /lp HTTP/1.1\r\nHost: localhost\r\nIf-Modified-Since: {modified}\r\nIf-None-Match: {tag}\r\n\r\n"
            )
        }
        _ => return None,
    };
    Some(request.into_bytes())
}
