//! The journal on a disk: the loop's side of it, and the two threads behind.
//!
//! It knows the store and the queue, and no file. The loop numbers its proposals, counts what is under way
//! and refuses what would be too much; one thread drives the store, another one reads history. Results are
//! bounded by proposals, reads by [`HISTORY_READS_MAX`].
//!
//! ```text
//!   reactor's turn             writer                                   reader
//!     propose ──▶ queue ──▶    take a group
//!                              store.append: write, sync
//!     settled ◀── queue ◀──    settle, wake
//!                              store.tend: a step, or wait for more
//!     read    ────────────────────────────────────────▶ channel ──▶     reading::read
//!     pages   ◀── queue ◀──────────────────────────────────────────     answer, wake
//! ```

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use super::files::Files;
use super::queue::{Numbered, Queue, Waker};
use super::store::{Proposal, Store, Time};
use super::{Batch, Entry, Health, Journal, Outcome, Page, Proposed, Read, Refusal, Settled, Ticket};
use crate::limits::{
    HISTORY_READS_MAX, JOURNAL_BEHIND_MS, JOURNAL_QUEUE_BYTES_MAX, JOURNAL_QUEUE_MAX, JOURNAL_RETRY_MS,
    LATE_PRESENCES_MAX,
};

/// See the top of this file.
pub struct Disk {
    epoch: u32,
    head: u64,
    queue: Arc<Queue>,
    reads: SyncSender<(Read, Ticket)>,
    reads_under_way: Vec<Ticket>,
    clock: Box<dyn Fn() -> Time>,
    /// Proposals under way by number: when they were made, and how much they count for.
    under_way: BTreeMap<u64, UnderWay>,
    bytes: usize,
    next: u64,
    /// Presences that found the queue full, by channel and user: the last state alone.
    late: BTreeMap<(Box<str>, Box<str>), Batch>,
    is_closed: bool,
}

struct UnderWay {
    at: u64,
    bytes: usize,
    ticket: Option<Ticket>,
    /// For a thread that dies.
    batch: Batch,
}

impl Disk {
    /// Gives a store to its threads. `wake` is called whenever there is something to take with
    /// [`Journal::settled`] or [`Journal::pages`].
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn start<F: Files>(
        store: Store<F>,
        clock: impl Fn() -> Time + Clone + Send + Sync + 'static,
        wake: Waker,
    ) -> io::Result<Disk> {
        let queue = Arc::new(Queue::new(wake));
        queue.set_health(store.health());
        let (reads, asked) = sync_channel(HISTORY_READS_MAX);
        let (epoch, head) = (store.epoch(), store.head());
        let reader = Reader { read: store.reader(), queue: queue.clone(), asked };
        thread::Builder::new().name("journal reader".to_owned()).spawn(move || reader.run())?;
        let writer =
            Writer { store: Some(store), queue: queue.clone(), clock: clock.clone(), is_done: false };
        thread::Builder::new().name("journal writer".to_owned()).spawn(move || writer.run())?;
        Ok(Disk {
            epoch,
            head,
            queue,
            reads,
            reads_under_way: Vec::new(),
            clock: Box::new(clock),
            under_way: BTreeMap::new(),
            bytes: 0,
            next: 0,
            late: BTreeMap::new(),
            is_closed: false,
        })
    }

    /// Bytes that wait for the disk, or for being applied, for the account of memory.
    #[must_use]
    pub fn held(&self) -> usize {
        self.bytes + self.late.values().map(|batch| batch.bytes().len()).sum::<usize>()
    }

    /// Whether more may be proposed: nothing is too far behind.
    fn has_room(&self, now: u64) -> bool {
        let oldest = self.under_way.first_key_value().map_or(now, |(_, one)| one.at);
        self.under_way.len() < JOURNAL_QUEUE_MAX
            && self.bytes < JOURNAL_QUEUE_BYTES_MAX
            && now.saturating_sub(oldest) < JOURNAL_BEHIND_MS
    }

    fn push(&mut self, batch: Batch, ticket: Option<Ticket>, now: u64) {
        let (id, bytes) = (self.next, batch.bytes().len());
        self.next += 1;
        self.bytes += bytes;
        self.under_way.insert(id, UnderWay { at: now, bytes, ticket, batch: batch.clone() });
        self.queue.push(Numbered { id, what: Proposal { batch, ticket } });
    }

    fn forget(&mut self, id: u64) -> Option<UnderWay> {
        let one = self.under_way.remove(&id)?;
        self.bytes -= one.bytes;
        Some(one)
    }

    /// Keeps a presence that finds no room; a newer one of that user and channel replaces it.
    fn keep_late(&mut self, batch: Batch) {
        let Some(Entry::Presence { channel, user, .. }) = batch.entries().next() else { return };
        let key = (channel.into(), user.into());
        if self.late.len() >= LATE_PRESENCES_MAX && !self.late.contains_key(&key) {
            self.late.pop_first();
        }
        self.late.insert(key, batch);
    }
}

/// Whether it is one presence that nobody waits for.
fn is_presence(batch: &Batch, ticket: Option<Ticket>) -> bool {
    let mut entries = batch.entries();
    ticket.is_none() && batch.count() == 1 && matches!(entries.next(), Some(Entry::Presence { .. }))
}

impl Journal for Disk {
    fn epoch(&self) -> Option<u32> {
        Some(self.epoch)
    }

    fn head(&self) -> u64 {
        self.head
    }

    fn propose(&mut self, batch: Batch, ticket: Option<Ticket>) -> Proposed {
        match self.health() {
            Health::ReadOnly => return Proposed::Refused(Refusal::ReadOnly),
            Health::Dead => return Proposed::Refused(Refusal::Closed),
            _ if self.is_closed => return Proposed::Refused(Refusal::Closed),
            Health::Good | Health::Full => {}
        }
        let now = (self.clock)().now;
        let is_presence = is_presence(&batch, ticket);
        // What is late goes first, or a presence would overtake one of the same user.
        let has_room = self.has_room(now) && (!is_presence || self.late.is_empty());
        if has_room {
            self.push(batch, ticket, now);
        } else if is_presence {
            self.keep_late(batch);
        } else {
            return Proposed::Refused(Refusal::Busy(JOURNAL_RETRY_MS));
        }
        Proposed::Later
    }

    fn withdraw(&mut self, ticket: Ticket) -> bool {
        let id = self.queue.withdraw(ticket);
        id.and_then(|id| self.forget(id)).is_some()
    }

    fn settled(&mut self, out: &mut Vec<Settled>) {
        for Numbered { id, what } in self.queue.drain_settled() {
            self.forget(id);
            if let Outcome::Committed(first) = what.outcome {
                self.head = first + u64::from(what.batch.count()) - 1;
            }
            out.push(what);
        }
        if self.health() == Health::Dead {
            // What the thread had taken may be in the log, and nobody will say so.
            self.bytes = 0;
            let Time { wall, .. } = (self.clock)();
            let lost = std::mem::take(&mut self.under_way).into_values();
            out.extend(lost.map(|UnderWay { batch, ticket, .. }| Settled {
                batch,
                ticket,
                outcome: Outcome::Unknown,
                wall,
                clock: 0,
            }));
            return;
        }
        let now = (self.clock)().now;
        while !self.late.is_empty() && self.has_room(now) {
            let Some((_, batch)) = self.late.pop_first() else { break };
            self.push(batch, None, now);
        }
    }

    fn read(&mut self, read: Read, ticket: Ticket) -> Result<(), Refusal> {
        let busy = Refusal::Busy(JOURNAL_RETRY_MS);
        if self.reads_under_way.len() >= HISTORY_READS_MAX {
            return Err(busy);
        }
        self.reads.try_send((read, ticket)).map_err(|_| busy)?;
        self.reads_under_way.push(ticket);
        Ok(())
    }

    fn pages(&mut self, out: &mut Vec<Page>) {
        for page in self.queue.drain_pages() {
            self.reads_under_way.retain(|ticket| *ticket != page.ticket);
            out.push(page);
        }
    }

    fn health(&self) -> Health {
        self.queue.health()
    }

    fn close(&mut self) {
        self.is_closed = true;
        self.queue.close();
    }

    fn is_idle(&self) -> bool {
        let is_over = !self.is_closed || self.queue.is_finished() || self.health() == Health::Dead;
        self.under_way.is_empty() && self.reads_under_way.is_empty() && is_over
    }
}

impl Drop for Disk {
    /// The threads end when they have nothing more to do; nobody waits for them.
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// The thread that writes.
struct Writer<F: Files, C: Fn() -> Time> {
    store: Option<Store<F>>,
    queue: Arc<Queue>,
    clock: C,
    is_done: bool,
}

impl<F: Files, C: Fn() -> Time> Writer<F, C> {
    fn run(mut self) {
        let Some(mut store) = self.store.take() else { return };
        let mut wait = Duration::ZERO;
        loop {
            let (group, is_closed) = self.queue.take(wait);
            if group.is_empty() && is_closed {
                break;
            }
            let (ids, group): (Vec<u64>, Vec<Proposal>) =
                group.into_iter().map(|one| (one.id, one.what)).unzip();
            let settled = if group.is_empty() { Vec::new() } else { store.append(group, (self.clock)()) };
            // Before what it is told by: a refusal that the disk is full is followed by a look at it.
            self.queue.set_health(store.health());
            if !settled.is_empty() {
                self.queue.settle(ids.into_iter().zip(settled).map(|(id, what)| Numbered { id, what }));
            }
            wait = Duration::from_millis(store.tend((self.clock)()));
            self.queue.set_health(store.health());
        }
        store.stop((self.clock)());
        self.is_done = true;
    }
}

impl<F: Files, C: Fn() -> Time> Drop for Writer<F, C> {
    /// Also when the thread panics: those who wait must not wait for ever.
    fn drop(&mut self) {
        self.queue.finish(self.is_done);
    }
}

/// The thread that reads history. It ends when the loop's side is dropped.
struct Reader<R: Fn(&Read, Ticket) -> Page> {
    read: R,
    queue: Arc<Queue>,
    asked: Receiver<(Read, Ticket)>,
}

impl<R: Fn(&Read, Ticket) -> Page> Reader<R> {
    fn run(self) {
        for (read, ticket) in &self.asked {
            self.queue.answer((self.read)(&read, ticket));
        }
    }
}
