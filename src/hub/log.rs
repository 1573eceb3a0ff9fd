//! The one sequence that orders every message of the server, and the cursor that names a place in it.
//!
//! It knows neither messages nor channels: it counts.
//!
//! ```text
//!   cursor   0badcafe-1742
//!            ~~~~~~~~ ~~~~
//!            epoch    seq: the last message that lies before this place
//! ```
//!
//! The epoch is drawn at random when a log begins. A cursor of another epoch speaks of another log, in which
//! the same numbers meant other messages; whoever meets one has been through a restart.

use std::fmt;

/// The epoch of no log: a cursor of it is always one of something lost.
pub const NO_EPOCH: u32 = 0;

/// Eight digits of the epoch, a hyphen, twenty digits of the largest number.
const DISPLAY_BYTES_MAX: usize = 29;

/// A place in the log: just after the message `seq` of the log `epoch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Which log. Random, drawn when that log began.
    pub epoch: u32,
    /// The message before this place; 0 lies before the first.
    pub seq: u64,
}

impl Cursor {
    /// Reads what `Display` writes and nothing else: eight lower-case hex digits, a hyphen, a decimal
    /// without sign or leading zeros. A cursor comes back from the network (`Last-Event-ID` is whatever
    /// a proxy left of it), and with one spelling for each there is nothing to guess.
    #[must_use]
    pub fn parse(text: &str) -> Option<Cursor> {
        let (epoch, rest) = text.as_bytes().split_first_chunk::<8>()?;
        let epoch = epoch.iter().try_fold(0, |epoch, &digit| {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            Some(epoch << 4 | u32::from(value))
        })?;
        let seq = match rest {
            [b'-', b'0'] => 0,
            [b'-', b'1'..=b'9', ..] => rest[1..].iter().try_fold(0_u64, |seq, &digit| {
                let value = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
                seq.checked_mul(10)?.checked_add(value)
            })?,
            _ => return None,
        };
        Some(Cursor { epoch, seq })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // From its end on, by hand: each event and each answer has one, and `{:08x}-{}` takes six times as
        // long.
        let mut text = [0; DISPLAY_BYTES_MAX];
        let mut at = text.len();
        let mut put = |byte: u8| {
            at -= 1;
            text[at] = byte;
        };
        let mut seq = self.seq;
        loop {
            put(b'0' + (seq % 10) as u8);
            seq /= 10;
            if seq == 0 {
                break;
            }
        }
        put(b'-');
        for digit in 0..8 {
            put(b"0123456789abcdef"[(self.epoch >> (4 * digit) & 15) as usize]);
        }
        f.write_str(std::str::from_utf8(&text[at..]).map_err(|_| fmt::Error)?)
    }
}

/// The counter behind the cursors.
#[derive(Debug)]
pub(super) struct Log {
    epoch: u32,
    head: u64,
}

impl Log {
    pub(super) fn new(epoch: u32) -> Log {
        Log { epoch, head: 0 }
    }

    /// The place just after a message that takes its number here and now.
    pub(super) fn advance(&mut self) -> Cursor {
        // At a billion messages a second 64 bits last 584 years.
        self.head += 1;
        self.cursor(self.head)
    }

    pub(super) fn cursor(&self, seq: u64) -> Cursor {
        Cursor { epoch: self.epoch, seq }
    }

    /// The newest number given, 0 before the first.
    pub(super) fn head(&self) -> u64 {
        self.head
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_emit_parse_twins() {
        for (epoch, seq) in [(0, 0), (0x0bad_cafe, 1742), (u32::MAX, u64::MAX)] {
            let cursor = Cursor { epoch, seq };
            assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        }
        assert_eq!(Log::new(0xa).advance().to_string(), "0000000a-1");
    }

    #[test]
    fn cursor_garbage() {
        for text in [
            "",
            "-",
            "0badcafe",
            "0badcafe-",
            "-1",
            "0BADCAFE-1",
            "0badcafe-01",
            "0badcafe-+1",
            "0badcafe--1",
            "0badcafe-1 ",
            " 0badcafe-1",
            "badcafe-1",
            "00badcafe-1",
            "+badcafe-1",
            "0badcafe-1-2",
            "0badcafe-18446744073709551616",
            "0badcafe-\u{0661}",
            "\u{0661}\u{0661}\u{0661}\u{0661}-1",
        ] {
            assert_eq!(Cursor::parse(text), None, "{text:?}");
        }
    }
}
