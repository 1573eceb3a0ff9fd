//! What waits to be written to one connection: chunks, most of them shared with thousands of other outboxes.
//!
//! It knows no socket: it shows its front and is told how much of it went out.
//!
//! An empty outbox owns no heap, and neither does one that holds a single chunk, which is what an outbox
//! holds nearly always: at the end of a turn a reader is given one run of bytes and the kernel takes it.

use std::collections::VecDeque;
use std::io::IoSlice;

pub use crate::account::Chunk;
use crate::account::{self, ALLOCATION_BYTES, Image, Part};
use crate::defect::Defect;

/// Chunks in the order in which they go out.
#[derive(Debug, Default)]
pub struct Outbox {
    first: Option<Chunk>,
    /// Made when a second chunk has to wait, gone when it has not.
    #[expect(clippy::box_collection, reason = "8 bytes in each of many idle outboxes, against 32")]
    rest: Option<Box<VecDeque<Chunk>>>,
    /// Bytes of `first` that are out already.
    front: usize,
    /// Bytes that wait, all chunks together.
    cost: usize,
}

impl Outbox {
    /// Appends `chunk`. Empty chunks are dropped: an outbox is empty just when nothing waits.
    pub fn push(&mut self, chunk: Chunk) {
        let bytes = chunk.as_slice().len();
        if bytes == 0 {
            return;
        }
        self.cost += bytes;
        account::charge(Part::Outboxes, chunk.held());
        if self.first.is_none() {
            self.first = Some(chunk);
        } else {
            let before = self.queue_held();
            self.rest.get_or_insert_default().push_back(chunk);
            account::change(Part::Outboxes, before, self.queue_held());
        }
    }

    /// Takes note that `bytes` of what [`Outbox::gather`] showed went out.
    ///
    /// # Panics
    /// If more went out than was waiting, which no kernel does.
    pub fn advance(&mut self, bytes: usize) {
        assert!(bytes <= self.cost, "more was written than was waiting");
        self.cost -= bytes;
        if self.cost == 0 {
            // As it goes nearly always: one chunk waited, and the kernel took it.
            self.clear();
            return;
        }
        self.front += bytes;
        while let Some(chunk) = &self.first {
            let len = chunk.as_slice().len();
            if self.front < len {
                return;
            }
            self.front -= len;
            if !Defect::Account.is_on() {
                account::release(Part::Outboxes, chunk.held());
            }
            self.first = self.next_of_rest();
        }
    }

    fn next_of_rest(&mut self) -> Option<Chunk> {
        let before = self.queue_held();
        let rest = self.rest.as_mut()?;
        let next = rest.pop_front();
        // In steps that keep the cost of a chunk constant. A reader that leaves one chunk of many must not
        // keep the room of all.
        if rest.is_empty() {
            self.rest = None;
        } else if rest.len() < rest.capacity() / 4 {
            rest.shrink_to(rest.len() * 2);
        }
        account::change(Part::Outboxes, before, self.queue_held());
        next
    }

    /// What the queue itself counts for in the account, without its chunks.
    fn queue_held(&self) -> usize {
        self.rest.as_ref().map_or(0, |rest| {
            size_of::<VecDeque<Chunk>>() + rest.capacity() * size_of::<Chunk>() + 2 * ALLOCATION_BYTES
        })
    }

    /// What it counts for in the account: what only this connection holds. As slow as it has chunks.
    pub fn held(&self) -> usize {
        self.queue_held() + self.chunks().map(Chunk::held).sum::<usize>()
    }

    fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.first.iter().chain(self.rest.iter().flat_map(|rest| rest.iter()))
    }

    /// The images that wait, for who counts again what is held.
    pub fn images(&self) -> impl Iterator<Item = &Image> {
        self.chunks().filter_map(|chunk| match chunk {
            Chunk::Shared(image) => Some(image),
            Chunk::Static(_) | Chunk::Owned(_) => None,
        })
    }

    /// What the end of the connection would free: what only it holds, and its share of what others hold too.
    /// As slow as it has chunks.
    pub fn weight(&self) -> usize {
        self.held() + self.images().map(Image::share).sum::<usize>()
    }

    /// Drops all that waits.
    pub fn clear(&mut self) {
        *self = Outbox::default();
    }

    /// What is next to go out, if it is a single piece, as it is nearly always.
    pub fn single(&self) -> Option<&[u8]> {
        match (&self.first, &self.rest) {
            (Some(only), None) => Some(&only.as_slice()[self.front..]),
            _ => None,
        }
    }

    /// Fills `slices` with what is next to go out, `bytes_max` of it at most, and returns how many of them it
    /// used.
    pub fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>], bytes_max: usize) -> usize {
        let Some(first) = &self.first else { return 0 };
        let rest = self.rest.iter().flat_map(|rest| rest.iter().map(Chunk::as_slice));
        let waiting = std::iter::once(&first.as_slice()[self.front..]).chain(rest);
        let (mut used, mut left) = (0, bytes_max);
        for (slice, bytes) in slices.iter_mut().zip(waiting) {
            if left == 0 {
                break;
            }
            let front = &bytes[..bytes.len().min(left)];
            *slice = IoSlice::new(front);
            left -= front.len();
            used += 1;
        }
        used
    }

    /// Bytes that wait.
    pub fn cost(&self) -> usize {
        self.cost
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.cost == 0
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        account::release(Part::Outboxes, self.held());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(outbox: &Outbox, slices: usize, bytes_max: usize) -> Vec<u8> {
        let mut buffer = [IoSlice::new(&[]); 8];
        let used = outbox.gather(&mut buffer[..slices], bytes_max);
        buffer[..used].iter().flat_map(|slice| slice.to_vec()).collect()
    }

    #[test]
    fn empty_chunks_do_not_wait() {
        let mut outbox = Outbox::default();
        outbox.push(Chunk::Static(b""));
        assert!(outbox.is_empty());
        assert_eq!(outbox.gather(&mut [IoSlice::new(&[])], 1), 0);
    }

    #[test]
    fn one_chunk_owns_no_queue() {
        let mut outbox = Outbox::default();
        outbox.push(Chunk::Static(b"one"));
        assert!(outbox.rest.is_none());
        outbox.advance(3);
        assert!(outbox.is_empty() && outbox.first.is_none());
    }

    #[test]
    fn a_short_write_ends_anywhere() {
        let whole = b"one, two, three";
        for cut in 0..=whole.len() {
            let mut outbox = Outbox::default();
            outbox.push(Chunk::Static(b"one"));
            outbox.push(Chunk::Shared(Image::from(&b", two"[..])));
            outbox.push(Chunk::from(b", three".to_vec()));
            outbox.advance(cut);
            assert_eq!(shown(&outbox, 8, usize::MAX), &whole[cut..]);
            assert_eq!(outbox.cost(), whole.len() - cut);
            assert_eq!(account::held(Part::Outboxes), outbox.held());
            outbox.advance(whole.len() - cut);
            assert!(outbox.is_empty() && outbox.rest.is_none());
            assert_eq!(account::held(Part::Outboxes), 0);
        }
    }

    #[test]
    fn the_account_follows_every_chunk() {
        let mut outbox = Outbox::default();
        for round in 0..200 {
            outbox.push(Chunk::Owned(vec![0; 10]));
            outbox.push(Chunk::Static(b"0123456789"));
            assert_eq!(account::held(Part::Outboxes), outbox.held(), "{round}");
        }
        let full = outbox.held();
        while outbox.cost() > 10 {
            outbox.advance(7.min(outbox.cost() - 10));
            assert_eq!(account::held(Part::Outboxes), outbox.held());
        }
        assert!(outbox.held() < full / 50, "one chunk does not keep the room of four hundred");
        outbox.push(Chunk::Owned(vec![0; 10]));
        drop(outbox);
        assert_eq!(account::held(Part::Outboxes), 0);
    }

    #[test]
    fn shared_chunks_weigh_what_falls_to_each() {
        let image = Image::from(vec![0; 10_000]);
        let mut boxes: Vec<Outbox> = (0..10).map(|_| Outbox::default()).collect();
        boxes.iter_mut().for_each(|outbox| outbox.push(Chunk::Shared(image.clone())));
        drop(image);
        let all = account::held(Part::Images);
        let weight: usize = boxes.iter().map(Outbox::weight).sum();
        assert!((all - 10..=all).contains(&weight), "{weight} of {all}");
        boxes.truncate(1);
        assert_eq!(boxes[0].weight(), all, "the last one holds it alone");
    }

    #[test]
    fn gather_stops_where_the_slices_or_the_bytes_end() {
        let mut outbox = Outbox::default();
        for _ in 0..3 {
            outbox.push(Chunk::Static(b"ab"));
        }
        assert_eq!(shown(&outbox, 2, usize::MAX), b"abab");
        assert_eq!(shown(&outbox, 8, 3), b"aba");
        assert_eq!(outbox.gather(&mut [IoSlice::new(&[]); 8], 4), 2, "no slice is empty");
    }

    #[test]
    #[should_panic(expected = "more was written")]
    fn more_than_waits_cannot_go_out() {
        Outbox::default().advance(1);
    }
}
