//! What the timer wheel keeps: a connection whose deadline may have come, or a handler's key.
//!
//! It knows no instant and no wheel, only how to be small: every connection has one of these in the wheel.
//!
//! ```text
//!   63   62                          20   19             0
//!   1  │ zeros and generation, 43 bits │ slot, 20 bits          a connection
//!   0  │ key, 63 bits                                           a handler's
//! ```

use super::id::ConnId;

/// The largest key of a timer.
pub const TIMER_KEY_MAX: u64 = u64::MAX >> 1;

/// What the wheel brings back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    Link(ConnId),
    Key(u64),
}

/// A timer in eight bytes, as the wheel keeps it: every connection has one there. The upper bit says which of
/// the two it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packed(u64);

impl Timer {
    pub(super) fn pack(self) -> Packed {
        match self {
            Timer::Link(id) => Packed(id.bits() | !TIMER_KEY_MAX),
            Timer::Key(key) => {
                assert!(key <= TIMER_KEY_MAX, "a timer's key is too large");
                Packed(key)
            }
        }
    }
}

impl Packed {
    pub(super) fn unpack(self) -> Timer {
        if self.0 <= TIMER_KEY_MAX {
            Timer::Key(self.0)
        } else {
            Timer::Link(ConnId::of_bits(self.0 & TIMER_KEY_MAX))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::id::SLOT_BITS;

    #[test]
    fn a_timer_is_the_same_after_the_wheel() {
        let id = ConnId { slot: (1 << SLOT_BITS) - 1, generation: u32::MAX };
        let first = ConnId { slot: 0, generation: 0 };
        for timer in [Timer::Link(id), Timer::Link(first), Timer::Key(0), Timer::Key(TIMER_KEY_MAX)] {
            assert_eq!(timer.pack().unpack(), timer);
        }
    }
}
