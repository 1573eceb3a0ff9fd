//! Receipts: what one person is known to have received and read of another, or of a room.
//!
//! It knows numbers of the log and names. A receipt means "up to and with that message", so one that is not
//! newer than what was told is no news, and what was read was received. A pair that was forgotten costs one
//! receipt too many.

use super::entry::{CHANNEL_BYTES, NICK_BYTES};
use super::recent::Recent;
use crate::limits::RECEIPTS_MAX;

/// What happened to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receipt {
    Delivered,
    Read,
}

impl Receipt {
    /// As it is spelled on the wire.
    pub(super) fn word(self) -> &'static str {
        match self {
            Receipt::Delivered => "delivered",
            Receipt::Read => "read",
        }
    }
}

/// How far somebody has come.
#[derive(Debug, Default)]
struct Told {
    delivered: u64,
    read: u64,
}

/// See the top of this file.
#[derive(Debug)]
pub(super) struct Receipts {
    /// By who reads, and whose messages or which room.
    told: Recent<(String, String), Told>,
}

impl Default for Receipts {
    fn default() -> Receipts {
        Receipts { told: Recent::new(RECEIPTS_MAX) }
    }
}

impl Receipts {
    /// Bytes of all of it, at most: each pair is the key of a value, and has its place in an order.
    pub(super) fn held(&self) -> usize {
        self.told.len() * 2 * (NICK_BYTES + CHANNEL_BYTES + size_of::<Told>())
    }

    /// Notes a receipt, and says whether it tells anything new.
    pub(super) fn is_news(&mut self, reader: &str, of: &str, receipt: Receipt, seq: u64) -> bool {
        let told = self.told.entry(&(reader.to_owned(), of.to_owned()), Told::default);
        let before = match receipt {
            Receipt::Delivered => &mut told.delivered,
            Receipt::Read => &mut told.read,
        };
        let is_news = *before < seq;
        *before = seq.max(*before);
        told.delivered = told.delivered.max(told.read);
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_newer_is_news() {
        let mut receipts = Receipts::default();
        let mut is_news = |receipt, seq| receipts.is_news("bob", "@ann", receipt, seq);
        assert!(is_news(Receipt::Delivered, 3));
        assert!(!is_news(Receipt::Delivered, 3));
        assert!(!is_news(Receipt::Delivered, 2));
        assert!(is_news(Receipt::Read, 2), "it was received, not read");
        assert!(is_news(Receipt::Read, 7));
        assert!(!is_news(Receipt::Delivered, 7), "what was read was received");
        assert!(is_news(Receipt::Delivered, 8));
        assert!(receipts.is_news("bob", "@cyd", Receipt::Read, 1));
        assert!(receipts.is_news("ann", "@bob", Receipt::Read, 1));
    }
    #[test]
    fn so_many_pairs_are_remembered() {
        let mut receipts = Receipts::default();
        for number in 0..=RECEIPTS_MAX {
            assert!(receipts.is_news("bob", &number.to_string(), Receipt::Read, 1));
        }
        assert_eq!(receipts.told.len(), RECEIPTS_MAX);
        let last = RECEIPTS_MAX.to_string();
        assert!(
            !receipts.is_news("bob", "1", Receipt::Read, 1)
                && !receipts.is_news("bob", &last, Receipt::Read, 1)
        );
        assert!(receipts.is_news("bob", "0", Receipt::Read, 1), "one receipt too many, of the oldest alone");
    }
}
