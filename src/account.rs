//! The account: what is held for peers, counted where it is held.
//!
//! It knows no connection and no message. What grows with what peers do charges its bytes here when it takes
//! memory and releases them when it lets go, so that the sum is a few loads and never a walk. The loop has
//! one thread, and so has the account: each thread has its own, and a server is in one thread all its life.
//!
//! ```text
//!   part        charged by                    at                     released at
//!   sessions    server::session::Session      a transition, a read   a transition, its drop
//!   outboxes    reactor::outbox::Outbox       push                   advance, clear, its drop
//!   images      Image                         made                   the drop of its last reference
//!   channels    hub: channels and readers     subscribe, enter …     their opposites, their drops
//! ```
//!
//! Messages, keys of evicted messages and the tables of fixed entries are not charged: the hub counts its
//! messages for bounds of its own, and a table's size is its capacity. `Hall::memory` adds all of it up,
//! `Hall::relieve` is what gives way; both are in `server/memory.rs`. Images are shared by thousands of
//! outboxes and are counted once, however many hold them: giving one to a reader costs the account nothing.

use std::cell::Cell;
use std::ops::Deref;
use std::rc::Rc;

/// Bytes counted for an allocation beyond what was asked for: what an allocator keeps beside it, and what it
/// rounds up.
pub const ALLOCATION_BYTES: usize = 16;

/// Whose bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Heads, bodies and messages that are not whole, and what came too early.
    Sessions,
    /// What waits to be written to one connection alone.
    Outboxes,
    /// Encoded messages and bodies of responses, each shared by all its readers.
    Images,
    /// Channels and readers beyond their tables: names, subscriptions, users.
    Channels,
}

thread_local! {
    static HELD: [Cell<usize>; 4] = const { [const { Cell::new(0) }; 4] };
}

/// Takes note that a part holds `after` bytes where it held `before`.
pub fn change(part: Part, before: usize, after: usize) {
    if before != after {
        HELD.with(|held| {
            let cell = &held[part as usize];
            debug_assert!(cell.get() + after >= before, "{part:?} releases what it never charged");
            cell.set((cell.get() + after).saturating_sub(before));
        });
    }
}

/// Takes note that a part holds that much more.
pub fn charge(part: Part, bytes: usize) {
    change(part, 0, bytes);
}

/// Takes note that a part holds that much less.
pub fn release(part: Part, bytes: usize) {
    change(part, bytes, 0);
}

/// Bytes that a part holds in this thread.
#[must_use]
pub fn held(part: Part) -> usize {
    HELD.with(|held| held[part as usize].get())
}

/// Bytes made once and shared by all that hold them: an encoded message, a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image(Rc<[u8]>);

impl Image {
    /// What it counts for, together with all that share its bytes.
    #[must_use]
    pub fn cost(&self) -> usize {
        // The bytes stand behind two counts.
        self.0.len() + 2 * size_of::<usize>() + ALLOCATION_BYTES
    }

    /// What of it falls to each that holds it: all of them together hold what it counts for.
    #[must_use]
    pub fn share(&self) -> usize {
        self.cost() / Rc::strong_count(&self.0)
    }

    /// Where its bytes are: the same for all that share them.
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.0.as_ptr()
    }
}

impl From<Vec<u8>> for Image {
    fn from(bytes: Vec<u8>) -> Image {
        let image = Image(Rc::from(bytes));
        charge(Part::Images, image.cost());
        image
    }
}

impl From<&[u8]> for Image {
    fn from(bytes: &[u8]) -> Image {
        let image = Image(Rc::from(bytes));
        charge(Part::Images, image.cost());
        image
    }
}

impl Default for Image {
    fn default() -> Image {
        Image::from(Vec::new())
    }
}

impl Deref for Image {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        if Rc::strong_count(&self.0) == 1 {
            release(Part::Images, self.cost());
        }
    }
}

/// A run of bytes on its way out. Only a reference moves; the bytes stay where they were made.
#[derive(Clone, Debug)]
pub enum Chunk {
    /// Part of the program itself.
    Static(&'static [u8]),
    /// Made once for many readers.
    Shared(Image),
    /// Made for this connection alone. With what room it was made with: to give that back is a copy, and it
    /// goes out in this turn.
    Owned(Vec<u8>),
}

const _: () = assert!(size_of::<Option<Chunk>>() <= 24);

impl Chunk {
    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Chunk::Static(bytes) => bytes,
            Chunk::Shared(bytes) => bytes,
            Chunk::Owned(bytes) => bytes,
        }
    }

    /// What it counts for with its holder. Shared bytes are counted where they were made.
    #[must_use]
    pub fn held(&self) -> usize {
        match self {
            Chunk::Static(_) | Chunk::Shared(_) => 0,
            Chunk::Owned(bytes) => bytes.capacity() + ALLOCATION_BYTES,
        }
    }
}

impl From<Vec<u8>> for Chunk {
    fn from(bytes: Vec<u8>) -> Chunk {
        Chunk::Owned(bytes)
    }
}

impl From<Image> for Chunk {
    fn from(bytes: Image) -> Chunk {
        Chunk::Shared(bytes)
    }
}

impl From<&'static [u8]> for Chunk {
    fn from(bytes: &'static [u8]) -> Chunk {
        Chunk::Static(bytes)
    }
}

impl From<&'static str> for Chunk {
    fn from(text: &'static str) -> Chunk {
        Chunk::Static(text.as_bytes())
    }
}

impl From<String> for Chunk {
    fn from(text: String) -> Chunk {
        Chunk::Owned(text.into_bytes())
    }
}

/// Two are equal that have the same bytes, wherever these are.
impl PartialEq for Chunk {
    fn eq(&self, other: &Chunk) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Chunk {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_counts_once_however_many_hold_it() {
        let before = held(Part::Images);
        let image = Image::from(b"hello".to_vec());
        let one = held(Part::Images) - before;
        assert!(one >= 5);
        let others: Vec<Image> = (0..1000).map(|_| image.clone()).collect();
        assert_eq!(held(Part::Images) - before, one);
        drop(image);
        assert_eq!(held(Part::Images) - before, one, "the others still hold it");
        drop(others);
        assert_eq!(held(Part::Images), before);
    }

    #[test]
    fn parts_are_apart() {
        let before = (held(Part::Sessions), held(Part::Outboxes));
        charge(Part::Sessions, 7);
        change(Part::Sessions, 7, 3);
        assert_eq!((held(Part::Sessions), held(Part::Outboxes)), (before.0 + 3, before.1));
        release(Part::Sessions, 3);
        assert_eq!(held(Part::Sessions), before.0);
    }
}
