//! Bytes of a fuzzer as a list of choices: which doing comes next, on what, with how much.
//!
//! It knows nothing of what is chosen. Each choice takes its bytes off the front, and where none are left it
//! takes the first possibility; so a byte that is changed changes one choice, and a seed can be written by
//! hand.

use std::borrow::Cow;

/// See the top of this file.
#[derive(Debug)]
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    /// The choices that `input` makes.
    pub fn new(input: &'a [u8]) -> Choices<'a> {
        Choices(input)
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((&byte, rest)) => {
                self.0 = rest;
                byte
            }
            None => 0,
        }
    }

    /// A number below `n`, which is at least 1 and at most 65,536.
    pub fn below(&mut self, n: usize) -> usize {
        let high = if n > 256 { usize::from(self.byte()) << 8 } else { 0 };
        (high | usize::from(self.byte())) % n
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Up to 255 bytes: their number stands before them.
    pub fn bytes(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        bytes
    }

    /// The same as text, what is none replaced.
    pub fn text(&mut self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.bytes())
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// Whether every choice is made.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
