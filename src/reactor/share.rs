//! A connection's share of a turn: who has spent it goes on in a later one, behind all others.
//!
//! It knows no bytes, only that somebody has done enough. What is read has a budget of its own, which the
//! loop keeps; this is for work that a few bytes can ask for, as compressed messages do. And its share of the
//! memory that it is a burden to.
//!
//! ```text
//!   on_read, on_drain ──► too much ── yield_turn ──► yielded ── next turn, some of them ──► on_drain
//!   flush ──► its share is written ── put_off ──► put_off ── next turn, behind who asks then ──► flush
//! ```

use super::id::ConnId;
use super::link::Links;
use crate::limits::LINKS_CALLED_BACK_PER_TURN_MAX;

impl Links {
    /// Asks for [`Handler::on_drain`](super::Handler::on_drain) in a later turn: what is left to do for this
    /// connection is more than its share of one.
    pub fn yield_turn(&mut self, id: ConnId) {
        if let Some(link) = self.link(id)
            && !std::mem::replace(&mut link.in_yielded, true)
        {
            self.yielded.push_back(id);
        }
    }

    /// Whether it has left the rest to a later turn.
    pub fn has_yielded(&self, id: ConnId) -> bool {
        self.peek(id).is_some_and(|link| link.in_yielded)
    }

    /// What the end of the connection would free of what waits to be written for it.
    pub fn weight(&self, id: ConnId) -> usize {
        self.peek(id).map_or(0, |link| link.outbox.weight())
    }

    /// What was spent since the start, in the unit of [`Links::spend`].
    pub fn spent(&self) -> u64 {
        self.spent
    }

    /// Takes note of work that costs as much as reading so many bytes: the budget of a turn is for both.
    pub fn spend(&mut self, bytes: u64) {
        self.spent += bytes;
    }

    /// Defers the rest of a link that is being flushed to the next turn: its share of this one is written.
    pub(super) fn put_off(&mut self, id: ConnId) {
        if let Some(link) = self.link(id) {
            debug_assert!(link.in_dirty, "only a link that is being flushed is put off");
            self.put_off.push_back(id);
        }
    }

    /// Queues for writing those that were put off.
    pub(super) fn take_up(&mut self) {
        self.dirty.extend(self.put_off.drain(..));
    }

    /// Calls back some that left it at their share of an earlier turn.
    pub(super) fn call_back(&mut self) {
        for _ in 0..LINKS_CALLED_BACK_PER_TURN_MAX {
            let Some(id) = self.yielded.pop_front() else { return };
            if let Some(link) = self.link(id) {
                link.in_yielded = false;
                self.want_drain(id);
            }
        }
    }
}
