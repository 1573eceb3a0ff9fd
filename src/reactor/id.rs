//! The name of a connection: a slot that is used again, and a generation that is not.
//!
//! It knows no connection, and whoever holds one need not know whether its connection still exists.

use std::fmt;

use crate::limits::LINKS_MAX;

/// Bits of a token that name the slot; the rest hold the generation, as many bits of it as a pointer has
/// left.
pub(super) const SLOT_BITS: u32 = 20;

const _: () = assert!(LINKS_MAX < 1 << SLOT_BITS);

/// Names one connection, and never another one: a slot is used again, a generation is not.
///
/// A value that outlives its connection is harmless. Everything that takes one does nothing, or says so,
/// when the connection has gone.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

impl ConnId {
    /// The slot, for tables kept in parallel with that of the links.
    pub const fn slot(self) -> usize {
        self.slot as usize
    }

    /// It in 52 bits.
    pub(super) const fn bits(self) -> u64 {
        ((self.generation as u64) << SLOT_BITS) | self.slot as u64
    }

    /// The one of those bits.
    pub(super) const fn of_bits(bits: u64) -> ConnId {
        ConnId { slot: (bits & ((1 << SLOT_BITS) - 1)) as u32, generation: (bits >> SLOT_BITS) as u32 }
    }

    /// The value under which the kernel reports events of this connection. Never one of the three largest
    /// values of a `usize`: those are the [`Io`](super::io::Io)'s own.
    pub(super) const fn token(self) -> usize {
        self.bits() as usize
    }
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
