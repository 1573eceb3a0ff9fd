//! Defects that are built in on purpose: the simulation proves with each of them that its checks can fail.
//!
//! Only a build with `--cfg encke_broken` has them (`.ci/run` makes one), and only in a thread that asks for
//! one. In every other build [`Defect::is_on`] is a constant `false`, and the compiler leaves the defect out.

/// A way in which the program can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// The loop forgets a readable connection whose share of a turn is spent.
    Loop,
    /// A reader that has missed messages is not told of the gap.
    Gap,
    /// No client has a grace period.
    Grace,
    /// Messages encoded for one position are given to a reader that stands at another.
    Order,
    /// Bytes that were written are not released in the account of memory.
    Account,
    /// No idempotency key is remembered.
    Key,
    /// A connection's share of a turn's work has no end.
    Work,
}

impl Defect {
    /// All of them.
    pub const ALL: [Defect; 7] =
        [Defect::Loop, Defect::Gap, Defect::Grace, Defect::Order, Defect::Account, Defect::Key, Defect::Work];

    /// Whether the program is broken in this way, in this thread.
    #[cfg(not(encke_broken))]
    #[inline]
    #[must_use]
    pub const fn is_on(self) -> bool {
        false
    }

    /// Whether the program is broken in this way, in this thread.
    #[cfg(encke_broken)]
    #[must_use]
    pub fn is_on(self) -> bool {
        ON.get() == Some(self)
    }
}

#[cfg(encke_broken)]
thread_local! {
    static ON: std::cell::Cell<Option<Defect>> = const { std::cell::Cell::new(None) };
}

/// Breaks the program in this thread, in one way and no other, or mends it.
#[cfg(encke_broken)]
pub fn set(defect: Option<Defect>) {
    ON.set(defect);
}
