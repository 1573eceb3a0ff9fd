//! The table of connections, and all that a protocol may do to one of them.
//!
//! It knows no socket (the reactor keeps those beside it, under the same slot numbers) and no protocol (that
//! is the [`Handler`](super::Handler)'s). A handler never reads, writes or closes: it appends to an outbox,
//! sets a deadline, asks for the end. The reactor does the rest in its own phases.
//!
//! ```text
//!           accept                 close()              outbox empty: FIN sent
//!             │                       │                        │
//!             ▼                       ▼                        ▼
//!           Open ────────────────► Draining ──────────────► Lingering
//!             │                       │                        │
//!             │ doom(), error         │ error, too slow        │ peer's FIN, error, too slow
//!             ▼                       ▼                        ▼
//!           Doomed ◄───────────────────────────────────────────┘ ───► reap, and the slot is free
//! ```

use std::collections::VecDeque;

use slab::Slab;

use super::id::{ConnId, SLOT_BITS};
use super::outbox::{Chunk, Outbox};
pub use super::stats::Stats;
use super::time::Instant;
use super::timer::{Packed, Timer};
use super::wheel::Wheel;
use super::write::Share;
use crate::account::{self, Image, Part};
use crate::limits::DRAIN_MS;

/// Where a connection is in its life. The arrows are drawn at the top of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Read from and written to.
    Open,
    /// The end was asked for; what waits still goes out, nothing more is read.
    Draining,
    /// All is written and our side is shut. What the peer still sends is read and dropped, because closing
    /// over unread bytes would make the kernel send a reset that can eat the last response (RFC 9112, 9.6).
    Lingering,
    /// To be reaped at the end of this turn.
    Doomed,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// As both sides wanted.
    Finished,
    /// The peer reset it, or the kernel gave up on it.
    Broken,
    /// It did not move for longer than it may.
    TimedOut,
    /// The handler wanted it gone at once.
    Aborted,
}

#[derive(Debug)]
pub(super) struct Link {
    generation: u32,
    pub(super) phase: Phase,
    pub(super) why: Why,
    /// The kernel may have bytes for us: it said so, and no read has come back short since.
    pub(super) readable: bool,
    /// The kernel may take bytes from us: no write has come back short since it last said so.
    pub(super) writable: bool,
    /// The peer has shut its side; the kernel told us, or a read did.
    pub(super) fin: bool,
    /// The handler was told of the peer's end.
    pub(super) eof: bool,
    pub(super) paused: bool,
    pub(super) in_run: bool,
    pub(super) in_dirty: bool,
    pub(super) in_yielded: bool,
    /// Wants [`Handler::on_drain`](super::Handler::on_drain) once nothing waits.
    pub(super) hungry: bool,
    /// Waits for all others: its peer has asked for much lately.
    pub(super) heavy: bool,
    /// Never shown to the handler: it only carries the answer that there is no room.
    pub(super) refused: bool,
    pub(super) outbox: Outbox,
    /// When the outbox last stopped moving; [`Instant::NEVER`] while it moves.
    pub(super) stuck: Instant,
    deadline: Instant,
    /// The instant of this link's entry in the wheel; others of its entries are void.
    armed: Instant,
    /// Bytes dropped while lingering.
    pub(super) dropped: u32,
}

// Paid by every connection, busy or not; and a broadcast touches all of it for each reader.
const _: () = assert!(size_of::<Option<Link>>() <= 96);

impl Link {
    /// Whether all is written and nobody waits for that.
    pub(super) fn is_done(&self) -> bool {
        self.outbox.is_empty() && self.phase == Phase::Open && !self.hungry
    }

    /// Whether the link is read from. A link that isn't can't meet an error either.
    pub(super) fn is_heard(&self) -> bool {
        match self.phase {
            // After its end the kernel calls a socket readable for ever: each event repeats it.
            Phase::Open => !self.paused && !self.eof,
            Phase::Lingering => true,
            Phase::Draining | Phase::Doomed => false,
        }
    }
}

/// Room in a link's outbox, taken up by [`Offer::send`]. It holds the link, so that who looks first and sends
/// then finds it once: in a broadcast to thousands each look is a cache line.
#[derive(Debug)]
pub struct Offer<'a> {
    id: ConnId,
    link: &'a mut Link,
    dirty: &'a mut VecDeque<ConnId>,
}

impl Offer<'_> {
    /// See [`Links::send`].
    pub fn send(self, chunk: impl Into<Chunk>) {
        self.link.outbox.push(chunk.into());
        if !std::mem::replace(&mut self.link.in_dirty, true) {
            self.dirty.push_back(self.id);
        }
    }
}

/// All connections.
#[derive(Debug)]
pub struct Links {
    slots: Slab<Link>,
    next_generation: u32,
    /// Heard and readable. Each link is in it once at most.
    pub(super) run: VecDeque<ConnId>,
    /// Have something to write and a kernel that may take it. Each link is in it once at most.
    pub(super) dirty: VecDeque<ConnId>,
    /// As those of `run` and `dirty`, but they come after all others: see `share`. A link is in one of the
    /// two.
    pub(super) late_run: VecDeque<ConnId>,
    pub(super) late_dirty: VecDeque<(ConnId, Share)>,
    /// Their share of this turn is written: they count as dirty, and come late in the next one.
    pub(super) deferred: Vec<ConnId>,
    pub(super) yielded: VecDeque<ConnId>,
    /// To be reaped at the end of this turn.
    pub(super) doomed: Vec<ConnId>,
    pub(super) wheel: Wheel<Packed>,
    pub(super) now: Instant,
    pub(super) wall: u64,
    pub(super) stopping: bool,
    pub(super) stats: Stats,
}

impl Links {
    pub(super) fn new(now: Instant, wall: u64) -> Links {
        Links {
            slots: Slab::new(),
            next_generation: 0,
            run: VecDeque::new(),
            dirty: VecDeque::new(),
            late_run: VecDeque::new(),
            late_dirty: VecDeque::new(),
            deferred: Vec::new(),
            yielded: VecDeque::new(),
            doomed: Vec::new(),
            wheel: Wheel::new(now),
            now,
            wall,
            stopping: false,
            stats: Stats::default(),
        }
    }

    /// A new link; both directions are taken for ready until the kernel says otherwise.
    pub(super) fn insert(&mut self) -> ConnId {
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        let slot = self.slots.insert(Link {
            generation,
            phase: Phase::Open,
            why: Why::Finished,
            readable: true,
            writable: true,
            fin: false,
            eof: false,
            paused: false,
            in_run: false,
            in_dirty: false,
            in_yielded: false,
            hungry: false,
            heavy: false,
            refused: false,
            outbox: Outbox::default(),
            stuck: Instant::NEVER,
            deadline: Instant::NEVER,
            armed: Instant::NEVER,
            dropped: 0,
        });
        ConnId { slot: slot as u32, generation }
    }

    pub(super) fn remove(&mut self, id: ConnId) {
        self.slots.remove(id.slot());
    }

    /// The link of an event, unless its connection has ended: then the event is a stale one.
    pub(super) fn find(&self, token: usize) -> Option<ConnId> {
        let slot = token & ((1 << SLOT_BITS) - 1);
        let link = self.slots.get(slot)?;
        let id = ConnId { slot: slot as u32, generation: link.generation };
        (id.token() == token).then_some(id)
    }

    pub(super) fn link(&mut self, id: ConnId) -> Option<&mut Link> {
        self.slots.get_mut(id.slot()).filter(|link| link.generation == id.generation)
    }

    pub(super) fn peek(&self, id: ConnId) -> Option<&Link> {
        self.slots.get(id.slot()).filter(|link| link.generation == id.generation)
    }

    /// Takes a link's timer out of the wheel: whether its deadline has come. Re-arms it where not.
    pub(super) fn fire(&mut self, id: ConnId, at: Instant) -> bool {
        let now = self.now;
        let Some(link) = self.link(id) else { return false };
        if link.armed != at {
            return false;
        }
        link.armed = Instant::NEVER;
        let deadline = link.deadline;
        if deadline <= now {
            link.deadline = Instant::NEVER;
            return true;
        }
        self.arm(id, deadline);
        false
    }

    /// Sets the deadline, whatever the phase.
    pub(super) fn arm(&mut self, id: ConnId, deadline: Instant) {
        let Some(link) = self.link(id) else { return };
        link.deadline = deadline;
        if deadline < link.armed {
            link.armed = deadline;
            self.wheel.insert(deadline, Timer::Link(id).pack());
        }
    }

    /// All connections, in the order of their slots.
    pub(super) fn ids(&self) -> Vec<ConnId> {
        self.iter_from(0).collect()
    }

    // What a handler may ask for.

    /// Appends `chunk` to what waits to be written. Nothing is written before this turn's flush phase, so
    /// ten calls are one system call. Does nothing once the end was asked for.
    pub fn send(&mut self, id: ConnId, chunk: impl Into<Chunk>) {
        let Some(link) = self.link(id) else { return };
        if link.phase != Phase::Open {
            return;
        }
        link.outbox.push(chunk.into());
        self.want_write(id);
    }

    /// Room for one more chunk: it is open, the kernel takes bytes, no more than `queued_max` wait.
    pub fn offer(&mut self, id: ConnId, queued_max: usize) -> Option<Offer<'_>> {
        let Links { slots, dirty, .. } = self;
        let link = slots.get_mut(id.slot()).filter(|link| link.generation == id.generation)?;
        let has_room = link.phase == Phase::Open && link.writable && link.outbox.cost() <= queued_max;
        has_room.then_some(Offer { id, link, dirty })
    }

    /// Ends the connection in good order: what waits goes out, then our side is shut, then the peer may
    /// finish. The time for all this is bounded.
    pub fn close(&mut self, id: ConnId) {
        let deadline = self.now.after(DRAIN_MS);
        let Some(link) = self.link(id) else { return };
        if link.phase != Phase::Open {
            return;
        }
        link.phase = Phase::Draining;
        self.arm(id, deadline);
        self.want_write(id);
    }

    /// Gives a draining link as much time again.
    pub(super) fn grant_drain(&mut self, id: ConnId) {
        self.arm(id, self.now.after(DRAIN_MS));
    }

    /// Ends the connection at the end of this turn, whatever waits.
    pub fn doom(&mut self, id: ConnId, why: Why) {
        let Some(link) = self.link(id) else { return };
        if link.phase == Phase::Doomed {
            return;
        }
        link.phase = Phase::Doomed;
        link.why = why;
        // Nothing of it will be written any more; its memory need not wait for the end of the turn.
        link.outbox.clear();
        self.doomed.push(id);
    }

    /// Stops reading: whoever sends more than is answered waits in the kernel's buffers, not in ours.
    pub fn pause(&mut self, id: ConnId) {
        if let Some(link) = self.link(id) {
            link.paused = true;
        }
    }

    /// Reads again. What became readable meanwhile was not forgotten.
    pub fn resume(&mut self, id: ConnId) {
        if let Some(link) = self.link(id) {
            link.paused = false;
        }
        self.want_read(id);
    }

    /// Asks for [`Handler::on_drain`](super::Handler::on_drain) once nothing waits any more.
    pub fn want_drain(&mut self, id: ConnId) {
        if let Some(link) = self.link(id) {
            link.hungry = true;
        }
        self.want_write(id);
    }

    /// Replaces the connection's one deadline. [`Instant::NEVER`] takes it away. Does nothing once the end
    /// was asked for: the time for that is the reactor's.
    ///
    /// A later deadline costs a store: the entry in the wheel stays, and is put in again when it comes out.
    pub fn set_deadline(&mut self, id: ConnId, deadline: Instant) {
        if self.is_open(id) {
            self.arm(id, deadline);
        }
    }

    /// Asks for [`Handler::on_timer`](super::Handler::on_timer) with `key` at `at`. It can't be taken back:
    /// who sets it must know, when it comes, whether it still means anything.
    ///
    /// # Panics
    /// If the key is larger than [`TIMER_KEY_MAX`](super::timer::TIMER_KEY_MAX).
    pub fn set_timer(&mut self, at: Instant, key: u64) {
        self.wheel.insert(at, Timer::Key(key).pack());
    }

    /// Whether the connection is open: not asked to end, not ended.
    pub fn is_open(&self, id: ConnId) -> bool {
        self.peek(id).is_some_and(|link| link.phase == Phase::Open)
    }

    /// Whether the kernel takes nothing more of the connection for now.
    pub fn is_blocked(&self, id: ConnId) -> bool {
        self.peek(id).is_some_and(|link| !link.writable)
    }

    /// Whether the peer has shut its side.
    pub fn is_half_closed(&self, id: ConnId) -> bool {
        self.peek(id).is_some_and(|link| link.eof)
    }

    /// Whether the program is about to end.
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Whether the connection still exists.
    pub fn contains(&self, id: ConnId) -> bool {
        self.peek(id).is_some()
    }

    /// Bytes that wait to be written.
    pub fn queued(&self, id: ConnId) -> usize {
        self.peek(id).map_or(0, |link| link.outbox.cost())
    }

    /// Milliseconds for which nothing of what waits has gone out; 0 while it moves.
    pub fn stuck_ms(&self, id: ConnId) -> u64 {
        self.peek(id).map_or(0, |link| self.now.since(link.stuck))
    }

    /// This turn's instant.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// This turn's wall clock: milliseconds since 1970. It may be set back at any time; no deadline and no
    /// order depends on it.
    pub fn wall(&self) -> u64 {
        self.wall
    }

    /// Connections, those that are about to end included.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is no connection.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Bytes of the tables of connections and of the timers, whatever they hold.
    pub fn tables_held(&self) -> usize {
        let slot = size_of::<Link>() + 3 * size_of::<usize>();
        let lists = self.doomed.capacity() + self.deferred.capacity() + 3 * self.late_dirty.capacity();
        let queued = self.queues().map(VecDeque::capacity).iter().sum::<usize>() + lists;
        self.slots.capacity() * slot + queued * size_of::<ConnId>() + self.wheel.held()
    }

    /// The connections from a slot on, and round to it again.
    pub fn iter_from(&self, slot: usize) -> impl Iterator<Item = ConnId> + '_ {
        let (slots, from) = (self.slots.capacity(), slot % self.slots.capacity().max(1));
        let link = |slot| self.slots.get(slot).map(|link| (slot as u32, link.generation));
        (from..slots).chain(0..from).filter_map(link).map(|(slot, generation)| ConnId { slot, generation })
    }

    /// Connections without those that end with this turn; of the refused all, who have places of their own.
    pub(super) fn alive(&self) -> usize {
        let ending = self.doomed.iter().filter(|id| self.peek(**id).is_some_and(|link| !link.refused));
        self.slots.len() - ending.count()
    }

    /// The connection's deadline.
    pub fn deadline(&self, id: ConnId) -> Instant {
        self.peek(id).map_or(Instant::NEVER, |link| link.deadline)
    }

    /// What was counted since the start.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// The images in all outboxes, some of them in many, for who counts again what is held.
    pub fn images(&self) -> impl Iterator<Item = &Image> {
        self.slots.iter().flat_map(|(_, link)| link.outbox.images())
    }

    /// Checks what must hold between turns: no link is doomed, and none waits to be written to unless its
    /// socket is full or it is queued for the next turn.
    ///
    /// # Panics
    /// If any of that does not hold.
    pub fn audit(&self) {
        assert!(self.doomed.is_empty(), "a link was doomed and not reaped");
        let outboxes: usize = self.slots.iter().map(|(_, link)| link.outbox.held()).sum();
        assert_eq!(outboxes, account::held(Part::Outboxes), "the account of outboxes");
        for (slot, link) in &self.slots {
            assert!(link.phase != Phase::Doomed, "link {slot} is doomed and not on the list");
            let waits = !link.outbox.is_empty() || link.phase == Phase::Draining;
            assert!(!waits || link.in_dirty || !link.writable, "link {slot} is dirty and forgotten");
            let waited_for = link.is_heard() && link.readable;
            assert!(!waited_for || link.in_run, "link {slot} is readable and forgotten");
            let is_queued = link.in_run || link.in_dirty || link.in_yielded;
            assert!(!is_queued || !self.is_idle(), "link {slot} is queued, and the loop would sleep over it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links() -> Links {
        Links::new(Instant::from_millis(0), 0)
    }

    #[test]
    fn a_stale_event_on_a_reused_slot_finds_nothing() {
        let mut links = links();
        let old = links.insert();
        links.remove(old);
        let new = links.insert();
        assert_eq!(old.slot(), new.slot());
        assert_eq!(links.find(old.token()), None);
        assert_eq!(links.find(new.token()), Some(new));
        links.send(old, &b"late"[..]);
        assert_eq!(links.queued(new), 0);
    }

    #[test]
    fn a_doomed_link_is_listed_once() {
        let mut links = links();
        let id = links.insert();
        links.doom(id, Why::Aborted);
        links.doom(id, Why::Broken);
        assert_eq!(links.doomed, [id]);
    }

    #[test]
    fn closing_takes_nothing_more() {
        let mut links = links();
        let id = links.insert();
        links.send(id, &b"last"[..]);
        links.close(id);
        links.send(id, &b"more"[..]);
        assert_eq!(links.queued(id), 4);
    }

    #[test]
    fn a_later_deadline_makes_no_second_entry() {
        let mut links = links();
        let id = links.insert();
        for ms in 100..200 {
            links.set_deadline(id, Instant::from_millis(ms));
        }
        assert_eq!(links.wheel.len(), 1);
        links.now = Instant::from_millis(150);
        assert!(!links.fire(id, Instant::from_millis(100)), "the deadline was moved to 199");
        links.now = Instant::from_millis(199);
        assert!(links.fire(id, Instant::from_millis(199)));
    }

    #[test]
    fn an_earlier_deadline_voids_the_later_entry() {
        let mut links = links();
        let id = links.insert();
        links.set_deadline(id, Instant::from_millis(500));
        links.set_deadline(id, Instant::from_millis(100));
        links.now = Instant::from_millis(500);
        assert!(!links.fire(id, Instant::from_millis(500)));
        assert!(links.fire(id, Instant::from_millis(100)));
    }

    #[test]
    fn a_paused_link_remembers_that_it_is_readable() {
        let mut links = links();
        let id = links.insert();
        links.pause(id);
        links.want_read(id);
        assert_eq!(links.next_run(), None);
        links.resume(id);
        assert_eq!(links.next_run(), Some(id));
    }
}
