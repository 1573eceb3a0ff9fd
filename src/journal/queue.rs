//! What goes between the loop and the thread that writes: proposals one way, what became of them the other.
//!
//! It knows neither a hub nor a disk. Both ends hold a lock for a push or a swap, and never while they wait
//! for anything else, so that the loop never waits for a disk.
//!
//! ```text
//!   loop ── push ─▶ waiting ── take, a group at a time ─▶ writer
//!   loop ◀─ drain ── settled, pages ◀── settle ── writer, reader       the first one after a drain wakes
//! ```

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::store::Proposal;
use super::{Health, Page, Settled, Ticket};
use crate::limits::{GROUP_BATCHES_MAX, GROUP_BYTES_MAX};

/// Wakes the loop. It is called from the journal's threads.
pub type Waker = Box<dyn Fn() + Send + Sync>;

/// A proposal under the number by which the loop counts it.
pub(super) struct Numbered<T> {
    pub(super) id: u64,
    pub(super) what: T,
}

/// See the top of this file.
pub(super) struct Queue {
    incoming: Mutex<Incoming>,
    arrived: Condvar,
    outgoing: Mutex<Outgoing>,
    health: AtomicU8,
    wake: Waker,
}

#[derive(Default)]
struct Incoming {
    waiting: VecDeque<Numbered<Proposal>>,
    is_closed: bool,
}

#[derive(Default)]
struct Outgoing {
    settled: Vec<Numbered<Settled>>,
    pages: Vec<Page>,
    /// The loop was woken and has not looked since.
    is_told: bool,
    /// The writer has ended as it should.
    is_finished: bool,
}

/// A panic while one of these locks was held leaves a queue that is whole: each is held for a push or a swap.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Queue {
    pub(super) fn new(wake: Waker) -> Queue {
        Queue {
            incoming: Mutex::default(),
            arrived: Condvar::new(),
            outgoing: Mutex::default(),
            health: AtomicU8::new(Health::Good as u8),
            wake,
        }
    }

    // ---- the loop's end ----

    pub(super) fn push(&self, proposal: Numbered<Proposal>) {
        let mut incoming = lock(&self.incoming);
        let was_empty = incoming.waiting.is_empty();
        incoming.waiting.push_back(proposal);
        drop(incoming);
        if was_empty {
            self.arrived.notify_one();
        }
    }

    /// Takes a proposal back that the writer has not taken: its number.
    pub(super) fn withdraw(&self, ticket: Ticket) -> Option<u64> {
        let mut incoming = lock(&self.incoming);
        let place = incoming.waiting.iter().position(|one| one.what.ticket == Some(ticket))?;
        incoming.waiting.remove(place).map(|one| one.id)
    }

    pub(super) fn close(&self) {
        lock(&self.incoming).is_closed = true;
        self.arrived.notify_one();
    }

    pub(super) fn drain_settled(&self) -> Vec<Numbered<Settled>> {
        let mut outgoing = lock(&self.outgoing);
        outgoing.is_told = false;
        std::mem::take(&mut outgoing.settled)
    }

    pub(super) fn drain_pages(&self) -> Vec<Page> {
        let mut outgoing = lock(&self.outgoing);
        outgoing.is_told = false;
        std::mem::take(&mut outgoing.pages)
    }

    pub(super) fn is_finished(&self) -> bool {
        lock(&self.outgoing).is_finished
    }

    pub(super) fn health(&self) -> Health {
        match self.health.load(Ordering::Acquire) {
            0 => Health::Good,
            1 => Health::Full,
            2 => Health::ReadOnly,
            _ => Health::Dead,
        }
    }

    // ---- the threads' end ----

    /// A group of what waits; if nothing does, waits for it so long. Whether the queue is closed as well.
    pub(super) fn take(&self, wait: Duration) -> (Vec<Numbered<Proposal>>, bool) {
        let mut incoming = lock(&self.incoming);
        if incoming.waiting.is_empty() && !incoming.is_closed && !wait.is_zero() {
            let waited = self.arrived.wait_timeout(incoming, wait);
            incoming = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let mut bytes = 0;
        let fits = |one: &&Numbered<Proposal>| {
            bytes += one.what.batch.bytes().len();
            bytes <= GROUP_BYTES_MAX
        };
        let len = incoming.waiting.iter().take(GROUP_BATCHES_MAX).take_while(fits).count();
        // One batch is taken in any case.
        let len = len.max(1).min(incoming.waiting.len());
        (incoming.waiting.drain(..len).collect(), incoming.is_closed)
    }

    pub(super) fn settle(&self, settled: impl Iterator<Item = Numbered<Settled>>) {
        self.tell(|outgoing| outgoing.settled.extend(settled));
    }

    pub(super) fn answer(&self, page: Page) {
        self.tell(|outgoing| outgoing.pages.push(page));
    }

    /// The writer ends: as it should, or not.
    pub(super) fn finish(&self, well: bool) {
        if !well {
            self.set_health(Health::Dead);
        }
        self.tell(|outgoing| outgoing.is_finished = well);
    }

    pub(super) fn set_health(&self, health: Health) {
        if self.health.swap(health as u8, Ordering::AcqRel) != health as u8 {
            self.tell(|_| {});
        }
    }

    fn tell(&self, change: impl FnOnce(&mut Outgoing)) {
        let mut outgoing = lock(&self.outgoing);
        change(&mut outgoing);
        let was_told = std::mem::replace(&mut outgoing.is_told, true);
        drop(outgoing);
        if !was_told {
            (self.wake)();
        }
    }
}
