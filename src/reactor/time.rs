//! An instant in milliseconds, and nothing that could read one.
//!
//! Time enters the program in one place, [`Io::now`](super::io::Io::now), and is handed down from there. What
//! is told the time can be tested at any time, and a simulated kernel can make an hour pass in one step.

/// Milliseconds of a clock that never goes back. Its zero means nothing; only distances do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(u64);

impl Instant {
    /// Later than every instant that will come: "never" as a deadline.
    pub const NEVER: Instant = Instant(u64::MAX);

    /// The instant `ms` milliseconds after the clock's zero.
    pub const fn from_millis(ms: u64) -> Instant {
        Instant(ms)
    }

    /// Milliseconds since the clock's zero.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The instant `ms` milliseconds later; [`Instant::NEVER`] where the clock would run out.
    #[must_use]
    pub const fn after(self, ms: u64) -> Instant {
        Instant(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to here, 0 if `earlier` is not earlier.
    pub const fn since(self, earlier: Instant) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_never_wrap() {
        let noon = Instant::from_millis(12);
        assert_eq!(noon.after(3).since(noon), 3);
        assert_eq!(noon.since(noon.after(3)), 0);
        assert_eq!(noon.after(u64::MAX), Instant::NEVER);
    }
}
