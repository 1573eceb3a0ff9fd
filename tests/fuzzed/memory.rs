//! A kernel in memory, as much of one as a fuzzer needs: peers that send, shut, reset and stop reading.
//!
//! It injects no faults and measures nothing; it is small so that thousands of servers a second can be run
//! over it. What a peer sends arrives one piece a turn, each a new edge, as `reactor/io.rs` promises.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use encke::reactor::Instant;
use encke::reactor::io::{Io, Ready};

/// What a peer and the server share.
#[derive(Debug, Default)]
pub struct Peer {
    /// Pieces on their way to the server.
    pub queue: VecDeque<Vec<u8>>,
    /// All that the server has written.
    pub heard: Vec<u8>,
    /// The peer shuts its side behind what it has sent.
    pub shuts: bool,
    /// The peer has reset the connection.
    pub resets: bool,
    /// The peer reads nothing.
    pub full: bool,
    /// The server has closed its socket.
    pub is_closed: bool,
    arrived: Vec<u8>,
    token: Option<usize>,
    told_full: bool,
    told_end: bool,
}

/// See the top of this file.
#[derive(Debug, Default)]
pub struct Memory {
    /// Peers that wait to be accepted.
    waiting: VecDeque<Rc<RefCell<Peer>>>,
    told_waiting: bool,
    peers: Vec<Rc<RefCell<Peer>>>,
    /// The clocks, both of them.
    pub now: u64,
    /// The last poll had nothing to tell and would have slept.
    pub is_asleep: bool,
}

impl Memory {
    /// A new connection, accepted in the next turn.
    pub fn connect(&mut self) -> Rc<RefCell<Peer>> {
        let peer = Rc::<RefCell<Peer>>::default();
        self.waiting.push_back(peer.clone());
        self.told_waiting = false;
        peer
    }
}

/// The server's end of a connection.
#[derive(Debug)]
pub struct Socket(Rc<RefCell<Peer>>);

impl Drop for Socket {
    fn drop(&mut self) {
        self.0.borrow_mut().is_closed = true;
    }
}

impl Peer {
    /// The edge that comes next, if there is one.
    fn edge(&mut self) -> Option<Ready> {
        let token = self.token?;
        let mut edge = (false, false, false, false);
        let ends = (self.shuts && self.queue.is_empty()) || self.resets;
        if let Some(piece) = self.queue.pop_front() {
            self.arrived.extend_from_slice(&piece);
            edge.0 = true;
        } else if ends && !self.told_end {
            self.told_end = true;
            edge = (true, self.resets, true, self.resets);
        }
        if self.told_full && !self.full {
            self.told_full = false;
            edge.1 = true;
        }
        let (readable, writable, fin, dead) = edge;
        (readable || writable).then_some(Ready::Link { token, readable, writable, fin, dead })
    }
}

impl Io for Memory {
    type Stream = Socket;

    fn now(&mut self) -> (Instant, u64) {
        (Instant::from_millis(self.now), 1_700_000_000_000 + self.now)
    }

    fn poll(&mut self, ready: &mut Vec<Ready>, wait_ms: Option<u64>) -> io::Result<()> {
        if !self.waiting.is_empty() && !self.told_waiting {
            self.told_waiting = true;
            ready.push(Ready::Listener);
        }
        self.peers.retain(|peer| !peer.borrow().is_closed);
        ready.extend(self.peers.iter().filter_map(|peer| peer.borrow_mut().edge()));
        self.is_asleep = ready.is_empty() && wait_ms != Some(0);
        Ok(())
    }

    fn accept(&mut self) -> io::Result<(Socket, SocketAddr)> {
        let peer = self.waiting.pop_front().ok_or(ErrorKind::WouldBlock)?;
        Ok((Socket(peer), (Ipv4Addr::LOCALHOST, 50_000).into()))
    }

    fn stop_listening(&mut self) {
        self.waiting.clear();
    }

    fn register(&mut self, stream: &mut Socket, token: usize) -> io::Result<()> {
        stream.0.borrow_mut().token = Some(token);
        self.peers.push(stream.0.clone());
        Ok(())
    }

    fn read(&mut self, stream: &mut Socket, buffer: &mut [u8]) -> io::Result<usize> {
        let mut peer = stream.0.borrow_mut();
        if peer.resets {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if peer.arrived.is_empty() {
            return if peer.told_end { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        let count = peer.arrived.len().min(buffer.len());
        buffer[..count].copy_from_slice(&peer.arrived[..count]);
        peer.arrived.drain(..count);
        Ok(count)
    }

    fn write(&mut self, stream: &mut Socket, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut peer = stream.0.borrow_mut();
        if peer.resets {
            return Err(ErrorKind::BrokenPipe.into());
        }
        if peer.full {
            peer.told_full = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        let before = peer.heard.len();
        slices.iter().for_each(|slice| peer.heard.extend_from_slice(slice));
        Ok(peer.heard.len() - before)
    }

    fn shut(&mut self, stream: &mut Socket) -> io::Result<()> {
        if stream.0.borrow().resets { Err(ErrorKind::NotConnected.into()) } else { Ok(()) }
    }
}
