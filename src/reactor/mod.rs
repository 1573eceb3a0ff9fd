//! Pillar one: sockets, slots and bytes. It knows no protocol.
//!
//! One thread, one loop, and every round of it, a *turn*, goes through the same phases in the same order:
//!
//! ```text
//!   poll ──► timers ──► accept ──► read ──► flush ──► reap
//!     ▲                              │        ▲         │
//!     │                              ▼        │         │
//!     │                         on_read …   on_fan_out, │
//!     │                                     on_drain    │
//!     └──────── at once if anything was left over ◄─────┘
//! ```
//!
//! Everything a handler sends while the turn goes on is only queued; the flush phase writes it, once a
//! connection. So ten messages published in a turn are one system call a reader, and a handler never has
//! to think of a socket that breaks under its hands. A connection ends in one place, `reap`.
//!
//! Each phase has a budget, a named bound of `limits.rs`. What a budget stopped stays in its queue, and a
//! turn with work left over polls without waiting. That is what keeps a broadcast to a hundred thousand
//! readers from delaying everyone else: it is served in slices with all other traffic in between.
//!
//! Read first: redis `ae.c` for the idea of work "before sleep"; epoll(7) on starvation.

pub mod handler;
mod id;
pub mod io;
pub mod link;
pub mod outbox;
mod queues;
mod share;
mod stats;
pub mod time;
mod timer;
pub mod wheel;
mod write;

use std::collections::VecDeque;
use std::io::{ErrorKind, Result};
use std::net::SocketAddr;

use log::{debug, warn};

pub use self::handler::Handler;
pub use self::id::ConnId;
use self::io::{Io, Ready, is_passing};
pub use self::link::{Links, Phase, Why};
pub use self::outbox::Chunk;
pub use self::time::Instant;
pub use self::timer::TIMER_KEY_MAX;
use self::timer::{Packed, Timer};
use crate::defect::Defect;
use crate::limits::{
    ACCEPT_RETRY_MS, ACCEPTS_PER_TURN_MAX, DRAIN_MS, ITEM_COST, LINGER_AT_STOP_MS, LINGER_BYTES_MAX,
    LINGER_MS, LINKS_READ_PER_TURN_MAX, READ_BUFFER_BYTES, READ_BYTES_PER_TURN_MAX, READS_PER_LINK_MAX,
    REFUSALS_MAX, SPENT_PER_LINK_MAX, STOP_MS, TIMERS_WORK_MAX,
};
use crate::work;

/// The loop and all its connections.
#[derive(Debug)]
pub struct Reactor<I: Io> {
    io: I,
    links: Links,
    /// The sockets, under the slot numbers of the links.
    streams: Vec<Option<I::Stream>>,
    /// The one receive buffer.
    buffer: Box<[u8]>,
    ready: Vec<Ready>,
    /// Timers that have come and were not told yet.
    due: VecDeque<(Instant, Packed)>,
    /// The listener may have connections for us.
    acceptable: bool,
    /// No accept before this instant: the system had no descriptor left.
    accept_at: Instant,
    /// Links that are only told that there is no room.
    refusals: usize,
    /// The end was asked for; by then it comes, whoever still reads.
    stop_at: Option<Instant>,
}

impl<I: Io> Reactor<I> {
    /// A loop over `io`, without connections.
    pub fn new(mut io: I) -> Reactor<I> {
        let (now, wall) = io.now();
        Reactor {
            io,
            links: Links::new(now, wall),
            streams: Vec::new(),
            buffer: vec![0; READ_BUFFER_BYTES].into_boxed_slice(),
            ready: Vec::new(),
            due: VecDeque::new(),
            acceptable: true,
            accept_at: Instant::default(),
            refusals: 0,
            stop_at: None,
        }
    }

    /// Turns until it is asked to end and all connections have ended, or the time for that is over.
    ///
    /// # Errors
    /// The system's poll failed, which leaves nothing to go on with.
    pub fn run(&mut self, handler: &mut impl Handler) -> Result<()> {
        while !self.is_finished() {
            self.turn(handler)?;
        }
        // Who has not read his goodbye by now is left without.
        for id in self.links.ids() {
            self.links.doom(id, Why::TimedOut);
        }
        self.reap(handler);
        Ok(())
    }

    /// One turn: the six phases.
    ///
    /// # Errors
    /// The system's poll failed.
    pub fn turn(&mut self, handler: &mut impl Handler) -> Result<()> {
        self.poll(handler)?;
        let spent = work::spent();
        self.timers(handler);
        self.accept(handler);
        self.read(handler);
        self.flush(handler);
        self.reap(handler);
        self.links.stats.turn_work_max = self.links.stats.turn_work_max.max(work::spent() - spent);
        Ok(())
    }

    /// Waits for events and takes note of them. Nothing is read or written here: the other phases do that,
    /// in their order and within their budgets.
    fn poll(&mut self, handler: &mut impl Handler) -> Result<()> {
        let wait = self.wait_ms(handler);
        self.ready.clear();
        self.io.poll(&mut self.ready, wait)?;
        let (now, wall) = self.io.now();
        // A clock that went back for once must not pull every deadline with it.
        self.links.now = self.links.now.max(now);
        self.links.wall = wall;
        self.links.stats.turns += 1;
        handler.on_turn(&mut self.links);
        self.links.call_back();

        let ready = std::mem::take(&mut self.ready);
        for event in &ready {
            match *event {
                Ready::Listener => self.acceptable = self.stop_at.is_none(),
                Ready::Stop => self.stop(handler),
                Ready::Link { token, readable, writable, fin, dead } => {
                    // Not found: an event for a connection that has ended since.
                    let Some(id) = self.links.find(token) else { continue };
                    self.note(id, readable, writable, fin, dead);
                }
            }
        }
        self.ready = ready;
        Ok(())
    }

    fn note(&mut self, id: ConnId, readable: bool, writable: bool, fin: bool, dead: bool) {
        let Some(link) = self.links.link(id) else { return };
        link.readable |= readable;
        link.writable |= writable;
        link.fin |= fin;
        // No read will ever meet the error.
        if dead && !link.is_heard() {
            self.links.doom(id, Why::Broken);
            return;
        }
        let waits = !link.outbox.is_empty() || link.hungry || link.phase == Phase::Draining;
        if readable {
            self.links.want_read(id);
        }
        if writable && waits {
            self.links.want_write(id);
        }
    }

    /// How long the poll may sleep.
    fn wait_ms(&self, handler: &impl Handler) -> Option<u64> {
        let now = self.links.now;
        let accepts = self.acceptable && self.accept_at <= now;
        if accepts || !self.links.is_idle() || !self.due.is_empty() || handler.has_work() {
            return Some(0);
        }
        let accept_at = if self.acceptable { self.accept_at } else { Instant::NEVER };
        let wheel_at = self.links.wheel.next().unwrap_or(Instant::NEVER);
        let wake = accept_at.min(wheel_at).min(self.stop_at.unwrap_or(Instant::NEVER));
        (wake != Instant::NEVER).then(|| wake.since(now).max(1))
    }

    /// Fires what is due. What the turn's budget for timers leaves over comes first in the next turn.
    fn timers(&mut self, handler: &mut impl Handler) {
        let enough = work::spent() + TIMERS_WORK_MAX;
        self.links.wheel.expire(self.links.now, &mut self.due);
        while work::spent() < enough {
            let Some((at, timer)) = self.due.pop_front() else { return };
            work::spend(ITEM_COST);
            match timer.unpack() {
                Timer::Key(key) => handler.on_timer(&mut self.links, key),
                Timer::Link(id) if self.links.fire(id, at) => self.on_deadline(handler, id),
                Timer::Link(_) => {}
            }
        }
    }

    fn on_deadline(&mut self, handler: &mut impl Handler, id: ConnId) {
        match self.links.link(id).map(|link| link.phase) {
            Some(Phase::Open) => handler.on_deadline(&mut self.links, id),
            // It was given time to drain or linger, and that is over. A peer that reads, however slowly, gets
            // more.
            Some(Phase::Draining) if self.links.stuck_ms(id) < DRAIN_MS => self.links.grant_drain(id),
            Some(Phase::Draining) => self.links.doom(id, Why::TimedOut),
            Some(Phase::Lingering) => self.links.doom(id, Why::Finished),
            Some(Phase::Doomed) | None => {}
        }
    }

    /// Accepts what waits.
    ///
    /// When the system has no descriptor left, the connections stay in the backlog, and since an
    /// edge-triggered listener will not speak of them again, we ask again after a while: neither a stall
    /// nor a spin, however long the shortage lasts.
    fn accept(&mut self, handler: &mut impl Handler) {
        if !self.acceptable || self.accept_at > self.links.now || self.stop_at.is_some() {
            return;
        }
        for _ in 0..ACCEPTS_PER_TURN_MAX {
            match self.io.accept() {
                Ok((stream, peer)) => self.open(handler, stream, peer),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.acceptable = false;
                    return;
                }
                // The peer gave up while it waited; the next one may not have.
                Err(error) if is_passing(&error) => {}
                Err(error) => {
                    if self.links.stats.accept_faults == 0 {
                        warn!("can't accept connections for now: {error}; raise the limit of open files");
                    }
                    self.links.stats.accept_faults += 1;
                    self.accept_at = self.links.now.after(ACCEPT_RETRY_MS);
                    return;
                }
            }
        }
    }

    fn open(&mut self, handler: &mut impl Handler, mut stream: I::Stream, peer: SocketAddr) {
        self.links.stats.accepted += 1;
        let open = self.links.alive() - self.refusals;
        let refusal = handler.admit(&mut self.links, peer, open);
        if refusal.is_some() && self.refusals >= REFUSALS_MAX {
            // Even the places kept for saying no are taken: dropping the stream closes it.
            self.links.stats.refused += 1;
            return;
        }
        let id = self.links.insert();
        if let Err(error) = self.io.register(&mut stream, id.token()) {
            debug!("{id} can't be watched: {error}");
            self.links.remove(id);
            return;
        }
        if self.streams.len() <= id.slot() {
            self.streams.resize_with(id.slot() + 1, || None);
        }
        self.streams[id.slot()] = Some(stream);
        let Some(refusal) = refusal else {
            handler.on_open(&mut self.links, id, peer);
            // The request is often there already. Reading now saves a poll.
            self.links.want_read(id);
            return;
        };
        self.links.stats.refused += 1;
        self.refusals += 1;
        if let Some(link) = self.links.link(id) {
            link.refused = true;
        }
        self.links.send(id, refusal);
        self.links.close(id);
    }

    fn read(&mut self, handler: &mut impl Handler) {
        let enough = work::spent() + READ_BYTES_PER_TURN_MAX;
        let mut left = LINKS_READ_PER_TURN_MAX;
        for _ in 0..self.links.run.len() {
            if left == 0 || work::spent() >= enough {
                break;
            }
            let Some(id) = self.links.next_run() else { break };
            let is_heavy = handler.is_heavy(&self.links, id);
            self.links.set_heavy(id, is_heavy);
            if is_heavy {
                self.links.read_late(id);
                continue;
            }
            left -= 1;
            self.read_in_turn(handler, id);
        }
        // The heavy ones share what is left, and one comes in each turn whatever is left.
        let late = self.links.late_run.len().min(left.max(1));
        for served in 0..late {
            if served > 0 && work::spent() >= enough {
                return;
            }
            let Some(id) = self.links.next_late_run() else { return };
            self.read_in_turn(handler, id);
        }
    }

    fn read_in_turn(&mut self, handler: &mut impl Handler, id: ConnId) {
        let spent = work::spent();
        self.read_link(handler, id);
        self.links.stats.link_work_max = self.links.stats.link_work_max.max(work::spent() - spent);
        // What a link's own budget stopped goes to the end of the queue, behind everyone else.
        if !Defect::Loop.is_on() {
            self.links.want_read(id);
        }
    }

    fn read_link(&mut self, handler: &mut impl Handler, id: ConnId) {
        let enough = work::spent() + SPENT_PER_LINK_MAX;
        for _ in 0..READS_PER_LINK_MAX {
            let is_spent = work::spent() >= enough;
            let Some(link) = self.links.link(id) else { return };
            if is_spent || !link.is_heard() || !link.readable {
                return;
            }
            let Some(stream) = self.streams[id.slot()].as_mut() else { return };
            match self.io.read(stream, &mut self.buffer) {
                Ok(0) => {
                    link.readable = false;
                    self.on_eof(handler, id);
                    return;
                }
                Ok(count) => {
                    // A short read has emptied the socket, and the next byte will be a new edge. Not so an
                    // end that was already announced: its edge is the one we are answering.
                    link.readable = count == self.buffer.len() || link.fin;
                    self.links.stats.read_bytes += count as u64;
                    work::spend(count as u64);
                    self.on_bytes(handler, id, count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    link.readable = false;
                    return;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.links.doom(id, Why::Broken);
                    return;
                }
            }
        }
    }

    fn on_bytes(&mut self, handler: &mut impl Handler, id: ConnId, count: usize) {
        let Some(link) = self.links.link(id) else { return };
        if link.phase == Phase::Lingering {
            link.dropped = link.dropped.saturating_add(count as u32);
            if link.dropped > LINGER_BYTES_MAX {
                self.links.doom(id, Why::Finished);
            }
            return;
        }
        handler.on_read(&mut self.links, id, &self.buffer[..count]);
    }

    fn on_eof(&mut self, handler: &mut impl Handler, id: ConnId) {
        let Some(link) = self.links.link(id) else { return };
        link.eof = true;
        match link.phase {
            Phase::Lingering => self.links.doom(id, Why::Finished),
            Phase::Open => handler.on_eof(&mut self.links, id),
            Phase::Draining | Phase::Doomed => {}
        }
    }

    /// All is written: shuts our side and waits for the peer to shut its own.
    fn linger(&mut self, id: ConnId) {
        let deadline = self.links.now.after(if self.links.stopping { LINGER_AT_STOP_MS } else { LINGER_MS });
        let Some(link) = self.links.link(id) else { return };
        // Where the peer's end was read, all it sent was, and to close is enough.
        let is_over =
            link.eof || self.streams[id.slot()].as_mut().is_none_or(|stream| self.io.shut(stream).is_err());
        if is_over {
            self.links.doom(id, Why::Finished);
            return;
        }
        link.phase = Phase::Lingering;
        // A link that was paused may hold bytes that no edge will announce again.
        link.readable = true;
        self.links.arm(id, deadline);
        self.links.want_read(id);
    }

    /// Ends what was doomed. The only place where a connection ends.
    ///
    /// A handler may doom more connections from within `on_close`, so this goes on until none is left; each
    /// is doomed once, so it ends.
    fn reap(&mut self, handler: &mut impl Handler) {
        while let Some(id) = self.links.doomed.pop() {
            let Some(link) = self.links.link(id) else { continue };
            let (why, refused) = (link.why, link.refused);
            if refused {
                self.refusals -= 1;
            } else {
                handler.on_close(&mut self.links, id, why);
            }
            self.streams[id.slot()] = None;
            self.links.remove(id);
            // A descriptor is free again: those who wait in the backlog need not wait for the timer.
            self.accept_at = Instant::default();
        }
    }

    fn stop(&mut self, handler: &mut impl Handler) {
        if self.stop_at.is_some() {
            return;
        }
        self.stop_at = Some(self.links.now.after(STOP_MS));
        self.links.stopping = true;
        self.acceptable = false;
        self.io.stop_listening();
        handler.on_stop(&mut self.links);
        for id in self.links.ids() {
            // Those that linger already wait for a peer that may be slow. There is less time for that now.
            if self.links.link(id).is_some_and(|link| link.phase == Phase::Lingering) {
                self.links.arm(id, self.links.now.after(LINGER_AT_STOP_MS));
            }
            self.links.close(id);
        }
    }

    /// Whether the end was asked for and has come.
    pub fn is_finished(&self) -> bool {
        self.stop_at.is_some_and(|at| self.links.is_empty() || at <= self.links.now)
    }

    /// The connections.
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// The machine it runs on.
    pub fn io(&mut self) -> &mut I {
        &mut self.io
    }
}
