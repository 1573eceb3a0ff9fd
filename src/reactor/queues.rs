//! The queues of the loop: which connections are to be read from, written to, called back.
//!
//! It knows no bytes. Each connection is in each queue once at most, and a bit in the link says so; an entry
//! whose connection has ended finds nothing when it comes.

use std::collections::VecDeque;

use super::id::ConnId;
use super::link::Links;

impl Links {
    /// Queues the link for reading, if there may be something to read and it is read from.
    pub(super) fn want_read(&mut self, id: ConnId) {
        let Some(link) = self.link(id) else { return };
        if link.is_heard() && link.readable && !link.in_run {
            link.in_run = true;
            self.run.push_back(id);
        }
    }

    /// Queues the link for writing, if the kernel may take something.
    pub(super) fn want_write(&mut self, id: ConnId) {
        let Some(link) = self.link(id) else { return };
        if link.writable && !link.in_dirty {
            link.in_dirty = true;
            self.dirty.push_back(id);
        }
    }

    pub(super) fn next_run(&mut self) -> Option<ConnId> {
        let id = self.run.pop_front()?;
        self.take_run(id)
    }

    /// The next of those that are read from behind all others.
    pub(super) fn next_late_run(&mut self) -> Option<ConnId> {
        let id = self.late_run.pop_front()?;
        self.take_run(id)
    }

    fn take_run(&mut self, id: ConnId) -> Option<ConnId> {
        if let Some(link) = self.link(id) {
            link.in_run = false;
        }
        Some(id)
    }

    /// The next link to flush. The link counts as queued until [`Links::flushed`] or [`Links::defer_flush`]:
    /// what its own handler sends meanwhile must not queue it a second time, past its share of the turn.
    pub(super) fn next_dirty(&mut self) -> Option<ConnId> {
        self.dirty.pop_front()
    }

    /// A link was flushed, and nothing of it is left to do in a later turn.
    pub(super) fn flushed(&mut self, id: ConnId) {
        if let Some(link) = self.link(id) {
            link.in_dirty = false;
        }
    }

    /// Whether no link is queued for anything, this turn or the next: else the loop must not sleep.
    pub(super) fn is_idle(&self) -> bool {
        let is_written = self.late_dirty.is_empty() && self.deferred.is_empty();
        is_written && self.queues().iter().all(|queue| queue.is_empty())
    }

    pub(super) fn queues(&self) -> [&VecDeque<ConnId>; 4] {
        [&self.run, &self.dirty, &self.late_run, &self.yielded]
    }
}
