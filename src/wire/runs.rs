//! Runs of bytes in a request head: what may stand in a token and in a text, and a whole head that has
//! nothing odd in it.
//!
//! It names no offence: what it does not know is left to the scanner in `scan`. Read first: RFC 9110,
//! sections 5.5 and 5.6.2.

use crate::limits::{METHOD_BYTES_MAX, TARGET_BYTES_MAX};

/// Whether a byte may stand in a token: a method, a field name, a list member. RFC 9110, section 5.6.2.
pub fn is_token_byte(byte: u8) -> bool {
    /// One look instead of fifteen comparisons: this is asked for every byte of every name.
    const TOKEN: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0_u8;
        while byte < 128 {
            table[byte as usize] = byte.is_ascii_alphanumeric();
            byte += 1;
        }
        let others = b"!#$%&'*+-.^_`|~";
        let mut at = 0;
        while at < others.len() {
            table[others[at] as usize] = true;
            at += 1;
        }
        table
    };
    TOKEN[usize::from(byte)]
}

/// Whether a byte may stand in a field value: HTAB, space, visible and 8-bit characters. RFC 9110,
/// section 5.5.
pub fn is_text_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// How many text bytes come first: eight at a time as long as all of them are visible or 8-bit characters,
/// then one by one. (Left to the compiler, the same loop over blocks stays a loop over bytes.)
pub(super) fn text_run(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const TOPS: u64 = ONES << 7;
    // "Is any byte less than n, is any byte equal to n" of Anderson, Bit Twiddling Hacks.
    let is_text = |word: &&[u8; 8]| {
        let word = u64::from_ne_bytes(**word);
        let below_space = word.wrapping_sub(ONES * 0x20) & !word;
        let apart_from_del = word ^ (ONES * 0x7f);
        let is_del = apart_from_del.wrapping_sub(ONES) & !apart_from_del;
        (below_space | is_del) & TOPS == 0
    };
    let (words, _) = bytes.as_chunks::<8>();
    let run = words.iter().take_while(is_text).count() * 8;
    run + bytes[run..].iter().take_while(|&&byte| is_text_byte(byte)).count()
}

/// The length of a head that is here whole and has nothing odd in it: the scanner's answer to nearly every
/// head, a line at a time instead of a byte. `None` says nothing; the scanner then looks at every byte, and
/// it alone names offences.
pub(super) fn ordinary_head(bytes: &[u8]) -> Option<usize> {
    let method = bytes.iter().take(METHOD_BYTES_MAX + 1).position(|&byte| !is_token_byte(byte))?;
    if method == 0 || bytes[method] != b' ' {
        return None;
    }
    let mut at = method + 1;
    let line = text_run(&bytes[at..]);
    let target = bytes[at..at + line].iter().position(|&byte| byte == b' ')?;
    if target >= TARGET_BYTES_MAX {
        return None;
    }
    at += line;
    loop {
        if bytes.get(at..at + 2)? != b"\r\n" {
            return None;
        }
        at += 2;
        match bytes.get(at)? {
            b'\r' => return (*bytes.get(at + 1)? == b'\n').then_some(at + 2),
            b' ' | b'\t' => return None,
            _ => at += text_run(&bytes[at..]),
        }
    }
}
