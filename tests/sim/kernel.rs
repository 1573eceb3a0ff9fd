//! A kernel in memory: sockets, readiness, clocks and the faults of all three.
//!
//! It knows no protocol, and of the reactor only the trait it calls. What it keeps to is Linux: readiness is
//! edge-triggered, an event carries every direction that is ready at the moment it is fetched, a read comes back
//! short only when the socket is empty, room is announced only after a write that found none. Read first:
//! epoll(7); `tcp_poll` in net/ipv4/tcp.c; RFC 9112, section 9.6 on closing over unread bytes.
//!
//! ```text
//!   client                      the wire                      server (SimKernel)
//!   write ──► [ sending ] ──── deliver ───► [ arrived ] ──► read       up
//!   read  ◄── [ arrived ] ◄─── deliver ──── [ sending ] ◄── write      down
//! ```
//!
//! Nothing moves on the wire by itself: the test delivers, as much as it likes, between two turns.

use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use encke::reactor::Instant;
use encke::reactor::io::{Io, Ready};

use super::rng::Rng;

/// Turns in a row that neither wait nor move anything, after which the loop is said to spin.
const IDLE_TURNS_MAX: u32 = 64;

const EMFILE: i32 = 24;

/// What goes wrong, in times out of a thousand where it is a chance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// Descriptors for connections; none is left when so many are open.
    pub(crate) descriptors: Option<usize>,
    /// A connection that waits is gone when it is accepted: ECONNABORTED.
    pub(crate) aborted: u32,
    /// A system call is interrupted.
    pub(crate) interrupted: u32,
    /// A stream can't be registered.
    pub(crate) unwatched: u32,
    /// An event of a connection that has ended, under its old token.
    pub(crate) stale: u32,
    /// An event that says of a live connection what is not so.
    pub(crate) spurious: u32,
    /// Only some of the events that are there are fetched.
    pub(crate) partial: u32,
}

/// The end of a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fin {
    None,
    Sent,
    Arrived,
}

/// One direction of a connection.
#[derive(Debug)]
struct Pipe {
    sending: VecDeque<u8>,
    arrived: VecDeque<u8>,
    sending_max: usize,
    arrived_max: usize,
    fin: Fin,
}

impl Pipe {
    fn new(sending_max: usize, arrived_max: usize) -> Pipe {
        Pipe { sending: VecDeque::new(), arrived: VecDeque::new(), sending_max, arrived_max, fin: Fin::None }
    }

    fn room(&self) -> usize {
        self.sending_max - self.sending.len()
    }

    /// A kernel calls a socket writable only when a good part of its buffer is free (`sk_stream_is_writeable`).
    fn is_roomy(&self) -> bool {
        self.room() * 3 >= self.sending_max
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.room());
        self.sending.extend(&bytes[..count]);
        count
    }

    fn read(&mut self, buffer: &mut [u8]) -> usize {
        let count = buffer.len().min(self.arrived.len());
        let (front, back) = self.arrived.as_slices();
        let split = count.min(front.len());
        buffer[..split].copy_from_slice(&front[..split]);
        buffer[split..count].copy_from_slice(&back[..count - split]);
        self.arrived.drain(..count);
        count
    }

    /// Moves up to `max` bytes over the wire and returns how many there were.
    fn carry(&mut self, max: usize) -> usize {
        let count = max.min(self.sending.len()).min(self.arrived_max - self.arrived.len());
        if count == 0 {
            return 0;
        }
        let (front, back) = self.sending.as_slices();
        let split = count.min(front.len());
        self.arrived.extend(&front[..split]);
        self.arrived.extend(&back[..count - split]);
        self.sending.drain(..count);
        count
    }

    fn clear(&mut self) {
        self.sending.clear();
        self.arrived.clear();
    }
}

/// What a reset left for the next read to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reset {
    None,
    /// The next call fails with it.
    Pending,
    /// A call has failed; what follows finds an end.
    Told,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// In the backlog.
    Waiting,
    /// Accepted: the reactor holds the stream.
    Open,
    /// Dropped, or never accepted.
    Closed,
}

#[derive(Debug)]
struct Socket {
    up: Pipe,
    down: Pipe,
    // The server's end.
    held: Held,
    token: Option<usize>,
    /// Waits to be fetched as an event.
    queued: bool,
    /// A write, or an event that was fetched, found no room: room will be news.
    full: bool,
    shut: bool,
    reset: Reset,
    // The client's end.
    client_closed: bool,
    client_reset: bool,
    /// The wire between the two carries nothing, and neither end is told.
    lost: bool,
}

/// What a client reads.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Got {
    /// So many bytes, at least one.
    Bytes(usize),
    /// Nothing yet.
    Nothing,
    /// The server has shut its side.
    End,
    /// The connection was reset; what was not read is lost.
    Reset,
}

/// A client's end of a connection.
pub(crate) type Peer = usize;

/// Buffers of a connection, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buffers {
    pub(crate) up_sending: usize,
    pub(crate) up_arrived: usize,
    pub(crate) down_sending: usize,
    pub(crate) down_arrived: usize,
}

impl Default for Buffers {
    fn default() -> Buffers {
        Buffers { up_sending: 1 << 16, up_arrived: 1 << 16, down_sending: 1 << 16, down_arrived: 1 << 16 }
    }
}

/// Counted since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) polls: u64,
    pub(crate) accepts: u64,
    pub(crate) accept_faults: u64,
    pub(crate) reads: u64,
    pub(crate) writes: u64,
}

/// Both ends of all connections, and the clocks.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) faults: Faults,
    pub(crate) counts: Counts,
    pub(crate) now_ms: u64,
    pub(crate) wall_ms: u64,
    /// A poll returns by then, empty if need be: the test wants to act.
    pub(crate) alarm_ms: u64,
    /// A Stop is fetched with the next poll.
    pub(crate) stop: bool,
    rng: Rng,
    sockets: Vec<Socket>,
    backlog: VecDeque<Peer>,
    listening: bool,
    listener_queued: bool,
    events: VecDeque<Peer>,
    /// Given back by the next poll before all else.
    forged: Vec<Ready>,
    /// Tokens of connections that have ended.
    ended: Vec<usize>,
    open: usize,
    /// Counts whatever moves; a loop that neither waits nor moves it spins.
    moved: u64,
    moved_before: u64,
    idle_turns: u32,
    /// A hash of what the server wrote, where and in which order.
    written: u64,
    /// Bytes that went over the wire.
    pub(crate) carried: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Rc<RefCell<World>> {
        Rc::new(RefCell::new(World {
            faults: Faults::default(),
            counts: Counts::default(),
            now_ms: 1_000,
            wall_ms: 1_700_000_000_000,
            alarm_ms: 1_000,
            stop: false,
            rng: Rng::new(seed),
            sockets: Vec::new(),
            backlog: VecDeque::new(),
            listening: true,
            listener_queued: false,
            events: VecDeque::new(),
            forged: Vec::new(),
            ended: Vec::new(),
            open: 0,
            moved: 0,
            moved_before: 0,
            idle_turns: 0,
            written: 0xcbf2_9ce4_8422_2325,
            carried: 0,
        }))
    }

    // The clients' side.

    /// Connects; `None` if nobody listens any more.
    pub(crate) fn connect(&mut self, buffers: Buffers) -> Option<Peer> {
        if !self.listening {
            return None;
        }
        let peer = self.sockets.len();
        self.sockets.push(Socket {
            up: Pipe::new(buffers.up_sending, buffers.up_arrived),
            down: Pipe::new(buffers.down_sending, buffers.down_arrived),
            held: Held::Waiting,
            token: None,
            queued: false,
            full: false,
            shut: false,
            reset: Reset::None,
            client_closed: false,
            client_reset: false,
            lost: false,
        });
        self.backlog.push_back(peer);
        self.listener_queued = true;
        Some(peer)
    }

    /// Writes what there is room for and returns how much that was; 0 on a connection that has ended.
    pub(crate) fn write(&mut self, peer: Peer, bytes: &[u8]) -> usize {
        let socket = &mut self.sockets[peer];
        if socket.client_closed || socket.client_reset || socket.up.fin != Fin::None {
            return 0;
        }
        socket.up.write(bytes)
    }

    pub(crate) fn read(&mut self, peer: Peer, buffer: &mut [u8]) -> Got {
        let socket = &mut self.sockets[peer];
        assert!(!socket.client_closed, "a client reads what it has closed");
        match socket.down.read(buffer) {
            0 if socket.client_reset => Got::Reset,
            0 if socket.down.fin == Fin::Arrived => Got::End,
            0 => Got::Nothing,
            count => Got::Bytes(count),
        }
    }

    /// Shuts the client's writing side: a half-close.
    pub(crate) fn shut(&mut self, peer: Peer) {
        let up = &mut self.sockets[peer].up;
        if up.fin == Fin::None {
            up.fin = Fin::Sent;
        }
    }

    /// Closes the client's end. Over unread bytes that is a reset, as a kernel does it.
    pub(crate) fn close(&mut self, peer: Peer) {
        if !self.sockets[peer].down.arrived.is_empty() {
            return self.reset(peer);
        }
        self.shut(peer);
        self.sockets[peer].client_closed = true;
    }

    /// Cuts the connection: the client's kernel sends a reset.
    pub(crate) fn reset(&mut self, peer: Peer) {
        let keeps = self.rng.coin();
        let socket = &mut self.sockets[peer];
        socket.client_closed = true;
        socket.up.sending.clear();
        socket.down.arrived.clear();
        if socket.lost {
            // What is on its way to the client is sent again and again, until the client's kernel can answer it.
            return;
        }
        socket.down.sending.clear();
        if socket.held == Held::Closed || socket.reset != Reset::None {
            return;
        }
        // Some kernels let a program read what had arrived before the reset, others drop it.
        if !keeps {
            socket.up.arrived.clear();
        }
        socket.up.fin = Fin::Arrived;
        socket.reset = Reset::Pending;
        self.wake(peer);
    }

    /// Whether nothing more can come from the server over this connection.
    pub(crate) fn is_over(&self, peer: Peer) -> bool {
        let socket = &self.sockets[peer];
        socket.client_reset || (socket.down.fin == Fin::Arrived && socket.down.arrived.is_empty())
    }

    /// Whether the reactor holds the other end.
    pub(crate) fn is_held(&self, peer: Peer) -> bool {
        self.sockets[peer].held == Held::Open
    }

    // The wire.

    /// Cuts the wire of a connection, or mends it. A reset that one end sends meanwhile is lost like all else: the
    /// other learns of it when it sends something after the wire is mended.
    pub(crate) fn lose(&mut self, peer: Peer, lost: bool) {
        self.sockets[peer].lost = lost;
    }

    /// Mends all wires.
    pub(crate) fn mend(&mut self) {
        self.sockets.iter_mut().for_each(|socket| socket.lost = false);
    }

    /// Moves up to `max` bytes each way over one connection, and the ends behind them.
    pub(crate) fn deliver(&mut self, peer: Peer, max: usize) {
        self.deliver_up(peer, max);
        self.deliver_down(peer, max);
    }

    /// Moves all that there is room for, on every connection.
    pub(crate) fn deliver_all(&mut self) {
        for peer in 0..self.sockets.len() {
            let socket = &self.sockets[peer];
            let is_over = socket.held == Held::Closed && (socket.client_closed || socket.client_reset);
            if !is_over {
                self.deliver(peer, usize::MAX);
            }
        }
    }

    fn deliver_up(&mut self, peer: Peer, max: usize) {
        let socket = &mut self.sockets[peer];
        if socket.lost {
            return;
        }
        let pipe = &mut socket.up;
        if socket.held == Held::Closed {
            // Bytes for a socket that is closed are answered with a reset.
            if !pipe.sending.is_empty() {
                self.reset_client(peer);
            }
            return;
        }
        let count = pipe.carry(max);
        self.carried += count as u64;
        let ends = pipe.fin == Fin::Sent && pipe.sending.is_empty();
        if ends {
            pipe.fin = Fin::Arrived;
        }
        if count > 0 || ends {
            self.wake(peer);
        }
    }

    fn deliver_down(&mut self, peer: Peer, max: usize) {
        let socket = &mut self.sockets[peer];
        if socket.lost {
            return;
        }
        let pipe = &mut socket.down;
        if socket.client_closed {
            // The same the other way round: the client has closed, and a reset comes back.
            if !pipe.sending.is_empty() {
                self.reset(peer);
            }
            return;
        }
        self.carried += pipe.carry(max) as u64;
        if pipe.fin == Fin::Sent && pipe.sending.is_empty() {
            pipe.fin = Fin::Arrived;
        }
        if socket.full && pipe.is_roomy() {
            socket.full = false;
            self.wake(peer);
        }
    }

    /// The server's kernel sends a reset. What the client has not read by now it never will.
    fn reset_client(&mut self, peer: Peer) {
        let socket = &mut self.sockets[peer];
        socket.client_reset = true;
        socket.down.clear();
        socket.up.clear();
    }

    fn wake(&mut self, peer: Peer) {
        let socket = &mut self.sockets[peer];
        if socket.token.is_some() && !socket.queued {
            socket.queued = true;
            self.events.push_back(peer);
        }
    }

    /// The program that held the other ends has died, and another one listens in its place. What the kernel had
    /// taken from it is lost as well, as when the whole machine goes.
    pub(crate) fn reboot(&mut self) {
        assert_eq!(self.open, 0, "the program still holds connections");
        for peer in 0..self.sockets.len() {
            self.sockets[peer].held = Held::Closed;
            self.sockets[peer].token = None;
            self.sockets[peer].lost = false;
            self.reset_client(peer);
        }
        self.backlog.clear();
        self.events.clear();
        self.forged.clear();
        self.ended.clear();
        (self.listening, self.listener_queued, self.stop) = (true, false, false);
        self.idle_turns = 0;
    }

    // What a test looks at and meddles with.

    pub(crate) fn sockets(&self) -> usize {
        self.sockets.len()
    }

    /// Connections that the reactor holds.
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    /// Connections that wait to be accepted.
    pub(crate) fn waiting(&self) -> usize {
        self.backlog.len()
    }

    /// Bytes that have arrived at the server and were not read.
    pub(crate) fn unread(&self, peer: Peer) -> usize {
        self.sockets[peer].up.arrived.len()
    }

    pub(crate) fn token(&self, peer: Peer) -> Option<usize> {
        self.sockets[peer].token
    }

    /// Puts `event` into the next poll.
    pub(crate) fn forge(&mut self, event: Ready) {
        self.forged.push(event);
    }

    /// A hash of what the server wrote, where and in which order.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    fn step(&mut self) {
        self.moved += 1;
    }

    // The server's side.

    fn fetch(&mut self, ready: &mut Vec<Ready>) {
        ready.append(&mut self.forged);
        if std::mem::take(&mut self.stop) {
            ready.push(Ready::Stop);
        }
        if std::mem::take(&mut self.listener_queued) && self.listening {
            ready.push(Ready::Listener);
        }
        let mut count = self.events.len();
        if count > 1 && self.rng.per_mille(self.faults.partial) {
            count = self.rng.range(1, count);
        }
        for _ in 0..count {
            let Some(peer) = self.events.pop_front() else { break };
            self.sockets[peer].queued = false;
            ready.extend(self.event(peer));
        }
        if !self.ended.is_empty() && self.rng.per_mille(self.faults.stale) {
            let token = *self.rng.pick(&self.ended);
            ready.push(Ready::Link { token, readable: true, writable: true, fin: true, dead: true });
        }
        if !self.sockets.is_empty() && self.rng.per_mille(self.faults.spurious) {
            let peer = self.rng.below(self.sockets.len());
            let (readable, writable) = (self.rng.coin(), self.rng.coin());
            let token = self.sockets[peer].token;
            ready.extend(token.map(|token| Ready::Link {
                token,
                readable,
                writable,
                fin: false,
                dead: false,
            }));
        }
    }

    /// All that is so of a socket now, whatever it was that woke it (`tcp_poll`).
    fn event(&mut self, peer: Peer) -> Option<Ready> {
        let socket = &mut self.sockets[peer];
        let token = socket.token?;
        let broken = socket.reset != Reset::None;
        let ended = socket.up.fin == Fin::Arrived;
        let readable = !socket.up.arrived.is_empty() || ended || broken;
        let writable = socket.down.is_roomy() || socket.shut || broken;
        socket.full |= !writable;
        let hung_up = broken || (ended && socket.shut);
        Some(Ready::Link { token, readable, writable, fin: ended || broken, dead: hung_up })
    }

    fn accept(&mut self) -> Result<Peer> {
        if !self.listening {
            return Err(ErrorKind::WouldBlock.into());
        }
        // The descriptor is taken before the connection: those that wait stay where they are.
        if self.faults.descriptors.is_some_and(|max| self.open >= max) && !self.backlog.is_empty() {
            self.counts.accept_faults += 1;
            return Err(Error::from_raw_os_error(EMFILE));
        }
        let peer = self.backlog.pop_front().ok_or(ErrorKind::WouldBlock)?;
        self.step();
        if self.rng.per_mille(self.faults.aborted) {
            self.sockets[peer].held = Held::Closed;
            self.reset_client(peer);
            return Err(ErrorKind::ConnectionAborted.into());
        }
        self.sockets[peer].held = Held::Open;
        self.open += 1;
        self.counts.accepts += 1;
        Ok(peer)
    }

    /// The reactor dropped its stream.
    fn release(&mut self, peer: Peer) {
        self.step();
        let socket = &mut self.sockets[peer];
        assert_eq!(socket.held, Held::Open, "a stream was closed twice");
        socket.held = Held::Closed;
        self.open -= 1;
        self.ended.extend(socket.token.take());
        if socket.queued {
            socket.queued = false;
            self.events.retain(|queued| *queued != peer);
        }
        if socket.reset != Reset::None {
            return;
        }
        if !socket.up.arrived.is_empty() {
            return self.reset_client(peer);
        }
        if socket.down.fin == Fin::None {
            socket.down.fin = Fin::Sent;
        }
    }

    fn note_written(&mut self, peer: Peer, bytes: &[u8]) {
        let words = bytes.chunks(8).map(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_le_bytes(word)
        });
        for word in [peer as u64, bytes.len() as u64].into_iter().chain(words) {
            self.written = (self.written ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29);
        }
    }

    fn watch_for_a_spin(&mut self, wait_ms: Option<u64>) {
        let idle = wait_ms == Some(0) && self.moved == self.moved_before;
        self.moved_before = self.moved;
        self.idle_turns = if idle { self.idle_turns + 1 } else { 0 };
        assert!(self.idle_turns < IDLE_TURNS_MAX, "the loop spins: it neither waits nor moves anything");
    }
}

/// The server's end of a connection. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct SimStream {
    peer: Peer,
    world: Rc<RefCell<World>>,
}

impl Drop for SimStream {
    fn drop(&mut self) {
        // After a panic the world may be borrowed, and nobody asks it any more.
        if !std::thread::panicking() {
            self.world.borrow_mut().release(self.peer);
        }
    }
}

/// What the reactor sees of the world.
#[derive(Debug)]
pub(crate) struct SimKernel {
    world: Rc<RefCell<World>>,
}

impl SimKernel {
    pub(crate) fn new(world: &Rc<RefCell<World>>) -> SimKernel {
        SimKernel { world: Rc::clone(world) }
    }

    fn world(&self) -> RefMut<'_, World> {
        self.world.borrow_mut()
    }
}

impl Io for SimKernel {
    type Stream = SimStream;

    fn now(&mut self) -> (Instant, u64) {
        let world = self.world();
        (Instant::from_millis(world.now_ms), world.wall_ms)
    }

    fn poll(&mut self, ready: &mut Vec<Ready>, wait_ms: Option<u64>) -> Result<()> {
        let mut world = self.world();
        world.counts.polls += 1;
        world.watch_for_a_spin(wait_ms);
        let interrupted = world.faults.interrupted;
        if world.rng.per_mille(interrupted) {
            return Ok(());
        }
        world.fetch(ready);
        if ready.is_empty() {
            let until = wait_ms.map_or(u64::MAX, |ms| world.now_ms.saturating_add(ms)).min(world.alarm_ms);
            let slept = until.saturating_sub(world.now_ms);
            world.now_ms += slept;
            world.wall_ms += slept;
        }
        Ok(())
    }

    fn accept(&mut self) -> Result<(SimStream, SocketAddr)> {
        let peer = self.world().accept()?;
        let stream = SimStream { peer, world: Rc::clone(&self.world) };
        Ok((stream, SocketAddr::from((Ipv4Addr::LOCALHOST, 10_000 + (peer % 50_000) as u16))))
    }

    fn stop_listening(&mut self) {
        let mut world = self.world();
        world.listening = false;
        world.listener_queued = false;
        // Those in the backlog learn that nobody will ever answer.
        for peer in std::mem::take(&mut world.backlog) {
            world.sockets[peer].held = Held::Closed;
            world.reset_client(peer);
        }
    }

    fn register(&mut self, stream: &mut SimStream, token: usize) -> Result<()> {
        let mut world = self.world();
        let unwatched = world.faults.unwatched;
        if world.rng.per_mille(unwatched) {
            return Err(ErrorKind::OutOfMemory.into());
        }
        assert!(world.sockets.iter().all(|socket| socket.token != Some(token)), "two streams, one token");
        let socket = &mut world.sockets[stream.peer];
        assert_eq!(socket.token, None, "a stream was registered twice");
        socket.token = Some(token);
        // What is ready already is news too: the socket is writable at the least.
        world.wake(stream.peer);
        Ok(())
    }

    fn read(&mut self, stream: &mut SimStream, buffer: &mut [u8]) -> Result<usize> {
        let mut world = self.world();
        world.counts.reads += 1;
        let interrupted = world.faults.interrupted;
        if world.rng.per_mille(interrupted) {
            return Err(ErrorKind::Interrupted.into());
        }
        let socket = &mut world.sockets[stream.peer];
        assert!(socket.token.is_some(), "a stream was read that nobody watches");
        assert!(!buffer.is_empty(), "a read of nothing can't be told from an end");
        let count = socket.up.read(buffer);
        if count > 0 {
            world.step();
            return Ok(count);
        }
        match socket.reset {
            Reset::Pending => {
                socket.reset = Reset::Told;
                Err(ErrorKind::ConnectionReset.into())
            }
            Reset::None if socket.up.fin != Fin::Arrived => Err(ErrorKind::WouldBlock.into()),
            _ => Ok(0),
        }
    }

    fn write(&mut self, stream: &mut SimStream, slices: &[IoSlice<'_>]) -> Result<usize> {
        let mut world = self.world();
        world.counts.writes += 1;
        let interrupted = world.faults.interrupted;
        if world.rng.per_mille(interrupted) {
            return Err(ErrorKind::Interrupted.into());
        }
        let socket = &mut world.sockets[stream.peer];
        assert!(socket.token.is_some(), "a stream was written that nobody watches");
        assert!(!socket.shut, "a stream was written after its end");
        if socket.reset != Reset::None {
            socket.reset = Reset::Told;
            return Err(ErrorKind::BrokenPipe.into());
        }
        let offered = slices.iter().map(|slice| &slice[..]).collect::<Vec<_>>().concat();
        assert!(!offered.is_empty(), "a write of nothing");
        let count = socket.down.write(&offered);
        socket.full |= count < offered.len();
        if count == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        world.step();
        world.note_written(stream.peer, &offered[..count]);
        Ok(count)
    }

    fn shut(&mut self, stream: &mut SimStream) -> Result<()> {
        let mut world = self.world();
        world.step();
        let socket = &mut world.sockets[stream.peer];
        if socket.reset != Reset::None {
            return Err(ErrorKind::NotConnected.into());
        }
        assert!(!socket.shut, "a stream was shut twice");
        socket.shut = true;
        socket.down.fin = Fin::Sent;
        // The state changed: who had shut before is now shut on both sides (`sk_state_change`).
        world.wake(stream.peer);
        Ok(())
    }
}
