//! The hall's timers: what each of them is for, in the key that the reactor keeps for it.
//!
//! It knows no instant. A timer can't be taken back, so each says just enough to find out, when it comes,
//! whether it still means anything.

use super::client::ClientId;

/// What a timer of the wheel is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The grace period of a client.
    Client(ClientId),
    /// An application's, by its place in the table.
    App(usize),
    /// Old messages are to be looked for.
    Sweep,
    /// A blank line follows what the stream of a client began with.
    FollowUp(ClientId),
}

/// Two bits of a timer's key say what it is for, below the one that is the reactor's. A client's slot is
/// below 2^29: see `limits`.
impl Timer {
    const KIND_BITS: u32 = 61;

    pub(super) fn key(self) -> u64 {
        match self {
            Timer::Client(id) => Timer::pack(id),
            Timer::App(place) => (1 << Timer::KIND_BITS) | place as u64,
            Timer::Sweep => 2 << Timer::KIND_BITS,
            Timer::FollowUp(id) => (3 << Timer::KIND_BITS) | Timer::pack(id),
        }
    }

    fn pack(id: ClientId) -> u64 {
        (u64::from(id.slot) << 32) | u64::from(id.generation)
    }

    fn unpack(key: u64) -> ClientId {
        let rest = key & ((1 << Timer::KIND_BITS) - 1);
        ClientId { slot: (rest >> 32) as u32, generation: rest as u32 }
    }

    pub(super) fn of(key: u64) -> Timer {
        match key >> Timer::KIND_BITS {
            0 => Timer::Client(Timer::unpack(key)),
            1 => Timer::App((key & ((1 << Timer::KIND_BITS) - 1)) as usize),
            2 => Timer::Sweep,
            _ => Timer::FollowUp(Timer::unpack(key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::TIMER_KEY_MAX;

    #[test]
    fn timers_keep_what_they_are_for() {
        let client = ClientId { slot: (1 << 29) - 1, generation: u32::MAX };
        for timer in [Timer::Client(client), Timer::App(7), Timer::Sweep, Timer::FollowUp(client)] {
            assert!(timer.key() <= TIMER_KEY_MAX);
            assert_eq!(Timer::of(timer.key()), timer);
        }
    }
}
