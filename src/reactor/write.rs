//! One write: from an outbox to its socket.
//!
//! It knows no turn and no budget; the reactor's flush phase does.

use std::io::{ErrorKind, IoSlice, Result};

use super::io::Io;
use super::link::Link;
use super::time::Instant;
use crate::limits::SLICES_PER_WRITE_MAX;

/// How far the flush of one link has come.
pub(super) enum Flushed {
    /// All that waited is written, or the socket takes no more for now.
    Done,
    /// Its share of the turn is spent, and something is left to write or to ask for.
    Later,
}

/// One system call for what waits on `link`: as much as one call may carry, `bytes_max` at most.
pub(super) fn write_link<I: Io>(
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
