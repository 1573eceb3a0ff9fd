//! Fairness: a connection that used up its share of a turn goes on in a later one, behind all others.
//!
//! It knows no bytes, only that a connection has done enough, or that its peer has asked for so much lately
//! that the connection is *heavy*. Each queue of the loop has a second one behind it for those: it gets what
//! the first has left of the turn's budget, and a little in every turn.
//!
//! ```text
//!   on_read, on_drain ──► too much ── yield_turn ──► yielded ── next turn, some of them ──► on_drain
//!   run ──────────► heavy ── read_late ──────────────► late_run ───── behind all others ──► read
//!   dirty ────────► heavy ── flush_late ─────────────► late_dirty ─── behind all others ──► flush
//!   flush ──► its share is written ── defer_flush ───► deferred ── next turn, late_dirty ──► flush
//! ```

use super::id::ConnId;
use super::link::Links;
use super::write::Share;
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

    /// Says whether the connection's peer owes so much work that this connection waits for those of others.
    pub fn set_heavy(&mut self, id: ConnId, is_heavy: bool) {
        if let Some(link) = self.link(id) {
            link.heavy = is_heavy;
        }
    }

    /// Whether the connection waits for those of others.
    pub fn is_heavy(&self, id: ConnId) -> bool {
        self.peek(id).is_some_and(|link| link.heavy)
    }

    /// Moves a link that was to be read from behind all others.
    pub(super) fn read_late(&mut self, id: ConnId) {
        if let Some(link) = self.link(id) {
            link.in_run = true;
            self.late_run.push_back(id);
        }
    }

    /// Moves a link that was to be flushed behind all others.
    pub(super) fn flush_late(&mut self, id: ConnId, share: Share) {
        self.late_dirty.push_back((id, share));
    }

    /// Defers the rest of a link that is being flushed to the next turn: its share of this one is written.
    pub(super) fn defer_flush(&mut self, id: ConnId) {
        debug_assert!(self.peek(id).is_none_or(|link| link.in_dirty), "only a link that is being flushed");
        self.deferred.push(id);
    }

    /// Queues the links that were deferred, behind all others of the next turn.
    pub(super) fn requeue_deferred(&mut self) {
        self.late_dirty.extend(self.deferred.drain(..).map(|id| (id, Share::WHOLE)));
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
