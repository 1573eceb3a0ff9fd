//! What the parts of an entry in the chat's tables take at most, in bytes: a nick, a channel, a client.
//!
//! It knows no table. Each adds up what its own entries are made of.

use super::nick::NICK_BYTES_MAX;
use crate::limits::CHANNEL_NAME_BYTES_MAX;
use crate::server::ClientId;

/// What an allocator keeps beside an allocation, and rounds up.
pub(super) const ALLOCATION_BYTES: usize = 16;

/// A nick on the heap, and what holds it.
pub(super) const NICK_BYTES: usize = NICK_BYTES_MAX + size_of::<String>() + ALLOCATION_BYTES;

/// The name of a channel on the heap, and what holds it.
pub(super) const CHANNEL_BYTES: usize = CHANNEL_NAME_BYTES_MAX + size_of::<String>() + ALLOCATION_BYTES;

/// What a table keeps of a client beside what it keeps for it. Tables have up to twice the room that they
/// use.
pub(super) const CLIENT_BYTES: usize = 2 * (size_of::<ClientId>() + 2 * size_of::<u64>());
