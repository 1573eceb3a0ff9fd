//! The readers: thousands of connections of one thread that read as cheaply as can be, check that every
//! message comes once and in order, and note how long it took.
//!
//! It does not take frames or events apart: it looks for tags, whatever is around them. What is around them
//! is for tests to check. Polls and echoes, which have to answer, are in `talk`.

use std::io::{self, Error, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

use crate::tag::{self, TAG_BYTES};

/// Connections that are being opened at once: fewer than any peer's backlog.
const OPENING: usize = 100;

/// What a reader says to become one.
#[derive(Clone)]
pub struct Greeting {
    /// The request.
    pub request: Vec<u8>,
    /// What it sends once it was answered: socket.io wants a packet.
    pub then: Vec<u8>,
    /// The line that an answer begins with when all is well.
    pub status: &'static [u8],
}

struct Reader {
    stream: TcpStream,
    /// The number of the message that comes next; 0 before the first one.
    next: u32,
    /// The head of the answer has come.
    is_open: bool,
    /// The end of what was read, if a tag may have been cut in two there. It lies in `Fleet::cut`.
    cut: u8,
    cut_bytes: [u8; TAG_BYTES],
}

/// See the top of this file.
pub struct Fleet {
    poll: Poll,
    events: Events,
    readers: Vec<Reader>,
    buffer: Vec<u8>,
    start: Instant,
    opened: usize,
    /// Messages that came, all readers together.
    pub received: u64,
    /// Messages that came twice, not at all, or not in order.
    pub faults: u64,
    /// Nanoseconds from when a message was sent to when a reader had it.
    pub latencies: Histogram<u64>,
    /// A reader's connection ended, and with it the measurement.
    pub lost: usize,
    /// Readers take as little into the kernel as it lets them.
    pub small_buffers: bool,
}

impl Fleet {
    pub fn new(start: Instant) -> io::Result<Fleet> {
        Ok(Fleet {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            readers: Vec::new(),
            buffer: vec![0; 256 * 1024],
            start,
            opened: 0,
            received: 0,
            faults: 0,
            latencies: Histogram::new_with_bounds(1_000, 60_000_000_000, 3).expect("sane bounds"),
            lost: 0,
            small_buffers: false,
        })
    }

    /// Nanoseconds since the start of the measurement, as they stand in the tags.
    pub fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    pub fn len(&self) -> usize {
        self.readers.len()
    }

    /// Opens `count` more readers and waits until each has been answered.
    pub fn open(&mut self, address: SocketAddr, greeting: &Greeting, count: usize) -> io::Result<()> {
        let until = Instant::now() + Duration::from_secs(60);
        let wanted = self.readers.len() + count;
        while self.opened < wanted {
            while self.readers.len() < wanted && self.readers.len() - self.opened < OPENING {
                self.open_one(address, greeting)?;
            }
            self.turn(Duration::from_millis(100), Some(greeting))?;
            if Instant::now() > until {
                return Err(Error::other(format!("only {} of {wanted} readers were let in", self.opened)));
            }
        }
        Ok(())
    }

    fn open_one(&mut self, address: SocketAddr, greeting: &Greeting) -> io::Result<()> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        if self.small_buffers {
            socket.set_recv_buffer_size(4096)?;
        }
        socket.connect(&address.into())?;
        let mut stream = std::net::TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.write_all(&greeting.request)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        let token = Token(self.readers.len());
        self.poll.registry().register(&mut stream, token, Interest::READABLE)?;
        self.readers.push(Reader { stream, next: 0, is_open: false, cut: 0, cut_bytes: [0; TAG_BYTES] });
        Ok(())
    }

    /// Reads what there is, waiting at most `wait` for it.
    pub fn pump(&mut self, wait: Duration) -> io::Result<()> {
        self.turn(wait, None)
    }

    fn turn(&mut self, wait: Duration, greeting: Option<&Greeting>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            self.read(event.token().0, greeting)?;
        }
        self.events = events;
        Ok(())
    }

    fn read(&mut self, slot: usize, greeting: Option<&Greeting>) -> io::Result<()> {
        loop {
            let reader = &mut self.readers[slot];
            let kept = usize::from(reader.cut);
            self.buffer[..kept].copy_from_slice(&reader.cut_bytes[..kept]);
            let count = match reader.stream.read(&mut self.buffer[kept..]) {
                Ok(0) => {
                    self.lost += 1;
                    return Ok(());
                }
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(_) => {
                    self.lost += 1;
                    return Ok(());
                }
            };
            let is_short = kept + count < self.buffer.len();
            if !reader.is_open {
                self.greet(slot, count, greeting)?;
            }
            self.take(slot, kept + count);
            // A short read has emptied the socket; the next byte is a new edge.
            if is_short {
                return Ok(());
            }
        }
    }

    /// The head of the answer came, in one piece as they all do.
    fn greet(&mut self, slot: usize, count: usize, greeting: Option<&Greeting>) -> io::Result<()> {
        let Some(greeting) = greeting else { return Ok(()) };
        let answer = &self.buffer[..count];
        if !answer.starts_with(greeting.status) {
            let text = String::from_utf8_lossy(&answer[..answer.len().min(200)]).into_owned();
            return Err(Error::other(format!("a reader was refused: {text}")));
        }
        let reader = &mut self.readers[slot];
        reader.is_open = true;
        if !greeting.then.is_empty() {
            reader.stream.write_all(&greeting.then)?;
        }
        self.opened += 1;
        Ok(())
    }

    /// Looks for tags in what was read.
    fn take(&mut self, slot: usize, len: usize) {
        let now = self.start.elapsed().as_nanos() as u64;
        let reader = &mut self.readers[slot];
        let bytes = &self.buffer[..len];
        let mut at = 0;
        reader.cut = 0;
        while let Some(found) = memchr::memchr(b'#', &bytes[at..]) {
            let start = at + found;
            let tag = &bytes[start..];
            if tag.len() < TAG_BYTES {
                reader.cut = tag.len() as u8;
                reader.cut_bytes[..tag.len()].copy_from_slice(tag);
                return;
            }
            let Some((number, sent)) = tag::read(tag) else {
                at = start + 1;
                continue;
            };
            at = start + TAG_BYTES;
            if reader.next != 0 && number != reader.next {
                self.faults += 1;
            }
            reader.next = number + 1;
            self.received += 1;
            // Beyond a minute it is a fault of another kind.
            let _ = self.latencies.record(now.saturating_sub(sent).max(1_000));
        }
    }

    /// Reads until `total` messages have come in all.
    pub fn await_total(&mut self, total: u64, patience: Duration) -> io::Result<()> {
        let until = Instant::now() + patience;
        while self.received < total {
            self.pump(Duration::from_millis(20))?;
            if self.lost > 0 {
                return Err(Error::other(format!("{} readers were cut off", self.lost)));
            }
            if Instant::now() > until {
                let missing = total - self.received;
                return Err(Error::other(format!("{missing} messages have not come")));
            }
        }
        Ok(())
    }

    /// Forgets what was noted so far, not where the readers stand.
    pub fn reset(&mut self) {
        self.latencies.reset();
        self.received = 0;
    }
}
