//! The flush phase: from outboxes to sockets, within the turn's budget.
//!
//! It knows no protocol and no channel: the handler hands out what was published, batch after batch, and each
//! batch is written out while its links are still in the processor's cache.
//!
//! ```text
//!   on_fan_out ──► dirty ──► flush_link ──► written, or its share is: deferred to the next turn
//!        ▲           │ heavy                                 ▲
//!        └───────────┴────► late_dirty ── when the others ───┘
//!                           are written, or a few of them
//! ```

use std::io::{ErrorKind, IoSlice, Result};

use super::id::ConnId;
use super::io::Io;
use super::link::{Link, Phase, Why};
use super::time::Instant;
use super::{Handler, Reactor};
use crate::limits::{
    DRAINS_PER_LINK_MAX, FAN_OUT_BATCH_MAX, FLUSHES_PER_TURN_MAX, LATE_FLUSHES_MIN, SLICES_PER_WRITE_MAX,
    WRITE_BYTES_PER_LINK_MAX, WRITE_BYTES_PER_TURN_MAX, WRITES_AT_ONCE_MAX, WRITES_PER_LINK_MAX,
};
use crate::work;

/// How far the flush of one link has come.
enum Flushed {
    /// All that waited is written, or the socket takes no more for now.
    Done,
    /// Its share of the turn is spent, and something is left to write or to ask for.
    Later,
}

/// What is left of a link's share of a turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    bytes: usize,
    drains: usize,
}

impl Share {
    pub(super) const WHOLE: Share = Share { bytes: WRITE_BYTES_PER_LINK_MAX, drains: DRAINS_PER_LINK_MAX };

    fn is_spent(self) -> bool {
        self.bytes == 0 || self.drains == 0
    }
}

impl<I: Io> Reactor<I> {
    pub(super) fn flush(&mut self, handler: &mut impl Handler) {
        let mut budget = FLUSHES_PER_TURN_MAX;
        let enough = work::spent() + WRITE_BYTES_PER_TURN_MAX;
        self.links.requeue_deferred();
        while budget > 0 && work::spent() < enough {
            let left = budget;
            if handler.has_work() {
                handler.on_fan_out(&mut self.links, FAN_OUT_BATCH_MAX.min(left));
                budget = budget.saturating_sub(FAN_OUT_BATCH_MAX);
            } else if self.links.dirty.is_empty() {
                break;
            }
            let mut writes = 0;
            // Only what is queued now: what is asked for meanwhile comes in the next round.
            for _ in 0..self.links.dirty.len() {
                if writes >= left || work::spent() >= enough {
                    break;
                }
                let Some(id) = self.links.next_dirty() else { break };
                if self.links.is_heavy(id) {
                    self.links.flush_late(id, Share::WHOLE);
                } else {
                    writes += self.flush_in_turn(handler, id, Share::WHOLE, WRITES_AT_ONCE_MAX);
                }
            }
            budget = budget.saturating_sub(writes);
        }
        for served in 0..self.links.late_dirty.len() {
            let is_over = budget == 0 || work::spent() >= enough;
            if is_over && served >= LATE_FLUSHES_MIN {
                return;
            }
            let Some((id, share)) = self.links.late_dirty.pop_front() else { return };
            budget = budget.saturating_sub(self.flush_in_turn(handler, id, share, WRITES_PER_LINK_MAX));
        }
    }

    /// Flushes one link and says how many writes that took, one at least.
    fn flush_in_turn(
        &mut self,
        handler: &mut impl Handler,
        id: ConnId,
        mut share: Share,
        writes_max: usize,
    ) -> usize {
        let before = self.links.stats.writes;
        match self.flush_link(handler, id, &mut share, writes_max) {
            Flushed::Done => self.links.flushed(id),
            Flushed::Later if share.is_spent() || writes_max == WRITES_PER_LINK_MAX => {
                self.links.defer_flush(id);
            }
            Flushed::Later => self.links.flush_late(id, share),
        }
        ((self.links.stats.writes - before) as usize).max(1)
    }

    /// Writes what waits on one link, and asks the handler for more where it wanted that: both at most up to
    /// the link's share of a turn.
    fn flush_link(
        &mut self,
        handler: &mut impl Handler,
        id: ConnId,
        share: &mut Share,
        writes_max: usize,
    ) -> Flushed {
        let now = self.links.now;
        let mut writes = 0;
        while share.bytes > 0 && writes < writes_max {
            let Some(link) = self.links.link(id) else { return Flushed::Done };
            if link.phase == Phase::Doomed || link.phase == Phase::Lingering {
                return Flushed::Done;
            }
            if link.outbox.is_empty() {
                if link.phase == Phase::Draining {
                    self.linger(id);
                    return Flushed::Done;
                }
                if !link.hungry {
                    return Flushed::Done;
                }
                if share.drains == 0 {
                    return Flushed::Later;
                }
                link.hungry = false;
                share.drains -= 1;
                handler.on_drain(&mut self.links, id);
                continue;
            }
            let Some(stream) = self.streams[id.slot()].as_mut() else { return Flushed::Done };
            match write_link(&mut self.io, stream, link, share.bytes, now) {
                Ok(count) => {
                    share.bytes -= count;
                    writes += 1;
                    let is_done = link.is_done();
                    self.links.stats.writes += 1;
                    self.links.stats.written_bytes += count as u64;
                    work::spend(count as u64);
                    if is_done {
                        return Flushed::Done;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Flushed::Done,
                Err(_) => {
                    self.links.doom(id, Why::Broken);
                    return Flushed::Done;
                }
            }
        }
        Flushed::Later
    }
}

/// One system call for what waits on `link`: as much as one call may carry, `bytes_max` at most.
fn write_link<I: Io>(
    io: &mut I,
    stream: &mut I::Stream,
    link: &mut Link,
    bytes_max: usize,
    now: Instant,
) -> Result<usize> {
    let written = match link.outbox.single() {
        Some(bytes) => io.write(stream, &[IoSlice::new(&bytes[..bytes.len().min(bytes_max)])]),
        None => {
            let mut slices = [IoSlice::new(&[]); SLICES_PER_WRITE_MAX];
            let used = link.outbox.gather(&mut slices, bytes_max);
            io.write(stream, &slices[..used])
        }
    };
    match written {
        Ok(count) => {
            link.outbox.advance(count);
            link.stuck = Instant::NEVER;
            Ok(count)
        }
        Err(error) => {
            if error.kind() == ErrorKind::WouldBlock {
                link.writable = false;
                link.stuck = link.stuck.min(now);
            }
            Err(error)
        }
    }
}
